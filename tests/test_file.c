/*
 * test_file.c - CreateFile, and reading, writing and flushing through its handles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define READ_WRITE (GENERIC_READ | GENERIC_WRITE)
#define UNTOUCHED 4711u /* a last error that nobody sets */

static HANDLE open_with(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    SetLastError(UNTOUCHED);
    return CreateFileA(path, access, SHARE_ALL, NULL, disposition, flags, NULL);
}

static HANDLE must_open(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    HANDLE file = open_with(path, access, disposition, flags);
    if (file == INVALID_HANDLE_VALUE) {
        fail_msg("%s: %lu", path, (unsigned long)GetLastError());
    }
    return file;
}

static void refused(const char *path, DWORD access, DWORD disposition, DWORD flags, DWORD code) {
    HANDLE file = open_with(path, access, disposition, flags);
    assert_ptr_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), code);
}

static void must_close(HANDLE handle) {
    assert_true(CloseHandle(handle));
}

static LONGLONG size_of(HANDLE file) {
    LARGE_INTEGER size;
    assert_true(GetFileSizeEx(file, &size));
    return size.QuadPart;
}

static void move_to(HANDLE file, LONGLONG offset) {
    LARGE_INTEGER distance = {.QuadPart = offset};
    assert_true(SetFilePointerEx(file, distance, NULL, FILE_BEGIN));
}

static LONGLONG position_of(HANDLE file) {
    LARGE_INTEGER none = {.QuadPart = 0};
    LARGE_INTEGER position;
    assert_true(SetFilePointerEx(file, none, &position, FILE_CURRENT));
    return position.QuadPart;
}

static void must_write(HANDLE file, const char *text) {
    DWORD done = 0;
    assert_true(WriteFile(file, text, (DWORD)strlen(text), &done, NULL));
    assert_int_equal(done, strlen(text));
}

/* ---- Dispositions ---- */

static void each_disposition_treats_a_missing_file_as_tabled(void **state) {
    (void)state;
    static const struct {
        DWORD disposition, code;
    } rows[] = {{CREATE_NEW, 0},
                {CREATE_ALWAYS, 0},
                {OPEN_EXISTING, ERROR_FILE_NOT_FOUND},
                {OPEN_ALWAYS, 0},
                {TRUNCATE_EXISTING, ERROR_FILE_NOT_FOUND}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        HANDLE file = open_with("missing", READ_WRITE, rows[i].disposition, 0);
        assert_int_equal(GetLastError(), rows[i].code);
        assert_int_equal(file != INVALID_HANDLE_VALUE, rows[i].code == 0);
        assert_int_equal(scratch_size("missing"), rows[i].code == 0 ? 0 : -1);
        if (file != INVALID_HANDLE_VALUE) {
            must_close(file);
            scratch_remove("missing");
        }
    }
}

static void each_disposition_treats_an_existing_file_as_tabled(void **state) {
    (void)state;
    static const struct {
        DWORD disposition, code;
        bool opens;
        int64_t size;
    } rows[] = {{CREATE_NEW, ERROR_FILE_EXISTS, false, 10},
                {CREATE_ALWAYS, ERROR_ALREADY_EXISTS, true, 0},
                {OPEN_EXISTING, 0, true, 10},
                {OPEN_ALWAYS, ERROR_ALREADY_EXISTS, true, 10},
                {TRUNCATE_EXISTING, 0, true, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        scratch_file("existing", 10, 1);
        HANDLE file = open_with("existing", READ_WRITE, rows[i].disposition, 0);
        assert_int_equal(GetLastError(), rows[i].code);
        assert_int_equal(file != INVALID_HANDLE_VALUE, rows[i].opens);
        assert_int_equal(scratch_size("existing"), rows[i].size);
        if (rows[i].opens) {
            must_close(file);
        }
    }
}

static void create_always_empties_through_a_reading_handle(void **state) {
    (void)state;
    scratch_file("reader_empties", 10, 1);
    HANDLE file = must_open("reader_empties", GENERIC_READ, CREATE_ALWAYS, 0);
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    assert_int_equal(size_of(file), 0);
    must_close(file);
}

static void truncate_existing_needs_write_access(void **state) {
    (void)state;
    scratch_file("cut_by_reader", 10, 1);
#ifdef _WIN32
    /* Wine accepts it; Microsoft documents that it must not. */
    must_close(must_open("cut_by_reader", GENERIC_READ, TRUNCATE_EXISTING, 0));
#else
    refused("cut_by_reader", GENERIC_READ, TRUNCATE_EXISTING, 0, ERROR_INVALID_PARAMETER);
    assert_int_equal(scratch_size("cut_by_reader"), 10);
#endif
}

static void wrong_arguments_are_told_apart(void **state) {
    (void)state;
    refused(NULL, GENERIC_READ, OPEN_EXISTING, 0, ERROR_PATH_NOT_FOUND);
    refused("", GENERIC_READ, OPEN_EXISTING, 0, ERROR_PATH_NOT_FOUND);
    refused("any", GENERIC_READ, 0, 0, ERROR_INVALID_PARAMETER);
    refused("any", GENERIC_READ, 6, 0, ERROR_INVALID_PARAMETER);
    refused("no_such_directory/file", GENERIC_READ, OPEN_EXISTING, 0, ERROR_PATH_NOT_FOUND);
    refused("no_such_directory/file", GENERIC_WRITE, CREATE_ALWAYS, 0, ERROR_PATH_NOT_FOUND);
    scratch_file("a_file", 1, 0);
    refused("a_file/below", GENERIC_READ, OPEN_EXISTING, 0, ERROR_PATH_NOT_FOUND);
}

static void a_path_that_is_too_long_is_refused(void **state) {
    (void)state;
    static char path[5001];
    memset(path, 'x', sizeof path - 1);
    HANDLE file = open_with(path, READ_WRITE, CREATE_ALWAYS, 0);
    DWORD code = GetLastError();
    assert_ptr_equal(file, INVALID_HANDLE_VALUE);
    /* Windows: too long for a name, or no such path, by the function and the system's settings. */
    assert_true(code == ERROR_FILENAME_EXCED_RANGE || code == ERROR_PATH_NOT_FOUND ||
                code == ERROR_INVALID_NAME);
}

static void a_directory_needs_backup_semantics(void **state) {
    (void)state;
    refused(".", GENERIC_READ, OPEN_EXISTING, 0, ERROR_ACCESS_DENIED);
    refused(".", READ_WRITE, OPEN_EXISTING, 0, ERROR_ACCESS_DENIED);
    refused(".", 0, OPEN_EXISTING, 0, ERROR_ACCESS_DENIED);
    refused(".", GENERIC_WRITE, CREATE_ALWAYS, 0, ERROR_ACCESS_DENIED);
    HANDLE directory = must_open(".", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    char byte;
    DWORD done = 1;
    assert_false(ReadFile(directory, &byte, 1, &done, NULL));
    assert_int_equal(done, 0);
    assert_int_equal(GetFileType(directory), FILE_TYPE_DISK);
    assert_false(FlushFileBuffers(directory));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    must_close(directory);
    directory = must_open(".", READ_WRITE, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    assert_true(FlushFileBuffers(directory));
    must_close(directory);
}

static void the_wide_call_opens_the_same_file(void **state) {
    (void)state;
    scratch_file("wide", 12, 3);
    static const WCHAR name[] = {'w', 'i', 'd', 'e', 0};
    HANDLE file = CreateFileW(name, GENERIC_READ, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(size_of(file), 12);
    must_close(file);
}

/* ---- Rights ---- */

static void a_handle_does_only_what_it_was_opened_for(void **state) {
    (void)state;
    char byte = 'x';
    DWORD done = 1;
    scratch_file("rights", 10, 0);

    HANDLE reader = must_open("rights", GENERIC_READ, OPEN_EXISTING, 0);
    assert_false(WriteFile(reader, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_int_equal(done, 0);
    assert_false(FlushFileBuffers(reader));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    must_close(reader);

    HANDLE writer = must_open("rights", GENERIC_WRITE, OPEN_EXISTING, 0);
    assert_false(ReadFile(writer, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_true(FlushFileBuffers(writer));
    assert_int_equal(size_of(writer), 10);
    must_close(writer);

    HANDLE looker = must_open("rights", 0, OPEN_EXISTING, 0);
    assert_false(ReadFile(looker, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_false(WriteFile(looker, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    assert_int_equal(size_of(looker), 10);
    BY_HANDLE_FILE_INFORMATION facts;
    assert_true(GetFileInformationByHandle(looker, &facts));
    must_close(looker);
    assert_int_equal(scratch_size("rights"), 10);
}

static void an_append_only_handle_writes_at_the_end(void **state) {
    (void)state;
    scratch_write("append", "12345", 5);
    HANDLE file = must_open("append", FILE_APPEND_DATA, OPEN_EXISTING, 0);
    must_write(file, "67");
    move_to(file, 0);
    must_write(file, "89");
    OVERLAPPED start = {0};
    DWORD done = 0;
    assert_true(WriteFile(file, "0", 1, &done, &start));
    assert_true(FlushFileBuffers(file));
    must_close(file);
    assert_true(scratch_equals("append", "1234567890", 10));
}

static void a_read_only_file_is_not_opened_for_writing(void **state) {
    (void)state;
    HANDLE file = must_open("read_only", READ_WRITE, CREATE_NEW, FILE_ATTRIBUTE_READONLY);
    must_write(file, "made so"); /* the maker may still */
    must_close(file);
#ifndef _WIN32 /* Wine asks the kernel alone, which lets the superuser */
    refused("read_only", GENERIC_WRITE, OPEN_EXISTING, 0, ERROR_ACCESS_DENIED);
    refused("read_only", GENERIC_READ, CREATE_ALWAYS, 0, ERROR_ACCESS_DENIED);
#endif
    assert_int_equal(scratch_size("read_only"), 7);
    file = must_open("read_only", GENERIC_READ, OPEN_EXISTING, 0);
    BY_HANDLE_FILE_INFORMATION facts;
    assert_true(GetFileInformationByHandle(file, &facts));
    assert_true(facts.dwFileAttributes & FILE_ATTRIBUTE_READONLY);
    must_close(file);
}

/* ---- Reading and writing ---- */

static void reading_and_writing_move_the_file_pointer(void **state) {
    (void)state;
    char text[16] = {0};
    DWORD done = 0;
    HANDLE file = must_open("pointer", READ_WRITE, CREATE_ALWAYS, 0);
    must_write(file, "0123456789");
    assert_int_equal(position_of(file), 10);
    move_to(file, 4);
    assert_true(ReadFile(file, text, 3, &done, NULL));
    assert_int_equal(done, 3);
    assert_memory_equal(text, "456", 3);
    assert_int_equal(position_of(file), 7);
    assert_true(ReadFile(file, text, sizeof text, &done, NULL));
    assert_int_equal(done, 3);
    assert_true(ReadFile(file, text, sizeof text, &done, NULL));
    assert_int_equal(done, 0); /* the end: TRUE and nothing */
    assert_true(ReadFile(file, text, 0, &done, NULL));
    assert_true(WriteFile(file, text, 0, &done, NULL));
    must_close(file);
}

static void an_overlapped_offset_is_used_and_leaves_the_pointer_behind(void **state) {
    (void)state;
    char text[8] = {0};
    DWORD done = 0;
    HANDLE file = must_open("overlapped", READ_WRITE, CREATE_ALWAYS, 0);
    must_write(file, "0123456789");
    OVERLAPPED at = {.Offset = 2};
    assert_true(ReadFile(file, text, 3, &done, &at));
    assert_int_equal(done, 3);
    assert_memory_equal(text, "234", 3);
    assert_int_equal(position_of(file), 5);
    at = (OVERLAPPED){.Offset = 8};
    assert_true(WriteFile(file, "abc", 3, &done, &at));
    assert_int_equal(position_of(file), 11);
    must_close(file);
    assert_true(scratch_equals("overlapped", "01234567abc", 11));
}

static void reading_at_an_offset_past_the_end_fails(void **state) {
    (void)state;
    char byte;
    DWORD done = 1;
    scratch_file("past_the_end", 10, 0);
    HANDLE file = must_open("past_the_end", GENERIC_READ, OPEN_EXISTING, 0);
    OVERLAPPED at = {.Offset = 10};
    assert_false(ReadFile(file, &byte, 1, &done, &at));
    assert_int_equal(GetLastError(), ERROR_HANDLE_EOF);
    assert_int_equal(done, 0);
    must_close(file);
}

static void an_offset_above_four_gigabytes_is_reached(void **state) {
    (void)state;
    char byte = 0;
    DWORD done = 0;
    HANDLE file = must_open("far", READ_WRITE, CREATE_ALWAYS, 0);
    OVERLAPPED at = {.Offset = 5, .OffsetHigh = 1};
    assert_true(WriteFile(file, "x", 1, &done, &at));
    assert_true(size_of(file) == ((LONGLONG)1 << 32) + 6);
    DWORD high = 0;
    SetLastError(UNTOUCHED);
    assert_int_equal(GetFileSize(file, &high), 6);
    assert_int_equal(high, 1);
    at = (OVERLAPPED){.Offset = 5, .OffsetHigh = 1};
    assert_true(ReadFile(file, &byte, 1, &done, &at));
    assert_int_equal(byte, 'x');
    must_close(file);
    scratch_remove("far");
}

static void writing_past_the_end_fills_with_zeros(void **state) {
    (void)state;
    HANDLE file = must_open("gap", READ_WRITE, CREATE_ALWAYS, 0);
    must_write(file, "ab");
    move_to(file, 4);
    must_write(file, "c");
    must_close(file);
    assert_true(scratch_equals("gap", "ab\0\0c", 5));
}

/* ---- Facts ---- */

static void the_facts_of_a_file_are_told(void **state) {
    (void)state;
    scratch_file("facts", 300, 0);
    HANDLE one = must_open("facts", GENERIC_READ, OPEN_EXISTING, 0);
    HANDLE same = must_open("facts", 0, OPEN_EXISTING, 0);
    HANDLE other = must_open("facts_2", READ_WRITE, CREATE_ALWAYS, 0);
    BY_HANDLE_FILE_INFORMATION a, b, c;
    assert_true(GetFileInformationByHandle(one, &a));
    assert_true(GetFileInformationByHandle(same, &b));
    assert_true(GetFileInformationByHandle(other, &c));
    assert_int_equal(a.nFileSizeLow, 300);
    assert_int_equal(a.nFileSizeHigh, 0);
    assert_int_equal(a.nNumberOfLinks, 1);
    assert_false(a.dwFileAttributes &
                 (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE | FILE_ATTRIBUTE_READONLY));
    assert_int_not_equal(a.dwFileAttributes, 0);
    assert_int_equal(a.dwVolumeSerialNumber, b.dwVolumeSerialNumber);
    assert_int_equal(a.nFileIndexLow, b.nFileIndexLow);
    assert_int_equal(a.nFileIndexHigh, b.nFileIndexHigh);
    assert_false(a.nFileIndexLow == c.nFileIndexLow && a.nFileIndexHigh == c.nFileIndexHigh);
    /* 2020 and later, in 100 ns since 1601 */
    assert_true(a.ftLastWriteTime.dwHighDateTime > 0x01D5C000u);
    assert_true(a.ftCreationTime.dwHighDateTime > 0x01D5C000u);
    must_close(one);
    must_close(same);
    must_close(other);
    HANDLE directory = must_open(".", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    assert_true(GetFileInformationByHandle(directory, &a));
    assert_true(a.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
    must_close(directory);
}

static void what_is_no_file_handle_is_refused_everywhere(void **state) {
    (void)state;
    HANDLE closed = must_open("closed", READ_WRITE, CREATE_ALWAYS, 0);
    must_close(closed);
    const HANDLE wrong[] = {NULL, closed, (HANDLE)(uintptr_t)0x7654320};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
        char byte = 0;
        DWORD done = 0;
        LARGE_INTEGER number = {.QuadPart = 0};
        BY_HANDLE_FILE_INFORMATION facts;
        OVERLAPPED at = {0};
        const BOOL results[] = {
            (SetLastError(0), ReadFile(wrong[i], &byte, 1, &done, NULL)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), WriteFile(wrong[i], &byte, 1, &done, NULL)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), SetFilePointerEx(wrong[i], number, NULL, FILE_BEGIN)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), SetEndOfFile(wrong[i])),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), GetFileSizeEx(wrong[i], &number)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), GetFileSize(wrong[i], NULL) != INVALID_FILE_SIZE),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), GetFileInformationByHandle(wrong[i], &facts)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), FlushFileBuffers(wrong[i])),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), LockFile(wrong[i], 0, 0, 1, 0)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), UnlockFileEx(wrong[i], 0, 1, 0, &at)),
            GetLastError() != ERROR_INVALID_HANDLE,
            (SetLastError(0), GetFileType(wrong[i]) != FILE_TYPE_UNKNOWN),
            GetLastError() != ERROR_INVALID_HANDLE,
        };
        for (size_t call = 0; call < sizeof results / sizeof results[0]; ++call) {
            if (results[call]) {
                fail_msg("handle %u, answer %u", (unsigned)i, (unsigned)call);
            }
        }
    }
}

/* ---- Flags ---- */

static void every_flag_leaves_a_usable_handle(void **state) {
    (void)state;
    static const DWORD flags[] = {FILE_FLAG_WRITE_THROUGH,      FILE_FLAG_RANDOM_ACCESS,
                                  FILE_FLAG_SEQUENTIAL_SCAN,    FILE_FLAG_BACKUP_SEMANTICS,
                                  FILE_FLAG_OPEN_REPARSE_POINT, FILE_ATTRIBUTE_NORMAL,
                                  FILE_ATTRIBUTE_TEMPORARY};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; ++i) {
        HANDLE file = must_open("flags", READ_WRITE, CREATE_ALWAYS, flags[i]);
        must_write(file, "kept");
        must_close(file);
        assert_true(scratch_equals("flags", "kept", 4));
    }
}

static void delete_on_close_deletes_on_close(void **state) {
    (void)state;
    HANDLE file = must_open("transient", READ_WRITE, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    must_write(file, "for now");
    assert_int_equal(scratch_size("transient"), 7);
    must_close(file);
    assert_int_equal(scratch_size("transient"), -1);
}

static void delete_on_close_waits_for_the_last_duplicate(void **state) {
    (void)state;
    HANDLE file = must_open("transient_2", READ_WRITE, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    HANDLE copy = NULL;
    assert_true(DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &copy, 0, FALSE,
                                DUPLICATE_SAME_ACCESS));
    must_close(file);
    must_write(copy, "still here");
    assert_int_equal(scratch_size("transient_2"), 10);
    must_close(copy);
    assert_int_equal(scratch_size("transient_2"), -1);
}

static void a_delete_on_close_that_fails_deletes_nothing(void **state) {
    (void)state;
    scratch_file("spared", 10, 0);
    HANDLE holder =
        CreateFileA("spared", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(holder, INVALID_HANDLE_VALUE);
    refused("spared", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE,
            ERROR_SHARING_VIOLATION);
    must_close(holder);
    assert_int_equal(scratch_size("spared"), 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_disposition_treats_a_missing_file_as_tabled),
        cmocka_unit_test(each_disposition_treats_an_existing_file_as_tabled),
        cmocka_unit_test(create_always_empties_through_a_reading_handle),
        cmocka_unit_test(truncate_existing_needs_write_access),
        cmocka_unit_test(wrong_arguments_are_told_apart),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
        cmocka_unit_test(a_directory_needs_backup_semantics),
        cmocka_unit_test(the_wide_call_opens_the_same_file),
        cmocka_unit_test(a_handle_does_only_what_it_was_opened_for),
        cmocka_unit_test(an_append_only_handle_writes_at_the_end),
        cmocka_unit_test(a_read_only_file_is_not_opened_for_writing),
        cmocka_unit_test(reading_and_writing_move_the_file_pointer),
        cmocka_unit_test(an_overlapped_offset_is_used_and_leaves_the_pointer_behind),
        cmocka_unit_test(reading_at_an_offset_past_the_end_fails),
        cmocka_unit_test(an_offset_above_four_gigabytes_is_reached),
        cmocka_unit_test(writing_past_the_end_fills_with_zeros),
        cmocka_unit_test(the_facts_of_a_file_are_told),
        cmocka_unit_test(what_is_no_file_handle_is_refused_everywhere),
        cmocka_unit_test(every_flag_leaves_a_usable_handle),
        cmocka_unit_test(delete_on_close_deletes_on_close),
        cmocka_unit_test(delete_on_close_waits_for_the_last_duplicate),
        cmocka_unit_test(a_delete_on_close_that_fails_deletes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
