/*
 * test_map_fork.c - maps and their locks in a forked child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/scratch.h"

static km_map *open_map(const char *path, km_access access) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, &(km_options){.access = access}), KM_OK);
    return map;
}

/* Runs `part` in a forked child, which is done when this returns; true if `part` said so. */
static bool in_child(bool (*part)(km_map *map), km_map *map) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(part(map) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool store_and_close(km_map *map) {
    bool stored =
        km_write(map, 0, "child", 5) == KM_OK && km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_OK;
    return km_close(map) == KM_OK && stored;
}

static void a_child_s_stores_are_in_its_parent_s_map(void **state) {
    (void)state;
    scratch_file("shared", 1000, 1);
    km_map *map = open_map("shared", KM_WRITE);
    assert_true(in_child(store_and_close, map));
    assert_memory_equal(km_data(map), "child", 5);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
}

static void a_child_s_private_stores_are_its_own(void **state) {
    (void)state;
    scratch_file("private", 1000, 2);
    km_map *map = open_map("private", KM_PRIVATE);
    memcpy(km_data(map), "ours!", 5);
    assert_true(in_child(store_and_close, map));
    assert_memory_equal(km_data(map), "ours!", 5);
    assert_int_equal(km_close(map), KM_OK);
}

static bool close_only(km_map *map) {
    return km_close(map) == KM_OK;
}

static void a_child_that_closes_a_map_with_windows_leaves_the_lock_to_its_parent(void **state) {
    (void)state;
    scratch_file("windows", 1000, 6);
    km_map *map = open_map("windows", KM_WRITE);
    km_map *window = NULL;
    km_map *other = open_map("windows", KM_WRITE);
    assert_int_equal(km_window(&window, map, 0, 0), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_true(in_child(close_only, map));
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
    assert_int_equal(km_close(map), KM_OK); /* ours frees it, though the window lives on */
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    km_close(window);
    km_close(other);
}

static bool unlock(km_map *map) {
    return km_unlock(map) == KM_OK;
}

static void a_child_that_closes_leaves_the_lock_to_its_parent(void **state) {
    (void)state;
    scratch_file("closed", 1000, 3);
    km_map *map = open_map("closed", KM_WRITE);
    km_map *other = open_map("closed", KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_true(in_child(close_only, map));
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    km_close(other);
    km_close(map);
}

static void a_child_that_unlocks_frees_the_lock_of_both(void **state) {
    (void)state;
    scratch_file("unlocked", 1000, 4);
    km_map *map = open_map("unlocked", KM_WRITE);
    km_map *other = open_map("unlocked", KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_true(in_child(unlock, map));
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    km_close(other);
    km_close(map);
}

static bool lock_and_unlock(km_map *map) {
    return km_lock(map, KM_LOCK_EXCLUSIVE, 0) == KM_OK && km_unlock(map) == KM_OK &&
           km_lock(map, KM_LOCK_SHARED, 0) == KM_OK && km_unlock(map) == KM_OK;
}

static bool is_locked_out(km_map *map) {
    return km_lock(map, KM_LOCK_EXCLUSIVE, 0) == KM_E_BUSY &&
           km_lock(map, KM_LOCK_SHARED, 0) == KM_E_BUSY;
}

/* Each by locks taken after the fork. */
static void parent_and_child_keep_each_other_out(void **state) {
    (void)state;
    static const km_access accesses[] = {KM_WRITE, KM_READ};
    scratch_file("apart", 1000, 7);
    for (size_t i = 0; i < 2; i++) {
        int go[2];
        int tried[2];
        km_map *map = open_map("apart", accesses[i]);
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(tried), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char byte = 0;
            const bool out = read(go[0], &byte, 1) == 1 && is_locked_out(map);
            const bool said = write(tried[1], "!", 1) == 1;
            _exit(out && said && read(go[0], &byte, 1) == 1 && lock_and_unlock(map) ? 0 : 1);
        }
        assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(write(go[1], "!", 1), 1);
        char byte = 0;
        assert_int_equal(read(tried[0], &byte, 1), 1);
        km_map *other = open_map("apart", KM_READ);
        assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
        assert_int_equal(km_unlock(map), KM_OK);
        assert_int_equal(write(go[1], "!", 1), 1);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        km_close(other);
        km_close(map);
        for (int end = 0; end < 2; end++) {
            close(go[end]);
            close(tried[end]);
        }
    }
}

static void a_child_keeps_what_its_parent_has_closed(void **state) {
    (void)state;
    int go[2];
    scratch_file("kept", 1000, 5);
    km_map *map = open_map("kept", KM_WRITE);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte = 0;
        close(go[1]);
        bool told = read(go[0], &byte, 1) == 0; /* the parent has closed its end */
        _exit(told && km_write(map, 0, "kept", 4) == KM_OK && km_close(map) == KM_OK ? 0 : 1);
    }
    close(go[0]);
    assert_int_equal(km_close(map), KM_OK);
    km_map *other = open_map("kept", KM_WRITE);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_E_BUSY);
    assert_int_equal(km_resize(other, 10), KM_E_BUSY);
    close(go[1]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_memory_equal(km_data(other), "kept", 4);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_resize(other, 10), KM_OK);
    km_close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_s_stores_are_in_its_parent_s_map),
        cmocka_unit_test(a_child_s_private_stores_are_its_own),
        cmocka_unit_test(a_child_that_closes_leaves_the_lock_to_its_parent),
        cmocka_unit_test(a_child_that_closes_a_map_with_windows_leaves_the_lock_to_its_parent),
        cmocka_unit_test(a_child_that_unlocks_frees_the_lock_of_both),
        cmocka_unit_test(parent_and_child_keep_each_other_out),
        cmocka_unit_test(a_child_keeps_what_its_parent_has_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
