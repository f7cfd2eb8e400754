/*
 * test_conformance_flush.c - UnmapViewOfFile, FlushViewOfFile and FlushFileBuffers: which
 * addresses, lengths and handles they take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/conformance.h"
#include "support/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SEED 9u
#define FILE_SIZE 100000u
#define MAPPED_SIZE 102400u /* in whole pages */

static HANDLE file_of(const char *name) {
    scratch_file(name, FILE_SIZE, SEED);
    return open_existing(name, RW_ACCESS, SHARE_ALL);
}

static unsigned char *view_of(HANDLE section, DWORD access) {
    unsigned char *view = MapViewOfFile(section, access, 0, 0, 0);
    assert_non_null(view);
    return view;
}

static void any_address_inside_a_view_unmaps_all_of_it(void **state) {
    (void)state;
    static const size_t inside[] = {0, 100, 4096, 70000, FILE_SIZE - 1, MAPPED_SIZE - 1};
    HANDLE file = file_of("inside");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    for (size_t i = 0; i < COUNT(inside); i++) {
        unsigned char *view = view_of(section, FILE_MAP_READ);
        row("UnmapViewOfFile(view + %u)", (unsigned)inside[i]);
        ask(of_bool(UnmapViewOfFile(view + inside[i])), OK);
        row("UnmapViewOfFile(view) after UnmapViewOfFile(view + %u)", (unsigned)inside[i]);
        ask(of_bool(UnmapViewOfFile(view)), failed_with(ERROR_INVALID_ADDRESS));
    }
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void what_is_no_view_is_not_unmapped(void **state) {
    (void)state;
    HANDLE file = file_of("outside");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *view = view_of(section, FILE_MAP_READ);
    unsigned char *heap = malloc(1 << 20);
    assert_non_null(heap);
    char stack = 0;
    const struct {
        const char *name;
        const void *address;
    } rows[] = {{"the first byte after a view", view + MAPPED_SIZE},
                {"NULL", NULL},
                {"1", (const void *)(uintptr_t)1},
                {"heap", heap + 4096},
                {"stack", &stack},
                {"garbage", (const void *)(uintptr_t)0x123457}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        row("UnmapViewOfFile(%s)", rows[i].name);
        ask(of_bool(UnmapViewOfFile(rows[i].address)), failed_with(ERROR_INVALID_ADDRESS));
    }
    ask_fact("byte 0 of the view that is still there", view[0], scratch_byte(0, SEED));
    heap[4096] = 1;
    free(heap);
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void every_range_inside_a_view_can_be_flushed(void **state) {
    (void)state;
    static const struct {
        size_t offset;
        size_t length;
    } rows[] = {{0, 0},       {0, FILE_SIZE},       {0, MAPPED_SIZE},     {100, 0},   {100, 1},
                {4097, 5000}, {MAPPED_SIZE - 1, 1}, {MAPPED_SIZE - 1, 0}, {65536, 0}, {0, 1}};
    HANDLE file = file_of("flush");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *view = view_of(section, FILE_MAP_WRITE);
    for (size_t i = 0; i < COUNT(rows); i++) {
        view[rows[i].offset] ^= 1;
        row("FlushViewOfFile(view + %u, %u)", (unsigned)rows[i].offset, (unsigned)rows[i].length);
        ask(of_bool(FlushViewOfFile(view + rows[i].offset, rows[i].length)), OK);
    }
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void ranges_that_leave_a_view_are_not_flushed(void **state) {
    (void)state;
    HANDLE file = file_of("range");
    HANDLE section = section_of(file, PAGE_READWRITE, (uint64_t)MAPPED_SIZE * 4);
    unsigned char *gone = view_of(section, FILE_MAP_WRITE);
    UnmapViewOfFile(gone);
    /* A shorter view in its place has nothing behind it. */
    unsigned char *view = MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, MAPPED_SIZE, gone);
    assert_ptr_equal(view, gone);
    const struct {
        const char *name;
        const void *address;
        SIZE_T length;
    } rows[] = {{"view, one byte past the last page", view, MAPPED_SIZE + 1},
                {"view, 1 GiB", view, (SIZE_T)1 << 30},
                {"end of the view, 0", view + MAPPED_SIZE, 0},
                {"NULL, 0", NULL, 0},
                {"NULL, 100", NULL, 100},
                {"where a view was, 0", gone + (size_t)2 * MAPPED_SIZE, 0}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        row("FlushViewOfFile(%s)", rows[i].name);
        ask_either(of_bool(FlushViewOfFile(rows[i].address, rows[i].length)),
                   failed_with(ERROR_INVALID_ADDRESS), failed_with(ERROR_INVALID_PARAMETER));
    }
    UnmapViewOfFile(view);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void flushing_what_owns_no_pages_of_a_file_succeeds(void **state) {
    (void)state;
    HANDLE file = file_of("nothing");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *reader = view_of(section, FILE_MAP_READ);
    unsigned char *copy = view_of(section, FILE_MAP_COPY);
    unsigned char *writer = view_of(section, FILE_MAP_WRITE);
    copy[0] ^= 1;
    row("FlushViewOfFile of a READ view");
    ask(of_bool(FlushViewOfFile(reader, 0)), OK);
    row("FlushViewOfFile of a COPY view");
    ask(of_bool(FlushViewOfFile(copy, 0)), OK);
    CloseHandle(section);
    CloseHandle(file);
    writer[1] ^= 1;
    row("FlushViewOfFile with every handle closed");
    ask(of_bool(FlushViewOfFile(writer, 0)), OK);
    UnmapViewOfFile(reader);
    UnmapViewOfFile(copy);
    UnmapViewOfFile(writer);
    all_rows_agree();
}

static void flush_file_buffers_wants_write_access(void **state) {
    (void)state;
    static const struct {
        DWORD access;
        const char *name;
        DWORD error;
    } rows[] = {{0, "0", ERROR_ACCESS_DENIED},
                {R_ACCESS, "R", ERROR_ACCESS_DENIED},
                {W_ACCESS, "W", 0},
                {RW_ACCESS, "R|W", 0},
                {FILE_APPEND_DATA, "FILE_APPEND_DATA", 0},
                {FILE_WRITE_ATTRIBUTES, "FILE_WRITE_ATTRIBUTES", ERROR_ACCESS_DENIED}};
    scratch_file("buffers", FILE_SIZE, SEED);
    for (size_t i = 0; i < COUNT(rows); i++) {
        HANDLE file = open_existing("buffers", rows[i].access, SHARE_ALL);
        row("FlushFileBuffers, file %s", rows[i].name);
        ask(of_bool(FlushFileBuffers(file)), rows[i].error != 0 ? failed_with(rows[i].error) : OK);
        CloseHandle(file);
    }
    all_rows_agree();
}

static void flush_file_buffers_wants_a_file(void **state) {
    (void)state;
    HANDLE file = file_of("wants");
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    row("FlushFileBuffers of a section");
    ask_but(of_bool(FlushFileBuffers(section)), failed_with(ERROR_INVALID_HANDLE),
            WINE_SECTION_AS_FILE, OK);
    CloseHandle(section);
    CloseHandle(file);
    const outcome bad = failed_with(ERROR_INVALID_HANDLE);
    row("FlushFileBuffers of a closed handle");
    ask(of_bool(FlushFileBuffers(file)), bad);
    row("FlushFileBuffers of NULL");
    ask(of_bool(FlushFileBuffers(NULL)), bad);
    row("FlushFileBuffers of INVALID_HANDLE_VALUE");
    ask(of_bool(FlushFileBuffers(INVALID_HANDLE_VALUE)), bad);
    all_rows_agree();
}

static void a_directory_is_flushed_through_a_writable_handle(void **state) {
    (void)state;
    static const DWORD accesses[] = {R_ACCESS, RW_ACCESS};
    for (size_t i = 0; i < COUNT(accesses); i++) {
        HANDLE directory = CreateFileA(".", accesses[i], SHARE_ALL, NULL, OPEN_EXISTING,
                                       FILE_FLAG_BACKUP_SEMANTICS, NULL);
        row("FlushFileBuffers, directory %s", file_access_name(accesses[i]));
        ask_fact("opened", directory != INVALID_HANDLE_VALUE, 1);
        ask(of_bool(FlushFileBuffers(directory)),
            accesses[i] == R_ACCESS ? failed_with(ERROR_ACCESS_DENIED) : OK);
        CloseHandle(directory);
    }
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_address_inside_a_view_unmaps_all_of_it),
        cmocka_unit_test(what_is_no_view_is_not_unmapped),
        cmocka_unit_test(every_range_inside_a_view_can_be_flushed),
        cmocka_unit_test(ranges_that_leave_a_view_are_not_flushed),
        cmocka_unit_test(flushing_what_owns_no_pages_of_a_file_succeeds),
        cmocka_unit_test(flush_file_buffers_wants_write_access),
        cmocka_unit_test(flush_file_buffers_wants_a_file),
        cmocka_unit_test(a_directory_is_flushed_through_a_writable_handle),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
