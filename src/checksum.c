/*
 * checksum.c - XXH3 from xxhash.h, compiled into this file: nothing to link, nothing exported.
 */
#include "checksum.h"

#include <string.h>

#include "checksum_wide.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#if XXH_VERSION_NUMBER < 800
#error "xxhash.h is too old: XXH3's results are final since version 0.8.0"
#endif

bool km_wide_works(void) {
#ifdef KM_WITH_AVX2
    return __builtin_cpu_supports("avx2") != 0;
#else
    return false;
#endif
}

uint64_t km_checksum(const void *bytes, size_t length) {
    return km_wide_works() ? km_checksum_wide(bytes, length) : XXH3_64bits(bytes, length);
}

void km_hash(const void *bytes, size_t length, uint64_t seed, uint8_t hash[KM_HASH_SIZE]) {
    XXH128_canonical_t canonical;
    if (km_wide_works()) {
        km_hash_wide(bytes, length, seed, hash);
        return;
    }
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(bytes, length, seed));
    memcpy(hash, canonical.digest, KM_HASH_SIZE);
}

/* km_checksum_state is xxhash's under another name. */
static XXH3_state_t *inside(km_checksum_state *state) {
    return (XXH3_state_t *)(void *)state;
}

km_checksum_state *km_checksum_begin(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL) {
        XXH3_64bits_reset(state);
    }
    return (km_checksum_state *)(void *)state;
}

void km_checksum_add(km_checksum_state *state, const void *bytes, size_t length) {
    XXH3_64bits_update(inside(state), bytes, length);
}

uint64_t km_checksum_value(const km_checksum_state *state) {
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)state);
}

void km_checksum_end(km_checksum_state *state) {
    if (state != NULL) {
        XXH3_freeState(inside(state));
    }
}
