/*
 * test_fault_snapshot_holes.c - what a snapshot asks a file with holes: for each chunk whether it
 * is one, and nothing that takes the longer the larger the file is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <keepmap.h>

#include "posix/fault/fault.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"

#define CHUNK IMAGE_CHUNK
#define CHUNKS 24u

/* A file with data in all but its last four chunks, which are a hole if `holes` say so. */
static km_map *new_map(const char *path, bool holes, unsigned char *bytes) {
    const size_t data = (CHUNKS - 4) * CHUNK;
    for (size_t i = 0; i < CHUNKS * CHUNK; i++) {
        bytes[i] = i < data || !holes ? (unsigned char)(i * 7 + i / CHUNK + 1) : 0;
    }
    scratch_write(path, bytes, holes ? data : CHUNKS * CHUNK);
    assert_int_equal(truncate(path, (off_t)(CHUNKS * CHUNK)), 0);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, path, NULL), KM_OK);
    return map;
}

/* How often a snapshot seeks: the seek that is told to fail comes until then. */
static unsigned seeks(km_map *map, const unsigned char *bytes) {
    const km_snapshot_options how = {
        .flags = KM_SNAPSHOT_REPLACE | KM_SNAPSHOT_NO_SYNC, .chunk_size = CHUNK, .threads = 1};
    for (unsigned k = 1;; k++) {
        fault_arm_call("lseek64", k, EIO, false);
        const km_status status = km_snapshot(map, "seeks.gz", &how);
        const bool struck = fault_disarm();
        assert_int_equal(status, KM_OK); /* what cannot be asked is read */
        if (!struck) {
            taken_holds("seeks.gz", bytes, CHUNKS * CHUNK);
            return k - 1;
        }
    }
}

/* Where a run of data ends, tmpfs finds by walking through all of its pages. */
static void a_chunk_is_one_question_and_where_its_run_ends_is_none(void **state) {
    (void)state;
    unsigned char *bytes = malloc(CHUNKS * CHUNK);
    assert_non_null(bytes);
    km_map *dense = new_map("dense", false, bytes);
    const unsigned without = seeks(dense, bytes);
    km_map *holes = new_map("holes", true, bytes);
    assert_in_range(seeks(holes, bytes), 0, without + CHUNKS);
    km_close(dense);
    km_close(holes);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_one_question_and_where_its_run_ends_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
