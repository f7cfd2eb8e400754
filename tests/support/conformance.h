/*
 * conformance.h - asking a system the rows of the Win32 conformance table.
 *
 * The same questions go to keepmap's calls, to Wine and to Windows; the answers wanted are always
 * Windows'. A test asks all its rows and fails at its end, having named each row that differs:
 *
 *     file R+W, PAGE_WRITECOPY, view COPY|READ, offset 65536, length 0: got 5, want PAGE_READONLY
 */
#ifndef TESTS_CONFORMANCE_H
#define TESTS_CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap/win32.h>

#include "conformance_exceptions.h"

/* What a call came to: an error code, or success with a detail such as a page protection. */
typedef struct outcome {
    bool failed;
    uint32_t value;
} outcome;

#define OK ((outcome){false, 0})

outcome failed_with(DWORD code);
outcome succeeded_with(uint32_t detail);
/* Of a call that has just returned this. */
outcome of_bool(BOOL success);
/* The handle, if it is one, is closed. */
outcome of_handle(HANDLE handle);
bool same_outcome(outcome one, outcome other);

/* Names the row that the next ask_ is about; printf-like. */
void row(const char *format, ...) __attribute__((format(printf, 1, 2)));

void ask(outcome got, outcome want);
/* The exception's system gives `does` instead; the others what is wanted. */
void ask_but(outcome got, outcome want, conformance_exception exception, outcome does);
/* Nobody knows which of the two Windows does. */
void ask_either(outcome got, outcome one, outcome other);
/* A plain fact of the row, such as the length of a region. */
void ask_fact(const char *fact, uint64_t got, uint64_t want);

/* The last line of a test: fails it if a row differed. */
void all_rows_agree(void);
/* Group teardown: prints how many rows were asked and which exceptions were used. */
int conformance_summary(void **state);

conformance_system conformance_where(void);

/* Names for rows, in the table's own words. Valid until the fourth next call. */
const char *protection_name(DWORD protection);
const char *view_access_name(DWORD access);
const char *file_access_name(DWORD access);

/* Opens a file, failing the test if that does not work. */
HANDLE open_existing(const char *name, DWORD access, DWORD share);
HANDLE section_of(HANDLE file, DWORD protection, uint64_t size);
DWORD protection_at(const void *address);

#define R_ACCESS GENERIC_READ
#define W_ACCESS GENERIC_WRITE
#define RW_ACCESS (GENERIC_READ | GENERIC_WRITE)
#define RWX_ACCESS (GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE)
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

#endif /* TESTS_CONFORMANCE_H */
