/*
 * test_processes.c - two processes and one file: sharing modes, mapped files, lifetimes and locks,
 * and what is left of them when a process is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/child.h"
#include "support/conformance.h"
#include "support/scratch.h"
#include "support/sharing_rules.h"

#define SEED 44u

/* ---- Roles ---- */

/* keeper NAME: opens the file in each mode it is told, until told the next. */
static int keeper(int argc, char **argv) {
    (void)argc;
    char line[32];
    HANDLE file = INVALID_HANDLE_VALUE;
    while (child_hear(line, sizeof line)) {
        unsigned mode = (unsigned)strtoul(line, NULL, 10);
        CloseHandle(file);
        file = CreateFileA(argv[1], sharing_access(mode), sharing_share(mode), NULL, OPEN_EXISTING,
                           0, NULL);
        child_say(file != INVALID_HANDLE_VALUE ? "open" : "refused");
    }
    return 0;
}

/*
 * mapper NAME PROTECTION WHAT: keeps the file mapped by what the letters of WHAT name, f file,
 * s section, v view; the others are closed.
 */
static int mapper(int argc, char **argv) {
    (void)argc;
    DWORD protection = (DWORD)strtoul(argv[2], NULL, 10);
    bool writable = protection == PAGE_READWRITE;
    HANDLE file = CreateFileA(argv[1], RW_ACCESS, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, protection, 0, 0, NULL);
    unsigned char *view = NULL;
    if (strchr(argv[3], 'v') != NULL) {
        view = MapViewOfFile(section, writable ? FILE_MAP_WRITE : FILE_MAP_READ, 0, 0, 0);
    }
    bool mapped = section != NULL && (view != NULL || strchr(argv[3], 'v') == NULL);
    if (strchr(argv[3], 'f') == NULL) {
        CloseHandle(file);
    }
    if (strchr(argv[3], 's') == NULL) {
        CloseHandle(section);
    }
    child_say(mapped ? "mapped" : "failed");

    char line[32];
    while (child_hear(line, sizeof line) && view != NULL) {
        if (strcmp(line, "store") == 0) {
            view[1] = 0x5A;
            child_say("stored");
        } else {
            child_say("byte %u", view[strtoul(line, NULL, 10)]);
        }
    }
    return 0;
}

/* cutter NAME SIZE: tries to set the file's end; says the error. */
static int cutter(int argc, char **argv) {
    (void)argc;
    HANDLE file = CreateFileA(argv[1], RW_ACCESS, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    SetFilePointer(file, (LONG)strtol(argv[2], NULL, 10), NULL, FILE_BEGIN);
    child_say("%u", SetEndOfFile(file) ? 0U : (unsigned)GetLastError());
    CloseHandle(file);
    return 0;
}

/* locker NAME OFFSET LENGTH FLAGS: locks, says the error, holds until told to unlock. */
static int locker(int argc, char **argv) {
    (void)argc;
    HANDLE file = CreateFileA(argv[1], RW_ACCESS, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    OVERLAPPED at = {.Offset = (DWORD)strtoul(argv[2], NULL, 10)};
    DWORD length = (DWORD)strtoul(argv[3], NULL, 10);
    DWORD flags = (DWORD)strtoul(argv[4], NULL, 10);
    child_say("%u", LockFileEx(file, flags, 0, length, 0, &at) ? 0U : (unsigned)GetLastError());
    char line[32];
    if (child_hear(line, sizeof line)) {
        child_say("%u", UnlockFileEx(file, 0, length, 0, &at) ? 0U : (unsigned)GetLastError());
        child_hear(line, sizeof line);
    }
    return 0;
}

static const child_role roles[] = {
    {"keeper", keeper}, {"mapper", mapper}, {"cutter", cutter}, {"locker", locker}, {NULL, NULL}};

/* ---- Sharing ---- */

static outcome opens(const char *name, DWORD access, DWORD share, DWORD disposition) {
    return of_handle(CreateFileA(name, access, share, NULL, disposition, 0, NULL));
}

static void every_pair_of_processes_shares_or_not(void **state) {
    (void)state;
    scratch_file("pairs", 100, SEED);
    child *other = child_start("keeper", "pairs", NULL);
    for (unsigned first = 0; first < SHARING_MODES; first++) {
        char line[16];
        snprintf(line, sizeof line, "%u", first);
        child_tell(other, line);
        child_expect(other, "open");
        for (unsigned second = 0; second < SHARING_MODES; second++) {
            row("file %s of another process", sharing_pair_name(first, second));
            ask(opens("pairs", sharing_access(second), sharing_share(second), OPEN_EXISTING),
                sharing_allows(first, second) ? OK : failed_with(ERROR_SHARING_VIOLATION));
        }
    }
    assert_int_equal(child_finish(other), 0);
    all_rows_agree();
}

static void a_killed_process_bars_nobody(void **state) {
    (void)state;
    scratch_file("barred", 100, SEED);
    child *other = child_start("keeper", "barred", NULL);
    child_tell(other, "56"); /* every access, sharing nothing */
    child_expect(other, "open");
    row("open R beside an exclusive handle of another process");
    ask(opens("barred", R_ACCESS, SHARE_ALL, OPEN_EXISTING), failed_with(ERROR_SHARING_VIOLATION));
    child_kill(other);
    row("open R|W, exclusive, after its process was killed");
    ask(opens("barred", RW_ACCESS, 0, OPEN_EXISTING), OK);
    all_rows_agree();
}

/* ---- Mapped files ---- */

static outcome sets_end(const char *name, DWORD size) {
    HANDLE file = open_existing(name, RW_ACCESS, SHARE_ALL);
    SetFilePointer(file, (LONG)size, NULL, FILE_BEGIN);
    outcome result = of_bool(SetEndOfFile(file));
    CloseHandle(file);
    return result;
}

static child *start_mapper(const char *name, const char *protection, const char *what) {
    child *other = child_start("mapper", name, protection, what, NULL);
    child_expect(other, "mapped");
    return other;
}

/* Whatever keeps it mapped, the file keeps its bytes; killed, its keeper keeps nothing. */
static void ask_cutting(const char *what, const char *what_name) {
    scratch_file("mapped", 100000, SEED);
    child *other = start_mapper("mapped", "4", what);
    const outcome mapped = failed_with(ERROR_USER_MAPPED_FILE);
    row("SetEndOfFile to less beside another process's %s", what_name);
    ask(sets_end("mapped", 99999), mapped);
    row("CREATE_ALWAYS beside another process's %s", what_name);
    ask(opens("mapped", RW_ACCESS, SHARE_ALL, CREATE_ALWAYS), mapped);
    row("TRUNCATE_EXISTING beside another process's %s", what_name);
    ask(opens("mapped", RW_ACCESS, SHARE_ALL, TRUNCATE_EXISTING), mapped);
    ask_fact("size", (uint64_t)scratch_size("mapped"), 100000);
    row("SetEndOfFile to more beside another process's %s", what_name);
    ask(sets_end("mapped", 100001), OK);
    child_kill(other);
    row("SetEndOfFile to less after the process with the %s was killed", what_name);
    ask(sets_end("mapped", 10), OK);
    ask_fact("size", (uint64_t)scratch_size("mapped"), 10);
}

static void another_process_cannot_cut_what_is_mapped(void **state) {
    (void)state;
    ask_cutting("fsv", "file, section and view");
    ask_cutting("s", "section alone");
    ask_cutting("v", "view alone");
    all_rows_agree();
}

static void a_child_cannot_cut_what_its_parent_maps(void **state) {
    (void)state;
    scratch_file("parent", 100000, SEED);
    HANDLE file = open_existing("parent", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    CloseHandle(file);
    child *other = child_start("cutter", "parent", "5000", NULL);
    child_expect(other, "1224");
    assert_int_equal(child_finish(other), 0);
    CloseHandle(section);
    other = child_start("cutter", "parent", "5000", NULL);
    child_expect(other, "0");
    assert_int_equal(child_finish(other), 0);
    assert_int_equal(scratch_size("parent"), 5000);
}

static void a_process_that_ends_well_leaves_nothing_mapped(void **state) {
    (void)state;
    scratch_file("exits", 100000, SEED);
    child *other = start_mapper("exits", "4", "v");
    assert_int_equal(child_finish(other), 0); /* it unmaps nothing */
    row("SetEndOfFile after the mapping process has exited");
    ask(sets_end("exits", 10), OK);
    all_rows_agree();
}

static void a_view_alone_imposes_its_sections_sharing(void **state) {
    (void)state;
    const outcome refused = failed_with(ERROR_SHARING_VIOLATION);
    scratch_file("imposed", 5000, SEED);
    child *other = start_mapper("imposed", "4", "v");
    row("open R sharing READ beside another process's PAGE_READWRITE view");
    ask(opens("imposed", R_ACCESS, FILE_SHARE_READ, OPEN_EXISTING), refused);
    row("open R sharing WRITE beside another process's PAGE_READWRITE view");
    ask(opens("imposed", R_ACCESS, FILE_SHARE_WRITE, OPEN_EXISTING), OK);
    child_kill(other);
    row("open R sharing nothing after its process was killed");
    ask(opens("imposed", R_ACCESS, 0, OPEN_EXISTING), OK);

    other = start_mapper("imposed", "2", "sv");
    row("open R|W sharing nothing beside another process's PAGE_READONLY section and view");
    ask(opens("imposed", RW_ACCESS, 0, OPEN_EXISTING), OK);
    assert_int_equal(child_finish(other), 0);
    all_rows_agree();
}

static void another_process_cannot_delete_or_replace_what_is_mapped(void **state) {
    (void)state;
    const outcome denied = failed_with(ERROR_ACCESS_DENIED);
    scratch_file("kept", 5000, SEED);
    scratch_file("new", 100, SEED);
    child *other = start_mapper("kept", "4", "v");
    row("MoveFileEx over a file beside another process's view");
    ask(of_bool(MoveFileExA("new", "kept", MOVEFILE_REPLACE_EXISTING)), denied);
    ask_fact("size", (uint64_t)scratch_size("kept"), 5000);
    row("DeleteFile beside another process's view");
    ask_but(of_bool(DeleteFileA("kept")), denied, WINE_DELETES_MAPPED, OK);
    ask_fact("size", (uint64_t)scratch_size("kept"), 5000);
    child_kill(other);
    if (conformance_where() != WINE) {
        row("DeleteFile after the mapping process was killed");
        ask(of_bool(DeleteFileA("kept")), OK);
    }
    all_rows_agree();
}

static void two_processes_see_each_others_stores(void **state) {
    (void)state;
    scratch_file("shared", 5000, SEED);
    child *other = start_mapper("shared", "4", "v");
    HANDLE file = open_existing("shared", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    child_tell(other, "store");
    child_expect(other, "stored");
    assert_int_equal(view[1], 0x5A);
    view[2] = 0xA5;
    child_tell(other, "2");
    child_expect(other, "byte 165");
    view[3] = 0x11;
    child_kill(other);
    assert_int_equal(view[1], 0x5A); /* a killed process's stores stay */
    assert_true(UnmapViewOfFile(view));
    CloseHandle(section);
    CloseHandle(file);
}

/* ---- Locks ---- */

static outcome locks(HANDLE file, DWORD offset, DWORD length, DWORD flags) {
    OVERLAPPED at = {.Offset = offset};
    return of_bool(LockFileEx(file, flags | LOCKFILE_FAIL_IMMEDIATELY, 0, length, 0, &at));
}

static outcome unlocks(HANDLE file, DWORD offset, DWORD length) {
    OVERLAPPED at = {.Offset = offset};
    return of_bool(UnlockFileEx(file, 0, length, 0, &at));
}

static void locks_hold_among_processes(void **state) {
    (void)state;
    const outcome held = failed_with(ERROR_LOCK_VIOLATION);
    scratch_file("locked", 1000, SEED);
    child *other = child_start("locker", "locked", "100", "50", "2", NULL);
    child_expect(other, "0");
    HANDLE file = open_existing("locked", RW_ACCESS, SHARE_ALL);
    row("exclusive lock of what another process has locked");
    ask(locks(file, 149, 1, LOCKFILE_EXCLUSIVE_LOCK), held);
    row("shared lock of what another process has locked");
    ask(locks(file, 0, 101, 0), held);
    row("exclusive lock beside what another process has locked");
    ask(locks(file, 150, 850, LOCKFILE_EXCLUSIVE_LOCK), OK);
    child_tell(other, "unlock");
    child_expect(other, "0");
    row("exclusive lock of what another process has unlocked");
    ask(locks(file, 100, 50, LOCKFILE_EXCLUSIVE_LOCK), OK);
    ask(unlocks(file, 100, 50), OK);
    assert_int_equal(child_finish(other), 0);
    CloseHandle(file);
    all_rows_agree();
}

static void a_killed_process_holds_no_lock(void **state) {
    (void)state;
    scratch_file("lockkill", 1000, SEED);
    child *other = child_start("locker", "lockkill", "0", "1000", "2", NULL);
    child_expect(other, "0");
    HANDLE file = open_existing("lockkill", RW_ACCESS, SHARE_ALL);
    row("lock of what another process has locked");
    ask(locks(file, 500, 1, 0), failed_with(ERROR_LOCK_VIOLATION));
    child_kill(other);
    row("lock of what a killed process had locked");
    ask(locks(file, 0, 1000, LOCKFILE_EXCLUSIVE_LOCK), OK);
    CloseHandle(file);
    all_rows_agree();
}

static void a_waiting_lock_is_given_when_its_holder_dies(void **state) {
    (void)state;
    scratch_file("wait", 1000, SEED);
    child *holder = child_start("locker", "wait", "0", "10", "2", NULL);
    child_expect(holder, "0");
    child *waiter = child_start("locker", "wait", "0", "10", "2", NULL);
    child_kill(holder);
    child_expect(waiter, "0"); /* waited, or came late: either way it has the lock */
    HANDLE file = open_existing("wait", RW_ACCESS, SHARE_ALL);
    row("lock of what the waiting process was given");
    ask(locks(file, 0, 10, LOCKFILE_EXCLUSIVE_LOCK), failed_with(ERROR_LOCK_VIOLATION));
    CloseHandle(file);
    child_kill(waiter);
    all_rows_agree();
}

int main(int argc, char **argv) {
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_processes_shares_or_not),
        cmocka_unit_test(a_killed_process_bars_nobody),
        cmocka_unit_test(another_process_cannot_cut_what_is_mapped),
        cmocka_unit_test(a_child_cannot_cut_what_its_parent_maps),
        cmocka_unit_test(a_process_that_ends_well_leaves_nothing_mapped),
        cmocka_unit_test(a_view_alone_imposes_its_sections_sharing),
        cmocka_unit_test(another_process_cannot_delete_or_replace_what_is_mapped),
        cmocka_unit_test(two_processes_see_each_others_stores),
        cmocka_unit_test(locks_hold_among_processes),
        cmocka_unit_test(a_killed_process_holds_no_lock),
        cmocka_unit_test(a_waiting_lock_is_given_when_its_holder_dies),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
