/*
 * test_platform.c - platform.h: the promises that both systems keep.
 */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "platform.h"
#include "size.h"
#include "support/scratch.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#include <sys/stat.h>
#endif

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define MIB ((uint64_t)1 << 20)

/* ---- Small things that the tests share ----------------------------------------------------- */

static HANDLE open_file(const WCHAR *name, DWORD disposition) {
    HANDLE file =
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, disposition, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static void set_size(HANDLE file, uint64_t size) {
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    assert_true(SetEndOfFile(file));
}

static void write_at(HANDLE file, uint64_t offset, const char *text) {
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    DWORD length = (DWORD)strlen(text);
    DWORD done = 0;
    assert_true(WriteFile(file, text, length, &done, &at));
    assert_int_equal(done, length);
}

static void assert_holds(HANDLE file, uint64_t offset, const char *text) {
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    char found[64] = {0};
    DWORD done = 0;
    assert_true(ReadFile(file, found, (DWORD)strlen(text), &done, &at));
    assert_string_equal(found, text);
}

static uint64_t size_of(HANDLE file) {
    LARGE_INTEGER size;
    assert_true(GetFileSizeEx(file, &size));
    return (uint64_t)size.QuadPart;
}

static bool exists(const WCHAR *path) {
    return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
}

static size_t length_of(const WCHAR *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
    return length;
}

static bool ends_with(const WCHAR *text, const WCHAR *end) {
    size_t length = length_of(text);
    size_t end_length = length_of(end);
    return length >= end_length &&
           memcmp(text + length - end_length, end, end_length * sizeof *end) == 0;
}

/* ---- Names --------------------------------------------------------------------------------- */

static void a_file_resolves_to_an_absolute_path_of_its_own(void **state) {
    (void)state;
    WCHAR *resolved = NULL;
    scratch_write("plain", "x", 1);
    assert_int_equal(km_platform_resolve(W("plain"), &resolved), ERROR_SUCCESS);
    assert_true(ends_with(resolved, W("plain")));
    assert_true(length_of(resolved) > length_of(W("plain")));
    assert_true(exists(resolved));
    free(resolved);
}

static void a_missing_file_resolves_to_where_it_would_be(void **state) {
    (void)state;
    WCHAR *resolved = NULL;
    assert_int_equal(km_platform_resolve(W("not there yet"), &resolved), ERROR_SUCCESS);
    assert_false(exists(resolved));
    CloseHandle(open_file(W("not there yet"), CREATE_NEW));
    assert_true(exists(resolved));
    free(resolved);
}

static void a_long_path_can_be_opened_in_its_long_form(void **state) {
    (void)state;
    WCHAR path[800] = W("long");
    WCHAR *native = NULL;
    size_t length = length_of(path);
    while (length < 300) { /* past the 260 units that Windows takes without the prefix */
        memcpy(path + length, W("/.."), 3 * sizeof *path);
        memcpy(path + length + 3, W("/long"), 5 * sizeof *path);
        length += 8;
    }
    memcpy(path + length, W("/../long file"), sizeof W("/../long file"));
#if defined(_WIN32)
    assert_true(CreateDirectoryW(L"long", NULL));
#else
    assert_int_equal(mkdir("long", 0777), 0);
#endif
    assert_int_equal(km_platform_long_path(path, &native), ERROR_SUCCESS);
    CloseHandle(open_file(native, CREATE_NEW));
    assert_true(exists(W("long file")));
    free(native);
}

/* ---- Drafts -------------------------------------------------------------------------------- */

static void a_draft_has_a_fresh_name_beside_its_target_or_none(void **state) {
    (void)state;
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    size_t before = scratch_entries();
    assert_int_equal(km_platform_draft(W("target"), 0, SHARE_ALL, &file, &name), ERROR_SUCCESS);
    assert_int_equal(size_of(file), 0);
    write_at(file, 0, "draft");
    assert_holds(file, 0, "draft");
    assert_false(exists(W("target")));
    assert_int_equal(scratch_entries(), before + (name == NULL ? 0u : 1u));
    CloseHandle(file);
    if (name != NULL) {
        assert_int_equal(memcmp(name, W("target.km-"), 10 * sizeof *name), 0);
        assert_true(DeleteFileW(name));
        free(name);
    }
    assert_int_equal(scratch_entries(), before);
}

static void a_draft_in_a_missing_directory_is_path_not_found(void **state) {
    (void)state;
    HANDLE file = NULL;
    WCHAR *name = NULL;
    assert_int_equal(km_platform_draft(W("no such directory/x"), 0, SHARE_ALL, &file, &name),
                     ERROR_PATH_NOT_FOUND);
    assert_null(file);
    assert_null(name);
}

static void naming_a_draft_never_replaces(void **state) {
    (void)state;
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    scratch_write("taken", "old", 3);
    assert_int_equal(km_platform_draft(W("named"), 0, SHARE_ALL, &file, &name), ERROR_SUCCESS);
    if (name == NULL) {
        assert_int_equal(km_platform_name_draft(file, W("taken")), ERROR_ALREADY_EXISTS);
        assert_int_equal(km_platform_name_draft(file, W("named")), ERROR_SUCCESS);
        assert_true(exists(W("named")));
    } else {
        assert_int_equal(km_platform_name_draft(file, W("taken")), ERROR_NOT_SUPPORTED);
    }
    assert_true(scratch_equals("taken", "old", 3));
    CloseHandle(file);
    if (name != NULL) {
        DeleteFileW(name);
        free(name);
    }
}

static void draft_names_are_fresh_and_fit_a_directory_entry(void **state) {
    (void)state;
    WCHAR target[256];
    WCHAR *one = NULL;
    WCHAR *other = NULL;
    for (size_t i = 0; i < 255; i++) {
        target[i] = W('n');
    }
    target[255] = 0;
    assert_int_equal(km_platform_draft_name(target, &one), ERROR_SUCCESS);
    assert_int_equal(km_platform_draft_name(target, &other), ERROR_SUCCESS);
    assert_int_equal(length_of(one), 255);
    assert_int_equal(length_of(other), 255);
    assert_memory_not_equal(one, other, 255 * sizeof *one);
    CloseHandle(open_file(one, CREATE_NEW));
    assert_true(DeleteFileW(one));
    free(one);
    free(other);
}

static void permissions_are_taken_from_another_file(void **state) {
    (void)state;
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    scratch_write("like", "x", 1);
    assert_int_equal(km_platform_draft(W("matched"), 0, SHARE_ALL, &file, &name), ERROR_SUCCESS);
    assert_int_equal(km_platform_match_permissions(file, W("like")), ERROR_SUCCESS);
    assert_int_equal(km_platform_match_permissions(file, W("not like")), ERROR_FILE_NOT_FOUND);
    CloseHandle(file);
    if (name != NULL) {
        DeleteFileW(name);
        free(name);
    }
}

static void a_directory_can_be_synced(void **state) {
    (void)state;
    scratch_write("synced", "x", 1);
    assert_int_equal(km_platform_sync_directory(W("synced")), ERROR_SUCCESS);
}

static void a_file_is_in_use_while_it_is_open(void **state) {
    (void)state;
    scratch_write("used", "x", 1);
    assert_false(km_platform_in_use(W("used")));
    assert_false(km_platform_in_use(W("unused and missing")));
    HANDLE file = open_file(W("used"), OPEN_EXISTING);
    assert_true(km_platform_in_use(W("used")));
    CloseHandle(file);
    assert_false(km_platform_in_use(W("used")));
}

static void a_file_is_in_use_while_it_is_mapped_for_writing(void **state) {
    (void)state;
    scratch_write("mapped", "x", 1);
    HANDLE file = open_file(W("mapped"), OPEN_EXISTING);
    HANDLE section = CreateFileMappingW(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    CloseHandle(file);
    assert_true(km_platform_in_use(W("mapped")));
    CloseHandle(section);
    assert_false(km_platform_in_use(W("mapped")));
}

/* ---- Blocks -------------------------------------------------------------------------------- */

/* "head" at 0, a hole, "tail" at 8 MiB. */
static HANDLE make_sparse(const WCHAR *name) {
    HANDLE file = open_file(name, CREATE_NEW);
    DWORD error = km_platform_set_sparse(file);
    assert_true(error == ERROR_SUCCESS || error == ERROR_NOT_SUPPORTED);
    set_size(file, 8 * MIB + 4);
    write_at(file, 0, "head");
    write_at(file, 8 * MIB, "tail");
    return file;
}

static void runs_of_data_cover_all_data_and_come_to_an_end(void **state) {
    (void)state;
    HANDLE file = make_sparse(W("runs"));
    uint64_t size = size_of(file);
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t at = 0;
    bool head = false;
    bool tail = false;
    while (at < size) {
        assert_int_equal(km_platform_next_data(file, at, size, &start, &end), ERROR_SUCCESS);
        assert_true(start >= at && start <= end && end <= size);
        assert_true(end > start || start == size);
        uint64_t alone = 0;
        assert_int_equal(km_platform_next_data(file, at, size, &alone, NULL), ERROR_SUCCESS);
        assert_int_equal(alone, start);
        head = head || (start == 0 && end >= 4);
        tail = tail || (start <= 8 * MIB && end == size);
        at = end;
    }
    assert_true(head && tail);
    assert_int_equal(km_platform_next_data(file, size, size, &start, &end), ERROR_SUCCESS);
    assert_int_equal(start, size);
    assert_int_equal(end, size);
    CloseHandle(file);
}

static void what_is_allocated_grows_with_what_is_written(void **state) {
    (void)state;
    uint64_t before = 0;
    uint64_t after = 0;
    scratch_file("allocated", 1, 0);
    HANDLE file = open_file(W("allocated"), OPEN_EXISTING);
    assert_int_equal(km_platform_allocated(file, &before), ERROR_SUCCESS);
    CloseHandle(file);
    scratch_file("allocated", 4 * MIB, 0);
    file = open_file(W("allocated"), OPEN_EXISTING);
    assert_true(FlushFileBuffers(file));
    assert_int_equal(km_platform_allocated(file, &after), ERROR_SUCCESS);
    CloseHandle(file);
    assert_true(before < MIB);
    assert_true(after >= 4 * MIB || after > before); /* a file system may compress */
}

static void a_clone_is_the_whole_file_or_nothing(void **state) {
    (void)state;
    HANDLE from = make_sparse(W("clone from"));
    HANDLE to = open_file(W("clone to"), CREATE_NEW);
    DWORD error = km_platform_clone(from, to);
    if (error == ERROR_SUCCESS) {
        assert_int_equal(size_of(to), size_of(from));
        assert_holds(to, 0, "head");
        assert_holds(to, 8 * MIB, "tail");
    } else {
        assert_int_equal(error, ERROR_NOT_SUPPORTED);
        assert_int_equal(size_of(to), 0);
    }
    CloseHandle(from);
    CloseHandle(to);
}

static void a_range_is_copied_or_not_supported(void **state) {
    (void)state;
    HANDLE from = make_sparse(W("range from"));
    HANDLE to = open_file(W("range to"), CREATE_NEW);
    uint64_t copied = 77;
    DWORD error = km_platform_copy_range(from, 8 * MIB, to, MIB, 4, &copied);
    if (error == ERROR_SUCCESS) {
        assert_true(copied >= 1 && copied <= 4);
        assert_int_equal(size_of(to), MIB + copied);
        assert_int_equal(km_platform_copy_range(from, size_of(from), to, 0, 4, &copied),
                         ERROR_SUCCESS);
        assert_int_equal(copied, 0);
    } else {
        assert_int_equal(error, ERROR_NOT_SUPPORTED);
        assert_int_equal(copied, 77);
    }
    CloseHandle(from);
    CloseHandle(to);
}

static void no_file_is_longer_than_an_offset_can_say(void **state) {
    (void)state;
    assert_int_equal(km_platform_size_allowed(W("."), MIB), ERROR_SUCCESS);
    assert_int_equal(km_platform_size_allowed(W("."), KM_SIZE_MAX + 1), ERROR_FILE_TOO_LARGE);
    assert_int_equal(km_platform_size_allowed(W("."), UINT64_MAX), ERROR_FILE_TOO_LARGE);
}

static void sharing_is_enforced_on_the_disk_of_the_tests(void **state) {
    (void)state;
    HANDLE file = open_file(W("enforced"), CREATE_NEW);
    assert_true(km_platform_sharing_enforced(file));
    CloseHandle(file);
    file =
        CreateFileW(W("enforced"), FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(km_platform_sharing_enforced(file));
    CloseHandle(file);
}

/* ---- Address space ------------------------------------------------------------------------- */

static HANDLE make_section(HANDLE file, uint64_t size) {
    HANDLE section =
        CreateFileMappingW(file, NULL, PAGE_READWRITE, km_size_high(size), km_size_low(size), NULL);
    assert_non_null(section);
    return section;
}

static void a_view_grows_and_shrinks_in_its_reservation_without_moving(void **state) {
    (void)state;
    km_reservation reservation = {0};
    HANDLE file = open_file(W("reserved"), CREATE_NEW);
    assert_int_equal(km_platform_reserve(16 * MIB - 1, &reservation), ERROR_SUCCESS);
    assert_int_equal(reservation.size, 16 * MIB);
    assert_int_equal((uintptr_t)reservation.base % 65536, 0);
    char *base = reservation.base;

    HANDLE small = make_section(file, 5000);
    assert_int_equal(km_platform_map_reserved(&reservation, small, FILE_MAP_WRITE, 5000),
                     ERROR_SUCCESS);
    memcpy(base, "small", 6);
    HANDLE large = make_section(file, 3 * MIB + 1);
    assert_int_equal(
        km_platform_remap_reserved(&reservation, large, FILE_MAP_WRITE, 3 * MIB + 1, small, 5000),
        ERROR_SUCCESS);
    assert_ptr_equal(reservation.base, base);
    assert_string_equal(base, "small");
    base[3 * MIB] = 'L';
    assert_int_equal(
        km_platform_remap_reserved(&reservation, small, FILE_MAP_WRITE, 5000, large, 3 * MIB + 1),
        ERROR_SUCCESS);
    assert_string_equal(base, "small");
    assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_SUCCESS);

    assert_int_equal(km_platform_map_reserved(&reservation, large, FILE_MAP_READ, 3 * MIB + 1),
                     ERROR_SUCCESS);
    assert_int_equal(base[3 * MIB], 'L');
    assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_SUCCESS);
    km_platform_release(&reservation);
    assert_null(reservation.base);
    CloseHandle(small);
    CloseHandle(large);
    CloseHandle(file);
}

static void a_view_as_large_as_its_reservation_fits(void **state) {
    (void)state;
    km_reservation reservation = {0};
    HANDLE file = open_file(W("whole"), CREATE_NEW);
    HANDLE section = make_section(file, MIB);
    assert_int_equal(km_platform_reserve(MIB, &reservation), ERROR_SUCCESS);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, MIB),
                         ERROR_SUCCESS);
        ((char *)reservation.base)[MIB - 1] = 'w';
        assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_SUCCESS);
    }
    km_platform_release(&reservation);
    CloseHandle(section);
    CloseHandle(file);
}

static void a_view_that_cannot_grow_is_put_back(void **state) {
    (void)state;
    km_reservation reservation = {0};
    HANDLE file = open_file(W("put back"), CREATE_NEW);
    HANDLE section = make_section(file, 65536);
    assert_int_equal(km_platform_reserve(MIB, &reservation), ERROR_SUCCESS);
    assert_int_equal(km_platform_map_reserved(&reservation, section, FILE_MAP_WRITE, 65536),
                     ERROR_SUCCESS);
    memcpy(reservation.base, "there", 6);
    /* Longer than the section: no view of it can be. */
    assert_int_not_equal(
        km_platform_remap_reserved(&reservation, section, FILE_MAP_WRITE, 131072, section, 65536),
        ERROR_SUCCESS);
    assert_string_equal((char *)reservation.base, "there");
    assert_int_equal(km_platform_unmap_reserved(&reservation), ERROR_SUCCESS);
    km_platform_release(&reservation);
    CloseHandle(section);
    CloseHandle(file);
}

static void a_reservation_is_no_larger_than_the_address_space(void **state) {
    (void)state;
    km_reservation reservation = {0};
    assert_true(km_platform_address_space() > 64 * MIB);
    assert_int_not_equal(km_platform_reserve(UINT64_MAX / 2, &reservation), ERROR_SUCCESS);
    assert_null(reservation.base);
    km_platform_release(&reservation);
}

static void advice_never_changes_contents(void **state) {
    (void)state;
    static const km_advice all[] = {KM_ADVICE_NORMAL, KM_ADVICE_RANDOM, KM_ADVICE_SEQUENTIAL,
                                    KM_ADVICE_WILL_NEED, KM_ADVICE_COLD};
    HANDLE file = open_file(W("advised"), CREATE_NEW);
    HANDLE section = make_section(file, MIB);
    for (int private_view = 0; private_view < 2; private_view++) {
        DWORD access = private_view ? FILE_MAP_COPY : FILE_MAP_WRITE;
        char *view = MapViewOfFile(section, access, 0, 0, 0);
        assert_non_null(view);
        memcpy(view, "kept", 5);
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            assert_int_equal(km_platform_advise(view, MIB, all[i], private_view != 0),
                             ERROR_SUCCESS);
            assert_string_equal(view, "kept");
        }
        assert_true(UnmapViewOfFile(view));
    }
    CloseHandle(section);
    CloseHandle(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_resolves_to_an_absolute_path_of_its_own),
        cmocka_unit_test(a_missing_file_resolves_to_where_it_would_be),
        cmocka_unit_test(a_long_path_can_be_opened_in_its_long_form),
        cmocka_unit_test(a_draft_has_a_fresh_name_beside_its_target_or_none),
        cmocka_unit_test(a_draft_in_a_missing_directory_is_path_not_found),
        cmocka_unit_test(naming_a_draft_never_replaces),
        cmocka_unit_test(draft_names_are_fresh_and_fit_a_directory_entry),
        cmocka_unit_test(permissions_are_taken_from_another_file),
        cmocka_unit_test(a_directory_can_be_synced),
        cmocka_unit_test(a_file_is_in_use_while_it_is_open),
        cmocka_unit_test(a_file_is_in_use_while_it_is_mapped_for_writing),
        cmocka_unit_test(runs_of_data_cover_all_data_and_come_to_an_end),
        cmocka_unit_test(what_is_allocated_grows_with_what_is_written),
        cmocka_unit_test(a_clone_is_the_whole_file_or_nothing),
        cmocka_unit_test(a_range_is_copied_or_not_supported),
        cmocka_unit_test(no_file_is_longer_than_an_offset_can_say),
        cmocka_unit_test(sharing_is_enforced_on_the_disk_of_the_tests),
        cmocka_unit_test(a_view_grows_and_shrinks_in_its_reservation_without_moving),
        cmocka_unit_test(a_view_as_large_as_its_reservation_fits),
        cmocka_unit_test(a_view_that_cannot_grow_is_put_back),
        cmocka_unit_test(a_reservation_is_no_larger_than_the_address_space),
        cmocka_unit_test(advice_never_changes_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
