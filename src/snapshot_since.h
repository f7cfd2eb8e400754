/*
 * snapshot_since.h - the earlier snapshot, whose packed chunks are taken over where nothing has
 * changed.
 */
#ifndef KM_SNAPSHOT_SINCE_H
#define KM_SNAPSHOT_SINCE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_reader.h"

/*
 * Opens it. *chunk_shift is the one wanted, or 0, and is then set to the snapshot's; one that is
 * not the snapshot's is KM_E_MISMATCH.
 */
km_status km_since_open(km_reader **since, const char *path, uint8_t *chunk_shift);

/* Its entry for chunk `chunk`; false if it has none, or one of another raw length. */
bool km_since_entry(const km_reader *since, uint64_t chunk, uint32_t raw_length,
                    km_format_entry *entry);

/*
 * Brings the chunk's packed bytes, whose sum is checked, to `member`, behind km_format_head_size
 * bytes for the head. `member` has km_reader_member_room.
 */
km_status km_since_take(const km_reader *since, uint64_t chunk, uint8_t *member);

/* The same, and *same: unpacked to `unpacked` (km_reader_raw_room) it is what `raw` has. */
km_status km_since_compare(const km_reader *since, km_unpacker *unpacker, uint64_t chunk,
                           const void *raw, uint8_t *member, void *unpacked, bool *same);

#endif /* KM_SNAPSHOT_SINCE_H */
