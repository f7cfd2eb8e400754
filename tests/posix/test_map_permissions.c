/*
 * test_map_permissions.c - files and directories whose permissions are unusual, seen by a process
 * without privileges: each part runs in a child that gives up those of root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "map.h"
#include "support/scratch.h"

#define NOBODY 65534
#define SET_ID_BITS 06755u

/* The directory that a child works in; anybody may reach and use it. */
static char place[] = "/tmp/keepmap-permissions-XXXXXX";

static int make_place(void **state) {
    (void)state;
    return mkdtemp(place) != NULL && chmod(place, 0777) == 0 ? 0 : -1;
}

/* Says in the child what went wrong, and ends it. */
#define CHILD_EXPECT(fact)                                                                         \
    do {                                                                                           \
        if (!(fact)) {                                                                             \
            fprintf(stderr, "line %d: %s; %s\n", __LINE__, #fact, km_error_message());             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void in_child(void (*part)(void)) {
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        CHILD_EXPECT(chdir(place) == 0);
        if (geteuid() == 0) {
            CHILD_EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
        }
        part();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static unsigned mode_of(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 ? (unsigned)facts.st_mode & 07777u : 0;
}

static km_map *make(const char *path, uint32_t permissions) {
    km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 5000, .permissions = permissions};
    km_map *map = NULL;
    CHILD_EXPECT(km_open(&map, path, &options) == KM_OK);
    return map;
}

static void copy_set_id_files(void) {
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    km_copy_options given = {.permissions = SET_ID_BITS};
    km_map *map = make("made", SET_ID_BITS);
    CHILD_EXPECT(mode_of("made") == SET_ID_BITS);
    CHILD_EXPECT(km_copy(map, "given", &given) == KM_OK);
    CHILD_EXPECT(mode_of("given") == SET_ID_BITS);
    CHILD_EXPECT(km_copy(map, "given", &replace) == KM_OK);
    CHILD_EXPECT(mode_of("given") == SET_ID_BITS);
    km_close(map);
    CHILD_EXPECT(unlink("made") == 0 && unlink("given") == 0);
}

static void set_id_bits_outlive_the_writing_of_the_file(void **state) {
    (void)state;
    in_child(copy_set_id_files);
}

static void use_unreadable_directory(void) {
    CHILD_EXPECT(mkdir("unreadable", 0300) == 0);
    km_map *map = make("unreadable/made", 0);
    CHILD_EXPECT(km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_OK);
    CHILD_EXPECT(km_copy(map, "unreadable/copied", NULL) == KM_OK);
    km_close(map);
    CHILD_EXPECT(unlink("unreadable/made") == 0 && unlink("unreadable/copied") == 0);
    CHILD_EXPECT(rmdir("unreadable") == 0);
}

static void files_in_a_directory_that_may_not_be_read_become_durable(void **state) {
    (void)state;
    in_child(use_unreadable_directory);
}

static void move_directory(void) {
    CHILD_EXPECT(mkdir("before", 0700) == 0);
    km_map *map = make("before/made", 0);
    CHILD_EXPECT(rename("before", "after") == 0);
    CHILD_EXPECT(km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_OK);
    CHILD_EXPECT(km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_OK);
    km_close(map);
    CHILD_EXPECT(unlink("after/made") == 0 && rmdir("after") == 0);
}

static void a_file_whose_directory_has_been_renamed_becomes_durable(void **state) {
    (void)state;
    in_child(move_directory);
}

/* A path that no file can have stands for a directory entry that cannot be synced for now. */
static void fail_entry_once(void) {
    static WCHAR no_path[] = {0xD800, 0};
    km_map *map = make("named", 0);
    WCHAR *path = map->file->native_path;
    map->file->native_path = no_path;
    CHILD_EXPECT(km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_E_INVALID);
    map->file->native_path = path;
    CHILD_EXPECT(km_flush(map, 0, 0, KM_FLUSH_DURABLE) == KM_OK);
    km_close(map);
    CHILD_EXPECT(unlink("named") == 0);
}

static void an_entry_that_cannot_be_synced_for_now_does_not_poison_the_map(void **state) {
    (void)state;
    in_child(fail_entry_once);
}

static int remove_place(void **state) {
    (void)state;
    return rmdir(place); /* fails if anything was left */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_id_bits_outlive_the_writing_of_the_file),
        cmocka_unit_test(files_in_a_directory_that_may_not_be_read_become_durable),
        cmocka_unit_test(a_file_whose_directory_has_been_renamed_becomes_durable),
        cmocka_unit_test(an_entry_that_cannot_be_synced_for_now_does_not_poison_the_map),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
