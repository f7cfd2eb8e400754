/*
 * test_platform_lazy.c - memory filled when it is touched, and trackers, where a system may have
 * them or not: what it has works, and what it has not it says, and leaves all as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "platform.h"

#define CHUNK ((uint32_t)65536)

static bool fill(void *arg, uint64_t chunk, void *to, size_t length) {
    (void)arg;
    memset(to, (int)chunk + 1, length);
    return true;
}

static void lazy_memory_is_filled_or_not_to_be_had(void **state) {
    (void)state;
    char nothing = 0;
    void *base = &nothing;
    km_lazy_memory *memory = NULL;
    const DWORD error =
        km_platform_lazy_make((uint64_t)3 * CHUNK, CHUNK, true, fill, NULL, &memory, &base);
    if (error == ERROR_SUCCESS) {
        assert_int_equal(*((volatile unsigned char *)base + (size_t)2 * CHUNK), 3);
        assert_true(km_platform_lazy_fill(memory, 0, (uint64_t)3 * CHUNK));
    } else {
        assert_int_equal(error, ERROR_NOT_SUPPORTED);
        assert_null(memory);
        assert_ptr_equal(base, &nothing);
    }
    km_platform_lazy_free(memory);
}

static void a_tracker_tells_or_is_not_to_be_had(void **state) {
    (void)state;
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, CHUNK, NULL);
    assert_non_null(section);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    km_tracker *tracker = NULL;
    const DWORD error = km_platform_tracker_start(view, CHUNK, &tracker);
    if (error == ERROR_SUCCESS) {
        uint8_t changed[2] = {0, 0};
        view[0] = 1;
        view[CHUNK - 1] = 1;
        assert_int_equal(km_platform_tracker_collect(tracker, 4096, changed), ERROR_SUCCESS);
        assert_int_equal(changed[0], 0x01);
        assert_int_equal(changed[1], 0x80);
    } else {
        assert_int_equal(error, ERROR_NOT_SUPPORTED);
        assert_null(tracker);
    }
    km_platform_tracker_stop(tracker);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lazy_memory_is_filled_or_not_to_be_had),
        cmocka_unit_test(a_tracker_tells_or_is_not_to_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
