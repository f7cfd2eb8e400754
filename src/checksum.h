/*
 * checksum.h - the sums and hashes of the snapshot format: XXH3 (xxhash.h, compiled in).
 *
 * They guard against chance, not against somebody who chooses the bytes.
 */
#ifndef KM_CHECKSUM_H
#define KM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define KM_HASH_SIZE 16u

/* XXH3-64 with seed 0. */
uint64_t km_checksum(const void *bytes, size_t length);

/* XXH3-128 with this seed, in the canonical (big-endian) order of its specification. */
void km_hash(const void *bytes, size_t length, uint64_t seed, uint8_t hash[KM_HASH_SIZE]);

/* km_checksum over pieces. The state is malloc'ed: NULL if there is no memory. */
typedef struct km_checksum_state km_checksum_state;
km_checksum_state *km_checksum_begin(void);
void km_checksum_add(km_checksum_state *state, const void *bytes, size_t length);
uint64_t km_checksum_value(const km_checksum_state *state);
void km_checksum_end(km_checksum_state *state); /* NULL is fine */

#endif /* KM_CHECKSUM_H */
