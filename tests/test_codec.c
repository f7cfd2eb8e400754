/*
 * test_codec.c - each built-in library packs and unpacks, refuses what is damaged, and sums.
 *
 * Not under valgrind: so much packing takes it minutes; test_fault_codec goes around there.
 * Not under tsan: one thread does it all.
 * With other codecs: what is built in differs, what holds does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* A block of exactly this size, so that a sanitizer sees each byte too far. */
static uint8_t *block_of(size_t length) {
    uint8_t *block = malloc(length > 0 ? length : 1);
    assert_non_null(block);
    return block;
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* ---- What is packed ---- */

typedef enum contents {
    ZEROS,
    TEXT,   /* words that come again */
    BINARY, /* records with small differences */
    RANDOM,
    KINDS,
} contents;

static void fill(uint8_t *to, size_t length, contents kind, uint32_t seed) {
    static const char *const words[] = {"map ", "file ", "view ", "page ", "the ", "of ", "\n"};
    size_t at = 0;
    while (at < length) {
        uint8_t piece[8] = {0};
        size_t size = sizeof piece;
        uint32_t chance = next_random(&seed);
        if (kind == TEXT) {
            const char *word = words[chance % 7];
            size = strlen(word);
            memcpy(piece, word, size);
        } else if (kind == BINARY) {
            piece[0] = (uint8_t)(at >> 3);
            piece[1] = (uint8_t)(at >> 11);
            piece[5] = (uint8_t)(chance & 7);
        } else if (kind == RANDOM) {
            size = 2;
            piece[0] = (uint8_t)chance;
            piece[1] = (uint8_t)(chance >> 8);
        }
        size = size < length - at ? size : length - at;
        memcpy(to + at, piece, size);
        at += size;
    }
}

/* ---- Round trips ---- */

/* Unpacks by every library. */
static void all_unpack(const uint8_t *packed, size_t packed_length, const uint8_t *raw,
                       size_t raw_length) {
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *state = NULL;
        assert_int_equal((*codec)->unpack_begin(&state), KM_CODEC_OK);
        uint8_t *back = block_of(raw_length);
        memset(back, 0xA5, raw_length);
        assert_int_equal((*codec)->unpack(state, packed, packed_length, back, raw_length),
                         KM_CODEC_OK);
        assert_memory_equal(back, raw, raw_length);
        free(back);
        (*codec)->unpack_end(state);
    }
}

/* What libraries make of random bytes is some longer than they are. */
static size_t ample(size_t raw_length) {
    return raw_length + raw_length / 64 + KIB;
}

static void comes_back(const km_codec *codec, void *state, const uint8_t *raw, size_t raw_length) {
    size_t room = ample(raw_length);
    uint8_t *packed = block_of(room);
    size_t packed_length = 0;
    km_codec_result result = codec->pack(state, raw, raw_length, packed, room, &packed_length);
    assert_int_equal(result, KM_CODEC_OK);
    assert_in_range(packed_length, 1, room);
    /* Unpackers get no byte more than there is. */
    uint8_t *exact = block_of(packed_length);
    memcpy(exact, packed, packed_length);
    free(packed);
    all_unpack(exact, packed_length, raw, raw_length);
    free(exact);
}

/* With each library at each level, one state for all. */
static void sizes_come_back(const size_t *sizes, size_t count, int level_step) {
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        for (int level = 1; level <= KM_CODEC_LEVEL_MAX; level += level_step) {
            void *state = NULL;
            assert_int_equal((*codec)->pack_begin(level, &state), KM_CODEC_OK);
            for (size_t i = 0; i < count * KINDS; i++) {
                size_t size = sizes[i / KINDS];
                uint8_t *raw = block_of(size);
                fill(raw, size, (contents)(i % KINDS), (uint32_t)i);
                comes_back(*codec, state, raw, size);
                free(raw);
            }
            (*codec)->pack_end(state);
        }
    }
}

static void what_a_library_packs_all_unpack(void **state) {
    (void)state;
    static const size_t every_level[] = {0, 1, 2, 100, 4 * KIB - 1, 64 * KIB};
    static const size_t some_levels[] = {64 * KIB + 1, 256 * KIB};
    sizes_come_back(every_level, sizeof every_level / sizeof *every_level, 1);
    sizes_come_back(some_levels, sizeof some_levels / sizeof *some_levels, 4);
}

static void the_largest_chunk_comes_back(void **state) {
    (void)state;
    uint8_t *raw = block_of(16 * MIB);
    fill(raw, 16 * MIB, TEXT, 5);
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *packer = NULL;
        assert_int_equal((*codec)->pack_begin(1, &packer), KM_CODEC_OK);
        comes_back(*codec, packer, raw, 16 * MIB);
        (*codec)->pack_end(packer);
    }
    free(raw);
}

static void an_empty_chunk_may_have_no_address(void **state) {
    (void)state;
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *packer = NULL;
        void *unpacker = NULL;
        uint8_t packed[64];
        size_t length = 0;
        assert_int_equal((*codec)->pack_begin(1, &packer), KM_CODEC_OK);
        assert_int_equal((*codec)->unpack_begin(&unpacker), KM_CODEC_OK);
        assert_int_equal((*codec)->pack(packer, NULL, 0, packed, sizeof packed, &length),
                         KM_CODEC_OK);
        assert_int_equal((*codec)->unpack(unpacker, packed, length, NULL, 0), KM_CODEC_OK);
        (*codec)->pack_end(packer);
        (*codec)->unpack_end(unpacker);
        (*codec)->pack_end(NULL);
        (*codec)->unpack_end(NULL);
    }
}

/* ---- Room ---- */

static void a_stream_that_does_not_fit_is_refused(void **state) {
    (void)state;
    uint8_t *raw = block_of(64 * KIB);
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        for (int level = 1; level <= KM_CODEC_LEVEL_MAX; level += 2) {
            void *packer = NULL;
            assert_int_equal((*codec)->pack_begin(level, &packer), KM_CODEC_OK);
            for (contents kind = ZEROS; kind < KINDS; kind++) {
                fill(raw, 64 * KIB, kind, 7);
                /* Nothing makes random bytes, or anything else, as small as this. */
                size_t rooms[] = {0, 1, 8, 24, kind == RANDOM ? 64 * KIB : 32};
                for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
                    uint8_t *packed = block_of(rooms[i]);
                    size_t length = 12345;
                    assert_int_equal(
                        (*codec)->pack(packer, raw, 64 * KIB, packed, rooms[i], &length),
                        KM_CODEC_NO_ROOM);
                    assert_int_equal(length, 12345);
                    free(packed);
                }
                /* A state that has failed is as good as new. */
                comes_back(*codec, packer, raw, 64 * KIB);
            }
            (*codec)->pack_end(packer);
        }
    }
    free(raw);
}

/* ---- Damage ---- */

static size_t packed_by(const km_codec *codec, contents kind, uint8_t *raw, size_t raw_length,
                        uint8_t *packed, size_t room) {
    void *state = NULL;
    size_t length = 0;
    fill(raw, raw_length, kind, 99);
    assert_int_equal(codec->pack_begin(2, &state), KM_CODEC_OK);
    assert_int_equal(codec->pack(state, raw, raw_length, packed, room, &length), KM_CODEC_OK);
    codec->pack_end(state);
    return length;
}

/* From blocks of exactly these sizes. */
static km_codec_result unpack_exact(const km_codec *codec, void *state, const uint8_t *packed,
                                    size_t packed_length, size_t raw_length) {
    uint8_t *from = block_of(packed_length);
    uint8_t *to = block_of(raw_length);
    memcpy(from, packed, packed_length);
    km_codec_result result = codec->unpack(state, from, packed_length, to, raw_length);
    free(from);
    free(to);
    return result;
}

typedef void damage_test(const km_codec *codec, void *unpacker, uint8_t *packed,
                         size_t packed_length, size_t raw_length);

/* Each library's stream of each kind, damaged for each library. */
static void damage_everything(size_t raw_length, damage_test *test) {
    uint8_t *raw = block_of(raw_length);
    size_t room = ample(raw_length);
    uint8_t *packed = block_of(room + 64);
    for (const km_codec *const *packer = km_codecs(); *packer != NULL; packer++) {
        for (contents kind = ZEROS; kind < KINDS; kind++) {
            size_t length = packed_by(*packer, kind, raw, raw_length, packed, room);
            for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
                void *unpacker = NULL;
                assert_int_equal((*codec)->unpack_begin(&unpacker), KM_CODEC_OK);
                test(*codec, unpacker, packed, length, raw_length);
                /* A state that has met damage is as good as new. */
                assert_int_equal(unpack_exact(*codec, unpacker, packed, length, raw_length),
                                 KM_CODEC_OK);
                (*codec)->unpack_end(unpacker);
            }
        }
    }
    free(raw);
    free(packed);
}

static void truncate_it(const km_codec *codec, void *unpacker, uint8_t *packed,
                        size_t packed_length, size_t raw_length) {
    for (size_t length = 0; length < packed_length; length += length < 300 ? 1 : 97) {
        assert_int_equal(unpack_exact(codec, unpacker, packed, length, raw_length),
                         KM_CODEC_DAMAGED);
    }
}

static void a_truncated_stream_is_damaged(void **state) {
    (void)state;
    damage_everything(5000, truncate_it);
}

static void append_to_it(const km_codec *codec, void *unpacker, uint8_t *packed,
                         size_t packed_length, size_t raw_length) {
    static const uint8_t bytes[] = {0x00, 0x03, 0xFF};
    for (size_t i = 0; i < sizeof bytes; i++) {
        for (size_t more = 1; more <= 40; more++) {
            memset(packed + packed_length, bytes[i], more);
            assert_int_equal(
                unpack_exact(codec, unpacker, packed, packed_length + more, raw_length),
                KM_CODEC_DAMAGED);
        }
    }
}

static void bytes_after_the_end_are_damage(void **state) {
    (void)state;
    damage_everything(5000, append_to_it);
    damage_everything(0, append_to_it);
}

static void expect_another_length(const km_codec *codec, void *unpacker, uint8_t *packed,
                                  size_t packed_length, size_t raw_length) {
    const size_t wrong[] = {0,
                            1,
                            raw_length / 2,
                            raw_length - 258,
                            raw_length - 1,
                            raw_length + 1,
                            raw_length + 258,
                            raw_length * 2};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(unpack_exact(codec, unpacker, packed, packed_length, wrong[i]),
                         KM_CODEC_DAMAGED);
    }
}

static void another_raw_length_is_damage(void **state) {
    (void)state;
    damage_everything(5000, expect_another_length);
}

/* The stream may still be one, of other bytes: what must not happen is a step outside. */
static void flip_its_bits(const km_codec *codec, void *unpacker, uint8_t *packed,
                          size_t packed_length, size_t raw_length) {
    size_t refused = 0;
    for (size_t bit = 0; bit < packed_length * 8; bit += bit < 500 ? 1 : 101) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        km_codec_result result = unpack_exact(codec, unpacker, packed, packed_length, raw_length);
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(result == KM_CODEC_OK || result == KM_CODEC_DAMAGED);
        refused += result == KM_CODEC_DAMAGED;
    }
    assert_true(refused > 0);
}

static void flipped_bits_do_no_harm(void **state) {
    (void)state;
    damage_everything(3000, flip_its_bits);
}

static void noise_is_no_stream_of_a_given_length(void **state) {
    (void)state;
    uint32_t seed = 4;
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *unpacker = NULL;
        assert_int_equal((*codec)->unpack_begin(&unpacker), KM_CODEC_OK);
        for (unsigned i = 0; i < 2000; i++) {
            uint8_t noise[300];
            fill(noise, sizeof noise, RANDOM, next_random(&seed));
            /* Of the kinds of a first block only the type 11 is no kind; have all. */
            noise[0] = (uint8_t)((noise[0] & 0xF8) | (i & 7));
            assert_int_equal(unpack_exact(*codec, unpacker, noise, sizeof noise, 70001),
                             KM_CODEC_DAMAGED);
        }
        (*codec)->unpack_end(unpacker);
    }
}

static void a_match_before_the_beginning_is_damage(void **state) {
    (void)state;
    /* Fixed codes: the length 3 (0000001) at distance 1 (00000), then the end. */
    static const uint8_t stream[] = {0x03, 0x02, 0x00};
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        void *unpacker = NULL;
        assert_int_equal((*codec)->unpack_begin(&unpacker), KM_CODEC_OK);
        assert_int_equal(unpack_exact(*codec, unpacker, stream, sizeof stream, 3),
                         KM_CODEC_DAMAGED);
        (*codec)->unpack_end(unpacker);
    }
}

/* ---- Who serves ---- */

static void the_list_is_what_was_built_in(void **state) {
    (void)state;
    size_t expected = 0;
    const km_codec *const *codecs = km_codecs();
#if KM_WITH_ZLIB
    assert_string_equal(codecs[0]->name, "zlib");
    expected++;
#endif
#if KM_WITH_ISAL
    expected++;
#endif
#if KM_WITH_LIBDEFLATE
    expected++;
#endif
    for (size_t i = 0; i < expected; i++) {
        assert_non_null(codecs[i]);
    }
    assert_null(codecs[expected]);
}

static void each_level_is_served_if_anything_is_built_in(void **state) {
    (void)state;
    bool any = km_codecs()[0] != NULL;
    assert_int_equal(km_codec_default_level(), any ? 1 : 0);
    assert_int_equal(km_codec_for_unpacking() != NULL, any);
    for (int level = 1; level <= KM_CODEC_LEVEL_MAX; level++) {
        assert_int_equal(km_codec_for_level(level) != NULL, any);
    }
}

static size_t length_at(int level, const uint8_t *raw, size_t raw_length) {
    const km_codec *codec = km_codec_for_level(level);
    uint8_t *packed = block_of(raw_length);
    void *packer = NULL;
    size_t length = 0;
    assert_int_equal(codec->pack_begin(level, &packer), KM_CODEC_OK);
    assert_int_equal(codec->pack(packer, raw, raw_length, packed, raw_length, &length),
                     KM_CODEC_OK);
    codec->pack_end(packer);
    free(packed);
    return length;
}

static void the_highest_level_packs_best(void **state) {
    (void)state;
    if (km_codec_for_level(KM_CODEC_LEVEL_MAX) == NULL) {
        skip();
    }
    size_t raw_length = 256 * KIB;
    uint8_t *raw = block_of(raw_length);
    fill(raw, raw_length, TEXT, 3);
    size_t best = length_at(KM_CODEC_LEVEL_MAX, raw, raw_length);
    assert_true(best < length_at(1, raw, raw_length));
    for (int level = 2; level < KM_CODEC_LEVEL_MAX; level++) {
        assert_true(best <= length_at(level, raw, raw_length));
    }
    free(raw);
}

/* ---- CRC-32 ---- */

static uint32_t crc32_bit_by_bit(uint32_t crc, const uint8_t *bytes, size_t length) {
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
    }
    return ~crc;
}

static void is_crc32(uint32_t (*crc32)(uint32_t, const void *, size_t)) {
    assert_int_equal(crc32(0, "123456789", 9), 0xCBF43926u);
    assert_int_equal(crc32(0, NULL, 0), 0);
    assert_int_equal(crc32(0xCBF43926u, NULL, 0), 0xCBF43926u);

    enum { LONGEST = 300, ALIGNMENTS = 16 };
    uint8_t bytes[LONGEST + ALIGNMENTS];
    fill(bytes, sizeof bytes, RANDOM, 1);
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        for (size_t length = 0; length <= LONGEST; length++) {
            uint32_t sum = crc32_bit_by_bit(0, bytes + at, length);
            assert_int_equal(crc32(0, bytes + at, length), sum);
            uint32_t half = crc32(0, bytes + at, length / 2);
            assert_int_equal(crc32(half, bytes + at + length / 2, length - length / 2), sum);
        }
    }
    size_t large = MIB + 13;
    uint8_t *block = block_of(large);
    fill(block, large, BINARY, 2);
    assert_int_equal(crc32(0, block, large), crc32_bit_by_bit(0, block, large));
    free(block);
}

static void every_sum_is_gzips_crc32(void **state) {
    (void)state;
    is_crc32(km_crc32);
    is_crc32(km_crc32_plain);
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        is_crc32((*codec)->crc32);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_library_packs_all_unpack),
        cmocka_unit_test(the_largest_chunk_comes_back),
        cmocka_unit_test(an_empty_chunk_may_have_no_address),
        cmocka_unit_test(a_stream_that_does_not_fit_is_refused),
        cmocka_unit_test(a_truncated_stream_is_damaged),
        cmocka_unit_test(bytes_after_the_end_are_damage),
        cmocka_unit_test(another_raw_length_is_damage),
        cmocka_unit_test(flipped_bits_do_no_harm),
        cmocka_unit_test(noise_is_no_stream_of_a_given_length),
        cmocka_unit_test(a_match_before_the_beginning_is_damage),
        cmocka_unit_test(the_list_is_what_was_built_in),
        cmocka_unit_test(each_level_is_served_if_anything_is_built_in),
        cmocka_unit_test(the_highest_level_packs_best),
        cmocka_unit_test(every_sum_is_gzips_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
