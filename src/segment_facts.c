/*
 * segment_facts.c - what an open segment says of itself, and whether that still holds.
 */
#include <inttypes.h>
#include <string.h>

#include "options.h"
#include "segment.h"
#include "status.h"

/* ---- km_segment_describe ---- */

km_status km_segment_describe(const km_map *map, km_segment_facts *facts) {
    uint32_t size = 0;
    if (map == NULL || facts == NULL) {
        return km_fail(KM_E_INVALID, "cannot describe a segment: there is no %s",
                       map == NULL ? "map" : "place for it");
    }
    const km_segment_state *state = map->file->segment;
    if (state == NULL) {
        return km_fail(KM_E_INVALID, "cannot describe \"%s\": it is a file, not a segment",
                       map->file->path);
    }
    km_status status = km_result_size(facts, sizeof *facts, "km_segment_facts", &size);
    if (status != KM_OK) {
        return status;
    }
    km_segment_facts known = {
        .described = state->described,
        .size = state->size,
        .section_size = state->section_size,
        .created_ns = km_record_created_ns(&state->record),
        .creator = state->record.creator,
        .type_version = state->record.type_version,
    };
    memcpy(known.type, state->record.type, sizeof known.type);
    km_result_fill(&known, sizeof known, size, facts);
    return KM_OK;
}

/* ---- km_check ---- */

/* What the record says now; the one seen at the open says what it should. */
static km_status ask_record(const km_map *map, km_size_report *facts) {
    const km_segment_state *state = map->file->segment;
    void *end = NULL;
    uint64_t length = 0;
    km_record record;
    DWORD error = km_segment_view_end(map->file, FILE_MAP_READ, &end, &length);
    if (error == ERROR_SUCCESS) {
        error = km_segment_read_record(end, length, &record);
        UnmapViewOfFile(end);
    }
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot read the record of the segment \"%s\"",
                              map->file->path);
    }
    if (km_record_judge(&record, state->section_size) == KM_RECORD_WHOLE &&
        record.check == state->record.check) {
        facts->declared = record.size;
    } else {
        facts->declared = KM_SIZE_UNKNOWN;
        facts->findings |= KM_SIZE_RECORD;
    }
    return KM_OK;
}

km_status km_segment_ask(const km_map *map, km_size_report *facts) {
    const km_file *file = map->file;
    const km_segment_state *state = file->segment;
    const uint64_t expected = atomic_load(&file->expected);
    DWORD error = km_platform_section_memory(file->handle, state->section_size, &facts->allocated,
                                             &facts->disk_free);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot learn the sizes of the segment \"%s\"", file->path);
    }
    error = km_platform_section_left(file->handle, state->section_size, &facts->actual);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot learn the sizes of the segment \"%s\"", file->path);
    }
    facts->expected = expected != 0 ? expected : KM_SIZE_UNKNOWN;
    facts->mapped = map->size;
    if (facts->actual < state->section_size) {
        facts->findings |= KM_SIZE_TRUNCATED;
        facts->declared = state->size; /* the record has gone with the end */
        return KM_OK;
    }
    if (facts->allocated < facts->actual) {
        facts->findings |= KM_SIZE_HOLES;
        if (facts->actual - facts->allocated > facts->disk_free) {
            facts->findings |= KM_SIZE_NO_DISK;
        }
    }
    if (!state->described) {
        facts->declared = state->section_size;
        return KM_OK;
    }
    return ask_record(map, facts);
}

km_status km_segment_judge(const km_map *map, const km_size_report *facts) {
    const km_file *file = map->file;
    if ((facts->findings & KM_SIZE_TRUNCATED) != 0) {
        return km_fail(KM_E_TRUNCATED,
                       "the segment \"%s\" has been cut short: of its memory of %" PRIu64
                       " bytes there are %" PRIu64,
                       file->path, file->segment->section_size, facts->actual);
    }
    if ((facts->findings & KM_SIZE_RECORD) != 0) {
        return km_fail(KM_E_CORRUPT,
                       "the record of the segment \"%s\" has been overwritten: somebody has stored "
                       "past its %" PRIu64 " bytes",
                       file->path, file->segment->size);
    }
    if ((facts->findings & KM_SIZE_NO_DISK) != 0 && file->access == KM_WRITE) {
        return km_fail(KM_E_NO_SPACE,
                       "the segment \"%s\" has memory for %" PRIu64 " of its %" PRIu64
                       " bytes, and %" PRIu64 " more may be had",
                       file->path, facts->allocated, facts->actual, facts->disk_free);
    }
    return KM_OK;
}
