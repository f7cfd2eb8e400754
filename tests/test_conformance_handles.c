/*
 * test_conformance_handles.c - handles as such, and how long files, sections and views last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/conformance.h"
#include "support/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SEED 17u

static HANDLE file_of(const char *name) {
    scratch_file(name, 5000, SEED);
    return open_existing(name, RW_ACCESS, SHARE_ALL);
}

static HANDLE plus(HANDLE handle, unsigned bits) {
    return (HANDLE)((uintptr_t)handle + bits);
}

static void only_an_open_handle_can_be_closed(void **state) {
    (void)state;
    const outcome bad = failed_with(ERROR_INVALID_HANDLE);
    HANDLE file = file_of("close");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    row("CloseHandle of a section");
    ask(of_bool(CloseHandle(section)), OK);
    row("CloseHandle of a section, twice");
    ask(of_bool(CloseHandle(section)), bad);
    row("CloseHandle of a file");
    ask(of_bool(CloseHandle(file)), OK);
    row("CloseHandle of a file, twice");
    ask(of_bool(CloseHandle(file)), bad);
    row("CloseHandle of NULL");
    ask(of_bool(CloseHandle(NULL)), bad);
    row("CloseHandle of garbage");
    ask(of_bool(CloseHandle((HANDLE)(uintptr_t)0x7654320)), bad);
    row("CloseHandle of INVALID_HANDLE_VALUE");
    ask(of_bool(CloseHandle(INVALID_HANDLE_VALUE)), OK);
    row("CloseHandle of GetCurrentProcess");
    ask(of_bool(CloseHandle(GetCurrentProcess())), OK);
    row("CloseHandle of (HANDLE)-2");
    ask(of_bool(CloseHandle((HANDLE)(intptr_t)-2)), OK);
    all_rows_agree();
}

static void a_closed_handle_is_good_for_nothing(void **state) {
    (void)state;
    const outcome bad = failed_with(ERROR_INVALID_HANDLE);
    HANDLE file = file_of("stale");
    CloseHandle(file);
    char byte = 0;
    DWORD done = 0;
    LARGE_INTEGER value = {.QuadPart = 0};
    BY_HANDLE_FILE_INFORMATION facts;
    OVERLAPPED at = {.Offset = 0};
    HANDLE twin = NULL;
    row("calls through a closed handle");
    ask(of_bool(ReadFile(file, &byte, 1, &done, NULL)), bad);
    ask(of_bool(WriteFile(file, &byte, 1, &done, NULL)), bad);
    ask(of_bool(GetFileSizeEx(file, &value)), bad);
    ask(of_bool(SetFilePointerEx(file, value, NULL, FILE_BEGIN)), bad);
    ask(of_bool(SetEndOfFile(file)), bad);
    ask(of_bool(FlushFileBuffers(file)), bad);
    ask(of_bool(GetFileInformationByHandle(file, &facts)), bad);
    ask(of_bool(LockFileEx(file, LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)), bad);
    ask(of_bool(UnlockFileEx(file, 0, 1, 0, &at)), bad);
    ask(of_bool(GetHandleInformation(file, &done)), bad);
    ask(of_bool(DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &twin, 0, FALSE,
                                DUPLICATE_SAME_ACCESS)),
        bad);
    all_rows_agree();
}

static void handles_are_multiples_of_four_whose_low_bits_are_ignored(void **state) {
    (void)state;
    HANDLE file = file_of("low");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    row("values of handles");
    ask_fact("a file's modulo 4", (uintptr_t)file % 4, 0);
    ask_fact("a section's modulo 4", (uintptr_t)section % 4, 0);
    LARGE_INTEGER size;
    for (unsigned bits = 1; bits < 4; bits++) {
        row("GetFileSizeEx(handle + %u)", bits);
        ask(of_bool(GetFileSizeEx(plus(file, bits), &size)), OK);
        void *view = MapViewOfFile(plus(section, bits), FILE_MAP_READ, 0, 0, 0);
        row("MapViewOfFile(handle + %u)", bits);
        ask_fact("mapped", view != NULL, 1);
        UnmapViewOfFile(view);
    }
    row("CloseHandle(handle + 3)");
    ask(of_bool(CloseHandle(plus(section, 3))), OK);
    ask(of_bool(CloseHandle(section)), failed_with(ERROR_INVALID_HANDLE));
    CloseHandle(file);
    all_rows_agree();
}

static void closing_leaves_the_last_error_alone(void **state) {
    (void)state;
    HANDLE file = file_of("untouched");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    SetLastError(0xBEEF);
    CloseHandle(section);
    row("CloseHandle of a section");
    ask_fact("last error", GetLastError(), 0xBEEF);
    CloseHandle(file);
    row("CloseHandle of a file");
    ask_fact("last error", GetLastError(), 0xBEEF);
    all_rows_agree();
}

static void inheritance_is_what_was_asked(void **state) {
    (void)state;
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    scratch_file("inherit", 5000, SEED);
    HANDLE plain = open_existing("inherit", R_ACCESS, SHARE_ALL);
    HANDLE handed = CreateFileA("inherit", R_ACCESS, SHARE_ALL, &inherited, OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(plain, &inherited, PAGE_READONLY, 0, 0, NULL);
    DWORD flags = 99;
    row("GetHandleInformation of a file");
    ask(of_bool(GetHandleInformation(plain, &flags)), OK);
    ask_fact("flags", flags, 0);
    row("GetHandleInformation of a file opened with bInheritHandle");
    ask(of_bool(GetHandleInformation(handed, &flags)), OK);
    ask_fact("flags", flags, HANDLE_FLAG_INHERIT);
    row("GetHandleInformation of a section made with bInheritHandle");
    ask(of_bool(GetHandleInformation(section, &flags)), OK);
    ask_fact("flags", flags, HANDLE_FLAG_INHERIT);

    row("SetHandleInformation");
    ask(of_bool(SetHandleInformation(handed, HANDLE_FLAG_INHERIT, 0)), OK);
    GetHandleInformation(handed, &flags);
    ask_fact("flags", flags, 0);

    HANDLE twin = NULL;
    row("DuplicateHandle with inheritance");
    ask(of_bool(DuplicateHandle(GetCurrentProcess(), plain, GetCurrentProcess(), &twin, 0, TRUE,
                                DUPLICATE_SAME_ACCESS)),
        OK);
    GetHandleInformation(twin, &flags);
    ask_fact("flags", flags, HANDLE_FLAG_INHERIT);
    CloseHandle(twin);
    CloseHandle(section);
    CloseHandle(handed);
    CloseHandle(plain);
    all_rows_agree();
}

static void a_duplicate_is_the_same_open_file(void **state) {
    (void)state;
    HANDLE file = file_of("twin");
    HANDLE twin = NULL;
    row("DuplicateHandle");
    ask(of_bool(DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &twin, 0, FALSE,
                                DUPLICATE_SAME_ACCESS)),
        OK);
    ask_fact("a handle of its own", twin != file, 1);
    SetFilePointer(file, 123, NULL, FILE_BEGIN);
    ask_fact("position", SetFilePointer(twin, 0, NULL, FILE_CURRENT), 123);
    CloseHandle(file);
    row("a duplicate after the original is closed");
    ask_fact("position", SetFilePointer(twin, 0, NULL, FILE_CURRENT), 123);

    HANDLE moved = NULL;
    row("DuplicateHandle with DUPLICATE_CLOSE_SOURCE");
    ask(of_bool(DuplicateHandle(GetCurrentProcess(), twin, GetCurrentProcess(), &moved, 0, FALSE,
                                DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE)),
        OK);
    ask_fact("position", SetFilePointer(moved, 0, NULL, FILE_CURRENT), 123);
    CloseHandle(moved);
    all_rows_agree();
}

/* ---- Lifetimes ---- */

static void a_view_needs_no_handle(void **state) {
    (void)state;
    HANDLE file = file_of("lasting");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    CloseHandle(file);
    unsigned char *second = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    row("MapViewOfFile with the file's handle closed");
    ask_fact("mapped", second != NULL, 1);
    CloseHandle(section);
    row("a view with every handle closed");
    ask_fact("byte 4999", view[4999], scratch_byte(4999, SEED));
    view[4999] = 0x42;
    ask(of_bool(FlushViewOfFile(view, 0)), OK);
    ask_fact("byte 4999 in a second view", second != NULL ? second[4999] : 0, 0x42);
    view[4998] = 0x43;
    UnmapViewOfFile(second);
    UnmapViewOfFile(view);

    file = open_existing("lasting", R_ACCESS, SHARE_ALL);
    unsigned char bytes[2] = {0};
    DWORD done = 0;
    SetFilePointer(file, 4998, NULL, FILE_BEGIN);
    ReadFile(file, bytes, 2, &done, NULL);
    row("the file after stores with every handle closed");
    ask_fact("byte 4998", bytes[0], 0x43);
    ask_fact("byte 4999", bytes[1], 0x42);
    CloseHandle(file);
    all_rows_agree();
}

static void delete_on_close_waits_for_section_and_view(void **state) {
    (void)state;
    scratch_file("delete", 5000, SEED);
    HANDLE file = CreateFileA("delete", RW_ACCESS | DELETE, SHARE_ALL, NULL, OPEN_EXISTING,
                              FILE_FLAG_DELETE_ON_CLOSE, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    CloseHandle(file);
    row("delete on close with section and view left");
    ask_fact("size", (uint64_t)scratch_size("delete"), 5000);
    CloseHandle(section);
    row("delete on close with a view left");
    ask_fact("size", (uint64_t)scratch_size("delete"), 5000);
    ask_fact("byte 10", view[10], scratch_byte(10, SEED));
    UnmapViewOfFile(view);
    row("delete on close with all gone");
    ask_fact("size, -1 for none", (uint64_t)scratch_size("delete"), UINT64_MAX);
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_an_open_handle_can_be_closed),
        cmocka_unit_test(a_closed_handle_is_good_for_nothing),
        cmocka_unit_test(handles_are_multiples_of_four_whose_low_bits_are_ignored),
        cmocka_unit_test(closing_leaves_the_last_error_alone),
        cmocka_unit_test(inheritance_is_what_was_asked),
        cmocka_unit_test(a_duplicate_is_the_same_open_file),
        cmocka_unit_test(a_view_needs_no_handle),
        cmocka_unit_test(delete_on_close_waits_for_section_and_view),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
