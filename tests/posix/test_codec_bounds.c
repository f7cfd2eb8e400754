/*
 * test_codec_bounds.c - no library reads or writes a byte outside what it was given.
 *
 * The libraries' own code is not instrumented by any sanitizer, so their blocks lie against pages
 * that nobody may touch, with the end and with the beginning. One step outside ends the suite.
 *
 * Not under valgrind: it only makes it a minute long; the pages are watched by the kernel.
 * Not under tsan: one thread does it all.
 * With other codecs: what is built in differs, what holds does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec.h"
#include "stored.h"

#define ROOM ((size_t)320 << 10)

/* Between two pages that may not be touched: ROOM bytes. */
typedef struct fenced {
    uint8_t *bytes;
} fenced;

static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static fenced fence(void) {
    size_t page = page_size();
    uint8_t *all = mmap(NULL, ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(all != MAP_FAILED);
    assert_int_equal(mprotect(all + page, ROOM, PROT_READ | PROT_WRITE), 0);
    return (fenced){all + page};
}

static void unfence(fenced block) {
    munmap(block.bytes - page_size(), ROOM + 2 * page_size());
}

typedef enum side {
    BEGINNING,
    END,
} side;

static uint8_t *against(fenced block, side at, size_t length) {
    return at == BEGINNING ? block.bytes : block.bytes + ROOM - length;
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Runs of few values, or noise. */
static void fill(uint8_t *to, size_t length, bool noise) {
    uint32_t seed = (uint32_t)length;
    for (size_t i = 0; i < length; i++) {
        uint32_t chance = next_random(&seed);
        to[i] = noise ? (uint8_t)chance : (uint8_t)(chance % 13 == 0 ? chance >> 8 & 3 : i & 7);
    }
}

typedef struct fences {
    fenced raw;
    fenced packed;
    fenced back;
} fences;

static void damage_and_unpack(const km_codec *codec, void *unpacker, uint8_t *packed,
                              size_t packed_length, uint8_t *back, size_t raw_length) {
    for (size_t bit = 0; bit < packed_length * 8; bit += bit < 200 ? 1 : 1 + packed_length / 8) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        km_codec_result result = codec->unpack(unpacker, packed, packed_length, back, raw_length);
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(result == KM_CODEC_OK || result == KM_CODEC_DAMAGED);
    }
    if (raw_length > 0) {
        assert_int_equal(codec->unpack(unpacker, packed, packed_length, back, raw_length - 1),
                         KM_CODEC_DAMAGED);
    }
}

static void stay_inside(const km_codec *codec, void *packer, void *unpacker, const fences *all,
                        side at, size_t raw_length) {
    const uint8_t *raw = against(all->raw, at, raw_length);
    uint8_t *back = against(all->back, at, raw_length);
    size_t room = km_stored_length(raw_length);
    size_t length = 0;
    uint8_t *packed = against(all->packed, at, room);
    if (codec->pack(packer, raw, raw_length, packed, room, &length) != KM_CODEC_OK) {
        return;
    }
    uint8_t *exact = against(all->packed, at, length);
    memmove(exact, packed, length);
    assert_int_equal(codec->unpack(unpacker, exact, length, back, raw_length), KM_CODEC_OK);
    assert_memory_equal(back, raw, raw_length);
    damage_and_unpack(codec, unpacker, exact, length, back, raw_length);
    /* With just the room it takes, or a little less. */
    for (size_t less = 0; less < 12 && less <= length; less += raw_length > 5000 ? 11 : 1) {
        size_t again = 0;
        codec->pack(packer, raw, raw_length, against(all->packed, at, length - less), length - less,
                    &again);
        assert_in_range(again, 0, length - less);
    }
}

static void all_sizes_stay_inside(const km_codec *codec, int level, const fences *all) {
    static const size_t sizes[] = {
        0,   1,   2,   3,   7,   8,   9,   15,   16,   17,   31,    32,    33,    63,    64,    65,
        257, 258, 259, 260, 300, 511, 513, 4095, 4096, 4097, 32767, 32768, 32769, 65537, 262144};
    void *packer = NULL;
    void *unpacker = NULL;
    assert_int_equal(codec->pack_begin(level, &packer), KM_CODEC_OK);
    assert_int_equal(codec->unpack_begin(&unpacker), KM_CODEC_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (side at = BEGINNING; at <= END; at++) {
            for (int noise = 0; noise < 2; noise++) {
                fill(against(all->raw, at, sizes[i]), sizes[i], noise);
                stay_inside(codec, packer, unpacker, all, at, sizes[i]);
            }
        }
    }
    codec->pack_end(packer);
    codec->unpack_end(unpacker);
}

static void packing_and_unpacking_stay_inside(void **state) {
    (void)state;
    fences all = {fence(), fence(), fence()};
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        all_sizes_stay_inside(*codec, 1, &all);
        all_sizes_stay_inside(*codec, 2, &all);
        all_sizes_stay_inside(*codec, 3, &all);
        all_sizes_stay_inside(*codec, KM_CODEC_LEVEL_MAX, &all);
    }
    unfence(all.raw);
    unfence(all.packed);
    unfence(all.back);
}

static void sums_stay_inside(void **state) {
    (void)state;
    fenced block = fence();
    fill(block.bytes, ROOM, true);
    for (size_t length = 0; length <= 1200; length++) {
        for (side at = BEGINNING; at <= END; at++) {
            const uint8_t *bytes = against(block, at, length);
            uint32_t sum = km_crc32_plain(0, bytes, length);
            assert_int_equal(km_crc32(0, bytes, length), sum);
            for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
                assert_int_equal((*codec)->crc32(0, bytes, length), sum);
            }
        }
    }
    unfence(block);
}

static void zeros_are_looked_for_inside(void **state) {
    (void)state;
    fenced block = fence();
    for (size_t length = 0; length <= 1200; length++) {
        assert_true(km_zeros_are(against(block, BEGINNING, length), length));
        assert_true(km_zeros_are(against(block, END, length), length));
    }
    unfence(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_and_unpacking_stay_inside),
        cmocka_unit_test(sums_stay_inside),
        cmocka_unit_test(zeros_are_looked_for_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
