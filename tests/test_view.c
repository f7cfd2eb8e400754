/*
 * test_view.c - views: what they can be, where they lie, what they show, how they end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)
#define GRANULE ((SIZE_T)65536)

/* What VirtualProtect says of a range that is not inside one view: Wine has a code of its own. */
#if defined(_WIN32)
#define NO_SUCH_RANGE ERROR_INVALID_PARAMETER
#else
#define NO_SUCH_RANGE ERROR_INVALID_ADDRESS
#endif

typedef struct mapped_file {
    HANDLE file;
    HANDLE section;
} mapped_file;

static mapped_file open_mapped(const char *name, uint64_t size, DWORD access, DWORD protection) {
    mapped_file mapped = {NULL, NULL};
    scratch_file(name, size, 3);
    mapped.file =
        CreateFileA(name, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(mapped.file, INVALID_HANDLE_VALUE);
    mapped.section = CreateFileMappingA(mapped.file, NULL, protection, 0, 0, NULL);
    assert_non_null(mapped.section);
    return mapped;
}

static mapped_file open_writable(const char *name, uint64_t size) {
    return open_mapped(name, size, GENERIC_READ | GENERIC_WRITE, PAGE_READWRITE);
}

static void close_mapped(mapped_file mapped) {
    assert_true(CloseHandle(mapped.section));
    assert_true(CloseHandle(mapped.file));
}

static unsigned char *map_all(HANDLE section, DWORD access) {
    unsigned char *view = MapViewOfFile(section, access, 0, 0, 0);
    assert_non_null(view);
    return view;
}

static DWORD map_error(HANDLE section, DWORD access, uint64_t offset, SIZE_T length,
                       void *address) {
    SetLastError(4711);
    void *view =
        MapViewOfFileEx(section, access, (DWORD)(offset >> 32), (DWORD)offset, length, address);
    if (view == NULL) {
        return GetLastError();
    }
    assert_int_equal(GetLastError(), 4711);
    assert_int_equal((uintptr_t)view % GRANULE, 0);
    assert_true(UnmapViewOfFile(view));
    return ERROR_SUCCESS;
}

static MEMORY_BASIC_INFORMATION query(const void *address) {
    MEMORY_BASIC_INFORMATION information;
    memset(&information, 0xEE, sizeof information);
    assert_int_equal(VirtualQuery(address, &information, sizeof information), sizeof information);
    return information;
}

static void access_and_section_decide_a_views_protection(void **state) {
    (void)state;
    static const DWORD sections[] = {PAGE_READONLY,          PAGE_READWRITE,
                                     PAGE_WRITECOPY,         PAGE_EXECUTE_READ,
                                     PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY};
    enum { NO = 0 }; /* ERROR_ACCESS_DENIED */
    static const struct {
        DWORD access;
        DWORD protection[6];
    } rows[] = {
        {0, {1, 1, 1, 1, 1, 1}},
        {FILE_MAP_COPY, {8, 8, 8, 8, 8, 8}},
        {FILE_MAP_READ, {2, 2, 2, 2, 2, 2}},
        {FILE_MAP_COPY | FILE_MAP_READ, {2, 2, 2, 2, 2, 2}},
        {FILE_MAP_WRITE, {NO, 4, NO, NO, 4, NO}},
        {FILE_MAP_READ | FILE_MAP_WRITE, {NO, 4, NO, NO, 4, NO}},
        {FILE_MAP_COPY | FILE_MAP_WRITE, {NO, 4, NO, NO, 4, NO}},
        {FILE_MAP_ALL_ACCESS, {NO, 4, NO, NO, 4, NO}},
        {FILE_MAP_EXECUTE, {1, 1, 1, 1, 1, 1}},
        {FILE_MAP_EXECUTE | FILE_MAP_READ, {NO, NO, NO, 0x20, 0x20, 0x20}},
        {FILE_MAP_EXECUTE | FILE_MAP_WRITE, {NO, NO, NO, NO, 0x40, NO}},
        {FILE_MAP_EXECUTE | FILE_MAP_ALL_ACCESS, {NO, NO, NO, NO, 0x40, NO}},
        {FILE_MAP_EXECUTE | FILE_MAP_COPY, {NO, NO, NO, 0x80, 0x80, 0x80}},
    };
    for (unsigned s = 0; s < sizeof sections / sizeof sections[0]; ++s) {
        mapped_file mapped = open_mapped(
            "table", GRANULE + 100, GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE, sections[s]);
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
            const DWORD expected = rows[i].protection[s];
            SetLastError(4711);
            void *view = MapViewOfFile(mapped.section, rows[i].access, 0, 0, 0);
            if (expected == NO) {
                assert_null(view);
                assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
                continue;
            }
            if (view == NULL) {
                fail_msg("section %lx, access %lx: %lu", (unsigned long)sections[s],
                         (unsigned long)rows[i].access, (unsigned long)GetLastError());
            }
            const MEMORY_BASIC_INFORMATION found = query(view);
            assert_int_equal(found.Protect, expected);
            assert_int_equal(found.AllocationProtect, expected);
            assert_int_equal(GetLastError(), 4711);
            assert_true(UnmapViewOfFile(view));
        }
        close_mapped(mapped);
    }
}

static void offsets_are_multiples_of_64_kib_and_that_is_checked_first(void **state) {
    (void)state;
    mapped_file mapped = open_writable("offsets", 3 * GRANULE);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 4096, 10, NULL),
                     ERROR_MAPPED_ALIGNMENT);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, GRANULE + 1, 0, NULL),
                     ERROR_MAPPED_ALIGNMENT);
    assert_int_equal(map_error(NULL, FILE_MAP_READ, 1, 0, NULL), ERROR_MAPPED_ALIGNMENT);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, GRANULE, 0, NULL), ERROR_SUCCESS);
    const unsigned char *view = MapViewOfFile(mapped.section, FILE_MAP_READ, 0, 2 * GRANULE, 9);
    assert_non_null(view);
    assert_int_equal(view[8], scratch_byte(2 * GRANULE + 8, 3));
    assert_true(UnmapViewOfFile(view));
    close_mapped(mapped);
}

static void handles_and_rights_come_before_the_range(void **state) {
    (void)state;
    mapped_file mapped = open_mapped("order", PAGE, GENERIC_READ, PAGE_READONLY);
    assert_int_equal(map_error(NULL, FILE_MAP_READ, 0, 0, NULL), ERROR_INVALID_HANDLE);
    assert_int_equal(map_error(INVALID_HANDLE_VALUE, FILE_MAP_READ, 0, 0, NULL),
                     ERROR_INVALID_HANDLE);
    assert_int_equal(map_error(mapped.file, FILE_MAP_READ, 0, 0, NULL), ERROR_INVALID_HANDLE);
    assert_int_equal(map_error(mapped.section, FILE_MAP_WRITE, GRANULE, 0, NULL),
                     ERROR_ACCESS_DENIED);
    HANDLE section = mapped.section;
    close_mapped(mapped);
    assert_int_equal(map_error(section, FILE_MAP_READ, 0, 0, NULL), ERROR_INVALID_HANDLE);
}

static void no_view_reaches_past_its_section_by_a_single_byte(void **state) {
    (void)state;
    const SIZE_T size = GRANULE + 0x3456;
    mapped_file mapped = open_writable("range", size);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, size, NULL), ERROR_SUCCESS);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, size + 1, NULL),
                     ERROR_ACCESS_DENIED);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, GRANULE, 0x3456, NULL),
                     ERROR_SUCCESS);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, GRANULE, 0x3457, NULL),
                     ERROR_ACCESS_DENIED);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, SIZE_MAX, NULL),
                     ERROR_ACCESS_DENIED);
    /* Wherever the section has ended already, Wine says 87 and what is known of NT 5. */
    static const SIZE_T lengths[] = {0, 1};
    for (unsigned i = 0; i < 2; ++i) {
        const DWORD error = map_error(mapped.section, FILE_MAP_READ, 2 * GRANULE, lengths[i], NULL);
        assert_true(error == ERROR_ACCESS_DENIED || error == ERROR_INVALID_PARAMETER);
    }
    close_mapped(mapped);
}

static void an_address_is_taken_exactly_or_refused(void **state) {
    (void)state;
    mapped_file mapped = open_writable("address", 2 * GRANULE);
    char *first = MapViewOfFile(mapped.section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(first);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, 0, first), ERROR_INVALID_ADDRESS);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, 0, first + GRANULE),
                     ERROR_INVALID_ADDRESS);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, 0, first + PAGE),
                     ERROR_MAPPED_ALIGNMENT);
    assert_int_equal(map_error(mapped.section, FILE_MAP_READ, 0, 0, first + 1),
                     ERROR_MAPPED_ALIGNMENT);
    assert_int_equal(first[5], (char)scratch_byte(5, 3));
    assert_true(UnmapViewOfFile(first));
    char *again = MapViewOfFileEx(mapped.section, FILE_MAP_WRITE, 0, 0, 0, first);
    assert_ptr_equal(again, first);
    assert_true(UnmapViewOfFile(again));
    close_mapped(mapped);
}

static void views_lie_at_multiples_of_64_kib_however_many_come_and_go(void **state) {
    (void)state;
    enum { COUNT = 60, ROUNDS = 5 };
    mapped_file mapped = open_writable("many", 3 * GRANULE + 5);
    unsigned char *views[COUNT] = {NULL};
    for (unsigned round = 1; round <= ROUNDS; ++round) {
        for (unsigned i = 0; i < COUNT; ++i) {
            const SIZE_T offset = i % 4 * GRANULE;
            if (views[i] == NULL) {
                views[i] = MapViewOfFile(mapped.section, FILE_MAP_READ, 0, (DWORD)offset, 0);
                assert_non_null(views[i]);
                assert_int_equal((uintptr_t)views[i] % GRANULE, 0);
            }
            assert_int_equal(views[i][4], scratch_byte(offset + 4, 3));
        }
        for (unsigned i = 0; i < COUNT; ++i) {
            if (i % ROUNDS == round % ROUNDS || round == ROUNDS) {
                assert_true(UnmapViewOfFile(views[i]));
                views[i] = NULL;
            }
        }
    }
    close_mapped(mapped);
}

static void any_address_inside_unmaps_the_whole_view(void **state) {
    (void)state;
    static const SIZE_T inside[] = {0, 100, 70000, 2 * GRANULE + PAGE - 1};
    mapped_file mapped = open_writable("inside", 2 * GRANULE + 10);
    for (unsigned i = 0; i < sizeof inside / sizeof inside[0]; ++i) {
        unsigned char *view = map_all(mapped.section, FILE_MAP_READ);
        SetLastError(4711);
        assert_true(UnmapViewOfFile(view + inside[i]));
        assert_int_equal(GetLastError(), 4711);
        assert_false(UnmapViewOfFile(view + inside[i]));
        assert_int_equal(GetLastError(), ERROR_INVALID_ADDRESS);
        assert_int_equal(query(view).State, MEM_FREE);
    }
    close_mapped(mapped);
}

static void what_is_no_view_is_not_unmapped(void **state) {
    (void)state;
    mapped_file mapped = open_writable("no_view", GRANULE);
    unsigned char *view = map_all(mapped.section, FILE_MAP_READ);
    unsigned char on_stack = 0;
    const void *const addresses[] = {NULL, (const void *)(uintptr_t)1, &on_stack, view + GRANULE,
                                     (const void *)(uintptr_t)12345};
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; ++i) {
        SetLastError(4711);
        assert_false(UnmapViewOfFile(addresses[i]));
        assert_int_equal(GetLastError(), ERROR_INVALID_ADDRESS);
    }
    assert_int_equal(view[0], scratch_byte(0, 3));
    assert_true(UnmapViewOfFile(view));
    close_mapped(mapped);
}

static void a_view_keeps_the_section_alive_after_close_handle(void **state) {
    (void)state;
    mapped_file mapped = open_writable("alive", GRANULE);
    unsigned char *view = map_all(mapped.section, FILE_MAP_WRITE);
    close_mapped(mapped);
    view[GRANULE - 1] = 0x5A;
    assert_int_equal(view[GRANULE - 1], 0x5A);
    assert_true(FlushViewOfFile(view, 0));
    assert_int_equal(query(view).RegionSize, GRANULE);
    assert_true(UnmapViewOfFile(view));
}

static void two_sections_and_the_file_calls_show_the_same_bytes(void **state) {
    (void)state;
    mapped_file one = open_writable("coherent", GRANULE + 1);
    HANDLE second = CreateFileMappingA(one.file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(second);
    unsigned char *writable = map_all(one.section, FILE_MAP_WRITE);
    const unsigned char *readable = map_all(second, FILE_MAP_READ);
    writable[GRANULE] = 0xA5;
    assert_int_equal(readable[GRANULE], 0xA5);
    OVERLAPPED at = {.Offset = (DWORD)GRANULE};
    unsigned char byte = 0;
    DWORD done = 0;
    assert_true(ReadFile(one.file, &byte, 1, &done, &at));
    assert_int_equal(byte, 0xA5);
    byte = 0x3C;
    at.Offset = 7;
    assert_true(WriteFile(one.file, &byte, 1, &done, &at));
    assert_int_equal(readable[7], 0x3C);
    assert_true(UnmapViewOfFile(writable));
    assert_true(UnmapViewOfFile(readable));
    assert_true(CloseHandle(second));
    close_mapped(one);
}

static void stores_to_a_copy_stay_in_it_page_by_page(void **state) {
    (void)state;
    mapped_file mapped = open_writable("copy", 4 * PAGE);
    unsigned char *shared = map_all(mapped.section, FILE_MAP_WRITE);
    unsigned char *copy = map_all(mapped.section, FILE_MAP_COPY);
    unsigned char *other = map_all(mapped.section, FILE_MAP_COPY);
    copy[PAGE + 1] = (unsigned char)(shared[PAGE + 1] ^ 0xFF);
    assert_int_equal(shared[PAGE + 1], scratch_byte(PAGE + 1, 3));
    assert_int_equal(other[PAGE + 1], scratch_byte(PAGE + 1, 3));
    shared[PAGE + 2] = 0x11;
    shared[2 * PAGE] = 0x22;
    assert_int_equal(copy[PAGE + 2], scratch_byte(PAGE + 2, 3));
    assert_int_equal(copy[2 * PAGE], 0x22);
    assert_int_equal(other[PAGE + 2], 0x11);
    assert_true(UnmapViewOfFile(other));
    assert_true(UnmapViewOfFile(copy));
    assert_int_equal(shared[PAGE + 1], scratch_byte(PAGE + 1, 3));
    assert_true(UnmapViewOfFile(shared));
    close_mapped(mapped);
}

static void bytes_past_the_files_end_read_as_zero_and_go_nowhere(void **state) {
    (void)state;
    mapped_file mapped = open_writable("past", PAGE + 100);
    unsigned char *view = map_all(mapped.section, FILE_MAP_WRITE);
    assert_int_equal(view[PAGE + 100], 0);
    assert_int_equal(view[2 * PAGE - 1], 0);
    view[PAGE + 100] = 1;
    assert_true(FlushViewOfFile(view, 0));
    assert_true(UnmapViewOfFile(view));
    close_mapped(mapped);
    assert_int_equal(scratch_size("past"), PAGE + 100);
}

static void flush_takes_ranges_inside_the_view(void **state) {
    (void)state;
    mapped_file mapped = open_writable("flush", GRANULE + 10);
    unsigned char *view = map_all(mapped.section, FILE_MAP_WRITE);
    memset(view, 9, GRANULE);
    SetLastError(4711);
    assert_true(FlushViewOfFile(view, 0));
    assert_true(FlushViewOfFile(view + 123, 0));
    assert_true(FlushViewOfFile(view + 123, 5000));
    assert_true(FlushViewOfFile(view, GRANULE + PAGE));
    assert_true(FlushViewOfFile(view + GRANULE + PAGE - 1, 1));
    assert_int_equal(GetLastError(), 4711);
    assert_false(FlushViewOfFile(view, GRANULE + PAGE + 1));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_false(FlushViewOfFile(view + PAGE, GRANULE + 1));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_false(FlushViewOfFile(view + GRANULE, (SIZE_T)-1));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_false(FlushViewOfFile(view, (SIZE_T)1 << 30));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_false(FlushViewOfFile(NULL, 0));
    /* Wine's answer; Windows is thought to say ERROR_INVALID_ADDRESS. */
    assert_true(GetLastError() == ERROR_INVALID_PARAMETER ||
                GetLastError() == ERROR_INVALID_ADDRESS);
    assert_true(UnmapViewOfFile(view));
    assert_false(FlushViewOfFile(view, 0));
    assert_true(GetLastError() == ERROR_INVALID_PARAMETER ||
                GetLastError() == ERROR_INVALID_ADDRESS);
    close_mapped(mapped);
}

static void flush_has_nothing_to_do_where_no_file_is_written(void **state) {
    (void)state;
    mapped_file mapped = open_writable("flush_nothing", GRANULE);
    static const DWORD accesses[] = {FILE_MAP_READ, FILE_MAP_COPY, 0};
    for (unsigned i = 0; i < sizeof accesses / sizeof accesses[0]; ++i) {
        void *view = map_all(mapped.section, accesses[i]);
        assert_true(FlushViewOfFile(view, 0));
        assert_true(UnmapViewOfFile(view));
    }
    char on_stack[100] = {0};
    assert_true(FlushViewOfFile(on_stack, sizeof on_stack));
    close_mapped(mapped);
}

static void a_query_describes_the_view_from_the_page_asked_for(void **state) {
    (void)state;
    mapped_file mapped = open_writable("query", 5 * PAGE + 1);
    unsigned char *view = map_all(mapped.section, FILE_MAP_READ);
    const MEMORY_BASIC_INFORMATION found = query(view + 2 * PAGE + 77);
    assert_ptr_equal(found.BaseAddress, view + 2 * PAGE);
    assert_ptr_equal(found.AllocationBase, view);
    assert_int_equal(found.AllocationProtect, PAGE_READONLY);
    assert_int_equal(found.RegionSize, 4 * PAGE);
    assert_int_equal(found.State, MEM_COMMIT);
    assert_int_equal(found.Protect, PAGE_READONLY);
    assert_int_equal(found.Type, MEM_MAPPED);
    assert_true(UnmapViewOfFile(view));
    assert_int_equal(query(view).State, MEM_FREE);
    assert_int_equal(query(view).Protect, PAGE_NOACCESS);
    close_mapped(mapped);
}

static void a_query_knows_memory_that_is_no_view(void **state) {
    (void)state;
    char on_stack = 1;
    MEMORY_BASIC_INFORMATION found = query(&on_stack);
    assert_int_equal(found.State, MEM_COMMIT);
    assert_int_equal(found.Protect, PAGE_READWRITE);
    assert_int_equal(found.Type, MEM_PRIVATE);
    assert_true((uintptr_t)found.BaseAddress <= (uintptr_t)&on_stack);
    assert_true((uintptr_t)&on_stack - (uintptr_t)found.BaseAddress < found.RegionSize);
    assert_int_equal(query(NULL).State, MEM_FREE);
    SetLastError(4711);
    assert_int_equal(VirtualQuery(&on_stack, &found, sizeof found - 1), 0);
    assert_int_equal(GetLastError(), ERROR_BAD_LENGTH);
    SetLastError(4711);
    assert_int_equal(VirtualQuery((const void *)(UINTPTR_MAX - 4095), &found, sizeof found), 0);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
}

static void a_page_stored_to_shows_as_written_in_a_copy(void **state) {
    (void)state;
    mapped_file mapped = open_writable("written", 4 * PAGE);
    unsigned char *copy = map_all(mapped.section, FILE_MAP_COPY);
    assert_int_equal(copy[2 * PAGE], scratch_byte(2 * PAGE, 3)); /* reading changes nothing */
    assert_int_equal(query(copy).RegionSize, 4 * PAGE);
    assert_int_equal(query(copy).Protect, PAGE_WRITECOPY);
    copy[PAGE] = 1;
#if defined(_WIN32)
    const DWORD written = query(copy + PAGE).Protect; /* Wine goes on saying PAGE_WRITECOPY */
    assert_true(written == PAGE_READWRITE || written == PAGE_WRITECOPY);
#else
    assert_int_equal(query(copy).RegionSize, PAGE);
    assert_int_equal(query(copy + PAGE).Protect, PAGE_READWRITE);
    assert_int_equal(query(copy + PAGE).RegionSize, PAGE);
    assert_int_equal(query(copy + PAGE).AllocationProtect, PAGE_WRITECOPY);
    assert_int_equal(query(copy + 2 * PAGE).Protect, PAGE_WRITECOPY);
    assert_int_equal(query(copy + 2 * PAGE).RegionSize, 2 * PAGE);
#endif
    assert_true(UnmapViewOfFile(copy));
    close_mapped(mapped);
}

static void protection_only_ever_becomes_less_than_the_views(void **state) {
    (void)state;
    static const struct {
        DWORD access;
        DWORD protection;
        DWORD error;
    } rows[] = {
        {FILE_MAP_READ, PAGE_READWRITE, 87},
        {FILE_MAP_READ, PAGE_NOACCESS, 0},
        {FILE_MAP_READ, PAGE_WRITECOPY, 0},
        {FILE_MAP_READ, PAGE_EXECUTE_READ, 87},
        {FILE_MAP_WRITE, PAGE_READONLY, 0},
        {FILE_MAP_WRITE, PAGE_READWRITE, 0},
        {FILE_MAP_WRITE, PAGE_NOACCESS, 0},
        {FILE_MAP_WRITE, PAGE_WRITECOPY, 0},
        {FILE_MAP_COPY, PAGE_READONLY, 0},
        {FILE_MAP_COPY, PAGE_READWRITE, 87},
        {FILE_MAP_READ, 0, 87},
        {FILE_MAP_READ, PAGE_READONLY | PAGE_NOACCESS, 87},
    };
    mapped_file mapped = open_writable("protect", 4 * PAGE);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        unsigned char *view = map_all(mapped.section, rows[i].access);
        const DWORD own = query(view).Protect;
        DWORD before = 4711;
        SetLastError(4711);
        const BOOL done = VirtualProtect(view + PAGE, 2 * PAGE, rows[i].protection, &before);
        const DWORD error = done ? ERROR_SUCCESS : GetLastError();
        if (error != rows[i].error) {
            fail_msg("row %u: %lu", i, (unsigned long)error);
        }
        if (done) {
            assert_int_equal(before, own);
            assert_int_equal(query(view).Protect, own);
            assert_int_equal(query(view + PAGE).Protect, rows[i].protection);
            assert_int_equal(query(view + 3 * PAGE).Protect, own);
            assert_true(VirtualProtect(view + PAGE, 2 * PAGE, own, &before));
            assert_int_equal(before, rows[i].protection);
            assert_int_equal(query(view).RegionSize, 4 * PAGE);
        }
        assert_true(UnmapViewOfFile(view));
    }
    close_mapped(mapped);
}

static void protection_is_changed_inside_one_view_only(void **state) {
    (void)state;
    mapped_file mapped = open_writable("protect_range", 2 * PAGE);
    unsigned char *view = map_all(mapped.section, FILE_MAP_WRITE);
    DWORD before = 0;
    assert_false(VirtualProtect(view + PAGE, 2 * PAGE, PAGE_READONLY, &before));
    assert_int_equal(GetLastError(), NO_SUCH_RANGE);
    assert_false(VirtualProtect(view, PAGE, PAGE_READONLY, NULL));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
    assert_true(VirtualProtect(view + 10, 1, PAGE_READONLY, &before));
    assert_int_equal(query(view).RegionSize, PAGE);
    assert_int_equal(query(view).Protect, PAGE_READONLY);
    assert_int_equal(query(view + PAGE).Protect, PAGE_READWRITE);
    assert_true(UnmapViewOfFile(view));
    assert_false(VirtualProtect(view, PAGE, PAGE_READONLY, &before));
    assert_int_equal(GetLastError(), NO_SUCH_RANGE);
    assert_int_equal(before, PAGE_READWRITE);
    close_mapped(mapped);
}

static void process_memory_is_copied_or_the_copy_says_how_far_it_came(void **state) {
    (void)state;
    mapped_file mapped = open_writable("process", 4 * PAGE);
    unsigned char *view = map_all(mapped.section, FILE_MAP_WRITE);
    HANDLE self = GetCurrentProcess();
    static unsigned char bytes[4 * 4096];
    SIZE_T done = 4711;
    assert_true(ReadProcessMemory(self, view + 5, bytes, 3 * PAGE, &done));
    assert_int_equal(done, 3 * PAGE);
    assert_memory_equal(bytes, view + 5, 3 * PAGE);
    memset(bytes, 0x77, sizeof bytes);
    assert_true(WriteProcessMemory(self, view, bytes, PAGE + 1, &done));
    assert_int_equal(done, PAGE + 1);
    assert_int_equal(view[PAGE], 0x77);
    assert_int_equal(view[PAGE + 1], scratch_byte(PAGE + 1, 3));
    assert_true(ReadProcessMemory(self, view, bytes, 0, NULL));
#if !defined(_WIN32) /* Wine reads what is protected */
    DWORD before = 0;
    assert_true(VirtualProtect(view + 2 * PAGE, PAGE, PAGE_NOACCESS, &before));
    assert_false(ReadProcessMemory(self, view, bytes, 4 * PAGE, &done));
    assert_int_equal(GetLastError(), ERROR_PARTIAL_COPY);
    assert_int_equal(done, 2 * PAGE);
    assert_true(VirtualProtect(view, PAGE, PAGE_READONLY, &before));
    assert_false(WriteProcessMemory(self, view, bytes, 1, &done));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
    assert_int_equal(done, 0);
    assert_false(ReadProcessMemory(self, NULL, bytes, 1, &done));
    assert_int_equal(GetLastError(), ERROR_PARTIAL_COPY);
    assert_int_equal(done, 0);
#endif
    assert_true(UnmapViewOfFile(view));
    assert_false(ReadProcessMemory(NULL, bytes, bytes, 1, &done));
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    close_mapped(mapped);
}

static void prefetching_names_what_it_cannot_take(void **state) {
    (void)state;
    mapped_file mapped = open_writable("prefetch", 4 * PAGE);
    unsigned char *view = map_all(mapped.section, FILE_MAP_READ);
    WIN32_MEMORY_RANGE_ENTRY ranges[2] = {{view + 10, PAGE}, {view + 2 * PAGE, PAGE}};
    assert_true(PrefetchVirtualMemory(GetCurrentProcess(), 2, ranges, 0));
    assert_false(PrefetchVirtualMemory(GetCurrentProcess(), 0, ranges, 0));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
#if !defined(_WIN32) /* Wine does not look at the flags */
    assert_false(PrefetchVirtualMemory(GetCurrentProcess(), 2, ranges, 1));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
#endif
    assert_true(UnmapViewOfFile(view));
    close_mapped(mapped);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access_and_section_decide_a_views_protection),
        cmocka_unit_test(offsets_are_multiples_of_64_kib_and_that_is_checked_first),
        cmocka_unit_test(handles_and_rights_come_before_the_range),
        cmocka_unit_test(no_view_reaches_past_its_section_by_a_single_byte),
        cmocka_unit_test(an_address_is_taken_exactly_or_refused),
        cmocka_unit_test(views_lie_at_multiples_of_64_kib_however_many_come_and_go),
        cmocka_unit_test(any_address_inside_unmaps_the_whole_view),
        cmocka_unit_test(what_is_no_view_is_not_unmapped),
        cmocka_unit_test(a_view_keeps_the_section_alive_after_close_handle),
        cmocka_unit_test(two_sections_and_the_file_calls_show_the_same_bytes),
        cmocka_unit_test(stores_to_a_copy_stay_in_it_page_by_page),
        cmocka_unit_test(bytes_past_the_files_end_read_as_zero_and_go_nowhere),
        cmocka_unit_test(flush_takes_ranges_inside_the_view),
        cmocka_unit_test(flush_has_nothing_to_do_where_no_file_is_written),
        cmocka_unit_test(a_query_describes_the_view_from_the_page_asked_for),
        cmocka_unit_test(a_query_knows_memory_that_is_no_view),
        cmocka_unit_test(a_page_stored_to_shows_as_written_in_a_copy),
        cmocka_unit_test(protection_only_ever_becomes_less_than_the_views),
        cmocka_unit_test(protection_is_changed_inside_one_view_only),
        cmocka_unit_test(process_memory_is_copied_or_the_copy_says_how_far_it_came),
        cmocka_unit_test(prefetching_names_what_it_cannot_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
