/*
 * conformance.c - counting, naming and judging the rows of the conformance table.
 */
#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_NAMED_DIFFERENCES = 40, NAME_SIZE = 128, NAMES_IN_USE = 4 };

static const struct {
    const char *name;
    conformance_system system;
    const char *text;
} exceptions[] = {
#define CONFORMANCE_ROW(name, system, text) {#name, system, text},
    CONFORMANCE_EXCEPTIONS(CONFORMANCE_ROW)
#undef CONFORMANCE_ROW
};

static char current_row[512];
static unsigned rows_asked;
static unsigned rows_open;
static unsigned differences; /* in this test */
static unsigned exception_uses[CONFORMANCE_EXCEPTION_COUNT];

conformance_system conformance_where(void) {
#if defined(_WIN32)
    HMODULE system = GetModuleHandleA("ntdll.dll");
    return system != NULL && GetProcAddress(system, "wine_get_version") != NULL ? WINE
                                                                                : REAL_WINDOWS;
#else
    return KEEPMAP;
#endif
}

/* ---- Outcomes ---- */

outcome failed_with(DWORD code) {
    return (outcome){true, code};
}

outcome succeeded_with(uint32_t detail) {
    return (outcome){false, detail};
}

outcome of_bool(BOOL success) {
    return success ? OK : failed_with(GetLastError());
}

outcome of_handle(HANDLE handle) {
    if (handle == NULL || handle == INVALID_HANDLE_VALUE) {
        return failed_with(GetLastError());
    }
    CloseHandle(handle);
    return OK;
}

bool same_outcome(outcome one, outcome other) {
    return one.failed == other.failed && one.value == other.value;
}

static void write_outcome(char *text, size_t size, outcome it) {
    if (it.failed) {
        snprintf(text, size, "error %u", (unsigned)it.value);
    } else if (it.value == 0) {
        snprintf(text, size, "ok");
    } else {
        snprintf(text, size, "%s", protection_name(it.value));
    }
}

/* ---- Rows ---- */

void row(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(current_row, sizeof current_row, format, list);
    va_end(list);
}

static void differs(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void differs(const char *format, ...) {
    differences++;
    if (differences > MAX_NAMED_DIFFERENCES) {
        return;
    }
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printf("# differs: %s: %s\n", current_row, text);
}

void ask(outcome got, outcome want) {
    rows_asked++;
    if (same_outcome(got, want)) {
        return;
    }
    char texts[2][64];
    write_outcome(texts[0], sizeof texts[0], got);
    write_outcome(texts[1], sizeof texts[1], want);
    differs("got %s, want %s", texts[0], texts[1]);
}

void ask_but(outcome got, outcome want, conformance_exception exception, outcome does) {
    if (same_outcome(want, does) || exceptions[exception].system != conformance_where()) {
        ask(got, want);
        return;
    }
    if (same_outcome(got, want)) {
        rows_asked++;
        differs("agrees with Windows by now: the exception %s no longer holds",
                exceptions[exception].name);
        return;
    }
    exception_uses[exception]++;
    ask(got, does);
}

void ask_either(outcome got, outcome one, outcome other) {
    rows_open++;
    ask(got, same_outcome(got, other) ? other : one);
}

void ask_fact(const char *fact, uint64_t got, uint64_t want) {
    rows_asked++;
    if (got != want) {
        differs("%s is %llu, want %llu", fact, (unsigned long long)got, (unsigned long long)want);
    }
}

void all_rows_agree(void) {
    unsigned count = differences;
    differences = 0;
    if (count > 0) {
        fail_msg("%u rows differ from Windows", count);
    }
}

int conformance_summary(void **state) {
    (void)state;
    printf("# %u rows asked; for %u of them Windows' answer is not known\n", rows_asked, rows_open);
    for (size_t i = 0; i < CONFORMANCE_EXCEPTION_COUNT; i++) {
        if (exception_uses[i] > 0) {
            printf("# exception %s in %u rows: %s\n", exceptions[i].name, exception_uses[i],
                   exceptions[i].text);
        }
    }
    return 0;
}

/* ---- Names ---- */

typedef struct bit_name {
    DWORD bit;
    const char *name;
} bit_name;

static const char *name_bits(DWORD value, const bit_name *names, size_t count) {
    static char buffers[NAMES_IN_USE][NAME_SIZE];
    static unsigned next;
    char *text = buffers[next++ % NAMES_IN_USE];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && value != 0 && length < NAME_SIZE; i++) {
        if ((value & names[i].bit) == names[i].bit) {
            length += (size_t)snprintf(text + length, NAME_SIZE - length, "%s%s",
                                       length > 0 ? "|" : "", names[i].name);
            value &= ~names[i].bit;
        }
    }
    if (length < NAME_SIZE && (value != 0 || length == 0)) {
        snprintf(text + length, NAME_SIZE - length, "%s%#x", length > 0 ? "|" : "",
                 (unsigned)value);
    }
    return text;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *protection_name(DWORD protection) {
    static const bit_name names[] = {
        {PAGE_NOACCESS, "PAGE_NOACCESS"},
        {PAGE_READONLY, "PAGE_READONLY"},
        {PAGE_READWRITE, "PAGE_READWRITE"},
        {PAGE_WRITECOPY, "PAGE_WRITECOPY"},
        {PAGE_EXECUTE, "PAGE_EXECUTE"},
        {PAGE_EXECUTE_READ, "PAGE_EXECUTE_READ"},
        {PAGE_EXECUTE_READWRITE, "PAGE_EXECUTE_READWRITE"},
        {PAGE_EXECUTE_WRITECOPY, "PAGE_EXECUTE_WRITECOPY"},
        {PAGE_GUARD, "PAGE_GUARD"},
        {PAGE_NOCACHE, "PAGE_NOCACHE"},
    };
    return name_bits(protection, names, COUNT(names));
}

const char *view_access_name(DWORD access) {
    static const bit_name names[] = {
        {FILE_MAP_ALL_ACCESS, "ALL_ACCESS"}, {FILE_MAP_COPY, "COPY"},       {FILE_MAP_READ, "READ"},
        {FILE_MAP_WRITE, "WRITE"},           {FILE_MAP_EXECUTE, "EXECUTE"},
    };
    return name_bits(access, names, COUNT(names));
}

const char *file_access_name(DWORD access) {
    static const bit_name names[] = {
        {GENERIC_READ, "R"},          {GENERIC_WRITE, "W"}, {GENERIC_EXECUTE, "X"},
        {GENERIC_ALL, "GENERIC_ALL"}, {DELETE, "DELETE"},
    };
    return name_bits(access, names, COUNT(names));
}

/* ---- What most rows begin with ---- */

HANDLE open_existing(const char *name, DWORD access, DWORD share) {
    HANDLE file = CreateFileA(name, access, share, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        fail_msg("%s cannot be opened: error %u", name, (unsigned)GetLastError());
    }
    return file;
}

HANDLE section_of(HANDLE file, DWORD protection, uint64_t size) {
    HANDLE section = CreateFileMappingA(file, NULL, protection, (DWORD)(size >> 32),
                                        (DWORD)(size & 0xFFFFFFFFu), NULL);
    if (section == NULL) {
        fail_msg("no section (%s, %llu bytes): error %u", protection_name(protection),
                 (unsigned long long)size, (unsigned)GetLastError());
    }
    return section;
}

DWORD protection_at(const void *address) {
    MEMORY_BASIC_INFORMATION facts;
    return VirtualQuery(address, &facts, sizeof facts) == sizeof facts ? facts.Protect : 0;
}
