/*
 * test_snapshot_decoder.c - a second decoder of snapshots, made from snapshot_format.md alone. What
 * both it and keepmap read is what the description says.
 *
 * It shares no line with src/: XXH3 is xxhash.h's, inflate and CRC-32 are zlib's. Without zlib it
 * reads the stored form and that of zeros.
 *
 * With other codecs: whatever packs, the bytes are the description's.
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

#if KM_WITH_ZLIB
#include <zlib.h>
#endif

#include <keepmap.h>

#include "support/scratch.h"
#include "support/snapshot_builder.h"

/* ---- The decoder --------------------------------------------------------------------------- */

#define REFUSE_UNLESS(condition)                                                                   \
    if (!(condition))                                                                              \
    return false

typedef struct decoder {
    const uint8_t *bytes;
    size_t size;
    uint8_t shift, id[16];
    uint64_t total, chunks, seed, index, index_sum;
    uint8_t *image;
} decoder;

static uint64_t le(const uint8_t *from, int size) {
    uint64_t value = 0;
    while (size-- > 0) {
        value = value << 8 | from[size];
    }
    return value;
}

/* CRC-32 of RFC 1952, section 8, bit by bit. */
static uint32_t crc_of(const uint8_t *bytes, size_t length) {
#if KM_WITH_ZLIB
    return (uint32_t)crc32(0, bytes, (uInt)length);
#else
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length * 8; i++) {
        const uint32_t bit = (crc ^ bytes[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit != 0 ? 0xedb88320u : 0);
    }
    return ~crc;
#endif
}

/* gzip's head, the subfield, and its version and kind. `size` is up to the body. */
static bool check_head(const uint8_t *head, size_t size, uint8_t kind, uint8_t flags) {
    static const uint8_t start[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff};
    return memcmp(head, start, 10) == 0 && le(head + 10, 2) == size - 12 && head[12] == 'K' &&
           head[13] == 'M' && le(head + 14, 2) == size - 16 && head[16] == 1 && head[17] == kind &&
           head[18] == flags && head[19] == 0;
}

static bool check_sum(const uint8_t *member, size_t at) {
    return le(member + at, 8) == XXH3_64bits(member, at);
}

static bool check_empty(const uint8_t *body) {
    return body[0] == 3 && body[1] == 0 && le(body + 2, 8) == 0;
}

static bool read_stored(const uint8_t *body, size_t length, uint8_t *raw, size_t raw_length) {
    for (;;) {
        const size_t block = raw_length < 65535 ? raw_length : 65535;
        REFUSE_UNLESS(length >= 5 + block && body[0] == (block == raw_length));
        REFUSE_UNLESS(le(body + 1, 2) == block && le(body + 3, 2) == (block ^ 0xffff));
        memcpy(raw, body + 5, block);
        body += 5 + block;
        length -= 5 + block;
        raw += block;
        raw_length -= block;
        if (raw_length == 0) {
            return length == 0;
        }
    }
}

static bool read_deflated(const uint8_t *body, size_t length, uint8_t *raw, size_t raw_length) {
#if KM_WITH_ZLIB
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)body,
                       .avail_in = (uInt)length,
                       .avail_out = (uInt)raw_length};
    stream.next_out = raw;
    REFUSE_UNLESS(inflateInit2(&stream, -15) == Z_OK);
    const int result = inflate(&stream, Z_FINISH);
    (void)inflateEnd(&stream);
    return result == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
#else
    (void)body;
    (void)length;
    memset(raw, 0, raw_length);
    return false;
#endif
}

static bool read_footer(decoder *d) {
    REFUSE_UNLESS(d->size >= 98);
    const uint8_t *footer = d->bytes + d->size - 98;
    REFUSE_UNLESS(check_head(footer, 88, 3, 0) && check_sum(footer, 72));
    REFUSE_UNLESS(memcmp(footer + 80, "keepmap\x1a", 8) == 0 && check_empty(footer + 88));
    REFUSE_UNLESS(footer[21] == 1 && le(footer + 22, 2) == 0);
    d->shift = footer[20];
    d->total = le(footer + 24, 8);
    d->chunks = le(footer + 32, 8);
    d->index = le(footer + 40, 8);
    d->index_sum = le(footer + 48, 8);
    memcpy(d->id, footer + 56, 16);
    REFUSE_UNLESS(d->shift >= 16 && d->shift <= 24 && d->index < d->size);
    const uint64_t chunk_size = (uint64_t)1 << d->shift;
    return d->chunks == (d->total == 0 ? 1 : (d->total - 1) / chunk_size + 1);
}

static bool read_facts(decoder *d, const uint8_t *facts) {
    const uint64_t total = le(facts + 32, 8);
    d->seed = le(facts + 48, 8);
    return memcmp(facts, d->id, 16) == 0 && (total == d->total || total == UINT64_MAX) &&
           facts[56] == d->shift && facts[57] == 1 && facts[58] >= 1 && facts[58] <= 3 &&
           facts[59] <= 9;
}

/* The data member at `at`, which its entry describes; *at is then behind it. */
static bool read_chunk(decoder *d, uint64_t chunk, const uint8_t *entry, uint64_t *at) {
    const uint64_t packed = le(entry, 4), raw_length = le(entry + 4, 4);
    const uint8_t *head = d->bytes + *at, flags = entry[8];
    const size_t head_size = chunk == 0 ? 164 : 52;
    const uint64_t begin = chunk << d->shift, left = d->total - begin;
    uint8_t *raw = d->image + begin, hash[16];
    REFUSE_UNLESS(flags <= 2 && le(entry + 9, 3) == 0 && packed > 8);
    REFUSE_UNLESS(raw_length == (left >> d->shift != 0 ? (uint64_t)1 << d->shift : left));
    REFUSE_UNLESS(*at + head_size + packed <= d->index);
    REFUSE_UNLESS(check_head(head, head_size, 1, chunk == 0 ? flags | 4 : flags));
    REFUSE_UNLESS(le(head + 20, 4) == raw_length && le(head + 24, 8) == chunk);
    REFUSE_UNLESS(le(head + 32, 4) == packed && le(head + 36, 8) == le(entry + 12, 8));
    REFUSE_UNLESS(check_sum(head, head_size - 8) && (chunk > 0 || read_facts(d, head + 44)));
    const uint8_t *body = head + head_size, *trailer = body + packed - 8;
    REFUSE_UNLESS(XXH3_64bits(body, packed) == le(entry + 12, 8));
    if (flags == 1) {
        REFUSE_UNLESS(read_stored(body, packed - 8, raw, raw_length));
#if !KM_WITH_ZLIB
    } else if (flags == 2) {
        memset(raw, 0, raw_length);
#endif
    } else {
        REFUSE_UNLESS(read_deflated(body, packed - 8, raw, raw_length));
    }
    REFUSE_UNLESS(le(trailer, 4) == crc_of(raw, raw_length) && le(trailer + 4, 4) == raw_length);
    XXH128_canonicalFromHash((XXH128_canonical_t *)(void *)hash,
                             XXH3_128bits_withSeed(raw, raw_length, d->seed));
    *at += head_size + packed;
    return memcmp(hash, entry + 20, 16) == 0;
}

static bool read_all(decoder *d) {
    uint64_t at = 0, index = d->index;
    REFUSE_UNLESS(d->index_sum == XXH3_64bits(d->bytes + index, d->size - 98 - index));
    for (uint64_t chunk = 0; chunk < d->chunks; chunk += 454) {
        const uint8_t *member = d->bytes + index;
        const uint64_t left = d->chunks - chunk, n = left < 454 ? left : 454;
        REFUSE_UNLESS(index + 50 + 36 * n <= d->size - 98);
        REFUSE_UNLESS(check_head(member, 40 + 36 * n, 2, 0) && check_sum(member, 32 + 36 * n));
        REFUSE_UNLESS(le(member + 20, 4) == n && le(member + 24, 8) == chunk);
        REFUSE_UNLESS(check_empty(member + 40 + 36 * n));
        for (uint64_t i = 0; i < n; i++) {
            REFUSE_UNLESS(read_chunk(d, chunk + i, member + 32 + 36 * i, &at));
        }
        index += 50 + 36 * n;
    }
    return at == d->index && index == d->size - 98;
}

/* The image, malloc'ed; NULL: no snapshot. */
static uint8_t *decode(const uint8_t *bytes, size_t size, size_t *image_size) {
    decoder d = {.bytes = bytes, .size = size};
    if (!read_footer(&d)) {
        return NULL;
    }
    d.image = malloc((size_t)d.total + 1);
    if (d.image == NULL || !read_all(&d)) {
        free(d.image);
        return NULL;
    }
    *image_size = (size_t)d.total;
    return d.image;
}

/* ---- What it decodes ----------------------------------------------------------------------- */

#define CHUNK ((size_t)65536)

/* Text, a chunk of zeros, noise, text. */
static unsigned char *make_image(size_t size) {
    unsigned char *image = calloc(1, size + 1);
    assert_non_null(image);
    for (size_t at = 0; at < size; at += CHUNK) {
        const size_t length = size - at < CHUNK ? size - at : CHUNK;
        switch (at / CHUNK % 4) {
        case 1:
            break;
        case 2:
            snapshot_noise(image + at, length, (unsigned)at);
            break;
        default:
            snapshot_text(image + at, length, (unsigned)at);
        }
    }
    return image;
}

static void expect_decoded(const unsigned char *snapshot, size_t length, const unsigned char *image,
                           size_t size) {
    size_t decoded_size = 0;
    uint8_t *decoded = decode(snapshot, length, &decoded_size);
    assert_non_null(decoded);
    assert_int_equal(decoded_size, size);
    assert_memory_equal(decoded, image, size);
    free(decoded);
}

static const size_t sizes[] = {0,
                               1,
                               2,
                               65534,
                               65535,
                               65536,
                               65537,
                               100000,
                               2 * CHUNK - 1,
                               2 * CHUNK,
                               3 * CHUNK,
                               3 * CHUNK + 1,
                               5 * CHUNK + 77};

static void the_second_decoder_reads_what_the_library_packs(void **state) {
    (void)state;
    static const int levels[] = {0, 1, 6, 9};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *image = make_image(sizes[i]);
        for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++) {
            size_t length = 0;
            const snapshot_plan plan = {.level = levels[l],
                                        .id = (uint8_t)l,
                                        .seed = UINT64_C(0x123456789abcdef0) * l,
                                        .total_unknown = l % 2 != 0};
            unsigned char *snapshot = snapshot_build(image, sizes[i], &plan, &length);
            expect_decoded(snapshot, length, image, sizes[i]);
            free(snapshot);
        }
        free(image);
    }
}

static void it_reads_chunks_of_all_sizes(void **state) {
    (void)state;
    const size_t size = ((size_t)1 << 24) + 3 * CHUNK + 5;
    unsigned char *image = make_image(size);
    for (uint8_t shift = KM_CHUNK_SHIFT_MIN; shift <= KM_CHUNK_SHIFT_MAX; shift += 4) {
        size_t length = 0;
        const snapshot_plan plan = {.level = 1, .chunk_shift = shift};
        unsigned char *snapshot = snapshot_build(image, size, &plan, &length);
        expect_decoded(snapshot, length, image, size);
        free(snapshot);
    }
    free(image);
}

static void it_reads_an_index_of_several_members(void **state) {
    (void)state;
    const size_t size = 455 * CHUNK + 9;
    unsigned char *image = calloc(1, size);
    size_t length = 0;
    assert_non_null(image);
    snapshot_text(image + 454 * CHUNK, CHUNK, 3);
    unsigned char *snapshot = snapshot_build(image, size, NULL, &length);
    expect_decoded(snapshot, length, image, size);
    free(snapshot);
    free(image);
}

/* Else it would prove little that it reads anything at all. */
static void the_second_decoder_refuses_damage(void **state) {
    (void)state;
    size_t length = 0;
    size_t size = 0;
    unsigned char *image = make_image(CHUNK + 100);
    unsigned char *snapshot = snapshot_build(image, CHUNK + 100, NULL, &length);
    free(image);
    for (size_t at = 0; at < length; at += length / 400) {
        snapshot[at] ^= 0x10;
        assert_null(decode(snapshot, length, &size));
        snapshot[at] ^= 0x10;
    }
    assert_null(decode(snapshot, length - 1, &size));
    free(snapshot);
}

/* ---- What km_snapshot makes ---------------------------------------------------------------- */

static unsigned char *read_file(const char *path, size_t *length) {
    const int64_t size = scratch_size(path);
    km_map *map = NULL;
    assert_true(size > 0);
    unsigned char *bytes = malloc((size_t)size);
    assert_non_null(bytes);
    assert_int_equal(km_open(&map, path, NULL), KM_OK);
    memcpy(bytes, km_data(map), (size_t)size);
    km_close(map);
    *length = (size_t)size;
    return bytes;
}

static void the_second_decoder_reads_what_km_snapshot_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t length = 0;
        km_map *map = NULL;
        const km_snapshot_options options = {.flags = KM_SNAPSHOT_REPLACE,
                                             .chunk_size = (uint32_t)CHUNK};
        unsigned char *image = make_image(sizes[i]);
        scratch_write("image", image, sizes[i]);
        assert_int_equal(km_open(&map, "image", NULL), KM_OK);
        assert_int_equal(km_snapshot(map, "image.gz", &options), KM_OK);
        km_close(map);
        unsigned char *snapshot = read_file("image.gz", &length);
        expect_decoded(snapshot, length, image, sizes[i]);
        free(snapshot);
        free(image);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_decoder_reads_what_the_library_packs),
        cmocka_unit_test(it_reads_chunks_of_all_sizes),
        cmocka_unit_test(it_reads_an_index_of_several_members),
        cmocka_unit_test(the_second_decoder_refuses_damage),
        cmocka_unit_test(the_second_decoder_reads_what_km_snapshot_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
