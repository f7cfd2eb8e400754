/*
 * test_map_limits.c - files that can grow but not be mapped, because address space is limited: the
 * growth is undone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/scratch.h"

#define MORE_THAN_IS_LEFT ((uint64_t)1 << 30)
#define LEFT ((rlim_t)64 << 20)

static struct rlimit before;

/* From now on there are 64 MiB of address space left. */
static void limit_address_space(void) {
    char line[128];
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit now = before;
    const unsigned long pages = strtoul(line, NULL, 10); /* the first number: all that is mapped */
    now.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + LEFT;
    assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
}

static int lift_limit(void **state) {
    (void)state;
    return before.rlim_max == 0 ? 0 : setrlimit(RLIMIT_AS, &before);
}

static km_map *open_map(const char *path, const km_options *options) {
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, options), KM_OK);
    return map;
}

static void a_file_that_cannot_be_mapped_does_not_grow(void **state) {
    (void)state;
    scratch_file("grows", 5000, 1);
    limit_address_space();
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_SPARSE, .size = MORE_THAN_IS_LEFT};
    assert_int_equal(km_open(&map, "grows", &options), KM_E_NO_MEMORY);
    assert_null(map);
    assert_int_equal(scratch_size("grows"), 5000);
}

static void a_file_that_cannot_be_mapped_is_not_made(void **state) {
    (void)state;
    size_t entries = scratch_entries();
    limit_address_space();
    km_map *map = NULL;
    km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_SPARSE, .size = MORE_THAN_IS_LEFT};
    assert_int_equal(km_open(&map, "made", &options), KM_E_NO_MEMORY);
    options.reserve = MORE_THAN_IS_LEFT;
    assert_int_equal(km_open(&map, "made", &options), KM_E_NO_MEMORY);
    assert_null(map);
    assert_int_equal(scratch_entries(), entries);
}

/* Resizing fails for want of address space; map and file are as they were, and go on working. */
static void assert_growth_is_undone(const char *path, uint64_t reserve) {
    scratch_file(path, 5000, 2);
    km_map *map = open_map(
        path, &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SPARSE, .reserve = reserve});
    void *const data = km_data(map);
    limit_address_space();
    assert_int_equal(km_resize(map, MORE_THAN_IS_LEFT), KM_E_NO_MEMORY);
    assert_ptr_equal(km_data(map), data);
    assert_int_equal(km_size(map), 5000);
    assert_int_equal(scratch_size(path), 5000);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(((unsigned char *)data)[i], scratch_byte(i, 2));
    }
    assert_int_equal(km_resize(map, 100000), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
}

static void a_map_that_cannot_follow_does_not_let_its_file_grow(void **state) {
    (void)state;
    assert_growth_is_undone("resized", 0);
}

static void a_map_that_cannot_outgrow_its_reserve_stays_in_it(void **state) {
    (void)state;
    assert_growth_is_undone("reserved", 1 << 20);
}

static void within_its_reserve_a_map_needs_no_more_address_space(void **state) {
    (void)state;
    scratch_file("within", 5000, 3);
    km_map *map = open_map(
        "within",
        &(km_options){.access = KM_WRITE, .flags = KM_OPEN_SPARSE, .reserve = MORE_THAN_IS_LEFT});
    void *const data = km_data(map);
    limit_address_space();
    assert_int_equal(km_resize(map, MORE_THAN_IS_LEFT), KM_OK);
    assert_ptr_equal(km_data(map), data);
    ((char *)data)[MORE_THAN_IS_LEFT - 1] = 'x';
    assert_int_equal(km_close(map), KM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_file_that_cannot_be_mapped_does_not_grow, lift_limit),
        cmocka_unit_test_teardown(a_file_that_cannot_be_mapped_is_not_made, lift_limit),
        cmocka_unit_test_teardown(a_map_that_cannot_follow_does_not_let_its_file_grow, lift_limit),
        cmocka_unit_test_teardown(a_map_that_cannot_outgrow_its_reserve_stays_in_it, lift_limit),
        cmocka_unit_test_teardown(within_its_reserve_a_map_needs_no_more_address_space, lift_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
