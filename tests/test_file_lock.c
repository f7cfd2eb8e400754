/*
 * test_file_lock.c - LockFile(Ex) and UnlockFile(Ex), within a handle, between handles and
 * programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "support/child.h"
#include "support/scratch.h"

#define SHARED 0u
#define EXCLUSIVE LOCKFILE_EXCLUSIVE_LOCK

#ifdef _WIN32
#define NOT_LOCKED_HERE ERROR_LOCK_VIOLATION /* Wine's; Windows says ERROR_NOT_LOCKED */
#else
#define NOT_LOCKED_HERE ERROR_NOT_LOCKED
#endif

static HANDLE open_file(const char *path, DWORD access) {
    HANDLE file =
        CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static HANDLE open_both(const char *path) {
    return open_file(path, GENERIC_READ | GENERIC_WRITE);
}

static BOOL lock_at(HANDLE file, uint64_t offset, uint64_t length, DWORD flags) {
    OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    return LockFileEx(file, flags, 0, (DWORD)length, (DWORD)(length >> 32), &at);
}

static BOOL unlock_at(HANDLE file, uint64_t offset, uint64_t length) {
    OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    return UnlockFileEx(file, 0, (DWORD)length, (DWORD)(length >> 32), &at);
}

static void must_lock(HANDLE file, uint64_t offset, uint64_t length, DWORD flags) {
    if (!lock_at(file, offset, length, flags | LOCKFILE_FAIL_IMMEDIATELY)) {
        fail_msg("[%llu, +%llu): %lu", (unsigned long long)offset, (unsigned long long)length,
                 (unsigned long)GetLastError());
    }
}

static void cannot_lock(HANDLE file, uint64_t offset, uint64_t length, DWORD flags) {
    assert_false(lock_at(file, offset, length, flags | LOCKFILE_FAIL_IMMEDIATELY));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
}

static void must_unlock(HANDLE file, uint64_t offset, uint64_t length) {
    if (!unlock_at(file, offset, length)) {
        fail_msg("[%llu, +%llu): %lu", (unsigned long long)offset, (unsigned long long)length,
                 (unsigned long)GetLastError());
    }
}

static void cannot_unlock(HANDLE file, uint64_t offset, uint64_t length) {
    assert_false(unlock_at(file, offset, length));
    assert_int_equal(GetLastError(), NOT_LOCKED_HERE);
}

/* ---- Within one handle ---- */

static void an_exclusive_range_overlaps_no_other_of_its_handle(void **state) {
    (void)state;
    HANDLE file = open_both("within");
    must_lock(file, 100, 10, EXCLUSIVE);
    cannot_lock(file, 100, 10, EXCLUSIVE);
    cannot_lock(file, 109, 1, EXCLUSIVE);
    cannot_lock(file, 90, 100, EXCLUSIVE);
    must_lock(file, 110, 10, EXCLUSIVE);
    must_lock(file, 90, 10, EXCLUSIVE);
    must_unlock(file, 100, 10);
    must_lock(file, 100, 10, SHARED);
    cannot_lock(file, 105, 1, EXCLUSIVE);
    CloseHandle(file);
}

static void a_range_is_unlocked_exactly_as_it_was_locked(void **state) {
    (void)state;
    HANDLE file = open_both("exactly");
    cannot_unlock(file, 0, 10);
    must_lock(file, 0, 10, EXCLUSIVE);
    must_lock(file, 10, 10, EXCLUSIVE);
    cannot_unlock(file, 0, 20);
    cannot_unlock(file, 0, 9);
    cannot_unlock(file, 1, 9);
    must_unlock(file, 0, 10);
    cannot_unlock(file, 0, 10);
    must_unlock(file, 10, 10);
    CloseHandle(file);
}

static void every_shared_lock_asks_for_one_unlock(void **state) {
    (void)state;
    HANDLE file = open_both("counted");
    HANDLE other = open_both("counted");
    must_lock(file, 0, 10, SHARED);
    must_lock(file, 0, 10, SHARED);
    must_unlock(file, 0, 10);
    cannot_lock(other, 0, 10, EXCLUSIVE);
    must_unlock(file, 0, 10);
    must_lock(other, 0, 10, EXCLUSIVE);
    CloseHandle(file);
    CloseHandle(other);
}

static void a_shared_range_may_lie_over_ones_own_exclusive_one(void **state) {
    (void)state;
    HANDLE file = open_both("over");
    HANDLE other = open_both("over");
    must_lock(file, 100, 100, EXCLUSIVE);
    must_lock(file, 150, 100, SHARED);
    cannot_lock(other, 160, 1, SHARED); /* still exclusive where both lie */
    must_lock(other, 220, 1, SHARED);
    must_unlock(other, 220, 1);
    must_unlock(file, 100, 100);
    must_lock(other, 160, 1, SHARED); /* the shared one has stayed */
    cannot_lock(other, 240, 1, EXCLUSIVE);
    must_lock(other, 100, 50, EXCLUSIVE);
    must_unlock(file, 150, 100);
    CloseHandle(file);
    CloseHandle(other);
}

static void of_two_equal_ranges_the_exclusive_one_is_unlocked_first(void **state) {
    (void)state;
    HANDLE file = open_both("order");
    HANDLE other = open_both("order");
    must_lock(file, 0, 10, EXCLUSIVE);
    must_lock(file, 0, 10, SHARED);
    must_unlock(file, 0, 10);
    must_lock(other, 0, 10, SHARED);
    cannot_lock(other, 0, 10, EXCLUSIVE);
    must_unlock(file, 0, 10);
    CloseHandle(file);
    CloseHandle(other);
}

static void unlocking_one_of_two_overlapping_ranges_keeps_the_other(void **state) {
    (void)state;
    HANDLE file = open_both("overlapping");
    HANDLE other = open_both("overlapping");
    must_lock(file, 0, 100, SHARED);
    must_lock(file, 50, 100, SHARED);
    must_unlock(file, 0, 100);
    must_lock(other, 0, 50, EXCLUSIVE);
    cannot_lock(other, 50, 1, EXCLUSIVE);
    cannot_lock(other, 149, 1, EXCLUSIVE);
    must_lock(other, 150, 1, EXCLUSIVE);
    CloseHandle(file);
    CloseHandle(other);
}

static void a_range_of_no_bytes_stands_between_two(void **state) {
    (void)state;
    HANDLE file = open_both("nothing");
    must_lock(file, 100, 0, EXCLUSIVE);
    cannot_lock(file, 98, 4, EXCLUSIVE);
    must_lock(file, 90, 10, EXCLUSIVE);
    must_lock(file, 100, 10, EXCLUSIVE);
    must_unlock(file, 90, 10);
    must_unlock(file, 100, 10);
    must_unlock(file, 100, 0);
    cannot_unlock(file, 100, 0);
    CloseHandle(file);
}

/* ---- Between handles ---- */

static void handles_exclude_each_other(void **state) {
    (void)state;
    HANDLE one = open_both("between");
    HANDLE two = open_both("between");
    must_lock(one, 0, 10, EXCLUSIVE);
    cannot_lock(two, 5, 10, SHARED);
    cannot_lock(two, 5, 10, EXCLUSIVE);
    must_lock(two, 10, 10, EXCLUSIVE);
    must_unlock(one, 0, 10);
    must_lock(one, 0, 10, SHARED);
    must_lock(two, 0, 10, SHARED);
    cannot_lock(two, 0, 1, EXCLUSIVE);
    CloseHandle(one);
    must_unlock(two, 0, 10);
    must_lock(two, 0, 10, EXCLUSIVE);
    CloseHandle(two);
}

static void a_refused_range_leaves_none_of_its_bytes_locked(void **state) {
    (void)state;
    HANDLE one = open_both("partly");
    HANDLE two = open_both("partly");
    HANDLE three = open_both("partly");
    must_lock(one, 50, 1, EXCLUSIVE);
    must_lock(two, 0, 1, SHARED);
    cannot_lock(two, 0, 100, SHARED);
    must_lock(three, 1, 49, EXCLUSIVE);
    must_lock(three, 51, 49, EXCLUSIVE);
    cannot_lock(three, 0, 1, EXCLUSIVE);
    CloseHandle(one);
    CloseHandle(two);
    CloseHandle(three);
}

static void closing_unlocks(void **state) {
    (void)state;
    HANDLE one = open_both("closing");
    HANDLE two = open_both("closing");
    must_lock(one, 0, 10, EXCLUSIVE);
    CloseHandle(one);
    must_lock(two, 0, 10, EXCLUSIVE);
    CloseHandle(two);
}

static void a_reading_handle_locks_exclusively_too(void **state) {
    (void)state;
    CloseHandle(open_both("by_reader"));
    HANDLE reader = open_file("by_reader", GENERIC_READ);
    HANDLE other = open_both("by_reader");
    must_lock(reader, 0, 10, SHARED);
    must_lock(reader, 10, 10, EXCLUSIVE);
    cannot_lock(other, 0, 1, EXCLUSIVE);
    cannot_lock(other, 15, 1, SHARED);
    must_unlock(reader, 0, 10);
    must_lock(other, 0, 10, EXCLUSIVE);
    must_unlock(other, 0, 10);
    must_lock(reader, 0, 10, EXCLUSIVE);
    must_unlock(reader, 10, 10);
    must_lock(other, 10, 10, EXCLUSIVE);
    CloseHandle(reader);
    must_lock(other, 0, 10, EXCLUSIVE);
    CloseHandle(other);
}

static void a_writing_handle_locks(void **state) {
    (void)state;
    CloseHandle(open_both("by_writer"));
    HANDLE writer = open_file("by_writer", GENERIC_WRITE);
    HANDLE other = open_both("by_writer");
    must_lock(writer, 0, 10, EXCLUSIVE);
    must_lock(writer, 20, 10, SHARED);
    cannot_lock(other, 0, 1, SHARED);
    must_lock(other, 20, 10, SHARED);
    cannot_lock(other, 20, 10, EXCLUSIVE);
    CloseHandle(writer);
    CloseHandle(other);
}

static void a_handle_without_data_rights_does_not_lock(void **state) {
    (void)state;
    HANDLE file = open_both("by_looker");
    HANDLE looker = open_file("by_looker", 0);
#ifndef _WIN32 /* Wine does not look */
    assert_false(lock_at(looker, 0, 1, LOCKFILE_FAIL_IMMEDIATELY));
    assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
#endif
    CloseHandle(looker);
    CloseHandle(file);
}

static void offsets_use_all_their_bits(void **state) {
    (void)state;
    static const uint64_t offsets[] = {
        (uint64_t)1 << 32, ((uint64_t)1 << 61) - 2, (uint64_t)1 << 61, (uint64_t)1 << 62,
        INT64_MAX,         (uint64_t)1 << 63,       UINT64_MAX};
    HANDLE one = open_both("bits");
    HANDLE two = open_both("bits");
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; ++i) {
        must_lock(one, offsets[i], 1, EXCLUSIVE);
        cannot_lock(two, offsets[i], 1, SHARED);
        must_lock(two, offsets[i] - 1000, 1, EXCLUSIVE);
        must_unlock(two, offsets[i] - 1000, 1);
        must_unlock(one, offsets[i], 1);
        must_lock(two, offsets[i], 1, EXCLUSIVE);
        must_unlock(two, offsets[i], 1);
    }
    must_lock(one, 0, UINT64_MAX, EXCLUSIVE); /* the whole file, as many programs say it */
    cannot_lock(two, 0, 1, SHARED);
    cannot_lock(two, UINT64_MAX - 1, 1, SHARED);
    must_unlock(one, 0, UINT64_MAX);
    /* Sharing modes are not touched by it. */
    HANDLE three = open_both("bits");
    must_lock(three, 0, UINT64_MAX, EXCLUSIVE);
    HANDLE four = open_both("bits");
    CloseHandle(one);
    CloseHandle(two);
    CloseHandle(three);
    CloseHandle(four);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    HANDLE file = open_both("arguments");
    OVERLAPPED at = {.Offset = 0};
    assert_false(LockFileEx(file, LOCKFILE_FAIL_IMMEDIATELY, 1, 1, 0, &at));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_false(UnlockFileEx(file, 1, 1, 0, &at));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
#ifndef _WIN32 /* Wine takes such a range and keeps none of it */
    assert_false(lock_at(file, UINT64_MAX, 2, LOCKFILE_FAIL_IMMEDIATELY));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
#endif
    CloseHandle(file);
}

static void lock_file_is_exclusive_and_does_not_wait(void **state) {
    (void)state;
    HANDLE one = open_both("plain");
    HANDLE two = open_both("plain");
    assert_true(LockFile(one, 0, 1, 10, 0));
    assert_false(LockFile(two, 9, 1, 1, 0));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    assert_true(LockFile(two, 10, 1, 1, 0));
    assert_true(UnlockFile(one, 0, 1, 10, 0));
    assert_false(UnlockFile(one, 0, 1, 10, 0));
    assert_int_equal(GetLastError(), NOT_LOCKED_HERE);
    CloseHandle(one);
    CloseHandle(two);
}

/* ---- Reading and writing ---- */

#ifndef _WIN32 /* Wine lets ReadFile and WriteFile pass */

static void moves_to(HANDLE file, LONG offset) {
    assert_int_equal(SetFilePointer(file, offset, NULL, FILE_BEGIN), (DWORD)offset);
}

static void an_exclusive_range_keeps_others_from_reading_and_writing(void **state) {
    (void)state;
    char bytes[20];
    DWORD done = 0;
    scratch_file("guarded", 100, 0);
    HANDLE owner = open_both("guarded");
    HANDLE other = open_both("guarded");
    must_lock(owner, 50, 10, EXCLUSIVE);
    moves_to(other, 45);
    assert_false(ReadFile(other, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    assert_int_equal(done, 0);
    assert_false(WriteFile(other, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    OVERLAPPED at = {.Offset = 59};
    assert_false(ReadFile(other, bytes, 1, &done, &at));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    at = (OVERLAPPED){.Offset = 60};
    assert_true(ReadFile(other, bytes, 1, &done, &at));
    moves_to(other, 45);
    assert_true(ReadFile(other, bytes, 5, &done, NULL));
    moves_to(owner, 45);
    assert_true(ReadFile(owner, bytes, sizeof bytes, &done, NULL));
    moves_to(owner, 45);
    assert_true(WriteFile(owner, bytes, sizeof bytes, &done, NULL));
    CloseHandle(owner);
    CloseHandle(other);
}

static void a_shared_range_keeps_everybody_from_writing(void **state) {
    (void)state;
    char byte = 'x';
    DWORD done = 0;
    scratch_file("read_together", 100, 0);
    HANDLE owner = open_both("read_together");
    HANDLE other = open_both("read_together");
    must_lock(owner, 0, 10, SHARED);
    assert_true(ReadFile(other, &byte, 1, &done, NULL));
    assert_false(WriteFile(other, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    assert_false(WriteFile(owner, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_LOCK_VIOLATION);
    moves_to(owner, 10);
    assert_true(WriteFile(owner, &byte, 1, &done, NULL));
    CloseHandle(owner);
    CloseHandle(other);
}

#endif

/* ---- Between programs ---- */

/* locker FILE: "lock OFFSET LENGTH FLAGS" and "unlock OFFSET LENGTH"; answers with the code. */
static int locker(int argc, char **argv) {
    char line[80];
    (void)argc;
    HANDLE file = CreateFileA(argv[1], GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    child_say(file == INVALID_HANDLE_VALUE ? "no" : "ready");
    while (child_hear(line, sizeof line)) {
        char *rest = strchr(line, ' ');
        if (rest == NULL) {
            return 2;
        }
        uint64_t offset = strtoull(rest, &rest, 10);
        uint64_t length = strtoull(rest, &rest, 10);
        DWORD flags = (DWORD)strtoul(rest, NULL, 10);
        BOOL done = strncmp(line, "lock", 4) == 0 ? lock_at(file, offset, length, flags)
                                                  : unlock_at(file, offset, length);
        child_say("%lu", done ? 0UL : (unsigned long)GetLastError());
    }
    return 0;
}

static void programs_exclude_each_other(void **state) {
    (void)state;
    HANDLE file = open_both("programs");
    child *other = child_start("locker", "programs", NULL);
    child_expect(other, "ready");
    child_tell(other, "lock 0 10 3");
    child_expect(other, "0");
    cannot_lock(file, 9, 1, SHARED);
    must_lock(file, 10, 1, EXCLUSIVE);
    child_tell(other, "lock 5 10 1");
    child_expect(other, "33");
    child_tell(other, "unlock 0 10");
    child_expect(other, "0");
    must_lock(file, 0, 10, EXCLUSIVE);
    CloseHandle(file);
    assert_int_equal(child_finish(other), 0);
}

static void a_killed_program_locks_nothing(void **state) {
    (void)state;
    HANDLE file = open_both("killed");
    child *other = child_start("locker", "killed", NULL);
    child_expect(other, "ready");
    child_tell(other, "lock 0 10 3");
    child_expect(other, "0");
    cannot_lock(file, 0, 1, SHARED);
    child_kill(other);
    must_lock(file, 0, 10, EXCLUSIVE);
    CloseHandle(file);
}

static void who_waits_gets_the_range_when_it_is_free(void **state) {
    (void)state;
    HANDLE file = open_both("waited_for");
    child *other = child_start("locker", "waited_for", NULL);
    child_expect(other, "ready");
    must_lock(file, 0, 10, EXCLUSIVE);
    must_lock(file, 20, 10, EXCLUSIVE);
    child_tell(other, "lock 0 30 2"); /* waits for both */
    Sleep(50);                        /* most likely it is waiting already; right either way */
    must_unlock(file, 0, 10);
    must_unlock(file, 20, 10);
    child_expect(other, "0");
    cannot_lock(file, 15, 1, SHARED);
    assert_int_equal(child_finish(other), 0);
    must_lock(file, 0, 30, EXCLUSIVE);
    CloseHandle(file);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"locker", locker}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exclusive_range_overlaps_no_other_of_its_handle),
        cmocka_unit_test(a_range_is_unlocked_exactly_as_it_was_locked),
        cmocka_unit_test(every_shared_lock_asks_for_one_unlock),
        cmocka_unit_test(a_shared_range_may_lie_over_ones_own_exclusive_one),
        cmocka_unit_test(of_two_equal_ranges_the_exclusive_one_is_unlocked_first),
        cmocka_unit_test(unlocking_one_of_two_overlapping_ranges_keeps_the_other),
        cmocka_unit_test(a_range_of_no_bytes_stands_between_two),
        cmocka_unit_test(handles_exclude_each_other),
        cmocka_unit_test(a_refused_range_leaves_none_of_its_bytes_locked),
        cmocka_unit_test(closing_unlocks),
        cmocka_unit_test(a_reading_handle_locks_exclusively_too),
        cmocka_unit_test(a_writing_handle_locks),
        cmocka_unit_test(a_handle_without_data_rights_does_not_lock),
        cmocka_unit_test(offsets_use_all_their_bits),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(lock_file_is_exclusive_and_does_not_wait),
#ifndef _WIN32
        cmocka_unit_test(an_exclusive_range_keeps_others_from_reading_and_writing),
        cmocka_unit_test(a_shared_range_keeps_everybody_from_writing),
#endif
        cmocka_unit_test(programs_exclude_each_other),
        cmocka_unit_test(a_killed_program_locks_nothing),
        cmocka_unit_test(who_waits_gets_the_range_when_it_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
