/*
 * test_snapshot_since.c - km_snapshot with an earlier one: what is taken over as it is packed, what
 * is not, and what an earlier snapshot that is damaged does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "checksum.h"
#include "codec.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK
#define CHUNKS 11u
#define SIZE (10 * CHUNK + 999)

static const km_options to_write = {.access = KM_WRITE};

static km_snapshot_options since(const char *path) {
    return (km_snapshot_options){.flags = KM_SNAPSHOT_REPLACE, .since = path};
}

static void what_has_not_changed_is_taken_over_as_it_is_packed(void **state) {
    (void)state;
    image one = image_make("trz", SIZE);
    km_map *map = taken_map(&one, "same", NULL);
    (void)taken(map, "same 1.gz", NULL);
    const km_snapshot_options how = since("same 1.gz");
    const km_snapshot_report report = taken(map, "same 2.gz", &how);
    assert_int_equal(report.zero_chunks, 3);
    assert_int_equal(report.reused_chunks, CHUNKS - 3); /* zeros are made faster than copied */
    assert_int_equal(report.unread_chunks, 0);
    taken_holds("same 2.gz", one.bytes, one.size);
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        assert_true(taken_same_chunk("same 1.gz", "same 2.gz", chunk));
    }
    const km_reader first = taken_facts("same 1.gz");
    const km_reader second = taken_facts("same 2.gz");
    assert_memory_equal(second.facts.since, first.facts.id, KM_ID_SIZE);
    assert_memory_not_equal(second.facts.id, first.facts.id, KM_ID_SIZE);
    assert_int_equal(second.facts.seed, first.facts.seed);
    km_close(map);
    image_free(&one);
}

static void what_has_changed_is_packed_anew(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "changed", &to_write);
    (void)taken(map, "changed 1.gz", NULL);
    for (uint64_t chunk = 0; chunk < CHUNKS;
         chunk++) { /* the last byte of each, one after another */
        const size_t end = chunk < CHUNKS - 1 ? (chunk + 1) * CHUNK : SIZE;
        ((char *)km_data(map))[end - 1] ^= 1;
        const km_snapshot_options how = since("changed 1.gz");
        assert_int_equal(taken(map, "changed 2.gz", &how).reused_chunks, CHUNKS - 1 - chunk);
        taken_holds("changed 2.gz", km_data(map), SIZE);
    }
    km_close(map);
    image_free(&one);
}

static void a_file_that_grew_or_shrank_keeps_its_whole_chunks(void **state) {
    (void)state;
    static const size_t sizes[] = {0,        1,        CHUNK,      10 * CHUNK,
                                   SIZE - 1, SIZE + 1, 11 * CHUNK, 13 * CHUNK};
    static const uint64_t kept[] = {0, 0, 1, 10, 10, 10, 10, 10};
    image one = image_make("t", SIZE);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        km_map *map = taken_map(&one, "resized", &to_write);
        (void)taken(map, "resized 1.gz",
                    &(km_snapshot_options){.flags = KM_SNAPSHOT_REPLACE, .chunk_size = CHUNK});
        assert_int_equal(km_resize(map, sizes[i]), KM_OK);
        const km_snapshot_options how = since("resized 1.gz");
        assert_int_equal(taken(map, "resized 2.gz", &how).reused_chunks, kept[i]);
        taken_holds("resized 2.gz", km_data(map), sizes[i]);
        km_close(map);
    }
    image_free(&one);
}

static void an_empty_image_can_be_the_earlier_one(void **state) {
    (void)state;
    image nothing = image_make("t", 0);
    image one = image_make("t", CHUNK);
    km_map *map = taken_map(&nothing, "empty", NULL);
    (void)taken(map, "empty.gz", NULL);
    const km_snapshot_options how = since("empty.gz");
    assert_int_equal(taken(map, "empty 2.gz", &how).reused_chunks, 1);
    taken_holds("empty 2.gz", "", 0);
    km_close(map);
    map = taken_map(&one, "filled", NULL);
    assert_int_equal(taken(map, "filled.gz", &how).reused_chunks, 0);
    taken_holds("filled.gz", one.bytes, one.size);
    km_close(map);
    image_free(&one);
    image_free(&nothing);
}

static void it_may_be_replaced_by_its_successor(void **state) {
    (void)state;
    image one = image_make("tr", SIZE);
    km_map *map = taken_map(&one, "rolling", &to_write);
    (void)taken(map, "rolling.gz", NULL);
    const size_t entries = scratch_entries();
    for (unsigned i = 0; i < 3; i++) {
        const km_reader before = taken_facts("rolling.gz");
        const km_snapshot_options how = since("rolling.gz");
        ((char *)km_data(map))[i * CHUNK] ^= 1;
        assert_int_equal(taken(map, "rolling.gz", &how).reused_chunks, CHUNKS - 1);
        taken_holds("rolling.gz", km_data(map), SIZE);
        assert_memory_equal(taken_facts("rolling.gz").facts.since, before.facts.id, KM_ID_SIZE);
        assert_int_equal(scratch_entries(), entries);
    }
    const km_snapshot_options not_replacing = {.since = "rolling.gz"};
    taken_not(KM_E_EXISTS, map, "rolling.gz", &not_replacing);
    km_close(map);
    image_free(&one);
}

static void the_chunk_size_is_the_earlier_ones(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "sized", NULL);
    (void)taken(map, "sized 1.gz", &(km_snapshot_options){.chunk_size = 2 * CHUNK});
    const km_snapshot_options any = since("sized 1.gz");
    km_snapshot_options other = any;
    km_snapshot_options same = any;
    other.chunk_size = CHUNK;
    same.chunk_size = 2 * CHUNK;
    taken_not(KM_E_MISMATCH, map, "sized 2.gz", &other);
    assert_non_null(strstr(km_error_message(), "131072"));
    assert_non_null(strstr(km_error_message(), "65536"));
    assert_int_equal(taken(map, "sized 2.gz", &any).reused_chunks, 6);
    assert_int_equal(taken(map, "sized 2.gz", &same).reused_chunks, 6);
    km_close(map);
    image_free(&one);
}

static void another_level_takes_over_what_was_packed_at_the_first(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "leveled", &to_write);
    (void)taken(map, "leveled 1.gz", NULL);
    ((char *)km_data(map))[0] ^= 1;
    km_snapshot_options how = since("leveled 1.gz");
    how.level = KM_LEVEL_STORED;
    assert_int_equal(taken(map, "leveled 2.gz", &how).reused_chunks, CHUNKS - 1);
    assert_false(taken_same_chunk("leveled 1.gz", "leveled 2.gz", 0));
    assert_true(taken_same_chunk("leveled 1.gz", "leveled 2.gz", 1));
    assert_int_equal(taken_facts("leveled 2.gz").facts.level, 0);
    taken_holds("leveled 2.gz", km_data(map), SIZE);
    km_close(map);
    image_free(&one);
}

static void damage_is_found_where_it_would_be_taken_over(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "damage", &to_write);
    (void)taken(map, "damaged.gz", NULL);
    const km_snapshot_options how = since("damaged.gz");
    image_damage("damaged.gz", image_member("damaged.gz", 4) + 100);
    taken_not(KM_E_CORRUPT, map, "damage 2.gz", &how);
    assert_non_null(strstr(km_error_message(), "\"damaged.gz\""));
    assert_non_null(strstr(km_error_message(), "chunk 4"));
    /* What has changed is not taken over, so nobody looks. */
    ((char *)km_data(map))[4 * CHUNK] ^= 1;
    assert_int_equal(taken(map, "damage 2.gz", &how).reused_chunks, CHUNKS - 1);
    taken_holds("damage 2.gz", km_data(map), SIZE);
    km_close(map);
    image_free(&one);
}

static void one_that_is_no_whole_snapshot_is_refused(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "refuses", NULL);
    (void)taken(map, "whole.gz", NULL);
    const size_t size = (size_t)scratch_size("whole.gz");
    (void)taken(map, "footer.gz", NULL);
    image_damage("footer.gz", size - 50);
    (void)taken(map, "index.gz", NULL);
    image_damage("index.gz", image_member("index.gz", CHUNKS) + 40);
    scratch_file("none.gz", 5000, 1);
    static const char *const bad[] = {"footer.gz", "index.gz", "none.gz"};
    for (size_t i = 0; i < 3; i++) {
        const km_snapshot_options how = since(bad[i]);
        taken_not(KM_E_CORRUPT, map, "refused.gz", &how);
        assert_non_null(strstr(km_error_message(), bad[i]));
    }
    const km_snapshot_options missing = since("missing.gz");
    taken_not(KM_E_NOT_FOUND, map, "refused.gz", &missing);
    km_close(map);
    image_free(&one);
}

/* ---- Comparing ----------------------------------------------------------------------------- */

static void comparing_takes_over_what_is_the_same(void **state) {
    (void)state;
    image one = image_make("trz", SIZE);
    km_map *map = taken_map(&one, "compared", &to_write);
    (void)taken(map, "compared 1.gz", NULL);
    ((char *)km_data(map))[3 * CHUNK] ^= 1;
    km_snapshot_options how = since("compared 1.gz");
    how.flags |= KM_SNAPSHOT_COMPARE;
    assert_int_equal(taken(map, "compared 2.gz", &how).reused_chunks, CHUNKS - 3 - 1);
    taken_holds("compared 2.gz", km_data(map), SIZE);
    km_close(map);
    image_free(&one);
}

static void put64(unsigned char *to, uint64_t value) {
    for (unsigned i = 0; i < 8; i++) {
        to[i] = (unsigned char)(value >> 8 * i);
    }
}

/*
 * Who knows the seed can make two chunks with one hash: XXH3 multiplies the two halves of each 8
 * bytes, after mixing in a secret that follows from the seed, and adds up products and bytes. Where
 * a low half is just the secret's, the product is nothing whatever the high half is; and of two
 * such places in one lane, what one gains the other may lose.
 */
static void collide(unsigned char *one, unsigned char *other, uint64_t seed) {
    /* Lane 0 of the stripes at bytes 0 and 128: constants of the algorithm, plus the seed. */
    const uint64_t secret_0 = UINT64_C(0xbe4ba423396cfeb8) + seed;
    const uint64_t secret_2 = UINT64_C(0xdb979083e96dd4de) + seed;
    const uint64_t high = (uint64_t)1 << 40;
    put64(one, (secret_0 & UINT32_MAX) + 5 * high);
    put64(one + 128, (secret_2 & UINT32_MAX) + 9 * high);
    put64(other, (secret_0 & UINT32_MAX) + 6 * high);
    put64(other + 128, (secret_2 & UINT32_MAX) + 8 * high);
}

static void comparing_is_not_deceived_by_two_chunks_of_one_hash(void **state) {
    (void)state;
    image one = image_make("t", 2 * CHUNK);
    km_map *map = taken_map(&one, "deceived", &to_write);
    (void)taken(map, "seed.gz", NULL);
    const uint64_t seed = taken_facts("seed.gz").facts.seed;
    uint8_t hashes[2][KM_HASH_SIZE];
    unsigned char *chunk = malloc(CHUNK);
    assert_non_null(chunk);
    memcpy(chunk, one.bytes, CHUNK);
    collide(km_data(map), chunk, seed);
    km_hash(km_data(map), CHUNK, seed, hashes[0]);
    km_hash(chunk, CHUNK, seed, hashes[1]);
    assert_memory_not_equal(km_data(map), chunk, CHUNK);
    assert_memory_equal(hashes[0], hashes[1], KM_HASH_SIZE);

    km_snapshot_options how = since("seed.gz");
    (void)taken(map, "before.gz", &how);
    memcpy(km_data(map), chunk, CHUNK);
    how = since("before.gz");
    assert_int_equal(taken(map, "believed.gz", &how).reused_chunks, 2);
    how.flags |= KM_SNAPSHOT_COMPARE;
    assert_int_equal(taken(map, "compared.gz", &how).reused_chunks, 1);
    taken_holds("compared.gz", km_data(map), 2 * CHUNK);
    free(chunk);
    km_close(map);
    image_free(&one);
}

static void comparing_finds_damage(void **state) {
    (void)state;
    image one = image_make("t", SIZE);
    km_map *map = taken_map(&one, "found", NULL);
    (void)taken(map, "found 1.gz", NULL);
    image_damage("found 1.gz", image_member("found 1.gz", 2) + 100);
    km_snapshot_options how = since("found 1.gz");
    how.flags |= KM_SNAPSHOT_COMPARE;
    taken_not(KM_E_CORRUPT, map, "found 2.gz", &how);
    km_close(map);
    image_free(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_changed_is_taken_over_as_it_is_packed),
        cmocka_unit_test(what_has_changed_is_packed_anew),
        cmocka_unit_test(a_file_that_grew_or_shrank_keeps_its_whole_chunks),
        cmocka_unit_test(an_empty_image_can_be_the_earlier_one),
        cmocka_unit_test(it_may_be_replaced_by_its_successor),
        cmocka_unit_test(the_chunk_size_is_the_earlier_ones),
        cmocka_unit_test(another_level_takes_over_what_was_packed_at_the_first),
        cmocka_unit_test(damage_is_found_where_it_would_be_taken_over),
        cmocka_unit_test(one_that_is_no_whole_snapshot_is_refused),
        cmocka_unit_test(comparing_takes_over_what_is_the_same),
        cmocka_unit_test(comparing_is_not_deceived_by_two_chunks_of_one_hash),
        cmocka_unit_test(comparing_finds_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
