/*
 * checksum_wide.c - XXH3 compiled for AVX2. Nothing else belongs here: whatever is in this file may
 * be made of instructions that the processor does not have.
 */
#include "checksum_wide.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t km_checksum_wide(const void *bytes, size_t length) {
    return XXH3_64bits(bytes, length);
}

void km_hash_wide(const void *bytes, size_t length, uint64_t seed, uint8_t hash[KM_HASH_SIZE]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(bytes, length, seed));
    memcpy(hash, canonical.digest, KM_HASH_SIZE);
}
