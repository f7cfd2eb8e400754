/*
 * test_snapshot_fork.c - snapshots made by a forked child of its parent's maps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK
#define SIZE (4 * CHUNK)

/* What is too long for a test that works, and short enough for one that fails. */
#define SHORT_MS 50

static km_map *new_map(const char *path, uint32_t flags) {
    image one = image_make("tr", SIZE);
    const km_options options = {.access = KM_WRITE, .flags = flags};
    km_map *map = taken_map(&one, path, &options);
    image_free(&one);
    return map;
}

/* A child that does `part` once it is told to; its two pipes. */
typedef struct offspring {
    pid_t pid;
    int tell, hear;
} offspring;

static void tell(int to) {
    assert_int_equal(write(to, "!", 1), 1);
}

static bool hear(int from) {
    char byte = 0;
    return read(from, &byte, 1) == 1;
}

/* `part` is given what it is told through, and what it answers by. */
static offspring fork_off(bool (*part)(km_map *map, int told, int answer), km_map *map) {
    int down[2];
    int up[2];
    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(down[1]);
        close(up[0]);
        _exit(part(map, down[0], up[1]) ? 0 : 1);
    }
    close(down[0]);
    close(up[1]);
    return (offspring){.pid = pid, .tell = down[1], .hear = up[0]};
}

static bool went_well(const offspring *child) {
    int status = 0;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->tell);
    close(child->hear);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- The lock ------------------------------------------------------------------------------ */

static bool is_kept_waiting(km_map *map, int told, int answer) {
    const km_snapshot_options how = {.timeout_ms = SHORT_MS};
    (void)answer;
    return hear(told) && km_snapshot(map, "waiting.gz", &how) == KM_E_TIMEOUT;
}

static void a_child_s_snapshot_waits_for_its_parent_s_lock(void **state) {
    (void)state;
    km_map *map = new_map("waiting", 0);
    km_map *other = NULL;
    assert_int_equal(km_open(&other, "waiting", NULL), KM_OK);
    offspring child = fork_off(is_kept_waiting, map);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    tell(child.tell);
    assert_true(went_well(&child));
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY); /* nor has it let others in */
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    km_close(other);
    km_close(map);
}

/* ---- Forked in the midst of one ------------------------------------------------------------ */

typedef struct in_the_midst {
    km_map *map;
    offspring child;
    bool forked;
} in_the_midst;

static bool knows_that_it_cannot_lock(km_map *map, int told, int answer) {
    (void)answer;
    return hear(told) && km_snapshot(map, "midst 2.gz", NULL) == KM_E_INVALID &&
           km_lock(map, KM_LOCK_SHARED, SHORT_MS) == KM_E_INVALID &&
           km_unlock(map) == KM_E_INVALID &&
           km_snapshot(map, "midst 2.gz", &(km_snapshot_options){.flags = KM_SNAPSHOT_UNLOCKED}) ==
               KM_OK &&
           km_close(map) == KM_OK;
}

static bool fork_once(uint64_t done, uint64_t total, void *arg) {
    in_the_midst *midst = arg;
    (void)total;
    if (done > 0 && !midst->forked) {
        midst->forked = true;
        midst->child = fork_off(knows_that_it_cannot_lock, midst->map);
    }
    return true;
}

static void a_child_forked_during_a_snapshot_does_not_take_its_lock_for_its_own(void **state) {
    (void)state;
    km_map *map = new_map("midst", 0);
    in_the_midst midst = {.map = map};
    const km_snapshot_options how = {
        .chunk_size = CHUNK, .threads = 1, .progress = fork_once, .progress_arg = &midst};
    (void)taken(map, "midst.gz", &how);
    assert_true(midst.forked);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    tell(midst.child.tell);
    assert_true(went_well(&midst.child));
    taken_holds("midst 2.gz", km_data(map), SIZE);
    assert_int_equal(km_unlock(map), KM_OK);
    km_close(map);
}

/* ---- Tracking ------------------------------------------------------------------------------ */

static bool reads_all_again(km_map *map, int told, int answer) {
    km_snapshot_report report = {0};
    km_snapshot_options how = {
        .flags = KM_SNAPSHOT_TRACK | KM_SNAPSHOT_REPLACE, .chunk_size = CHUNK, .report = &report};
    if (km_snapshot(map, "tracked.gz", &how) != KM_OK) {
        return false;
    }
    tell(answer);
    how.since = "tracked.gz";
    return hear(told) && km_snapshot(map, "tracked.gz", &how) == KM_OK && report.unread_chunks == 0;
}

static void a_child_does_not_track_what_its_parent_stores_too(void **state) {
    (void)state;
    km_map *map = new_map("tracked", KM_OPEN_SOLE);
    offspring child = fork_off(reads_all_again, map);
    assert_true(hear(child.hear));
    ((char *)km_data(map))[2 * CHUNK] ^= 1;
    tell(child.tell);
    assert_true(went_well(&child));
    taken_holds("tracked.gz", km_data(map), SIZE);
    km_close(map);
}

static bool stores_and_ends(km_map *map, int told, int answer) {
    (void)answer;
    ((char *)km_data(map))[CHUNK + 7] ^= 1;
    return hear(told);
}

static void after_a_fork_what_a_child_stores_is_found_by_reading(void **state) {
    (void)state;
    km_map *map = new_map("shared", KM_OPEN_SOLE);
    km_snapshot_options how = {.flags = KM_SNAPSHOT_TRACK | KM_SNAPSHOT_REPLACE,
                               .chunk_size = CHUNK};
    (void)taken(map, "shared.gz", &how);
    how.since = "shared.gz";
    for (int i = 0; i < 2; i++) {
        offspring child = fork_off(stores_and_ends, map);
        tell(child.tell);
        assert_true(went_well(&child));
        (void)taken(map, "shared.gz", &how);
        taken_holds("shared.gz", km_data(map), SIZE);
    }
    km_close(map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_s_snapshot_waits_for_its_parent_s_lock),
        cmocka_unit_test(a_child_forked_during_a_snapshot_does_not_take_its_lock_for_its_own),
        cmocka_unit_test(a_child_does_not_track_what_its_parent_stores_too),
        cmocka_unit_test(after_a_fork_what_a_child_stores_is_found_by_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
