/*
 * test_copy.c - km_copy: what a map shows becomes a file of its own, whole or not at all.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "size.h"
#include "support/scratch.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#include <unistd.h>
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static km_map *open_map(const char *path, km_access access) {
    km_map *map = NULL;
    km_options options = {.access = access};
    assert_int_equal(km_open(&map, path, &options), KM_OK);
    return map;
}

static HANDLE open_file(const WCHAR *name, DWORD disposition) {
    HANDLE file =
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, disposition, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static uint64_t allocated(const WCHAR *name) {
    uint64_t bytes = 0;
    HANDLE file = open_file(name, OPEN_EXISTING);
    assert_int_equal(km_platform_allocated(file, &bytes), ERROR_SUCCESS);
    CloseHandle(file);
    return bytes;
}

static void write_at(HANDLE file, uint64_t offset, const char *text) {
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    DWORD done = 0;
    assert_true(WriteFile(file, text, (DWORD)strlen(text), &done, &at));
    assert_int_equal(done, strlen(text));
}

/* ---- What is copied ------------------------------------------------------------------------ */

static void a_copy_has_the_bytes_of_the_file(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    scratch_file("bytes", 3 * MIB + 12345, 1);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        km_map *map = open_map("bytes", all[i]);
        assert_int_equal(km_copy(map, "bytes copy", NULL), KM_OK);
        assert_true(scratch_same("bytes", "bytes copy"));
        assert_int_equal(km_close(map), KM_OK);
        scratch_remove("bytes copy");
    }
}

static void a_copy_shows_stores_not_yet_flushed(void **state) {
    (void)state;
    scratch_write("stored", "old bytes", 9);
    km_map *map = open_map("stored", KM_WRITE);
    memcpy(km_data(map), "NEW", 3);
    assert_int_equal(km_copy(map, "stored copy", NULL), KM_OK);
    assert_true(scratch_equals("stored copy", "NEW bytes", 9));
    km_close(map);
}

static void a_private_map_is_copied_with_its_stores(void **state) {
    (void)state;
    scratch_write("private", "old bytes", 9);
    km_map *map = open_map("private", KM_PRIVATE);
    memcpy(km_data(map), "OWN", 3);
    assert_int_equal(km_copy(map, "private copy", NULL), KM_OK);
    assert_true(scratch_equals("private copy", "OWN bytes", 9));
    assert_true(scratch_equals("private", "old bytes", 9));
    km_close(map);
}

static void an_empty_map_makes_an_empty_file(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    scratch_write("empty", "", 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        km_map *map = open_map("empty", all[i]);
        assert_int_equal(km_copy(map, "empty copy", NULL), KM_OK);
        assert_int_equal(scratch_size("empty copy"), 0);
        km_close(map);
        scratch_remove("empty copy");
    }
}

static void a_window_is_copied_by_itself(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_PRIVATE};
    scratch_file("windowed", 300000, 3);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        unsigned char expected[1000];
        km_map *window = NULL;
        km_map *map = open_map("windowed", all[i]);
        assert_int_equal(km_window(&window, map, 70001, sizeof expected), KM_OK);
        for (size_t at = 0; at < sizeof expected; at++) {
            expected[at] = scratch_byte(70001 + at, 3);
        }
        assert_int_equal(km_copy(window, "window copy", NULL), KM_OK);
        assert_true(scratch_equals("window copy", expected, sizeof expected));
        km_close(window);
        km_close(map);
        scratch_remove("window copy");
    }
}

static void what_the_map_does_not_show_is_not_copied(void **state) {
    (void)state;
    scratch_write("grows", "mapped", 6);
    km_map *map = open_map("grows", KM_READ);
    HANDLE file = open_file(W("grows"), OPEN_EXISTING);
    write_at(file, 6, " and more");
    CloseHandle(file);
    assert_int_equal(km_copy(map, "grows copy", NULL), KM_OK);
    assert_true(scratch_equals("grows copy", "mapped", 6));
    km_close(map);
}

/* ---- Holes --------------------------------------------------------------------------------- */

/* Wine does not tell holes apart, so there each byte of them is read; less of them will do. */
#if defined(_WIN32)
#define SPARSE_SIZE (4 * GIB + 5 * MIB)
#else
#define SPARSE_SIZE (12 * GIB + 5 * MIB)
#endif

static void assert_ends(const char *path) {
    char text[8] = {0};
    km_map *copy = open_map(path, KM_READ);
    assert_int_equal(km_size(copy), SPARSE_SIZE);
    assert_int_equal(km_read(copy, 0, text, 4), KM_OK);
    assert_string_equal(text, "head");
    assert_int_equal(km_read(copy, 2 * GIB, text, 4), KM_OK);
    assert_string_equal(text, "body");
    assert_int_equal(km_read(copy, SPARSE_SIZE - 4, text, 4), KM_OK);
    assert_string_equal(text, "tail");
    km_close(copy);
}

static void a_large_sparse_file_is_copied_sparsely(void **state) {
    (void)state;
    HANDLE file = open_file(W("sparse"), CREATE_NEW);
    DWORD sparse = km_platform_set_sparse(file);
    if (sparse == ERROR_SUCCESS) {
        write_at(file, 0, "head");
        write_at(file, 2 * GIB, "body");
        write_at(file, SPARSE_SIZE - 4, "tail");
    }
    CloseHandle(file);
    if (sparse != ERROR_SUCCESS || allocated(W("sparse")) > 64 * MIB) {
        scratch_remove("sparse");
        skip(); /* this file system has no holes */
    }
    km_map *map = open_map("sparse", KM_READ);
    assert_int_equal(km_copy(map, "sparse copy", NULL), KM_OK);
    km_close(map);
    assert_ends("sparse copy");
    assert_true(allocated(W("sparse copy")) <= 64 * MIB);
    scratch_remove("sparse");
    scratch_remove("sparse copy");
}

static void zeros_of_a_private_map_become_holes(void **state) {
    (void)state;
    scratch_file("private zeros", 4 * MIB, 0);
    km_map *map = open_map("private zeros", KM_PRIVATE);
    char *data = km_data(map);
    memset(data, 0, 4 * MIB);
    data[MIB - 1] = 'a';
    data[4 * MIB - 1] = 'b';
    assert_int_equal(km_copy(map, "holes copy", NULL), KM_OK);
    assert_true(scratch_equals("holes copy", data, 4 * MIB));
    HANDLE file = open_file(W("holes copy"), OPEN_EXISTING);
    bool has_holes = km_platform_set_sparse(file) == ERROR_SUCCESS;
    CloseHandle(file);
    if (has_holes) {
        assert_true(allocated(W("holes copy")) < MIB);
    }
    km_close(map);
}

/* ---- The target ---------------------------------------------------------------------------- */

static void an_existing_target_is_replaced_only_when_told_to(void **state) {
    (void)state;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    scratch_write("source", "source", 6);
    scratch_write("target", "the target's own", 16);
    km_map *map = open_map("source", KM_READ);
    size_t before = scratch_entries();
    assert_int_equal(km_copy(map, "target", NULL), KM_E_EXISTS);
    assert_non_null(strstr(km_error_message(), "\"target\""));
    assert_true(scratch_equals("target", "the target's own", 16));
    assert_int_equal(km_copy(map, "target", &replace), KM_OK);
    assert_true(scratch_equals("target", "source", 6));
    assert_int_equal(scratch_entries(), before);
    km_close(map);
}

static void a_map_is_not_copied_onto_its_own_file(void **state) {
    (void)state;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    scratch_write("itself", "itself", 6);
    km_map *map = open_map("itself", KM_READ);
    assert_int_equal(km_copy(map, "itself", &replace), KM_E_BUSY);
    assert_non_null(strstr(km_error_message(), "itself"));
    assert_int_equal(km_copy(map, "./itself", &replace), KM_E_BUSY);
    assert_int_equal(km_copy(map, "itself", NULL), KM_E_EXISTS);
    assert_true(scratch_equals("itself", "itself", 6));
    km_close(map);
}

static void a_target_that_is_mapped_is_busy(void **state) {
    (void)state;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    scratch_write("from", "from", 4);
    scratch_write("in use", "in use", 6);
    km_map *map = open_map("from", KM_READ);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        km_map *user = open_map("in use", all[i]);
        size_t before = scratch_entries();
        assert_int_equal(km_copy(map, "in use", &replace), KM_E_BUSY);
        assert_int_equal(scratch_entries(), before);
        assert_true(scratch_equals("in use", "in use", 6));
        km_close(user);
    }
    assert_int_equal(km_copy(map, "in use", &replace), KM_OK);
    km_close(map);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    km_copy_options unknown_flag = {.flags = 0x80000000u};
    km_copy_options no_mode = {.permissions = 0xFFFFFFFFu};
    km_copy_options short_struct = {.struct_size = 4};
    scratch_write("fine", "fine", 4);
    km_map *map = open_map("fine", KM_READ);
    size_t before = scratch_entries();
    assert_int_equal(km_copy(NULL, "x", NULL), KM_E_INVALID);
    assert_int_equal(km_copy(map, NULL, NULL), KM_E_INVALID);
    assert_int_equal(km_copy(map, "", NULL), KM_E_INVALID);
    assert_int_equal(km_copy(map, "\xC3", NULL), KM_E_INVALID);
    assert_int_equal(km_copy(map, "x", &unknown_flag), KM_E_INVALID);
    assert_int_equal(km_copy(map, "x", &no_mode), KM_E_INVALID);
    assert_int_equal(km_copy(map, "x", &short_struct), KM_E_INVALID);
    assert_int_equal(km_copy(map, "missing/x", NULL), KM_E_NOT_FOUND);
    assert_int_equal(km_copy(map, ".", NULL), KM_E_EXISTS);
    assert_int_equal(scratch_entries(), before);
    km_close(map);
}

/* ---- Progress ------------------------------------------------------------------------------ */

typedef struct progress {
    unsigned calls;
    unsigned stop_at; /* the call that says stop; 0: none */
    bool in_order;
    uint64_t first;
    uint64_t last;
    uint64_t total;
} progress;

static bool note_progress(uint64_t done, uint64_t total, void *arg) {
    progress *seen = arg;
    if (seen->calls == 0) {
        seen->first = done;
        seen->in_order = true;
    } else if (done < seen->last || total != seen->total) {
        seen->in_order = false;
    }
    seen->last = done;
    seen->total = total;
    seen->calls++;
    return seen->calls != seen->stop_at;
}

static void progress_goes_from_nothing_to_all(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_PRIVATE};
    scratch_file("progress", 20 * MIB + 1, 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        progress seen = {0};
        km_copy_options options = {.progress = note_progress, .progress_arg = &seen};
        km_map *map = open_map("progress", all[i]);
        assert_int_equal(km_copy(map, "progress copy", &options), KM_OK);
        assert_true(seen.in_order);
        assert_true(seen.calls >= 2);
        assert_int_equal(seen.first, 0);
        assert_int_equal(seen.last, 20 * MIB + 1);
        assert_int_equal(seen.total, 20 * MIB + 1);
        km_close(map);
        scratch_remove("progress copy");
    }
}

static void cancel_at_every_call(const km_map *map, const char *target, bool replace) {
    for (unsigned stop_at = 1;; stop_at++) {
        progress seen = {.stop_at = stop_at};
        km_copy_options options = {.flags = replace ? KM_COPY_REPLACE : 0u,
                                   .progress = note_progress,
                                   .progress_arg = &seen};
        size_t before = scratch_entries();
        km_status status = km_copy((km_map *)map, target, &options);
        if (seen.calls < stop_at) {
            assert_int_equal(status, KM_OK);
            assert_true(stop_at > 2);
            return;
        }
        assert_int_equal(status, KM_E_CANCELLED);
        assert_int_equal(seen.calls, stop_at);
        assert_int_equal(scratch_entries(), before);
        if (replace) {
            assert_true(scratch_equals(target, "old", 3));
        }
    }
}

static void a_copy_cancelled_at_any_call_leaves_nothing(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_PRIVATE};
    scratch_file("cancelled", 3 * MIB, 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        km_map *map = open_map("cancelled", all[i]);
        scratch_write("cancelled 2", "old", 3);
        cancel_at_every_call(map, "cancelled 1", false);
        cancel_at_every_call(map, "cancelled 2", true);
        km_close(map);
        scratch_remove("cancelled 1");
        scratch_remove("cancelled 2");
    }
}

/* ---- A source that is cut short ------------------------------------------------------------ */

#if !defined(_WIN32) /* Windows lets nobody cut a mapped file. */
static bool cut_file(uint64_t done, uint64_t total, void *arg) {
    (void)total;
    return done > 0 || truncate(arg, 5000) == 0;
}

static void a_file_cut_short_meanwhile_is_truncated(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    static char path[] = "cut";
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        scratch_file(path, 3 * MIB, 0);
        km_copy_options options = {.progress = cut_file, .progress_arg = path};
        km_map *map = open_map(path, all[i]);
        size_t before = scratch_entries();
        assert_int_equal(km_copy(map, "cut copy", &options), KM_E_TRUNCATED);
        assert_non_null(strstr(km_error_message(), "5000"));
        assert_int_equal(scratch_entries(), before);
        km_close(map);
    }
}

static void a_file_cut_short_inside_its_last_page_is_truncated(void **state) {
    (void)state;
    static const km_access all[] = {KM_READ, KM_WRITE, KM_PRIVATE};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        scratch_file("last page", 5000, 0);
        km_map *map = open_map("last page", all[i]);
        assert_int_equal(truncate("last page", 4500), 0);
        size_t before = scratch_entries();
        assert_int_equal(km_copy(map, "last page copy", NULL), KM_E_TRUNCATED);
        assert_non_null(strstr(km_error_message(), "4500"));
        assert_int_equal(scratch_entries(), before);
        km_close(map);
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_the_bytes_of_the_file),
        cmocka_unit_test(a_copy_shows_stores_not_yet_flushed),
        cmocka_unit_test(a_private_map_is_copied_with_its_stores),
        cmocka_unit_test(an_empty_map_makes_an_empty_file),
        cmocka_unit_test(a_window_is_copied_by_itself),
        cmocka_unit_test(what_the_map_does_not_show_is_not_copied),
        cmocka_unit_test(a_large_sparse_file_is_copied_sparsely),
        cmocka_unit_test(zeros_of_a_private_map_become_holes),
        cmocka_unit_test(an_existing_target_is_replaced_only_when_told_to),
        cmocka_unit_test(a_map_is_not_copied_onto_its_own_file),
        cmocka_unit_test(a_target_that_is_mapped_is_busy),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(progress_goes_from_nothing_to_all),
        cmocka_unit_test(a_copy_cancelled_at_any_call_leaves_nothing),
#if !defined(_WIN32)
        cmocka_unit_test(a_file_cut_short_meanwhile_is_truncated),
        cmocka_unit_test(a_file_cut_short_inside_its_last_page_is_truncated),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
