/*
 * test_conformance_files.c - CreateFile's dispositions and names, file pointers and sizes, and the
 * locks of LockFileEx among handles.
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

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SEED 21u

static outcome opens(const char *name, DWORD access, DWORD disposition, DWORD flags) {
    SetLastError(0xBEEF);
    return of_handle(CreateFileA(name, access, SHARE_ALL, NULL, disposition, flags, NULL));
}

static void each_disposition_makes_opens_or_truncates(void **state) {
    (void)state;
    static const struct {
        const char *name;
        DWORD disposition;
        DWORD missing;       /* the error, 0: made */
        DWORD existing;      /* the error, 0: opened */
        DWORD existing_last; /* the last error of a success */
        int64_t size;        /* of the file of 100 afterwards */
    } rows[] = {
        {"CREATE_NEW", CREATE_NEW, 0, ERROR_FILE_EXISTS, 0, 100},
        {"CREATE_ALWAYS", CREATE_ALWAYS, 0, 0, ERROR_ALREADY_EXISTS, 0},
        {"OPEN_EXISTING", OPEN_EXISTING, ERROR_FILE_NOT_FOUND, 0, 0, 100},
        {"OPEN_ALWAYS", OPEN_ALWAYS, 0, 0, ERROR_ALREADY_EXISTS, 100},
        {"TRUNCATE_EXISTING", TRUNCATE_EXISTING, ERROR_FILE_NOT_FOUND, 0, 0, 0},
        {"0", 0, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER, 0, 100},
        {"6", 6, ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER, 0, 100},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        row("%s, missing", rows[i].name);
        outcome got = opens("missing", RW_ACCESS, rows[i].disposition, 0);
        ask(got, rows[i].missing != 0 ? failed_with(rows[i].missing) : OK);
        if (!got.failed) {
            ask_fact("last error", GetLastError(), 0);
        }
        ask_fact("size, -1 for none", (uint64_t)scratch_size("missing"),
                 rows[i].missing != 0 ? UINT64_MAX : 0);
        remove("missing");

        scratch_file("existing", 100, SEED);
        row("%s, existing", rows[i].name);
        got = opens("existing", RW_ACCESS, rows[i].disposition, 0);
        ask(got, rows[i].existing != 0 ? failed_with(rows[i].existing) : OK);
        if (!got.failed) {
            ask_fact("last error", GetLastError(), rows[i].existing_last);
        }
        ask_fact("size", (uint64_t)scratch_size("existing"), (uint64_t)rows[i].size);
    }
    all_rows_agree();
}

static void truncating_wants_write_access_and_creating_does_not(void **state) {
    (void)state;
    scratch_file("readonly", 100, SEED);
    row("TRUNCATE_EXISTING with GENERIC_READ");
    ask_but(opens("readonly", R_ACCESS, TRUNCATE_EXISTING, 0), failed_with(ERROR_INVALID_PARAMETER),
            WINE_TRUNCATES_WITHOUT_WRITE, OK);
    scratch_file("readonly", 100, SEED);
    row("CREATE_ALWAYS with GENERIC_READ");
    ask(opens("readonly", R_ACCESS, CREATE_ALWAYS, 0), OK);
    ask_fact("size", (uint64_t)scratch_size("readonly"), 0);
    all_rows_agree();
}

static void names_lead_to_files_or_to_their_errors(void **state) {
    (void)state;
    const outcome no_file = failed_with(ERROR_FILE_NOT_FOUND);
    const outcome no_path = failed_with(ERROR_PATH_NOT_FOUND);
    row("OPEN_EXISTING in a directory that is missing");
    ask(opens("nodirectory/file", R_ACCESS, OPEN_EXISTING, 0), no_path);
    row("CREATE_NEW in a directory that is missing");
    ask(opens("nodirectory/file", RW_ACCESS, CREATE_NEW, 0), no_path);
    row("OPEN_EXISTING of \"\"");
    ask(opens("", R_ACCESS, OPEN_EXISTING, 0), no_path);
    row("OPEN_EXISTING of NULL");
    ask(opens(NULL, R_ACCESS, OPEN_EXISTING, 0), no_path);
    row("OPEN_EXISTING of a directory");
    ask(opens(".", R_ACCESS, OPEN_EXISTING, 0), failed_with(ERROR_ACCESS_DENIED));
    row("OPEN_EXISTING of a directory, FILE_FLAG_BACKUP_SEMANTICS");
    ask(opens(".", R_ACCESS, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS), OK);

    static const char *const odd[] = {"a?b", "a*b", "a\"b", "a<b", "a>b", "a|b"};
    for (size_t i = 0; i < COUNT(odd); i++) {
        row("OPEN_EXISTING of %s", odd[i]);
        ask_but(opens(odd[i], R_ACCESS, OPEN_EXISTING, 0), failed_with(ERROR_INVALID_NAME),
                KEEPMAP_ORDINARY_CHARACTERS, no_file);
    }
    row("OPEN_EXISTING of nodirectory\\file");
    ask_but(opens("nodirectory\\file", R_ACCESS, OPEN_EXISTING, 0), no_path,
            KEEPMAP_ORDINARY_CHARACTERS, no_file);
    scratch_file("Case", 1, SEED);
    row("OPEN_EXISTING of CASE where there is a file Case");
    ask_but(opens("CASE", R_ACCESS, OPEN_EXISTING, 0), OK, KEEPMAP_CASE_COUNTS, no_file);
    all_rows_agree();
}

static void the_file_pointer_goes_anywhere_but_below_zero(void **state) {
    (void)state;
    scratch_file("pointer", 100, SEED);
    HANDLE file = open_existing("pointer", RW_ACCESS, SHARE_ALL);
    LARGE_INTEGER at = {.QuadPart = 40};
    LARGE_INTEGER now = {.QuadPart = -1};
    row("SetFilePointerEx to 40");
    ask(of_bool(SetFilePointerEx(file, at, &now, FILE_BEGIN)), OK);
    ask_fact("position", (uint64_t)now.QuadPart, 40);

    row("SetFilePointerEx by -41");
    at.QuadPart = -41;
    ask(of_bool(SetFilePointerEx(file, at, &now, FILE_CURRENT)), failed_with(ERROR_NEGATIVE_SEEK));
    row("SetFilePointerEx by a bad method");
    ask(of_bool(SetFilePointerEx(file, at, &now, 3)), failed_with(ERROR_INVALID_PARAMETER));
    row("SetFilePointerEx by 0 after failures");
    at.QuadPart = 0;
    ask(of_bool(SetFilePointerEx(file, at, &now, FILE_CURRENT)), OK);
    ask_fact("position", (uint64_t)now.QuadPart, 40);

    row("SetFilePointerEx beyond the end");
    at.QuadPart = (LONGLONG)1 << 33;
    ask(of_bool(SetFilePointerEx(file, at, NULL, FILE_END)), OK);
    ask_fact("size", (uint64_t)scratch_size("pointer"), 100);

    row("SetFilePointer(-1, NULL, FILE_BEGIN)");
    SetLastError(0xBEEF);
    ask_fact("result", SetFilePointer(file, -1, NULL, FILE_BEGIN), INVALID_SET_FILE_POINTER);
    ask_fact("last error", GetLastError(), ERROR_NEGATIVE_SEEK);
    row("SetFilePointer(0xFFFFFFFF, high 0, FILE_BEGIN)");
    LONG high = 0;
    SetLastError(0xBEEF);
    ask_fact("result", SetFilePointer(file, -1, &high, FILE_BEGIN), INVALID_SET_FILE_POINTER);
    ask_fact("last error", GetLastError(), 0);
    CloseHandle(file);
    all_rows_agree();
}

static void set_end_of_file_wants_write_access(void **state) {
    (void)state;
    scratch_file("end", 100, SEED);
    HANDLE reader = open_existing("end", R_ACCESS, SHARE_ALL);
    row("SetEndOfFile, file R");
    ask_but(of_bool(SetEndOfFile(reader)), failed_with(ERROR_ACCESS_DENIED),
            WINE_SET_END_OF_FILE_CODE, failed_with(ERROR_INVALID_PARAMETER));
    CloseHandle(reader);
    HANDLE writer = open_existing("end", W_ACCESS, SHARE_ALL);
    row("SetEndOfFile to 70, file W");
    SetFilePointer(writer, 70, NULL, FILE_BEGIN);
    ask(of_bool(SetEndOfFile(writer)), OK);
    ask_fact("size", (uint64_t)scratch_size("end"), 70);
    row("SetEndOfFile to 5000, file W");
    SetFilePointer(writer, 5000, NULL, FILE_BEGIN);
    ask(of_bool(SetEndOfFile(writer)), OK);
    ask_fact("size", (uint64_t)scratch_size("end"), 5000);
    CloseHandle(writer);
    all_rows_agree();
}

static void every_file_handle_tells_the_size(void **state) {
    (void)state;
    static const DWORD accesses[] = {0, W_ACCESS, R_ACCESS, RW_ACCESS};
    scratch_file("size", 70001, SEED);
    for (size_t i = 0; i < COUNT(accesses); i++) {
        HANDLE file = open_existing("size", accesses[i], SHARE_ALL);
        LARGE_INTEGER size = {.QuadPart = -1};
        DWORD high = 1;
        row("GetFileSizeEx, file %s", file_access_name(accesses[i]));
        ask(of_bool(GetFileSizeEx(file, &size)), OK);
        ask_fact("size", (uint64_t)size.QuadPart, 70001);
        ask_fact("GetFileSize", GetFileSize(file, &high), 70001);
        ask_fact("its high half", high, 0);
        ask_fact("GetFileType", GetFileType(file), FILE_TYPE_DISK);
        CloseHandle(file);
    }
    all_rows_agree();
}

static void a_section_handle_is_no_file_handle(void **state) {
    (void)state;
    scratch_file("section", 100, SEED);
    HANDLE file = open_existing("section", RW_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READWRITE, 0);
    const outcome bad = failed_with(ERROR_INVALID_HANDLE);
    LARGE_INTEGER value = {.QuadPart = 0};
    row("GetFileSizeEx of a section");
    ask_but(of_bool(GetFileSizeEx(section, &value)), bad, WINE_SECTION_AS_FILE, OK);
    row("SetFilePointerEx of a section");
    value.QuadPart = 0;
    ask_but(of_bool(SetFilePointerEx(section, value, NULL, FILE_BEGIN)), bad, WINE_SECTION_AS_FILE,
            OK);
    row("GetFileType of a section");
    SetLastError(0);
    DWORD type = GetFileType(section);
    ask_but(type == FILE_TYPE_UNKNOWN ? failed_with(GetLastError()) : OK, bad, WINE_SECTION_AS_FILE,
            OK);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
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

static outcome reads(HANDLE file, DWORD offset) {
    unsigned char byte = 0;
    DWORD done = 0;
    OVERLAPPED at = {.Offset = offset};
    return of_bool(ReadFile(file, &byte, 1, &done, &at));
}

static outcome writes(HANDLE file, DWORD offset) {
    unsigned char byte = scratch_byte(offset, SEED);
    DWORD done = 0;
    OVERLAPPED at = {.Offset = offset};
    return of_bool(WriteFile(file, &byte, 1, &done, &at));
}

static void locks_conflict_among_handles(void **state) {
    (void)state;
    const outcome held = failed_with(ERROR_LOCK_VIOLATION);
    scratch_file("lock", 1000, SEED);
    HANDLE one = open_existing("lock", RW_ACCESS, SHARE_ALL);
    HANDLE other = open_existing("lock", RW_ACCESS, SHARE_ALL);
    row("exclusive lock of a free range");
    ask(locks(one, 100, 50, LOCKFILE_EXCLUSIVE_LOCK), OK);
    row("exclusive lock of a range that another handle holds");
    ask(locks(other, 149, 1, LOCKFILE_EXCLUSIVE_LOCK), held);
    row("shared lock of a range that another handle holds");
    ask(locks(other, 90, 11, 0), held);
    row("exclusive lock beside it");
    ask(locks(other, 150, 10, LOCKFILE_EXCLUSIVE_LOCK), OK);
    row("exclusive lock of a range that the same handle holds");
    ask(locks(one, 100, 50, LOCKFILE_EXCLUSIVE_LOCK), held);

    row("ReadFile of a range that another handle has locked");
    ask_but(reads(other, 100), held, WINE_PASSES_LOCKS, OK);
    row("WriteFile into a range that another handle has locked");
    ask_but(writes(other, 100), held, WINE_PASSES_LOCKS, OK);
    row("ReadFile of a range that the same handle has locked");
    ask(reads(one, 100), OK);
    HANDLE section = section_of(other, PAGE_READWRITE, 0);
    const unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    row("view of a range that another handle has locked");
    ask_fact("mapped", view != NULL, 1);
    ask_fact("byte 100", view != NULL ? view[100] : 0, scratch_byte(100, SEED));
    UnmapViewOfFile(view);
    CloseHandle(section);

    row("unlock of half a range");
    ask_but(unlocks(one, 100, 25), failed_with(ERROR_NOT_LOCKED), WINE_NOT_LOCKED_CODE, held);
    row("unlock of another handle's range");
    ask_but(unlocks(other, 100, 50), failed_with(ERROR_NOT_LOCKED), WINE_NOT_LOCKED_CODE, held);
    row("unlock");
    ask(unlocks(one, 100, 50), OK);
    row("unlock once more");
    ask_but(unlocks(one, 100, 50), failed_with(ERROR_NOT_LOCKED), WINE_NOT_LOCKED_CODE, held);
    row("shared locks by two handles");
    ask(locks(one, 100, 50, 0), OK);
    ask(locks(other, 100, 50, 0), OK);
    CloseHandle(other);
    row("exclusive lock of what another handle's shared lock, since closed, held");
    ask(unlocks(one, 100, 50), OK);
    ask(locks(one, 100, 100, LOCKFILE_EXCLUSIVE_LOCK), OK);
    CloseHandle(one);
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_disposition_makes_opens_or_truncates),
        cmocka_unit_test(truncating_wants_write_access_and_creating_does_not),
        cmocka_unit_test(names_lead_to_files_or_to_their_errors),
        cmocka_unit_test(the_file_pointer_goes_anywhere_but_below_zero),
        cmocka_unit_test(set_end_of_file_wants_write_access),
        cmocka_unit_test(every_file_handle_tells_the_size),
        cmocka_unit_test(a_section_handle_is_no_file_handle),
        cmocka_unit_test(locks_conflict_among_handles),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
