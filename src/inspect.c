/*
 * inspect.c - km_inspect: what a snapshot says of itself.
 */
#include <stddef.h>
#include <string.h>

#include <keepmap.h>

#include "options.h"
#include "snapshot_format.h"
#include "snapshot_reader.h"

/* What programs have whose header had no source_volume, and those that leave struct_size 0. */
#define FIRST_FACTS_SIZE offsetof(km_snapshot_facts, source_volume)

_Static_assert(KM_ID_SIZE == KM_FORMAT_ID_SIZE && KM_TYPE_SIZE == KM_FORMAT_TYPE_SIZE &&
                   (int)KM_SOURCE_FILE == (int)KM_FORMAT_FILE &&
                   (int)KM_SOURCE_SEGMENT == (int)KM_FORMAT_SEGMENT &&
                   (int)KM_SOURCE_STREAM == (int)KM_FORMAT_STREAM,
               "the public facts are the format's");

static void count_chunks(const km_reader *reader, km_snapshot_facts *facts) {
    for (uint64_t chunk = 0; chunk < reader->footer.chunks; chunk++) {
        km_format_entry entry;
        km_reader_entry(reader, chunk, &entry);
        facts->zero_chunks += entry.flags == KM_CHUNK_ZEROS;
        facts->stored_chunks += entry.flags == KM_CHUNK_STORED;
    }
}

km_status km_inspect(const char *snapshot, km_snapshot_facts *facts) {
    uint32_t size = 0;
    km_reader *reader = NULL;
    km_status status = km_result_size(facts, FIRST_FACTS_SIZE, "km_snapshot_facts", &size);
    if (status == KM_OK) {
        status = km_reader_open(&reader, snapshot);
    }
    if (status != KM_OK) {
        return status;
    }
    const km_format_facts *said = &reader->facts;
    km_snapshot_facts found = {
        .source = (km_snapshot_source)said->source,
        .size = said->total,
        .packed_size = reader->input.size,
        .made_ns = said->made_ns,
        .chunks = reader->footer.chunks,
        .chunk_size = (uint32_t)1 << said->chunk_shift,
        .level = said->level,
        .type_version = said->type_version,
        .source_volume = said->volume,
        .source_number = said->number,
    };
    memcpy(found.id, said->id, KM_ID_SIZE);
    memcpy(found.since_id, said->since, KM_ID_SIZE);
    memcpy(found.type, said->type, KM_TYPE_SIZE);
    count_chunks(reader, &found);
    km_reader_close(reader);
    km_result_fill(&found, sizeof found, size, facts);
    return KM_OK;
}
