/*
 * test_conformance_sharing.c - sharing modes between handles, and what a mapped file may not
 * suffer: to be cut short, deleted, or replaced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/conformance.h"
#include "support/scratch.h"
#include "support/sharing_rules.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SEED 33u

static void every_pair_of_handles_shares_or_not(void **state) {
    (void)state;
    scratch_file("pairs", 100, SEED);
    for (unsigned first = 0; first < SHARING_MODES; first++) {
        HANDLE holder = open_existing("pairs", sharing_access(first), sharing_share(first));
        for (unsigned second = 0; second < SHARING_MODES; second++) {
            row("file %s", sharing_pair_name(first, second));
            ask(of_handle(CreateFileA("pairs", sharing_access(second), sharing_share(second), NULL,
                                      OPEN_EXISTING, 0, NULL)),
                sharing_allows(first, second) ? OK : failed_with(ERROR_SHARING_VIOLATION));
        }
        CloseHandle(holder);
    }
    all_rows_agree();
}

/* ---- Who holds the file mapped ---- */

typedef enum holder { SMALL_SECTION, SECTION, VIEW, READ_ONLY_VIEW, COPY_VIEW, HOLDERS } holder;

static const char *const holder_names[] = {"a section of 4 bytes", "a section", "a view",
                                           "a read-only view", "a COPY view"};

typedef struct hold {
    HANDLE section;
    void *view;
} hold;

/* Keeps the file mapped with no handle to the file left. */
static hold hold_mapped(const char *name, holder kind) {
    static const DWORD protections[] = {PAGE_READONLY, PAGE_READONLY, PAGE_READWRITE, PAGE_READONLY,
                                        PAGE_WRITECOPY};
    static const DWORD accesses[] = {0, 0, FILE_MAP_WRITE, FILE_MAP_READ, FILE_MAP_COPY};
    HANDLE file = open_existing(name, RW_ACCESS, SHARE_ALL);
    hold held = {.section = section_of(file, protections[kind], kind == SMALL_SECTION ? 4 : 0)};
    CloseHandle(file);
    if (kind >= VIEW) {
        held.view = MapViewOfFile(held.section, accesses[kind], 0, 0, 0);
        assert_non_null(held.view);
        CloseHandle(held.section);
        held.section = NULL;
    }
    return held;
}

static void let_go(hold *held) {
    if (held->section != NULL) {
        CloseHandle(held->section);
    }
    if (held->view != NULL) {
        UnmapViewOfFile(held->view);
    }
}

static outcome sets_end(const char *name, DWORD size) {
    HANDLE file = open_existing(name, RW_ACCESS, SHARE_ALL);
    SetFilePointer(file, (LONG)size, NULL, FILE_BEGIN);
    outcome result = of_bool(SetEndOfFile(file));
    CloseHandle(file);
    return result;
}

static outcome opens(const char *name, DWORD access, DWORD share, DWORD disposition) {
    return of_handle(CreateFileA(name, access, share, NULL, disposition, 0, NULL));
}

static void a_mapped_file_is_not_cut_short(void **state) {
    (void)state;
    const outcome mapped = failed_with(ERROR_USER_MAPPED_FILE);
    for (unsigned kind = 0; kind < HOLDERS; kind++) {
        const char *who = holder_names[kind];
        scratch_file("cut", 100000, SEED);
        hold held = hold_mapped("cut", (holder)kind);
        row("SetEndOfFile to one byte less beside %s", who);
        ask(sets_end("cut", 99999), mapped);
        row("SetEndOfFile to 0 beside %s", who);
        ask(sets_end("cut", 0), mapped);
        row("CREATE_ALWAYS beside %s", who);
        ask(opens("cut", RW_ACCESS, SHARE_ALL, CREATE_ALWAYS), mapped);
        row("TRUNCATE_EXISTING beside %s", who);
        ask(opens("cut", RW_ACCESS, SHARE_ALL, TRUNCATE_EXISTING), mapped);
        row("after attempts to cut the file beside %s", who);
        ask_fact("size", (uint64_t)scratch_size("cut"), 100000);

        row("OPEN_ALWAYS beside %s", who);
        ask(opens("cut", RW_ACCESS, SHARE_ALL, OPEN_ALWAYS), OK);
        row("OPEN_EXISTING beside %s", who);
        ask(opens("cut", RW_ACCESS, SHARE_ALL, OPEN_EXISTING), OK);
        row("SetEndOfFile to the same size beside %s", who);
        ask(sets_end("cut", 100000), OK);
        row("SetEndOfFile to more beside %s", who);
        ask(sets_end("cut", 100010), OK);
        row("SetEndOfFile back again beside %s", who);
        ask(sets_end("cut", 100000), mapped);

        let_go(&held);
        row("SetEndOfFile after %s is gone", who);
        ask(sets_end("cut", 10), OK);
        row("CREATE_ALWAYS after %s is gone", who);
        ask(opens("cut", RW_ACCESS, SHARE_ALL, CREATE_ALWAYS), OK);
        ask_fact("size", (uint64_t)scratch_size("cut"), 0);
    }
    all_rows_agree();
}

static void appending_beside_a_view_is_allowed(void **state) {
    (void)state;
    scratch_file("append", 5000, SEED);
    hold held = hold_mapped("append", VIEW);
    HANDLE file = open_existing("append", RW_ACCESS, SHARE_ALL);
    SetFilePointer(file, 0, NULL, FILE_END);
    DWORD done = 0;
    row("WriteFile at the end of a mapped file");
    ask(of_bool(WriteFile(file, "more", 4, &done, NULL)), OK);
    ask_fact("size", (uint64_t)scratch_size("append"), 5004);
    CloseHandle(file);
    let_go(&held);
    all_rows_agree();
}

static void a_section_shares_as_its_protection_says(void **state) {
    (void)state;
    static const struct {
        DWORD protection;
        bool writable;
    } rows[] = {{PAGE_READONLY, false}, {PAGE_WRITECOPY, false}, {PAGE_READWRITE, true}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *name = protection_name(rows[i].protection);
        scratch_file("imposed", 5000, SEED);
        HANDLE file = open_existing("imposed", RW_ACCESS, 0); /* exclusive */
        HANDLE section = section_of(file, rows[i].protection, 0);
        CloseHandle(file);
        const outcome refused = failed_with(ERROR_SHARING_VIOLATION);
        row("open R sharing READ beside a section %s", name);
        ask(opens("imposed", R_ACCESS, FILE_SHARE_READ, OPEN_EXISTING),
            rows[i].writable ? refused : OK);
        row("open R sharing nothing beside a section %s", name);
        ask(opens("imposed", R_ACCESS, 0, OPEN_EXISTING), rows[i].writable ? refused : OK);
        row("open R|W sharing WRITE beside a section %s", name);
        ask(opens("imposed", RW_ACCESS, FILE_SHARE_WRITE, OPEN_EXISTING), OK);

        void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
        CloseHandle(section);
        row("open R sharing READ beside a view alone, section %s", name);
        ask(opens("imposed", R_ACCESS, FILE_SHARE_READ, OPEN_EXISTING),
            rows[i].writable ? refused : OK);
        UnmapViewOfFile(view);
        row("open R|W sharing nothing after a section %s", name);
        ask(opens("imposed", RW_ACCESS, 0, OPEN_EXISTING), OK);
    }
    all_rows_agree();
}

static void a_mapped_file_is_not_deleted(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < HOLDERS; kind++) {
        scratch_file("undeleted", 5000, SEED);
        hold held = hold_mapped("undeleted", (holder)kind);
        row("DeleteFile beside %s", holder_names[kind]);
        ask_but(of_bool(DeleteFileA("undeleted")), failed_with(ERROR_ACCESS_DENIED),
                WINE_DELETES_MAPPED, OK);
        ask_fact("size", (uint64_t)scratch_size("undeleted"), 5000);
        let_go(&held);
        row("DeleteFile after %s is gone", holder_names[kind]);
        ask(of_bool(DeleteFileA("undeleted")),
            conformance_where() == WINE ? failed_with(ERROR_FILE_NOT_FOUND) : OK);
    }
    all_rows_agree();
}

static void a_file_is_deleted_only_if_its_handles_share_it(void **state) {
    (void)state;
    scratch_file("handles", 100, SEED);
    HANDLE file = open_existing("handles", R_ACCESS, FILE_SHARE_READ | FILE_SHARE_WRITE);
    row("DeleteFile beside a handle without FILE_SHARE_DELETE");
    ask(of_bool(DeleteFileA("handles")), failed_with(ERROR_SHARING_VIOLATION));
    row("MoveFileEx beside a handle without FILE_SHARE_DELETE");
    ask(of_bool(MoveFileExA("handles", "moved", 0)), failed_with(ERROR_SHARING_VIOLATION));
    CloseHandle(file);

    file = open_existing("handles", R_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READONLY, 0);
    row("MoveFileEx of a mapped file whose handles share DELETE");
    ask(of_bool(MoveFileExA("handles", "moved", 0)), OK);
    ask_fact("size under the new name", (uint64_t)scratch_size("moved"), 100);
    CloseHandle(section);
    CloseHandle(file);
    row("MoveFileEx of a missing file");
    ask(of_bool(MoveFileExA("handles", "other", 0)), failed_with(ERROR_FILE_NOT_FOUND));
    row("DeleteFile of a missing file");
    ask(of_bool(DeleteFileA("handles")), failed_with(ERROR_FILE_NOT_FOUND));
    scratch_file("taken", 1, SEED);
    row("MoveFileEx onto an existing file without MOVEFILE_REPLACE_EXISTING");
    ask(of_bool(MoveFileExA("moved", "taken", 0)), failed_with(ERROR_ALREADY_EXISTS));
    all_rows_agree();
}

static outcome moves_over(const char *target) {
    scratch_file("new", 50, SEED + 1);
    return of_bool(MoveFileExA("new", target, MOVEFILE_REPLACE_EXISTING));
}

static void what_is_in_use_is_not_moved_over(void **state) {
    (void)state;
    const outcome denied = failed_with(ERROR_ACCESS_DENIED);
    scratch_file("target", 100, SEED);
    HANDLE file = open_existing("target", R_ACCESS, SHARE_ALL);
    row("MoveFileEx over a file that is open, sharing DELETE");
    ask(moves_over("target"), denied);
    CloseHandle(file);
    for (unsigned kind = 0; kind < HOLDERS; kind++) {
        scratch_file("target", 100, SEED);
        hold held = hold_mapped("target", (holder)kind);
        row("MoveFileEx over a file beside %s", holder_names[kind]);
        ask(moves_over("target"), denied);
        ask_fact("size of the target", (uint64_t)scratch_size("target"), 100);
        let_go(&held);
        row("MoveFileEx over a file after %s is gone", holder_names[kind]);
        ask(moves_over("target"), OK);
        ask_fact("size of the target", (uint64_t)scratch_size("target"), 50);
    }
    all_rows_agree();
}

static void replace_file_moves_a_mapped_target_to_its_backup(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < HOLDERS; kind++) {
        scratch_file("replaced", 100, SEED);
        scratch_file("replacement", 50, SEED + 1);
        hold held = hold_mapped("replaced", (holder)kind);
        row("ReplaceFile with a backup name beside %s", holder_names[kind]);
        ask(of_bool(ReplaceFileA("replaced", "replacement", "backup", 0, NULL, NULL)), OK);
        ask_fact("size of the replaced", (uint64_t)scratch_size("replaced"), 50);
        ask_fact("size of the backup", (uint64_t)scratch_size("backup"), 100);
        ask_fact("size of the replacement, none", (uint64_t)scratch_size("replacement"),
                 UINT64_MAX);
        if (held.view != NULL) {
            ask_fact("byte 99 of the view", ((unsigned char *)held.view)[99],
                     scratch_byte(99, SEED));
        }
        let_go(&held);
        scratch_remove("backup");
    }
    scratch_file("replaced", 100, SEED);
    scratch_file("replacement", 50, SEED + 1);
    HANDLE file = open_existing("replaced", R_ACCESS, FILE_SHARE_READ | FILE_SHARE_WRITE);
    row("ReplaceFile over a handle without FILE_SHARE_DELETE");
    ask(of_bool(ReplaceFileA("replaced", "replacement", "backup", 0, NULL, NULL)),
        failed_with(ERROR_SHARING_VIOLATION));
    ask_fact("size of the replaced", (uint64_t)scratch_size("replaced"), 100);
    ask_fact("size of the replacement", (uint64_t)scratch_size("replacement"), 50);
    CloseHandle(file);
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_handles_shares_or_not),
        cmocka_unit_test(a_mapped_file_is_not_cut_short),
        cmocka_unit_test(appending_beside_a_view_is_allowed),
        cmocka_unit_test(a_section_shares_as_its_protection_says),
        cmocka_unit_test(a_mapped_file_is_not_deleted),
        cmocka_unit_test(a_file_is_deleted_only_if_its_handles_share_it),
        cmocka_unit_test(what_is_in_use_is_not_moved_over),
        cmocka_unit_test(replace_file_moves_a_mapped_target_to_its_backup),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
