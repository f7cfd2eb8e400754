/*
 * test_restore.c - km_restore to files and streams, and km_restore_memory: the whole image,
 * exactly, or nothing.
 *
 * With other codecs: what packs differs, what comes back does not.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "restore.h"
#include "support/restore_image.h"
#include "support/scratch.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#include <sys/stat.h>
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define MIB ((size_t)1 << 20)
#define OLD "what was there before"

static const size_t sizes[] = {
    0,
    1,
    IMAGE_CHUNK - 1,
    IMAGE_CHUNK,
    IMAGE_CHUNK + 1,
    3 * IMAGE_CHUNK - 1,
    3 * IMAGE_CHUNK,
    3 * IMAGE_CHUNK + 1,
    37 * IMAGE_CHUNK + 4097,
};

/* ---- The whole image ----------------------------------------------------------------------- */

static void round_trip(const char *pattern, size_t size, uint32_t threads) {
    image one = image_make(pattern, size);
    image_snapshot(&one, "trip.kms", NULL);
    uint64_t written = 0;
    km_restore_options options = {.threads = threads, .written = &written};
    assert_int_equal(km_restore("trip.kms", "trip", &options), KM_OK);
    assert_true(image_is_file(&one, 0, size, "trip"));
    assert_true(written <= size);
    scratch_remove("trip");
    scratch_remove("trip.kms");
    image_free(&one);
}

static void images_of_all_sizes_around_chunks_come_back(void **state) {
    (void)state;
    static const char *const patterns[] = {"t", "r", "z", "trz"};
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            round_trip(patterns[p], sizes[s], 0);
        }
    }
}

static void any_number_of_threads_restores_the_same(void **state) {
    (void)state;
    static const uint32_t numbers[] = {1, 2, 3, 7, 300};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        round_trip("ttrzt", 40 * IMAGE_CHUNK + 5, numbers[i]);
    }
}

static void larger_chunks_come_back(void **state) {
    (void)state;
    static const uint8_t shifts[] = {17, 18, 20};
    image one = image_make("trzzzzttt", 3 * MIB + 77);
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        snapshot_plan plan = {.level = 1, .chunk_shift = shifts[i]};
        image_snapshot(&one, "large.kms", &plan);
        assert_int_equal(km_restore("large.kms", "large", NULL), KM_OK);
        assert_true(image_is_file(&one, 0, one.size, "large"));
        scratch_remove("large");
    }
    image_free(&one);
}

/* ---- Holes --------------------------------------------------------------------------------- */

static bool has_holes(const WCHAR *name, uint64_t *allocated) {
    HANDLE file =
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    const bool has = km_platform_set_sparse(file) == ERROR_SUCCESS;
    assert_int_equal(km_platform_allocated(file, allocated), ERROR_SUCCESS);
    CloseHandle(file);
    return has;
}

static void chunks_of_zeros_become_holes(void **state) {
    (void)state;
    uint64_t allocated = 0;
    uint64_t written = 0;
    image one = image_make("rzzzzzzz", 64 * IMAGE_CHUNK);
    image_snapshot(&one, "holes.kms", NULL);
    km_restore_options options = {.written = &written};
    assert_int_equal(km_restore("holes.kms", "holes", &options), KM_OK);
    assert_true(image_is_file(&one, 0, one.size, "holes"));
    assert_int_equal(written, 8 * IMAGE_CHUNK);
    if (has_holes(W("holes"), &allocated)) {
        assert_true(allocated <= 16 * IMAGE_CHUNK);
    }
    image_free(&one);
}

static void zeros_inside_a_chunk_become_holes_too(void **state) {
    (void)state;
    uint64_t written = 0;
    snapshot_plan plan = {.level = 1, .chunk_shift = 20};
    image one = image_make("rzzzzzzzzzzzzzzr", 4 * MIB); /* each chunk begins and ends in bytes */
    image_snapshot(&one, "inner.kms", &plan);
    km_restore_options options = {.written = &written};
    assert_int_equal(km_restore("inner.kms", "inner", &options), KM_OK);
    assert_true(image_is_file(&one, 0, one.size, "inner"));
    assert_int_equal(written, 8 * IMAGE_CHUNK);
    image_free(&one);
}

/* ---- Streams ------------------------------------------------------------------------------- */

static km_status restore_stream(const char *snapshot, size_t length, const char *path,
                                km_restore_options options) {
    size_t whole = 0;
    unsigned char *bytes = image_load(snapshot, &whole);
    snapshot_stream inlet = {.bytes = bytes, .length = length < whole ? length : whole};
    options.read = snapshot_stream_read;
    options.read_arg = &inlet;
    km_status status = km_restore(NULL, path, &options);
    free(bytes);
    return status;
}

static void a_snapshot_that_comes_in_a_stream_comes_back(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int unknown = 0; unknown <= 1; unknown++) {
            image one = image_make("trzt", sizes[s]);
            snapshot_plan plan = {.level = 1, .total_unknown = unknown != 0};
            image_snapshot(&one, "in.kms", &plan);
            assert_int_equal(restore_stream("in.kms", SIZE_MAX, "in", (km_restore_options){0}),
                             KM_OK);
            assert_true(image_is_file(&one, 0, one.size, "in"));
            scratch_remove("in");
            image_free(&one);
        }
    }
}

static void an_image_goes_to_a_stream_in_order(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        image one = image_make("ztrr", sizes[s]);
        image_outlet outlet = {.size = 0};
        uint64_t written = UINT64_MAX;
        km_restore_options options = {
            .write = image_write, .write_arg = &outlet, .threads = 3, .written = &written};
        image_snapshot(&one, "out.kms", NULL);
        assert_int_equal(km_restore("out.kms", NULL, &options), KM_OK);
        assert_int_equal(outlet.size, one.size);
        assert_int_equal(written, one.size);
        if (one.size > 0) {
            assert_memory_equal(outlet.bytes, one.bytes, one.size);
        }
        image_outlet_close(&outlet);
        image_free(&one);
    }
}

static void from_stream_to_stream(void **state) {
    (void)state;
    image one = image_make("trz", 20 * IMAGE_CHUNK + 9);
    image_outlet outlet = {.size = 0};
    snapshot_plan plan = {.level = 1, .total_unknown = true};
    image_snapshot(&one, "both.kms", &plan);
    km_restore_options options = {.write = image_write, .write_arg = &outlet};
    assert_int_equal(restore_stream("both.kms", SIZE_MAX, NULL, options), KM_OK);
    assert_int_equal(outlet.size, one.size);
    assert_memory_equal(outlet.bytes, one.bytes, one.size);
    image_outlet_close(&outlet);
    image_free(&one);
}

static void a_stream_that_ends_early_leaves_no_target(void **state) {
    (void)state;
    image one = image_make("tz", 5 * IMAGE_CHUNK);
    image_snapshot(&one, "early.kms", NULL);
    const size_t length = (size_t)scratch_size("early.kms");
    const size_t before = scratch_entries();
    const size_t cuts[] = {0, 1, 100, length / 2, length - 98, length - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        assert_int_equal(restore_stream("early.kms", cuts[i], "early", (km_restore_options){0}),
                         KM_E_CORRUPT);
        assert_int_equal(scratch_entries(), before);
    }
    image_free(&one);
}

static void a_target_stream_that_fails_ends_the_restore_with_its_status(void **state) {
    (void)state;
    image one = image_make("r", 20 * IMAGE_CHUNK);
    image_outlet outlet = {.room = 3 * IMAGE_CHUNK};
    image_snapshot(&one, "full.kms", NULL);
    km_restore_options options = {.write = image_write, .write_arg = &outlet};
    assert_int_equal(km_restore("full.kms", NULL, &options), KM_E_NO_SPACE);
    assert_non_null(strstr(km_error_message(), "196608"));
    assert_int_equal(outlet.size, 3 * IMAGE_CHUNK);
    image_outlet_close(&outlet);
    image_free(&one);
}

/* ---- Damage -------------------------------------------------------------------------------- */

/* Restores in each way there is; all have to say KM_E_CORRUPT. */
static void assert_corrupt(const char *snapshot, const image *one) {
    const size_t before = scratch_entries();
    unsigned char *memory = malloc(one->size + 1);
    assert_non_null(memory);
    assert_int_equal(km_restore(snapshot, "damaged", NULL), KM_E_CORRUPT);
    assert_true(strlen(km_error_message()) > 0);
    assert_int_equal(restore_stream(snapshot, SIZE_MAX, "damaged", (km_restore_options){0}),
                     KM_E_CORRUPT);
    assert_int_equal(km_restore_memory(snapshot, memory, one->size, NULL), KM_E_CORRUPT);
    assert_int_equal(scratch_entries(), before);
    free(memory);
}

static void a_damaged_byte_of_any_member_leaves_no_target(void **state) {
    (void)state;
    image one = image_make("trz", 3 * IMAGE_CHUNK + 300);
    image_snapshot(&one, "bits.kms", NULL);
    const size_t length = (size_t)scratch_size("bits.kms");
    for (size_t member = 0; member < 6; member++) {
        const size_t begin = image_member("bits.kms", member);
        const size_t end = member < 5 ? image_member("bits.kms", member + 1) : length;
        const size_t places[] = {begin, begin + 20, (begin + end) / 2, end - 9, end - 1};
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            image_damage("bits.kms", places[i]);
            assert_corrupt("bits.kms", &one);
            image_damage("bits.kms", places[i]);
        }
    }
    assert_int_equal(km_restore("bits.kms", "bits", NULL), KM_OK);
    image_free(&one);
}

/* Chunks of zeros are not unpacked to the target, and are checked all the same. */
static void a_hash_of_the_index_that_is_not_the_chunks_is_found(void **state) {
    (void)state;
    image one = image_make("z", 2 * IMAGE_CHUNK);
    image other = image_make("z", 2 * IMAGE_CHUNK);
    snapshot_plan plan = {.level = 1, .seed = 1};
    snapshot_plan strange = {.level = 1, .seed = 2};
    size_t length = 0;
    image_snapshot(&one, "hash.kms", &plan);
    image_snapshot(&other, "strange.kms", &strange);
    const size_t index = image_member("strange.kms", 2);
    assert_int_equal(image_member("hash.kms", 2), index);
    unsigned char *mine = image_load("hash.kms", &length);
    unsigned char *hers = image_load("strange.kms", &length);
    memcpy(mine + index, hers + index, length - index);
    scratch_write("hash.kms", mine, length);
    assert_corrupt("hash.kms", &one);
    free(mine);
    free(hers);
    image_free(&one);
    image_free(&other);
}

static void what_is_no_snapshot_is_corrupt(void **state) {
    (void)state;
    image one = image_make("t", 100);
    scratch_write("empty", "", 0);
    scratch_file("no snapshot", 100000, 1);
    assert_corrupt("empty", &one);
    assert_corrupt("no snapshot", &one);
    assert_int_equal(km_restore("missing.kms", "damaged", NULL), KM_E_NOT_FOUND);
    image_free(&one);
}

/* ---- Targets ------------------------------------------------------------------------------- */

static void an_existing_target_needs_replace(void **state) {
    (void)state;
    image one = image_make("t", 2 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_REPLACE};
    image_snapshot(&one, "replace.kms", NULL);
    scratch_write("replace", OLD, strlen(OLD));
    assert_int_equal(km_restore("replace.kms", "replace", NULL), KM_E_EXISTS);
    assert_true(scratch_equals("replace", OLD, strlen(OLD)));
    assert_int_equal(km_restore("replace.kms", "replace", &options), KM_OK);
    assert_true(image_is_file(&one, 0, one.size, "replace"));
    image_free(&one);
}

static void a_target_that_is_mapped_is_busy(void **state) {
    (void)state;
    km_map *map = NULL;
    image one = image_make("t", 2 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_REPLACE};
    image_snapshot(&one, "busy.kms", NULL);
    scratch_write("busy", OLD, strlen(OLD));
    assert_int_equal(km_open(&map, "busy", NULL), KM_OK);
    assert_int_equal(km_restore("busy.kms", "busy", &options), KM_E_BUSY);
    km_close(map);
    assert_true(scratch_equals("busy", OLD, strlen(OLD)));
    image_free(&one);
}

static void a_damaged_snapshot_leaves_the_old_target(void **state) {
    (void)state;
    image one = image_make("tr", 9 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_REPLACE};
    image_snapshot(&one, "old.kms", NULL);
    image_damage("old.kms", image_member("old.kms", 7) + 1000);
    scratch_write("old", OLD, strlen(OLD));
    const size_t before = scratch_entries();
    assert_int_equal(km_restore("old.kms", "old", &options), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "chunk 7"));
    assert_true(scratch_equals("old", OLD, strlen(OLD)));
    assert_int_equal(scratch_entries(), before);
    image_free(&one);
}

static void a_snapshot_is_not_replaced_by_its_own_image(void **state) {
    (void)state;
    image one = image_make("t", 2 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_REPLACE};
    image_snapshot(&one, "itself.kms", NULL);
    assert_int_equal(km_restore("itself.kms", "itself.kms", &options), KM_E_INVALID);
    assert_int_equal(km_restore("itself.kms", "./itself.kms", &options), KM_E_INVALID);
    options.flags = KM_RESTORE_IN_PLACE;
    assert_int_equal(km_restore("itself.kms", "itself.kms", &options), KM_E_INVALID);
    assert_int_equal(km_verify("itself.kms", NULL), KM_OK);
    image_free(&one);
}

#if !defined(_WIN32)
static void permissions_are_kept_or_as_told(void **state) {
    (void)state;
    struct stat status;
    image one = image_make("t", 2 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_REPLACE, .permissions = 0640};
    image_snapshot(&one, "modes.kms", NULL);
    assert_int_equal(km_restore("modes.kms", "modes", &options), KM_OK);
    assert_int_equal(stat("modes", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(chmod("modes", 0604), 0);
    assert_int_equal(km_restore("modes.kms", "modes", &options), KM_OK);
    assert_int_equal(stat("modes", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0604);
    image_free(&one);
}
#endif

/* ---- A disk that fails --------------------------------------------------------------------- */

/* The write and truncate calls of all tests' disks; the tests run one by one. */
static struct {
    atomic_long calls;
    long failing; /* which call fails; 0: none */
} disk;

static bool fails(void) {
    return atomic_fetch_add(&disk.calls, 1) + 1 == disk.failing;
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

static km_io failing_disk(void) {
    km_io io = km_io_default;
    io.write_at = disk_write_at;
    io.truncate = disk_truncate;
    io.sync = disk_sync;
    return io;
}

static void a_disk_that_fails_at_any_call_leaves_no_target(void **state) {
    (void)state;
    const km_io io = failing_disk();
    image one = image_make("rzt", 12 * IMAGE_CHUNK);
    image_snapshot(&one, "disk.kms", NULL);
    const size_t before = scratch_entries();
    km_status status = KM_E_IO;
    for (long k = 1; status != KM_OK; k++) {
        disk.calls = 0;
        disk.failing = k;
        status = km_restore_with(&io, "disk.kms", "disk", NULL);
        if (status != KM_OK) {
            assert_true(status == KM_E_NO_SPACE || status == KM_E_IO);
            assert_non_null(strstr(km_error_message(), "\"disk\""));
            assert_int_equal(scratch_entries(), before);
        } else {
            assert_int_equal(k, 1 + 8 + 1 + 1); /* truncate, eight chunks, sync */
        }
    }
    assert_true(image_is_file(&one, 0, one.size, "disk"));
    image_free(&one);
}

static void without_sync_nothing_is_synced(void **state) {
    (void)state;
    const km_io io = failing_disk();
    image one = image_make("r", 4 * IMAGE_CHUNK);
    km_restore_options options = {.flags = KM_RESTORE_NO_SYNC};
    image_snapshot(&one, "nosync.kms", NULL);
    disk.calls = 0;
    disk.failing = 0;
    assert_int_equal(km_restore_with(&io, "nosync.kms", "nosync", &options), KM_OK);
    assert_int_equal(disk.calls, 1 + 4);
    image_free(&one);
}

/* ---- Progress ------------------------------------------------------------------------------ */

typedef struct watcher {
    uint64_t last, total;
    unsigned calls;
    unsigned patience; /* calls; 0: without end */
    bool fell;
} watcher;

static bool watch(uint64_t done, uint64_t total, void *arg) {
    watcher *seen = arg;
    seen->fell = seen->fell || done < seen->last;
    seen->last = done;
    seen->total = total;
    seen->calls++;
    return seen->patience == 0 || seen->calls < seen->patience;
}

static void progress_rises_to_the_total(void **state) {
    (void)state;
    image one = image_make("trz", 30 * IMAGE_CHUNK + 1);
    image_snapshot(&one, "watched.kms", NULL);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        watcher seen = {.calls = 0};
        km_restore_options options = {.flags = KM_RESTORE_REPLACE,
                                      .threads = threads,
                                      .progress = watch,
                                      .progress_arg = &seen};
        assert_int_equal(km_restore("watched.kms", "watched", &options), KM_OK);
        assert_false(seen.fell);
        assert_int_equal(seen.last, one.size);
        assert_int_equal(seen.total, one.size);
    }
    watcher seen = {.calls = 0};
    km_restore_options options = {
        .flags = KM_RESTORE_REPLACE, .progress = watch, .progress_arg = &seen};
    assert_int_equal(restore_stream("watched.kms", SIZE_MAX, "watched", options), KM_OK);
    assert_int_equal(seen.last, one.size);
    assert_int_equal(seen.total, one.size);
    image_free(&one);
}

static void a_cancelled_restore_leaves_nothing(void **state) {
    (void)state;
    image one = image_make("trz", 30 * IMAGE_CHUNK);
    image_snapshot(&one, "cancel.kms", NULL);
    scratch_write("cancel", OLD, strlen(OLD));
    const size_t before = scratch_entries();
    for (unsigned patience = 1; patience <= 4; patience++) {
        watcher seen = {.patience = patience};
        uint64_t written = 99;
        km_restore_options options = {.flags = KM_RESTORE_REPLACE,
                                      .threads = 1,
                                      .progress = watch,
                                      .progress_arg = &seen,
                                      .written = &written};
        assert_int_equal(km_restore("cancel.kms", "cancel", &options), KM_E_CANCELLED);
        assert_int_equal(seen.calls, patience);
        assert_int_equal(written, 99);
        assert_true(scratch_equals("cancel", OLD, strlen(OLD)));
        assert_int_equal(scratch_entries(), before);
    }
    image_free(&one);
}

/* ---- What makes no sense ------------------------------------------------------------------- */

static void requests_that_make_no_sense_are_refused(void **state) {
    (void)state;
    image one = image_make("t", 100);
    image_outlet outlet = {.size = 0};
    snapshot_stream inlet = {.length = 0};
    image_snapshot(&one, "sense.kms", NULL);
    const struct {
        const char *snapshot, *path;
        km_restore_options options;
    } refused[] = {
        {NULL, "sense", {0}},
        {"sense.kms", NULL, {0}},
        {"sense.kms", "sense", {.read = snapshot_stream_read, .read_arg = &inlet}},
        {"sense.kms", "sense", {.write = image_write, .write_arg = &outlet}},
        {"sense.kms", "sense", {.flags = 0x80}},
        {"sense.kms", "sense", {.permissions = 010000}},
        {"sense.kms", "sense", {.struct_size = 1}},
        {"sense.kms", "", {0}},
        {"sense.kms", "sense", {.flags = KM_RESTORE_IN_PLACE | KM_RESTORE_REPLACE}},
        {"sense.kms", "sense", {.flags = KM_RESTORE_IN_PLACE, .offset = 1}},
        {"sense.kms", "sense", {.flags = KM_RESTORE_IN_PLACE, .length = 1}},
        {"sense.kms", NULL, {.flags = KM_RESTORE_IN_PLACE, .write = image_write}},
        {NULL, "sense", {.flags = KM_RESTORE_IN_PLACE, .read = snapshot_stream_read}},
        {"sense.kms", NULL, {.flags = KM_RESTORE_REPLACE, .write = image_write}},
        {"sense.kms", NULL, {.flags = KM_RESTORE_NO_SYNC, .write = image_write}},
        {"sense.kms", NULL, {.permissions = 0600, .write = image_write}},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(km_restore(refused[i].snapshot, refused[i].path, &refused[i].options),
                         KM_E_INVALID);
        assert_true(strlen(km_error_message()) > 0);
    }
    assert_int_equal(scratch_size("sense"), -1);
    image_free(&one);
}

/* ---- Memory -------------------------------------------------------------------------------- */

static void an_image_comes_back_in_memory(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        image one = image_make("rztt", sizes[s]);
        unsigned char *memory = malloc(one.size + 1);
        uint64_t written = 0;
        km_restore_options options = {.written = &written};
        assert_non_null(memory);
        memset(memory, 0x55, one.size + 1);
        image_snapshot(&one, "memory.kms", NULL);
        assert_int_equal(km_restore_memory("memory.kms", memory, one.size, &options), KM_OK);
        assert_int_equal(written, one.size);
        assert_true(one.size == 0 || memcmp(memory, one.bytes, one.size) == 0);
        assert_int_equal(memory[one.size], 0x55);
        free(memory);
        image_free(&one);
    }
}

static void memory_of_another_size_is_a_mismatch(void **state) {
    (void)state;
    image one = image_make("rzt", 5 * IMAGE_CHUNK + 10);
    unsigned char *memory = malloc(one.size + 1);
    assert_non_null(memory);
    image_snapshot(&one, "mismatch.kms", NULL);
    assert_int_equal(km_restore_memory("mismatch.kms", memory, one.size + 1, NULL), KM_E_MISMATCH);
    assert_int_equal(km_restore_memory("mismatch.kms", memory, one.size - 1, NULL), KM_E_MISMATCH);
    km_restore_options options = {.length = 1000};
    assert_int_equal(km_restore_memory("mismatch.kms", memory, 1001, &options), KM_E_MISMATCH);
    assert_int_equal(km_restore_memory("mismatch.kms", NULL, one.size, NULL), KM_E_INVALID);
    options.flags = KM_RESTORE_NO_SYNC;
    assert_int_equal(km_restore_memory("mismatch.kms", memory, 1000, &options), KM_E_INVALID);
    free(memory);
    image_free(&one);
}

/* A stream tells its size at its end, so what is too much must be stopped before. */
static void a_stream_never_writes_past_the_memory(void **state) {
    (void)state;
    image one = image_make("rzt", 5 * IMAGE_CHUNK + 10);
    size_t length = 0;
    snapshot_plan plan = {.level = 1, .total_unknown = true};
    image_snapshot(&one, "past.kms", &plan);
    unsigned char *bytes = image_load("past.kms", &length);
    const size_t rooms[] = {one.size, one.size - 1, IMAGE_CHUNK, one.size + 1};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        snapshot_stream inlet = {.bytes = bytes, .length = length};
        km_restore_options options = {.read = snapshot_stream_read, .read_arg = &inlet};
        unsigned char *memory = malloc(rooms[i]); /* for the sanitizer to guard */
        assert_non_null(memory);
        assert_int_equal(km_restore_memory(NULL, memory, rooms[i], &options),
                         rooms[i] == one.size ? KM_OK : KM_E_MISMATCH);
        if (rooms[i] == one.size) {
            assert_memory_equal(memory, one.bytes, one.size);
        }
        free(memory);
    }
    free(bytes);
    image_free(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_all_sizes_around_chunks_come_back),
        cmocka_unit_test(any_number_of_threads_restores_the_same),
        cmocka_unit_test(larger_chunks_come_back),
        cmocka_unit_test(chunks_of_zeros_become_holes),
        cmocka_unit_test(zeros_inside_a_chunk_become_holes_too),
        cmocka_unit_test(a_snapshot_that_comes_in_a_stream_comes_back),
        cmocka_unit_test(an_image_goes_to_a_stream_in_order),
        cmocka_unit_test(from_stream_to_stream),
        cmocka_unit_test(a_stream_that_ends_early_leaves_no_target),
        cmocka_unit_test(a_target_stream_that_fails_ends_the_restore_with_its_status),
        cmocka_unit_test(a_damaged_byte_of_any_member_leaves_no_target),
        cmocka_unit_test(a_hash_of_the_index_that_is_not_the_chunks_is_found),
        cmocka_unit_test(what_is_no_snapshot_is_corrupt),
        cmocka_unit_test(an_existing_target_needs_replace),
        cmocka_unit_test(a_target_that_is_mapped_is_busy),
        cmocka_unit_test(a_damaged_snapshot_leaves_the_old_target),
        cmocka_unit_test(a_snapshot_is_not_replaced_by_its_own_image),
#if !defined(_WIN32)
        cmocka_unit_test(permissions_are_kept_or_as_told),
#endif
        cmocka_unit_test(a_disk_that_fails_at_any_call_leaves_no_target),
        cmocka_unit_test(without_sync_nothing_is_synced),
        cmocka_unit_test(progress_rises_to_the_total),
        cmocka_unit_test(a_cancelled_restore_leaves_nothing),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(an_image_comes_back_in_memory),
        cmocka_unit_test(memory_of_another_size_is_a_mismatch),
        cmocka_unit_test(a_stream_never_writes_past_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
