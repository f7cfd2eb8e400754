/*
 * test_conformance_names.c - the conformance table's sections 1, 2 and 4 for names: what is a valid
 * one, which are the same, what a name already taken gives, and what an opened handle may do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/conformance.h"
#include "support/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SIZE 5000u

/* A name that no other program has: `format` with this process and a number. Valid until the fourth
 * next call. */
static const char *unique(const char *format) {
    static char names[4][64];
    static unsigned next;
    char *name = names[next++ % COUNT(names)];
    char tail[32];
    (void)snprintf(tail, sizeof tail, "km%lu.%u", (unsigned long)GetCurrentProcessId(), next);
    (void)snprintf(name, sizeof names[0], "%s%s", format, tail);
    return name;
}

static HANDLE create(const char *name, DWORD protection, DWORD size) {
    return CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, protection, 0, size, name);
}

static HANDLE must_create(const char *name, DWORD protection, DWORD size) {
    HANDLE section = create(name, protection, size);
    assert_non_null(section);
    return section;
}

static void *map(HANDLE section, DWORD access, SIZE_T length) {
    return MapViewOfFile(section, access, 0, 0, length);
}

/* What mapping with this access comes to: the page protection or the error. */
static outcome view_outcome(HANDLE section, DWORD access) {
    void *view = map(section, access, 0);
    if (view == NULL) {
        return failed_with(GetLastError());
    }
    outcome got = succeeded_with(protection_at(view));
    UnmapViewOfFile(view);
    return got;
}

/* ---- Valid names ---- */

static void names_are_judged_the_same_by_create_and_open(void **state) {
    (void)state;
    static const struct {
        const char *name;
        DWORD error; /* 0: valid */
    } rows[] = {
        {"a\\b", ERROR_PATH_NOT_FOUND},        {"x\\", ERROR_PATH_NOT_FOUND},
        {"Local\\a\\b", ERROR_PATH_NOT_FOUND}, {"C:\\x", ERROR_PATH_NOT_FOUND},
        {"local\\x", ERROR_PATH_NOT_FOUND},    {"global\\x", ERROR_PATH_NOT_FOUND},
        {"LOCAL\\x", ERROR_PATH_NOT_FOUND},    {"\\x", ERROR_BAD_PATHNAME},
        {"Local\\", ERROR_INVALID_NAME},       {"Global\\", ERROR_INVALID_NAME},
        {"Local", ERROR_INVALID_HANDLE},       {"Global", ERROR_INVALID_HANDLE},
    };
    for (size_t i = 0; i < COUNT(rows); ++i) {
        WCHAR wide[64];
        assert_true(MultiByteToWideChar(CP_UTF8, 0, rows[i].name, -1, wide, (int)COUNT(wide)) > 0);
        row("CreateFileMappingA \"%s\"", rows[i].name);
        ask(of_handle(create(rows[i].name, PAGE_READWRITE, SIZE)), failed_with(rows[i].error));
        row("CreateFileMappingW \"%s\"", rows[i].name);
        ask(of_handle(
                CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SIZE, wide)),
            failed_with(rows[i].error));
        row("OpenFileMappingA \"%s\"", rows[i].name);
        ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, rows[i].name)),
            failed_with(rows[i].error));
        row("OpenFileMappingW \"%s\"", rows[i].name);
        ask(of_handle(OpenFileMappingW(FILE_MAP_READ, FALSE, wide)), failed_with(rows[i].error));
    }
    all_rows_agree();
}

static void ordinary_characters_make_names(void **state) {
    (void)state;
    static const char *const odd[] = {"/", ":", "*", "?", ".", " ", "\xC3\xA9", "NUL", "a/b:c*d?"};
    for (size_t i = 0; i < COUNT(odd); ++i) {
        const char *name = unique(odd[i]);
        HANDLE section = must_create(name, PAGE_READWRITE, SIZE);
        row("OpenFileMapping \"%s\"", name);
        ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), OK);
        CloseHandle(section);
    }
    all_rows_agree();
}

static void opening_needs_a_name_that_is_there(void **state) {
    (void)state;
    row("OpenFileMappingA(NULL)");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, NULL)),
        failed_with(ERROR_INVALID_PARAMETER));
    row("OpenFileMappingW(NULL)");
    ask(of_handle(OpenFileMappingW(FILE_MAP_READ, FALSE, NULL)),
        failed_with(ERROR_INVALID_PARAMETER));
    row("OpenFileMappingA(\"\")"); /* not verified on Windows */
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, "")), failed_with(ERROR_INVALID_HANDLE));
    row("OpenFileMappingA of a missing name");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, unique("missing"))),
        failed_with(ERROR_FILE_NOT_FOUND));
    row("OpenFileMappingA of a missing global name");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, unique("Global\\missing"))),
        failed_with(ERROR_FILE_NOT_FOUND));
    all_rows_agree();
}

static void two_unnamed_sections_are_two(void **state) {
    (void)state;
    static const char *const names[] = {NULL, ""};
    for (size_t i = 0; i < COUNT(names); ++i) {
        HANDLE one = must_create(names[i], PAGE_READWRITE, SIZE);
        HANDLE other = must_create(names[i], PAGE_READWRITE, SIZE);
        row("two sections named %s", names[i] == NULL ? "NULL" : "\"\"");
        ask_fact("last error", GetLastError(), 0);
        char *first = map(one, FILE_MAP_WRITE, 0);
        const char *second = map(other, FILE_MAP_READ, 0);
        assert_non_null(first);
        assert_non_null(second);
        first[0] = 1;
        ask_fact("byte 0 of the other", (uint64_t)second[0], 0);
        UnmapViewOfFile(first);
        UnmapViewOfFile(second);
        CloseHandle(one);
        CloseHandle(other);
    }
    all_rows_agree();
}

static void check_same(const char *one, const char *other, bool same) {
    HANDLE first = must_create(one, PAGE_READWRITE, SIZE);
    HANDLE second = create(other, PAGE_READWRITE, SIZE);
    const DWORD said = GetLastError();
    row("\"%s\" and \"%s\"", one, other);
    ask_fact("second handle", second != NULL && second != first, 1);
    ask_fact("last error", said, same ? ERROR_ALREADY_EXISTS : 0);
    CloseHandle(first);
    CloseHandle(second);
}

static void bare_names_are_local_ones_and_case_counts(void **state) {
    (void)state;
    const char *bare = unique("");
    char other[96];
    (void)snprintf(other, sizeof other, "Local\\%s", bare);
    check_same(bare, other, true);
    check_same(other, bare, true);
    (void)snprintf(other, sizeof other, "Global\\%s", bare);
    check_same(bare, other, false);
    check_same(other, bare, false);
    (void)snprintf(other, sizeof other, "K%s", bare + 1);
    check_same(bare, other, false);
    (void)snprintf(other, sizeof other, "%s ", bare);
    check_same(bare, other, false);
    all_rows_agree();
}

static void a_and_w_names_are_the_same(void **state) {
    (void)state;
    const char *name = unique("\xC3\xA9t\xC3\xA9 ");
    WCHAR wide[64];
    assert_true(MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, (int)COUNT(wide)) > 0);
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SIZE, wide);
    assert_non_null(section);
    row("W name opened by W");
    ask(of_handle(OpenFileMappingW(FILE_MAP_READ, FALSE, wide)), OK);
    if (conformance_where() == KEEPMAP) { /* elsewhere the A calls take a code page, not UTF-8 */
        row("W name opened by A in UTF-8");
        ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), OK);
    }
    CloseHandle(section);
    all_rows_agree();
}

static void a_names_have_259_characters_at_most(void **state) {
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name);
    (void)snprintf(name, sizeof name, "%s", unique(""));
    name[strlen(name)] = 'n';
    name[259] = '\0';
    row("CreateFileMappingA, 259 characters");
    ask(of_handle(create(name, PAGE_READWRITE, SIZE)), OK);
    row("OpenFileMappingA, 259 characters, missing");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), failed_with(ERROR_FILE_NOT_FOUND));
    name[259] = 'n';
    name[260] = '\0';
    row("CreateFileMappingA, 260 characters");
    ask(of_handle(create(name, PAGE_READWRITE, SIZE)), failed_with(ERROR_FILENAME_EXCED_RANGE));
    row("OpenFileMappingA, 260 characters");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)),
        failed_with(ERROR_FILENAME_EXCED_RANGE));
    all_rows_agree();
}

static void w_names_may_be_longer(void **state) {
    (void)state;
    static WCHAR name[20001];
    char start[32];
    (void)snprintf(start, sizeof start, "%s", unique("long"));
    for (size_t i = 0; i < 20000; ++i) {
        name[i] = i < strlen(start) ? (WCHAR)start[i] : u'w';
    }
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SIZE, name);
    row("CreateFileMappingW, 20000 characters");
    ask_fact("made", section != NULL, 1);
    row("OpenFileMappingW, 20000 characters");
    ask(of_handle(OpenFileMappingW(FILE_MAP_READ, FALSE, name)), OK);
    name[19999] = u'x';
    row("OpenFileMappingW, 20000 characters, the last another");
    ask(of_handle(OpenFileMappingW(FILE_MAP_READ, FALSE, name)), failed_with(ERROR_FILE_NOT_FOUND));
    CloseHandle(section);
    all_rows_agree();
}

/* ---- A name in use ---- */

static void an_existing_section_is_given_as_it_is(void **state) {
    (void)state;
    const char *name = unique("taken");
    SetLastError(0xBEEF);
    HANDLE first = must_create(name, PAGE_READWRITE, SIZE);
    row("a new name");
    ask_fact("last error", GetLastError(), 0);
    char *view = map(first, FILE_MAP_WRITE, 0);
    assert_non_null(view);
    view[100] = 42;

    static const DWORD sizes[] = {1, SIZE, 3 * SIZE, 0x7FFFFFFF};
    for (size_t i = 0; i < COUNT(sizes); ++i) {
        row("a name in use, size %u asked", (unsigned)sizes[i]);
        SetLastError(0xBEEF);
        HANDLE again = create(name, PAGE_READWRITE, sizes[i]);
        ask_fact("last error", GetLastError(), ERROR_ALREADY_EXISTS);
        ask_fact("a handle of its own", again != NULL && again != first, 1);
        const char *same = map(again, FILE_MAP_READ, 8192);
        ask_fact("8192 bytes can be mapped", same != NULL, 1);
        ask_fact("byte 100", same != NULL ? (uint64_t)same[100] : 0, 42);
        UnmapViewOfFile(same);
        row("a name in use, one byte more than it has");
        ask_fact("mapped", map(again, FILE_MAP_READ, 8193) != NULL, 0);
        ask_fact("last error", GetLastError(), ERROR_ACCESS_DENIED);
        CloseHandle(again);
    }
    row("a name in use, size 0 asked");
    ask(of_handle(create(name, PAGE_READWRITE, 0)), failed_with(ERROR_INVALID_PARAMETER));
    row("a name in use, protection 0 asked");
    ask(of_handle(create(name, 0, SIZE)), failed_with(ERROR_INVALID_PARAMETER));
    UnmapViewOfFile(view);
    CloseHandle(first);
    all_rows_agree();
}

static void a_handle_to_an_existing_section_may_do_what_its_protection_says(void **state) {
    (void)state;
    const char *name = unique("rights");
    HANDLE first = must_create(name, PAGE_READWRITE, SIZE);
    HANDLE reader = must_create(name, PAGE_READONLY, SIZE);
    row("PAGE_READONLY over a READWRITE section, view READ");
    ask(view_outcome(reader, FILE_MAP_READ), succeeded_with(PAGE_READONLY));
    row("PAGE_READONLY over a READWRITE section, view WRITE");
    ask(view_outcome(reader, FILE_MAP_WRITE), failed_with(ERROR_ACCESS_DENIED));
    CloseHandle(reader);
    CloseHandle(first);

    name = unique("read-only");
    first = must_create(name, PAGE_READONLY, SIZE);
    HANDLE writer = must_create(name, PAGE_READWRITE, SIZE);
    row("PAGE_READWRITE over a READONLY section, view READ");
    ask(view_outcome(writer, FILE_MAP_READ), succeeded_with(PAGE_READONLY));
    row("PAGE_READWRITE over a READONLY section, view WRITE");
    ask_but(view_outcome(writer, FILE_MAP_WRITE), failed_with(ERROR_INVALID_PARAMETER),
            WINE_WRITES_READ_ONLY_SECTION, succeeded_with(PAGE_READWRITE));
    CloseHandle(writer);
    writer = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    row("ALL_ACCESS to a READONLY section, view WRITE");
    ask_but(view_outcome(writer, FILE_MAP_WRITE), failed_with(ERROR_INVALID_PARAMETER),
            WINE_WRITES_READ_ONLY_SECTION, succeeded_with(PAGE_READWRITE));
    CloseHandle(writer);
    CloseHandle(first);
    all_rows_agree();
}

static void a_name_in_use_by_a_file_s_section_gives_that_file(void **state) {
    (void)state;
    scratch_file("named file", 5000, 1);
    const char *name = unique("file");
    HANDLE file = open_existing("named file", RW_ACCESS, SHARE_ALL);
    HANDLE first = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, name);
    row("a named section over a file");
    ask_fact("made", first != NULL, 1);
    CloseHandle(file);
    HANDLE second = create(name, PAGE_READWRITE, 100);
    ask_fact("last error of a second", GetLastError(), ERROR_ALREADY_EXISTS);
    HANDLE third = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    char *here = map(second, FILE_MAP_WRITE, 0);
    char *there = map(third, FILE_MAP_WRITE, 0);
    assert_non_null(here);
    assert_non_null(there);
    ask_fact("byte 4999 here", (unsigned char)here[4999], scratch_byte(4999, 1));
    here[7] = 'h';
    ask_fact("what is stored here is there", (uint64_t)there[7], 'h');
    row("a named section over a file of 5000, 5001 bytes of it");
    ask_fact("mapped", map(third, FILE_MAP_READ, 5001) != NULL, 0);
    UnmapViewOfFile(here);
    UnmapViewOfFile(there);
    CloseHandle(first);
    CloseHandle(second);
    row("a name whose first handles are closed");
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), OK);
    CloseHandle(third);
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), failed_with(ERROR_FILE_NOT_FOUND));
    unsigned char byte = 0;
    FILE *plain = fopen("named file", "rb");
    assert_non_null(plain);
    assert_int_equal(fseek(plain, 7, SEEK_SET), 0);
    assert_int_equal(fread(&byte, 1, 1, plain), 1);
    (void)fclose(plain);
    ask_fact("what was stored is in the file", byte, 'h');
    all_rows_agree();
}

static void other_kinds_of_object_have_the_same_names(void **state) {
    (void)state;
    const char *name = unique("kinds");
    HANDLE section = must_create(name, PAGE_READWRITE, SIZE);
    row("a section's name for an event");
    ask(of_handle(CreateEventA(NULL, FALSE, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    ask(of_handle(OpenEventA(SYNCHRONIZE, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    row("a section's name for a mutex");
    ask(of_handle(CreateMutexA(NULL, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    ask(of_handle(OpenMutexA(SYNCHRONIZE, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    row("a section's name for a semaphore");
    ask(of_handle(CreateSemaphoreA(NULL, 1, 1, name)), failed_with(ERROR_INVALID_HANDLE));
    ask(of_handle(OpenSemaphoreA(SYNCHRONIZE, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    CloseHandle(section);
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, name);
    assert_non_null(event);
    row("an event's name for a section");
    ask(of_handle(create(name, PAGE_READWRITE, SIZE)), failed_with(ERROR_INVALID_HANDLE));
    ask(of_handle(OpenFileMappingA(FILE_MAP_READ, FALSE, name)), failed_with(ERROR_INVALID_HANDLE));
    CloseHandle(event);
    all_rows_agree();
}

/* ---- Opened handles ---- */

static void an_opened_handle_maps_what_it_was_opened_for(void **state) {
    (void)state;
    enum { NO_ACCESS, COPY, READ, WRITE, ALL, VIEWS };
    static const DWORD views[VIEWS] = {0, FILE_MAP_COPY, FILE_MAP_READ, FILE_MAP_WRITE,
                                       FILE_MAP_ALL_ACCESS};
    static const DWORD shown[VIEWS] = {PAGE_NOACCESS, PAGE_WRITECOPY, PAGE_READONLY, PAGE_READWRITE,
                                       PAGE_READWRITE};
    static const struct {
        DWORD access;
        const char *name;
        bool may[VIEWS];
    } rows[] = {
        {FILE_MAP_READ, "FILE_MAP_READ", {true, true, true, false, false}},
        {FILE_MAP_COPY, "FILE_MAP_COPY", {true, true, true, false, false}},
        {GENERIC_READ, "GENERIC_READ", {true, true, true, false, false}},
        {FILE_MAP_WRITE, "FILE_MAP_WRITE", {false, false, false, true, true}},
        {GENERIC_WRITE, "GENERIC_WRITE", {false, false, false, true, true}},
        {FILE_MAP_READ | FILE_MAP_WRITE, "READ|WRITE", {true, true, true, true, true}},
        {FILE_MAP_ALL_ACCESS, "ALL_ACCESS", {true, true, true, true, true}},
        {GENERIC_ALL, "GENERIC_ALL", {true, true, true, true, true}},
        {MAXIMUM_ALLOWED, "MAXIMUM_ALLOWED", {true, true, true, true, true}},
    };
    const char *name = unique("opened");
    HANDLE section = must_create(name, PAGE_READWRITE, SIZE);
    for (size_t i = 0; i < COUNT(rows); ++i) {
        HANDLE opened = OpenFileMappingA(rows[i].access, FALSE, name);
        for (size_t j = 0; j < VIEWS; ++j) {
            row("OpenFileMapping(%s), view %s", rows[i].name, view_access_name(views[j]));
            ask(view_outcome(opened, views[j]),
                rows[i].may[j] ? succeeded_with(shown[j]) : failed_with(ERROR_ACCESS_DENIED));
        }
        CloseHandle(opened);
    }
    HANDLE limited = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    HANDLE duplicate = NULL;
    row("DuplicateHandle with FILE_MAP_READ, view WRITE");
    ask(of_bool(DuplicateHandle(GetCurrentProcess(), limited, GetCurrentProcess(), &duplicate,
                                FILE_MAP_READ, FALSE, 0)),
        OK);
    ask(view_outcome(duplicate, FILE_MAP_WRITE), failed_with(ERROR_ACCESS_DENIED));
    CloseHandle(duplicate);
    CloseHandle(limited);
    row("OpenFileMapping with access 0");
    ask_but(of_handle(OpenFileMappingA(0, FALSE, name)), failed_with(ERROR_ACCESS_DENIED),
            WINE_OPENS_WITHOUT_ACCESS, OK);
    CloseHandle(section);
    all_rows_agree();
}

static void successful_opening_leaves_the_last_error_alone(void **state) {
    (void)state;
    const char *name = unique("quiet");
    HANDLE section = must_create(name, PAGE_READWRITE, SIZE);
    SetLastError(0xBEEF);
    HANDLE opened = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
    row("OpenFileMapping");
    ask_fact("last error", GetLastError(), 0xBEEF);
    CloseHandle(opened);
    row("CloseHandle");
    ask_fact("last error", GetLastError(), 0xBEEF);
    CloseHandle(section);
    all_rows_agree();
}

static void inheritance_is_remembered(void **state) {
    (void)state;
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    const char *name = unique("inherited");
    DWORD flags = 0;
    HANDLE section =
        CreateFileMappingA(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0, SIZE, name);
    row("CreateFileMapping with bInheritHandle");
    ask(of_bool(GetHandleInformation(section, &flags)), OK);
    ask_fact("HANDLE_FLAG_INHERIT", flags & HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    HANDLE opened = OpenFileMappingA(FILE_MAP_READ, TRUE, name);
    row("OpenFileMapping with bInheritHandle");
    ask(of_bool(GetHandleInformation(opened, &flags)), OK);
    ask_fact("HANDLE_FLAG_INHERIT", flags & HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    CloseHandle(opened);
    opened = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
    row("OpenFileMapping without");
    ask(of_bool(GetHandleInformation(opened, &flags)), OK);
    ask_fact("HANDLE_FLAG_INHERIT", flags & HANDLE_FLAG_INHERIT, 0);
    CloseHandle(opened);
    CloseHandle(section);
    all_rows_agree();
}

static void a_null_dacl_is_taken_and_an_uninitialised_descriptor_is_not(void **state) {
    (void)state;
    SECURITY_DESCRIPTOR descriptor;
    SECURITY_ATTRIBUTES attributes = {sizeof attributes, &descriptor, FALSE};
    row("InitializeSecurityDescriptor");
    ask(of_bool(InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION)), OK);
    row("InitializeSecurityDescriptor of another revision");
    ask(of_bool(InitializeSecurityDescriptor(&descriptor, 7)), failed_with(ERROR_UNKNOWN_REVISION));
    row("SetSecurityDescriptorDacl");
    ask(of_bool(SetSecurityDescriptorDacl(&descriptor, TRUE, NULL, FALSE)), OK);
    row("a section for everybody");
    ask(of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, &attributes, PAGE_READWRITE, 0, SIZE,
                                     unique("everybody"))),
        OK);
    memset(&descriptor, 0, sizeof descriptor);
    row("a section with a descriptor of zeros");
    outcome got = of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, &attributes, PAGE_READWRITE, 0,
                                               SIZE, unique("zeros")));
    if (conformance_where() != WINE) { /* which does not look */
        ask_fact("refused", got.failed, 1);
    }
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_judged_the_same_by_create_and_open),
        cmocka_unit_test(ordinary_characters_make_names),
        cmocka_unit_test(opening_needs_a_name_that_is_there),
        cmocka_unit_test(two_unnamed_sections_are_two),
        cmocka_unit_test(bare_names_are_local_ones_and_case_counts),
        cmocka_unit_test(a_and_w_names_are_the_same),
        cmocka_unit_test(a_names_have_259_characters_at_most),
        cmocka_unit_test(w_names_may_be_longer),
        cmocka_unit_test(an_existing_section_is_given_as_it_is),
        cmocka_unit_test(a_handle_to_an_existing_section_may_do_what_its_protection_says),
        cmocka_unit_test(a_name_in_use_by_a_file_s_section_gives_that_file),
        cmocka_unit_test(other_kinds_of_object_have_the_same_names),
        cmocka_unit_test(an_opened_handle_maps_what_it_was_opened_for),
        cmocka_unit_test(successful_opening_leaves_the_last_error_alone),
        cmocka_unit_test(inheritance_is_remembered),
        cmocka_unit_test(a_null_dacl_is_taken_and_an_uninitialised_descriptor_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
