/*
 * test_file_names_posix.c - names on POSIX: links, permissions, pipes, other file systems.
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
#include <sys/stat.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/file_names.h"
#include "posix/sharing.h"
#include "support/scratch.h"

static void fails(BOOL result, DWORD expected) {
    DWORD error = GetLastError();
    assert_false(result);
    assert_int_equal(error, expected);
    SetLastError(0);
}

static struct stat facts_of(const char *name) {
    struct stat facts;
    assert_int_equal(lstat(name, &facts), 0);
    return facts;
}

static void a_link_has_its_targets_attributes_and_is_a_reparse_point(void **state) {
    (void)state;
    WIN32_FILE_ATTRIBUTE_DATA facts;
    scratch_file("linked", 321, 0);
    assert_int_equal(symlink("linked", "link"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(symlink(".", "link_to_directory"), 0);
    assert_true(GetFileAttributesExA("link", GetFileExInfoStandard, &facts));
    assert_true(facts.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT);
    assert_false(facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
    assert_int_equal(facts.nFileSizeLow, 321);
    const DWORD both = FILE_ATTRIBUTE_REPARSE_POINT | FILE_ATTRIBUTE_DIRECTORY;
    assert_int_equal(GetFileAttributesA("link_to_directory") & both, both);
    assert_int_equal(GetFileAttributesA("dangling"), FILE_ATTRIBUTE_REPARSE_POINT);
}

static void deleting_and_moving_a_link_leaves_its_target(void **state) {
    (void)state;
    scratch_file("behind", 10, 0);
    assert_int_equal(symlink("behind", "front"), 0);
    assert_true(MoveFileExA("front", "front_2", 0));
    assert_true(S_ISLNK(facts_of("front_2").st_mode));
    assert_true(DeleteFileA("front_2"));
    assert_int_equal(scratch_size("behind"), 10);
}

static void a_read_only_file_is_neither_deleted_nor_replaced(void **state) {
    (void)state;
    scratch_file("read_only", 10, 0);
    scratch_file("other", 20, 0);
    assert_int_equal(chmod("read_only", 0444), 0);
    assert_true(GetFileAttributesA("read_only") & FILE_ATTRIBUTE_READONLY);
    fails(DeleteFileA("read_only"), ERROR_ACCESS_DENIED);
    fails(MoveFileExA("other", "read_only", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    fails(ReplaceFileA("read_only", "other", NULL, 0, NULL, NULL), ERROR_ACCESS_DENIED);
    assert_true(MoveFileExA("read_only", "read_only_2", 0));
    assert_int_equal(scratch_size("read_only_2"), 10);
}

static void a_pipe_is_a_device_and_is_deleted_without_being_opened(void **state) {
    (void)state;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_true(GetFileAttributesA("pipe") & FILE_ATTRIBUTE_DEVICE);
    assert_true(MoveFileExA("pipe", "pipe_2", 0));
    assert_true(DeleteFileA("pipe_2"));
    assert_int_equal(access("pipe_2", F_OK), -1);
}

static void a_directory_is_moved_but_replaces_nothing(void **state) {
    (void)state;
    assert_int_equal(mkdir("one", 0700), 0);
    assert_int_equal(mkdir("two", 0700), 0);
    scratch_file("three", 10, 0);
    fails(MoveFileExA("one", "two", 0), ERROR_ALREADY_EXISTS);
    fails(MoveFileExA("one", "two", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    fails(MoveFileExA("one", "three", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    fails(MoveFileExA("three", "two", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    assert_false(MoveFileExA("one", "one/below", 0));
    assert_true(MoveFileExA("one", "four", MOVEFILE_WRITE_THROUGH));
    assert_true(S_ISDIR(facts_of("four").st_mode));
}

static void of_two_links_to_one_file_the_moved_one_goes(void **state) {
    (void)state;
    scratch_file("name_1", 10, 0);
    assert_int_equal(link("name_1", "name_2"), 0);
    fails(MoveFileExA("name_1", "name_2", 0), ERROR_ALREADY_EXISTS);
    assert_true(MoveFileExA("name_1", "name_2", MOVEFILE_REPLACE_EXISTING));
    assert_int_equal(scratch_size("name_1"), -1);
    assert_int_equal(scratch_size("name_2"), 10);
}

static void flags_unknown_or_unsupported_are_refused(void **state) {
    (void)state;
    scratch_file("flagged", 10, 0);
    fails(MoveFileExA("flagged", "x", 0x100), ERROR_INVALID_PARAMETER);
    fails(MoveFileExA("flagged", "x", 0x4), ERROR_NOT_SUPPORTED);
    fails(MoveFileExA("flagged", NULL, 0), ERROR_INVALID_PARAMETER);
    fails(ReplaceFileA("flagged", "x", NULL, 0x80, NULL, NULL), ERROR_INVALID_PARAMETER);
    fails(ReplaceFileA("flagged", "flagged", NULL, 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    assert_int_equal(scratch_size("flagged"), 10);
}

/* ---- To another file system ---- */

#define ELSEWHERE "/dev/shm/keepmap-test-XXXXXX"

/* A directory on another file system than this one; skips the test where there is none. */
static char *other_file_system(char *directory) {
    memcpy(directory, ELSEWHERE, sizeof ELSEWHERE);
    if (mkdtemp(directory) == NULL) {
        skip();
    }
    if (facts_of(directory).st_dev == facts_of(".").st_dev) {
        assert_int_equal(rmdir(directory), 0);
        skip();
    }
    return directory;
}

static void a_move_to_another_file_system_must_be_allowed(void **state) {
    (void)state;
    char directory[sizeof ELSEWHERE];
    char target[64];
    (void)snprintf(target, sizeof target, "%s/there", other_file_system(directory));
    scratch_file("far", 300000, 9);
    scratch_file("far_copy", 300000, 9);
    assert_int_equal(truncate("far", 50000000), 0); /* a hole at the end */
    assert_int_equal(truncate("far_copy", 50000000), 0);
    assert_int_equal(chmod("far", 0640), 0);
    struct stat before = facts_of("far");
    fails(MoveFileExA("far", target, 0), ERROR_NOT_SAME_DEVICE);
    assert_true(MoveFileExA("far", target, MOVEFILE_COPY_ALLOWED | MOVEFILE_WRITE_THROUGH));
    assert_int_equal(scratch_size("far"), -1);
    assert_true(scratch_same(target, "far_copy"));
    struct stat after = facts_of(target);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_true(after.st_blocks * 512 < 5000000);

    fails(MoveFileExA("far_copy", target, MOVEFILE_COPY_ALLOWED), ERROR_ALREADY_EXISTS);
    assert_true(MoveFileExA("far_copy", target, MOVEFILE_COPY_ALLOWED | MOVEFILE_REPLACE_EXISTING));
    assert_int_equal(scratch_size("far_copy"), -1);
    assert_int_equal(unlink(target), 0);
    assert_int_equal(rmdir(directory), 0); /* nothing else was left there */
}

static void what_somebody_writes_or_maps_is_not_moved_away_under_him(void **state) {
    (void)state;
    char directory[sizeof ELSEWHERE];
    char target[64];
    (void)snprintf(target, sizeof target, "%s/there", other_file_system(directory));
    scratch_file("in_use", 10000, 3);
    HANDLE file = CreateFileA("in_use", GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(section);
    fails(MoveFileExA("in_use", target, MOVEFILE_COPY_ALLOWED), ERROR_SHARING_VIOLATION);
    assert_int_equal(scratch_size(target), -1);
    assert_true(CloseHandle(file));
    assert_true(MoveFileExA("in_use", target, MOVEFILE_COPY_ALLOWED)); /* copied; still mapped */
    assert_true(scratch_same(target, "in_use"));
    assert_true(CloseHandle(section));
    assert_int_equal(unlink(target), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void a_replacement_from_another_file_system_is_not_moved(void **state) {
    (void)state;
    char directory[sizeof ELSEWHERE];
    char source[64];
    (void)snprintf(source, sizeof source, "%s/source", other_file_system(directory));
    scratch_file("near", 100, 1);
    scratch_file(source, 200, 2);
    assert_int_equal(chmod("near", 0600), 0);
    assert_int_equal(chmod(source, 0640), 0);
    fails(ReplaceFileA("near", source, NULL, 0, NULL, NULL), ERROR_UNABLE_TO_MOVE_REPLACEMENT);
    fails(ReplaceFileA("near", source, "near_backup", 0, NULL, NULL),
          ERROR_UNABLE_TO_MOVE_REPLACEMENT);
    assert_int_equal(scratch_size("near"), 100);
    assert_int_equal(scratch_size("near_backup"), -1);
    assert_int_equal(facts_of(source).st_mode & 07777, 0640);
    assert_int_equal(unlink(source), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* ---- ReplaceFile ---- */

static void a_replaced_file_keeps_its_permissions(void **state) {
    (void)state;
    scratch_file("kept", 100, 1);
    scratch_file("newer", 200, 2);
    assert_int_equal(chmod("kept", 0604), 0);
    assert_int_equal(chmod("newer", 0600), 0);
    assert_true(ReplaceFileA("kept", "newer", NULL, 0, NULL, NULL));
    assert_int_equal(scratch_size("kept"), 200);
    assert_int_equal(facts_of("kept").st_mode & 07777, 0604);
}

static void a_backup_that_cannot_be_made_changes_nothing(void **state) {
    (void)state;
    scratch_file("held", 100, 1);
    scratch_file("waiting", 200, 2);
    assert_int_equal(chmod("held", 0604), 0);
    assert_int_equal(chmod("waiting", 0600), 0);
    assert_int_equal(mkdir("occupied", 0700), 0);
    fails(ReplaceFileA("held", "waiting", "occupied", 0, NULL, NULL), ERROR_ACCESS_DENIED);
    fails(ReplaceFileA("held", "waiting", "missing/x", 0, NULL, NULL), ERROR_PATH_NOT_FOUND);
    fails(ReplaceFileA("held", "waiting", "held", 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    fails(ReplaceFileA("held", "waiting", "./waiting", 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    assert_int_equal(scratch_size("held"), 100);
    assert_int_equal(scratch_size("waiting"), 200);
    assert_int_equal(facts_of("held").st_mode & 07777, 0604);
    assert_int_equal(facts_of("waiting").st_mode & 07777, 0600);
}

static void a_backup_may_be_a_link_to_either_file(void **state) {
    (void)state;
    scratch_file("linked_old", 100, 1);
    scratch_file("linked_new", 200, 2);
    assert_int_equal(link("linked_old", "linked_backup"), 0);
    assert_true(ReplaceFileA("linked_old", "linked_new", "linked_backup", 0, NULL, NULL));
    assert_int_equal(scratch_size("linked_old"), 200);
    assert_int_equal(scratch_size("linked_backup"), 100);
    assert_int_equal(scratch_size("linked_new"), -1);
    scratch_file("linked_new", 300, 3);
    assert_int_equal(link("linked_new", "linked_backup_2"), 0);
    assert_true(ReplaceFileA("linked_old", "linked_new", "linked_backup_2", 0, NULL, NULL));
    assert_int_equal(scratch_size("linked_old"), 300);
    assert_int_equal(scratch_size("linked_backup_2"), 200);
    assert_int_equal(scratch_size("linked_new"), -1);
}

static void without_a_descriptor_to_ask_with_nothing_is_deleted(void **state) {
    (void)state;
    struct rlimit limit;
    scratch_file("unasked", 100, 1);
    HANDLE file =
        CreateFileA("unasked", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {0, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    BOOL deleted = DeleteFileA("unasked");
    DWORD error = GetLastError();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(deleted);
    assert_int_equal(error, ERROR_TOO_MANY_OPEN_FILES);
    assert_true(CloseHandle(file));
}

static void a_mapped_file_is_replaced_only_with_a_backup(void **state) {
    (void)state;
    scratch_file("viewed", 10000, 1);
    scratch_file("next", 200, 2);
    HANDLE file = CreateFileA("viewed", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(section);
    fails(ReplaceFileA("viewed", "next", NULL, 0, NULL, NULL), ERROR_UNABLE_TO_REMOVE_REPLACED);
    assert_true(ReplaceFileA("viewed", "next", "viewed_before", 0, NULL, NULL));
    assert_int_equal(scratch_size("viewed"), 200);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

/* ---- Paths ---- */

static void full_path_is(const char *path, const char *expected) {
    char full[4200];
    DWORD length = GetFullPathNameA(path, sizeof full, full, NULL);
    assert_string_equal(full, expected);
    assert_int_equal(length, strlen(expected));
}

static void full_paths_are_made_of_text_alone(void **state) {
    (void)state;
    full_path_is("/", "/");
    full_path_is("//a///b/", "/a/b/");
    full_path_is("/a/./b/../c", "/a/c");
    full_path_is("/../../a", "/a");
    full_path_is("/a/..", "/");
    full_path_is("/a/.../b", "/a/.../b");
    full_path_is("/nowhere/at/all", "/nowhere/at/all");
    full_path_is("/a\\b", "/a\\b");
}

static void a_path_too_long_or_no_text_is_refused(void **state) {
    (void)state;
    char path[5001];
    char full[5001];
    const WCHAR lone[] = {'/', 0xD800, 0};
    memset(path, 'x', 5000);
    path[5000] = '\0';
    fails(DeleteFileA(path), ERROR_FILENAME_EXCED_RANGE);
    fails(MoveFileExA("missing", path, 0), ERROR_FILENAME_EXCED_RANGE);
    assert_int_equal(GetFullPathNameA(path, sizeof full, full, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_FILENAME_EXCED_RANGE);
    path[4090] = '\0'; /* fits, but not behind the current directory */
    assert_int_equal(GetFullPathNameA(path, sizeof full, full, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_FILENAME_EXCED_RANGE);
    path[300] = '\0';
    fails(DeleteFileA(path), ERROR_FILENAME_EXCED_RANGE);
    fails(DeleteFileA("\xFF"), ERROR_NO_UNICODE_TRANSLATION);
    fails(DeleteFileW(lone), ERROR_NO_UNICODE_TRANSLATION);
}

static void the_temporary_directory_comes_from_the_environment(void **state) {
    (void)state;
    char path[64];
    assert_int_equal(setenv("TMPDIR", "/var/tmp", 1), 0);
    assert_int_equal(GetTempPathA(sizeof path, path), strlen("/var/tmp/"));
    assert_string_equal(path, "/var/tmp/");
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    assert_int_equal(GetTempPathA(sizeof path, path), strlen("/tmp/"));
    assert_string_equal(path, "/tmp/");
    assert_int_equal(unsetenv("TMPDIR"), 0);
}

/* Each by its path: the second must not delete what somebody else has put there meanwhile. */
static void two_do_not_delete_one_file_at_once(void **state) {
    (void)state;
    struct stat facts;
    int claim = -1;
    scratch_file("claimed", 10, 0);
    assert_int_equal(lstat("claimed", &facts), 0);
    assert_int_equal(kmw_name_claim("claimed", &facts, DELETE, KMW_SHARE_ALL, &claim),
                     ERROR_SUCCESS);
    fails(DeleteFileA("claimed"), ERROR_SHARING_VIOLATION);
    fails(MoveFileExA("claimed", "moved", 0), ERROR_SHARING_VIOLATION);
    kmw_name_let_go(claim);
    assert_true(DeleteFileA("claimed"));
}

static void a_name_that_is_gone_is_not_claimed(void **state) {
    (void)state;
    struct stat facts;
    int claim = -1;
    scratch_file("going", 10, 0);
    assert_int_equal(lstat("going", &facts), 0);
    assert_int_equal(unlink("going"), 0);
    assert_int_equal(kmw_name_claim("going", &facts, DELETE, KMW_SHARE_ALL, &claim),
                     ERROR_FILE_NOT_FOUND);
    assert_int_equal(claim, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_do_not_delete_one_file_at_once),
        cmocka_unit_test(a_name_that_is_gone_is_not_claimed),
        cmocka_unit_test(a_link_has_its_targets_attributes_and_is_a_reparse_point),
        cmocka_unit_test(deleting_and_moving_a_link_leaves_its_target),
        cmocka_unit_test(a_read_only_file_is_neither_deleted_nor_replaced),
        cmocka_unit_test(a_pipe_is_a_device_and_is_deleted_without_being_opened),
        cmocka_unit_test(a_directory_is_moved_but_replaces_nothing),
        cmocka_unit_test(of_two_links_to_one_file_the_moved_one_goes),
        cmocka_unit_test(flags_unknown_or_unsupported_are_refused),
        cmocka_unit_test(a_move_to_another_file_system_must_be_allowed),
        cmocka_unit_test(what_somebody_writes_or_maps_is_not_moved_away_under_him),
        cmocka_unit_test(a_replacement_from_another_file_system_is_not_moved),
        cmocka_unit_test(a_replaced_file_keeps_its_permissions),
        cmocka_unit_test(a_backup_that_cannot_be_made_changes_nothing),
        cmocka_unit_test(a_backup_may_be_a_link_to_either_file),
        cmocka_unit_test(without_a_descriptor_to_ask_with_nothing_is_deleted),
        cmocka_unit_test(a_mapped_file_is_replaced_only_with_a_backup),
        cmocka_unit_test(full_paths_are_made_of_text_alone),
        cmocka_unit_test(a_path_too_long_or_no_text_is_refused),
        cmocka_unit_test(the_temporary_directory_comes_from_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
