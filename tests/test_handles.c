/*
 * test_handles.c - CloseHandle, DuplicateHandle and the flags of handles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#ifdef _WIN32
#define ON_WINDOWS true
#else
#define ON_WINDOWS false
#endif

static HANDLE open_file(const char *name, DWORD access, BOOL inherit) {
    SECURITY_ATTRIBUTES security = {.nLength = sizeof security, .bInheritHandle = inherit};
    HANDLE file = CreateFileA(name, access, FILE_SHARE_READ | FILE_SHARE_WRITE, &security,
                              OPEN_EXISTING, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    return file;
}

static int make_file(void **state) {
    (void)state;
    scratch_file("data", 10000, 1);
    return 0;
}

static void invalid(BOOL result) {
    assert_false(result);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    SetLastError(0);
}

static void a_handle_closes_once(void **state) {
    (void)state;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    SetLastError(77);
    assert_true(CloseHandle(file));
    assert_int_equal(GetLastError(), 77);
    invalid(CloseHandle(file));
    invalid(CloseHandle(NULL));
}

static void pseudo_handles_close_without_effect(void **state) {
    (void)state;
    assert_ptr_equal(GetCurrentProcess(), INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(GetCurrentProcess()));
    assert_true(CloseHandle(GetCurrentProcess()));
    assert_true(CloseHandle((HANDLE)(intptr_t)-2));
}

static void the_low_two_bits_of_a_handle_do_not_count(void **state) {
    (void)state;
    LARGE_INTEGER size;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    assert_int_equal((uintptr_t)file & 3, 0);
    assert_true(GetFileSizeEx((HANDLE)((uintptr_t)file + 3), &size));
    assert_int_equal(size.QuadPart, 10000);
    assert_true(CloseHandle((HANDLE)((uintptr_t)file + 1)));
    invalid(CloseHandle(file));
}

static void inheritance_is_remembered(void **state) {
    (void)state;
    DWORD flags = 77;
    HANDLE plain = open_file("data", GENERIC_READ, FALSE);
    HANDLE handed = open_file("data", GENERIC_READ, TRUE);
    assert_true(GetHandleInformation(plain, &flags));
    assert_int_equal(flags, 0);
    assert_true(GetHandleInformation(handed, &flags));
    assert_int_equal(flags, HANDLE_FLAG_INHERIT);
    assert_true(SetHandleInformation(handed, HANDLE_FLAG_INHERIT, 0));
    assert_true(GetHandleInformation(handed, &flags));
    assert_int_equal(flags, 0);
    assert_true(SetHandleInformation(plain, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
    assert_true(SetHandleInformation(plain, 0, HANDLE_FLAG_PROTECT_FROM_CLOSE));
    assert_true(GetHandleInformation(plain, &flags));
    assert_int_equal(flags, HANDLE_FLAG_INHERIT);
    assert_true(CloseHandle(plain));
    assert_true(CloseHandle(handed));
    flags = 77;
    invalid(GetHandleInformation(plain, &flags));
    assert_int_equal(flags, 77);
    invalid(SetHandleInformation(plain, HANDLE_FLAG_INHERIT, 0));
}

static void a_protected_handle_does_not_close(void **state) {
    (void)state;
    LARGE_INTEGER size;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    assert_true(
        SetHandleInformation(file, HANDLE_FLAG_PROTECT_FROM_CLOSE, HANDLE_FLAG_PROTECT_FROM_CLOSE));
    invalid(CloseHandle(file));
    assert_true(GetFileSizeEx(file, &size));
    assert_true(SetHandleInformation(file, HANDLE_FLAG_PROTECT_FROM_CLOSE, 0));
    assert_true(CloseHandle(file));
}

static BOOL duplicate(HANDLE source, HANDLE *target, DWORD access, BOOL inherit, DWORD options) {
    return DuplicateHandle(GetCurrentProcess(), source, GetCurrentProcess(), target, access,
                           inherit, options);
}

static void a_duplicate_lives_on_its_own(void **state) {
    (void)state;
    LARGE_INTEGER size;
    DWORD flags = 77;
    HANDLE twin = NULL;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    assert_true(duplicate(file, &twin, 0, TRUE, DUPLICATE_SAME_ACCESS));
    assert_true(twin != file);
    assert_true(GetHandleInformation(twin, &flags));
    assert_int_equal(flags, HANDLE_FLAG_INHERIT);
    assert_true(CloseHandle(file));
    assert_true(GetFileSizeEx(twin, &size));
    assert_true(CloseHandle(twin));
}

static void a_duplicate_shares_the_file_pointer(void **state) {
    (void)state;
    unsigned char byte = 0;
    DWORD done = 0;
    HANDLE twin = NULL;
    LARGE_INTEGER position = {.QuadPart = 100};
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    assert_true(duplicate(file, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    assert_true(SetFilePointerEx(file, position, NULL, FILE_BEGIN));
    assert_true(ReadFile(twin, &byte, 1, &done, NULL));
    assert_int_equal(byte, scratch_byte(100, 1));
    assert_true(CloseHandle(file));
    assert_true(CloseHandle(twin));
}

static void a_duplicate_can_have_fewer_rights(void **state) {
    (void)state;
    unsigned char byte = 0;
    DWORD done = 0;
    HANDLE reader = NULL;
    HANDLE file = open_file("data", GENERIC_READ | GENERIC_WRITE, FALSE);
    assert_true(duplicate(file, &reader, GENERIC_READ, FALSE, 0));
    assert_true(ReadFile(reader, &byte, 1, &done, NULL));
    SetLastError(0);
    assert_false(WriteFile(reader, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(reader));
    assert_true(CloseHandle(file));
}

/* Microsoft's documentation names files as what cannot gain rights; Wine lets them. */
static void a_duplicate_of_a_file_gains_no_rights(void **state) {
    (void)state;
    if (ON_WINDOWS) {
        skip();
    }
    HANDLE twin = (HANDLE)&state;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    SetLastError(0);
    assert_false(duplicate(file, &twin, GENERIC_READ | GENERIC_WRITE, FALSE, 0));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_ptr_equal(twin, (HANDLE)&state);
    assert_true(CloseHandle(file));
}

static void a_duplicate_of_a_section_maps_what_it_may(void **state) {
    (void)state;
    HANDLE reader = NULL;
    HANDLE nothing = NULL;
    HANDLE all = NULL;
    HANDLE file = open_file("data", GENERIC_READ | GENERIC_WRITE, FALSE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    assert_true(duplicate(section, &reader, FILE_MAP_READ, FALSE, 0));
    assert_true(duplicate(section, &nothing, 0, FALSE, 0));
    assert_true(duplicate(section, &all, FILE_MAP_ALL_ACCESS, FALSE, 0));
    void *view = MapViewOfFile(reader, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    assert_true(UnmapViewOfFile(view));
    SetLastError(0);
    assert_null(MapViewOfFile(reader, FILE_MAP_WRITE, 0, 0, 0));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    SetLastError(0);
    assert_null(MapViewOfFile(nothing, FILE_MAP_READ, 0, 0, 0));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    view = MapViewOfFile(all, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(reader));
    assert_true(CloseHandle(nothing));
    assert_true(CloseHandle(all));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void close_source_closes_the_source(void **state) {
    (void)state;
    LARGE_INTEGER size;
    HANDLE twin = NULL;
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    assert_true(duplicate(file, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE));
    assert_true(GetFileSizeEx(twin, &size));
    if (twin != file) { /* the system may give the same value again */
        invalid(CloseHandle(file));
    }
    assert_true(CloseHandle(twin));
}

static void wrong_arguments_of_duplicate_handle_have_their_errors(void **state) {
    (void)state;
    HANDLE twin = (HANDLE)&state;
    HANDLE me = GetCurrentProcess();
    HANDLE file = open_file("data", GENERIC_READ, FALSE);
    SetLastError(0);
    invalid(DuplicateHandle(NULL, file, me, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    invalid(DuplicateHandle(me, file, NULL, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    invalid(DuplicateHandle(me, NULL, me, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    invalid(DuplicateHandle(file, file, me, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    assert_true(CloseHandle(file));
    invalid(DuplicateHandle(me, file, me, &twin, 0, FALSE, DUPLICATE_SAME_ACCESS));
    /* Wine sets the target to 0 where it fails. */
    assert_true(ON_WINDOWS || twin == (HANDLE)&state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_closes_once),
        cmocka_unit_test(pseudo_handles_close_without_effect),
        cmocka_unit_test(the_low_two_bits_of_a_handle_do_not_count),
        cmocka_unit_test(inheritance_is_remembered),
        cmocka_unit_test(a_protected_handle_does_not_close),
        cmocka_unit_test(a_duplicate_lives_on_its_own),
        cmocka_unit_test(a_duplicate_shares_the_file_pointer),
        cmocka_unit_test(a_duplicate_can_have_fewer_rights),
        cmocka_unit_test(a_duplicate_of_a_file_gains_no_rights),
        cmocka_unit_test(a_duplicate_of_a_section_maps_what_it_may),
        cmocka_unit_test(close_source_closes_the_source),
        cmocka_unit_test(wrong_arguments_of_duplicate_handle_have_their_errors),
    };
    return cmocka_run_group_tests(tests, make_file, NULL);
}
