/*
 * test_diff.c - km_diff: where two images differ, each a plain file or a snapshot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#endif

#define CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define RANGES 4096

/* ---- What is told ---- */

typedef struct range {
    km_range_kind kind;
    uint64_t offset, length;
} range;

typedef struct told {
    range ranges[RANGES];
    size_t count;
    DWORD thread; /* the only one that may tell */
} told;

static bool note_range(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    told *to = arg;
    assert_int_equal(GetCurrentThreadId(), to->thread);
    assert_true(to->count < RANGES);
    to->ranges[to->count++] = (range){kind, offset, length};
    return true;
}

typedef struct watched {
    uint64_t last;
    uint64_t total;
    unsigned calls;
    DWORD thread;
} watched;

static bool note_progress(uint64_t done, uint64_t total, void *arg) {
    watched *to = arg;
    assert_int_equal(GetCurrentThreadId(), to->thread);
    assert_true(done >= to->last && done <= total);
    to->last = done;
    to->total = total;
    to->calls++;
    return true;
}

/* ---- What should be told ---- */

typedef struct image {
    const unsigned char *bytes;
    size_t size;
} image;

static void add_expected(told *to, km_range_kind kind, uint64_t begin, uint64_t end) {
    range *last = to->count > 0 ? &to->ranges[to->count - 1] : NULL;
    if (last != NULL && last->kind == kind && last->offset + last->length == begin) {
        last->length = end - last->offset;
        return;
    }
    assert_true(to->count < RANGES);
    to->ranges[to->count++] = (range){kind, begin, end - begin};
}

/* Byte by byte, the plain way. */
static void expect(const image *a, const image *b, size_t unit, told *to) {
    const size_t common = a->size < b->size ? a->size : b->size;
    const size_t longer = a->size > b->size ? a->size : b->size;
    to->count = 0;
    for (size_t at = 0; at < common; at += unit) {
        const size_t end = common - at < unit ? common : at + unit;
        bool differs = false;
        for (size_t i = at; i < end; i++) {
            differs = differs || a->bytes[i] != b->bytes[i];
        }
        if (differs) {
            add_expected(to, KM_RANGE_CHANGED, at, end);
        }
    }
    if (longer > common) {
        add_expected(to, a->size > b->size ? KM_RANGE_ONLY_A : KM_RANGE_ONLY_B, common, longer);
    }
}

/* Compares the files "a" and "b", which hold these images. */
static void check_diff(const image *a, const image *b, const km_diff_options *wanted,
                       uint64_t unit) {
    static told expected;
    static told got;
    uint64_t changed = 0;
    km_diff_report report = {.struct_size = sizeof report};
    watched progress = {.thread = GetCurrentThreadId()};
    km_diff_options options = *wanted;
    got.count = 0;
    got.thread = GetCurrentThreadId();
    options.range = note_range;
    options.range_arg = &got;
    options.progress = note_progress;
    options.progress_arg = &progress;
    options.report = &report;
    if (km_diff("a", "b", &options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    expect(a, b, unit, &expected);
    assert_int_equal(got.count, expected.count);
    for (size_t i = 0; i < got.count; i++) {
        assert_int_equal(got.ranges[i].kind, expected.ranges[i].kind);
        assert_int_equal(got.ranges[i].offset, expected.ranges[i].offset);
        assert_int_equal(got.ranges[i].length, expected.ranges[i].length);
        changed += got.ranges[i].kind == KM_RANGE_CHANGED ? got.ranges[i].length : 0;
    }
    assert_int_equal(report.ranges, got.count);
    assert_int_equal(report.changed, changed);
    assert_int_equal(report.a_size, a->size);
    assert_int_equal(report.b_size, b->size);
    assert_int_equal(report.unit, unit);
    assert_int_equal(progress.last, progress.total);
    assert_int_equal(progress.total, a->size < b->size ? a->size : b->size);
}

/* ---- Pairs of images in all forms ---- */

typedef enum form { PLAIN, SNAPSHOT, UNRELATED, LARGER_CHUNKS, FORMS } form;

static void write_form(const char *name, const image *what, form how) {
    static const snapshot_plan plans[FORMS] = {
        [SNAPSHOT] = {.seed = 11, .level = 1},
        [UNRELATED] = {.seed = 12, .level = 0},
        [LARGER_CHUNKS] = {.seed = 11, .level = 1, .chunk_shift = 17},
    };
    if (how == PLAIN) {
        scratch_write(name, what->bytes, what->size);
        return;
    }
    size_t length = 0;
    unsigned char *snapshot = snapshot_build(what->bytes, what->size, &plans[how], &length);
    scratch_write(name, snapshot, length);
    free(snapshot);
}

static uint64_t chunk_unit(form one, form other) {
    if (one == LARGER_CHUNKS || other == LARGER_CHUNKS) {
        return 2 * CHUNK;
    }
    return one == PLAIN && other == PLAIN ? KM_CHUNK_SIZE_DEFAULT : CHUNK;
}

static void check_forms(const image *a, const image *b) {
    static const uint32_t units[] = {0, 1, 512, 1u << 20};
    for (int one = 0; one < FORMS; one++) {
        write_form("a", a, (form)one);
        for (int other = 0; other < FORMS; other++) {
            write_form("b", b, (form)other);
            for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
                const km_diff_options options = {.unit = units[i], .threads = (uint32_t)i};
                check_diff(a, b, &options, units[i] != 0 ? units[i] : 4096);
            }
            const km_diff_options chunks = {.flags = KM_DIFF_CHUNKS};
            check_diff(a, b, &chunks, chunk_unit((form)one, (form)other));
        }
    }
}

/* 5 chunks and a bit: text, a chunk of zeros, text. */
static unsigned char *make_image(size_t size) {
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    snapshot_text(bytes, size, 4);
    if (size > 3 * CHUNK) {
        memset(bytes + 2 * CHUNK, 0, CHUNK);
    }
    return bytes;
}

static void equal_images_do_not_differ_whatever_holds_them(void **state) {
    (void)state;
    const size_t size = 5 * CHUNK + 333;
    unsigned char *bytes = make_image(size);
    const image both = {bytes, size};
    check_forms(&both, &both);
    free(bytes);
}

static void what_differs_is_told_unit_by_unit_and_joined_across_chunks(void **state) {
    (void)state;
    static const size_t places[] = {0,     1,         4095,  4096,          CHUNK - 1,
                                    CHUNK, CHUNK + 1, 99999, 2 * CHUNK + 7, 200000};
    const size_t size = 5 * CHUNK + 333;
    unsigned char *bytes = make_image(size);
    unsigned char *other = make_image(size);
    const image a = {bytes, size};
    const image b = {other, size};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        other[places[i]] ^= 0x40;
    }
    other[size - 1] ^= 1;
    memset(other + 3 * CHUNK + 5, 0xee, CHUNK); /* across a border */
    check_forms(&a, &b);
    free(bytes);
    free(other);
}

static void what_only_one_has_is_told_as_its_own(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, CHUNK, CHUNK + 10, 3 * CHUNK};
    const size_t size = 3 * CHUNK + 100;
    unsigned char *bytes = make_image(size);
    unsigned char *other = make_image(size);
    const image a = {bytes, size};
    other[CHUNK + 5] ^= 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const image b = {other, sizes[i]};
        check_forms(&a, &b);
        check_forms(&b, &a);
    }
    free(bytes);
    free(other);
}

static void random_changes_are_all_found(void **state) {
    (void)state;
    const size_t size = 7 * CHUNK + 4321;
    unsigned char *bytes = make_image(size);
    unsigned char *other = malloc(size);
    unsigned char noise[64];
    assert_non_null(other);
    const image a = {bytes, size};
    const image b = {other, size};
    for (unsigned seed = 0; seed < 3; seed++) {
        memcpy(other, bytes, size);
        snapshot_noise(noise, sizeof noise, seed);
        for (size_t i = 0; i + 4 <= sizeof noise; i += 4) {
            const size_t at = (noise[i] | (size_t)noise[i + 1] << 8 | (size_t)noise[i + 2] << 16);
            memset(other + at % (size - 300), noise[i + 3], noise[i + 3]);
        }
        check_forms(&a, &b);
    }
    free(bytes);
    free(other);
}

static void millions_of_ranges_are_told_in_order(void **state) {
    (void)state;
    const size_t size = (size_t)3 << 20;
    unsigned char *bytes = calloc(1, size);
    km_diff_report report = {.struct_size = sizeof report};
    const km_diff_options options = {.unit = 1, .report = &report};
    assert_non_null(bytes);
    scratch_write("a", bytes, size);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 1;
    }
    scratch_write("b", bytes, size);
    assert_int_equal(km_diff("a", "b", &options), KM_OK);
    assert_int_equal(report.ranges, size / 2);
    assert_int_equal(report.changed, size / 2);
    free(bytes);
}

/* ---- What is not read ---- */

/* Flips a bit in the packed bytes of a chunk of a snapshot file. */
static void spoil(const char *name, const image *what, const snapshot_plan *plan, size_t chunk) {
    snapshot_member members[16];
    size_t length = 0;
    unsigned char *snapshot = snapshot_build(what->bytes, what->size, plan, &length);
    (void)snapshot_members(snapshot, length, members, 16);
    snapshot[members[chunk].offset + members[chunk].length - 10] ^= 4;
    scratch_write(name, snapshot, length);
    free(snapshot);
}

static void related_snapshots_are_compared_by_their_hashes(void **state) {
    (void)state;
    const size_t size = 4 * CHUNK;
    unsigned char *bytes = make_image(size);
    unsigned char *other = make_image(size);
    const image a = {bytes, size};
    const image b = {other, size};
    const snapshot_plan plan = {.seed = 11, .level = 1};
    const km_diff_options plain = {.unit = 4096};
    const km_diff_options chunks = {.flags = KM_DIFF_CHUNKS};
    other[CHUNK + 9] ^= 1;
    write_form("a", &a, SNAPSHOT);
    spoil("b", &b, &plan, 3); /* an equal chunk is not unpacked */
    check_diff(&a, &b, &plain, 4096);
    spoil("b", &b, &plan, 1); /* one that differs is, unless whole chunks are asked for */
    check_diff(&a, &b, &chunks, CHUNK);
    assert_int_equal(km_diff("a", "b", &plain), KM_E_CORRUPT);
    write_form("a", &a, UNRELATED);
    spoil("b", &b, &plan, 3);
    assert_int_equal(km_diff("a", "b", &plain), KM_E_CORRUPT);
    free(bytes);
    free(other);
}

static void of_a_snapshot_against_a_file_only_what_differs_is_unpacked(void **state) {
    (void)state;
    const size_t size = 4 * CHUNK;
    unsigned char *bytes = make_image(size);
    unsigned char *other = make_image(size);
    const image a = {bytes, size};
    const image b = {other, size};
    const snapshot_plan plan = {.seed = 11, .level = 1};
    const km_diff_options plain = {.unit = 512};
    const km_diff_options chunks = {.flags = KM_DIFF_CHUNKS};
    other[CHUNK + 9] ^= 1;
    write_form("a", &a, PLAIN);
    spoil("b", &b, &plan, 3);
    check_diff(&a, &b, &plain, 512);
    spoil("b", &b, &plan, 1);
    check_diff(&a, &b, &chunks, CHUNK);
    assert_int_equal(km_diff("a", "b", &plain), KM_E_CORRUPT);
    assert_int_equal(km_diff("b", "a", &plain), KM_E_CORRUPT);
    free(bytes);
    free(other);
}

static HANDLE create_sparse(const WCHAR *name, uint64_t size) {
    HANDLE file =
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, CREATE_ALWAYS, 0, NULL);
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    if (km_platform_set_sparse(file) != ERROR_SUCCESS) {
        CloseHandle(file);
        skip();
    }
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    assert_true(SetEndOfFile(file));
    return file;
}

static void write_byte(HANDLE file, uint64_t offset) {
    OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD done = 0;
    assert_true(WriteFile(file, "x", 1, &done, &at));
}

static void holes_are_not_read(void **state) {
    (void)state;
    const uint64_t size = (uint64_t)4 << 40; /* hours, if they were */
    static told got;
    const km_diff_options options = {.range = note_range, .range_arg = &got};
    HANDLE a = create_sparse(W("sparse_a"), size);
    HANDLE b = create_sparse(W("sparse_b"), size + 5);
    uint64_t start = 0;
    uint64_t end = 0;
    assert_int_equal(km_platform_next_data(a, 0, size, &start, &end), ERROR_SUCCESS);
    if (start < size) {
        CloseHandle(a);
        CloseHandle(b);
        skip(); /* a file system that does not tell of holes */
    }
    write_byte(a, size / 2);
    write_byte(b, size / 2);
    write_byte(b, size / 4 * 3);
    CloseHandle(a);
    CloseHandle(b);
    got.count = 0;
    got.thread = GetCurrentThreadId();
    assert_int_equal(km_diff("sparse_a", "sparse_b", &options), KM_OK);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.ranges[0].offset, size / 4 * 3);
    assert_int_equal(got.ranges[0].length, 4096);
    assert_int_equal(got.ranges[1].kind, KM_RANGE_ONLY_B);
    assert_int_equal(got.ranges[1].length, 5);
    (void)remove("sparse_a");
    (void)remove("sparse_b");
}

/* ---- Files or snapshots ---- */

static void a_snapshot_is_compared_as_a_file_if_asked(void **state) {
    (void)state;
    const size_t size = 2 * CHUNK;
    unsigned char *bytes = make_image(size);
    const image what = {bytes, size};
    km_diff_report report = {.struct_size = sizeof report};
    km_diff_options options = {.report = &report};
    write_form("a", &what, SNAPSHOT);
    write_form("b", &what, UNRELATED);
    assert_int_equal(km_diff("a", "b", &options), KM_OK);
    assert_true(report.a_is_snapshot && report.b_is_snapshot);
    assert_int_equal(report.ranges, 0);
    options.flags = KM_DIFF_PLAIN_A | KM_DIFF_PLAIN_B;
    assert_int_equal(km_diff("a", "b", &options), KM_OK);
    assert_false(report.a_is_snapshot || report.b_is_snapshot);
    assert_int_equal(report.a_size, scratch_size("a"));
    assert_true(report.ranges > 0);
    options.flags = KM_DIFF_PLAIN_B;
    assert_int_equal(km_diff("a", "b", &options), KM_OK);
    assert_true(report.a_is_snapshot && !report.b_is_snapshot);
    free(bytes);
}

static void a_damaged_snapshot_is_an_error_and_no_plain_file(void **state) {
    (void)state;
    const size_t size = 2 * CHUNK;
    unsigned char *bytes = make_image(size);
    size_t length = 0;
    unsigned char *snapshot = snapshot_build(bytes, size, NULL, &length);
    km_diff_report report = {.struct_size = sizeof report, .unit = 77};
    km_diff_options options = {.report = &report};
    scratch_write("a", bytes, size);
    scratch_write("b", snapshot, length - 1);
    assert_int_equal(km_diff("a", "b", &options), KM_E_CORRUPT);
    assert_int_equal(km_diff("b", "a", &options), KM_E_CORRUPT);
    assert_int_equal(report.unit, 77);
    options.flags = KM_DIFF_PLAIN_B;
    assert_int_equal(km_diff("a", "b", &options), KM_OK);
    free(snapshot);
    free(bytes);
}

static void what_is_no_snapshot_to_km_is_snapshot_is_a_plain_file(void **state) {
    (void)state;
    const size_t size = 2 * CHUNK;
    unsigned char *bytes = make_image(size);
    snapshot_member members[16];
    size_t length = 0;
    unsigned char *snapshot = snapshot_build(bytes, size, NULL, &length);
    const size_t count = snapshot_members(snapshot, length, members, 16);
    km_diff_report report = {.struct_size = sizeof report};
    const km_diff_options options = {.report = &report};
    assert_true(count > 3);
    for (size_t i = 2; i < count; i++) { /* behind the data: index and footer */
        scratch_write("a", snapshot + members[i].offset, length - members[i].offset);
        assert_false(km_is_snapshot("a"));
        assert_int_equal(km_diff("a", "a", &options), KM_OK);
        assert_false(report.a_is_snapshot || report.b_is_snapshot);
        assert_int_equal(report.a_size, length - members[i].offset);
    }
    free(snapshot);
    free(bytes);
}

/* ---- Ends before the end ---- */

static bool stop_progress(uint64_t done, uint64_t total, void *arg) {
    unsigned *calls = arg;
    (void)done;
    (void)total;
    return --*calls > 0;
}

static bool stop_range(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    unsigned *calls = arg;
    (void)kind;
    (void)offset;
    (void)length;
    return --*calls > 0;
}

static void cancelled_at_any_call_it_says_so(void **state) {
    (void)state;
    scratch_file("a", 5u << 20, 1);
    scratch_file("b", (5u << 20) + 1, 2);
    unsigned most = 1;
    for (;; most++) {
        unsigned calls = most;
        const km_diff_options options = {.progress = stop_progress, .progress_arg = &calls};
        const km_status status = km_diff("a", "b", &options);
        if (status == KM_OK) {
            break;
        }
        assert_int_equal(status, KM_E_CANCELLED);
    }
    assert_true(most > 3);
    for (unsigned stop = 1; stop <= 2; stop++) { /* one range changed, one behind the end */
        unsigned calls = stop;
        const km_diff_options options = {.range = stop_range, .range_arg = &calls};
        assert_int_equal(km_diff("a", "b", &options), KM_E_CANCELLED);
        assert_int_equal(calls, 0);
    }
}

static bool cut_file(uint64_t done, uint64_t total, void *arg) {
    (void)done;
    (void)total;
    HANDLE file = CreateFileW(W("cut"), GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    LARGE_INTEGER end = {.QuadPart = *(LONGLONG *)arg};
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    assert_true(SetEndOfFile(file));
    CloseHandle(file);
    return true;
}

static void a_file_cut_short_meanwhile_is_told(void **state) {
    (void)state;
    static LONGLONG sizes[] = {0, 4096, (3 << 20) - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const km_diff_options options = {.progress = cut_file, .progress_arg = &sizes[i]};
        scratch_file("whole", 3u << 20, 0);
        scratch_file("cut", 3u << 20, 0);
        assert_int_equal(km_diff("whole", "cut", &options), KM_E_TRUNCATED);
        assert_non_null(strstr(km_error_message(), "\"cut\" was cut short"));
    }
}

static void senseless_options_are_refused(void **state) {
    (void)state;
    const km_diff_options flags = {.flags = 8};
    const km_diff_options odd = {.unit = 3};
    const km_diff_options large = {.unit = 2u << 20};
    const km_diff_options both = {.unit = 1, .flags = KM_DIFF_CHUNKS};
    scratch_file("one", 10, 0);
    assert_int_equal(km_diff("one", "one", &flags), KM_E_INVALID);
    assert_int_equal(km_diff("one", "one", &odd), KM_E_INVALID);
    assert_int_equal(km_diff("one", "one", &large), KM_E_INVALID);
    assert_int_equal(km_diff("one", "one", &both), KM_E_INVALID);
    assert_int_equal(km_diff(NULL, "one", NULL), KM_E_INVALID);
    assert_int_equal(km_diff("one", "none", NULL), KM_E_NOT_FOUND);
    assert_int_equal(km_diff("one", ".", NULL), KM_E_INVALID);
    assert_int_equal(km_diff("one", "one", NULL), KM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_images_do_not_differ_whatever_holds_them),
        cmocka_unit_test(what_differs_is_told_unit_by_unit_and_joined_across_chunks),
        cmocka_unit_test(what_only_one_has_is_told_as_its_own),
        cmocka_unit_test(random_changes_are_all_found),
        cmocka_unit_test(millions_of_ranges_are_told_in_order),
        cmocka_unit_test(related_snapshots_are_compared_by_their_hashes),
        cmocka_unit_test(of_a_snapshot_against_a_file_only_what_differs_is_unpacked),
        cmocka_unit_test(holes_are_not_read),
        cmocka_unit_test(a_snapshot_is_compared_as_a_file_if_asked),
        cmocka_unit_test(a_damaged_snapshot_is_an_error_and_no_plain_file),
        cmocka_unit_test(what_is_no_snapshot_to_km_is_snapshot_is_a_plain_file),
        cmocka_unit_test(cancelled_at_any_call_it_says_so),
        cmocka_unit_test(a_file_cut_short_meanwhile_is_told),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
