/*
 * chunk.h - one chunk made into packed bytes, and back, with everything that is checked on the way.
 *
 * A packer and an unpacker have a codec's state, so each thread has its own. Neither knows files.
 */
#ifndef KM_CHUNK_H
#define KM_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_format.h"

typedef struct km_packer km_packer;
typedef struct km_unpacker km_unpacker;

/* `level` 0 to 9. KM_E_NO_MEMORY; KM_E_UNSUPPORTED, naming zlib, if nothing packs at this level. */
km_status km_packer_make(int level, km_packer **packer);
void km_packer_free(km_packer *packer); /* NULL is fine */

/*
 * Packs `raw`, which nobody changes meanwhile, to `packed`, which has room for
 * km_format_packed_most(raw_length) bytes, trailer included: as zeros, deflated, or stored if that
 * is not longer. Fills *entry, except for the hash, which the caller has made already.
 */
km_status km_pack(km_packer *packer, const void *raw, uint32_t raw_length, void *packed,
                  km_format_entry *entry);

km_status km_unpacker_make(km_unpacker **unpacker);
void km_unpacker_free(km_unpacker *unpacker); /* NULL is fine */

typedef enum km_chunk_state {
    KM_CHUNK_GOOD = 0,
    KM_CHUNK_BAD_SUM,    /* the packed bytes are not those that were written */
    KM_CHUNK_BAD_STREAM, /* they are no deflate stream of that length, or not in their form */
    KM_CHUNK_BAD_CRC,    /* CRC-32 or length in the trailer */
    KM_CHUNK_BAD_HASH,   /* the raw bytes are not those of the index */
    KM_CHUNK_NO_CODEC,   /* built without a library that unpacks, and it is deflated */
    KM_CHUNK_NO_MEMORY,
} km_chunk_state;

/* What to say of it: "its packed bytes are damaged"... */
const char *km_chunk_state_text(km_chunk_state state);

/* Are `packed`'s entry->packed_length bytes those that the entry sums? Unpacks nothing. */
km_chunk_state km_packed_check(const km_format_entry *entry, const void *packed);

/*
 * Unpacks entry->packed_length bytes to entry->raw_length bytes at `raw` and checks everything:
 * sum, stream, trailer and, with `seed` not NULL, the hash. After any state but KM_CHUNK_GOOD the
 * bytes at `raw` mean nothing. Hostile input is expected. The entry has passed km_format_*_read.
 */
km_chunk_state km_unpack(km_unpacker *unpacker, const km_format_entry *entry, const void *packed,
                         void *raw, const uint64_t *seed);

#endif /* KM_CHUNK_H */
