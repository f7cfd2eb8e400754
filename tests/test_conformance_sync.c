/*
 * test_conformance_sync.c - events, mutexes, semaphores and waits: what each call answers.
 *
 * The rules of names are asked in test_conformance_names.c, of sections; here, that the other kinds
 * have the same ones.
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
#define ALL_ACCESS 0xFFFFFFFFu /* of the kind */

static const outcome denied = {true, ERROR_ACCESS_DENIED};
static const outcome no_handle = {true, ERROR_INVALID_HANDLE};
static const outcome invalid = {true, ERROR_INVALID_PARAMETER};

typedef struct kind {
    const char *name;
    HANDLE (*create)(const char *name);
    HANDLE (*open)(DWORD access, const char *name);
    BOOL (*signal)(HANDLE object);
    DWORD modify;
} kind;

static HANDLE create_event(const char *name) {
    return CreateEventA(NULL, TRUE, FALSE, name);
}
static HANDLE open_event(DWORD access, const char *name) {
    return OpenEventA(access == ALL_ACCESS ? EVENT_ALL_ACCESS : access, FALSE, name);
}
static HANDLE create_mutex(const char *name) {
    return CreateMutexA(NULL, FALSE, name);
}
static HANDLE open_mutex(DWORD access, const char *name) {
    return OpenMutexA(access == ALL_ACCESS ? MUTEX_ALL_ACCESS : access, FALSE, name);
}
static HANDLE create_semaphore(const char *name) {
    return CreateSemaphoreA(NULL, 0, 4, name);
}
static HANDLE open_semaphore(DWORD access, const char *name) {
    return OpenSemaphoreA(access == ALL_ACCESS ? SEMAPHORE_ALL_ACCESS : access, FALSE, name);
}
static BOOL release_one(HANDLE semaphore) {
    return ReleaseSemaphore(semaphore, 1, NULL);
}

static const kind kinds[] = {
    {"Event", create_event, open_event, SetEvent, EVENT_MODIFY_STATE},
    {"Mutex", create_mutex, open_mutex, ReleaseMutex, MUTEX_MODIFY_STATE},
    {"Semaphore", create_semaphore, open_semaphore, release_one, SEMAPHORE_MODIFY_STATE},
};

/* A name that no other run uses. Valid until the next call. */
static const char *own_name(const char *what) {
    static char name[100];
    snprintf(name, sizeof name, "keepmap-%lu-%s", (unsigned long)GetCurrentProcessId(), what);
    return name;
}

static outcome of_wait(DWORD result) {
    return result == WAIT_FAILED ? failed_with(GetLastError()) : succeeded_with(result);
}

/* Like of_handle, but an existing object is the detail ERROR_ALREADY_EXISTS. */
static outcome of_created(HANDLE handle) {
    const DWORD error = GetLastError();
    const outcome result = of_handle(handle);
    return result.failed ? result : succeeded_with(error);
}

static void names_follow_one_set_of_rules(void **state) {
    (void)state;
    char longest[MAX_PATH];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    static const struct {
        const char *name;
        DWORD error;
    } rows[] = {
        {"a\\b", ERROR_PATH_NOT_FOUND},   {"local\\x", ERROR_PATH_NOT_FOUND},
        {"\\x", ERROR_BAD_PATHNAME},      {"Local\\", ERROR_INVALID_NAME},
        {"Global", ERROR_INVALID_HANDLE},
    };
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < COUNT(rows); i++) {
            row("Create%s(\"%s\")", kinds[k].name, rows[i].name);
            ask(of_handle(kinds[k].create(rows[i].name)), failed_with(rows[i].error));
            row("Open%s(\"%s\")", kinds[k].name, rows[i].name);
            ask(of_handle(kinds[k].open(SYNCHRONIZE, rows[i].name)), failed_with(rows[i].error));
        }
        row("Open%s of a missing name", kinds[k].name);
        ask(of_handle(kinds[k].open(SYNCHRONIZE, own_name("missing"))),
            failed_with(ERROR_FILE_NOT_FOUND));
        row("Open%s(NULL)", kinds[k].name);
        ask(of_handle(kinds[k].open(SYNCHRONIZE, NULL)), invalid);
        row("Create%s, %u characters", kinds[k].name, (unsigned)strlen(longest));
        ask(of_created(kinds[k].create(longest)), OK);
        char longer[MAX_PATH + 1];
        snprintf(longer, sizeof longer, "%sx", longest);
        row("Create%s, %u characters", kinds[k].name, (unsigned)strlen(longer));
        const outcome too_long = failed_with(ERROR_FILENAME_EXCED_RANGE);
        ask_but(of_handle(kinds[k].create(longer)), too_long, WINE_LONG_MUTEX_NAMES,
                kinds[k].create == create_mutex ? OK : too_long);
    }
    all_rows_agree();
}

static void a_name_is_of_one_kind(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        HANDLE holder = kinds[k].create(own_name("kind"));
        row("Create%s of a new name", kinds[k].name);
        ask_fact("last error", GetLastError(), 0);
        ask_fact("made", holder != NULL, 1);
        for (size_t other = 0; other < COUNT(kinds); other++) {
            const bool same = other == k;
            row("Create%s of the name of a %s", kinds[other].name, kinds[k].name);
            ask(of_created(kinds[other].create(own_name("kind"))),
                same ? succeeded_with(ERROR_ALREADY_EXISTS) : no_handle);
            row("Open%s of the name of a %s", kinds[other].name, kinds[k].name);
            ask(of_handle(kinds[other].open(SYNCHRONIZE, own_name("kind"))), same ? OK : no_handle);
        }
        char prefixed[400];
        snprintf(prefixed, sizeof prefixed, "Local\\%s", own_name("kind"));
        row("Open%s with Local\\", kinds[k].name);
        ask(of_handle(kinds[k].open(SYNCHRONIZE, prefixed)), OK);
        row("Open%s in capitals", kinds[k].name);
        ask(of_handle(kinds[k].open(SYNCHRONIZE, own_name("KIND"))),
            failed_with(ERROR_FILE_NOT_FOUND));
        CloseHandle(holder);
        row("Open%s after the last handle", kinds[k].name);
        ask(of_handle(kinds[k].open(SYNCHRONIZE, own_name("kind"))),
            failed_with(ERROR_FILE_NOT_FOUND));
    }
    all_rows_agree();
}

static void opening_leaves_the_last_error_alone(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        HANDLE holder = kinds[k].create(own_name("untouched"));
        SetLastError(0xBEEF);
        HANDLE opened = kinds[k].open(SYNCHRONIZE, own_name("untouched"));
        row("Open%s", kinds[k].name);
        ask_fact("last error", GetLastError(), 0xBEEF);
        CloseHandle(opened);
        CloseHandle(holder);
    }
    all_rows_agree();
}

static void a_handle_has_the_rights_it_was_opened_with(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        const bool mutex = kinds[k].create == create_mutex;
        const outcome signaled = mutex ? failed_with(ERROR_NOT_OWNER) : OK;
        const struct {
            DWORD access;
            const char *name;
            bool waits, signals;
        } rows[] = {
            {SYNCHRONIZE, "SYNCHRONIZE", true, false},
            {kinds[k].modify, "MODIFY_STATE", false, true},
            {SYNCHRONIZE | kinds[k].modify, "both", true, true},
            {ALL_ACCESS, "ALL_ACCESS", true, true},
            {MAXIMUM_ALLOWED, "MAXIMUM_ALLOWED", true, true},
            {GENERIC_ALL, "GENERIC_ALL", true, true},
            {GENERIC_EXECUTE, "GENERIC_EXECUTE", true, false},
            {GENERIC_WRITE, "GENERIC_WRITE", false, true},
            {READ_CONTROL, "READ_CONTROL", false, false},
        };
        HANDLE holder = kinds[k].create(own_name("rights"));
        for (size_t i = 0; i < COUNT(rows); i++) {
            HANDLE opened = kinds[k].open(rows[i].access, own_name("rights"));
            row("%s opened with %s, to signal it", kinds[k].name, rows[i].name);
            ask_fact("opened", opened != NULL, 1);
            /* A mutex is released by its owner, whatever the handle's rights. */
            ask(of_bool(kinds[k].signal(opened)), rows[i].signals || mutex ? signaled : denied);
            row("%s opened with %s, to wait for it", kinds[k].name, rows[i].name);
            DWORD result = WaitForSingleObject(opened, 0);
            outcome waited = of_wait(result);
            if (result == WAIT_TIMEOUT) {
                waited = OK;
            }
            ask(waited, rows[i].waits ? OK : denied);
            if (mutex && result == WAIT_OBJECT_0) {
                row("%s opened with %s, released", kinds[k].name, rows[i].name);
                ask(of_bool(ReleaseMutex(opened)), OK);
            }
            CloseHandle(opened);
        }
        row("Open%s with no rights", kinds[k].name);
        ask_but(of_handle(kinds[k].open(0, own_name("rights"))), denied, WINE_OPENS_WITHOUT_ACCESS,
                OK);
        CloseHandle(holder);
    }
    all_rows_agree();
}

static void calls_want_their_own_kind(void **state) {
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        HANDLE object = kinds[k].create(NULL);
        for (size_t other = 0; other < COUNT(kinds); other++) {
            if (other != k) {
                row("what signals a %s, on a %s", kinds[other].name, kinds[k].name);
                ask(of_bool(kinds[other].signal(object)), no_handle);
            }
        }
        CloseHandle(object);
        row("what signals a %s, on a closed handle", kinds[k].name);
        ask(of_bool(kinds[k].signal(object)), no_handle);
    }
    all_rows_agree();
}

static void semaphores_count_between_zero_and_their_maximum(void **state) {
    (void)state;
    const outcome too_many = failed_with(ERROR_TOO_MANY_POSTS);
    row("CreateSemaphore, more than the maximum");
    ask(of_handle(CreateSemaphoreA(NULL, 2, 1, NULL)), invalid);
    row("CreateSemaphore, maximum 0");
    ask(of_handle(CreateSemaphoreA(NULL, 0, 0, NULL)), invalid);
    row("CreateSemaphore, less than nothing");
    ask(of_handle(CreateSemaphoreA(NULL, -1, 1, NULL)), invalid);
    HANDLE semaphore = CreateSemaphoreA(NULL, 1, 2, NULL);
    LONG before = 99;
    row("ReleaseSemaphore beyond the maximum");
    ask(of_bool(ReleaseSemaphore(semaphore, 2, &before)), too_many);
    row("ReleaseSemaphore of 0");
    ask_but(of_bool(ReleaseSemaphore(semaphore, 0, &before)), invalid, WINE_RELEASES_NOTHING, OK);
    row("ReleaseSemaphore of -1");
    ask_but(of_bool(ReleaseSemaphore(semaphore, -1, &before)), invalid, WINE_NEGATIVE_RELEASE_CODE,
            too_many);
    row("ReleaseSemaphore of 1");
    ask(of_bool(ReleaseSemaphore(semaphore, 1, &before)), OK);
    ask_fact("count before", (uint64_t)before, 1);
    CloseHandle(semaphore);
    all_rows_agree();
}

static void waits_answer_for_every_kind_of_handle(void **state) {
    (void)state;
    scratch_file("waited", 4096, 3);
    HANDLE file = open_existing("waited", R_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READONLY, 0);
    HANDLE event = create_event(NULL);
    row("WaitForSingleObject(NULL)");
    ask(of_wait(WaitForSingleObject(NULL, 0)), no_handle);
    row("WaitForSingleObject(garbage)");
    ask(of_wait(WaitForSingleObject((HANDLE)(uintptr_t)0x7654320, 0)), no_handle);
    row("WaitForSingleObject(INVALID_HANDLE_VALUE)");
    ask(of_wait(WaitForSingleObject(INVALID_HANDLE_VALUE, 0)), succeeded_with(WAIT_TIMEOUT));
    row("WaitForSingleObject(file)");
    ask(of_wait(WaitForSingleObject(file, 0)), OK);
    row("WaitForSingleObject(section)");
    ask(of_wait(WaitForSingleObject(section, 0)), denied);
    row("WaitForSingleObject(event)");
    ask(of_wait(WaitForSingleObject(event, 0)), succeeded_with(WAIT_TIMEOUT));
    row("WaitForSingleObject(handle + 3)");
    ask(of_wait(WaitForSingleObject((HANDLE)((uintptr_t)event + 3), 0)),
        succeeded_with(WAIT_TIMEOUT));
    CloseHandle(event);
    row("WaitForSingleObject(closed event)");
    ask(of_wait(WaitForSingleObject(event, 0)), no_handle);
    CloseHandle(section);
    CloseHandle(file);
    all_rows_agree();
}

static void waits_for_several_answer_as_documented(void **state) {
    (void)state;
    HANDLE event = create_event(NULL);
    scratch_file("several", 4096, 3);
    HANDLE file = open_existing("several", R_ACCESS, SHARE_ALL);
    HANDLE section = section_of(file, PAGE_READONLY, 0);
    HANDLE many[MAXIMUM_WAIT_OBJECTS + 1];
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = event;
    }
    row("WaitForMultipleObjects of none");
    ask(of_wait(WaitForMultipleObjects(0, many, FALSE, 0)), invalid);
    row("WaitForMultipleObjects of 65");
    ask(of_wait(WaitForMultipleObjects(COUNT(many), many, FALSE, 0)), invalid);
    row("WaitForMultipleObjects, any of 64 times the same");
    ask(of_wait(WaitForMultipleObjects(COUNT(many) - 1, many, FALSE, 0)),
        succeeded_with(WAIT_TIMEOUT));
    row("WaitForMultipleObjects, all of twice the same");
    ask_but(of_wait(WaitForMultipleObjects(2, many, TRUE, 0)), invalid, WINE_WAITS_FOR_TWINS,
            succeeded_with(WAIT_TIMEOUT));
    const HANDLE with_null[] = {event, NULL};
    row("WaitForMultipleObjects with NULL");
    ask(of_wait(WaitForMultipleObjects(2, with_null, FALSE, 0)), no_handle);
    const HANDLE with_section[] = {event, section};
    row("WaitForMultipleObjects with a section");
    ask(of_wait(WaitForMultipleObjects(2, with_section, FALSE, 0)), denied);
    const HANDLE with_process[] = {event, GetCurrentProcess()};
    row("WaitForMultipleObjects with GetCurrentProcess()");
    ask_but(of_wait(WaitForMultipleObjects(2, with_process, FALSE, 0)), no_handle,
            WINE_WAITS_FOR_PSEUDO_HANDLES, succeeded_with(WAIT_TIMEOUT));
    CloseHandle(section);
    CloseHandle(file);
    CloseHandle(event);
    all_rows_agree();
}

static void inheritance_is_remembered(void **state) {
    (void)state;
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    DWORD flags = 99;
    HANDLE made = CreateMutexA(&inherited, FALSE, own_name("inherit"));
    HANDLE plain = OpenMutexA(SYNCHRONIZE, FALSE, own_name("inherit"));
    HANDLE opened = OpenMutexA(SYNCHRONIZE, TRUE, own_name("inherit"));
    row("CreateMutex with bInheritHandle");
    ask(of_bool(GetHandleInformation(made, &flags)), OK);
    ask_fact("flags", flags, HANDLE_FLAG_INHERIT);
    row("OpenMutex without inheritance");
    ask(of_bool(GetHandleInformation(plain, &flags)), OK);
    ask_fact("flags", flags, 0);
    row("OpenMutex with inheritance");
    ask(of_bool(GetHandleInformation(opened, &flags)), OK);
    ask_fact("flags", flags, HANDLE_FLAG_INHERIT);
    CloseHandle(made);
    CloseHandle(plain);
    CloseHandle(opened);
    all_rows_agree();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_one_set_of_rules),
        cmocka_unit_test(a_name_is_of_one_kind),
        cmocka_unit_test(opening_leaves_the_last_error_alone),
        cmocka_unit_test(a_handle_has_the_rights_it_was_opened_with),
        cmocka_unit_test(calls_want_their_own_kind),
        cmocka_unit_test(semaphores_count_between_zero_and_their_maximum),
        cmocka_unit_test(waits_answer_for_every_kind_of_handle),
        cmocka_unit_test(waits_for_several_answer_as_documented),
        cmocka_unit_test(inheritance_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, conformance_summary);
}
