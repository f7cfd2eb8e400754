/*
 * test_segment_fork.c - segments and their locks in forked children, and for other users.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "platform.h"
#include "support/unique.h"

/* A user who owns nothing here. */
#define NOBODY 65534

static km_map *make(const char *name, uint32_t flags, uint32_t permissions) {
    km_map *map = NULL;
    const km_options options = {
        .access = KM_WRITE, .flags = flags, .size = 10000, .permissions = permissions};
    if (km_segment(&map, name, &options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

static pid_t begin_child(int (*part)(km_map *map), km_map *map) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(part(map));
    }
    return pid;
}

static int end_child(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int in_child(int (*part)(km_map *map), km_map *map) {
    return end_child(begin_child(part, map));
}

/* ---- Memory ---- */

static int store_and_close(km_map *map) {
    memcpy(km_data(map), "child", sizeof "child");
    return (int)km_close(map);
}

static void a_child_s_stores_are_its_parent_s(void **state) {
    (void)state;
    km_map *map = make(NULL, 0, 0);
    assert_int_equal(in_child(store_and_close, map), 0);
    assert_string_equal(km_data(map), "child");
    km_close(map);
}

static void a_child_s_private_stores_are_its_own(void **state) {
    (void)state;
    const char *name = unique_name("private");
    km_map *map = make(name, KM_OPEN_NEW, 0);
    km_map *copy = NULL;
    assert_int_equal(km_segment(&copy, name, &(km_options){.access = KM_PRIVATE}), KM_OK);
    memcpy(km_data(copy), "ours!", sizeof "ours!");
    assert_int_equal(in_child(store_and_close, copy), 0);
    assert_string_equal(km_data(copy), "ours!");
    assert_string_equal(km_data(map), "");
    km_close(copy);
    km_close(map);
}

static int wait_for_signal(km_map *map) {
    (void)map;
    pause();
    return 1;
}

static void a_child_keeps_the_name_alive(void **state) {
    (void)state;
    const char *name = unique_name("alive");
    km_map *map = make(name, KM_OPEN_NEW, 0);
    const pid_t child = begin_child(wait_for_signal, map);
    km_close(map);
    assert_int_equal(km_segment(&map, name, NULL), KM_OK);
    km_close(map);
    kill(child, SIGKILL);
    assert_int_equal(end_child(child), 1000 + SIGKILL);
    assert_int_equal(km_segment(&map, name, NULL), KM_E_NOT_FOUND);
}

/* ---- Locks ---- */

static int try_exclusive(km_map *map) {
    return (int)km_lock(map, KM_LOCK_EXCLUSIVE, 0);
}

static int lock_and_unlock(km_map *map) {
    const km_status status = km_lock(map, KM_LOCK_EXCLUSIVE, 0);
    return status == KM_OK ? (int)km_unlock(map) : (int)status;
}

static int try_through_another_map(km_map *map) {
    km_map *other = NULL;
    if (km_segment(&other, km_path(map), &(km_options){.access = KM_WRITE}) != KM_OK) {
        return 99;
    }
    const km_status status = km_lock(other, KM_LOCK_EXCLUSIVE, 0);
    km_close(other);
    return (int)status;
}

/* The lock's file has been opened before the fork: yet each process locks for itself. */
static void parent_and_child_keep_each_other_out(void **state) {
    (void)state;
    km_map *const maps[] = {make(NULL, 0, 0), make(unique_name("apart"), KM_OPEN_NEW, 0)};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(km_lock(maps[i], KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_unlock(maps[i]), KM_OK);
        assert_int_equal(in_child(lock_and_unlock, maps[i]), KM_OK);
        assert_int_equal(km_lock(maps[i], KM_LOCK_EXCLUSIVE, 0), KM_OK);
        assert_int_equal(km_unlock(maps[i]), KM_OK);
        km_close(maps[i]);
    }
}

static int hold_for_ever(km_map *map) {
    if (km_lock(map, KM_LOCK_EXCLUSIVE, 0) != KM_OK) {
        return 98;
    }
    memcpy(km_data(map), "locked", sizeof "locked");
    pause();
    return 1;
}

static void a_child_that_dies_with_the_lock_of_an_anonymous_segment_is_found_out(void **state) {
    (void)state;
    km_map *map = make(NULL, 0, 0);
    const volatile char *bytes = km_data(map);
    const pid_t child = begin_child(hold_for_ever, map);
    while (bytes[0] == 0) {
        usleep(1000);
    }
    assert_int_equal(km_lock(map, KM_LOCK_SHARED, 0), KM_E_BUSY);
    kill(child, SIGKILL);
    assert_int_equal(end_child(child), 1000 + SIGKILL);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_E_OWNER_DIED);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(in_child(lock_and_unlock, map), KM_OK);
    km_close(map);
}

static int close_only(km_map *map) {
    return (int)km_close(map);
}

static void a_lock_held_at_the_fork_is_one_lock_of_both(void **state) {
    (void)state;
    km_map *map = make(unique_name("both"), KM_OPEN_NEW, 0);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(in_child(try_exclusive, map), KM_E_INVALID); /* it has it */
    assert_int_equal(in_child(close_only, map), KM_OK);
    assert_int_equal(in_child(try_through_another_map, map), KM_E_BUSY);
    assert_int_equal(km_unlock(map), KM_OK);
    assert_int_equal(in_child(try_through_another_map, map), KM_OK); /* nobody died */
    km_close(map);
}

static void lock_path(const char *object, WCHAR **path) {
    WCHAR wide[UNIQUE_SIZE];
    assert_true(MultiByteToWideChar(CP_UTF8, 0, object, -1, wide, UNIQUE_SIZE) > 0);
    assert_int_equal(km_platform_companion(wide, path), ERROR_SUCCESS);
}

static bool has_lock_file(const char *object) {
    WCHAR *path = NULL;
    lock_path(object, &path);
    const bool there = GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
    free(path);
    return there;
}

static void the_lock_s_file_goes_with_its_last_user(void **state) {
    (void)state;
    const char *name = unique_name("file");
    const char *object = unique_object("Local\\", name, "");
    km_map *one = make(name, KM_OPEN_NEW, 0);
    km_map *other = make(name, KM_OPEN_CREATE, 0);
    assert_false(has_lock_file(object));
    assert_int_equal(km_lock(one, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_lock(other, KM_LOCK_SHARED, 0), KM_OK);
    km_close(one);
    assert_true(has_lock_file(object));
    km_close(other);
    assert_false(has_lock_file(object));
}

/* As a system may do that tidies up when its user logs out. */
static void maps_meet_again_after_the_lock_s_file_was_removed(void **state) {
    (void)state;
    const char *name = unique_name("removed");
    WCHAR *path = NULL;
    char narrow[512];
    km_map *one = make(name, KM_OPEN_NEW, 0);
    km_map *other = make(name, KM_OPEN_CREATE, 0);
    assert_int_equal(km_lock(one, KM_LOCK_SHARED, 0), KM_OK);
    assert_int_equal(km_unlock(one), KM_OK);
    lock_path(unique_object("Local\\", name, ""), &path);
    assert_true(WideCharToMultiByte(CP_UTF8, 0, path, -1, narrow, sizeof narrow, NULL, NULL) > 0);
    free(path);
    assert_int_equal(unlink(narrow), 0);
    assert_int_equal(km_lock(other, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    assert_int_equal(km_lock(one, KM_LOCK_SHARED, 0), KM_E_BUSY);
    km_close(other);
    assert_int_equal(km_lock(one, KM_LOCK_SHARED, 0), KM_OK);
    km_close(one);
}

/* ---- Other users ---- */

static bool become_nobody(void) {
    return setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

static km_status open_wide(km_map **map, km_access access, const char *name) {
    return km_segment(map, name, &(km_options){.access = access, .flags = KM_OPEN_MACHINE_WIDE});
}

static int open_as_nobody(km_map *map) {
    km_map *other = NULL;
    return become_nobody() ? (int)open_wide(&other, KM_READ, km_path(map)) : 97;
}

static int work_as_nobody(km_map *map) {
    km_map *other = NULL;
    if (!become_nobody() || open_wide(&other, KM_WRITE, km_path(map)) != KM_OK) {
        return 97;
    }
    if (km_lock(other, KM_LOCK_EXCLUSIVE, 0) != KM_E_BUSY) {
        return 96; /* the parent has it */
    }
    memcpy(km_data(other), "nobody", sizeof "nobody");
    return (int)km_lock(other, KM_LOCK_EXCLUSIVE, 20000);
}

static void others_open_what_is_for_everybody_and_nothing_else(void **state) {
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    km_map *mine = make(unique_name("mine"), KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, 0);
    assert_int_equal(in_child(open_as_nobody, mine), KM_E_ACCESS);
    km_close(mine);
    km_map *ours = make(unique_name("ours"), KM_OPEN_NEW | KM_OPEN_MACHINE_WIDE, 0666);
    assert_int_equal(in_child(open_as_nobody, ours), KM_OK);
    assert_int_equal(km_lock(ours, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    const pid_t child = begin_child(work_as_nobody, ours);
    const volatile char *bytes = km_data(ours);
    while (bytes[0] == 0 && waitpid(child, NULL, WNOHANG) == 0) {
        usleep(1000);
    }
    assert_int_equal(km_unlock(ours), KM_OK);
    assert_int_equal(end_child(child), KM_OK);
    assert_int_equal(km_lock(ours, KM_LOCK_EXCLUSIVE, 20000), KM_E_OWNER_DIED);
    km_close(ours);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_s_stores_are_its_parent_s),
        cmocka_unit_test(a_child_s_private_stores_are_its_own),
        cmocka_unit_test(a_child_keeps_the_name_alive),
        cmocka_unit_test(parent_and_child_keep_each_other_out),
        cmocka_unit_test(a_child_that_dies_with_the_lock_of_an_anonymous_segment_is_found_out),
        cmocka_unit_test(a_lock_held_at_the_fork_is_one_lock_of_both),
        cmocka_unit_test(the_lock_s_file_goes_with_its_last_user),
        cmocka_unit_test(maps_meet_again_after_the_lock_s_file_was_removed),
        cmocka_unit_test(others_open_what_is_for_everybody_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
