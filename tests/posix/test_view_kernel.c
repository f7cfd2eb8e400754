/*
 * test_view_kernel.c - what views are to the kernel: mappings, private pages, advice.
 *
 * Not under valgrind: it has the kernel look at addresses where there is no memory, on purpose.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "posix/page_map.h"
#include "posix/process_memory.h"
#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)
#define GRANULE ((SIZE_T)65536)

static HANDLE open_section(const char *name, uint64_t size, DWORD flags) {
    scratch_file(name, size, 3);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, flags, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    return section;
}

static unsigned char *map_and_close(HANDLE section, DWORD access) {
    unsigned char *view = MapViewOfFile(section, access, 0, 0, 0);
    assert_non_null(view);
    assert_true(CloseHandle(section));
    return view;
}

static DWORD protect(void *address, SIZE_T length, DWORD protection) {
    DWORD before = 0;
    assert_true(VirtualProtect(address, length, protection, &before));
    return before;
}

static PSAPI_WORKING_SET_EX_BLOCK working_set(const void *address) {
    PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = (PVOID)(uintptr_t)address};
    assert_true(QueryWorkingSetEx(GetCurrentProcess(), &page, sizeof page));
    return page.VirtualAttributes;
}

static int count_descriptors(void) {
    int count = 0;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
        count += fcntl(descriptor, F_GETFD) >= 0;
    }
    return count;
}

static void nothing_stays_open_when_the_last_view_is_gone(void **state) {
    (void)state;
    const int before = count_descriptors();
    unsigned char *view = map_and_close(open_section("leak", GRANULE, 0), FILE_MAP_WRITE);
    assert_int_equal(count_descriptors(), before + 1);
    assert_true(UnmapViewOfFile(view));
    assert_int_equal(count_descriptors(), before);
    HANDLE file = CreateFileA("leak", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_null(CreateFileMappingA(file, NULL, PAGE_READONLY, 1, 0, NULL));
    assert_true(CloseHandle(file));
    assert_int_equal(count_descriptors(), before);
}

static void a_page_made_copy_on_write_leaves_the_section(void **state) {
    (void)state;
    HANDLE section = open_section("detach", 4 * PAGE, 0);
    unsigned char *shared = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(shared);
    unsigned char *view = map_and_close(section, FILE_MAP_WRITE);
    assert_int_equal(protect(view + PAGE, 2 * PAGE, PAGE_WRITECOPY), PAGE_READWRITE);
    view[PAGE] = 0x41;
    view[0] = 0x42;
    assert_int_not_equal(shared[PAGE], 0x41);
    assert_int_equal(shared[0], 0x42);
    shared[2 * PAGE] = 0x43;
    assert_int_equal(view[2 * PAGE], 0x43);
    /* The page stored to stays private, the other one is the section's again. */
    assert_int_equal(protect(view, 4 * PAGE, PAGE_READWRITE), PAGE_READWRITE);
    assert_int_equal(view[PAGE], 0x41);
    view[PAGE + 1] = 0x44;
    view[2 * PAGE + 1] = 0x45;
    assert_int_not_equal(shared[PAGE + 1], 0x44);
    assert_int_equal(shared[2 * PAGE + 1], 0x45);
    assert_true(UnmapViewOfFile(view));
    assert_true(UnmapViewOfFile(shared));
}

/* No descriptor can be had: so nobody can ask which pages have been stored to. */
static void run_out_of_descriptors(struct rlimit *before) {
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    struct rlimit none = *before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void stores_stay_where_nobody_can_tell_which_pages_have_them(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("untold", 2 * PAGE, 0), FILE_MAP_WRITE);
    protect(view, 2 * PAGE, PAGE_WRITECOPY);
    view[PAGE] = 0x61;
    struct rlimit limit;
    DWORD before = 4711;
    PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = view};
    run_out_of_descriptors(&limit);
    const BOOL changed = VirtualProtect(view, 2 * PAGE, PAGE_READWRITE, &before);
    const DWORD error = GetLastError();
    const BOOL asked = QueryWorkingSetEx(GetCurrentProcess(), &page, sizeof page);
    const DWORD asking_error = GetLastError();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(changed);
    assert_int_equal(error, ERROR_TOO_MANY_OPEN_FILES);
    assert_int_equal(before, 4711);
    assert_false(asked);
    assert_int_equal(asking_error, ERROR_TOO_MANY_OPEN_FILES);
    assert_int_equal(view[PAGE], 0x61);
    assert_int_equal(protect(view, 2 * PAGE, PAGE_READWRITE), PAGE_WRITECOPY);
    assert_int_equal(view[PAGE], 0x61);
    assert_true(UnmapViewOfFile(view));
}

/* Pages of a view that does not begin where the section does. */
static void protection_changes_the_part_of_the_file_that_the_view_shows(void **state) {
    (void)state;
    HANDLE section = open_section("part", GRANULE + 2 * PAGE, 0);
    unsigned char *shared = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, (DWORD)GRANULE, 0);
    assert_non_null(shared);
    assert_non_null(view);
    protect(view + PAGE, PAGE, PAGE_WRITECOPY);
    assert_int_equal(view[PAGE + 7], scratch_byte(GRANULE + PAGE + 7, 3));
    protect(view + PAGE, PAGE, PAGE_READWRITE);
    view[PAGE + 8] = 0x62;
    assert_int_equal(shared[GRANULE + PAGE + 8], 0x62);
    assert_true(UnmapViewOfFile(view));
    assert_true(UnmapViewOfFile(shared));
    assert_true(CloseHandle(section));
}

static void a_section_is_of_the_file_that_was_opened_whatever_its_name_means_now(void **state) {
    (void)state;
    scratch_file("renamed", PAGE, 3);
    scratch_file("usurper", PAGE, 99);
    HANDLE file = CreateFileA("renamed", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(rename("usurper", "renamed"), 0);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    unsigned char *view = map_and_close(section, FILE_MAP_WRITE);
    assert_int_equal(view[5], scratch_byte(5, 3));
    view[5] = 0x63;
    assert_true(UnmapViewOfFile(view));
    unsigned char usurper[4096];
    for (size_t i = 0; i < sizeof usurper; ++i) {
        usurper[i] = scratch_byte(i, 99);
    }
    assert_true(scratch_equals("renamed", usurper, sizeof usurper));
}

static void the_working_set_of_many_pages_is_told_page_by_page(void **state) {
    (void)state;
    enum { PAGES = 1000 };
    static PSAPI_WORKING_SET_EX_INFORMATION pages[PAGES];
    unsigned char *view = map_and_close(open_section("many", PAGES * PAGE, 0), FILE_MAP_COPY);
    unsigned sum = 0;
    for (unsigned i = 0; i < PAGES; ++i) {
        pages[i].VirtualAddress = view + i * PAGE + i;
        if (i % 3 == 0) {
            view[i * PAGE] = 1;
        } else {
            sum += view[i * PAGE];
        }
    }
    assert_true(sum > 0);
    assert_true(QueryWorkingSetEx(GetCurrentProcess(), pages, sizeof pages));
    for (unsigned i = 0; i < PAGES; ++i) {
        const PSAPI_WORKING_SET_EX_BLOCK found = pages[i].VirtualAttributes;
        assert_int_equal(found.Valid, 1);
        assert_int_equal(found.Shared, i % 3 != 0);
        assert_int_equal(found.Win32Protection, i % 3 == 0 ? PAGE_READWRITE : PAGE_WRITECOPY);
    }
    assert_true(UnmapViewOfFile(view));
}

static void a_private_page_keeps_its_bytes_through_every_protection(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("keeps", 4 * PAGE, 0), FILE_MAP_COPY);
    view[PAGE] = 0x51;
    assert_int_equal(protect(view, 4 * PAGE, PAGE_NOACCESS), PAGE_WRITECOPY);
    assert_int_equal(protect(view, 4 * PAGE, PAGE_READONLY), PAGE_NOACCESS);
    assert_int_equal(view[PAGE], 0x51);
    assert_int_equal(protect(view, 4 * PAGE, PAGE_WRITECOPY), PAGE_READONLY);
    view[PAGE + 1] = 0x52;
    assert_int_equal(view[PAGE], 0x51);
    assert_int_equal(view[PAGE + 1], 0x52);
    assert_true(UnmapViewOfFile(view));
}

static void the_working_set_tells_private_pages_from_the_files(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("working", 40 * PAGE, 0), FILE_MAP_COPY);
    assert_int_equal(view[0], scratch_byte(0, 3));
    view[PAGE] = 1;
    const PSAPI_WORKING_SET_EX_BLOCK read = working_set(view);
    assert_int_equal(read.Valid, 1);
    assert_int_equal(read.Shared, 1);
    assert_int_equal(read.Win32Protection, PAGE_WRITECOPY);
    const PSAPI_WORKING_SET_EX_BLOCK written = working_set(view + PAGE + 5);
    assert_int_equal(written.Valid, 1);
    assert_int_equal(written.Shared, 0);
    assert_int_equal(written.Win32Protection, PAGE_READWRITE);
    char on_stack = 1;
    assert_int_equal(working_set(&on_stack).Valid, 1);
    assert_int_equal(working_set(&on_stack).Shared, 0);
    assert_int_equal(working_set(NULL).Valid, 0);
    assert_false(QueryWorkingSetEx(GetCurrentProcess(), &on_stack, 0));
    assert_int_equal(GetLastError(), ERROR_BAD_LENGTH);
    PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = view};
    assert_false(QueryWorkingSetEx(NULL, &page, sizeof page));
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_true(UnmapViewOfFile(view));
}

/* Ends with a view and a section that nobody has let go of. */
static void exit_with_a_view(const char *name) {
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW,
                              FILE_FLAG_DELETE_ON_CLOSE, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, (DWORD)GRANULE, NULL);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    if (view == NULL || !CloseHandle(file)) {
        _exit(1);
    }
    view[0] = 1;
    exit(access(name, F_OK) == 0 ? 0 : 2); // NOLINT(concurrency-mt-unsafe)
}

static void a_file_to_be_deleted_goes_with_a_process_that_still_maps_it(void **state) {
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        exit_with_a_view("left_at_exit");
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(scratch_size("left_at_exit"), -1);
}

static void prefetching_a_hole_is_an_invalid_address(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("hole", 4 * PAGE, 0), FILE_MAP_READ);
    WIN32_MEMORY_RANGE_ENTRY range = {view, 4 * PAGE};
    assert_true(PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0));
    assert_true(UnmapViewOfFile(view));
    assert_false(PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0));
    assert_int_equal(GetLastError(), ERROR_INVALID_ADDRESS);
    assert_false(PrefetchVirtualMemory(NULL, 1, &range, 0));
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
}

/* Does the kernel's note on the mapping at `address` contain the flag? */
static bool has_flag(const void *address, const char *flag) {
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[4096];
    bool inside = false;
    bool found = false;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *rest = NULL;
        const uintptr_t start = strtoul(line, &rest, 16);
        if (*rest == '-') {
            const uintptr_t end = strtoul(rest + 1, NULL, 16);
            inside = start <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, flag) != NULL;
        }
    }
    (void)fclose(maps);
    return found;
}

static void the_files_flags_become_the_views_advice(void **state) {
    (void)state;
    unsigned char *view =
        map_and_close(open_section("random", 4 * PAGE, FILE_FLAG_RANDOM_ACCESS), FILE_MAP_WRITE);
    assert_true(has_flag(view, " rr"));
    protect(view + PAGE, PAGE, PAGE_WRITECOPY);
    assert_true(has_flag(view + PAGE, " rr"));
    assert_true(UnmapViewOfFile(view));
    view =
        map_and_close(open_section("sequence", 4 * PAGE, FILE_FLAG_SEQUENTIAL_SCAN), FILE_MAP_READ);
    assert_true(has_flag(view, " sr"));
    assert_true(UnmapViewOfFile(view));
}

static void copies_end_where_memory_does(void **state) {
    kmw_copy_function *const copy = *(kmw_copy_function **)*state;
    unsigned char *view = map_and_close(open_section("copies", 5 * PAGE, 0), FILE_MAP_WRITE);
    static unsigned char bytes[8 * 4096];
    size_t done = 4711;
    assert_int_equal(copy(bytes + 3, view + 11, 4 * PAGE + 1, &done), 0);
    assert_int_equal(done, 4 * PAGE + 1);
    assert_memory_equal(bytes + 3, view + 11, 4 * PAGE + 1);
    assert_int_equal(copy(bytes, view, 0, &done), 0);
    assert_int_equal(done, 0);
    protect(view + 3 * PAGE, PAGE, PAGE_NOACCESS);
    assert_int_equal(copy(bytes + 3, view + 11, 4 * PAGE, &done), EFAULT);
    assert_int_equal(done, 3 * PAGE - 11);
    assert_int_equal(copy(view + 2 * PAGE + 1, bytes + 9, 2 * PAGE, &done), EFAULT);
    assert_int_equal(done, PAGE - 1);
    assert_memory_equal(view + 2 * PAGE + 1, bytes + 9, PAGE - 1);
    protect(view + 3 * PAGE, PAGE, PAGE_READONLY);
    assert_int_equal(copy(view + 3 * PAGE, bytes, 1, &done), EFAULT);
    assert_int_equal(done, 0);
    assert_int_equal(copy(bytes, NULL, 1, &done), EFAULT);
    assert_int_equal(done, 0);
    assert_int_equal(truncate("copies", (off_t)PAGE), 0);
    assert_int_equal(copy(bytes, view + 9, 2 * PAGE, &done), EFAULT);
    assert_int_equal(done, PAGE - 9);
    assert_true(UnmapViewOfFile(view));
}

static void a_pipe_copies_without_leaving_descriptors(void **state) {
    (void)state;
    const int before = count_descriptors();
    char from[10] = "some text";
    char to[10] = "";
    size_t done = 0;
    assert_int_equal(kmw_copy_through_pipe(to, from, sizeof to, &done), 0);
    assert_string_equal(to, from);
    assert_int_equal(kmw_copy_through_pipe(to, NULL, 1, &done), EFAULT);
    assert_int_equal(count_descriptors(), before);
}

static void a_truncated_file_ends_a_read_and_kills_nobody(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("truncated", 4 * PAGE, 0), FILE_MAP_WRITE);
    unsigned char bytes[4 * 4096];
    SIZE_T done = 0;
    assert_int_equal(truncate("truncated", 100), 0);
    assert_false(ReadProcessMemory(GetCurrentProcess(), view, bytes, sizeof bytes, &done));
    assert_int_equal(GetLastError(), ERROR_PARTIAL_COPY);
    assert_int_equal(done, PAGE);
    assert_false(WriteProcessMemory(GetCurrentProcess(), view + PAGE, bytes, 1, &done));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
    assert_true(UnmapViewOfFile(view));
}

static void addresses_no_process_has_are_invalid(void **state) {
    (void)state;
    HANDLE section = open_section("beyond", GRANULE, 0);
    static const uintptr_t addresses[] = {~(uintptr_t)0 - GRANULE + 1,
                                          (uintptr_t)1 << (sizeof(void *) * 8 - 1)};
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; ++i) {
        assert_null(MapViewOfFileEx(section, FILE_MAP_READ, 0, 0, 0, (void *)addresses[i]));
        assert_int_equal(GetLastError(), ERROR_INVALID_ADDRESS);
    }
    assert_true(CloseHandle(section));
}

static void a_view_of_a_terabyte_is_described_in_time(void **state) {
    (void)state;
    scratch_file("sparse", 1, 3);
    if (truncate("sparse", (off_t)1 << 40) != 0) {
        skip(); /* a file system without such files */
    }
    HANDLE file =
        CreateFileA("sparse", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    unsigned char *view = map_and_close(section, FILE_MAP_READ);
    MEMORY_BASIC_INFORMATION found;
    assert_int_equal(VirtualQuery(view + PAGE, &found, sizeof found), sizeof found);
    assert_int_equal(found.RegionSize, ((SIZE_T)1 << 40) - PAGE);
    assert_int_equal(view[((size_t)1 << 40) - 1], 0);
    assert_true(UnmapViewOfFile(view));
}

int main(void) {
    kmw_copy_function *through_pipe = kmw_copy_through_pipe;
    kmw_copy_function *through_kernel = kmw_copy_through_kernel;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_stays_open_when_the_last_view_is_gone),
        cmocka_unit_test(a_page_made_copy_on_write_leaves_the_section),
        cmocka_unit_test(stores_stay_where_nobody_can_tell_which_pages_have_them),
        cmocka_unit_test(protection_changes_the_part_of_the_file_that_the_view_shows),
        cmocka_unit_test(a_section_is_of_the_file_that_was_opened_whatever_its_name_means_now),
        cmocka_unit_test(the_working_set_of_many_pages_is_told_page_by_page),
        cmocka_unit_test(a_private_page_keeps_its_bytes_through_every_protection),
        cmocka_unit_test(the_working_set_tells_private_pages_from_the_files),
        cmocka_unit_test(a_file_to_be_deleted_goes_with_a_process_that_still_maps_it),
        cmocka_unit_test(prefetching_a_hole_is_an_invalid_address),
        cmocka_unit_test(the_files_flags_become_the_views_advice),
        {"through_a_pipe_copies_end_where_memory_does", copies_end_where_memory_does, NULL, NULL,
         &through_pipe},
        {"through_the_kernel_copies_end_where_memory_does", copies_end_where_memory_does, NULL,
         NULL, &through_kernel},
        cmocka_unit_test(a_pipe_copies_without_leaving_descriptors),
        cmocka_unit_test(a_truncated_file_ends_a_read_and_kills_nobody),
        cmocka_unit_test(addresses_no_process_has_are_invalid),
        cmocka_unit_test(a_view_of_a_terabyte_is_described_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
