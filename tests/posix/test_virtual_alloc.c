/*
 * test_virtual_alloc.c - VirtualAlloc and VirtualFree on views, of files and of memory.
 *
 * The sections of memory are put together here from their parts, so that one can also be given its
 * bytes at an offset, as a named one has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "posix/protection.h"
#include "posix/section_commit.h"
#include "posix/section_memory.h"
#include "posix/view.h"
#include "support/scratch.h"

#define SIZE ((uint64_t)4 * 65536)

static void destroy(kmw_object *object) {
    kmw_section *section = (kmw_section *)object;
    close(section->descriptor);
    free(section);
}

static const kmw_class section_class = {KMW_SECTION, NULL, destroy};

static HANDLE make_section(DWORD flags, uint64_t origin) {
    kmw_section *section = calloc(1, sizeof *section);
    assert_non_null(section);
    *section = (kmw_section){.descriptor = -1,
                             .protection = PAGE_READWRITE,
                             .size = SIZE,
                             .flags = flags,
                             .origin = origin};
    kmw_object_init(&section->object, &section_class);
    const uint64_t record = flags == SEC_RESERVE ? kmw_commit_record_size(SIZE) : 0;
    assert_int_equal(kmw_section_memory_make(SIZE + origin, record, flags, &section->descriptor),
                     ERROR_SUCCESS);
    HANDLE handle = kmw_handle_open(&section->object, kmw_protection_grants(PAGE_READWRITE), FALSE);
    assert_non_null(handle);
    kmw_object_release(&section->object);
    return handle;
}

static char *map_view(HANDLE section, DWORD access, DWORD offset, size_t length) {
    char *view = MapViewOfFile(section, access, 0, offset, length);
    assert_non_null(view);
    return view;
}

static void alloc_fails(DWORD error, void *address, size_t length, DWORD type, DWORD protection) {
    SetLastError(0xBEEF);
    assert_null(VirtualAlloc(address, length, type, protection));
    assert_int_equal(GetLastError(), error);
}

static void free_fails(DWORD error, void *address, size_t length, DWORD type) {
    SetLastError(0xBEEF);
    assert_false(VirtualFree(address, length, type));
    assert_int_equal(GetLastError(), error);
}

/* Pages of the section from `page` on that are alike: are they committed? */
static bool committed(const char *view, uint64_t page, uint64_t *end) {
    kmw_views_lock();
    const kmw_section *section = kmw_views_find(view)->section;
    const kmw_reserved reserved = {section->descriptor, section->origin, section->size};
    kmw_views_unlock();
    return kmw_commit_state(&reserved, page, SIZE / kmw_page_size(), end);
}

static void expect_run(const char *view, uint64_t page, bool expected, uint64_t end) {
    uint64_t found = 0;
    assert_int_equal(committed(view, page, &found), expected);
    assert_int_equal(found, end);
}

static void a_view_of_a_file_is_committed_already(void **state) {
    (void)state;
    scratch_file("file", SIZE, 0);
    HANDLE file = CreateFileA("file", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE | SEC_RESERVE, 0, 0, NULL);
    assert_non_null(section);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    alloc_fails(ERROR_ACCESS_DENIED, view, 4096, MEM_COMMIT, PAGE_READWRITE);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    scratch_remove("file");
}

static void reserved_pages_are_committed_for_all_views(void **state) {
    (void)state;
    const uint64_t page = kmw_page_size();
    const uint64_t offsets[] = {0, page};
    for (size_t i = 0; i < 2; ++i) {
        HANDLE section = make_section(SEC_RESERVE, offsets[i]);
        char *whole = map_view(section, FILE_MAP_WRITE, 0, 0);
        char *part = map_view(section, FILE_MAP_WRITE, 65536, 65536);
        const uint64_t first = 65536 / page;
        SetLastError(0xBEEF);
        /* One byte before a page's end to one behind its beginning: two pages. */
        assert_ptr_equal(VirtualAlloc(part + 2 * page - 1, 2, MEM_COMMIT, PAGE_READWRITE),
                         part + page);
        assert_int_equal(GetLastError(), 0xBEEF);
        expect_run(whole, 0, false, first + 1);
        expect_run(whole, first + 1, true, first + 3);
        expect_run(whole, first + 3, false, SIZE / page);
        assert_true(UnmapViewOfFile(part));
        assert_ptr_equal(VirtualAlloc(whole, SIZE, MEM_COMMIT, PAGE_READWRITE), whole);
        expect_run(whole, 0, true, SIZE / page);
        assert_true(UnmapViewOfFile(whole));
        assert_true(CloseHandle(section));
    }
}

/* VirtualQuery of one page: its state, and where the pages like it end. */
static void expect_query(const char *view, size_t page, DWORD state, DWORD protection,
                         size_t pages) {
    MEMORY_BASIC_INFORMATION facts;
    const size_t size = kmw_page_size();
    assert_int_equal(VirtualQuery(view + page * size, &facts, sizeof facts), sizeof facts);
    assert_int_equal(facts.State, state);
    assert_int_equal(facts.Protect, protection);
    assert_int_equal(facts.RegionSize, pages * size);
    assert_int_equal(facts.Type, MEM_MAPPED);
    assert_int_equal(facts.AllocationProtect, PAGE_READWRITE);
}

static void virtual_query_tells_what_is_committed(void **state) {
    (void)state;
    const size_t page = kmw_page_size();
    const size_t pages = SIZE / page;
    HANDLE section = make_section(SEC_RESERVE, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    char *part = map_view(section, FILE_MAP_WRITE, 65536, 65536);
    const size_t first = 65536 / page;
    view[0] = 'x'; /* without leave */
    expect_query(view, 0, MEM_RESERVE, 0, pages);
    assert_non_null(VirtualAlloc(view + 65536, 3 * page, MEM_COMMIT, PAGE_READWRITE));
    expect_query(view, 0, MEM_RESERVE, 0, first);
    expect_query(view, first, MEM_COMMIT, PAGE_READWRITE, 3);
    expect_query(view, first + 3, MEM_RESERVE, 0, pages - first - 3);
    expect_query(part, 1, MEM_COMMIT, PAGE_READWRITE, 2);
    expect_query(part, 3, MEM_RESERVE, 0, 65536 / page - 3);
    assert_true(UnmapViewOfFile(part));
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    section = make_section(SEC_COMMIT, 0);
    view = map_view(section, FILE_MAP_WRITE, 0, 0);
    expect_query(view, 0, MEM_COMMIT, PAGE_READWRITE, pages);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

static void a_childs_commit_is_seen_here(void **state) {
    (void)state;
    HANDLE section = make_section(SEC_RESERVE, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(VirtualAlloc(view, 1, MEM_COMMIT, PAGE_READWRITE) == view ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_run(view, 0, true, 1);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

static void committed_memory_may_be_committed_again(void **state) {
    (void)state;
    HANDLE section = make_section(SEC_COMMIT, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    view[5] = 'x';
    assert_ptr_equal(VirtualAlloc(view, SIZE, MEM_COMMIT, PAGE_READWRITE), view);
    assert_int_equal(view[5], 'x');
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

static void committing_sets_the_protection(void **state) {
    (void)state;
    const size_t page = kmw_page_size();
    MEMORY_BASIC_INFORMATION facts;
    HANDLE section = make_section(SEC_RESERVE, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    assert_ptr_equal(VirtualAlloc(view, page, MEM_COMMIT, PAGE_READONLY), view);
    assert_int_equal(VirtualQuery(view, &facts, sizeof facts), sizeof facts);
    assert_int_equal(facts.Protect, PAGE_READONLY);
    assert_int_equal(facts.RegionSize, page);
    assert_ptr_equal(VirtualAlloc(view, page, MEM_COMMIT, PAGE_READWRITE), view);
    assert_int_equal(VirtualQuery(view, &facts, sizeof facts), sizeof facts);
    assert_int_equal(facts.Protect, PAGE_READWRITE);
    assert_true(UnmapViewOfFile(view));
    view = map_view(section, FILE_MAP_READ, 0, 0);
    alloc_fails(ERROR_INVALID_PARAMETER, view + page, page, MEM_COMMIT, PAGE_READWRITE);
    expect_run(view, 1, false, SIZE / page);
    assert_ptr_equal(VirtualAlloc(view + page, page, MEM_COMMIT, PAGE_READONLY), view + page);
    expect_run(view, 0, true, 2);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

static void what_is_not_in_a_view_is_not_committed(void **state) {
    (void)state;
    HANDLE section = make_section(SEC_RESERVE, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 65536);
    int local = 0;
    alloc_fails(ERROR_NOT_SUPPORTED, NULL, 4096, MEM_COMMIT, PAGE_READWRITE);
    alloc_fails(ERROR_NOT_SUPPORTED, NULL, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    alloc_fails(ERROR_NOT_SUPPORTED, &local, 1, MEM_COMMIT, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_ADDRESS, view, 65537, MEM_COMMIT, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_ADDRESS, view + 1, SIZE_MAX, MEM_COMMIT, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_ADDRESS, view, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_PARAMETER, view, 0, MEM_COMMIT, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_PARAMETER, view, 4096, 0, PAGE_READWRITE);
    alloc_fails(ERROR_INVALID_PARAMETER, view, 4096, MEM_COMMIT, 0);
    alloc_fails(ERROR_INVALID_PARAMETER, view, 4096, MEM_COMMIT, PAGE_READWRITE | PAGE_READONLY);
    expect_run(view, 0, false, SIZE / kmw_page_size());
    assert_true(UnmapViewOfFile(view));
    alloc_fails(ERROR_NOT_SUPPORTED, view, 4096, MEM_COMMIT, PAGE_READWRITE);
    assert_true(CloseHandle(section));
}

static void a_views_pages_are_not_given_back(void **state) {
    (void)state;
    HANDLE section = make_section(SEC_RESERVE, 0);
    char *view = map_view(section, FILE_MAP_WRITE, 0, 0);
    int local = 0;
    assert_non_null(VirtualAlloc(view, 4096, MEM_COMMIT, PAGE_READWRITE));
    free_fails(ERROR_INVALID_PARAMETER, view, 4096, MEM_DECOMMIT);
    free_fails(ERROR_INVALID_PARAMETER, view, 0, MEM_RELEASE);
    free_fails(ERROR_INVALID_PARAMETER, view, 4096, MEM_RELEASE);
    free_fails(ERROR_INVALID_PARAMETER, &local, 4096, MEM_RELEASE);
    free_fails(ERROR_INVALID_PARAMETER, &local, 0, 0);
    free_fails(ERROR_INVALID_ADDRESS, &local, 0, MEM_RELEASE);
    free_fails(ERROR_INVALID_ADDRESS, NULL, 4096, MEM_DECOMMIT);
    expect_run(view, 0, true, 1);
    view[0] = 'x';
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_of_a_file_is_committed_already),
        cmocka_unit_test(reserved_pages_are_committed_for_all_views),
        cmocka_unit_test(virtual_query_tells_what_is_committed),
        cmocka_unit_test(a_childs_commit_is_seen_here),
        cmocka_unit_test(committed_memory_may_be_committed_again),
        cmocka_unit_test(committing_sets_the_protection),
        cmocka_unit_test(what_is_not_in_a_view_is_not_committed),
        cmocka_unit_test(a_views_pages_are_not_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
