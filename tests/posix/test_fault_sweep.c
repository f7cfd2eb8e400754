/*
 * test_fault_sweep.c - every allocation and every system call fails once, in each thing keepmap
 * does.
 *
 * For each scenario: the first call fails, then the second, and so on until a run meets no fault
 * any more; each time that one call alone, and again with every later one failing as well; with
 * several error codes. Whatever happens, either the scenario works and its result is right, or it
 * returns a status with a sentence, and the files are as they were before. Never is a descriptor, a
 * mapping, an allocation or a temporary file left behind.
 *
 * Not under tsan: one thread does it all.
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keepmap.h>

#include "posix/fault/fault.h"
#include "posix/fault/sweep.h"
#include "support/scratch.h"

#define SMALL 70000u
#define LARGE 300000u

/* ---- The scenarios ---- */

static void prepare_source(void) {
    (void)remove("target"); /* they need not be there */
    (void)remove("created");
    scratch_file("source", SMALL, 1);
    scratch_file("original", SMALL, 1);
}

static void prepare_target(void) {
    prepare_source();
    scratch_file("target", 5000, 2);
    scratch_file("old target", 5000, 2);
}

static void source_untouched(void) {
    assert_true(scratch_same("source", "original"));
}

/* The first SMALL bytes as they were, and zeros from there to `size`. */
static void source_is(uint64_t size) {
    assert_int_equal(scratch_size("source"), size);
    FILE *file = fopen("source", "rb");
    assert_non_null(file);
    for (uint64_t i = 0; i < size; i++) {
        int byte = getc(file);
        if (byte != (i < SMALL ? scratch_byte(i, 1) : 0)) {
            fail_msg("byte %" PRIu64 " is %d", i, byte);
        }
    }
    fclose(file);
}

/* With every later call failing too, growth cannot be undone; no byte that was there is lost. */
static void source_undamaged(void) {
    int64_t size = scratch_size("source");
    assert_true(size == SMALL || size == LARGE);
    source_is((uint64_t)size);
}

static void source_grew(void) {
    source_is(LARGE);
}

static void source_shrank(void) {
    source_is(5000);
}

/* A file that has been cut cannot be made whole again: then the sentence says so. */
static void source_cut_or_not(void) {
    if (scratch_size("source") == SMALL) {
        source_untouched();
    } else {
        source_shrank();
        assert_non_null(strstr(km_error_message(), "after cutting it"));
    }
}

static km_status open_and_close(const km_options *options) {
    km_map *map = NULL;
    km_status status = km_open(&map, "source", options);
    if (status != KM_OK) {
        assert_null(map);
        return status;
    }
    assert_int_equal(*(const unsigned char *)km_data(map), scratch_byte(0, 1));
    return km_close(map);
}

static km_status run_open_read(void) {
    return open_and_close(NULL);
}

static km_status run_open_private(void) {
    km_options options = {.access = KM_PRIVATE, .flags = KM_OPEN_SEQUENTIAL};
    return open_and_close(&options);
}

static km_status run_open_growing(void) {
    km_options options = {.access = KM_WRITE, .size = LARGE, .flags = KM_OPEN_RANDOM};
    return open_and_close(&options);
}

static km_status run_open_growing_sparse(void) {
    km_options options = {.access = KM_WRITE, .size = LARGE, .flags = KM_OPEN_SPARSE};
    return open_and_close(&options);
}

static km_status fill_new_file(void *data, uint64_t size, void *arg) {
    memset(data, *(const int *)arg, (size_t)size);
    return KM_OK;
}

static km_status run_create(void) {
    int filling = 'k';
    km_options options = {.access = KM_WRITE,
                          .size = SMALL,
                          .reserve = LARGE,
                          .flags = KM_OPEN_NEW,
                          .init = fill_new_file,
                          .init_arg = &filling};
    km_map *map = NULL;
    km_status status = km_open(&map, "created", &options);
    if (status != KM_OK) {
        assert_null(map);
        return status;
    }
    assert_true(km_created(map));
    (void)km_close(map); /* it may say that it could not unmap; the file is there */
    return KM_OK;
}

static void created_whole(void) {
    static unsigned char expected[SMALL];
    memset(expected, 'k', sizeof expected);
    assert_true(scratch_equals("created", expected, sizeof expected));
}

static void nothing_created(void) {
    assert_int_equal(scratch_size("created"), -1);
}

static km_status run_window(void) {
    km_map *map = NULL;
    km_map *window = NULL;
    km_status status = km_open(&map, "source", NULL);
    if (status != KM_OK) {
        return status;
    }
    status = km_window(&window, map, 66000, 4);
    if (status == KM_OK) {
        assert_int_equal(*(const unsigned char *)km_data(window), scratch_byte(66000, 1));
        km_close(window);
    } else {
        assert_null(window);
    }
    km_close(map);
    return status;
}

/* After a failed resize the map shows what it showed, or says that it is empty. */
static km_status resize_source(uint64_t reserve, uint64_t size) {
    km_options options = {.access = KM_WRITE, .reserve = reserve};
    km_map *map = NULL;
    km_status status = km_open(&map, "source", &options);
    if (status != KM_OK) {
        return status;
    }
    void *before = km_data(map);
    status = km_resize(map, size);
    if (status == KM_OK) {
        assert_int_equal(km_size(map), size);
        if (size <= reserve) {
            assert_ptr_equal(km_data(map), before);
        }
    } else if (km_data(map) != NULL) {
        assert_int_equal(km_size(map), SMALL);
    } else {
        assert_int_equal(km_size(map), 0);
    }
    if (km_data(map) != NULL) {
        assert_int_equal(*(const unsigned char *)km_data(map), scratch_byte(0, 1));
    }
    km_close(map);
    return status;
}

static km_status run_grow_reserved(void) {
    return resize_source(1 << 20, LARGE);
}

static km_status run_grow_moving(void) {
    return resize_source(0, LARGE);
}

static km_status run_shrink(void) {
    return resize_source(0, 5000);
}

static km_status run_shrink_reserved(void) {
    return resize_source(1 << 20, 5000);
}

static km_status run_flush(void) {
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    km_status status = km_open(&map, "source", &options);
    if (status != KM_OK) {
        return status;
    }
    status = km_flush(map, 100, 5000, KM_FLUSH_START);
    if (status == KM_OK) {
        status = km_flush(map, 0, 0, KM_FLUSH_DURABLE);
    }
    km_close(map);
    return status;
}

static km_status run_lock(void) {
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    km_status status = km_open(&map, "source", &options);
    if (status != KM_OK) {
        return status;
    }
    status = km_lock(map, KM_LOCK_EXCLUSIVE, 0);
    if (status == KM_OK) {
        status = km_unlock(map);
    } else {
        assert_int_equal(km_unlock(map), KM_E_INVALID);
    }
    km_close(map);
    return status;
}

static km_status run_transfer(void) {
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    unsigned char bytes[9000];
    km_status status = km_open(&map, "source", &options);
    if (status != KM_OK) {
        return status;
    }
    status = km_read(map, 60000, bytes, sizeof bytes);
    if (status == KM_OK) {
        assert_int_equal(bytes[8999], scratch_byte(68999, 1));
        status = km_write(map, 60000, bytes, sizeof bytes);
    }
    km_close(map);
    return status;
}

static km_status run_advise(void) {
    km_map *map = NULL;
    km_status status = km_open(&map, "source", NULL);
    for (km_advice advice = KM_ADVICE_NORMAL; status == KM_OK && advice <= KM_ADVICE_COLD;
         advice++) {
        status = km_advise(map, 100, 0, advice);
    }
    km_close(map);
    return status;
}

static km_status run_check(void) {
    km_size_report report = {0};
    km_map *map = NULL;
    km_status status = km_open(&map, "source", NULL);
    if (status != KM_OK) {
        return status;
    }
    status = km_check(map, &report);
    km_close(map);
    if (status == KM_OK) {
        status = km_check_file("source", SMALL, &report);
    }
    return status == KM_OK ? km_fits("source", LARGE, &report) : status;
}

static km_status copy_source(km_access access, uint32_t flags) {
    km_options options = {.access = access};
    km_copy_options copy = {.flags = flags};
    km_map *map = NULL;
    km_status status = km_open(&map, "source", &options);
    if (status != KM_OK) {
        return status;
    }
    status = km_copy(map, "target", &copy);
    km_close(map);
    return status;
}

static km_status run_copy(void) {
    return copy_source(KM_READ, 0);
}

static km_status run_copy_private(void) {
    return copy_source(KM_PRIVATE, 0);
}

static km_status run_copy_replacing(void) {
    return copy_source(KM_READ, KM_COPY_REPLACE);
}

static void copied(void) {
    assert_true(scratch_same("target", "source"));
    source_untouched();
}

/* A sync of the directory that fails comes after the name: the copy is whole then, not durable. */
static void not_copied(void) {
    assert_true(scratch_size("target") == -1 || scratch_same("target", "source"));
    source_untouched();
}

static void not_replaced(void) {
    assert_true(scratch_same("target", "old target") || scratch_same("target", "source"));
    source_untouched();
}

static const sweep_scenario scenarios[] = {
    {"open to read", prepare_source, run_open_read, source_untouched, source_untouched},
    {"open privately", prepare_source, run_open_private, source_untouched, source_untouched},
    {"open and grow", prepare_source, run_open_growing, source_grew, source_untouched},
    {"open and grow sparsely", prepare_source, run_open_growing_sparse, source_grew,
     source_untouched},
    {"create", prepare_source, run_create, created_whole, nothing_created},
    {"window", prepare_source, run_window, source_untouched, source_untouched},
    {"grow in place", prepare_source, run_grow_reserved, source_grew, source_untouched},
    {"grow and move", prepare_source, run_grow_moving, source_grew, source_untouched},
    {"shrink", prepare_source, run_shrink, source_shrank, source_cut_or_not},
    {"shrink in place", prepare_source, run_shrink_reserved, source_shrank, source_cut_or_not},
    {"flush", prepare_source, run_flush, source_untouched, source_untouched},
    {"lock", prepare_source, run_lock, source_untouched, source_untouched},
    {"read and write", prepare_source, run_transfer, source_untouched, source_untouched},
    {"advise", prepare_source, run_advise, source_untouched, source_untouched},
    {"check", prepare_source, run_check, source_untouched, source_untouched},
    {"copy", prepare_source, run_copy, copied, not_copied},
    {"copy private stores", prepare_source, run_copy_private, copied, not_copied},
    {"copy onto a file", prepare_target, run_copy_replacing, copied, not_replaced},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* ---- The sweep ---- */

static void check(const void *arg, km_status status, bool from_then_on) {
    const sweep_scenario *what = arg;
    if (status != KM_OK && from_then_on && what->check_done == source_grew) {
        source_undamaged();
    } else {
        sweep_check(what, status, from_then_on);
    }
}

/* Address space that is kept without memory must not be left behind either. */
static const char *const address_space[] = {"---p 00000000 00:00 0", NULL};

static void sweep(void **state) {
    static const sweep_rules rules = {.prepare = sweep_prepare,
                                      .run = sweep_run,
                                      .check = check,
                                      .target = "target",
                                      .other = "created",
                                      .mappings = address_space,
                                      .first_failure_keeps = true};
    const sweep_fault *fault = *state;
    for (size_t s = 0; s < SCENARIOS; s++) {
        const unsigned calls = sweep_calls(&rules, scenarios[s].name, &scenarios[s], fault);
        /* A scenario that makes no call at all would have shown nothing. */
        assert_true(calls > 0 || fault->kind == FAULT_ALLOCATIONS);
    }
}

/* ---- More of them ---- */

static void after_a_failed_sync_every_flush_of_the_file_fails(void **state) {
    (void)state;
    prepare_source();
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    km_map *window = NULL;
    assert_int_equal(km_open(&map, "source", &options), KM_OK);
    assert_int_equal(km_window(&window, map, 0, 100), KM_OK);
    fault_arm_call("fsync", 1, EIO, false);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_E_IO);
    assert_true(fault_disarm());
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_E_IO);
    assert_int_equal(km_flush(window, 0, 0, KM_FLUSH_DURABLE), KM_E_IO);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_START), KM_E_IO);
    km_close(window);
    km_close(map);
    /* Opened again, the file is flushed as ever. */
    assert_int_equal(km_open(&map, "source", &options), KM_OK);
    assert_int_equal(km_flush(map, 0, 0, KM_FLUSH_DURABLE), KM_OK);
    km_close(map);
}

static void reading_works_where_process_vm_calls_are_forbidden(void **state) {
    (void)state;
    prepare_source();
    unsigned char bytes[SMALL];
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "source", NULL), KM_OK);
    fault_arm_call("process_vm_readv", 1, EPERM, true);
    assert_int_equal(km_read(map, 0, bytes, sizeof bytes), KM_OK);
    assert_true(fault_disarm());
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], scratch_byte(i, 1));
    }
    /* Nor does that way die of a file cut short. */
    assert_int_equal(truncate("source", 100), 0);
    fault_arm_call("process_vm_readv", 1, ENOSYS, true);
    assert_int_equal(km_read(map, 0, bytes, sizeof bytes), KM_E_TRUNCATED);
    assert_true(fault_disarm());
    km_close(map);
}

static void writing_works_where_process_vm_calls_are_forbidden(void **state) {
    (void)state;
    prepare_source();
    unsigned char bytes[5000];
    memset(bytes, 'w', sizeof bytes);
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "source", &options), KM_OK);
    fault_arm_call("process_vm_readv", 1, EPERM, true);
    assert_int_equal(km_write(map, 60000, bytes, sizeof bytes), KM_OK);
    assert_true(fault_disarm());
    assert_memory_equal((const char *)km_data(map) + 60000, bytes, sizeof bytes);
    assert_int_equal(truncate("source", 100), 0);
    fault_arm_call("process_vm_readv", 1, EPERM, true);
    assert_int_equal(km_write(map, 60000, bytes, sizeof bytes), KM_E_TRUNCATED);
    assert_true(fault_disarm());
    km_close(map);
}

static int use_many_handles(void **state) {
    (void)state;
    prepare_source();
    return sweep_use_many_handles("source");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SWEEP_TESTS(sweep),
        SWEEP_TEST(a_system_call_that_fails_with_an_io_error_leaves_nothing_behind, sweep,
                   FAULT_SYSTEM, EIO, false),
        cmocka_unit_test(after_a_failed_sync_every_flush_of_the_file_fails),
        cmocka_unit_test(reading_works_where_process_vm_calls_are_forbidden),
        cmocka_unit_test(writing_works_where_process_vm_calls_are_forbidden),
    };
    return cmocka_run_group_tests(tests, use_many_handles, NULL);
}
