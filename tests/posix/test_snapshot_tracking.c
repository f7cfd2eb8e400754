/*
 * test_snapshot_tracking.c - KM_SNAPSHOT_TRACK: what nobody has stored to is not read again, and
 * whatever could have let a store go by means that everything is.
 *
 * That a chunk was not read shows without looking at counters: its bytes in the file are changed
 * behind keepmap's back, which no tracker sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "platform.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK
#define CHUNKS 16u
#define SIZE (15 * CHUNK + 4100)

static const km_options sole = {.access = KM_WRITE, .flags = KM_OPEN_SOLE};
static const km_snapshot_options first = {.flags = KM_SNAPSHOT_TRACK | KM_SNAPSHOT_REPLACE,
                                          .chunk_size = CHUNK};

static km_snapshot_options next(const char *since) {
    km_snapshot_options options = {.flags = KM_SNAPSHOT_TRACK | KM_SNAPSHOT_REPLACE};
    options.since = since;
    return options;
}

static bool can_track(void) {
    km_tracker *tracker = NULL;
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 65536, NULL);
    void *memory = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    const bool can = km_platform_tracker_start(memory, 65536, &tracker) == ERROR_SUCCESS;
    km_platform_tracker_stop(tracker);
    UnmapViewOfFile(memory);
    CloseHandle(section);
    return can;
}

static km_map *tracked(const char *path, const char *snapshot) {
    image one = image_make("tr", SIZE);
    km_map *map = taken_map(&one, path, &sole);
    assert_int_equal(taken(map, snapshot, &first).unread_chunks, 0);
    image_free(&one);
    return map;
}

/* ---- What is not read ---------------------------------------------------------------------- */

static void what_nobody_has_touched_is_not_read(void **state) {
    (void)state;
    km_map *map = tracked("tracked", "tracked.gz");
    const km_snapshot_options how = next("tracked.gz");
    km_snapshot_report report = taken(map, "tracked.gz", &how);
    assert_int_equal(report.reused_chunks, CHUNKS);
    assert_int_equal(report.unread_chunks, CHUNKS);
    taken_holds("tracked.gz", km_data(map), SIZE);
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) { /* its last byte, one chunk after another */
        const size_t end = chunk < CHUNKS - 1 ? (chunk + 1) * CHUNK : SIZE;
        ((char *)km_data(map))[end - 1] ^= 1;
        report = taken(map, "tracked.gz", &how);
        assert_int_equal(report.unread_chunks, CHUNKS - 1);
        assert_int_equal(report.reused_chunks, CHUNKS - 1);
        taken_holds("tracked.gz", km_data(map), SIZE);
    }
    km_close(map);
}

static void it_is_truly_not_read(void **state) {
    (void)state;
    km_map *map = tracked("behind", "behind.gz");
    char *before = malloc(SIZE);
    assert_non_null(before);
    memcpy(before, km_data(map), SIZE);
    const int file = open("behind", O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "unseen", 6, 5 * CHUNK), 6);
    close(file);
    const km_snapshot_options how = next("behind.gz");
    assert_int_equal(taken(map, "behind 2.gz", &how).unread_chunks, CHUNKS);
    taken_holds("behind 2.gz", before, SIZE);
    /* To compare is to read. */
    km_snapshot_options compared = next("behind 2.gz");
    compared.flags |= KM_SNAPSHOT_COMPARE;
    const km_snapshot_report report = taken(map, "behind 3.gz", &compared);
    assert_int_equal(report.unread_chunks, 0);
    assert_int_equal(report.reused_chunks, CHUNKS - 1);
    taken_holds("behind 3.gz", km_data(map), SIZE);
    free(before);
    km_close(map);
}

static void what_the_library_and_the_kernel_store_is_seen(void **state) {
    (void)state;
    km_map *map = tracked("kernel", "kernel.gz");
    const km_snapshot_options how = next("kernel.gz");
    assert_int_equal(km_write(map, 3 * CHUNK - 2, "over", 4), KM_OK);
    assert_int_equal(taken(map, "kernel.gz", &how).unread_chunks, CHUNKS - 2);
    taken_holds("kernel.gz", km_data(map), SIZE);
    const int zeros = open("/dev/zero", O_RDONLY);
    assert_int_equal(read(zeros, (char *)km_data(map) + 7 * CHUNK, 10), 10);
    close(zeros);
    assert_int_equal(taken(map, "kernel.gz", &how).unread_chunks, CHUNKS - 1);
    taken_holds("kernel.gz", km_data(map), SIZE);
    km_close(map);
}

static bool store_meanwhile(uint64_t done, uint64_t total, void *arg) {
    (void)total;
    if (done == 0) {
        ((char *)arg)[4 * CHUNK] ^= 1;
    }
    return true;
}

static void a_store_while_it_is_read_is_in_this_one_or_in_the_next(void **state) {
    (void)state;
    km_map *map = tracked("meanwhile", "meanwhile.gz");
    for (int i = 0; i < 3; i++) {
        km_snapshot_options how = next("meanwhile.gz");
        how.progress = store_meanwhile;
        how.progress_arg = km_data(map);
        (void)taken(map, "meanwhile.gz", &how);
        how.progress = NULL;
        assert_true(taken(map, "meanwhile.gz", &how).unread_chunks < CHUNKS);
        taken_holds("meanwhile.gz", km_data(map), SIZE);
    }
    km_close(map);
}

static void tracking_goes_on_without_the_flag(void **state) {
    (void)state;
    km_map *map = tracked("goes on", "goes on.gz");
    km_snapshot_options how = next("goes on.gz");
    how.flags = KM_SNAPSHOT_REPLACE;
    for (int i = 0; i < 3; i++) {
        ((char *)km_data(map))[0] ^= 1;
        assert_int_equal(taken(map, "goes on.gz", &how).unread_chunks, CHUNKS - 1);
        taken_holds("goes on.gz", km_data(map), SIZE);
    }
    /* One that has nothing to do with it disturbs nothing. */
    ((char *)km_data(map))[0] ^= 1;
    (void)taken(map, "another.gz", NULL);
    assert_int_equal(taken(map, "goes on.gz", &how).unread_chunks, CHUNKS - 1);
    taken_holds("goes on.gz", km_data(map), SIZE);
    km_close(map);
}

/* ---- What lets it know nothing ------------------------------------------------------------- */

static void since_any_other_snapshot_all_is_read(void **state) {
    (void)state;
    km_map *map = tracked("other", "other 1.gz");
    ((char *)km_data(map))[0] ^= 1;
    (void)taken(map, "other 2.gz", &first); /* tracked from here on */
    ((char *)km_data(map))[CHUNK] ^= 1;
    const km_snapshot_options since_first = next("other 1.gz");
    const km_snapshot_report report = taken(map, "other 3.gz", &since_first);
    assert_int_equal(report.unread_chunks, 0);
    assert_int_equal(report.reused_chunks, CHUNKS - 2);
    taken_holds("other 3.gz", km_data(map), SIZE);
    const km_snapshot_options since_third = next("other 3.gz");
    assert_int_equal(taken(map, "other 4.gz", &since_third).unread_chunks, CHUNKS);
    km_close(map);
}

static bool stop_when_begun(uint64_t done, uint64_t total, void *arg) {
    (void)done;
    (void)total;
    (void)arg;
    return false;
}

static void after_a_snapshot_that_failed_all_is_read(void **state) {
    (void)state;
    km_map *map = tracked("cancelled", "cancelled.gz");
    ((char *)km_data(map))[2 * CHUNK] ^= 1;
    km_snapshot_options how = next("cancelled.gz");
    how.progress = stop_when_begun;
    taken_not(KM_E_CANCELLED, map, "cancelled.gz", &how);
    how.progress = NULL;
    km_snapshot_report report = taken(map, "cancelled.gz", &how);
    assert_int_equal(report.unread_chunks, 0);
    assert_int_equal(report.reused_chunks, CHUNKS - 1);
    taken_holds("cancelled.gz", km_data(map), SIZE);
    assert_int_equal(taken(map, "cancelled.gz", &how).unread_chunks, CHUNKS);
    km_close(map);
}

static void a_window_hides_stores_and_so_does_one_long_gone(void **state) {
    (void)state;
    km_map *map = tracked("window", "window.gz");
    const km_snapshot_options how = next("window.gz");
    km_map *window = NULL;
    assert_int_equal(km_window(&window, map, 6 * CHUNK, 10), KM_OK);
    ((char *)km_data(window))[0] ^= 1;
    assert_int_equal(taken(map, "window.gz", &how).unread_chunks, 0);
    taken_holds("window.gz", km_data(map), SIZE);
    /* While there is one nothing is tracked. */
    assert_int_equal(taken(map, "window.gz", &how).unread_chunks, 0);
    km_close(window);
    (void)taken(map, "window.gz", &how);
    assert_int_equal(taken(map, "window.gz", &how).unread_chunks, CHUNKS);
    assert_int_equal(km_window(&window, map, 6 * CHUNK, 10), KM_OK);
    ((char *)km_data(window))[0] ^= 1;
    km_close(window);
    assert_int_equal(taken(map, "window.gz", &how).unread_chunks, 0);
    taken_holds("window.gz", km_data(map), SIZE);
    km_close(map);
}

static void after_a_resize_all_is_read(void **state) {
    (void)state;
    static const uint64_t sizes[] = {SIZE - 4096, SIZE + 3 * CHUNK, SIZE};
    km_map *map = tracked("resized", "resized.gz");
    const km_snapshot_options how = next("resized.gz");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(km_resize(map, sizes[i]), KM_OK);
        assert_int_equal(taken(map, "resized.gz", &how).unread_chunks, 0);
        taken_holds("resized.gz", km_data(map), sizes[i]);
        const km_snapshot_report report = taken(map, "resized.gz", &how);
        assert_int_equal(report.unread_chunks, report.chunks);
    }
    km_close(map);
}

static void what_cannot_be_tracked_is_read(void **state) {
    (void)state;
    static const km_options untracked[] = {
        {.access = KM_WRITE},
        {.access = KM_READ, .flags = KM_OPEN_SOLE},
        {.access = KM_PRIVATE, .flags = KM_OPEN_SOLE},
        {.access = KM_WRITE, .flags = KM_OPEN_SOLE, .length = SIZE},
    };
    image one = image_make("tr", SIZE);
    for (size_t i = 0; i < sizeof untracked / sizeof untracked[0]; i++) {
        km_map *map = taken_map(&one, "untracked", &untracked[i]);
        (void)taken(map, "untracked.gz", &first);
        const km_snapshot_options how = next("untracked.gz");
        const km_snapshot_report report = taken(map, "untracked.gz", &how);
        assert_int_equal(report.unread_chunks, 0);
        assert_int_equal(report.reused_chunks, CHUNKS);
        taken_holds("untracked.gz", one.bytes, one.size);
        km_close(map);
    }
    image_free(&one);
    image nothing = image_make("t", 0);
    km_map *map = taken_map(&nothing, "empty", &sole);
    (void)taken(map, "empty.gz", &first);
    taken_holds("empty.gz", "", 0);
    km_close(map);
    image_free(&nothing);
}

static void after_a_fork_both_read_everything(void **state) {
    (void)state;
    km_map *map = tracked("forked", "forked.gz");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        km_snapshot_report report = {0};
        km_snapshot_options how = next("forked.gz");
        how.report = &report;
        const bool fine = km_snapshot(map, "child.gz", &how) == KM_OK &&
                          report.unread_chunks == 0 && km_close(map) == KM_OK;
        _exit(fine ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    taken_holds("child.gz", km_data(map), SIZE);
    const km_snapshot_options how = next("forked.gz");
    assert_int_equal(taken(map, "forked.gz", &how).unread_chunks, 0);
    km_close(map);
}

static void damage_in_what_is_not_read_is_found(void **state) {
    (void)state;
    km_map *map = tracked("damaged", "damaged.gz");
    image_damage("damaged.gz", image_member("damaged.gz", 3) + 100);
    const km_snapshot_options how = next("damaged.gz");
    taken_not(KM_E_CORRUPT, map, "damaged 2.gz", &how);
    assert_non_null(strstr(km_error_message(), "chunk 3"));
    km_close(map);
}

/* ---- Memory -------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURABLE false
#else
#define MEASURABLE true
#endif

static void memory_does_not_grow_with_the_file(void **state) {
    (void)state;
    if (!MEASURABLE) {
        skip();
    }
    const uint64_t size = (uint64_t)8 << 30;
    scratch_write("large", "", 0);
    if (truncate("large", (off_t)size) != 0) {
        skip(); /* a file system without room for it, or without holes */
    }
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "large", NULL), KM_OK);
    struct rusage before;
    struct rusage after;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    const km_snapshot_options how = {.threads = 4};
    assert_int_equal(taken(map, "large.gz", &how).zero_chunks, 32768);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10);
    print_message("%ld KiB more\n", after.ru_maxrss - before.ru_maxrss);
    km_close(map);
    scratch_remove("large");
    scratch_remove("large.gz");
}

int main(void) {
    const struct CMUnitTest anywhere[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_file), /* the first: it looks at a peak */
        cmocka_unit_test(what_cannot_be_tracked_is_read),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_has_touched_is_not_read),
        cmocka_unit_test(it_is_truly_not_read),
        cmocka_unit_test(what_the_library_and_the_kernel_store_is_seen),
        cmocka_unit_test(a_store_while_it_is_read_is_in_this_one_or_in_the_next),
        cmocka_unit_test(tracking_goes_on_without_the_flag),
        cmocka_unit_test(since_any_other_snapshot_all_is_read),
        cmocka_unit_test(after_a_snapshot_that_failed_all_is_read),
        cmocka_unit_test(a_window_hides_stores_and_so_does_one_long_gone),
        cmocka_unit_test(after_a_resize_all_is_read),
        cmocka_unit_test(after_a_fork_both_read_everything),
        cmocka_unit_test(damage_in_what_is_not_read_is_found),
    };
    const int failed = cmocka_run_group_tests(anywhere, NULL, NULL);
    if (!can_track()) {
        print_message("no tracker here: the rest is skipped\n");
        return failed;
    }
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
