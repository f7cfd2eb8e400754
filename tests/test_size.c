/*
 * test_size.c - arithmetic on sizes at its edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "size.h"

static void a_sum_is_right_or_refused(void **state) {
    (void)state;
    uint64_t sum = 5;
    assert_true(km_size_add(1, 2, &sum));
    assert_int_equal(sum, 3);
    assert_true(km_size_add(UINT64_MAX, 0, &sum));
    assert_int_equal(sum, UINT64_MAX);
    assert_true(km_size_add(UINT64_MAX - 7, 7, &sum));
    assert_int_equal(sum, UINT64_MAX);
    sum = 5;
    assert_false(km_size_add(UINT64_MAX, 1, &sum));
    assert_false(km_size_add(1, UINT64_MAX, &sum));
    assert_false(km_size_add((uint64_t)1 << 63, (uint64_t)1 << 63, &sum));
    assert_int_equal(sum, 5);
}

static void aligning_down_never_grows(void **state) {
    (void)state;
    assert_int_equal(km_size_align_down(0, 65536), 0);
    assert_int_equal(km_size_align_down(65535, 65536), 0);
    assert_int_equal(km_size_align_down(65536, 65536), 65536);
    assert_int_equal(km_size_align_down(UINT64_MAX, 65536), UINT64_MAX - 65535);
    assert_int_equal(km_size_align_down(UINT64_MAX, 1), UINT64_MAX);
}

static void aligning_up_is_right_or_refused(void **state) {
    (void)state;
    uint64_t aligned = 5;
    assert_true(km_size_align_up(0, 4096, &aligned));
    assert_int_equal(aligned, 0);
    assert_true(km_size_align_up(1, 4096, &aligned));
    assert_int_equal(aligned, 4096);
    assert_true(km_size_align_up(4096, 4096, &aligned));
    assert_int_equal(aligned, 4096);
    assert_true(km_size_align_up(UINT64_MAX - 4095, 4096, &aligned));
    assert_int_equal(aligned, UINT64_MAX - 4095);
    aligned = 5;
    assert_false(km_size_align_up(UINT64_MAX - 4094, 4096, &aligned));
    assert_false(km_size_align_up(UINT64_MAX, 4096, &aligned));
    assert_int_equal(aligned, 5);
}

static void a_range_is_inside_only_with_its_last_byte(void **state) {
    (void)state;
    assert_true(km_size_inside(0, 0, 0));
    assert_true(km_size_inside(10, 0, 10));
    assert_true(km_size_inside(0, 10, 10));
    assert_true(km_size_inside(9, 1, 10));
    assert_false(km_size_inside(9, 2, 10));
    assert_false(km_size_inside(11, 0, 10));
    assert_false(km_size_inside(0, 11, 10));
    assert_false(km_size_inside(5, UINT64_MAX, 10));
    assert_false(km_size_inside(UINT64_MAX, 5, 10));
    assert_false(km_size_inside(UINT64_MAX, UINT64_MAX, UINT64_MAX));
    assert_true(km_size_inside(1, UINT64_MAX - 1, UINT64_MAX));
}

static void halves_make_the_whole(void **state) {
    (void)state;
    const uint64_t sizes[] = {0, 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, KM_SIZE_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(km_size_join(km_size_high(sizes[i]), km_size_low(sizes[i])), sizes[i]);
    }
    assert_int_equal(km_size_high(0x123456789ABCDEF0), 0x12345678);
    assert_int_equal(km_size_low(0x123456789ABCDEF0), 0x9ABCDEF0);
}

static void memory_is_addressable_as_far_as_size_t_goes(void **state) {
    (void)state;
    assert_true(km_size_addressable(0));
    assert_true(km_size_addressable(SIZE_MAX));
    if (SIZE_MAX < UINT64_MAX) {
        assert_false(km_size_addressable(UINT64_MAX));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_right_or_refused),
        cmocka_unit_test(aligning_down_never_grows),
        cmocka_unit_test(aligning_up_is_right_or_refused),
        cmocka_unit_test(a_range_is_inside_only_with_its_last_byte),
        cmocka_unit_test(halves_make_the_whole),
        cmocka_unit_test(memory_is_addressable_as_far_as_size_t_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
