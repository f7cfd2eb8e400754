/*
 * test_stored.c - the two canonical forms of a chunk: one way to write it, read by every inflate.
 *
 * With other codecs: what is built in reads them as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "stored.h"

#define BLOCK_MAX ((size_t)65535)

/* A block of exactly this size, so that a sanitizer sees each byte too far. */
static uint8_t *block_of(size_t length) {
    uint8_t *block = malloc(length > 0 ? length : 1);
    assert_non_null(block);
    return block;
}

static uint8_t *numbered(size_t length) {
    uint8_t *block = block_of(length);
    for (size_t i = 0; i < length; i++) {
        block[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    return block;
}

/* Every library that was built in reads exactly these raw bytes. */
static void all_read(const uint8_t *packed, size_t packed_length, const uint8_t *raw,
                     size_t raw_length) {
    uint8_t *back = block_of(raw_length);
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *state = NULL;
        assert_int_equal((*codec)->unpack_begin(&state), KM_CODEC_OK);
        memset(back, 0xA5, raw_length);
        if ((*codec)->unpack(state, packed, packed_length, back, raw_length) != KM_CODEC_OK) {
            fail_msg("%s does not read the form of %zu bytes", (*codec)->name, raw_length);
        }
        assert_memory_equal(back, raw, raw_length);
        (*codec)->unpack_end(state);
    }
    free(back);
}

/* ---- Stored ---- */

static const size_t lengths[] = {
    0,
    1,
    2,
    BLOCK_MAX - 1,
    BLOCK_MAX,
    BLOCK_MAX + 1,
    2 * BLOCK_MAX - 1,
    2 * BLOCK_MAX,
    2 * BLOCK_MAX + 1,
    65536,
    262144,
};
#define LENGTHS (sizeof lengths / sizeof *lengths)

static void stored_chunks_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        uint8_t *raw = numbered(lengths[i]);
        size_t length = km_stored_length(lengths[i]);
        uint8_t *packed = block_of(length);
        km_stored_pack(raw, lengths[i], packed);
        uint8_t *back = block_of(lengths[i]);
        assert_true(km_stored_unpack(packed, length, back, lengths[i]));
        assert_memory_equal(back, raw, lengths[i]);
        all_read(packed, length, raw, lengths[i]);
        free(raw);
        free(packed);
        free(back);
    }
}

static void the_stored_form_has_these_bytes(void **state) {
    (void)state;
    static const uint8_t empty[] = {0x01, 0x00, 0x00, 0xFF, 0xFF};
    static const uint8_t three[] = {0x01, 0x03, 0x00, 0xFC, 0xFF, 'a', 'b', 'c'};
    static const uint8_t first[] = {0x00, 0xFF, 0xFF, 0x00, 0x00};
    static const uint8_t last[] = {0x01, 0x01, 0x00, 0xFE, 0xFF};
    uint8_t packed[BLOCK_MAX + 1 + 10];
    assert_int_equal(km_stored_length(0), sizeof empty);
    km_stored_pack(NULL, 0, packed);
    assert_memory_equal(packed, empty, sizeof empty);
    assert_int_equal(km_stored_length(3), sizeof three);
    km_stored_pack("abc", 3, packed);
    assert_memory_equal(packed, three, sizeof three);

    uint8_t *raw = numbered(BLOCK_MAX + 1);
    assert_int_equal(km_stored_length(BLOCK_MAX), BLOCK_MAX + 5);
    assert_int_equal(km_stored_length(BLOCK_MAX + 1), sizeof packed);
    km_stored_pack(raw, BLOCK_MAX + 1, packed);
    assert_memory_equal(packed, first, sizeof first);
    assert_memory_equal(packed + 5, raw, BLOCK_MAX);
    assert_memory_equal(packed + 5 + BLOCK_MAX, last, sizeof last);
    assert_int_equal(packed[sizeof packed - 1], raw[BLOCK_MAX]);
    free(raw);
}

static void any_changed_bit_is_refused_or_is_another_chunk(void **state) {
    (void)state;
    size_t raw_length = BLOCK_MAX + 20;
    size_t length = km_stored_length(raw_length);
    uint8_t *raw = numbered(raw_length);
    uint8_t *packed = block_of(length);
    uint8_t *back = block_of(raw_length);
    km_stored_pack(raw, raw_length, packed);
    for (size_t at = 0; at<length; at += at> 20 && at < BLOCK_MAX - 20 ? 4111 : 1) {
        bool header = at < 5 || (at >= 5 + BLOCK_MAX && at < 10 + BLOCK_MAX);
        for (unsigned bit = 0; bit < 8; bit++) {
            packed[at] ^= (uint8_t)(1u << bit);
            bool read = km_stored_unpack(packed, length, back, raw_length);
            packed[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(read, !header);
            assert_true(!read || memcmp(back, raw, raw_length) != 0);
        }
    }
    free(raw);
    free(packed);
    free(back);
}

static void another_length_is_not_the_stored_form(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        size_t raw_length = lengths[i];
        size_t length = km_stored_length(raw_length);
        uint8_t *raw = numbered(raw_length);
        uint8_t *packed = block_of(length + 1);
        uint8_t *back = block_of(raw_length + 1);
        km_stored_pack(raw, raw_length, packed);
        packed[length] = 0;
        assert_false(km_stored_unpack(packed, length + 1, back, raw_length));
        assert_false(km_stored_unpack(packed, length - 1, back, raw_length));
        assert_false(km_stored_unpack(packed, 0, back, raw_length));
        assert_false(km_stored_unpack(packed, length, back, raw_length + 1));
        assert_false(raw_length > 0 && km_stored_unpack(packed, length, back, raw_length - 1));
        assert_false(km_stored_unpack(packed, length, back, SIZE_MAX));
        free(raw);
        free(packed);
        free(back);
    }
}

/* ---- Zeros ---- */

static void zeros_of(size_t raw_length) {
    uint8_t *room = block_of(KM_ZEROS_ROOM);
    size_t length = km_zeros_pack(raw_length, room);
    assert_in_range(length, 1, KM_ZEROS_ROOM);
    uint8_t *packed = block_of(length);
    memcpy(packed, room, length);
    uint8_t *raw = block_of(raw_length);
    memset(raw, 0, raw_length);
    all_read(packed, length, raw, raw_length);
    free(room);
    free(packed);
    free(raw);
}

static void every_inflate_reads_zeros(void **state) {
    (void)state;
    for (size_t length = 1; length <= 600; length++) {
        zeros_of(length);
    }
    static const size_t middles[] = {65536, 262144, (size_t)1 << 20};
    for (size_t i = 0; i < 3; i++) {
        for (size_t length = middles[i] - 3; length <= middles[i] + 3; length++) {
            zeros_of(length);
        }
    }
    zeros_of(((size_t)1 << 24) - 1);
    zeros_of((size_t)1 << 24);
}

/* A decoder of nothing but this form, from its description. */
typedef struct bits {
    const uint8_t *bytes;
    size_t at;
} bits;

static unsigned take(bits *from, unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++, from->at++) {
        value |= ((unsigned)from->bytes[from->at / 8] >> from->at % 8 & 1u) << i;
    }
    return value;
}

static void zeros_are_written_as_described(void **state) {
    (void)state;
    enum { FINAL = 1, DYNAMIC = 2 };
    static const size_t raw_lengths[] = {1, 2, 258, 259, 260, 517, 65536, 262144};
    for (size_t i = 0; i < sizeof raw_lengths / sizeof *raw_lengths; i++) {
        uint8_t packed[KM_ZEROS_ROOM];
        memset(packed, 0xFF, sizeof packed);
        size_t length = km_zeros_pack(raw_lengths[i], packed);
        bits in = {packed, 0};
        assert_int_equal(take(&in, 1), FINAL);
        assert_int_equal(take(&in, 2), DYNAMIC);
        assert_int_equal(take(&in, 5), 286 - 257);
        assert_int_equal(take(&in, 5), 1 - 1);
        assert_int_equal(take(&in, 4), 18 - 4);
        for (unsigned symbol = 0; symbol < 18; symbol++) {
            /* The third is 18, the sixteenth 2, the last 1. */
            unsigned expected = symbol == 2 ? 1 : symbol == 15 || symbol == 17 ? 2 : 0;
            assert_int_equal(take(&in, 3), expected);
        }
        static const struct {
            unsigned code, code_bits, more, more_bits;
        } code_lengths[] = {{3, 2, 0, 0}, {0, 1, 138 - 11, 7}, {0, 1, 117 - 11, 7},
                            {3, 2, 0, 0}, {0, 1, 28 - 11, 7},  {1, 2, 0, 0},
                            {1, 2, 0, 0}};
        for (size_t k = 0; k < sizeof code_lengths / sizeof *code_lengths; k++) {
            assert_int_equal(take(&in, code_lengths[k].code_bits), code_lengths[k].code);
            assert_int_equal(take(&in, code_lengths[k].more_bits), code_lengths[k].more);
        }
        assert_int_equal(take(&in, 2), 1);
        for (size_t left = raw_lengths[i] - 1; left > 0; left -= left >= 258 ? 258 : 1) {
            assert_int_equal(take(&in, 2), left >= 258 ? 0 : 1);
        }
        assert_int_equal(take(&in, 2), 3);
        assert_int_equal(length, (in.at + 7) / 8);
        assert_int_equal(take(&in, (unsigned)(length * 8 - in.at)), 0);
        /* Nothing behind it was touched. */
        assert_int_equal(packed[length], 0xFF);
    }
}

static void zeros_are_small(void **state) {
    (void)state;
    uint8_t packed[KM_ZEROS_ROOM];
    assert_int_equal(km_zeros_pack(1, packed), 14);
    assert_int_equal(km_zeros_pack(262144, packed), 272);
    assert_int_equal(km_zeros_pack((size_t)1 << 24, packed), 16333);
}

static void one_byte_that_is_not_zero_is_seen_wherever_it_is(void **state) {
    (void)state;
    enum { LONGEST = 300, ALIGNMENTS = 9 };
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        for (size_t length = 0; length <= LONGEST; length += length < 70 ? 1 : 23) {
            uint8_t *block = block_of(at + length);
            memset(block, 0, at + length);
            assert_true(km_zeros_are(block + at, length));
            for (size_t i = 0; i < length; i++) {
                block[at + i] = (uint8_t)(1u << i % 8);
                assert_false(km_zeros_are(block + at, length));
                block[at + i] = 0;
            }
            free(block);
        }
    }
}

static void what_lies_around_zeros_does_not_matter(void **state) {
    (void)state;
    uint8_t block[3000];
    memset(block, 0xFF, sizeof block);
    memset(block + 1, 0, sizeof block - 2);
    assert_true(km_zeros_are(block + 1, sizeof block - 2));
    assert_false(km_zeros_are(block, sizeof block - 2));
    assert_false(km_zeros_are(block + 1, sizeof block - 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_chunks_come_back),
        cmocka_unit_test(the_stored_form_has_these_bytes),
        cmocka_unit_test(any_changed_bit_is_refused_or_is_another_chunk),
        cmocka_unit_test(another_length_is_not_the_stored_form),
        cmocka_unit_test(every_inflate_reads_zeros),
        cmocka_unit_test(zeros_are_written_as_described),
        cmocka_unit_test(zeros_are_small),
        cmocka_unit_test(one_byte_that_is_not_zero_is_seen_wherever_it_is),
        cmocka_unit_test(what_lies_around_zeros_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
