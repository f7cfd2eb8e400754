/*
 * test_conformance_sections.c - CreateFileMapping over disk files: flags, sizes, growth, the order
 * of the checks, and what counts as a file.
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
#define SEED 3u

static outcome section_outcome(HANDLE file, DWORD protection, uint64_t size) {
    return of_handle(CreateFileMappingA(file, NULL, protection, (DWORD)(size >> 32),
                                        (DWORD)(size & 0xFFFFFFFFu), NULL));
}

static void a_new_section_sets_the_last_error_to_zero(void **state) {
    (void)state;
    scratch_file("fresh", 5000, SEED);
    HANDLE file = open_existing("fresh", RW_ACCESS, SHARE_ALL);
    SetLastError(0xBEEF);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    row("CreateFileMappingA, new object");
    ask_fact("last error", GetLastError(), 0);
    CloseHandle(section);

    SetLastError(0xBEEF);
    section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    row("CreateFileMappingW, new object");
    ask_fact("last error", GetLastError(), 0);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void an_empty_name_is_no_name(void **state) {
    (void)state;
    scratch_file("unnamed", 5000, SEED);
    HANDLE file = open_existing("unnamed", RW_ACCESS, SHARE_ALL);
    HANDLE one = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 100, "");
    SetLastError(0xBEEF);
    HANDLE other = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 200, "");
    row("CreateFileMapping of the name \"\" twice");
    ask_fact("last error", GetLastError(), 0);
    ask_fact("first section made", one != NULL, 1);
    ask_fact("second section made", other != NULL && other != one, 1);
    CloseHandle(one);
    CloseHandle(other);
    CloseHandle(file);
    all_rows_agree();
}

static void sec_flags_are_judged_in_every_mix(void **state) {
    (void)state;
    static const struct {
        DWORD flags;
        DWORD error; /* 0: ok */
    } rows[] = {
        {0, 0},
        {SEC_COMMIT, 0},
        {SEC_RESERVE, 0},
        {SEC_RESERVE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_NOCACHE, ERROR_INVALID_PARAMETER},
        {SEC_WRITECOMBINE, ERROR_INVALID_PARAMETER},
        {SEC_NOCACHE | SEC_COMMIT, 0},
        {SEC_NOCACHE | SEC_RESERVE, 0},
        {SEC_WRITECOMBINE | SEC_COMMIT, 0},
        {SEC_WRITECOMBINE | SEC_RESERVE, 0},
        {SEC_LARGE_PAGES, ERROR_INVALID_PARAMETER},
        {SEC_LARGE_PAGES | SEC_RESERVE, ERROR_INVALID_PARAMETER},
        {SEC_LARGE_PAGES | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE, ERROR_BAD_EXE_FORMAT},
        {SEC_IMAGE | SEC_RESERVE, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE | SEC_LARGE_PAGES, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE | SEC_WRITECOMBINE, ERROR_INVALID_PARAMETER},
        {SEC_FILE, ERROR_INVALID_PARAMETER},
        {SEC_FILE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_FILE | SEC_RESERVE, ERROR_INVALID_PARAMETER},
        {SEC_FILE | SEC_IMAGE, ERROR_INVALID_PARAMETER},
        {0x10000, ERROR_INVALID_PARAMETER},
        {0x20000, ERROR_INVALID_PARAMETER},
        {0x200000, ERROR_INVALID_PARAMETER},
    };
    scratch_file("flags", 5000, SEED);
    HANDLE file = open_existing("flags", RW_ACCESS, SHARE_ALL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        row("file R|W, PAGE_READWRITE with SEC_ flags %#x", (unsigned)rows[i].flags);
        ask(section_outcome(file, PAGE_READWRITE | rows[i].flags, 0),
            rows[i].error != 0 ? failed_with(rows[i].error) : OK);
    }
    CloseHandle(file);
    all_rows_agree();
}

static void pages_of_a_reserved_file_section_are_committed(void **state) {
    (void)state;
    scratch_file("reserve", 5000, SEED);
    HANDLE file = open_existing("reserve", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE | SEC_RESERVE, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    MEMORY_BASIC_INFORMATION facts = {0};
    VirtualQuery(view, &facts, sizeof facts);
    row("SEC_RESERVE over a file");
    ask_fact("State", facts.State, MEM_COMMIT);
    ask_fact("byte 4999", view[4999], scratch_byte(4999, SEED));
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void size_zero_is_the_files_size_to_the_byte(void **state) {
    (void)state;
    scratch_file("exact", 0x3456, SEED);
    HANDLE file = open_existing("exact", R_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READONLY, 0);
    row("section of size 0 over a file of 0x3456, all of it");
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0x3456);
    ask(view != NULL ? OK : failed_with(GetLastError()), OK);
    UnmapViewOfFile(view);
    row("section of size 0 over a file of 0x3456, one byte more");
    view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0x3457);
    ask(view != NULL ? OK : failed_with(GetLastError()), failed_with(ERROR_ACCESS_DENIED));
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void a_larger_section_grows_the_file_at_once_with_zeros(void **state) {
    (void)state;
    scratch_file("grow", 100, SEED);
    HANDLE file = open_existing("grow", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 200000);
    LARGE_INTEGER size = {.QuadPart = 0};
    row("PAGE_READWRITE of 200000 over a file of 100");
    ask(of_bool(GetFileSizeEx(file, &size)), OK);
    ask_fact("GetFileSizeEx before any view", (uint64_t)size.QuadPart, 200000);

    const unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    unsigned nonzero = 0;
    for (size_t i = 100; i < 200000; i++) {
        nonzero += view[i] != 0;
    }
    ask_fact("new bytes that are not zero", nonzero, 0);
    ask_fact("byte 99", view[99], scratch_byte(99, SEED));
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    ask_fact("size after all is closed", (uint64_t)scratch_size("grow"), 200000);
    all_rows_agree();
}

static void a_section_does_not_follow_its_growing_file(void **state) {
    (void)state;
    scratch_file("later", 5000, SEED);
    HANDLE file = open_existing("later", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    LARGE_INTEGER end = {.QuadPart = 20000};
    row("SetEndOfFile to 20000 beside a section of 5000");
    ask(of_bool(SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file)), OK);

    row("view of 5001 of a section of 5000 whose file has grown");
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 5001);
    ask(view != NULL ? OK : failed_with(GetLastError()), failed_with(ERROR_ACCESS_DENIED));
    row("view of length 0 of a section of 5000 whose file has grown");
    view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    MEMORY_BASIC_INFORMATION facts = {0};
    VirtualQuery(view, &facts, sizeof facts);
    ask_fact("RegionSize", facts.RegionSize, 8192);
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void absurd_sizes_are_refused_and_change_nothing(void **state) {
    (void)state;
    static const uint64_t sizes[] = {(uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 4095};
    scratch_file("absurd", 5000, SEED);
    HANDLE file = open_existing("absurd", RW_ACCESS, SHARE_ALL);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        row("file R|W, PAGE_READWRITE, size %#llx", (unsigned long long)sizes[i]);
        outcome got = section_outcome(file, PAGE_READWRITE, sizes[i]);
        ask_fact("refused", got.failed, 1); /* the code depends on the file system */
        row("file R|W, PAGE_READONLY, size %#llx", (unsigned long long)sizes[i]);
        ask(section_outcome(file, PAGE_READONLY, sizes[i]), failed_with(ERROR_NOT_ENOUGH_MEMORY));
    }
    row("after absurd sizes");
    ask_fact("size of the file", (uint64_t)scratch_size("absurd"), 5000);
    CloseHandle(file);
    all_rows_agree();
}

static void protection_is_checked_before_the_handle_and_access_before_the_size(void **state) {
    (void)state;
    scratch_file("order", 0, SEED);
    HANDLE closed = open_existing("order", RW_ACCESS, SHARE_ALL);
    CloseHandle(closed);
    row("PAGE_NOACCESS through a closed handle");
    ask(section_outcome(closed, PAGE_NOACCESS, 0), failed_with(ERROR_INVALID_PARAMETER));
    row("PAGE_READONLY through a closed handle");
    ask(section_outcome(closed, PAGE_READONLY, 0), failed_with(ERROR_INVALID_HANDLE));
    row("INVALID_HANDLE_VALUE, PAGE_READWRITE, size 0");
    ask(section_outcome(INVALID_HANDLE_VALUE, PAGE_READWRITE, 0),
        failed_with(ERROR_INVALID_PARAMETER));
    row("PAGE_READONLY through a garbage handle");
    ask(section_outcome((HANDLE)(uintptr_t)0x7654320, PAGE_READONLY, 0),
        failed_with(ERROR_INVALID_HANDLE));

    HANDLE readable = open_existing("order", R_ACCESS, SHARE_ALL);
    row("empty file R, PAGE_READWRITE, size 0: access before emptiness");
    ask(section_outcome(readable, PAGE_READWRITE, 0), failed_with(ERROR_ACCESS_DENIED));
    CloseHandle(readable);
    all_rows_agree();
}

static void what_is_no_file_cannot_be_mapped(void **state) {
    (void)state;
    HANDLE directory = CreateFileA(".", R_ACCESS, SHARE_ALL, NULL, OPEN_EXISTING,
                                   FILE_FLAG_BACKUP_SEMANTICS, NULL);
    assert_true(directory != INVALID_HANDLE_VALUE);
    outcome got = section_outcome(directory, PAGE_READONLY, 0);
    row("a section of a directory");
    ask_fact("refused", got.failed, 1);
    CloseHandle(directory);

    scratch_file("twice", 5000, SEED);
    HANDLE file = open_existing("twice", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    row("a section of a section");
    ask(section_outcome(section, PAGE_READONLY, 0), failed_with(ERROR_INVALID_HANDLE));
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void files_opened_with_any_flag_can_be_mapped(void **state) {
    (void)state;
    static const DWORD flags[] = {FILE_FLAG_WRITE_THROUGH, FILE_FLAG_NO_BUFFERING,
                                  FILE_FLAG_RANDOM_ACCESS, FILE_FLAG_SEQUENTIAL_SCAN};
    scratch_file("flagged", 8192, SEED);
    for (size_t i = 0; i < COUNT(flags); i++) {
        HANDLE file =
            CreateFileA("flagged", RW_ACCESS, SHARE_ALL, NULL, OPEN_EXISTING, flags[i], NULL);
        row("a section of a file opened with flag %#x", (unsigned)flags[i]);
        ask_fact("opened", file != INVALID_HANDLE_VALUE, 1);
        ask(section_outcome(file, PAGE_READWRITE, 0), OK);
        CloseHandle(file);
    }
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_section_sets_the_last_error_to_zero),
        cmocka_unit_test(an_empty_name_is_no_name),
        cmocka_unit_test(sec_flags_are_judged_in_every_mix),
        cmocka_unit_test(pages_of_a_reserved_file_section_are_committed),
        cmocka_unit_test(size_zero_is_the_files_size_to_the_byte),
        cmocka_unit_test(a_larger_section_grows_the_file_at_once_with_zeros),
        cmocka_unit_test(a_section_does_not_follow_its_growing_file),
        cmocka_unit_test(absurd_sizes_are_refused_and_change_nothing),
        cmocka_unit_test(protection_is_checked_before_the_handle_and_access_before_the_size),
        cmocka_unit_test(what_is_no_file_cannot_be_mapped),
        cmocka_unit_test(files_opened_with_any_flag_can_be_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
