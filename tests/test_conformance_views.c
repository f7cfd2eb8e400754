/*
 * test_conformance_views.c - MapViewOfFile(Ex), VirtualQuery and VirtualProtect on views of disk
 * files: addresses, rights of handles, coherence, copy-on-write, bytes past the end of the file.
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
#define GRANULARITY UINT64_C(65536)
#define SEED 5u

typedef struct mapped {
    HANDLE file;
    HANDLE section;
    unsigned char *view;
} mapped;

static mapped map_new(const char *name, uint64_t size, DWORD file_access, DWORD protection,
                      DWORD view_access) {
    scratch_file(name, size, SEED);
    mapped m = {.file = open_existing(name, file_access, SHARE_ALL)};
    m.section = section_of(m.file, protection, 0);
    m.view = MapViewOfFile(m.section, view_access, 0, 0, 0);
    assert_non_null(m.view);
    return m;
}

static void unmap(mapped *m) {
    assert_true(UnmapViewOfFile(m->view));
    assert_true(CloseHandle(m->section));
    assert_true(CloseHandle(m->file));
}

/* The last error if `view` is NULL; else unmaps it. */
static outcome of_view(const void *view) {
    if (view == NULL) {
        return failed_with(GetLastError());
    }
    UnmapViewOfFile(view);
    return OK;
}

static outcome read_byte(const void *address) {
    unsigned char byte = 0;
    SIZE_T done = 0;
    return of_bool(ReadProcessMemory(GetCurrentProcess(), address, &byte, 1, &done));
}

static void the_granularity_is_64_kib(void **state) {
    (void)state;
    SYSTEM_INFO facts;
    GetSystemInfo(&facts);
    row("GetSystemInfo");
    ask_fact("dwAllocationGranularity", facts.dwAllocationGranularity, GRANULARITY);
    ask_fact("dwPageSize", facts.dwPageSize, 4096);
    GetNativeSystemInfo(&facts);
    row("GetNativeSystemInfo");
    ask_fact("dwAllocationGranularity", facts.dwAllocationGranularity, GRANULARITY);
    all_rows_agree();
}

static void what_is_no_section_cannot_be_mapped(void **state) {
    (void)state;
    mapped m = map_new("nosection", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ);
    HANDLE closed = section_of(m.file, PAGE_READWRITE, 0);
    CloseHandle(closed);
    const struct {
        const char *name;
        HANDLE handle;
    } rows[] = {{"NULL", NULL},
                {"INVALID_HANDLE_VALUE", INVALID_HANDLE_VALUE},
                {"a file", m.file},
                {"a closed section", closed},
                {"garbage", (HANDLE)(uintptr_t)0x7654320}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        row("MapViewOfFile of %s", rows[i].name);
        ask(of_view(MapViewOfFile(rows[i].handle, FILE_MAP_READ, 0, 0, 0)),
            failed_with(ERROR_INVALID_HANDLE));
        row("MapViewOfFile of %s at offset 4096: alignment is checked first", rows[i].name);
        ask(of_view(MapViewOfFile(rows[i].handle, FILE_MAP_READ, 0, 4096, 0)),
            failed_with(ERROR_MAPPED_ALIGNMENT));
    }
    unmap(&m);
    all_rows_agree();
}

static void success_leaves_the_last_error_alone(void **state) {
    (void)state;
    mapped m = map_new("untouched", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ);
    SetLastError(0xBEEF);
    void *view = MapViewOfFile(m.section, FILE_MAP_READ, 0, 0, 0);
    row("MapViewOfFile");
    ask_fact("last error", GetLastError(), 0xBEEF);
    FlushViewOfFile(view, 0);
    row("FlushViewOfFile");
    ask_fact("last error", GetLastError(), 0xBEEF);
    UnmapViewOfFile(view);
    row("UnmapViewOfFile");
    ask_fact("last error", GetLastError(), 0xBEEF);
    unmap(&m);
    all_rows_agree();
}

static void an_address_is_taken_exactly_or_not_at_all(void **state) {
    (void)state;
    mapped m = map_new("address", 3 * GRANULARITY, RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ);
    char *was = MapViewOfFile(m.section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(was);
    UnmapViewOfFile(was);
    row("MapViewOfFileEx at a free address");
    char *view = MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 0, was);
    ask_fact("distance", (uint64_t)(view - was), 0);
    row("MapViewOfFileEx at a view's address");
    ask(of_view(MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 0, view)),
        failed_with(ERROR_INVALID_ADDRESS));
    row("MapViewOfFileEx inside a view");
    ask(of_view(MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 1, view + GRANULARITY)),
        failed_with(ERROR_INVALID_ADDRESS));
    row("MapViewOfFileEx at an unaligned address");
    ask(of_view(MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 0, view + 4096)),
        failed_with(ERROR_MAPPED_ALIGNMENT));
    UnmapViewOfFile(view);
    row("MapViewOfFileEx at an unaligned free address");
    ask(of_view(MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 0, was + 1)),
        failed_with(ERROR_MAPPED_ALIGNMENT));
    row("MapViewOfFileEx at NULL");
    ask(of_view(MapViewOfFileEx(m.section, FILE_MAP_READ, 0, 0, 0, NULL)), OK);
    unmap(&m);
    all_rows_agree();
}

/* What a handle with `granted` may map, from section 4 of the table. */
static outcome expect_of_handle(DWORD granted, DWORD access) {
    DWORD needs = 0;
    if (access != FILE_MAP_COPY && (access & FILE_MAP_WRITE) != 0) {
        needs = FILE_MAP_WRITE;
    } else {
        needs = FILE_MAP_READ;
    }
    return (granted & needs) == needs ? OK : failed_with(ERROR_ACCESS_DENIED);
}

static void a_duplicate_with_fewer_rights_maps_less(void **state) {
    (void)state;
    static const DWORD granted[] = {0, FILE_MAP_READ, FILE_MAP_WRITE,
                                    FILE_MAP_READ | FILE_MAP_WRITE, FILE_MAP_ALL_ACCESS};
    static const DWORD accesses[] = {0,
                                     FILE_MAP_COPY,
                                     FILE_MAP_READ,
                                     FILE_MAP_WRITE,
                                     FILE_MAP_READ | FILE_MAP_WRITE,
                                     FILE_MAP_ALL_ACCESS};
    mapped m = map_new("fewer", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ);
    for (size_t g = 0; g < COUNT(granted); g++) {
        HANDLE fewer = NULL;
        assert_true(DuplicateHandle(GetCurrentProcess(), m.section, GetCurrentProcess(), &fewer,
                                    granted[g], FALSE, 0));
        for (size_t a = 0; a < COUNT(accesses); a++) {
            row("section handle with %#x, view %s", (unsigned)granted[g],
                view_access_name(accesses[a]));
            ask(of_view(MapViewOfFile(fewer, accesses[a], 0, 0, 0)),
                expect_of_handle(granted[g], accesses[a]));
        }
        CloseHandle(fewer);
    }
    unmap(&m);
    all_rows_agree();
}

static void a_view_without_access_is_a_view(void **state) {
    (void)state;
    mapped m = map_new("noaccess", 5000, RW_ACCESS, PAGE_READWRITE, 0);
    row("view with access 0");
    ask_fact("Protect", protection_at(m.view), PAGE_NOACCESS);
    ask_but(read_byte(m.view), failed_with(ERROR_PARTIAL_COPY), WINE_READS_ANY_PAGE, OK);
    unmap(&m);
    all_rows_agree();
}

static void a_region_ends_where_the_pages_stop_being_equal(void **state) {
    (void)state;
    mapped m =
        map_new("region", (uint64_t)5 * 4096 + 10, RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE);
    MEMORY_BASIC_INFORMATION facts = {0};
    VirtualQuery(m.view + 4096 + 17, &facts, sizeof facts);
    row("VirtualQuery inside the second page of six");
    ask_fact("BaseAddress", (uint64_t)((unsigned char *)facts.BaseAddress - m.view), 4096);
    ask_fact("AllocationBase", (uint64_t)((unsigned char *)facts.AllocationBase - m.view), 0);
    ask_fact("RegionSize", facts.RegionSize, (SIZE_T)5 * 4096);
    ask_fact("AllocationProtect", facts.AllocationProtect, PAGE_READWRITE);

    DWORD before = 0;
    assert_true(VirtualProtect(m.view + (size_t)2 * 4096, 4096, PAGE_READONLY, &before));
    row("VirtualProtect of one page");
    ask_fact("protection before", before, PAGE_READWRITE);
    VirtualQuery(m.view, &facts, sizeof facts);
    ask_fact("RegionSize before it", facts.RegionSize, (SIZE_T)2 * 4096);
    VirtualQuery(m.view + (size_t)2 * 4096, &facts, sizeof facts);
    ask_fact("RegionSize of it", facts.RegionSize, 4096);
    ask_fact("Protect of it", facts.Protect, PAGE_READONLY);
    VirtualQuery(m.view + (size_t)3 * 4096, &facts, sizeof facts);
    ask_fact("RegionSize behind it", facts.RegionSize, (SIZE_T)3 * 4096);
    ask_fact("Protect behind it", facts.Protect, PAGE_READWRITE);
    unmap(&m);
    all_rows_agree();
}

static void ask_protect(const char *name, DWORD file_access, DWORD protection, DWORD view_access,
                        DWORD wanted, outcome want, conformance_exception exception, outcome does) {
    mapped m = map_new(name, 8192, file_access, protection, view_access);
    DWORD before = 0;
    row("file %s, %s, view %s, VirtualProtect %s", file_access_name(file_access),
        protection_name(protection), view_access_name(view_access), protection_name(wanted));
    ask_but(of_bool(VirtualProtect(m.view, 4096, wanted, &before)), want, exception, does);
    unmap(&m);
}

static void protection_goes_only_towards_less(void **state) {
    (void)state;
    const outcome refused = failed_with(ERROR_INVALID_PARAMETER);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ, PAGE_READWRITE, refused,
                NO_EXCEPTION, OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ, PAGE_NOACCESS, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ, PAGE_READONLY, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ, PAGE_WRITECOPY, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE, PAGE_READONLY, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE, PAGE_NOACCESS, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE, PAGE_READWRITE, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", RW_ACCESS, PAGE_WRITECOPY, FILE_MAP_COPY, PAGE_READONLY, OK, NO_EXCEPTION,
                OK);
    ask_protect("less", R_ACCESS, PAGE_READONLY, FILE_MAP_READ, PAGE_READWRITE, refused,
                NO_EXCEPTION, OK);
    ask_protect("less", R_ACCESS, PAGE_READONLY, FILE_MAP_READ, PAGE_WRITECOPY, OK,
                WINE_READ_TO_WRITECOPY, failed_with(ERROR_ACCESS_DENIED));
    all_rows_agree();
}

static void every_view_and_handle_of_a_file_shows_the_same_bytes(void **state) {
    (void)state;
    mapped one = map_new("coherent", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE);
    HANDLE file = open_existing("coherent", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READONLY, 0);
    const unsigned char *sibling = MapViewOfFile(one.section, FILE_MAP_READ, 0, 0, 0);
    const unsigned char *other = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(sibling);
    assert_non_null(other);

    one.view[10] = 0xA1;
    row("a store through a view");
    ask_fact("in another view of the section", sibling[10], 0xA1);
    ask_fact("in a view of another section", other[10], 0xA1);
    unsigned char byte = 0;
    DWORD done = 0;
    OVERLAPPED at = {.Offset = 10};
    ask(of_bool(ReadFile(file, &byte, 1, &done, &at)), OK);
    ask_fact("by ReadFile", byte, 0xA1);

    byte = 0xA2;
    row("WriteFile");
    ask(of_bool(WriteFile(file, &byte, 1, &done, &at)), OK);
    ask_fact("in a view", one.view[10], 0xA2);
    ask_fact("in a view of another section", other[10], 0xA2);

    UnmapViewOfFile(sibling);
    UnmapViewOfFile(other);
    CloseHandle(section);
    CloseHandle(file);
    unmap(&one);
    all_rows_agree();
}

static void a_copy_on_write_store_stays_private_page_by_page(void **state) {
    (void)state;
    mapped m = map_new("cow", (uint64_t)3 * 4096, RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE);
    unsigned char *copy = MapViewOfFile(m.section, FILE_MAP_COPY, 0, 0, 0);
    unsigned char *second = MapViewOfFile(m.section, FILE_MAP_COPY, 0, 0, 0);
    assert_non_null(copy);
    assert_non_null(second);
    unsigned char original = m.view[4096];
    copy[4096] = (unsigned char)(original + 1);
    row("a store into a COPY view");
    ask_fact("in the view itself", copy[4096], (unsigned char)(original + 1));
    ask_fact("in the shared view", m.view[4096], original);
    ask_fact("in another COPY view", second[4096], original);

    m.view[0] = 0x77;
    m.view[4097] = 0x78;
    row("a store by others beside a COPY view");
    ask_fact("in an untouched page", copy[0], 0x77);
    ask_fact("in a page it has written", copy[4097], scratch_byte(4097, SEED));

    row("VirtualQuery of pages of a COPY view");
    ask(succeeded_with(protection_at(copy)), succeeded_with(PAGE_WRITECOPY));
    ask(succeeded_with(protection_at(copy + 8192)), succeeded_with(PAGE_WRITECOPY));
    row("VirtualQuery of a written page of a COPY view");
    ask_but(succeeded_with(protection_at(copy + 4096)), succeeded_with(PAGE_READWRITE),
            WINE_WRITTEN_PAGE_KEEPS_WRITECOPY, succeeded_with(PAGE_WRITECOPY));
    UnmapViewOfFile(copy);
    UnmapViewOfFile(second);
    unmap(&m);
    all_rows_agree();
}

static void copy_on_write_works_on_what_cannot_be_written(void **state) {
    (void)state;
    mapped m = map_new("readonly", 5000, R_ACCESS, PAGE_READONLY, FILE_MAP_COPY);
    m.view[4999] = 0xEE;
    row("a store into a COPY view of a PAGE_READONLY section of a file R");
    ask_fact("in the view", m.view[4999], 0xEE);
    unmap(&m);
    HANDLE file = open_existing("readonly", R_ACCESS, SHARE_ALL);
    unsigned char byte = 0;
    DWORD done = 0;
    OVERLAPPED at = {.Offset = 4999};
    ask(of_bool(ReadFile(file, &byte, 1, &done, &at)), OK);
    ask_fact("in the file", byte, scratch_byte(4999, SEED));
    CloseHandle(file);
    all_rows_agree();
}

static void bytes_past_the_end_in_the_last_page_are_zero_and_go_nowhere(void **state) {
    (void)state;
    mapped m = map_new("tail", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_WRITE);
    row("bytes between the end of the file and the end of its last page");
    ask_fact("byte 5000", m.view[5000], 0);
    ask_fact("byte 8191", m.view[8191], 0);
    m.view[5000] = 0x55;
    ask(of_bool(FlushViewOfFile(m.view, 0)), OK);
    ask(of_bool(FlushFileBuffers(m.file)), OK);
    MEMORY_BASIC_INFORMATION facts = {0};
    VirtualQuery(m.view, &facts, sizeof facts);
    ask_fact("RegionSize", facts.RegionSize, 8192);
    unmap(&m);
    row("a file after a store past its end");
    ask_fact("size", (uint64_t)scratch_size("tail"), 5000);
    all_rows_agree();
}

static void flags_that_mean_nothing_here_are_ignored(void **state) {
    (void)state;
    static const DWORD flags[] = {FILE_MAP_TARGETS_INVALID, FILE_MAP_RESERVE};
    mapped m = map_new("ignored", 5000, RW_ACCESS, PAGE_READWRITE, FILE_MAP_READ);
    for (size_t i = 0; i < COUNT(flags); i++) {
        row("view READ with %#x", (unsigned)flags[i]);
        void *view = MapViewOfFile(m.section, FILE_MAP_READ | flags[i], 0, 0, 0);
        ask_fact("Protect", view != NULL ? protection_at(view) : 0, PAGE_READONLY);
        ask(of_view(view), OK);
    }
    unmap(&m);
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_granularity_is_64_kib),
        cmocka_unit_test(what_is_no_section_cannot_be_mapped),
        cmocka_unit_test(success_leaves_the_last_error_alone),
        cmocka_unit_test(an_address_is_taken_exactly_or_not_at_all),
        cmocka_unit_test(a_duplicate_with_fewer_rights_maps_less),
        cmocka_unit_test(a_view_without_access_is_a_view),
        cmocka_unit_test(a_region_ends_where_the_pages_stop_being_equal),
        cmocka_unit_test(protection_goes_only_towards_less),
        cmocka_unit_test(every_view_and_handle_of_a_file_shows_the_same_bytes),
        cmocka_unit_test(a_copy_on_write_store_stays_private_page_by_page),
        cmocka_unit_test(copy_on_write_works_on_what_cannot_be_written),
        cmocka_unit_test(bytes_past_the_end_in_the_last_page_are_zero_and_go_nowhere),
        cmocka_unit_test(flags_that_mean_nothing_here_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
