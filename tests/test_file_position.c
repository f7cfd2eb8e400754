/*
 * test_file_position.c - a file's pointer and its end: SetFilePointer(Ex) and SetEndOfFile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define READ_WRITE (GENERIC_READ | GENERIC_WRITE)
#define UNTOUCHED 4711u /* a last error that nobody sets */

static HANDLE open_with(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    SetLastError(UNTOUCHED);
    return CreateFileA(path, access, SHARE_ALL, NULL, disposition, flags, NULL);
}

static HANDLE must_open(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    HANDLE file = open_with(path, access, disposition, flags);
    if (file == INVALID_HANDLE_VALUE) {
        fail_msg("%s: %lu", path, (unsigned long)GetLastError());
    }
    return file;
}

static void refused(const char *path, DWORD access, DWORD disposition, DWORD flags, DWORD code) {
    HANDLE file = open_with(path, access, disposition, flags);
    assert_ptr_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), code);
}

static void must_close(HANDLE handle) {
    assert_true(CloseHandle(handle));
}

static LONGLONG size_of(HANDLE file) {
    LARGE_INTEGER size;
    assert_true(GetFileSizeEx(file, &size));
    return size.QuadPart;
}

static void move_to(HANDLE file, LONGLONG offset) {
    LARGE_INTEGER distance = {.QuadPart = offset};
    assert_true(SetFilePointerEx(file, distance, NULL, FILE_BEGIN));
}

static LONGLONG position_of(HANDLE file) {
    LARGE_INTEGER none = {.QuadPart = 0};
    LARGE_INTEGER position;
    assert_true(SetFilePointerEx(file, none, &position, FILE_CURRENT));
    return position.QuadPart;
}

static void set_file_pointer_ex_keeps_the_rules(void **state) {
    (void)state;
    scratch_file("seek", 100, 0);
    HANDLE file = must_open("seek", READ_WRITE, OPEN_EXISTING, 0);
    LARGE_INTEGER distance = {.QuadPart = -1};
    LARGE_INTEGER position = {.QuadPart = 77};
    move_to(file, 40);
    assert_false(SetFilePointerEx(file, distance, &position, FILE_BEGIN));
    assert_int_equal(GetLastError(), ERROR_NEGATIVE_SEEK);
    distance.QuadPart = -41;
    assert_false(SetFilePointerEx(file, distance, &position, FILE_CURRENT));
    assert_int_equal(GetLastError(), ERROR_NEGATIVE_SEEK);
    distance.QuadPart = -101;
    assert_false(SetFilePointerEx(file, distance, &position, FILE_END));
    assert_int_equal(GetLastError(), ERROR_NEGATIVE_SEEK);
    assert_false(SetFilePointerEx(file, distance, &position, 3));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_int_equal(position.QuadPart, 77);
    assert_int_equal(position_of(file), 40);
    distance.QuadPart = -1;
    SetLastError(UNTOUCHED);
    assert_true(SetFilePointerEx(file, distance, &position, FILE_END));
    assert_int_equal(position.QuadPart, 99);
    assert_int_equal(GetLastError(), UNTOUCHED);
    move_to(file, 5000); /* beyond the end is allowed, and makes nothing longer */
    assert_int_equal(size_of(file), 100);
    must_close(file);
}

static void set_file_pointer_tells_its_two_meanings_apart(void **state) {
    (void)state;
    scratch_file("seek32", 100, 0);
    HANDLE file = must_open("seek32", READ_WRITE, OPEN_EXISTING, 0);
    assert_int_equal(SetFilePointer(file, -1, NULL, FILE_BEGIN), INVALID_SET_FILE_POINTER);
    assert_int_equal(GetLastError(), ERROR_NEGATIVE_SEEK);
    assert_int_equal(SetFilePointer(file, -10, NULL, FILE_END), 90);
    LONG high = 0;
    SetLastError(UNTOUCHED);
    assert_int_equal(SetFilePointer(file, -1, &high, FILE_BEGIN), INVALID_SET_FILE_POINTER);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    assert_int_equal(high, 0);
#ifndef _WIN32 /* now at 4 GiB - 1, one more needs the high half; Wine goes there without */
    assert_int_equal(SetFilePointer(file, 1, NULL, FILE_CURRENT), INVALID_SET_FILE_POINTER);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
#endif
    high = 0;
    assert_int_equal(SetFilePointer(file, 1, &high, FILE_CURRENT), 0);
    assert_int_equal(high, 1);
    must_close(file);
}

static void set_end_of_file_cuts_and_lengthens(void **state) {
    (void)state;
    scratch_file("end", 100, 5);
    HANDLE file = must_open("end", READ_WRITE, OPEN_EXISTING, 0);
    move_to(file, 40);
    assert_true(SetEndOfFile(file));
    assert_int_equal(size_of(file), 40);
    move_to(file, 100000);
    assert_true(SetEndOfFile(file));
    assert_int_equal(size_of(file), 100000);
    assert_int_equal(position_of(file), 100000);
    move_to(file, 39);
    unsigned char bytes[61];
    DWORD done = 0;
    assert_true(ReadFile(file, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(done, sizeof bytes);
    assert_int_equal(bytes[0], scratch_byte(39, 5));
    for (size_t i = 1; i < sizeof bytes; ++i) {
        assert_int_equal(bytes[i], 0); /* what was cut does not come back */
    }
    move_to(file, 100000);
    assert_true(SetEndOfFile(file)); /* where it ends already */
    must_close(file);
}

static void set_end_of_file_needs_write_access(void **state) {
    (void)state;
    scratch_file("end_by_reader", 10, 0);
    HANDLE reader = must_open("end_by_reader", GENERIC_READ, OPEN_EXISTING, 0);
    assert_false(SetEndOfFile(reader));
#ifdef _WIN32
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER); /* Wine; Windows documents 5 */
#else
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
#endif
    must_close(reader);
    assert_int_equal(scratch_size("end_by_reader"), 10);
}

static void a_size_no_file_system_has_is_refused(void **state) {
    (void)state;
    scratch_file("too_long", 10, 0);
    HANDLE file = must_open("too_long", READ_WRITE, OPEN_EXISTING, 0);
    LARGE_INTEGER end = {.QuadPart = INT64_MAX};
    assert_false(SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file));
    assert_int_equal(size_of(file), 10);
    must_close(file);
}

static void a_mapped_file_is_not_cut(void **state) {
    (void)state;
    scratch_file("mapped", 100000, 0);
    HANDLE file = must_open("mapped", READ_WRITE, OPEN_EXISTING, 0);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 4, NULL);
    assert_non_null(section);
    move_to(file, 50000);
    assert_false(SetEndOfFile(file));
    assert_int_equal(GetLastError(), ERROR_USER_MAPPED_FILE);
    refused("mapped", READ_WRITE, CREATE_ALWAYS, 0, ERROR_USER_MAPPED_FILE);
    refused("mapped", READ_WRITE, TRUNCATE_EXISTING, 0, ERROR_USER_MAPPED_FILE);
    assert_int_equal(scratch_size("mapped"), 100000);
    must_close(open_with("mapped", READ_WRITE, OPEN_ALWAYS, 0));
    move_to(file, 200000);
    assert_true(SetEndOfFile(file));
    must_close(section);
    move_to(file, 50000);
    assert_true(SetEndOfFile(file));
    must_close(file);
    assert_int_equal(scratch_size("mapped"), 50000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_file_pointer_ex_keeps_the_rules),
        cmocka_unit_test(set_file_pointer_tells_its_two_meanings_apart),
        cmocka_unit_test(set_end_of_file_cuts_and_lengthens),
        cmocka_unit_test(set_end_of_file_needs_write_access),
        cmocka_unit_test(a_size_no_file_system_has_is_refused),
        cmocka_unit_test(a_mapped_file_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
