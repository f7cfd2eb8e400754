/*
 * test_publish.c - a file appears whole or not at all, whatever step fails.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "publish.h"
#include "support/scratch.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- A disk that fails at the k-th call ---------------------------------------------------- */

/* What the next calls do, and what they were: one letter each. The tests run one by one. */
static struct {
    unsigned calls;
    unsigned failing; /* which call fails; 0: none */
    bool named;       /* drafts get a name, as on systems without nameless files */
    char log[32];
} disk;

static void use_disk(unsigned failing, bool named) {
    memset(&disk, 0, sizeof disk);
    disk.failing = failing;
    disk.named = named;
}

static bool fails(char letter) {
    if (disk.calls < sizeof disk.log - 1) {
        disk.log[disk.calls] = letter;
    }
    disk.calls++;
    return disk.calls == disk.failing;
}

static DWORD create_named(const WCHAR *target, DWORD share, HANDLE *file, WCHAR **name) {
    WCHAR *chosen = NULL;
    DWORD error = km_platform_draft_name(target, &chosen);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    HANDLE made = CreateFileW(chosen, GENERIC_READ | GENERIC_WRITE | DELETE, share, NULL,
                              CREATE_NEW, 0, NULL);
    if (made == INVALID_HANDLE_VALUE) {
        free(chosen);
        return GetLastError();
    }
    *file = made;
    *name = chosen;
    return ERROR_SUCCESS;
}

static DWORD disk_create(const WCHAR *target, uint32_t permissions, DWORD share, HANDLE *file,
                         WCHAR **name) {
    if (fails('c')) {
        return ERROR_DISK_FULL;
    }
    return disk.named ? create_named(target, share, file, name)
                      : km_io_default.create(target, permissions, share, file, name);
}

static DWORD disk_write_at(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    return fails('w') ? ERROR_DISK_FULL : km_io_default.write_at(file, offset, from, length);
}

static DWORD disk_truncate(HANDLE file, uint64_t size) {
    return fails('t') ? ERROR_DISK_FULL : km_io_default.truncate(file, size);
}

static DWORD disk_sync(HANDLE file) {
    return fails('s') ? ERROR_IO_DEVICE : km_io_default.sync(file);
}

static DWORD disk_name(HANDLE file, const WCHAR *name) {
    return fails('n') ? ERROR_IO_DEVICE : km_io_default.name(file, name);
}

static DWORD disk_rename(const WCHAR *from, const WCHAR *to, bool replace) {
    return fails('r') ? ERROR_IO_DEVICE : km_io_default.rename(from, to, replace);
}

static DWORD disk_remove(const WCHAR *path) {
    return fails('d') ? ERROR_IO_DEVICE : km_io_default.remove(path);
}

static DWORD disk_sync_directory(const WCHAR *path) {
    return fails('S') ? ERROR_IO_DEVICE : km_io_default.sync_directory(path);
}

/* A close that fails closes all the same, as those of the systems do. */
static DWORD disk_close(HANDLE file) {
    bool failing = fails('x');
    DWORD error = km_io_default.close(file);
    return failing ? ERROR_IO_DEVICE : error;
}

static const km_io failing_disk = {
    .create = disk_create,
    .write_at = disk_write_at,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .name = disk_name,
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_directory = disk_sync_directory,
    .close = disk_close,
};

static km_status write_new(const km_io *io, const char *path, bool replace, bool durable) {
    km_draft draft;
    km_status status = km_draft_begin(&draft, io, path, 0, SHARE_ALL, replace);
    if (status != KM_OK) {
        return status;
    }
    if (io->truncate(draft.file, 3) != ERROR_SUCCESS ||
        io->write_at(draft.file, 0, "new", 3) != ERROR_SUCCESS) {
        status = KM_E_NO_SPACE;
    }
    if (status == KM_OK) {
        status = km_draft_publish(&draft, durable, NULL);
    }
    km_draft_abandon(&draft);
    return status;
}

/* ---- What happens when all goes well ------------------------------------------------------- */

static void a_file_appears_when_it_is_published_and_not_before(void **state) {
    (void)state;
    km_draft draft;
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "appears", 0, SHARE_ALL, false), KM_OK);
    assert_int_equal(km_io_default.write_at(draft.file, 0, "whole", 5), ERROR_SUCCESS);
    assert_int_equal(scratch_size("appears"), -1);
    assert_int_equal(km_draft_publish(&draft, true, NULL), KM_OK);
    assert_true(scratch_equals("appears", "whole", 5));
    km_draft_abandon(&draft);
    assert_true(scratch_equals("appears", "whole", 5));
}

static void an_abandoned_draft_leaves_nothing(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        km_draft draft;
        size_t before = scratch_entries();
        use_disk(0, named != 0);
        assert_int_equal(km_draft_begin(&draft, &failing_disk, "abandoned", 0, SHARE_ALL, false),
                         KM_OK);
        SetLastError(77);
        km_draft_abandon(&draft);
        assert_int_equal(GetLastError(), 77);
        km_draft_abandon(&draft);
        assert_int_equal(scratch_entries(), before);
    }
}

static void the_open_file_can_be_kept(void **state) {
    (void)state;
    km_draft draft;
    HANDLE file = INVALID_HANDLE_VALUE;
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "kept", 0, SHARE_ALL, false), KM_OK);
    assert_int_equal(km_draft_publish(&draft, false, &file), KM_OK);
    km_draft_abandon(&draft);
    assert_int_equal(km_io_default.write_at(file, 0, "after", 5), ERROR_SUCCESS);
    assert_true(CloseHandle(file));
    assert_true(scratch_equals("kept", "after", 5));
}

static void an_existing_target_is_replaced_when_told_to(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        scratch_write("replaced", "old and longer", 14);
        size_t before = scratch_entries();
        use_disk(0, named != 0);
        assert_int_equal(write_new(&failing_disk, "replaced", true, true), KM_OK);
        assert_true(scratch_equals("replaced", "new", 3));
        assert_int_equal(scratch_entries(), before);
    }
}

static void the_contents_are_synced_before_the_name_and_the_directory_after_it(void **state) {
    (void)state;
    use_disk(0, true);
    assert_int_equal(write_new(&failing_disk, "order 1", false, true), KM_OK);
    assert_string_equal(disk.log, "ctwsxrS");
    use_disk(0, true);
    assert_int_equal(write_new(&failing_disk, "order 2", false, false), KM_OK);
    assert_string_equal(disk.log, "ctwxr");
#if !defined(_WIN32) /* Windows has no nameless files. */
    use_disk(0, false);
    assert_int_equal(write_new(&failing_disk, "order 3", false, true), KM_OK);
    assert_string_equal(disk.log, "ctwsnSx");
    use_disk(0, false);
    assert_int_equal(write_new(&failing_disk, "order 3", true, true), KM_OK);
    assert_string_equal(disk.log, "ctwsnrSx");
#endif
}

/* ---- What is refused ----------------------------------------------------------------------- */

static void an_existing_target_is_left_alone_unless_told_otherwise(void **state) {
    (void)state;
    scratch_write("exists", "old", 3);
    size_t before = scratch_entries();
    assert_int_equal(write_new(&km_io_default, "exists", false, true), KM_E_EXISTS);
    assert_non_null(strstr(km_error_message(), "exists"));
    assert_true(scratch_equals("exists", "old", 3));
    assert_int_equal(scratch_entries(), before);
}

static void a_target_that_somebody_else_made_meanwhile_is_left_alone(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        km_draft draft;
        use_disk(0, named != 0);
        assert_int_equal(km_draft_begin(&draft, &failing_disk, "meanwhile", 0, SHARE_ALL, false),
                         KM_OK);
        scratch_write("meanwhile", "theirs", 6);
        size_t before = scratch_entries() - (draft.name == NULL ? 0u : 1u);
        assert_int_equal(km_draft_publish(&draft, true, NULL), KM_E_EXISTS);
        km_draft_abandon(&draft);
        assert_true(scratch_equals("meanwhile", "theirs", 6));
        assert_int_equal(scratch_entries(), before);
        scratch_remove("meanwhile");
    }
}

static void a_directory_is_never_replaced(void **state) {
    (void)state;
    size_t before = scratch_entries();
    assert_int_equal(write_new(&km_io_default, ".", true, true), KM_E_INVALID);
    assert_int_equal(write_new(&km_io_default, ".", false, true), KM_E_EXISTS);
    assert_int_equal(scratch_entries(), before);
}

static void a_target_in_use_is_busy(void **state) {
    (void)state;
    scratch_write("busy", "old", 3);
    size_t before = scratch_entries();
    HANDLE file = CreateFileW(W("busy"), GENERIC_READ, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(write_new(&km_io_default, "busy", true, true), KM_E_BUSY);
    assert_non_null(strstr(km_error_message(), "\"busy\""));
    CloseHandle(file);
    assert_true(scratch_equals("busy", "old", 3));
    assert_int_equal(scratch_entries(), before);
    assert_int_equal(write_new(&km_io_default, "busy", true, true), KM_OK);
}

static void a_target_that_comes_into_use_meanwhile_is_busy(void **state) {
    (void)state;
    km_draft draft;
    scratch_write("late", "old", 3);
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "late", 0, SHARE_ALL, true), KM_OK);
    HANDLE file = CreateFileW(W("late"), GENERIC_READ, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(km_draft_publish(&draft, true, NULL), KM_E_BUSY);
    km_draft_abandon(&draft);
    CloseHandle(file);
    assert_true(scratch_equals("late", "old", 3));
}

static void paths_that_lead_nowhere_are_refused(void **state) {
    (void)state;
    km_draft draft;
    size_t before = scratch_entries();
    memset(&draft, 0x5A, sizeof draft);
    km_draft untouched = draft;
    assert_int_equal(km_draft_begin(&draft, &km_io_default, NULL, 0, SHARE_ALL, false),
                     KM_E_INVALID);
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "", 0, SHARE_ALL, false), KM_E_INVALID);
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "\xFF", 0, SHARE_ALL, true),
                     KM_E_INVALID);
    assert_int_equal(km_draft_begin(&draft, &km_io_default, "missing/file", 0, SHARE_ALL, true),
                     KM_E_NOT_FOUND);
    assert_memory_equal(&draft, &untouched, sizeof draft);
    assert_int_equal(scratch_entries(), before);
}

/* ---- Every step fails once ----------------------------------------------------------------- */

/* Once a target has been replaced there is no way back, and the new file is whole. */
static bool is_in_place(bool replace, unsigned failing) {
    char step = disk.log[failing - 1];
    const char *renamed = strchr(disk.log, 'r');
    return replace && renamed != NULL && renamed < disk.log + failing - 1 &&
           (step == 'S' || step == 'x');
}

static void sweep(bool named, bool replace, bool durable) {
    char path[32];
    snprintf(path, sizeof path, "sweep %d%d%d", named, replace, durable);
    for (unsigned failing = 1;; failing++) {
        if (replace) {
            scratch_write(path, "old", 3);
        }
        size_t before = scratch_entries();
        use_disk(failing, named);
        km_status status = write_new(&failing_disk, path, replace, durable);
        if (disk.calls < failing) { /* all steps have had their turn */
            assert_int_equal(status, KM_OK);
            assert_true(failing > 4);
            return;
        }
        assert_true(status == KM_E_NO_SPACE || status == KM_E_IO);
        assert_int_equal(scratch_entries(), before);
        if (replace) {
            assert_true(scratch_equals(path, is_in_place(replace, failing) ? "new" : "old", 3));
        }
    }
}

static void whatever_step_fails_nothing_is_left(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        sweep((i & 1) != 0, (i & 2) != 0, (i & 4) != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_when_it_is_published_and_not_before),
        cmocka_unit_test(an_abandoned_draft_leaves_nothing),
        cmocka_unit_test(the_open_file_can_be_kept),
        cmocka_unit_test(an_existing_target_is_replaced_when_told_to),
        cmocka_unit_test(the_contents_are_synced_before_the_name_and_the_directory_after_it),
        cmocka_unit_test(an_existing_target_is_left_alone_unless_told_otherwise),
        cmocka_unit_test(a_target_that_somebody_else_made_meanwhile_is_left_alone),
        cmocka_unit_test(a_directory_is_never_replaced),
        cmocka_unit_test(a_target_in_use_is_busy),
        cmocka_unit_test(a_target_that_comes_into_use_meanwhile_is_busy),
        cmocka_unit_test(paths_that_lead_nowhere_are_refused),
        cmocka_unit_test(whatever_step_fails_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
