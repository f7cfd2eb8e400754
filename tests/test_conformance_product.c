/*
 * test_conformance_product.c - the whole product of: access of the file, protection and size of the
 * section, access, offset and length of the view; against an oracle that is the table's rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/conformance.h"
#include "support/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GRANULARITY UINT64_C(65536)
#define PAGE UINT64_C(4096)
#define SEED 11u

static const DWORD file_accesses[] = {
    0, W_ACCESS, R_ACCESS, RW_ACCESS, RWX_ACCESS, GENERIC_ALL, GENERIC_READ | GENERIC_EXECUTE};
static const DWORD protections[] = {PAGE_READONLY,
                                    PAGE_READWRITE,
                                    PAGE_WRITECOPY,
                                    PAGE_EXECUTE_READ,
                                    PAGE_EXECUTE_READWRITE,
                                    PAGE_EXECUTE_WRITECOPY,
                                    0,
                                    PAGE_NOACCESS,
                                    PAGE_EXECUTE,
                                    PAGE_READONLY | PAGE_READWRITE,
                                    PAGE_READWRITE | PAGE_WRITECOPY,
                                    PAGE_READWRITE | PAGE_GUARD,
                                    PAGE_READWRITE | PAGE_NOCACHE};
static const DWORD view_accesses[] = {0,
                                      FILE_MAP_COPY,
                                      FILE_MAP_READ,
                                      FILE_MAP_COPY | FILE_MAP_READ,
                                      FILE_MAP_WRITE,
                                      FILE_MAP_READ | FILE_MAP_WRITE,
                                      FILE_MAP_COPY | FILE_MAP_WRITE,
                                      FILE_MAP_ALL_ACCESS,
                                      FILE_MAP_EXECUTE,
                                      FILE_MAP_EXECUTE | FILE_MAP_READ,
                                      FILE_MAP_EXECUTE | FILE_MAP_WRITE,
                                      FILE_MAP_EXECUTE | FILE_MAP_ALL_ACCESS,
                                      FILE_MAP_EXECUTE | FILE_MAP_COPY};

/* ---- The rules ---- */

static bool reads(DWORD access) {
    return (access & (GENERIC_READ | GENERIC_ALL)) != 0;
}

static bool writes(DWORD access) {
    return (access & (GENERIC_WRITE | GENERIC_ALL)) != 0;
}

static bool executes(DWORD access) {
    return (access & (GENERIC_EXECUTE | GENERIC_ALL)) != 0;
}

static bool is_section_protection(DWORD protection) {
    return protection == PAGE_READONLY || protection == PAGE_READWRITE ||
           protection == PAGE_WRITECOPY || protection == PAGE_EXECUTE_READ ||
           protection == PAGE_EXECUTE_READWRITE || protection == PAGE_EXECUTE_WRITECOPY;
}

static bool is_writable(DWORD protection) {
    return protection == PAGE_READWRITE || protection == PAGE_EXECUTE_READWRITE;
}

static bool is_executable(DWORD protection) {
    return protection >= PAGE_EXECUTE_READ;
}

static outcome expect_section(DWORD access, DWORD protection, uint64_t size, uint64_t file_size,
                              bool execute_matters) {
    if (!is_section_protection(protection)) {
        return failed_with(ERROR_INVALID_PARAMETER);
    }
    bool allowed = reads(access) && (writes(access) || !is_writable(protection)) &&
                   (executes(access) || !is_executable(protection) || !execute_matters);
    if (!allowed) {
        return failed_with(ERROR_ACCESS_DENIED);
    }
    if (size == 0 && file_size == 0) {
        return failed_with(ERROR_FILE_INVALID);
    }
    if (size > file_size && !is_writable(protection)) {
        return failed_with(ERROR_NOT_ENOUGH_MEMORY);
    }
    return OK;
}

/* The page protection that a view gets, 0 if the section's protection does not allow it. */
static DWORD expect_protection(DWORD protection, DWORD access) {
    DWORD kind = access & ~(DWORD)FILE_MAP_EXECUTE;
    bool execute = (access & FILE_MAP_EXECUTE) != 0;
    bool copies = kind == FILE_MAP_COPY;
    bool stores = !copies && (kind & FILE_MAP_WRITE) != 0;
    bool loads = !copies && !stores && (kind & FILE_MAP_READ) != 0;
    if (!copies && !stores && !loads) {
        return PAGE_NOACCESS;
    }
    if ((stores && !is_writable(protection)) || (execute && !is_executable(protection))) {
        return 0;
    }
    DWORD plain = copies ? PAGE_WRITECOPY : stores ? PAGE_READWRITE : PAGE_READONLY;
    return execute ? plain << 4 : plain;
}

typedef struct view_question {
    DWORD protection;
    uint64_t section_size;
    DWORD access;
    uint64_t offset;
    uint64_t length;
} view_question;

static void judge_view(const view_question *q, outcome got) {
    DWORD protection = expect_protection(q->protection, q->access);
    if (q->offset % GRANULARITY != 0) {
        ask(got, failed_with(ERROR_MAPPED_ALIGNMENT));
    } else if (protection != 0 && q->offset >= q->section_size) {
        ask_either(got, failed_with(ERROR_ACCESS_DENIED), failed_with(ERROR_INVALID_PARAMETER));
    } else if (protection == 0 || q->length > q->section_size - q->offset) {
        ask(got, failed_with(ERROR_ACCESS_DENIED));
    } else {
        ask(got, succeeded_with(protection));
    }
}

/* ---- The questions ---- */

static void look_at(const view_question *q, const unsigned char *view, uint64_t file_size,
                    const MEMORY_BASIC_INFORMATION *facts) {
    uint64_t length = q->length > 0 ? q->length : q->section_size - q->offset;
    ask_fact("base modulo 65536", (uintptr_t)view % GRANULARITY, 0);
    ask_fact("RegionSize", facts->RegionSize, (length + PAGE - 1) / PAGE * PAGE);
    ask_fact("distance from AllocationBase",
             (uint64_t)((uintptr_t)view - (uintptr_t)facts->AllocationBase), 0);
    ask_fact("State", facts->State, MEM_COMMIT);
    ask_fact("Type", facts->Type, MEM_MAPPED);
    if (facts->Protect == PAGE_NOACCESS) {
        return;
    }
    uint64_t last = length - 1;
    ask_fact("the first byte", view[0], q->offset < file_size ? scratch_byte(q->offset, SEED) : 0);
    ask_fact("the last byte", view[last],
             q->offset + last < file_size ? scratch_byte(q->offset + last, SEED) : 0);
}

static void ask_view(HANDLE section, const view_question *q, uint64_t file_size) {
    unsigned char *view = MapViewOfFile(section, q->access, (DWORD)(q->offset >> 32),
                                        (DWORD)q->offset, (SIZE_T)q->length);
    if (view == NULL) {
        judge_view(q, failed_with(GetLastError()));
        return;
    }
    MEMORY_BASIC_INFORMATION facts = {0};
    VirtualQuery(view, &facts, sizeof facts);
    judge_view(q, succeeded_with(facts.Protect));
    look_at(q, view, file_size, &facts);
    ask_fact("UnmapViewOfFile", (uint64_t)UnmapViewOfFile(view), TRUE);
}

static void ask_views(HANDLE section, DWORD file_access, DWORD protection, uint64_t section_size,
                      uint64_t file_size) {
    const uint64_t offsets[] = {
        0, 1, PAGE, GRANULARITY, 2 * GRANULARITY, 4 * GRANULARITY, (uint64_t)1 << 40};
    for (size_t a = 0; a < COUNT(view_accesses); a++) {
        for (size_t o = 0; o < COUNT(offsets); o++) {
            uint64_t rest = section_size > offsets[o] ? section_size - offsets[o] : PAGE;
            const uint64_t lengths[] = {0, 1, rest, rest + 1, (uint64_t)5 << 30, UINT64_MAX};
            for (size_t l = 0; l < COUNT(lengths); l++) {
                view_question q = {protection, section_size, view_accesses[a], offsets[o],
                                   lengths[l]};
                row("file %s of %llu, %s of %llu, view %s, offset %llu, length %llu",
                    file_access_name(file_access), (unsigned long long)file_size,
                    protection_name(protection), (unsigned long long)section_size,
                    view_access_name(q.access), (unsigned long long)q.offset,
                    (unsigned long long)q.length);
                ask_view(section, &q, file_size);
            }
        }
    }
}

static void ask_section(DWORD access, DWORD protection, uint64_t size, uint64_t file_size) {
    scratch_file("product", file_size, SEED);
    HANDLE file = open_existing("product", access, SHARE_ALL);
    HANDLE section =
        CreateFileMappingA(file, NULL, protection, (DWORD)(size >> 32), (DWORD)size, NULL);
    outcome got = section != NULL ? OK : failed_with(GetLastError());
    row("file %s of %llu, %s, size %llu", file_access_name(access), (unsigned long long)file_size,
        protection_name(protection), (unsigned long long)size);
    ask_but(got, expect_section(access, protection, size, file_size, true), WINE_EXECUTE_UNCHECKED,
            expect_section(access, protection, size, file_size, false));

    bool grows = section != NULL && size > file_size;
    ask_fact("the file's size afterwards", (uint64_t)scratch_size("product"),
             grows ? size : file_size);
    if (section != NULL) {
        ask_views(section, access, protection, size > 0 ? size : file_size, file_size);
        CloseHandle(section);
    }
    CloseHandle(file);
}

static void ask_sections(uint64_t file_size) {
    const uint64_t sizes[] = {
        0, 1, PAGE + 1, GRANULARITY, file_size, file_size + 1, 3 * GRANULARITY + 5};
    for (size_t a = 0; a < COUNT(file_accesses); a++) {
        for (size_t p = 0; p < COUNT(protections); p++) {
            for (size_t s = 0; s < COUNT(sizes); s++) {
                ask_section(file_accesses[a], protections[p], sizes[s], file_size);
            }
        }
    }
    scratch_remove("product");
    all_rows_agree();
}

static void every_section_and_view_of_a_file_that_ends_inside_a_page(void **state) {
    (void)state;
    ask_sections(100000);
}

static void every_section_and_view_of_a_file_of_whole_granules(void **state) {
    (void)state;
    ask_sections(2 * GRANULARITY);
}

static void every_section_and_view_of_an_empty_file(void **state) {
    (void)state;
    ask_sections(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_section_and_view_of_a_file_that_ends_inside_a_page),
        cmocka_unit_test(every_section_and_view_of_a_file_of_whole_granules),
        cmocka_unit_test(every_section_and_view_of_an_empty_file),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
