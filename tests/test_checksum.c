/*
 * test_checksum.c - the sums of the snapshot format are XXH3's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checksum.h"
#include "checksum_wide.h"

#define LONGEST 2500u

/* The bytes of which XXH3's authors publish the sums. */
static void fill(uint8_t *bytes, size_t length) {
    uint64_t generator = 2654435761u;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(generator >> 56);
        generator *= 11400714785074694797u;
    }
}

static void checksums_are_the_published_ones(void **state) {
    (void)state;
    /* One of each way XXH3 has of going through so many bytes. */
    static const struct {
        size_t length;
        uint64_t sum;
    } known[] = {
        {0, 0x2D06800538D394C2},   {1, 0xC44BDFF4074EECDB},    {6, 0x27B56A84CD2D7325},
        {12, 0xA713DAF0DFBB77E7},  {24, 0xA3FE70BF9D3510EB},   {48, 0x397DA259ECBA1F11},
        {80, 0xBCDEFBBB2C47C90A},  {195, 0xCD94217EE362EC3A},  {403, 0xCDEB804D65C6DEA4},
        {512, 0x617E49599013CB6B}, {2048, 0xDD59E2C3A5F038E0}, {2240, 0x6E73A90539CF2948},
    };
    uint8_t bytes[LONGEST];
    fill(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_true(km_checksum(bytes, known[i].length) == known[i].sum);
    }
}

static void a_hash_is_in_the_canonical_order(void **state) {
    (void)state;
    static const uint8_t nothing[KM_HASH_SIZE] = {0x99, 0xAA, 0x06, 0xD3, 0x01, 0x47, 0x98, 0xD8,
                                                  0x60, 0x01, 0xC3, 0x24, 0x46, 0x8D, 0x49, 0x7F};
    static const uint8_t one[KM_HASH_SIZE] = {0xA6, 0xCD, 0x5E, 0x93, 0x92, 0x00, 0x0F, 0x6A,
                                              0xC4, 0x4B, 0xDF, 0xF4, 0x07, 0x4E, 0xEC, 0xDB};
    uint8_t bytes[1];
    uint8_t hash[KM_HASH_SIZE];
    fill(bytes, sizeof bytes);
    km_hash(bytes, 0, 0, hash);
    assert_memory_equal(hash, nothing, sizeof hash);
    km_hash(bytes, 1, 0, hash);
    assert_memory_equal(hash, one, sizeof hash);
}

static void another_seed_gives_another_hash(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 3, 8, 16, 100, 200, 1000, LONGEST};
    uint8_t bytes[LONGEST];
    fill(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t first[KM_HASH_SIZE];
        uint8_t second[KM_HASH_SIZE];
        km_hash(bytes, lengths[i], 1, first);
        km_hash(bytes, lengths[i], 2, second);
        assert_memory_not_equal(first, second, KM_HASH_SIZE);
        km_hash(bytes, lengths[i], 1, second);
        assert_memory_equal(first, second, KM_HASH_SIZE);
    }
}

/* Against the header's own functions, compiled for any processor, wherever the bytes lie. */
static void wide_registers_give_the_same_sums(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 3, 8, 16, 17, 128, 129, 240, 241, 1024, 1025, LONGEST};
    uint8_t bytes[LONGEST + 64];
    fill(bytes, sizeof bytes);
    if (!km_wide_works()) {
        skip();
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t at = 0; at < 64; at++) {
            const uint64_t seed = at * UINT64_C(0x9E3779B97F4A7C15);
            XXH128_canonical_t expected;
            uint8_t hash[KM_HASH_SIZE];
            assert_true(km_checksum_wide(bytes + at, lengths[i]) ==
                        XXH3_64bits(bytes + at, lengths[i]));
            XXH128_canonicalFromHash(&expected,
                                     XXH3_128bits_withSeed(bytes + at, lengths[i], seed));
            km_hash_wide(bytes + at, lengths[i], seed, hash);
            assert_memory_equal(hash, expected.digest, KM_HASH_SIZE);
        }
    }
}

static void pieces_have_the_sum_of_the_whole(void **state) {
    (void)state;
    uint8_t bytes[LONGEST];
    fill(bytes, sizeof bytes);
    static const size_t pieces[] = {1, 7, 64, 255, 256, 257, 1024, LONGEST};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        km_checksum_state *sum = km_checksum_begin();
        assert_non_null(sum);
        assert_true(km_checksum_value(sum) == km_checksum(bytes, 0));
        for (size_t at = 0; at < LONGEST; at += pieces[i]) {
            size_t piece = pieces[i] < LONGEST - at ? pieces[i] : LONGEST - at;
            km_checksum_add(sum, bytes + at, piece);
            km_checksum_add(sum, bytes, 0);
            /* Asking changes nothing. */
            assert_true(km_checksum_value(sum) == km_checksum(bytes, at + piece));
        }
        km_checksum_end(sum);
    }
    km_checksum_end(NULL);
}

static void any_changed_bit_changes_sum_and_hash(void **state) {
    (void)state;
    uint8_t bytes[300];
    uint8_t hash[KM_HASH_SIZE];
    fill(bytes, sizeof bytes);
    uint64_t sum = km_checksum(bytes, sizeof bytes);
    km_hash(bytes, sizeof bytes, 5, hash);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        uint8_t other[KM_HASH_SIZE];
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(km_checksum(bytes, sizeof bytes) != sum);
        km_hash(bytes, sizeof bytes, 5, other);
        assert_memory_not_equal(hash, other, sizeof hash);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_the_published_ones),
        cmocka_unit_test(a_hash_is_in_the_canonical_order),
        cmocka_unit_test(another_seed_gives_another_hash),
        cmocka_unit_test(wide_registers_give_the_same_sums),
        cmocka_unit_test(pieces_have_the_sum_of_the_whole),
        cmocka_unit_test(any_changed_bit_changes_sum_and_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
