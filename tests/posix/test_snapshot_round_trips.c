/*
 * test_snapshot_round_trips.c - what goes into a snapshot comes out of it: made data with sizes
 * around every boundary, and real data of this machine, by every way there and back, at all kinds
 * of levels and with few and many threads.
 *
 * Not under valgrind: so much packing takes it minutes. Not under tsan: likewise, and the threads
 * are those of test_snapshot, test_restore and test_verify.
 * With other codecs: whatever packs, the same comes back; where nothing does, levels are refused
 * and all that is stored makes every trip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/round_trip.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/tool.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const int32_t levels[] = {0, 1, 6, 9, KM_LEVEL_STORED};
static const uint32_t threads[] = {1, 2, 7};

/* ---- Made data ----------------------------------------------------------------------------- */

typedef struct contents {
    const char *name;
    void (*fill)(unsigned char *zeros, size_t size); /* NULL: they stay zeros */
} contents;

static void fill_text(unsigned char *zeros, size_t size) {
    snapshot_text(zeros, size, 1);
}

static void fill_noise(unsigned char *zeros, size_t size) {
    snapshot_noise(zeros, size, 2);
}

/* Lone bytes among zeros, the last one too. */
static void fill_odd_places(unsigned char *zeros, size_t size) {
    for (size_t at = 0; at < size; at += 40961) {
        zeros[at] = (unsigned char)(at >> 3 | 1);
    }
    if (size > 0) {
        zeros[size - 1] = 0xe7;
    }
}

/* Text, zeros and noise in turn, changing in the midst of chunks. */
static void fill_mixture(unsigned char *zeros, size_t size) {
    const size_t piece = 100 * KIB + 1;
    for (size_t at = 0; at < size; at += piece) {
        const size_t length = size - at < piece ? size - at : piece;
        if (at / piece % 3 == 0) {
            snapshot_text(zeros + at, length, (unsigned)at);
        } else if (at / piece % 3 == 2) {
            snapshot_noise(zeros + at, length, (unsigned)at);
        }
    }
}

static const contents kinds[] = {
    {"zeros", NULL},
    {"text", fill_text},
    {"noise", fill_noise},
    {"odd places", fill_odd_places},
    {"a mixture", fill_mixture},
};
static const contents mixture = {"a mixture", fill_mixture};

static unsigned char *make_contents(trip *one, const contents *kind, size_t size) {
    unsigned char *bytes = calloc(1, size + 1);
    assert_non_null(bytes);
    if (kind->fill != NULL) {
        kind->fill(bytes, size);
    }
    scratch_write("original", bytes, size);
    one->what = kind->name;
    one->bytes = bytes;
    one->size = size;
    one->path = "original";
    return bytes;
}

/* What goes with what is chosen as if by chance, the same way in every run. */
static size_t choose(uint32_t *seed, size_t count) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % count;
}

static void choose_threads(trip *one, uint32_t *seed) {
    one->there = threads[choose(seed, COUNT(threads))];
    one->back = threads[choose(seed, COUNT(threads))];
}

/* One way there, and some back. */
static void travel(trip *one, uint32_t *seed, unsigned ways_back) {
    if (!trip_can_pack(one->level)) {
        return;
    }
    choose_threads(one, seed);
    if (trip_there(one, choose(seed, trip_ways_there)) == NULL) {
        trip_there(one, 0);
    }
    for (unsigned i = 0; i < ways_back; i++) {
        trip_back(one, choose(seed, trip_ways_back));
    }
}

static void every_level_travels(trip *one, uint32_t *seed, unsigned ways_back) {
    for (size_t level = 0; level < COUNT(levels); level++) {
        one->level = levels[level];
        travel(one, seed, ways_back);
    }
}

/* Of every kind, at one level each. */
static void sizes_travel(size_t chunk, const size_t *sizes, size_t count) {
    uint32_t seed = (uint32_t)chunk;
    for (size_t i = 0; i < count * COUNT(kinds); i++) {
        trip one = {.chunk_size = (uint32_t)chunk};
        unsigned char *bytes =
            make_contents(&one, &kinds[i % COUNT(kinds)], sizes[i / COUNT(kinds)]);
        one.level = levels[choose(&seed, COUNT(levels))];
        travel(&one, &seed, 3);
        free(bytes);
    }
}

static void sizes_around_the_boundaries_of_small_chunks_come_back(void **state) {
    (void)state;
    const size_t chunk = 64 * KIB;
    const size_t sizes[] = {0,         1,
                            2,         12,
                            13,        4096,
                            chunk - 1, chunk,
                            chunk + 1, 2 * chunk - 1,
                            2 * chunk, 2 * chunk + 1};
    sizes_travel(chunk, sizes, COUNT(sizes));
    uint32_t seed = 3;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        trip one = {.chunk_size = (uint32_t)chunk};
        unsigned char *bytes = make_contents(&one, &mixture, sizes[i]);
        every_level_travels(&one, &seed, 3);
        free(bytes);
    }
}

static void sizes_around_the_boundaries_of_usual_chunks_come_back(void **state) {
    (void)state;
    const size_t chunk = 256 * KIB;
    const size_t sizes[] = {1,     65535,     65536,         65537,     chunk - 1,
                            chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1};
    sizes_travel(chunk, sizes, COUNT(sizes));
}

static void sizes_around_the_boundaries_of_the_largest_chunks_come_back(void **state) {
    (void)state;
    const size_t chunk = 16 * MIB;
    const size_t sizes[] = {chunk, chunk - 1, chunk + 1, 65537, 2 * chunk + 1};
    uint32_t seed = 16;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        trip one = {.chunk_size = (uint32_t)chunk};
        unsigned char *bytes = make_contents(&one, &mixture, sizes[i]);
        one.level = levels[i];
        travel(&one, &seed, 3);
        free(bytes);
    }
}

static void every_way_there_goes_with_every_way_back(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        trip one = {.chunk_size = 64 * KIB};
        unsigned char *bytes = make_contents(&one, &kinds[kind], 5 * (64 * KIB) + 77);
        choose_threads(&one, &seed);
        trip_every_way(&one);
        every_level_travels(&one, &seed, 3);
        free(bytes);
    }
}

static void levels_are_served_only_where_something_packs(void **state) {
    (void)state;
    trip one = {.chunk_size = 64 * KIB};
    unsigned char *bytes = make_contents(&one, &mixture, 300 * KIB);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, one.path, NULL), KM_OK);
    for (int32_t level = KM_LEVEL_STORED; level <= 9; level++) {
        const km_snapshot_options options = {.level = level, .flags = KM_SNAPSHOT_NO_SYNC};
        km_status expected = trip_can_pack(level) ? KM_OK : KM_E_UNSUPPORTED;
        assert_int_equal(km_snapshot(map, "level.gz", &options), expected);
        assert_int_equal(scratch_size("level.gz") >= 0, expected == KM_OK);
        if (expected == KM_OK) {
            scratch_remove("level.gz");
        }
    }
    assert_int_equal(km_close(map), KM_OK);
    free(bytes);
}

/* ---- Sparse files -------------------------------------------------------------------------- */

static void put(const trip *one, int file, unsigned char *bytes, size_t at, size_t length) {
    snapshot_noise(bytes + at, length, (unsigned)at);
    assert_true(at + length <= one->size);
    assert_int_equal(pwrite(file, bytes + at, length, (off_t)at), length);
}

static uint64_t disk_bytes(const char *path) {
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return (uint64_t)facts.st_blocks * 512;
}

static void sparse_files_come_back_with_their_holes(void **state) {
    (void)state;
    trip one = {
        .what = "a sparse file", .path = "sparse", .size = 8 * MIB + 5, .chunk_size = 256 * KIB};
    unsigned char *bytes = calloc(1, one.size);
    assert_non_null(bytes);
    one.bytes = bytes;
    int file = open(one.path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0 && ftruncate(file, (off_t)one.size) == 0);
    put(&one, file, bytes, 0, 1);
    put(&one, file, bytes, 3 * (256 * KIB) - 1, 2);
    put(&one, file, bytes, 3 * MIB + 4095, 300 * KIB);
    put(&one, file, bytes, 5 * MIB, 256 * KIB);
    put(&one, file, bytes, one.size - 1, 1);
    assert_int_equal(close(file), 0);

    trip_every_way(&one);
    const km_restore_options options = {.flags = KM_RESTORE_NO_SYNC};
    for (size_t way = 0; way < trip_ways_there; way++) {
        assert_int_equal(km_restore(trip_there(&one, way), "holes", &options), KM_OK);
        assert_true(scratch_equals("holes", bytes, one.size));
        assert_true(disk_bytes("holes") < 3 * MIB);
        scratch_remove("holes");
    }
    free(bytes);
}

/* ---- Real data ----------------------------------------------------------------------------- */

/* At every level; and every way back, once. */
static void real_data_travels(trip *one) {
    uint32_t seed = (uint32_t)one->size;
    every_level_travels(one, &seed, 1);
    one->level = 0;
    one->there = one->back = 0;
    trip_there(one, 0);
    trip_back_every_way(one);
}

/* The file becomes the original; the caller frees. */
static unsigned char *real_file(trip *one, const char *what, const char *path) {
    one->what = what;
    one->path = path;
    unsigned char *bytes = (unsigned char *)tool_load(path, &one->size);
    one->bytes = bytes;
    return bytes;
}

/* nftw has no argument of the caller's. */
static FILE *list;
static size_t listed;

static int list_file(const char *path, const struct stat *facts, int kind, struct FTW *where) {
    (void)where;
    const size_t most = 20 * MIB;
    if (kind == FTW_F && S_ISREG(facts->st_mode) && (size_t)facts->st_size < most / 4 &&
        access(path, R_OK) == 0 && strchr(path, '\n') == NULL) {
        fprintf(list, "%s\n", path);
        listed += (size_t)facts->st_size + 1024;
    }
    return listed >= most;
}

/* Some 20 MiB of /usr/share as a tar; false: there is no tar, or nothing to be put into it. */
static bool make_tar(const char *path) {
    const char *const words[] = {"/bin/sh", "-c",
                                 "exec tar -c -f \"$0\" -P --no-recursion -T tar-list", path, NULL};
    list = fopen("tar-list", "w");
    assert_non_null(list);
    listed = 0;
    (void)nftw("/usr/share", list_file, 16, FTW_PHYS);
    assert_int_equal(fclose(list), 0);
    /* Whatever it could not read, what it has made is data. */
    return tool_spawn(words, NULL, "tar-out", "tar-said") >= 0 && scratch_size(path) > (int64_t)MIB;
}

static void a_tar_of_usr_share_comes_back(void **state) {
    (void)state;
    if (!make_tar("share.tar")) {
        print_message("there is no tar, or nothing in /usr/share\n");
        skip();
    }
    trip one = {.chunk_size = KM_CHUNK_SIZE_DEFAULT};
    unsigned char *bytes = real_file(&one, "a tar of /usr/share", "share.tar");
    real_data_travels(&one);
    free(bytes);
    scratch_remove("share.tar");
}

static void a_program_travels(const char *what, const char *path, size_t chunk) {
    trip one = {.chunk_size = (uint32_t)chunk};
    unsigned char *bytes = real_file(&one, what, path);
    real_data_travels(&one);
    free(bytes);
}

static void programs_come_back(void **state) {
    (void)state;
    a_program_travels("this suite", "/proc/self/exe", 64 * KIB);
    a_program_travels("the shell", "/bin/sh", 64 * KIB);
    a_program_travels("the command", tool_path(), 1 * MIB);
}

/* ---- From snapshot to snapshot ------------------------------------------------------------- */

/* The bytes have changed: the file, and a snapshot since another. */
static void take_since(trip *one, const char *since, const char *path) {
    km_map *map = NULL;
    const km_snapshot_options options = {
        .since = since, .level = one->level, .flags = KM_SNAPSHOT_NO_SYNC, .threads = one->there};
    scratch_write(one->path, one->bytes, one->size);
    assert_int_equal(km_open(&map, one->path, NULL), KM_OK);
    assert_int_equal(km_snapshot(map, path, &options), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
    one->snapshot = path;
    one->way = "an earlier snapshot";
    trip_back_every_way(one);
}

static void what_changed_since_comes_back(void **state) {
    (void)state;
    trip one = {.chunk_size = 64 * KIB, .there = 2, .back = 2};
    const size_t whole = 700 * KIB + 3;
    unsigned char *bytes = make_contents(&one, &mixture, whole);
    const char *first = trip_there(&one, 0);

    snapshot_noise(bytes + 100 * KIB, 3, 9);
    memset(bytes + 256 * KIB, 0, 64 * KIB);
    take_since(&one, first, "since-1.gz");

    one.size = 500 * KIB + 1;
    one.level = KM_LEVEL_STORED;
    take_since(&one, "since-1.gz", "since-2.gz");

    one.size = whole;
    one.level = 0;
    take_since(&one, "since-2.gz", "since-3.gz");
    take_since(&one, first, "since-4.gz");
    free(bytes);
}

static void a_snapshot_of_an_opened_snapshot_is_the_same(void **state) {
    (void)state;
    trip one = {.chunk_size = 64 * KIB};
    unsigned char *bytes = make_contents(&one, &mixture, 900 * KIB + 7);
    const uint32_t flags[] = {0, KM_OPEN_SEQUENTIAL};
    for (size_t i = 0; i < COUNT(flags); i++) {
        km_map *map = NULL;
        const km_options as = {.flags = flags[i]};
        const km_snapshot_options again = {.flags = KM_SNAPSHOT_NO_SYNC | KM_SNAPSHOT_REPLACE,
                                           .threads = one.there};
        assert_int_equal(km_open_snapshot(&map, trip_there(&one, 0), &as), KM_OK);
        assert_int_equal(km_snapshot(map, "again.gz", &again), KM_OK);
        assert_int_equal(km_close(map), KM_OK);
        one.snapshot = "again.gz";
        trip_back_every_way(&one);
    }
    free(bytes);
}

/* That the ways back can tell. */
static void another_byte_is_a_difference(void **state) {
    (void)state;
    trip one = {.chunk_size = 64 * KIB};
    unsigned char *bytes = make_contents(&one, &mixture, 300 * KIB);
    const char *snapshot = trip_there(&one, 0);
    bytes[123457] ^= 1;
    scratch_write("other", bytes, one.size);
    km_diff_report report = {0};
    const km_diff_options options = {.unit = 1, .report = &report};
    assert_int_equal(km_diff("other", snapshot, &options), KM_OK);
    assert_int_equal(report.ranges, 1);
    assert_int_equal(report.changed, 1);
    const km_restore_options back = {.flags = KM_RESTORE_NO_SYNC};
    assert_int_equal(km_restore(snapshot, "told", &back), KM_OK);
    assert_false(scratch_equals("told", bytes, one.size));
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_around_the_boundaries_of_small_chunks_come_back),
        cmocka_unit_test(sizes_around_the_boundaries_of_usual_chunks_come_back),
        cmocka_unit_test(sizes_around_the_boundaries_of_the_largest_chunks_come_back),
        cmocka_unit_test(every_way_there_goes_with_every_way_back),
        cmocka_unit_test(levels_are_served_only_where_something_packs),
        cmocka_unit_test(sparse_files_come_back_with_their_holes),
        cmocka_unit_test(a_tar_of_usr_share_comes_back),
        cmocka_unit_test(programs_come_back),
        cmocka_unit_test(what_changed_since_comes_back),
        cmocka_unit_test(a_snapshot_of_an_opened_snapshot_is_the_same),
        cmocka_unit_test(another_byte_is_a_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
