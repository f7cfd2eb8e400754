/*
 * snapshot_source.c - where the bytes of a snapshot's image come from: a map, or a stream.
 */
#include "snapshot_source.h"

#include <inttypes.h>
#include <string.h>

#include "input.h"
#include "platform.h"
#include "size.h"
#include "status.h"

km_status km_source_from_map(km_source *source, const km_map *map, const char *target) {
    km_source made = {.reader = {.map = map, .verb = "snapshot", .target = target}};
    if (!km_map_reader_is_memory(&made.reader) && map->size > 0) {
        uint64_t allocated = 0;
        const DWORD error = km_platform_allocated(map->file->handle, &allocated);
        if (error != ERROR_SUCCESS) {
            return km_map_reader_fail(&made.reader, error, "asking for its blocks", 0);
        }
        made.holes = allocated < map->offset + map->size;
    }
    *source = made;
    return KM_OK;
}

void km_source_from_stream(km_source *source, km_read_function read, void *arg) {
    *source = (km_source){.read = read, .read_arg = arg};
}

uint64_t km_source_total(const km_source *source) {
    return source->reader.map != NULL ? source->reader.map->size : KM_SIZE_UNKNOWN;
}

/* ---- Facts --------------------------------------------------------------------------------- */

static km_status describe_segment(const km_map *map, km_format_facts *facts) {
    km_segment_facts segment = {.struct_size = sizeof segment};
    km_status status = km_segment_describe(map, &segment);
    if (status != KM_OK) {
        return status;
    }
    facts->source = KM_FORMAT_SEGMENT;
    facts->type_version = segment.type_version;
    memset(facts->type, 0, sizeof facts->type);
    memcpy(facts->type, segment.type, strnlen(segment.type, sizeof facts->type - 1));
    return KM_OK;
}

/* Which file it is; a system or file system that does not tell leaves it unknown. */
static void describe_file(const km_map *map, km_format_facts *facts) {
    BY_HANDLE_FILE_INFORMATION known;
    facts->source = KM_FORMAT_FILE;
    if (map->file->contents == NULL && GetFileInformationByHandle(map->file->handle, &known)) {
        facts->volume = known.dwVolumeSerialNumber;
        facts->number = km_size_join(known.nFileIndexHigh, known.nFileIndexLow);
    }
}

km_status km_source_describe(const km_source *source, km_format_facts *facts) {
    const km_map *map = source->reader.map;
    facts->total = km_source_total(source);
    if (map == NULL) {
        facts->source = KM_FORMAT_STREAM;
        return KM_OK;
    }
    if (map->file->segment != NULL) {
        return describe_segment(map, facts);
    }
    describe_file(map, facts);
    return KM_OK;
}

/* ---- Reading a map ------------------------------------------------------------------------- */

/* Speed only: where the holes cannot be asked for, the bytes are read. */
static bool is_hole(const km_source *source, uint64_t offset, uint32_t length) {
    const km_map *map = source->reader.map;
    return source->holes && km_is_hole(map->file->handle, map->offset + offset, length);
}

km_status km_source_read(const km_source *source, uint64_t offset, void *to, uint32_t length,
                         bool *zeros) {
    *zeros = length > 0 && is_hole(source, offset, length);
    return *zeros || length == 0 ? KM_OK : km_map_reader_read(&source->reader, offset, to, length);
}

km_status km_source_check(const km_source *source) {
    return source->reader.map != NULL ? km_map_reader_check_size(&source->reader) : KM_OK;
}

/* ---- Reading a stream ---------------------------------------------------------------------- */

static km_status fetch_some(km_source *source, char *to, uint32_t room, uint32_t *length) {
    size_t done = 0;
    km_status status = source->read(to, room, &done, source->read_arg);
    if (status != KM_OK) {
        return km_fail(status,
                       "cannot make a snapshot of the stream: its read function returned %s after "
                       "%" PRIu64 " bytes",
                       km_strerror(status), source->streamed);
    }
    if (done > room) {
        return km_fail(KM_E_INVALID,
                       "cannot make a snapshot of the stream: its read function was to give at "
                       "most %" PRIu32 " bytes and says that it gave %zu",
                       room, done);
    }
    source->ended = done == 0;
    source->streamed += done;
    *length += (uint32_t)done;
    return KM_OK;
}

km_status km_source_fetch(km_source *source, void *to, uint32_t room, uint32_t *length) {
    *length = 0;
    while (*length < room && !source->ended) {
        km_status status = fetch_some(source, (char *)to + *length, room - *length, length);
        if (status != KM_OK) {
            return status;
        }
    }
    return KM_OK;
}
