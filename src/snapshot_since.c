/*
 * snapshot_since.c - the earlier snapshot, whose packed chunks are taken over where nothing has
 * changed.
 */
#include "snapshot_since.h"

#include <inttypes.h>
#include <string.h>

#include "status.h"

static km_status check_kind(const km_reader *since, uint8_t chunk_shift) {
    if (chunk_shift != 0 && chunk_shift != since->facts.chunk_shift) {
        return km_fail(KM_E_MISMATCH,
                       "cannot make a snapshot since \"%s\": its chunks have %" PRIu32
                       " bytes, and these are to have %" PRIu32,
                       since->path, UINT32_C(1) << since->facts.chunk_shift,
                       UINT32_C(1) << chunk_shift);
    }
    if (since->facts.hash_kind != KM_FORMAT_HASH_XXH3_128) {
        return km_fail(KM_E_MISMATCH,
                       "cannot make a snapshot since \"%s\": its chunks are hashed by kind %u, and "
                       "these by kind %u",
                       since->path, since->facts.hash_kind, KM_FORMAT_HASH_XXH3_128);
    }
    return KM_OK;
}

km_status km_since_open(km_reader **since, const char *path, uint8_t *chunk_shift) {
    km_reader *opened = NULL;
    km_status status = km_reader_open(&opened, path);
    if (status == KM_OK) {
        status = check_kind(opened, *chunk_shift);
    }
    if (status != KM_OK) {
        km_reader_close(opened);
        return status;
    }
    *chunk_shift = opened->facts.chunk_shift;
    *since = opened;
    return KM_OK;
}

bool km_since_entry(const km_reader *since, uint64_t chunk, uint32_t raw_length,
                    km_format_entry *entry) {
    if (chunk >= since->footer.chunks) {
        return false;
    }
    km_format_entry known;
    km_reader_entry(since, chunk, &known);
    if (known.raw_length != raw_length) {
        return false;
    }
    *entry = known;
    return true;
}

km_status km_since_take(const km_reader *since, uint64_t chunk, uint8_t *member) {
    const uint8_t *packed = NULL;
    km_format_entry entry;
    km_status status = km_reader_member(since, chunk, member, &packed);
    if (status == KM_OK) {
        km_reader_entry(since, chunk, &entry);
        memmove(member + km_format_head_size(chunk), packed, entry.packed_length);
    }
    return status;
}

km_status km_since_compare(const km_reader *since, km_unpacker *unpacker, uint64_t chunk,
                           const void *raw, uint8_t *member, void *unpacked, bool *same) {
    km_format_entry entry;
    km_status status = km_reader_chunk(since, unpacker, chunk, member, unpacked);
    if (status == KM_OK) {
        km_reader_entry(since, chunk, &entry);
        *same = memcmp(raw, unpacked, entry.raw_length) == 0;
    }
    return status; /* what was unpacked is still in `member`, as it is to be taken over */
}
