/*
 * test_file_names.c - attributes, deleting, moving and replacing by name; disk space; full paths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#ifdef _WIN32
#define ON_WINDOWS true
#else
#define ON_WINDOWS false
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static HANDLE open_sharing(const char *name, DWORD share) {
    HANDLE file = CreateFileA(name, GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    return file;
}

static void *map(const char *name, HANDLE *section) {
    HANDLE file = open_sharing(name, SHARE_ALL);
    *section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(*section);
    assert_true(CloseHandle(file));
    void *view = MapViewOfFile(*section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    return view;
}

static void unmap(void *view, HANDLE section) {
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

static void fails(BOOL result, DWORD expected) {
    DWORD error = GetLastError();
    assert_false(result);
    assert_int_equal(error, expected);
    SetLastError(0);
}

static void has_no_attributes(const char *name, DWORD expected) {
    SetLastError(0);
    assert_int_equal(GetFileAttributesA(name), INVALID_FILE_ATTRIBUTES);
    assert_int_equal(GetLastError(), expected);
}

static WCHAR *wide(const char *text, WCHAR *to) {
    assert_true(MultiByteToWideChar(CP_UTF8, 0, text, -1, to, 256) > 0);
    return to;
}

/* ---- Attributes ---- */

static void attributes_tell_files_from_directories(void **state) {
    (void)state;
    WCHAR name[256];
    scratch_file("a_file", 10, 0);
    assert_int_equal(
        GetFileAttributesA("a_file") & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_READONLY), 0);
    assert_true(GetFileAttributesA(".") & FILE_ATTRIBUTE_DIRECTORY);
    assert_int_equal(GetFileAttributesW(wide("a_file", name)), GetFileAttributesA("a_file"));
}

static void attributes_of_what_is_missing_are_an_error(void **state) {
    (void)state;
    has_no_attributes("missing", ERROR_FILE_NOT_FOUND);
    has_no_attributes("missing/file", ERROR_PATH_NOT_FOUND);
    has_no_attributes("", ERROR_PATH_NOT_FOUND);
    has_no_attributes(NULL, ERROR_PATH_NOT_FOUND);
}

static void attributes_ex_tell_size_and_times(void **state) {
    (void)state;
    WIN32_FILE_ATTRIBUTE_DATA facts;
    WIN32_FILE_ATTRIBUTE_DATA same;
    WCHAR name[256];
    const uint64_t year_2020 = 132223104000000000u;
    scratch_file("with_facts", 12345, 0);
    assert_true(GetFileAttributesExA("with_facts", GetFileExInfoStandard, &facts));
    assert_int_equal(facts.nFileSizeHigh, 0);
    assert_int_equal(facts.nFileSizeLow, 12345);
    const uint64_t written =
        (uint64_t)facts.ftLastWriteTime.dwHighDateTime << 32 | facts.ftLastWriteTime.dwLowDateTime;
    assert_true(written > year_2020);
    assert_true(GetFileAttributesExW(wide("with_facts", name), GetFileExInfoStandard, &same));
    assert_int_equal(same.nFileSizeLow, 12345);
    assert_int_equal(same.dwFileAttributes, GetFileAttributesA("with_facts"));
    facts.nFileSizeLow = 77;
    fails(GetFileAttributesExA("with_facts", GetFileExMaxInfoLevel, &facts),
          ERROR_INVALID_PARAMETER);
    fails(GetFileAttributesExA("missing", GetFileExInfoStandard, &facts), ERROR_FILE_NOT_FOUND);
    assert_int_equal(facts.nFileSizeLow, 77);
}

/* ---- DeleteFile ---- */

static void a_deleted_file_is_gone(void **state) {
    (void)state;
    WCHAR name[256];
    scratch_file("delete_a", 1, 0);
    scratch_file("delete_w", 1, 0);
    assert_true(DeleteFileA("delete_a"));
    assert_true(DeleteFileW(wide("delete_w", name)));
    assert_int_equal(scratch_size("delete_a"), -1);
    assert_int_equal(scratch_size("delete_w"), -1);
}

static void what_cannot_be_deleted_has_its_error(void **state) {
    (void)state;
    fails(DeleteFileA("missing"), ERROR_FILE_NOT_FOUND);
    fails(DeleteFileA("missing/file"), ERROR_PATH_NOT_FOUND);
    fails(DeleteFileA(""), ERROR_PATH_NOT_FOUND);
    fails(DeleteFileA(NULL), ERROR_PATH_NOT_FOUND);
    fails(DeleteFileA("."), ERROR_ACCESS_DENIED);
}

static void a_handle_that_does_not_share_deletion_forbids_it(void **state) {
    (void)state;
    scratch_file("delete_open", 1, 0);
    HANDLE file = open_sharing("delete_open", FILE_SHARE_READ | FILE_SHARE_WRITE);
    fails(DeleteFileA("delete_open"), ERROR_SHARING_VIOLATION);
    fails(MoveFileExA("delete_open", "elsewhere", 0), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(file));
    assert_int_equal(scratch_size("delete_open"), 1);
    assert_true(DeleteFileA("delete_open"));
}

/* Under Wine the name goes, and the file with its last view; Windows refuses with this code. */
static void a_mapped_file_is_not_deleted(void **state) {
    (void)state;
    if (ON_WINDOWS) {
        skip();
    }
    HANDLE section = NULL;
    scratch_file("delete_mapped", 10000, 0);
    void *view = map("delete_mapped", &section);
    fails(DeleteFileA("delete_mapped"), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(section));
    fails(DeleteFileA("delete_mapped"), ERROR_ACCESS_DENIED);
    assert_true(UnmapViewOfFile(view));
    assert_true(DeleteFileA("delete_mapped"));
}

/* ---- MoveFileEx ---- */

static void a_moved_file_has_the_other_name_only(void **state) {
    (void)state;
    WCHAR from[256];
    WCHAR to[256];
    scratch_file("move_from", 100, 3);
    assert_true(MoveFileExA("move_from", "move_to", 0));
    assert_int_equal(scratch_size("move_from"), -1);
    assert_int_equal(scratch_size("move_to"), 100);
    assert_true(MoveFileExW(wide("move_to", from), wide("move_from", to), MOVEFILE_WRITE_THROUGH));
    assert_int_equal(scratch_size("move_from"), 100);
    assert_int_equal(scratch_size("move_to"), -1);
}

static void a_move_replaces_only_if_asked(void **state) {
    (void)state;
    scratch_file("new", 100, 1);
    scratch_file("old", 200, 2);
    fails(MoveFileExA("new", "old", 0), ERROR_ALREADY_EXISTS);
    assert_int_equal(scratch_size("new"), 100);
    assert_int_equal(scratch_size("old"), 200);
    assert_true(MoveFileExA("new", "old", MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH));
    assert_int_equal(scratch_size("new"), -1);
    assert_int_equal(scratch_size("old"), 100);
}

static void a_move_onto_itself_changes_nothing(void **state) {
    (void)state;
    scratch_file("itself", 100, 1);
    assert_true(MoveFileExA("itself", "itself", 0));
    assert_true(MoveFileExA("itself", "./itself", MOVEFILE_REPLACE_EXISTING));
    assert_int_equal(scratch_size("itself"), 100);
}

static void a_move_that_cannot_be_has_its_error(void **state) {
    (void)state;
    scratch_file("stays", 100, 1);
    fails(MoveFileExA("missing", "x", 0), ERROR_FILE_NOT_FOUND);
    fails(MoveFileExA("missing/file", "x", 0), ERROR_PATH_NOT_FOUND);
    fails(MoveFileExA("stays", "missing/x", 0), ERROR_PATH_NOT_FOUND);
    fails(MoveFileExA("stays", "missing/x", MOVEFILE_REPLACE_EXISTING), ERROR_PATH_NOT_FOUND);
    fails(MoveFileExA("", "x", 0), ERROR_PATH_NOT_FOUND);
    fails(MoveFileExA("stays", "", 0), ERROR_PATH_NOT_FOUND);
    fails(MoveFileExA("stays", ".", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    assert_int_equal(scratch_size("stays"), 100);
}

static void a_file_in_use_is_not_replaced(void **state) {
    (void)state;
    HANDLE section = NULL;
    scratch_file("taker", 100, 1);
    scratch_file("taken", 10000, 2);
    HANDLE file = open_sharing("taken", SHARE_ALL);
    fails(MoveFileExA("taker", "taken", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
    void *view = map("taken", &section);
    fails(MoveFileExA("taker", "taken", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(section));
    fails(MoveFileExA("taker", "taken", MOVEFILE_REPLACE_EXISTING), ERROR_ACCESS_DENIED);
    assert_int_equal(scratch_size("taker"), 100);
    assert_int_equal(scratch_size("taken"), 10000);
    assert_true(UnmapViewOfFile(view));
    assert_true(MoveFileExA("taker", "taken", MOVEFILE_REPLACE_EXISTING));
    assert_int_equal(scratch_size("taken"), 100);
}

static void a_mapped_file_can_be_moved(void **state) {
    (void)state;
    HANDLE section = NULL;
    scratch_file("mapped", 10000, 5);
    void *view = map("mapped", &section);
    assert_true(MoveFileExA("mapped", "moved", 0));
    assert_int_equal(((unsigned char *)view)[9999], scratch_byte(9999, 5));
    unmap(view, section);
    assert_int_equal(scratch_size("moved"), 10000);
}

/* ---- ReplaceFile ---- */

/* Wine 8 says ERROR_DIRECTORY whenever no backup is named. */
static void a_replaced_file_has_the_new_contents(void **state) {
    (void)state;
    if (ON_WINDOWS) {
        skip();
    }
    scratch_file("target", 100, 1);
    scratch_file("fresh", 200, 2);
    assert_true(ReplaceFileA("target", "fresh", NULL, 0, NULL, NULL));
    assert_int_equal(scratch_size("target"), 200);
    assert_int_equal(scratch_size("fresh"), -1);
}

static void a_backup_has_the_old_contents(void **state) {
    (void)state;
    WCHAR names[3][256];
    scratch_file("b_target", 100, 1);
    scratch_file("b_fresh", 200, 2);
    scratch_file("b_backup", 300, 3);
    assert_true(ReplaceFileA("b_target", "b_fresh", "b_backup", 0, NULL, NULL));
    assert_int_equal(scratch_size("b_target"), 200);
    assert_int_equal(scratch_size("b_fresh"), -1);
    assert_int_equal(scratch_size("b_backup"), 100);
    scratch_file("b_fresh", 400, 4);
    assert_true(ReplaceFileW(wide("b_target", names[0]), wide("b_fresh", names[1]),
                             wide("b_backup_2", names[2]), REPLACEFILE_WRITE_THROUGH, NULL, NULL));
    assert_int_equal(scratch_size("b_target"), 400);
    assert_int_equal(scratch_size("b_backup_2"), 200);
}

static void a_replacement_that_cannot_be_has_its_error(void **state) {
    (void)state;
    scratch_file("r_target", 100, 1);
    scratch_file("r_fresh", 200, 2);
    fails(ReplaceFileA("missing", "r_fresh", NULL, 0, NULL, NULL), ERROR_FILE_NOT_FOUND);
    fails(ReplaceFileA("r_target", "missing", NULL, 0, NULL, NULL), ERROR_FILE_NOT_FOUND);
    fails(ReplaceFileA(NULL, "r_fresh", NULL, 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    fails(ReplaceFileA("r_target", NULL, NULL, 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    HANDLE file = open_sharing("r_target", FILE_SHARE_READ);
    fails(ReplaceFileA("r_target", "r_fresh", "r_backup", 0, NULL, NULL), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(file));
    file = open_sharing("r_fresh", FILE_SHARE_READ);
    fails(ReplaceFileA("r_target", "r_fresh", "r_backup", 0, NULL, NULL), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(file));
    assert_int_equal(scratch_size("r_target"), 100);
    assert_int_equal(scratch_size("r_fresh"), 200);
    assert_int_equal(scratch_size("r_backup"), -1);
}

static void views_of_the_replaced_file_keep_its_bytes(void **state) {
    (void)state;
    HANDLE section = NULL;
    scratch_file("v_target", 10000, 6);
    scratch_file("v_fresh", 200, 2);
    void *view = map("v_target", &section);
    assert_true(ReplaceFileA("v_target", "v_fresh", "v_backup", 0, NULL, NULL));
    assert_int_equal(scratch_size("v_target"), 200);
    assert_int_equal(scratch_size("v_backup"), 10000);
    assert_int_equal(((unsigned char *)view)[9999], scratch_byte(9999, 6));
    unmap(view, section);
}

/* ---- Disk space, paths ---- */

static void a_disk_has_space(void **state) {
    (void)state;
    ULARGE_INTEGER available;
    ULARGE_INTEGER total;
    ULARGE_INTEGER unused;
    ULARGE_INTEGER same = {.QuadPart = 7};
    WCHAR here[256];
    assert_true(GetDiskFreeSpaceExA(NULL, &available, &total, &unused));
    assert_true(total.QuadPart > 0);
    assert_true(available.QuadPart <= total.QuadPart && unused.QuadPart <= total.QuadPart);
    fails(GetDiskFreeSpaceExA("missing", &same, NULL, NULL), ERROR_FILE_NOT_FOUND);
    fails(GetDiskFreeSpaceExA("", &same, NULL, NULL), ERROR_PATH_NOT_FOUND);
    scratch_file("no_directory", 1, 0);
    fails(GetDiskFreeSpaceExA("no_directory", &same, NULL, NULL), ERROR_DIRECTORY);
    assert_int_equal(same.QuadPart, 7);
    assert_true(GetDiskFreeSpaceExW(wide(".", here), NULL, &same, NULL));
    assert_true(same.QuadPart == total.QuadPart);
}

static void a_full_path_ends_in_the_name(void **state) {
    (void)state;
    char path[1024];
    char *name = NULL;
    WCHAR asked[256];
    WCHAR full[1024];
    WCHAR *wide_name = NULL;
    DWORD length = GetFullPathNameA("x/./y/../name", sizeof path, path, &name);
    assert_int_equal(strlen(path), length);
    assert_string_equal(name, "name");
    assert_true(name == path + length - 4);
    assert_null(strstr(path, ".."));
    assert_int_equal(path[length - 6], 'x');
    assert_int_equal(GetFullPathNameW(wide("x/./y/../name", asked), 1024, full, &wide_name),
                     length);
    assert_true(wide_name == full + length - 4);
    name = path;
    length = GetFullPathNameA("directory/", sizeof path, path, &name);
    assert_true(length > 0);
    assert_null(name);
}

static void a_short_buffer_gets_the_size_it_needs(void **state) {
    (void)state;
    char path[1024] = "kept";
    DWORD length = GetFullPathNameA("name", sizeof path, path, NULL);
    assert_int_equal(GetFullPathNameA("name", 0, NULL, NULL), length + 1);
    memcpy(path, "kept", sizeof "kept");
    assert_int_equal(GetFullPathNameA("name", length, path, NULL), length + 1);
    assert_string_equal(path, "kept");
    assert_int_equal(GetFullPathNameA("name", length + 1, path, NULL), length);
    assert_int_equal(GetFullPathNameA("", sizeof path, path, NULL), 0);
}

static void the_temporary_directory_exists_and_ends_in_a_slash(void **state) {
    (void)state;
    char path[1024];
    WCHAR wide_path[1024];
    DWORD length = GetTempPathA(sizeof path, path);
    assert_int_equal(strlen(path), length);
    assert_true(path[length - 1] == '/' || path[length - 1] == '\\');
    assert_int_equal(GetTempPathA(0, NULL), length + 1);
    assert_int_equal(GetTempPathA(2, path), length + 1);
    assert_int_equal(GetTempPathW(1024, wide_path), length);
    assert_true(GetFileAttributesW(wide_path) & FILE_ATTRIBUTE_DIRECTORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_tell_files_from_directories),
        cmocka_unit_test(attributes_of_what_is_missing_are_an_error),
        cmocka_unit_test(attributes_ex_tell_size_and_times),
        cmocka_unit_test(a_deleted_file_is_gone),
        cmocka_unit_test(what_cannot_be_deleted_has_its_error),
        cmocka_unit_test(a_handle_that_does_not_share_deletion_forbids_it),
        cmocka_unit_test(a_mapped_file_is_not_deleted),
        cmocka_unit_test(a_moved_file_has_the_other_name_only),
        cmocka_unit_test(a_move_replaces_only_if_asked),
        cmocka_unit_test(a_move_onto_itself_changes_nothing),
        cmocka_unit_test(a_move_that_cannot_be_has_its_error),
        cmocka_unit_test(a_file_in_use_is_not_replaced),
        cmocka_unit_test(a_mapped_file_can_be_moved),
        cmocka_unit_test(a_replaced_file_has_the_new_contents),
        cmocka_unit_test(a_backup_has_the_old_contents),
        cmocka_unit_test(a_replacement_that_cannot_be_has_its_error),
        cmocka_unit_test(views_of_the_replaced_file_keep_its_bytes),
        cmocka_unit_test(a_disk_has_space),
        cmocka_unit_test(a_full_path_ends_in_the_name),
        cmocka_unit_test(a_short_buffer_gets_the_size_it_needs),
        cmocka_unit_test(the_temporary_directory_exists_and_ends_in_a_slash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
