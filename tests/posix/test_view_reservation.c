/*
 * test_view_reservation.c - views that grow and shrink inside reserved address space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "platform.h"
#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)
#define GRANULE ((SIZE_T)65536)

static HANDLE open_file(const char *name, uint64_t size) {
    scratch_file(name, size, 3);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static HANDLE make_section(HANDLE file, uint64_t size) {
    HANDLE section =
        CreateFileMappingA(file, NULL, PAGE_READWRITE, (DWORD)(size >> 32), (DWORD)size, NULL);
    assert_non_null(section);
    return section;
}

static DWORD state_of(const void *address) {
    MEMORY_BASIC_INFORMATION found;
    assert_int_equal(VirtualQuery(address, &found, sizeof found), sizeof found);
    return found.State;
}

/* Into how many mappings has the kernel cut [from, to)? */
static int count_mappings(const unsigned char *from, const unsigned char *to) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    int count = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *rest = NULL;
        const uintptr_t start = strtoul(line, &rest, 16);
        const uintptr_t end = strtoul(rest + 1, NULL, 16);
        count += start < (uintptr_t)to && end > (uintptr_t)from;
    }
    (void)fclose(maps);
    return count;
}

static void a_reservation_is_aligned_and_holds_no_memory(void **state) {
    (void)state;
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(GRANULE + 1, &reservation), ERROR_SUCCESS);
    assert_int_equal(reservation.size, 2 * GRANULE);
    assert_int_equal((uintptr_t)reservation.base % GRANULE, 0);
    assert_int_equal(state_of(reservation.base), MEM_RESERVE);
    void *const base = reservation.base;
    km_platform_release(&reservation);
    assert_null(reservation.base);
    assert_int_equal(state_of(base), MEM_FREE);
    km_platform_release(&reservation);
    assert_int_not_equal(km_platform_reserve(UINT64_MAX, &reservation), ERROR_SUCCESS);
    assert_int_not_equal(km_platform_reserve((uint64_t)1 << 62, &reservation), ERROR_SUCCESS);
    assert_null(reservation.base);
}

static void a_view_grows_in_place_and_stays_one_mapping(void **state) {
    (void)state;
    HANDLE file = open_file("grow", 100);
    HANDLE section = make_section(file, 0);
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(64 * GRANULE, &reservation), ERROR_SUCCESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 100),
                     ERROR_SUCCESS);
    unsigned char *const view = reservation.base;
    assert_int_equal(view[99], scratch_byte(99, 3));
    uint64_t length = 100;
    for (unsigned i = 1; i <= 20; ++i) {
        const uint64_t larger = i * (3 * PAGE + 7) + 100;
        HANDLE next = make_section(file, larger);
        assert_int_equal(
            km_platform_remap_reserved(&reservation, next, FILE_MAP_WRITE, larger, section, length),
            ERROR_SUCCESS);
        assert_true(CloseHandle(section));
        section = next;
        length = larger;
        view[length - 1] = (unsigned char)i;
    }
    assert_int_equal(view[99], scratch_byte(99, 3));
    assert_int_equal(count_mappings(view, view + length), 1);
    assert_true(FlushViewOfFile(view, length));
    MEMORY_BASIC_INFORMATION found;
    assert_int_equal(VirtualQuery(view, &found, sizeof found), sizeof found);
    assert_int_equal(found.RegionSize, (length + PAGE - 1) / PAGE * PAGE);
    assert_int_equal(state_of(view + found.RegionSize), MEM_RESERVE);
    assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_SUCCESS);
    assert_int_equal(state_of(view), MEM_RESERVE);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    km_platform_release(&reservation);
    assert_int_equal(scratch_size("grow"), (int64_t)length);
}

static void a_view_shrinks_in_place(void **state) {
    (void)state;
    HANDLE file = open_file("shrink", 4 * PAGE);
    HANDLE section = make_section(file, 0);
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(GRANULE, &reservation), ERROR_SUCCESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 4 * PAGE),
                     ERROR_SUCCESS);
    unsigned char *const view = reservation.base;
    DWORD before = 0;
    assert_true(VirtualProtect(view + PAGE, 2 * PAGE, PAGE_READONLY, &before));
    assert_int_equal(km_platform_remap_reserved(&reservation, section, FILE_MAP_WRITE, PAGE + 1,
                                                section, 4 * PAGE),
                     ERROR_SUCCESS);
    assert_int_equal(state_of(view + PAGE), MEM_COMMIT);
    assert_int_equal(state_of(view + 2 * PAGE), MEM_RESERVE);
    assert_int_equal(km_platform_remap_reserved(&reservation, section, FILE_MAP_WRITE, 4 * PAGE,
                                                section, PAGE + 1),
                     ERROR_SUCCESS);
    view[2 * PAGE] = 1; /* what comes anew is as the view was mapped */
    MEMORY_BASIC_INFORMATION found;
    assert_int_equal(VirtualQuery(view + PAGE, &found, sizeof found), sizeof found);
    assert_int_equal(found.Protect, PAGE_READONLY);
    assert_int_equal(found.RegionSize, PAGE);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    km_platform_release(&reservation);
    assert_int_equal(state_of(view), MEM_FREE);
}

static void what_cannot_replace_a_view_leaves_it_in_place(void **state) {
    (void)state;
    HANDLE file = open_file("refuse", 2 * PAGE);
    HANDLE other_file = open_file("refuse_other", 8 * PAGE);
    HANDLE section = make_section(file, 0);
    HANDLE other = make_section(other_file, 0);
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(GRANULE, &reservation), ERROR_SUCCESS);
    assert_int_equal(
        km_platform_remap_reserved(&reservation, section, FILE_MAP_WRITE, PAGE, section, PAGE),
        ERROR_INVALID_ADDRESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 2 * PAGE + 1),
                     ERROR_ACCESS_DENIED);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 2 * PAGE),
                     ERROR_SUCCESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, PAGE),
                     ERROR_INVALID_ADDRESS);
    unsigned char *const view = reservation.base;
    static const struct {
        DWORD access;
        uint64_t length;
        DWORD error;
        bool other;
    } rows[] = {
        {FILE_MAP_WRITE, 2 * PAGE + 1, ERROR_ACCESS_DENIED, false},
        {FILE_MAP_WRITE, 8 * PAGE, ERROR_INVALID_PARAMETER, true},
        {FILE_MAP_READ, PAGE, ERROR_INVALID_PARAMETER, false},
        {FILE_MAP_WRITE, 0, ERROR_INVALID_PARAMETER, false},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        assert_int_equal(km_platform_remap_reserved(&reservation, rows[i].other ? other : section,
                                                    rows[i].access, rows[i].length, section,
                                                    2 * PAGE),
                         rows[i].error);
        assert_int_equal(view[2 * PAGE - 1], scratch_byte(2 * PAGE - 1, 3));
    }
    HANDLE large = make_section(file, 2 * GRANULE);
    assert_int_equal(km_platform_remap_reserved(&reservation, large, FILE_MAP_WRITE, 2 * GRANULE,
                                                section, 2 * PAGE),
                     ERROR_INVALID_PARAMETER);
    assert_int_equal(view[0], scratch_byte(0, 3));
    assert_true(CloseHandle(large));
    assert_true(CloseHandle(other));
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(other_file));
    assert_true(CloseHandle(file));
    km_platform_release(&reservation);
}

static void unmapping_by_address_leaves_the_reservation(void **state) {
    (void)state;
    HANDLE file = open_file("by_address", 2 * PAGE);
    HANDLE section = make_section(file, 0);
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(GRANULE, &reservation), ERROR_SUCCESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 2 * PAGE),
                     ERROR_SUCCESS);
    unsigned char *const view = reservation.base;
    assert_true(UnmapViewOfFile(view + PAGE));
    assert_int_equal(state_of(view), MEM_RESERVE);
    assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_INVALID_ADDRESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 2 * PAGE),
                     ERROR_SUCCESS);
    assert_int_equal(view[0], scratch_byte(0, 3));
    km_platform_release(&reservation);
    assert_int_equal(state_of(view), MEM_FREE);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void advice_changes_no_byte(void **state) {
    (void)state;
    HANDLE file = open_file("advice", 4 * PAGE);
    HANDLE section = make_section(file, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, 0);
    assert_non_null(view);
    view[PAGE] = 0x66;
    static const km_advice advices[] = {KM_ADVICE_NORMAL, KM_ADVICE_RANDOM, KM_ADVICE_SEQUENTIAL,
                                        KM_ADVICE_WILL_NEED, KM_ADVICE_COLD};
    for (unsigned i = 0; i < sizeof advices / sizeof advices[0]; ++i) {
        assert_int_equal(km_platform_advise(view, 4 * PAGE, advices[i], true), ERROR_SUCCESS);
        assert_int_equal(view[PAGE], 0x66);
        assert_int_equal(view[2 * PAGE], scratch_byte(2 * PAGE, 3));
    }
    assert_true(UnmapViewOfFile(view));
    assert_int_equal(km_platform_advise(view, PAGE, KM_ADVICE_RANDOM, false),
                     ERROR_INVALID_ADDRESS);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
}

static void reserved_address_space_is_no_longer_free(void **state) {
    (void)state;
    const uint64_t size = (uint64_t)1 << 30;
    const uint64_t before = km_platform_address_space();
    km_reservation reservation = {0};
    assert_int_equal(km_platform_reserve(size, &reservation), ERROR_SUCCESS);
    const uint64_t after = km_platform_address_space();
    km_platform_release(&reservation);
    assert_true(before > size);
    assert_true(after <= before - size / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_is_aligned_and_holds_no_memory),
        cmocka_unit_test(a_view_grows_in_place_and_stays_one_mapping),
        cmocka_unit_test(a_view_shrinks_in_place),
        cmocka_unit_test(what_cannot_replace_a_view_leaves_it_in_place),
        cmocka_unit_test(unmapping_by_address_leaves_the_reservation),
        cmocka_unit_test(advice_changes_no_byte),
        cmocka_unit_test(reserved_address_space_is_no_longer_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
