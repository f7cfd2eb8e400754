/*
 * test_snapshot_memory.c - how much memory snapshots take: a few chunks a thread and some bytes for
 * each chunk, whatever the file's size.
 *
 * Not under asan: its memory is not ours. Not under tsan: the same. Not under valgrind: the same.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/scratch.h"
#include "support/snapshot_builder.h"

#define MIB ((uint64_t)1 << 20)
#define FILE_BYTES (UINT64_C(8) << 30)
#define MEMORY_BYTES (64 * MIB)
#define DATA_BYTES (64 * MIB) /* at each end; between them is a hole */

/* A line of /proc/self/status, in bytes. */
static uint64_t status_of(const char *name) {
    char line[256];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtoull(line + strlen(name) + 1, NULL, 10);
        }
    }
    (void)fclose(status);
    assert_true(kib > 0);
    return kib << 10;
}

/* From here on the most is counted anew. */
static uint64_t begin_counting(void) {
    const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "5", 1) != 1) {
        skip();
    }
    close(file);
    return status_of("VmRSS:");
}

static uint64_t most_since(uint64_t before) {
    const uint64_t most = status_of("VmHWM:");
    return most > before ? most - before : 0;
}

static void write_data(int file, uint64_t offset) {
    static unsigned char block[1 << 20];
    for (uint64_t at = 0; at < DATA_BYTES; at += sizeof block) {
        if (at / sizeof block % 2) {
            snapshot_noise(block, sizeof block, (unsigned)(offset + at));
        } else {
            snapshot_text(block, sizeof block, (unsigned)(offset + at));
        }
        assert_int_equal(pwrite(file, block, sizeof block, (off_t)(offset + at)), sizeof block);
    }
}

static int make_file(void **state) {
    (void)state;
    const int file = open("large", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    if (ftruncate(file, (off_t)FILE_BYTES) != 0) {
        close(file);
        return -1;
    }
    write_data(file, 0);
    write_data(file, FILE_BYTES - DATA_BYTES);
    close(file);
    return 0;
}

static void a_snapshot_of_8_gib_takes_less_than_64_mib(void **state) {
    (void)state;
    km_map *map = NULL;
    km_snapshot_report report = {0};
    const km_snapshot_options options = {
        .flags = KM_SNAPSHOT_NO_SYNC, .threads = 8, .report = &report};
    assert_int_equal(km_open(&map, "large", NULL), KM_OK);
    const uint64_t before = begin_counting();
    assert_int_equal(km_snapshot(map, "large.gz", &options), KM_OK);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
    assert_int_equal(report.size, FILE_BYTES);
    assert_int_equal(report.zero_chunks, (FILE_BYTES - 2 * DATA_BYTES) / KM_CHUNK_SIZE_DEFAULT);
    assert_int_equal(km_close(map), KM_OK);
}

static void one_since_another_takes_less_than_64_mib(void **state) {
    (void)state;
    km_map *map = NULL;
    km_snapshot_report report = {0};
    const km_snapshot_options options = {
        .flags = KM_SNAPSHOT_NO_SYNC, .threads = 8, .since = "large.gz", .report = &report};
    assert_int_equal(km_open(&map, "large", NULL), KM_OK);
    const uint64_t before = begin_counting();
    assert_int_equal(km_snapshot(map, "since.gz", &options), KM_OK);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
    assert_true(report.reused_chunks + report.zero_chunks >= report.chunks);
    assert_int_equal(km_close(map), KM_OK);
}

static void verifying_it_takes_less_than_64_mib(void **state) {
    (void)state;
    const km_verify_options options = {.threads = 8};
    const uint64_t before = begin_counting();
    assert_int_equal(km_verify("large.gz", &options), KM_OK);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
}

static void restoring_it_takes_less_than_64_mib(void **state) {
    (void)state;
    const km_restore_options options = {.flags = KM_RESTORE_NO_SYNC, .threads = 8};
    const uint64_t before = begin_counting();
    assert_int_equal(km_restore("large.gz", "back", &options), KM_OK);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
    assert_int_equal(scratch_size("back"), FILE_BYTES);
    const km_diff_options diff = {.threads = 8};
    assert_int_equal(km_diff("large", "back", &diff), KM_OK);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
}

static void mapping_it_takes_less_than_64_mib_until_it_is_touched(void **state) {
    (void)state;
    km_map *map = NULL;
    const uint64_t before = begin_counting();
    const km_status status = km_open_snapshot(&map, "large.gz", NULL);
    if (status == KM_E_NO_MEMORY) { /* unpacked at the open: no userfaultfd here */
        skip();
    }
    assert_int_equal(status, KM_OK);
    assert_int_equal(km_size(map), FILE_BYTES);
    if (most_since(before) > FILE_BYTES / 2) {
        km_close(map);
        skip();
    }
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
    const unsigned char *data = km_data(map);
    assert_int_equal(data[FILE_BYTES / 2], 0);
    assert_in_range(most_since(before), 0, MEMORY_BYTES);
    assert_int_equal(km_close(map), KM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_of_8_gib_takes_less_than_64_mib),
        cmocka_unit_test(one_since_another_takes_less_than_64_mib),
        cmocka_unit_test(verifying_it_takes_less_than_64_mib),
        cmocka_unit_test(restoring_it_takes_less_than_64_mib),
        cmocka_unit_test(mapping_it_takes_less_than_64_mib_until_it_is_touched),
    };
    return cmocka_run_group_tests(tests, make_file, NULL);
}
