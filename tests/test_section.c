/*
 * test_section.c - CreateFileMapping over files: rights, protections, flags, sizes, lifetime.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define PAGES(n) ((uint64_t)(n)*4096)

/* Wine gives executable sections without GENERIC_EXECUTE on the file; Windows and keepmap do not.
 */
#if defined(_WIN32)
#define DENIED_BUT_NOT_BY_WINE ERROR_SUCCESS
#else
#define DENIED_BUT_NOT_BY_WINE ERROR_ACCESS_DENIED
#endif

static HANDLE open_file(const char *name, DWORD access) {
    HANDLE file = CreateFileA(name, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static HANDLE make_file(const char *name, uint64_t size, DWORD access) {
    scratch_file(name, size, 1);
    return open_file(name, access);
}

static HANDLE make_section(HANDLE file, DWORD protection, uint64_t size) {
    return CreateFileMappingA(file, NULL, protection, (DWORD)(size >> 32), (DWORD)size, NULL);
}

/* The error that making the section ends with; ERROR_SUCCESS, and it is closed, if it is made. */
static DWORD section_error(HANDLE file, DWORD protection, uint64_t size) {
    SetLastError(4711);
    HANDLE section = make_section(file, protection, size);
    if (section == NULL) {
        return GetLastError();
    }
    assert_ptr_not_equal(section, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    assert_true(CloseHandle(section));
    return ERROR_SUCCESS;
}

static DWORD view_error(HANDLE section, DWORD access, SIZE_T length) {
    SetLastError(4711);
    void *view = MapViewOfFile(section, access, 0, 0, length);
    if (view == NULL) {
        return GetLastError();
    }
    assert_int_equal(GetLastError(), 4711);
    assert_true(UnmapViewOfFile(view));
    return ERROR_SUCCESS;
}

static void assert_error(DWORD found, DWORD expected, const char *what, unsigned row) {
    if (found != expected) {
        fail_msg("%s, row %u: error %lu, expected %lu", what, row, (unsigned long)found,
                 (unsigned long)expected);
    }
}

static void the_files_rights_decide_which_protections_it_can_have(void **state) {
    (void)state;
    static const DWORD accesses[] = {0, GENERIC_WRITE, GENERIC_READ, GENERIC_READ | GENERIC_WRITE,
                                     GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE};
    static const struct {
        DWORD protection;
        DWORD errors[5];
    } rows[] = {
        {PAGE_READONLY, {5, 5, 0, 0, 0}},
        {PAGE_READWRITE, {5, 5, 5, 0, 0}},
        {PAGE_WRITECOPY, {5, 5, 0, 0, 0}},
        {PAGE_EXECUTE_READ, {5, 5, DENIED_BUT_NOT_BY_WINE, DENIED_BUT_NOT_BY_WINE, 0}},
        {PAGE_EXECUTE_READWRITE, {5, 5, 5, DENIED_BUT_NOT_BY_WINE, 0}},
        {PAGE_EXECUTE_WRITECOPY, {5, 5, DENIED_BUT_NOT_BY_WINE, DENIED_BUT_NOT_BY_WINE, 0}},
    };
    scratch_file("rights", PAGES(2), 1);
    for (unsigned a = 0; a < sizeof accesses / sizeof accesses[0]; ++a) {
        HANDLE file = open_file("rights", accesses[a]);
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
            assert_error(section_error(file, rows[i].protection, 0), rows[i].errors[a],
                         "protection x access", i * 10 + a);
        }
        assert_true(CloseHandle(file));
    }
}

static void what_is_no_section_protection_is_refused_before_the_file_is_looked_at(void **state) {
    (void)state;
    static const DWORD protections[] = {0,
                                        PAGE_NOACCESS,
                                        PAGE_EXECUTE,
                                        PAGE_READONLY | PAGE_READWRITE,
                                        PAGE_READWRITE | PAGE_WRITECOPY,
                                        PAGE_READWRITE | PAGE_GUARD,
                                        PAGE_READWRITE | PAGE_NOCACHE,
                                        PAGE_READWRITE | 0x10000,
                                        PAGE_READWRITE | 0x200000};
    HANDLE file = make_file("protections", PAGES(1), GENERIC_READ | GENERIC_WRITE);
    HANDLE mute = open_file("protections", 0);
    for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        assert_error(section_error(file, protections[i], 0), ERROR_INVALID_PARAMETER, "protection",
                     i);
        assert_error(section_error(mute, protections[i], 0), ERROR_INVALID_PARAMETER, "no access",
                     i);
        assert_error(section_error(INVALID_HANDLE_VALUE, protections[i], 4096),
                     ERROR_INVALID_PARAMETER, "no file", i);
    }
    assert_true(CloseHandle(mute));
    assert_true(CloseHandle(file));
}

static void section_flags_go_together_as_on_windows(void **state) {
    (void)state;
    static const struct {
        DWORD flags;
        DWORD error;
    } rows[] = {
        {SEC_COMMIT, 0},
        {SEC_RESERVE, 0},
        {SEC_RESERVE | SEC_COMMIT, 87},
        {SEC_NOCACHE, 87},
        {SEC_WRITECOMBINE, 87},
        {SEC_NOCACHE | SEC_COMMIT, 0},
        {SEC_NOCACHE | SEC_RESERVE, 0},
        {SEC_WRITECOMBINE | SEC_COMMIT, 0},
        {SEC_WRITECOMBINE | SEC_RESERVE, 0},
        {SEC_LARGE_PAGES, 87},
        {SEC_LARGE_PAGES | SEC_RESERVE, 87},
        {SEC_LARGE_PAGES | SEC_COMMIT, 87},
        {SEC_IMAGE, 193},
        {SEC_IMAGE | SEC_RESERVE, 87},
        {SEC_IMAGE | SEC_COMMIT, 87},
        {SEC_IMAGE | SEC_LARGE_PAGES, 87},
        {SEC_IMAGE | SEC_WRITECOMBINE, 87},
        {SEC_FILE, 87},
        {SEC_FILE | SEC_COMMIT, 87},
    };
    HANDLE file = make_file("flags", PAGES(1), GENERIC_READ | GENERIC_WRITE);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        assert_error(section_error(file, PAGE_READWRITE | rows[i].flags, 0), rows[i].error, "flags",
                     i);
    }
    assert_true(CloseHandle(file));
}

static void a_size_of_zero_means_the_files_own_to_the_byte(void **state) {
    (void)state;
    HANDLE file = make_file("own_size", 0x3456, GENERIC_READ);
    HANDLE section = make_section(file, PAGE_READONLY, 0);
    assert_non_null(section);
    assert_int_equal(view_error(section, FILE_MAP_READ, 0x3456), ERROR_SUCCESS);
    assert_int_equal(view_error(section, FILE_MAP_READ, 0x3457), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void an_empty_file_has_no_section_of_its_own_size(void **state) {
    (void)state;
    HANDLE file = make_file("empty", 0, GENERIC_READ | GENERIC_WRITE);
    assert_int_equal(section_error(file, PAGE_READONLY, 0), ERROR_FILE_INVALID);
    assert_int_equal(section_error(file, PAGE_WRITECOPY, 0), ERROR_FILE_INVALID);
    assert_int_equal(section_error(file, PAGE_READWRITE, 0), ERROR_FILE_INVALID);
    HANDLE reader = open_file("empty", GENERIC_READ);
    assert_int_equal(section_error(reader, PAGE_READONLY, 0), ERROR_FILE_INVALID);
    assert_int_equal(section_error(reader, PAGE_READWRITE, 0), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(reader));
    assert_true(CloseHandle(file));
}

static void a_larger_writable_section_lets_the_file_grow_at_once(void **state) {
    (void)state;
    HANDLE file = make_file("grows", 100, GENERIC_READ | GENERIC_WRITE);
    HANDLE section = make_section(file, PAGE_READWRITE, 70001);
    assert_non_null(section);
    LARGE_INTEGER size = {.QuadPart = 0};
    assert_true(GetFileSizeEx(file, &size));
    assert_int_equal(size.QuadPart, 70001);
    const unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    assert_int_equal(view[99], scratch_byte(99, 1));
    assert_int_equal(view[100], 0);
    assert_int_equal(view[70000], 0);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    assert_int_equal(scratch_size("grows"), 70001);
}

static void a_larger_section_that_may_not_write_is_refused_and_the_file_stays(void **state) {
    (void)state;
    HANDLE file = make_file("stays", 100, GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE);
    static const DWORD protections[] = {PAGE_READONLY, PAGE_WRITECOPY, PAGE_EXECUTE_READ,
                                        PAGE_EXECUTE_WRITECOPY};
    for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        assert_error(section_error(file, protections[i], 101), ERROR_NOT_ENOUGH_MEMORY, "larger",
                     i);
    }
    assert_int_equal(section_error(file, PAGE_READONLY, UINT64_C(1) << 63),
                     ERROR_NOT_ENOUGH_MEMORY);
    assert_int_equal(scratch_size("stays"), 100);
    assert_int_not_equal(section_error(file, PAGE_READWRITE, UINT64_C(1) << 63), ERROR_SUCCESS);
    assert_int_not_equal(section_error(file, PAGE_READWRITE, UINT64_MAX), ERROR_SUCCESS);
    assert_int_equal(scratch_size("stays"), 100);
    assert_true(CloseHandle(file));
}

static void a_smaller_section_ends_where_it_says_and_the_file_stays(void **state) {
    (void)state;
    HANDLE file = make_file("smaller", PAGES(3), GENERIC_READ | GENERIC_WRITE);
    HANDLE section = make_section(file, PAGE_READWRITE, 5000);
    assert_non_null(section);
    assert_int_equal(view_error(section, FILE_MAP_WRITE, 5000), ERROR_SUCCESS);
    assert_int_equal(view_error(section, FILE_MAP_WRITE, 5001), ERROR_ACCESS_DENIED);
    assert_int_equal(scratch_size("smaller"), PAGES(3));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void a_section_does_not_follow_its_file(void **state) {
    (void)state;
    HANDLE file = make_file("follows", PAGES(1), GENERIC_READ | GENERIC_WRITE);
    HANDLE section = make_section(file, PAGE_READWRITE, 0);
    assert_non_null(section);
    const LARGE_INTEGER end = {.QuadPart = (LONGLONG)PAGES(4)};
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    assert_true(SetEndOfFile(file));
    assert_int_equal(view_error(section, FILE_MAP_READ, PAGES(1) + 1), ERROR_ACCESS_DENIED);
    assert_int_equal(view_error(section, FILE_MAP_READ, 0), ERROR_SUCCESS);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void what_is_no_open_file_is_an_invalid_handle(void **state) {
    (void)state;
    HANDLE file = make_file("handles", PAGES(1), GENERIC_READ);
    HANDLE section = make_section(file, PAGE_READONLY, 0);
    assert_non_null(section);
    assert_int_equal(section_error(section, PAGE_READONLY, 0), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    assert_int_equal(section_error(file, PAGE_READONLY, 0), ERROR_INVALID_HANDLE);
    assert_int_equal(section_error((HANDLE)(uintptr_t)0x123454, PAGE_READONLY, 0),
                     ERROR_INVALID_HANDLE);
    HANDLE directory = CreateFileA(".", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                   OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    assert_ptr_not_equal(directory, INVALID_HANDLE_VALUE);
    assert_int_equal(section_error(directory, PAGE_READONLY, 0), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(directory));
}

static void without_a_file_a_size_is_needed(void **state) {
    (void)state;
    assert_int_equal(section_error(INVALID_HANDLE_VALUE, PAGE_READWRITE, 0),
                     ERROR_INVALID_PARAMETER);
    assert_int_equal(section_error(INVALID_HANDLE_VALUE, PAGE_READWRITE | SEC_NOCACHE, 4096),
                     ERROR_INVALID_PARAMETER);
    assert_int_equal(section_error(INVALID_HANDLE_VALUE, PAGE_READWRITE | SEC_IMAGE, 4096),
                     ERROR_BAD_EXE_FORMAT);
}

static void the_w_call_is_the_same_call(void **state) {
    (void)state;
    HANDLE file = make_file("wide", PAGES(1), GENERIC_READ);
    static const WCHAR no_name[] = {0};
    SetLastError(4711);
    HANDLE section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, no_name);
    assert_non_null(section);
    assert_int_equal(GetLastError(), ERROR_SUCCESS);
    assert_int_equal(view_error(section, FILE_MAP_READ, PAGES(1)), ERROR_SUCCESS);
    assert_true(CloseHandle(section));
    assert_null(CreateFileMappingW(file, NULL, PAGE_READWRITE, 0, 0, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
}

static void a_section_outlives_its_files_handle(void **state) {
    (void)state;
    HANDLE file = make_file("outlives", PAGES(1), GENERIC_READ | GENERIC_WRITE);
    HANDLE section = make_section(file, PAGE_READWRITE, 0);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    assert_true(CloseHandle(section));
    assert_int_equal(view[10], scratch_byte(10, 1));
    view[10] ^= 0xFF;
    const unsigned char stored = view[10];
    assert_true(FlushViewOfFile(view, 0));
    assert_true(UnmapViewOfFile(view));
    file = open_file("outlives", GENERIC_READ);
    unsigned char bytes[11] = {0};
    DWORD done = 0;
    assert_true(ReadFile(file, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(done, sizeof bytes);
    assert_int_equal(bytes[10], stored);
    assert_true(CloseHandle(file));
}

static DWORD cut(const char *name, LONGLONG size) {
    HANDLE file = open_file(name, GENERIC_READ | GENERIC_WRITE);
    const LARGE_INTEGER end = {.QuadPart = size};
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    const DWORD error = SetEndOfFile(file) ? ERROR_SUCCESS : GetLastError();
    assert_true(CloseHandle(file));
    return error;
}

static void no_file_is_cut_while_a_section_or_a_view_needs_it(void **state) {
    (void)state;
    HANDLE file = make_file("cut", PAGES(4), GENERIC_READ);
    HANDLE section = make_section(file, PAGE_READONLY, 4);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    assert_int_equal(cut("cut", (LONGLONG)PAGES(3)), ERROR_USER_MAPPED_FILE);
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    assert_true(CloseHandle(section));
    assert_int_equal(cut("cut", (LONGLONG)PAGES(3)), ERROR_USER_MAPPED_FILE);
    assert_int_equal(scratch_size("cut"), PAGES(4));
    assert_true(UnmapViewOfFile(view));
    assert_int_equal(cut("cut", (LONGLONG)PAGES(3)), ERROR_SUCCESS);
    assert_int_equal(scratch_size("cut"), PAGES(3));
}

static DWORD cut_through(HANDLE file, LONGLONG size) {
    const LARGE_INTEGER end = {.QuadPart = size};
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    return SetEndOfFile(file) ? ERROR_SUCCESS : GetLastError();
}

static void the_handle_itself_does_not_cut_what_is_mapped_through_it(void **state) {
    (void)state;
    static const DWORD protections[] = {PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY};
    for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        HANDLE file = make_file("itself", PAGES(4), GENERIC_READ | GENERIC_WRITE);
        HANDLE section = make_section(file, protections[i], 0);
        assert_non_null(section);
        void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
        assert_non_null(view);
        assert_int_equal(cut_through(file, (LONGLONG)PAGES(3)), ERROR_USER_MAPPED_FILE);
        assert_true(CloseHandle(section));
        assert_int_equal(cut_through(file, (LONGLONG)PAGES(3)), ERROR_USER_MAPPED_FILE);
        assert_int_equal(cut("itself", (LONGLONG)PAGES(3)), ERROR_USER_MAPPED_FILE);
        assert_int_equal(scratch_size("itself"), PAGES(4));
        assert_true(UnmapViewOfFile(view));
        assert_int_equal(cut_through(file, (LONGLONG)PAGES(3)), ERROR_SUCCESS);
        assert_int_equal(scratch_size("itself"), PAGES(3));
        assert_true(CloseHandle(file));
    }
}

static void a_refused_section_leaves_the_file_free_to_be_cut(void **state) {
    (void)state;
    HANDLE file = make_file("refused", PAGES(2), GENERIC_READ | GENERIC_WRITE);
    assert_int_equal(section_error(file, PAGE_READONLY, PAGES(3)), ERROR_NOT_ENOUGH_MEMORY);
    assert_int_equal(cut_through(file, (LONGLONG)PAGES(1)), ERROR_SUCCESS);
    assert_true(CloseHandle(file));
}

static void of_two_sections_of_a_handle_the_last_counts(void **state) {
    (void)state;
    HANDLE file = make_file("last", PAGES(2), GENERIC_READ | GENERIC_WRITE);
    HANDLE first = make_section(file, PAGE_READONLY, 0);
    HANDLE second = make_section(file, PAGE_READWRITE, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_true(CloseHandle(first));
    assert_int_equal(cut_through(file, 10), ERROR_USER_MAPPED_FILE);
    assert_int_equal(cut("last", 10), ERROR_USER_MAPPED_FILE);
    assert_true(CloseHandle(second));
    assert_int_equal(cut_through(file, 10), ERROR_SUCCESS);
    assert_true(CloseHandle(file));
}

static void each_of_two_handles_keeps_the_other_from_cutting(void **state) {
    (void)state;
    HANDLE one = make_file("two", PAGES(4), GENERIC_READ | GENERIC_WRITE);
    HANDLE other = open_file("two", GENERIC_READ | GENERIC_WRITE);
    HANDLE of_one = make_section(one, PAGE_READONLY, 0);
    HANDLE of_other = make_section(other, PAGE_READONLY, 0);
    assert_non_null(of_one);
    assert_non_null(of_other);
    assert_true(CloseHandle(of_one));
    assert_int_equal(cut_through(one, 10), ERROR_USER_MAPPED_FILE);
    assert_int_equal(cut_through(one, 10), ERROR_USER_MAPPED_FILE);
    assert_true(CloseHandle(other));
    assert_int_equal(cut_through(one, 10), ERROR_USER_MAPPED_FILE);
    assert_true(CloseHandle(of_other));
    assert_int_equal(cut_through(one, 10), ERROR_SUCCESS);
    assert_true(CloseHandle(one));
}

static HANDLE duplicate(HANDLE section, DWORD access) {
    HANDLE copy = NULL;
    assert_true(DuplicateHandle(GetCurrentProcess(), section, GetCurrentProcess(), &copy, access,
                                FALSE, 0));
    return copy;
}

static void a_duplicate_maps_what_its_own_rights_allow(void **state) {
    (void)state;
    static const DWORD accesses[] = {0,
                                     FILE_MAP_COPY,
                                     FILE_MAP_READ,
                                     FILE_MAP_WRITE,
                                     FILE_MAP_READ | FILE_MAP_WRITE,
                                     FILE_MAP_ALL_ACCESS};
    static const struct {
        DWORD rights;
        DWORD errors[6];
    } rows[] = {
        {FILE_MAP_READ, {0, 0, 0, 5, 5, 5}},
        {FILE_MAP_WRITE, {5, 5, 5, 0, 0, 0}},
        {FILE_MAP_READ | FILE_MAP_WRITE, {0, 0, 0, 0, 0, 0}},
        {0, {5, 5, 5, 5, 5, 5}},
        {SECTION_QUERY, {5, 5, 5, 5, 5, 5}},
    };
    HANDLE file = make_file("duplicate", PAGES(1), GENERIC_READ | GENERIC_WRITE);
    HANDLE section = make_section(file, PAGE_READWRITE, 0);
    assert_non_null(section);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        HANDLE copy = duplicate(section, rows[i].rights);
        for (unsigned a = 0; a < sizeof accesses / sizeof accesses[0]; ++a) {
            assert_error(view_error(copy, accesses[a], 0), rows[i].errors[a], "rights x access",
                         i * 10 + a);
        }
        assert_true(CloseHandle(copy));
    }
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void the_section_of_a_file_opened_for_random_access_reads_the_same(void **state) {
    (void)state;
    static const DWORD flags[] = {FILE_FLAG_RANDOM_ACCESS, FILE_FLAG_SEQUENTIAL_SCAN,
                                  FILE_FLAG_WRITE_THROUGH};
    scratch_file("advice", PAGES(5), 1);
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; ++i) {
        HANDLE file = CreateFileA("advice", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                                  OPEN_EXISTING, flags[i], NULL);
        assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
        HANDLE section = make_section(file, PAGE_READWRITE, 0);
        assert_non_null(section);
        const unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
        assert_non_null(view);
        assert_int_equal(view[PAGES(4) + 9], scratch_byte(PAGES(4) + 9, 1));
        assert_true(UnmapViewOfFile(view));
        assert_true(CloseHandle(section));
        assert_true(CloseHandle(file));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_rights_decide_which_protections_it_can_have),
        cmocka_unit_test(what_is_no_section_protection_is_refused_before_the_file_is_looked_at),
        cmocka_unit_test(section_flags_go_together_as_on_windows),
        cmocka_unit_test(a_size_of_zero_means_the_files_own_to_the_byte),
        cmocka_unit_test(an_empty_file_has_no_section_of_its_own_size),
        cmocka_unit_test(a_larger_writable_section_lets_the_file_grow_at_once),
        cmocka_unit_test(a_larger_section_that_may_not_write_is_refused_and_the_file_stays),
        cmocka_unit_test(a_smaller_section_ends_where_it_says_and_the_file_stays),
        cmocka_unit_test(a_section_does_not_follow_its_file),
        cmocka_unit_test(what_is_no_open_file_is_an_invalid_handle),
        cmocka_unit_test(without_a_file_a_size_is_needed),
        cmocka_unit_test(the_w_call_is_the_same_call),
        cmocka_unit_test(a_section_outlives_its_files_handle),
        cmocka_unit_test(no_file_is_cut_while_a_section_or_a_view_needs_it),
        cmocka_unit_test(the_handle_itself_does_not_cut_what_is_mapped_through_it),
        cmocka_unit_test(a_refused_section_leaves_the_file_free_to_be_cut),
        cmocka_unit_test(of_two_sections_of_a_handle_the_last_counts),
        cmocka_unit_test(each_of_two_handles_keeps_the_other_from_cutting),
        cmocka_unit_test(a_duplicate_maps_what_its_own_rights_allow),
        cmocka_unit_test(the_section_of_a_file_opened_for_random_access_reads_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
