/*
 * test_conformance_lifetimes.c - the conformance table's section 3, and pagefile-backed sections:
 * what keeps a name, what keeps the memory, in this process and across processes.
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

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SIZE 100000u

static const char *unique(const char *format) {
    static char names[4][64];
    static unsigned next;
    char *name = names[next++ % COUNT(names)];
    (void)snprintf(name, sizeof names[0], "%s km%lu.%u", format,
                   (unsigned long)GetCurrentProcessId(), next);
    return name;
}

static HANDLE create(const char *name, DWORD size) {
    return CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, size, name);
}

static HANDLE must_create(const char *name) {
    HANDLE section = create(name, SIZE);
    assert_non_null(section);
    assert_int_equal(GetLastError(), 0);
    return section;
}

static HANDLE open_section(const char *name) {
    return OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
}

static unsigned char *must_map(HANDLE section) {
    unsigned char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    return view;
}

static void ask_name(const char *name, bool there) {
    ask(of_handle(open_section(name)), there ? OK : failed_with(ERROR_FILE_NOT_FOUND));
}

/* ---- Roles ---- */

static void store(unsigned char *view, unsigned char byte) {
    if (view != NULL) {
        view[9] = byte;
    }
}

static unsigned byte_of(const unsigned char *view) {
    return view != NULL ? view[9] : 0;
}

/*
 * worker NAME: creates or opens the section and does what it is told, letter by letter: C create,
 * O open, m map, u unmap, c close the handle, d duplicate it and close the first; s stores 77 at
 * byte 9, g says byte 9. Says "ok" after each line.
 */
static int worker(int argc, char **argv) {
    (void)argc;
    char line[32];
    HANDLE section = NULL;
    unsigned char *view = NULL;
    while (child_hear(line, sizeof line)) {
        bool fine = true;
        for (const char *letter = line; *letter != '\0'; ++letter) {
            HANDLE other = NULL;
            switch (*letter) {
            case 'C':
                section = create(argv[1], SIZE);
                fine = fine && section != NULL;
                break;
            case 'O':
                section = open_section(argv[1]);
                fine = fine && section != NULL;
                break;
            case 'm':
                view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
                fine = fine && view != NULL;
                break;
            case 'u':
                fine = fine && UnmapViewOfFile(view);
                break;
            case 'c':
                fine = fine && CloseHandle(section);
                break;
            case 'd':
                fine = fine &&
                       DuplicateHandle(GetCurrentProcess(), section, GetCurrentProcess(), &other, 0,
                                       FALSE, DUPLICATE_SAME_ACCESS) &&
                       CloseHandle(section);
                section = other;
                break;
            case 's':
                store(view, 77);
                break;
            default:
                child_say("byte %u", byte_of(view));
                break;
            }
        }
        child_say(fine ? "ok" : "failed");
    }
    return 0;
}

static const child_role roles[] = {{"worker", worker}, {NULL, NULL}};

static void tell(child *process, const char *letters) {
    child_tell(process, letters);
    child_expect(process, "ok");
}

/* ---- In one process ---- */

static void views_outlive_the_handle_they_were_made_from(void **state) {
    (void)state;
    HANDLE section = create(NULL, SIZE);
    unsigned char *one = must_map(section);
    unsigned char *other = must_map(section);
    CloseHandle(section);
    one[5] = 6;
    row("two views of a closed section");
    ask_fact("byte 5 of the other", other[5], 6);
    ask(of_bool(FlushViewOfFile(one, 0)), OK);
    ask(of_bool(UnmapViewOfFile(one)), OK);
    ask_fact("byte 5 once the first is unmapped", other[5], 6);
    ask(of_bool(UnmapViewOfFile(other)), OK);
    all_rows_agree();
}

static void a_view_keeps_the_memory_and_not_the_name(void **state) {
    (void)state;
    const char *name = unique("view only");
    HANDLE section = must_create(name);
    unsigned char *old = must_map(section);
    old[0] = 1;
    row("a name with a handle and a view");
    ask_name(name, true);
    CloseHandle(section);
    row("a name with a view alone");
    ask_name(name, false);
    row("a name with a view alone, created again");
    section = create(name, SIZE);
    ask_fact("last error", GetLastError(), 0);
    unsigned char *new = must_map(section);
    ask_fact("byte 0 of the new one", new[0], 0);
    new[0] = 2;
    ask_fact("byte 0 of the old one", old[0], 1);
    old[0] = 3;
    ask_fact("byte 0 of the new one again", new[0], 2);
    UnmapViewOfFile(old);
    row("the new one, when the old is gone");
    ask_name(name, true);
    UnmapViewOfFile(new);
    CloseHandle(section);
    ask_name(name, false);
    all_rows_agree();
}

static void any_handle_keeps_the_name(void **state) {
    (void)state;
    const char *name = unique("any handle");
    HANDLE first = must_create(name);
    HANDLE opened = open_section(name);
    HANDLE duplicate = NULL;
    assert_true(DuplicateHandle(GetCurrentProcess(), opened, GetCurrentProcess(), &duplicate, 0,
                                FALSE, DUPLICATE_SAME_ACCESS));
    row("the creator's handle closed");
    CloseHandle(first);
    ask_name(name, true);
    row("the opened handle closed");
    CloseHandle(opened);
    ask_name(name, true);
    row("the duplicate closed");
    CloseHandle(duplicate);
    ask_name(name, false);
    all_rows_agree();
}

static void a_name_over_a_file_goes_with_the_last_handle_too(void **state) {
    (void)state;
    scratch_file("lifetime", 5000, 2);
    const char *name = unique("file");
    HANDLE file = open_existing("lifetime", RW_ACCESS, SHARE_ALL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, name);
    assert_non_null(section);
    CloseHandle(file);
    unsigned char *view = must_map(section);
    row("a file's section, its file closed");
    ask_name(name, true);
    CloseHandle(section);
    row("a file's section with a view alone");
    ask_name(name, false);
    view[1] = 'v';
    UnmapViewOfFile(view);
    FILE *plain = fopen("lifetime", "rb");
    assert_non_null(plain);
    (void)fgetc(plain);
    ask_fact("what was stored through it is in the file", (uint64_t)fgetc(plain), 'v');
    (void)fclose(plain);
    all_rows_agree();
}

/* ---- Across processes ---- */

static void what_one_process_stores_another_sees(void **state) {
    (void)state;
    const char *name = unique("shared");
    HANDLE section = must_create(name);
    unsigned char *view = must_map(section);
    child *process = child_start("worker", name, NULL);
    tell(process, "Oms");
    row("stored by another process");
    ask_fact("byte 9", view[9], 77);
    view[9] = 55;
    child_tell(process, "g");
    child_expect(process, "byte 55");
    child_expect(process, "ok");
    ask_fact("child's exit code", (uint64_t)child_finish(process), 0);
    UnmapViewOfFile(view);
    CloseHandle(section);
    all_rows_agree();
}

static void a_name_outlives_its_creator_while_another_has_a_handle(void **state) {
    (void)state;
    const char *name = unique("creator");
    child *process = child_start("worker", name, NULL);
    tell(process, "Cms");
    HANDLE section = open_section(name);
    row("made by another process");
    ask_fact("opened", section != NULL, 1);
    child_finish(process);
    row("its creator has ended");
    ask_name(name, true);
    unsigned char *view = must_map(section);
    ask_fact("byte 9", view[9], 77);
    UnmapViewOfFile(view);
    CloseHandle(section);
    ask_name(name, false);
    all_rows_agree();
}

static void another_process_s_view_keeps_no_name(void **state) {
    (void)state;
    const char *name = unique("other's view");
    child *process = child_start("worker", name, NULL);
    tell(process, "Cms");
    row("another's handle and view");
    ask_name(name, true);
    tell(process, "c");
    row("another's view alone");
    ask_name(name, false);
    HANDLE section = create(name, SIZE);
    ask_fact("last error of creating", GetLastError(), 0);
    unsigned char *view = must_map(section);
    ask_fact("byte 9 of the new one", view[9], 0);
    child_tell(process, "g");
    child_expect(process, "byte 77"); /* its own is as it was */
    child_expect(process, "ok");
    child_finish(process);
    row("the new one, after the old one's process");
    ask_name(name, true);
    UnmapViewOfFile(view);
    CloseHandle(section);
    all_rows_agree();
}

static void a_duplicate_keeps_the_name_for_its_process(void **state) {
    (void)state;
    const char *name = unique("duplicate");
    child *process = child_start("worker", name, NULL);
    tell(process, "Cd");
    row("a duplicate in another process");
    ask_name(name, true);
    tell(process, "c");
    ask_name(name, false);
    child_finish(process);
    all_rows_agree();
}

static void a_process_that_ends_without_closing_lets_go(void **state) {
    (void)state;
    const char *name = unique("ended");
    child *process = child_start("worker", name, NULL);
    tell(process, "Cm");
    child_finish(process);
    row("a process has ended with a handle and a view");
    ask_name(name, false);
    all_rows_agree();
}

static void a_killed_holder_s_name_is_gone(void **state) {
    (void)state;
    static const char *const holds[] = {"C", "Cm", "Cmc", "Cd"};
    for (size_t i = 0; i < COUNT(holds); ++i) {
        const char *name = unique("killed");
        child *process = child_start("worker", name, NULL);
        tell(process, holds[i]);
        child_kill(process);
        row("killed after %s: open", holds[i]);
        ask_name(name, false);
        HANDLE section = create(name, SIZE);
        row("killed after %s: create", holds[i]);
        ask_fact("last error", GetLastError(), 0);
        unsigned char *view = must_map(section);
        ask_fact("byte 9", view[9], 0);
        UnmapViewOfFile(view);
        CloseHandle(section);
    }
    all_rows_agree();
}

static void of_two_holders_a_killed_one_leaves_the_name_to_the_other(void **state) {
    (void)state;
    const char *name = unique("two holders");
    child *first = child_start("worker", name, NULL);
    tell(first, "Cms");
    child *second = child_start("worker", name, NULL);
    tell(second, "Om");
    child_kill(first);
    row("its creator was killed, another holds it");
    ask_name(name, true);
    child_tell(second, "g");
    child_expect(second, "byte 77");
    child_expect(second, "ok");
    child_kill(second);
    row("both were killed");
    ask_name(name, false);
    all_rows_agree();
}

/* ---- Pagefile-backed sections ---- */

static void an_anonymous_section_s_size_is_whole_pages_of_zeros(void **state) {
    (void)state;
    static const struct {
        DWORD asked;
        uint64_t has;
    } rows[] = {{1, 4096}, {4096, 4096}, {4097, 8192}, {65536, 65536}, {1000000, 1003520}};
    for (size_t i = 0; i < COUNT(rows); ++i) {
        HANDLE section = create(NULL, rows[i].asked);
        MEMORY_BASIC_INFORMATION facts = {0};
        row("an anonymous section of %u", (unsigned)rows[i].asked);
        unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)rows[i].has);
        ask_fact("all of it mapped", view != NULL, 1);
        VirtualQuery(view, &facts, sizeof facts);
        ask_fact("RegionSize", facts.RegionSize, rows[i].has);
        ask_fact("State", facts.State, MEM_COMMIT);
        ask_fact("Type", facts.Type, MEM_MAPPED);
        ask_fact("AllocationBase", (uintptr_t)facts.AllocationBase, (uintptr_t)view);
        unsigned nonzero = 0;
        for (size_t at = 0; view != NULL && at < rows[i].has; ++at) {
            nonzero += view[at] != 0;
        }
        ask_fact("bytes that are not zero", nonzero, 0);
        UnmapViewOfFile(view);
        void *more = MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)rows[i].has + 1);
        ask_fact("one byte more mapped", more != NULL, 0);
        ask_fact("last error", GetLastError(), ERROR_ACCESS_DENIED);
        CloseHandle(section);
    }
    all_rows_agree();
}

static void null_is_the_pagefile_too(void **state) {
    (void)state;
    row("hFile NULL, size 5000"); /* seen under Wine */
    ask(of_handle(CreateFileMappingA(NULL, NULL, PAGE_READWRITE, 0, 5000, NULL)), OK);
    all_rows_agree();
}

static void sec_flags_of_anonymous_sections(void **state) {
    (void)state;
    static const struct {
        DWORD flags;
        DWORD error;
    } rows[] = {
        {0, 0},
        {SEC_COMMIT, 0},
        {SEC_RESERVE, 0},
        {SEC_RESERVE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_NOCACHE, ERROR_INVALID_PARAMETER},
        {SEC_WRITECOMBINE, ERROR_INVALID_PARAMETER},
        {SEC_NOCACHE | SEC_COMMIT, 0},
        {SEC_NOCACHE | SEC_RESERVE, 0},
        {SEC_WRITECOMBINE | SEC_COMMIT, 0},
        {SEC_WRITECOMBINE | SEC_RESERVE, 0},
        {SEC_LARGE_PAGES, ERROR_INVALID_PARAMETER},
        {SEC_LARGE_PAGES | SEC_RESERVE, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE, ERROR_BAD_EXE_FORMAT},
        {SEC_IMAGE | SEC_RESERVE, ERROR_INVALID_PARAMETER},
        {SEC_IMAGE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {SEC_FILE, ERROR_INVALID_PARAMETER},
        {SEC_FILE | SEC_COMMIT, ERROR_INVALID_PARAMETER},
        {0x10000, ERROR_INVALID_PARAMETER},
        {0x200000, ERROR_INVALID_PARAMETER},
    };
    for (size_t i = 0; i < COUNT(rows); ++i) {
        static const char *const kinds[] = {"an unnamed", "a named"};
        for (size_t named = 0; named < 2; ++named) {
            row("%s anonymous section with SEC_ flags %#x", kinds[named], (unsigned)rows[i].flags);
            ask(of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL,
                                             PAGE_READWRITE | rows[i].flags, 0, SIZE,
                                             named != 0 ? unique("flags") : NULL)),
                rows[i].error != 0 ? failed_with(rows[i].error) : OK);
        }
    }
    all_rows_agree();
}

static void a_name_in_use_wins_over_bad_flags(void **state) {
    (void)state;
    const char *name = unique("order");
    HANDLE section = must_create(name);
    row("a name in use and SEC_RESERVE|SEC_COMMIT");
    HANDLE again = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL,
                                      PAGE_READWRITE | SEC_RESERVE | SEC_COMMIT, 0, SIZE, name);
    /* The NT kernel may look at the flags first. */
    const DWORD said = GetLastError();
    ask_fact("ERROR_ALREADY_EXISTS or ERROR_INVALID_PARAMETER",
             (again != NULL && said == ERROR_ALREADY_EXISTS) ||
                 (again == NULL && said == ERROR_INVALID_PARAMETER),
             1);
    CloseHandle(again);
    CloseHandle(section);
    row("a bad name and bad flags");
    ask(of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL,
                                     PAGE_READWRITE | SEC_RESERVE | SEC_COMMIT, 0, SIZE, "a\\b")),
        failed_with(ERROR_PATH_NOT_FOUND));
    row("a bad name and protection 0");
    ask(of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, 0, 0, SIZE, "a\\b")),
        failed_with(ERROR_INVALID_PARAMETER));
    row("a bad name and size 0");
    ask(of_handle(create("a\\b", 0)), failed_with(ERROR_INVALID_PARAMETER));
    all_rows_agree();
}

/* Which of the codes for a lack of memory or of disk it is, systems differ in. */
static outcome absurd_outcome(uint64_t size, const char *name) {
    outcome got =
        of_handle(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                     (DWORD)(size >> 32), (DWORD)(size & 0xFFFFFFFFu), name));
    const bool lack =
        got.failed && (got.value == ERROR_NOT_ENOUGH_MEMORY ||
                       (got.value == ERROR_DISK_FULL && conformance_where() == WINE) ||
                       (got.value == ERROR_INVALID_PARAMETER && conformance_where() != KEEPMAP));
    return lack ? failed_with(ERROR_COMMITMENT_LIMIT) : got;
}

static void absurd_anonymous_sizes_are_refused(void **state) {
    (void)state;
    static const uint64_t sizes[] = {(uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 4095,
                                     (uint64_t)1 << 62};
    const outcome refused = failed_with(ERROR_COMMITMENT_LIMIT);
    for (size_t i = 0; i < COUNT(sizes); ++i) {
        const bool wraps = sizes[i] == UINT64_MAX;
        row("an anonymous section of %#llx", (unsigned long long)sizes[i]);
        ask_but(absurd_outcome(sizes[i], NULL), refused, WINE_ROUNDS_SIZE_TO_NOTHING,
                wraps ? OK : refused);
        row("a named section of %#llx", (unsigned long long)sizes[i]);
        ask_but(absurd_outcome(sizes[i], unique("absurd")), refused, WINE_ROUNDS_SIZE_TO_NOTHING,
                wraps ? OK : refused);
    }
    all_rows_agree();
}

static void a_copy_on_write_view_never_changes_the_section(void **state) {
    (void)state;
    static const DWORD protections[] = {PAGE_READWRITE, PAGE_READONLY, PAGE_WRITECOPY};
    for (size_t i = 0; i < COUNT(protections); ++i) {
        HANDLE section =
            CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, protections[i], 0, SIZE, NULL);
        assert_non_null(section);
        unsigned char *copy = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, 0);
        const unsigned char *original = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
        row("%s, views COPY and READ", protection_name(protections[i]));
        assert_non_null(copy);
        assert_non_null(original);
        copy[3] = 9;
        ask_fact("the copy", copy[3], 9);
        ask_fact("the original", original[3], 0);
        UnmapViewOfFile(copy);
        UnmapViewOfFile(original);
        CloseHandle(section);
    }
    all_rows_agree();
}

static void offsets_reach_into_anonymous_sections(void **state) {
    (void)state;
    const char *name = unique("offsets");
    HANDLE section = create(name, 0x50000);
    unsigned char *all = must_map(section);
    unsigned char *part = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0x30000, 0x1000);
    row("a view of an anonymous section at 0x30000");
    assert_non_null(part);
    part[5] = 44;
    ask_fact("byte 0x30005 of the whole", all[0x30005], 44);
    row("a view of an anonymous section at 4096");
    ask_fact("mapped", MapViewOfFile(section, FILE_MAP_WRITE, 0, 4096, 0) != NULL, 0);
    ask_fact("last error", GetLastError(), ERROR_MAPPED_ALIGNMENT);
    UnmapViewOfFile(all);
    UnmapViewOfFile(part);
    CloseHandle(section);
    all_rows_agree();
}

int main(int argc, char **argv) {
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_outlive_the_handle_they_were_made_from),
        cmocka_unit_test(a_view_keeps_the_memory_and_not_the_name),
        cmocka_unit_test(any_handle_keeps_the_name),
        cmocka_unit_test(a_name_over_a_file_goes_with_the_last_handle_too),
        cmocka_unit_test(what_one_process_stores_another_sees),
        cmocka_unit_test(a_name_outlives_its_creator_while_another_has_a_handle),
        cmocka_unit_test(another_process_s_view_keeps_no_name),
        cmocka_unit_test(a_duplicate_keeps_the_name_for_its_process),
        cmocka_unit_test(a_process_that_ends_without_closing_lets_go),
        cmocka_unit_test(a_killed_holder_s_name_is_gone),
        cmocka_unit_test(of_two_holders_a_killed_one_leaves_the_name_to_the_other),
        cmocka_unit_test(an_anonymous_section_s_size_is_whole_pages_of_zeros),
        cmocka_unit_test(null_is_the_pagefile_too),
        cmocka_unit_test(sec_flags_of_anonymous_sections),
        cmocka_unit_test(a_name_in_use_wins_over_bad_flags),
        cmocka_unit_test(absurd_anonymous_sizes_are_refused),
        cmocka_unit_test(a_copy_on_write_view_never_changes_the_section),
        cmocka_unit_test(offsets_reach_into_anonymous_sections),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
