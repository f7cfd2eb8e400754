/*
 * test_sharing.c - sharing modes between handles, and between programs.
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

#define RIGHTS 8 /* sets of read, write and delete */

/* Sets of rights in the order of the FILE_SHARE_* bits. */
static DWORD access_of(unsigned rights) {
    return (rights & FILE_SHARE_READ ? GENERIC_READ : 0) |
           (rights & FILE_SHARE_WRITE ? GENERIC_WRITE : 0) |
           (rights & FILE_SHARE_DELETE ? DELETE : 0);
}

static HANDLE open_sharing(const char *path, DWORD access, DWORD share) {
    return CreateFileA(path, access, share, NULL, OPEN_EXISTING, 0, NULL);
}

/* Windows' rule: each one's access is in the other's share mask; without access there is none. */
static bool agree(unsigned access, unsigned share, unsigned other_access, unsigned other_share) {
    return access == 0 || other_access == 0 ||
           (!(access & ~other_share) && !(other_access & ~share));
}

static void every_pair_of_handles_is_shared_as_tabled(void **state) {
    (void)state;
    scratch_file("pairs", 10, 0);
    for (unsigned held = 0; held < RIGHTS * RIGHTS; ++held) {
        HANDLE holder = open_sharing("pairs", access_of(held / RIGHTS), held % RIGHTS);
        assert_ptr_not_equal(holder, INVALID_HANDLE_VALUE);
        for (unsigned asked = 0; asked < RIGHTS * RIGHTS; ++asked) {
            bool expected = agree(held / RIGHTS, held % RIGHTS, asked / RIGHTS, asked % RIGHTS);
            HANDLE second = open_sharing("pairs", access_of(asked / RIGHTS), asked % RIGHTS);
            DWORD code = GetLastError();
            if ((second != INVALID_HANDLE_VALUE) != expected) {
                fail_msg("access %u shares %u, then access %u shares %u: %s", held / RIGHTS,
                         held % RIGHTS, asked / RIGHTS, asked % RIGHTS,
                         expected ? "refused" : "allowed");
            }
            if (expected) {
                CloseHandle(second);
            } else {
                assert_int_equal(code, ERROR_SHARING_VIOLATION);
            }
        }
        CloseHandle(holder);
    }
}

static void execute_and_append_count_as_reading_and_writing(void **state) {
    (void)state;
    scratch_file("execute", 10, 0);
    HANDLE reader = open_sharing("execute", FILE_EXECUTE, FILE_SHARE_READ);
    assert_ptr_not_equal(reader, INVALID_HANDLE_VALUE);
    assert_ptr_equal(open_sharing("execute", FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE),
                     INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    assert_ptr_equal(open_sharing("execute", GENERIC_READ, 0), INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    CloseHandle(reader);
}

static void a_refused_open_changes_nothing(void **state) {
    (void)state;
    scratch_file("kept", 10, 4);
    HANDLE reader = open_sharing("kept", GENERIC_READ, FILE_SHARE_READ);
    HANDLE refused =
        CreateFileA("kept", GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
    assert_ptr_equal(refused, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    assert_int_equal(scratch_size("kept"), 10);
    /* Nor has it left a claim: somebody who denies everything may still come. */
    CloseHandle(reader);
    reader = open_sharing("kept", GENERIC_READ, 0);
    assert_ptr_not_equal(reader, INVALID_HANDLE_VALUE);
    CloseHandle(reader);
}

static void emptying_through_a_reading_handle_counts_as_writing(void **state) {
    (void)state;
    scratch_file("emptied", 10, 4);
    HANDLE reader = open_sharing("emptied", GENERIC_READ, FILE_SHARE_READ);
    HANDLE other =
        CreateFileA("emptied", GENERIC_READ, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
#ifdef _WIN32
    /* Wine looks at the access asked for alone. */
    CloseHandle(other);
#else
    assert_ptr_equal(other, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    assert_int_equal(scratch_size("emptied"), 10);
#endif
    CloseHandle(reader);
}

static void a_claim_goes_with_the_last_duplicate(void **state) {
    (void)state;
    scratch_file("duplicated", 10, 0);
    HANDLE copy = NULL;
    HANDLE sole = open_sharing("duplicated", GENERIC_READ, 0);
    assert_true(DuplicateHandle(GetCurrentProcess(), sole, GetCurrentProcess(), &copy, 0, FALSE,
                                DUPLICATE_SAME_ACCESS));
    CloseHandle(sole);
    assert_ptr_equal(open_sharing("duplicated", GENERIC_READ, FILE_SHARE_READ),
                     INVALID_HANDLE_VALUE);
    CloseHandle(copy);
    sole = open_sharing("duplicated", GENERIC_READ, 0);
    assert_ptr_not_equal(sole, INVALID_HANDLE_VALUE);
    CloseHandle(sole);
}

static void a_writable_section_goes_on_using_write_access(void **state) {
    (void)state;
    scratch_file("by_section", 65536, 0);
    const DWORD all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    HANDLE file = open_sharing("by_section", GENERIC_READ | GENERIC_WRITE, all);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    CloseHandle(file);
    assert_ptr_equal(open_sharing("by_section", GENERIC_READ, FILE_SHARE_READ),
                     INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    file = open_sharing("by_section", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    CloseHandle(file);
    CloseHandle(section);
    file = open_sharing("by_section", GENERIC_READ, FILE_SHARE_READ);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    CloseHandle(file);
}

static void a_section_that_only_reads_imposes_nothing(void **state) {
    (void)state;
    static const DWORD protections[] = {PAGE_READONLY, PAGE_WRITECOPY};
    scratch_file("by_reader", 65536, 0);
    for (size_t i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        HANDLE file = open_sharing("by_reader", GENERIC_READ, 0);
        HANDLE section = CreateFileMappingA(file, NULL, protections[i], 0, 0, NULL);
        assert_non_null(section);
        CloseHandle(file);
        file = open_sharing("by_reader", GENERIC_READ | GENERIC_WRITE, 0);
        assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
        CloseHandle(file);
        CloseHandle(section);
    }
}

static void assert_open(const char *path, DWORD access, DWORD share, DWORD expected) {
    HANDLE file = open_sharing(path, access, share);
    const DWORD error = file == INVALID_HANDLE_VALUE ? GetLastError() : ERROR_SUCCESS;
    if (file != INVALID_HANDLE_VALUE) {
        CloseHandle(file);
    }
    assert_int_equal(error, expected);
}

static void a_handle_claims_the_same_when_its_sections_have_gone(void **state) {
    (void)state;
    const DWORD access = GENERIC_READ | GENERIC_WRITE;
    scratch_file("beside", 65536, 0);
    for (DWORD share = 0; share < RIGHTS; ++share) {
        HANDLE file = open_sharing("beside", access, share);
        assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
        HANDLE writable = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
        HANDLE readable = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
        assert_non_null(writable);
        assert_non_null(readable);
        assert_true(CloseHandle(writable));
        assert_true(CloseHandle(readable));
        for (unsigned asked = 0; asked < RIGHTS * RIGHTS; ++asked) {
            const bool expected =
                agree(FILE_SHARE_READ | FILE_SHARE_WRITE, share, asked / RIGHTS, asked % RIGHTS);
            assert_open("beside", access_of(asked / RIGHTS), asked % RIGHTS,
                        expected ? ERROR_SUCCESS : ERROR_SHARING_VIOLATION);
        }
        CloseHandle(file);
    }
    assert_open("beside", access, 0, ERROR_SUCCESS);
}

static void the_last_writable_section_ends_the_use_of_write_access(void **state) {
    (void)state;
    scratch_file("last_writable", 65536, 0);
    HANDLE file = open_sharing("last_writable", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ);
    HANDLE readable = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    HANDLE writable = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    HANDLE second = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(readable);
    assert_non_null(writable);
    assert_non_null(second);
    CloseHandle(file);
    CloseHandle(writable);
    assert_open("last_writable", GENERIC_READ, FILE_SHARE_READ, ERROR_SHARING_VIOLATION);
    assert_open("last_writable", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, ERROR_SUCCESS);
    CloseHandle(second);
    assert_open("last_writable", GENERIC_READ, FILE_SHARE_READ, ERROR_SUCCESS);
    assert_open("last_writable", GENERIC_READ | GENERIC_WRITE, 0, ERROR_SUCCESS);
    CloseHandle(readable);
}

/* ---- Between programs ---- */

/* hold FILE ACCESS SHARE: opens it, says so, and holds it until told otherwise. */
static int hold(int argc, char **argv) {
    char line[64];
    if (argc != 4) {
        return 2;
    }
    HANDLE file = open_sharing(argv[1], access_of((unsigned)strtoul(argv[2], NULL, 10)),
                               (DWORD)strtoul(argv[3], NULL, 10));
    child_say("%lu", file == INVALID_HANDLE_VALUE ? (unsigned long)GetLastError() : 0UL);
    while (child_hear(line, sizeof line)) {
        if (strcmp(line, "close") == 0) {
            CloseHandle(file);
            child_say("closed");
        }
    }
    return 0;
}

/* contend FILE: at the word, opens it for itself alone; says how it went and holds it. */
static int contend(int argc, char **argv) {
    char line[64];
    (void)argc;
    child_say("ready");
    HANDLE file = INVALID_HANDLE_VALUE;
    while (child_hear(line, sizeof line)) {
        if (strcmp(line, "open") == 0) {
            file = open_sharing(argv[1], GENERIC_READ | GENERIC_WRITE, 0);
            child_say(file == INVALID_HANDLE_VALUE ? "refused" : "opened");
        } else {
            if (file != INVALID_HANDLE_VALUE) {
                CloseHandle(file);
            }
            child_say("closed");
        }
    }
    return 0;
}

static void another_program_is_refused_and_allowed_alike(void **state) {
    (void)state;
    scratch_file("programs", 10, 0);
    child *other = child_start("hold", "programs", "1", "1", NULL); /* reads, shares reading */
    child_expect(other, "0");
    assert_ptr_equal(open_sharing("programs", GENERIC_WRITE, FILE_SHARE_READ),
                     INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    HANDLE reader = open_sharing("programs", GENERIC_READ, FILE_SHARE_READ);
    assert_ptr_not_equal(reader, INVALID_HANDLE_VALUE);
    child *third = child_start("hold", "programs", "3", "3", NULL); /* wants to write */
    child_expect(third, "32");
    assert_int_equal(child_finish(third), 0);
    CloseHandle(reader);
    child_tell(other, "close");
    child_expect(other, "closed");
    HANDLE writer = open_sharing("programs", GENERIC_WRITE, 0);
    assert_ptr_not_equal(writer, INVALID_HANDLE_VALUE);
    CloseHandle(writer);
    assert_int_equal(child_finish(other), 0);
}

static void a_killed_program_holds_nothing(void **state) {
    (void)state;
    scratch_file("killed", 10, 0);
    child *other = child_start("hold", "killed", "3", "0", NULL);
    child_expect(other, "0");
    assert_ptr_equal(open_sharing("killed", GENERIC_READ, 7), INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    child_kill(other);
    HANDLE file = open_sharing("killed", GENERIC_READ | GENERIC_WRITE, 0);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    CloseHandle(file);
}

static void of_two_who_come_together_exactly_one_gets_in(void **state) {
    (void)state;
    enum { ROUNDS = 40 };
    char first[16], second[16];
    scratch_file("contended", 10, 0);
    child *one = child_start("contend", "contended", NULL);
    child *two = child_start("contend", "contended", NULL);
    child_expect(one, "ready");
    child_expect(two, "ready");
    for (int round = 0; round < ROUNDS; ++round) {
        child_tell(one, "open");
        child_tell(two, "open");
        child_read(one, first, sizeof first);
        child_read(two, second, sizeof second);
        if ((strcmp(first, "opened") == 0) == (strcmp(second, "opened") == 0)) {
            fail_msg("round %d: %s and %s", round, first, second);
        }
        child_tell(one, "close");
        child_tell(two, "close");
        child_expect(one, "closed");
        child_expect(two, "closed");
    }
    assert_int_equal(child_finish(one), 0);
    assert_int_equal(child_finish(two), 0);
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"hold", hold}, {"contend", contend}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_handles_is_shared_as_tabled),
        cmocka_unit_test(execute_and_append_count_as_reading_and_writing),
        cmocka_unit_test(a_refused_open_changes_nothing),
        cmocka_unit_test(emptying_through_a_reading_handle_counts_as_writing),
        cmocka_unit_test(a_claim_goes_with_the_last_duplicate),
        cmocka_unit_test(a_writable_section_goes_on_using_write_access),
        cmocka_unit_test(a_section_that_only_reads_imposes_nothing),
        cmocka_unit_test(a_handle_claims_the_same_when_its_sections_have_gone),
        cmocka_unit_test(the_last_writable_section_ends_the_use_of_write_access),
        cmocka_unit_test(another_program_is_refused_and_allowed_alike),
        cmocka_unit_test(a_killed_program_holds_nothing),
        cmocka_unit_test(of_two_who_come_together_exactly_one_gets_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
