/*
 * test_snapshot_lock.c - the lock under which a snapshot is read: a writer that keeps to it never
 * appears half.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>

#include "map.h"
#include "support/child.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"
#include "support/thread.h"
#include "support/unique.h"

#define CHUNK IMAGE_CHUNK
#define SIZE (8 * CHUNK)

/* A pair of counters, one at each end, which are equal whenever nobody holds the lock. */
#define OTHER_END (SIZE - sizeof(uint64_t))

static uint64_t *counter(km_map *map, size_t at) {
    return (uint64_t *)(void *)((char *)km_data(map) + at);
}

/* ---- The other process: opens KIND NAME, then does what it is told ---- */

static km_status open_shared(km_map **map, const char *kind, const char *name) {
    const km_options options = {.access = KM_WRITE};
    return strcmp(kind, "segment") == 0 ? km_segment(map, name, &options)
                                        : km_open(map, name, &options);
}

static int write_pairs(int argc, char **argv) {
    km_map *map = NULL;
    char line[64];
    if (argc != 3 || open_shared(&map, argv[1], argv[2]) != KM_OK) {
        child_say("%s", km_error_message());
        return 1;
    }
    child_say("open");
    while (child_hear(line, sizeof line)) {
        if (strcmp(line, "try") == 0) {
            const km_status status = km_lock(map, KM_LOCK_EXCLUSIVE, 0);
            if (status == KM_OK) {
                km_unlock(map);
            }
            child_say("%s", km_strerror(status));
        } else if (strcmp(line, "half") == 0) {
            child_say("%s", km_strerror(km_lock(map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER)));
            ++*counter(map, 0);
            child_say("half");
        } else if (strcmp(line, "whole") == 0) {
            ++*counter(map, OTHER_END);
            child_say("%s", km_strerror(km_unlock(map)));
        }
    }
    km_close(map);
    return 0;
}

static child *start_writer(const char *kind, const char *name) {
    child *writer = child_start("write_pairs", kind, name, NULL);
    child_expect(writer, "open");
    return writer;
}

static void store_half(child *writer) {
    child_tell(writer, "half");
    child_expect(writer, "KM_OK");
    child_expect(writer, "half");
}

static void store_rest(child *writer) {
    child_tell(writer, "whole");
    child_expect(writer, "KM_OK");
}

static void expect_lock(child *writer, const char *status) {
    child_tell(writer, "try");
    child_expect(writer, status);
}

/* ---- Here ---- */

static km_map *new_file(const char *path, km_access access) {
    image one = image_make("z", SIZE);
    const km_options options = {.access = access};
    km_map *map = taken_map(&one, path, &options);
    image_free(&one);
    return map;
}

static void pair_is(const char *path, uint64_t value) {
    unsigned char *expected = calloc(1, SIZE);
    assert_non_null(expected);
    memcpy(expected, &value, sizeof value);
    memcpy(expected + OTHER_END, &value, sizeof value);
    taken_holds(path, expected, SIZE);
    free(expected);
}

/* A snapshot in a thread of its own. */
typedef struct beside {
    km_map *map;
    const char *path;
    km_status status;
} beside;

static void take_beside(void *arg) {
    beside *one = arg;
    one->status = km_snapshot(one->map, one->path, &(km_snapshot_options){.chunk_size = CHUNK});
}

static void wait_for_the_whole(const char *kind, const char *name, km_map *map, const char *path) {
    child *writer = start_writer(kind, name);
    store_half(writer);
    taken_not(KM_E_TIMEOUT, map, path, &(km_snapshot_options){.timeout_ms = 20});
    beside one = {.map = map, .path = path, .status = KM_E_IO};
    thread *snapshot = thread_start(take_beside, &one);
    store_rest(writer);
    thread_join(snapshot);
    assert_int_equal(one.status, KM_OK);
    pair_is(path, 1);
    expect_lock(writer, "KM_OK"); /* it has been given back */
    assert_int_equal(child_finish(writer), 0);
}

static void a_writer_under_the_lock_never_appears_half(void **state) {
    (void)state;
    km_map *map = new_file("pairs", KM_WRITE);
    wait_for_the_whole("file", "pairs", map, "pairs.gz");
    km_close(map);
    map = NULL;
    assert_int_equal(km_open(&map, "pairs", NULL), KM_OK); /* who only reads waits too */
    child *writer = start_writer("file", "pairs");
    store_half(writer);
    taken_not(KM_E_TIMEOUT, map, "pairs 2.gz", &(km_snapshot_options){.timeout_ms = 20});
    store_rest(writer);
    (void)taken(map, "pairs 2.gz", NULL);
    pair_is("pairs 2.gz", 2);
    assert_int_equal(child_finish(writer), 0);
    km_close(map);
}

static void nor_does_one_in_a_segment(void **state) {
    (void)state;
    const char *name = unique_name("pairs");
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = SIZE};
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    wait_for_the_whole("segment", name, map, "segment pairs.gz");
    km_close(map);
}

typedef struct tries {
    child *writer;
    unsigned calls;
} tries;

static bool try_meanwhile(uint64_t done, uint64_t total, void *arg) {
    tries *meanwhile = arg;
    if (done < total) {
        expect_lock(meanwhile->writer, "KM_E_BUSY");
        meanwhile->calls++;
    }
    return true;
}

static void no_writer_gets_the_lock_while_it_is_read(void **state) {
    (void)state;
    km_map *map = new_file("held", KM_WRITE);
    tries meanwhile = {.writer = start_writer("file", "held")};
    const km_snapshot_options how = {
        .chunk_size = CHUNK, .threads = 1, .progress = try_meanwhile, .progress_arg = &meanwhile};
    (void)taken(map, "held.gz", &how);
    assert_true(meanwhile.calls > 0);
    expect_lock(meanwhile.writer, "KM_OK");
    assert_int_equal(child_finish(meanwhile.writer), 0);
    km_close(map);
}

static bool stop_at_once(uint64_t done, uint64_t total, void *arg) {
    (void)done;
    (void)total;
    (void)arg;
    return false;
}

static void the_lock_goes_after_a_failure_too(void **state) {
    (void)state;
    km_map *map = new_file("failed", KM_WRITE);
    child *writer = start_writer("file", "failed");
    taken_not(KM_E_CANCELLED, map, "failed.gz", &(km_snapshot_options){.progress = stop_at_once});
    expect_lock(writer, "KM_OK");
    assert_int_equal(child_finish(writer), 0);
    km_close(map);
}

static void who_waits_for_the_lock_can_be_cancelled(void **state) {
    (void)state;
    km_map *map = new_file("awaited", KM_WRITE);
    child *writer = start_writer("file", "awaited");
    store_half(writer);
    taken_not(KM_E_CANCELLED, map, "awaited.gz",
              &(km_snapshot_options){.timeout_ms = 60000, .progress = stop_at_once});
    assert_int_equal(km_unlock(map), KM_E_INVALID); /* it holds nothing */
    store_rest(writer);
    (void)taken(map, "awaited.gz", NULL);
    pair_is("awaited.gz", 1);
    assert_int_equal(child_finish(writer), 0);
    km_close(map);
}

static void a_lock_held_already_serves_and_stays(void **state) {
    (void)state;
    km_map *map = new_file("own", KM_WRITE);
    child *writer = start_writer("file", "own");
    static const km_lock_mode modes[] = {KM_LOCK_SHARED, KM_LOCK_EXCLUSIVE};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(km_lock(map, modes[i], 0), KM_OK);
        (void)taken(map, "own.gz",
                    &(km_snapshot_options){.flags = KM_SNAPSHOT_REPLACE, .timeout_ms = 1});
        expect_lock(writer, "KM_E_BUSY");
        assert_int_equal(km_unlock(map), KM_OK);
        expect_lock(writer, "KM_OK");
    }
    assert_int_equal(child_finish(writer), 0);
    km_close(map);
}

static void windows_private_maps_and_who_says_so_wait_for_nobody(void **state) {
    (void)state;
    km_map *map = new_file("unlocked", KM_WRITE);
    km_map *window = NULL;
    km_map *private_map = NULL;
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_int_equal(km_open(&private_map, "unlocked", &(km_options){.access = KM_PRIVATE}), KM_OK);
    child *writer = start_writer("file", "unlocked");
    store_half(writer);
    km_snapshot_options how = {.flags = KM_SNAPSHOT_REPLACE, .timeout_ms = 1};
    (void)taken(window, "unlocked.gz", &how);
    (void)taken(private_map, "unlocked.gz", &how);
    taken_not(KM_E_TIMEOUT, map, "unlocked.gz", &how);
    how.flags |= KM_SNAPSHOT_UNLOCKED;
    (void)taken(map, "unlocked.gz", &how);
    store_rest(writer);
    assert_int_equal(child_finish(writer), 0);
    km_close(private_map);
    km_close(window);
    km_close(map);
}

static void a_segment_whose_locker_died_has_to_be_repaired_first(void **state) {
    (void)state;
    const char *name = unique_name("died");
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = SIZE};
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    child *writer = start_writer("segment", name);
    store_half(writer);
    child_kill(writer);
    for (int i = 0; i < 2; i++) { /* each is told, and holds no lock afterwards */
        taken_not(KM_E_OWNER_DIED, map, "died.gz", NULL);
        assert_int_equal(km_unlock(map), KM_E_INVALID);
    }
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER), KM_E_OWNER_DIED);
    *counter(map, OTHER_END) = *counter(map, 0);
    assert_int_equal(km_unlock(map), KM_OK);
    (void)taken(map, "died.gz", NULL);
    pair_is("died.gz", 1);
    km_close(map);
}

/* ---- Beside the program's own lock of the same map ----------------------------------------- */

typedef struct locking {
    km_map *map;
    km_status status;
    thread *runs;
    km_status tried, unlocked; /* meanwhile */
} locking;

static void lock_exclusively(void *arg) {
    locking *one = arg;
    one->status = km_lock(one->map, KM_LOCK_EXCLUSIVE, KM_WAIT_FOREVER);
}

static void a_snapshot_waits_while_another_thread_waits_for_the_map_s_lock(void **state) {
    (void)state;
    km_map *map = new_file("beside", KM_WRITE);
    child *writer = start_writer("file", "beside");
    store_half(writer);
    locking one = {.map = map, .status = KM_E_IO};
    one.runs = thread_start(lock_exclusively, &one);
    while (atomic_load(&map->lock) != KM_LOCK_CHANGING) { /* until it waits */
    }
    taken_not(KM_E_TIMEOUT, map, "beside.gz", &(km_snapshot_options){.timeout_ms = 20});
    store_rest(writer);
    (void)taken(map, "beside.gz", NULL); /* under the lock that the thread gets, or its own */
    thread_join(one.runs);
    assert_int_equal(one.status, KM_OK);
    pair_is("beside.gz", 1);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(child_finish(writer), 0);
    km_close(map);
}

static bool lock_meanwhile(uint64_t done, uint64_t total, void *arg) {
    locking *one = arg;
    if (one->runs == NULL && done < total) {
        one->tried = km_lock(one->map, KM_LOCK_SHARED, 0);
        one->unlocked = km_unlock(one->map);
        one->runs = thread_start(lock_exclusively, one);
    }
    return true;
}

static void km_lock_waits_for_a_snapshot_of_the_same_map(void **state) {
    (void)state;
    km_map *map = new_file("awaiting", KM_WRITE);
    locking one = {.map = map, .status = KM_E_IO};
    const km_snapshot_options how = {
        .chunk_size = CHUNK, .progress = lock_meanwhile, .progress_arg = &one};
    (void)taken(map, "awaiting.gz", &how);
    thread_join(one.runs);
    assert_int_equal(one.tried, KM_E_BUSY);
    assert_int_equal(one.unlocked, KM_E_INVALID); /* the snapshot's lock is not the program's */
    assert_int_equal(one.status, KM_OK);
    assert_int_equal(km_unlock(map), KM_OK);
    km_close(map);
}

/* ---- Two of one map -------------------------------------------------------------------------- */

typedef struct nested {
    beside inner;
    child *writer;
    bool begun;
} nested;

/* While the outer snapshot is read the inner one begins and ends; the lock stays the outer's. */
static bool take_inside(uint64_t done, uint64_t total, void *arg) {
    nested *outer = arg;
    (void)done;
    (void)total;
    if (!outer->begun) {
        outer->begun = true;
        thread *inner = thread_start(take_beside, &outer->inner);
        thread_join(inner);
        expect_lock(outer->writer, "KM_E_BUSY");
    }
    return true;
}

static void two_snapshots_of_one_map_share_one_lock(void **state) {
    (void)state;
    km_map *map = new_file("two", KM_WRITE);
    nested outer = {.inner = {.map = map, .path = "inner.gz", .status = KM_E_IO},
                    .writer = start_writer("file", "two")};
    const km_snapshot_options how = {
        .chunk_size = CHUNK, .progress = take_inside, .progress_arg = &outer};
    (void)taken(map, "outer.gz", &how);
    assert_int_equal(outer.inner.status, KM_OK);
    pair_is("inner.gz", 0);
    pair_is("outer.gz", 0);
    expect_lock(outer.writer, "KM_OK");
    assert_int_equal(km_unlock(map), KM_E_INVALID);
    assert_int_equal(child_finish(outer.writer), 0);
    km_close(map);
}

static void two_that_begin_at_once_both_work(void **state) {
    (void)state;
    km_map *map = new_file("at once", KM_WRITE);
    for (int i = 0; i < 20; i++) {
        beside others[] = {{.map = map, .path = "at once 1.gz", .status = KM_E_IO},
                           {.map = map, .path = "at once 2.gz", .status = KM_E_IO}};
        thread *one = thread_start(take_beside, &others[0]);
        thread *other = thread_start(take_beside, &others[1]);
        thread_join(one);
        thread_join(other);
        assert_int_equal(others[0].status, KM_OK);
        assert_int_equal(others[1].status, KM_OK);
        assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_unlock(map), KM_OK);
        scratch_remove("at once 1.gz");
        scratch_remove("at once 2.gz");
    }
    km_close(map);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"write_pairs", write_pairs}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_under_the_lock_never_appears_half),
        cmocka_unit_test(nor_does_one_in_a_segment),
        cmocka_unit_test(no_writer_gets_the_lock_while_it_is_read),
        cmocka_unit_test(the_lock_goes_after_a_failure_too),
        cmocka_unit_test(who_waits_for_the_lock_can_be_cancelled),
        cmocka_unit_test(a_lock_held_already_serves_and_stays),
        cmocka_unit_test(windows_private_maps_and_who_says_so_wait_for_nobody),
        cmocka_unit_test(a_segment_whose_locker_died_has_to_be_repaired_first),
        cmocka_unit_test(a_snapshot_waits_while_another_thread_waits_for_the_map_s_lock),
        cmocka_unit_test(km_lock_waits_for_a_snapshot_of_the_same_map),
        cmocka_unit_test(two_snapshots_of_one_map_share_one_lock),
        cmocka_unit_test(two_that_begin_at_once_both_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
