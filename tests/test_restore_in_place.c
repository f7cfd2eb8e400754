/*
 * test_restore_in_place.c - KM_RESTORE_IN_PLACE: an existing file made equal to the image, by
 * writing where they differ.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "restore.h"
#include "support/child.h"
#include "support/restore_image.h"
#include "support/scratch.h"

#define CHUNKS ((size_t)20)
#define SIZE (CHUNKS * IMAGE_CHUNK - 1000)

/* Makes the file equal to the image with byte `offset`, and every `step` bytes behind it, changed;
 * step 0: none is. */
static void make_target(const image *one, const char *path, size_t size, size_t offset,
                        size_t step) {
    unsigned char *bytes = calloc(1, size + 1);
    assert_non_null(bytes);
    memcpy(bytes, one->bytes, size < one->size ? size : one->size);
    for (size_t at = offset; step > 0 && at < size; at += step) {
        bytes[at] ^= 0x40;
    }
    scratch_write(path, bytes, size);
    free(bytes);
}

static km_status restore(const char *snapshot, const char *path, uint64_t *written) {
    km_restore_options options = {.flags = KM_RESTORE_IN_PLACE, .threads = 2};
    options.written = written;
    return km_restore(snapshot, path, &options);
}

static void only_the_chunks_that_differ_are_written(void **state) {
    (void)state;
    uint64_t written = 99;
    image one = image_make("trz", SIZE);
    image_snapshot(&one, "differ.kms", NULL);
    make_target(&one, "differ", SIZE, 0, 0);
    assert_int_equal(restore("differ.kms", "differ", &written), KM_OK);
    assert_int_equal(written, 0);
    /* In chunks 1, 6, 11 and 16: two that do not pack, two of zeros, among others. */
    make_target(&one, "differ", SIZE, IMAGE_CHUNK + 17, 5 * IMAGE_CHUNK);
    assert_int_equal(restore("differ.kms", "differ", &written), KM_OK);
    assert_int_equal(written, 4 * IMAGE_CHUNK);
    assert_true(image_is_file(&one, 0, SIZE, "differ"));
    /* The last byte of all. */
    make_target(&one, "differ", SIZE, SIZE - 1, SIZE);
    assert_int_equal(restore("differ.kms", "differ", &written), KM_OK);
    assert_int_equal(written, IMAGE_CHUNK - 1000);
    assert_true(image_is_file(&one, 0, SIZE, "differ"));
    image_free(&one);
}

static void the_file_gets_the_images_size(void **state) {
    (void)state;
    static const size_t sizes[] = {0,        1,        IMAGE_CHUNK,           5 * IMAGE_CHUNK + 3,
                                   SIZE - 1, SIZE + 1, SIZE + 5 * IMAGE_CHUNK};
    image one = image_make("ztr", SIZE);
    image_snapshot(&one, "sizes.kms", NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_target(&one, "sizes", sizes[i], 0, 0);
        assert_int_equal(restore("sizes.kms", "sizes", NULL), KM_OK);
        assert_true(image_is_file(&one, 0, SIZE, "sizes"));
    }
    image_free(&one);
}

static void an_empty_image_empties_the_file(void **state) {
    (void)state;
    uint64_t written = 99;
    image one = image_make("t", 0);
    image_snapshot(&one, "empty.kms", NULL);
    scratch_write("empty", "something", 9);
    assert_int_equal(restore("empty.kms", "empty", &written), KM_OK);
    assert_int_equal(scratch_size("empty"), 0);
    assert_int_equal(written, 0);
    image_free(&one);
}

static void zeros_behind_the_old_end_are_not_written(void **state) {
    (void)state;
    uint64_t written = 99;
    image one = image_make("rzzz", 12 * IMAGE_CHUNK);
    image_snapshot(&one, "behind.kms", NULL);
    scratch_write("behind", "", 0);
    assert_int_equal(restore("behind.kms", "behind", &written), KM_OK);
    assert_int_equal(written, 3 * IMAGE_CHUNK);
    assert_true(image_is_file(&one, 0, one.size, "behind"));
    image_free(&one);
}

static void a_damaged_snapshot_changes_nothing(void **state) {
    (void)state;
    image one = image_make("tr", SIZE);
    image_snapshot(&one, "damaged.kms", NULL);
    make_target(&one, "damaged", SIZE + 5, 3, 100);
    make_target(&one, "as it was", SIZE + 5, 3, 100);
    image_damage("damaged.kms", image_member("damaged.kms", CHUNKS - 1) + 100);
    assert_int_equal(restore("damaged.kms", "damaged", NULL), KM_E_CORRUPT);
    assert_true(scratch_same("damaged", "as it was"));
    image_free(&one);
}

static void the_target_has_to_be_a_file_of_ours_alone(void **state) {
    (void)state;
    km_map *map = NULL;
    image one = image_make("tr", SIZE);
    image_snapshot(&one, "alone.kms", NULL);
    assert_int_equal(restore("alone.kms", "missing", NULL), KM_E_NOT_FOUND);
    assert_int_equal(scratch_size("missing"), -1);
    assert_int_equal(restore("alone.kms", ".", NULL), KM_E_INVALID);
    make_target(&one, "alone", SIZE, 3, 100);
    make_target(&one, "not ours", SIZE, 3, 100);
    assert_int_equal(km_open(&map, "alone", NULL), KM_OK);
    assert_int_equal(restore("alone.kms", "alone", NULL), KM_E_BUSY);
    assert_non_null(strstr(km_error_message(), "\"alone\""));
    km_close(map);
    assert_true(scratch_same("alone", "not ours"));
    assert_int_equal(restore("alone.kms", "alone", NULL), KM_OK);
    image_free(&one);
}

static bool stop_behind(uint64_t done, uint64_t total, void *arg) {
    const uint64_t *end = arg;
    assert_int_equal(total, 2 * SIZE);
    return done < *end;
}

/* Was it the check or the change, and how many of the image's bytes did that see? */
static uint64_t cancelled_after(const char *doing) {
    static const char words[] = " was cancelled after ";
    const char *sentence = km_error_message();
    const char *number = strstr(sentence, words);
    assert_memory_equal(sentence, doing, strlen(doing));
    assert_non_null(number);
    return strtoull(number + strlen(words), NULL, 10);
}

static void who_cancels_is_told_which_of_the_two_passes_that_ended(void **state) {
    (void)state;
    uint64_t end = SIZE / 2;
    km_restore_options options = {
        .flags = KM_RESTORE_IN_PLACE, .threads = 1, .progress = stop_behind, .progress_arg = &end};
    image one = image_make("tr", SIZE);
    image_snapshot(&one, "passes.kms", NULL);
    make_target(&one, "passes", SIZE, 3, 100);
    assert_int_equal(km_restore("passes.kms", "passes", &options), KM_E_CANCELLED);
    assert_in_range(cancelled_after("verifying \"passes.kms\""), SIZE / 2, SIZE);
    end = SIZE + SIZE / 2;
    assert_int_equal(km_restore("passes.kms", "passes", &options), KM_E_CANCELLED);
    assert_in_range(cancelled_after("restoring \"passes.kms\""), SIZE / 2, SIZE);
    image_free(&one);
}

static void cancelled_while_it_checks_nothing_is_changed(void **state) {
    (void)state;
    uint64_t end = SIZE / 2;
    km_restore_options options = {
        .flags = KM_RESTORE_IN_PLACE, .threads = 1, .progress = stop_behind, .progress_arg = &end};
    image one = image_make("tr", SIZE);
    image_snapshot(&one, "cancel.kms", NULL);
    make_target(&one, "cancel", SIZE + 5, 3, 100);
    make_target(&one, "uncancelled", SIZE + 5, 3, 100);
    assert_int_equal(km_restore("cancel.kms", "cancel", &options), KM_E_CANCELLED);
    assert_true(scratch_same("cancel", "uncancelled"));
    /* Later, it is a mixture, which the same call repairs. */
    end = SIZE + SIZE / 2;
    assert_int_equal(km_restore("cancel.kms", "cancel", &options), KM_E_CANCELLED);
    assert_false(image_is_file(&one, 0, SIZE, "cancel"));
    assert_int_equal(restore("cancel.kms", "cancel", NULL), KM_OK);
    assert_true(image_is_file(&one, 0, SIZE, "cancel"));
    image_free(&one);
}

/* ---- A disk that fails, and a death in the middle ------------------------------------------ */

static struct {
    atomic_long calls;
    long failing; /* which call fails; 0: none */
    bool deadly;  /* and then so does the process */
} disk;

static bool fails(void) {
    if (atomic_fetch_add(&disk.calls, 1) + 1 != disk.failing) {
        return false;
    }
    if (disk.deadly) {
        child_say("in the middle");
        char line[8];
        (void)child_hear(line, sizeof line); /* until it is killed */
    }
    return true;
}

static DWORD disk_write_at(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    return fails() ? ERROR_DISK_FULL : km_io_default.write_at(file, offset, from, length);
}

static DWORD disk_truncate(HANDLE file, uint64_t size) {
    return fails() ? ERROR_DISK_FULL : km_io_default.truncate(file, size);
}

static DWORD disk_sync(HANDLE file) {
    return fails() ? ERROR_IO_DEVICE : km_io_default.sync(file);
}

static km_status restore_on_disk(long failing, uint32_t flags) {
    km_io io = km_io_default;
    km_restore_options options = {.flags = KM_RESTORE_IN_PLACE | flags, .threads = 1};
    io.write_at = disk_write_at;
    io.truncate = disk_truncate;
    io.sync = disk_sync;
    disk.calls = 0;
    disk.failing = failing;
    return km_restore_with(&io, "disk.kms", "disk", &options);
}

static void what_a_failing_disk_leaves_the_next_call_repairs(void **state) {
    (void)state;
    image one = image_make("trz", SIZE);
    km_status status = KM_E_IO;
    image_snapshot(&one, "disk.kms", NULL);
    for (long k = 1; status != KM_OK; k++) {
        make_target(&one, "disk", SIZE + 77, 5, 4 * IMAGE_CHUNK);
        status = restore_on_disk(k, 0);
        if (status != KM_OK) {
            assert_true(status == KM_E_NO_SPACE || status == KM_E_IO);
            assert_non_null(strstr(km_error_message(), "\"disk\""));
            assert_int_equal(restore("disk.kms", "disk", NULL), KM_OK);
        } else {
            assert_int_equal(k, 1 + 5 + 1 + 1); /* the size, five chunks, the sync */
        }
        assert_true(image_is_file(&one, 0, SIZE, "disk"));
    }
    make_target(&one, "disk", SIZE, 5, 4 * IMAGE_CHUNK);
    assert_int_equal(restore_on_disk(0, KM_RESTORE_NO_SYNC), KM_OK);
    assert_int_equal(disk.calls, 5);
    image_free(&one);
}

static int die_at_a_write(int argc, char **argv) {
    (void)argc;
    disk.deadly = true;
    return restore_on_disk(strtol(argv[1], NULL, 10), 0) == KM_OK;
}

static void what_a_death_in_the_middle_leaves_the_next_call_repairs(void **state) {
    (void)state;
    static const char *const deaths[] = {"1", "2", "4", "6", "7"};
    image one = image_make("trz", SIZE);
    image_snapshot(&one, "disk.kms", NULL);
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        uint64_t written = 0;
        make_target(&one, "disk", SIZE + 77, 5, 4 * IMAGE_CHUNK);
        child *victim = child_start("die_at_a_write", deaths[i], NULL);
        child_expect(victim, "in the middle");
        child_kill(victim);
        assert_int_equal(restore("disk.kms", "disk", &written), KM_OK);
        assert_true(image_is_file(&one, 0, SIZE, "disk"));
        /* What it had written before is not written again: call 1 was the size. */
        const uint64_t done = strtoul(deaths[i], NULL, 10) - 1;
        assert_int_equal(written, (5 - (done > 0 ? done - 1 : 0)) * IMAGE_CHUNK);
    }
    image_free(&one);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"die_at_a_write", die_at_a_write}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_chunks_that_differ_are_written),
        cmocka_unit_test(the_file_gets_the_images_size),
        cmocka_unit_test(an_empty_image_empties_the_file),
        cmocka_unit_test(zeros_behind_the_old_end_are_not_written),
        cmocka_unit_test(a_damaged_snapshot_changes_nothing),
        cmocka_unit_test(the_target_has_to_be_a_file_of_ours_alone),
        cmocka_unit_test(cancelled_while_it_checks_nothing_is_changed),
        cmocka_unit_test(who_cancels_is_told_which_of_the_two_passes_that_ended),
        cmocka_unit_test(what_a_failing_disk_leaves_the_next_call_repairs),
        cmocka_unit_test(what_a_death_in_the_middle_leaves_the_next_call_repairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
