/*
 * test_chunk.c - one chunk packed and unpacked: which form it takes, and that nothing passes which
 * is not exactly what was packed.
 *
 * Not under tsan: one thread does it all.
 * With other codecs: forms and refusals are the same whatever packs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunk.h"
#include "codec.h"
#include "stored.h"
#include "support/snapshot_builder.h"

#define CHUNK ((uint32_t)65536)

typedef struct packed_chunk {
    unsigned char *raw;
    unsigned char *packed; /* exactly as long as it is: a byte too far is seen by the sanitizers */
    km_format_entry entry;
} packed_chunk;

static const uint64_t some_seed = UINT64_C(0x0123456789abcdef);

static km_packer *packer_at(int level) {
    km_packer *packer = NULL;
    assert_int_equal(km_packer_make(level, &packer), KM_OK);
    return packer;
}

static km_unpacker *unpacker(void) {
    km_unpacker *made = NULL;
    assert_int_equal(km_unpacker_make(&made), KM_OK);
    return made;
}

static void *room_for(size_t size) {
    void *room = malloc(size != 0 ? size : 1);
    assert_non_null(room);
    return room;
}

/* Takes over `raw`. */
static packed_chunk pack(km_packer *packer, unsigned char *raw, uint32_t length) {
    packed_chunk chunk = {.raw = raw, .packed = room_for(km_format_packed_most(length))};
    assert_int_equal(km_pack(packer, raw, length, chunk.packed, &chunk.entry), KM_OK);
    assert_int_equal(chunk.entry.raw_length, length);
    assert_true(chunk.entry.packed_length <= km_format_packed_most(length));
    unsigned char *exact = realloc(chunk.packed, chunk.entry.packed_length);
    assert_non_null(exact);
    chunk.packed = exact;
    km_hash(raw, length, some_seed, chunk.entry.hash);
    return chunk;
}

static void drop(packed_chunk *chunk) {
    free(chunk->packed);
    free(chunk->raw);
}

static km_chunk_state unpack(const packed_chunk *chunk, const uint64_t *seed) {
    km_unpacker *one = unpacker();
    unsigned char *raw = room_for(chunk->entry.raw_length);
    memset(raw, 0xaa, chunk->entry.raw_length);
    const km_chunk_state result = km_unpack(one, &chunk->entry, chunk->packed, raw, seed);
    if (result == KM_CHUNK_GOOD && seed != NULL) {
        assert_memory_equal(raw, chunk->raw, chunk->entry.raw_length);
    }
    free(raw);
    km_unpacker_free(one);
    return result;
}

/* As if whoever changed the bytes had summed them anew. */
static void sum_anew(packed_chunk *chunk) {
    chunk->entry.sum = km_checksum(chunk->packed, chunk->entry.packed_length);
}

static unsigned char *text(uint32_t length) {
    unsigned char *bytes = room_for(length);
    snapshot_text(bytes, length, 5);
    return bytes;
}

static unsigned char *noise(uint32_t length) {
    unsigned char *bytes = room_for(length);
    snapshot_noise(bytes, length, 5);
    return bytes;
}

static unsigned char *zeros(uint32_t length) {
    unsigned char *bytes = calloc(1, length);
    assert_non_null(bytes);
    return bytes;
}

static bool can_pack(void) {
    return km_codecs()[0] != NULL;
}

static int some_level(void) {
    return can_pack() ? 1 : 0;
}

/* ---- Forms --------------------------------------------------------------------------------- */

static void what_is_packed_is_unpacked_at_all_levels(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 1, 2, 3, 100, 65534, 65535, 65536, 65537, 1000000};
    for (int level = 0; level <= (can_pack() ? 9 : 0); level++) {
        km_packer *packer = packer_at(level);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            packed_chunk one = pack(packer, text(lengths[i]), lengths[i]);
            packed_chunk other = pack(packer, noise(lengths[i]), lengths[i]);
            assert_int_equal(unpack(&one, &some_seed), KM_CHUNK_GOOD);
            assert_int_equal(unpack(&other, &some_seed), KM_CHUNK_GOOD);
            drop(&one);
            drop(&other);
        }
        km_packer_free(packer);
    }
}

static void zeros_have_their_own_form_unless_another_is_shorter(void **state) {
    (void)state;
    static const uint32_t lengths[] = {100, 1000, 65535, 65536, 65537, 1u << 18, 1u << 24};
    km_packer *packer = packer_at(some_level());
    packed_chunk one = pack(packer, zeros(1), 1);
    assert_int_not_equal(one.entry.flags, KM_CHUNK_ZEROS);
    assert_int_equal(unpack(&one, &some_seed), KM_CHUNK_GOOD);
    drop(&one);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        packed_chunk chunk = pack(packer, zeros(lengths[i]), lengths[i]);
        assert_int_equal(chunk.entry.flags, KM_CHUNK_ZEROS);
        assert_int_equal(unpack(&chunk, &some_seed), KM_CHUNK_GOOD);
        drop(&chunk);
    }
    km_packer_free(packer);
}

static void what_does_not_pack_is_stored(void **state) {
    (void)state;
    for (int level = 0; level <= some_level(); level++) {
        km_packer *packer = packer_at(level);
        packed_chunk chunk = pack(packer, noise(CHUNK), CHUNK);
        assert_int_equal(chunk.entry.flags, KM_CHUNK_STORED);
        assert_int_equal(chunk.entry.packed_length, km_format_packed_most(CHUNK));
        assert_int_equal(unpack(&chunk, &some_seed), KM_CHUNK_GOOD);
        drop(&chunk);
        packed_chunk empty = pack(packer, room_for(0), 0);
        static const uint8_t expected[] = {1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0};
        assert_int_equal(empty.entry.flags, KM_CHUNK_STORED);
        assert_int_equal(empty.entry.packed_length, sizeof expected);
        assert_memory_equal(empty.packed, expected, sizeof expected);
        assert_int_equal(unpack(&empty, &some_seed), KM_CHUNK_GOOD);
        drop(&empty);
        km_packer_free(packer);
    }
}

static void text_is_deflated_where_something_packs(void **state) {
    (void)state;
    km_packer *packer = packer_at(some_level());
    packed_chunk chunk = pack(packer, text(CHUNK), CHUNK);
    if (can_pack()) {
        assert_int_equal(chunk.entry.flags, 0);
        assert_true(chunk.entry.packed_length < CHUNK / 2);
    } else {
        assert_int_equal(chunk.entry.flags, KM_CHUNK_STORED);
    }
    drop(&chunk);
    km_packer_free(packer);
}

static void level_0_stores_text_but_knows_zeros(void **state) {
    (void)state;
    km_packer *packer = packer_at(0);
    packed_chunk words = pack(packer, text(CHUNK), CHUNK);
    packed_chunk nothing = pack(packer, zeros(CHUNK), CHUNK);
    assert_int_equal(words.entry.flags, KM_CHUNK_STORED);
    assert_int_equal(nothing.entry.flags, KM_CHUNK_ZEROS);
    drop(&words);
    drop(&nothing);
    km_packer_free(packer);
}

static void a_level_that_nothing_packs_at_is_unsupported(void **state) {
    (void)state;
    km_packer *packer = NULL;
    if (can_pack()) {
        assert_int_equal(km_packer_make(1, &packer), KM_OK);
        assert_non_null(packer);
    } else {
        assert_int_equal(km_packer_make(1, &packer), KM_E_UNSUPPORTED);
        assert_null(packer);
        assert_non_null(strstr(km_error_message(), "zlib"));
    }
    km_packer_free(packer);
}

static void one_packer_and_one_unpacker_serve_many_chunks(void **state) {
    (void)state;
    km_packer *packer = packer_at(some_level());
    km_unpacker *one = unpacker();
    unsigned char *raw = room_for(CHUNK);
    for (uint32_t i = 0; i < 60; i++) {
        const uint32_t length = CHUNK - i % 3 * 1000;
        const uint64_t seed = i % 2 != 0 ? some_seed : 7;
        packed_chunk chunk = pack(packer,
                                  i % 4 == 0   ? noise(length)
                                  : i % 4 == 1 ? text(length)
                                               : zeros(length),
                                  length);
        km_hash(chunk.raw, length, seed, chunk.entry.hash);
        memset(raw, 0x55, CHUNK);
        if (i % 5 == 0) { /* damage does not outlive its chunk */
            chunk.packed[2] ^= 1;
            sum_anew(&chunk);
            assert_int_not_equal(km_unpack(one, &chunk.entry, chunk.packed, raw, &seed),
                                 KM_CHUNK_GOOD);
            chunk.packed[2] ^= 1;
            sum_anew(&chunk);
        }
        assert_int_equal(km_unpack(one, &chunk.entry, chunk.packed, raw, &seed), KM_CHUNK_GOOD);
        assert_memory_equal(raw, chunk.raw, length);
        drop(&chunk);
    }
    free(raw);
    km_unpacker_free(one);
    km_packer_free(packer);
}

/* ---- Refusals ------------------------------------------------------------------------------ */

/* Small ones, one of each form. */
static packed_chunk chunk_of(unsigned form) {
    km_packer *packer = packer_at(form == KM_CHUNK_STORED ? 0 : some_level());
    packed_chunk chunk = pack(packer, form == KM_CHUNK_ZEROS ? zeros(9000) : text(2000),
                              form == KM_CHUNK_ZEROS ? 9000 : 2000);
    assert_int_equal(chunk.entry.flags, form);
    km_packer_free(packer);
    return chunk;
}

static size_t all_forms(unsigned forms[3]) {
    size_t count = 0;
    forms[count++] = KM_CHUNK_STORED;
    forms[count++] = KM_CHUNK_ZEROS;
    if (can_pack()) {
        forms[count++] = 0;
    }
    return count;
}

static void every_changed_bit_is_found_by_the_sum(void **state) {
    (void)state;
    unsigned forms[3];
    const size_t count = all_forms(forms);
    for (size_t i = 0; i < count; i++) {
        packed_chunk chunk = chunk_of(forms[i]);
        assert_int_equal(km_packed_check(&chunk.entry, chunk.packed), KM_CHUNK_GOOD);
        for (size_t bit = 0; bit < chunk.entry.packed_length * (size_t)8; bit++) {
            chunk.packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_int_equal(km_packed_check(&chunk.entry, chunk.packed), KM_CHUNK_BAD_SUM);
            chunk.packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        drop(&chunk);
    }
}

/* Canonical forms can be changed in no bit. Deflate has streams that differ and unpack alike. */
static void a_changed_bit_whose_sum_was_made_anew_changes_no_raw_byte(void **state) {
    (void)state;
    unsigned forms[3];
    const size_t count = all_forms(forms);
    for (size_t i = 0; i < count; i++) {
        packed_chunk chunk = chunk_of(forms[i]);
        for (size_t bit = 0; bit < chunk.entry.packed_length * (size_t)8; bit += 3) {
            chunk.packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
            sum_anew(&chunk);
            const km_chunk_state result = unpack(&chunk, &some_seed); /* compares, if good */
            if (forms[i] != 0) {
                assert_int_not_equal(result, KM_CHUNK_GOOD);
            }
            chunk.packed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        drop(&chunk);
    }
}

static void a_wrong_trailer_is_found(void **state) {
    (void)state;
    unsigned forms[3];
    const size_t count = all_forms(forms);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t back = 1; back <= KM_FORMAT_TRAILER_SIZE; back++) {
            packed_chunk chunk = chunk_of(forms[i]);
            chunk.packed[chunk.entry.packed_length - back] ^= 0x40;
            sum_anew(&chunk);
            assert_int_equal(unpack(&chunk, NULL),
                             forms[i] == KM_CHUNK_ZEROS ? KM_CHUNK_BAD_STREAM : KM_CHUNK_BAD_CRC);
            drop(&chunk);
        }
    }
}

static void a_wrong_hash_is_found_if_asked_for(void **state) {
    (void)state;
    unsigned forms[3];
    const size_t count = all_forms(forms);
    for (size_t i = 0; i < count; i++) {
        packed_chunk chunk = chunk_of(forms[i]);
        chunk.entry.hash[15] ^= 1;
        assert_int_equal(unpack(&chunk, &some_seed), KM_CHUNK_BAD_HASH);
        assert_int_equal(unpack(&chunk, NULL), KM_CHUNK_GOOD);
        drop(&chunk);
    }
}

static void a_form_that_the_flags_contradict_is_found(void **state) {
    (void)state;
    packed_chunk stored = chunk_of(KM_CHUNK_STORED);
    stored.entry.flags = KM_CHUNK_ZEROS;
    assert_int_equal(unpack(&stored, NULL), KM_CHUNK_BAD_STREAM);
    drop(&stored);
    packed_chunk nothing = chunk_of(KM_CHUNK_ZEROS);
    nothing.entry.flags = KM_CHUNK_STORED;
    assert_int_equal(unpack(&nothing, NULL), KM_CHUNK_BAD_STREAM);
    drop(&nothing);
}

/* Else a row of such, a few bytes each, costs 16 MiB each. */
static void what_only_says_that_it_is_zeros_is_refused_before_they_are_made(void **state) {
    (void)state;
    packed_chunk good = chunk_of(KM_CHUNK_ZEROS);
    packed_chunk said = chunk_of(KM_CHUNK_ZEROS);
    const uint32_t length = good.entry.raw_length;
    unsigned char *raw = room_for(length);
    km_unpacker *one = unpacker();
    said.entry.packed_length = KM_FORMAT_TRAILER_SIZE + 1;
    sum_anew(&said);
    assert_int_equal(km_unpack(one, &good.entry, good.packed, raw, NULL), KM_CHUNK_GOOD);
    memset(raw, 0xaa, length);
    assert_int_equal(km_unpack(one, &said.entry, said.packed, raw, NULL), KM_CHUNK_BAD_STREAM);
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(raw[i], 0xaa);
    }
    km_unpacker_free(one);
    free(raw);
    drop(&said);
    drop(&good);
}

static void a_deflated_chunk_needs_a_library(void **state) {
    (void)state;
    packed_chunk chunk = chunk_of(KM_CHUNK_ZEROS); /* which is deflate to whoever can read it */
    chunk.entry.flags = 0;
    assert_int_equal(unpack(&chunk, &some_seed), can_pack() ? KM_CHUNK_GOOD : KM_CHUNK_NO_CODEC);
    drop(&chunk);
}

static void lengths_that_the_stream_contradicts_are_found(void **state) {
    (void)state;
    unsigned forms[3];
    const size_t count = all_forms(forms);
    for (size_t i = 0; i < count; i++) {
        packed_chunk shorter = chunk_of(forms[i]);
        shorter.entry.raw_length--;
        assert_int_not_equal(unpack(&shorter, NULL), KM_CHUNK_GOOD);
        shorter.entry.raw_length += 2;
        assert_int_not_equal(unpack(&shorter, NULL), KM_CHUNK_GOOD);
        shorter.entry.raw_length--;
        shorter.entry.packed_length--;
        sum_anew(&shorter);
        assert_int_not_equal(unpack(&shorter, NULL), KM_CHUNK_GOOD);
        drop(&shorter);
    }
}

static void every_state_has_its_words(void **state) {
    (void)state;
    for (int one = KM_CHUNK_GOOD; one <= KM_CHUNK_NO_MEMORY; one++) {
        for (int other = KM_CHUNK_GOOD; other < one; other++) {
            assert_string_not_equal(km_chunk_state_text((km_chunk_state)one),
                                    km_chunk_state_text((km_chunk_state)other));
        }
    }
    assert_non_null(strstr(km_chunk_state_text(KM_CHUNK_NO_CODEC), "zlib"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_unpacked_at_all_levels),
        cmocka_unit_test(zeros_have_their_own_form_unless_another_is_shorter),
        cmocka_unit_test(what_does_not_pack_is_stored),
        cmocka_unit_test(text_is_deflated_where_something_packs),
        cmocka_unit_test(level_0_stores_text_but_knows_zeros),
        cmocka_unit_test(a_level_that_nothing_packs_at_is_unsupported),
        cmocka_unit_test(one_packer_and_one_unpacker_serve_many_chunks),
        cmocka_unit_test(every_changed_bit_is_found_by_the_sum),
        cmocka_unit_test(a_changed_bit_whose_sum_was_made_anew_changes_no_raw_byte),
        cmocka_unit_test(a_wrong_trailer_is_found),
        cmocka_unit_test(a_wrong_hash_is_found_if_asked_for),
        cmocka_unit_test(a_form_that_the_flags_contradict_is_found),
        cmocka_unit_test(what_only_says_that_it_is_zeros_is_refused_before_they_are_made),
        cmocka_unit_test(a_deflated_chunk_needs_a_library),
        cmocka_unit_test(lengths_that_the_stream_contradicts_are_found),
        cmocka_unit_test(every_state_has_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
