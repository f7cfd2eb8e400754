/*
 * test_restore_sparse.c - holes of a target that is restored in place are not read.
 *
 * What was read is what the kernel says of this process (proc(5), io), whatever the time it took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"

#define CHUNK ((uint32_t)1 << 20)
#define SIZE ((off_t)4 << 30)
#define FEW ((uint64_t)64 << 20)

static uint64_t bytes_read(void) {
    static const char name[] = "rchar: ";
    char line[64];
    FILE *io = fopen("/proc/self/io", "r");
    if (io == NULL) {
        skip(); /* a kernel that does not count */
    }
    assert_non_null(fgets(line, sizeof line, io));
    assert_memory_equal(line, name, sizeof name - 1);
    assert_int_equal(fclose(io), 0);
    return strtoull(line + sizeof name - 1, NULL, 10);
}

static void make_sparse(const char *name) {
    scratch_file(name, CHUNK, 1);
    assert_int_equal(truncate(name, SIZE), 0);
}

static void store(const char *name, off_t offset) {
    FILE *file = fopen(name, "r+b");
    assert_non_null(file);
    assert_int_equal(fseeko(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
}

static void holes_where_zeros_belong_are_not_read_in_place(void **state) {
    (void)state;
    km_map *map = NULL;
    uint64_t written = 0;
    const km_snapshot_options coarse = {.chunk_size = CHUNK, .flags = KM_SNAPSHOT_NO_SYNC};
    const km_restore_options in_place = {.flags = KM_RESTORE_IN_PLACE | KM_RESTORE_NO_SYNC,
                                         .written = &written};
    make_sparse("sparse");
    make_sparse("target");
    assert_int_equal(km_open(&map, "sparse", NULL), KM_OK);
    assert_int_equal(km_snapshot(map, "sparse.gz", &coarse), KM_OK);
    km_close(map);
    store("target", SIZE / 2);
    const uint64_t before = bytes_read();
    assert_int_equal(km_restore("sparse.gz", "target", &in_place), KM_OK);
    assert_in_range(bytes_read() - before, 1, FEW);
    assert_int_equal(written, CHUNK); /* the stray byte is gone... */
    assert_int_equal(km_restore("sparse.gz", "target", &in_place), KM_OK);
    assert_int_equal(written, 0); /* ...and nothing else was wrong */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_where_zeros_belong_are_not_read_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
