/*
 * name_user_posix.c - processes that use the same names at random, and look whether all they see
 * can be.
 *
 * What can be: a call succeeds, or the name is another kind's, or there is none to open. Whoever
 * has a handle finds the same object by its name, and nobody else has another one. A section's
 * first word is set by whoever sees it first while he has a handle, to a mark drawn at that moment;
 * so sections of one name follow each other with growing marks, and an old one must not come back.
 */
#include "name_user.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "posix/named_object.h"
#include "process_facts.h"

#define ACCESS (FILE_MAP_READ | FILE_MAP_WRITE)

enum { HANDLES = 6, SECTION_NAMES = 4, PAGE = 4096, MOST_PAGES = 3 };
enum { SEMAPHORE_START = 1000000, REST_EVERY = 20, MOST_TURNS = 16, LONGEST_PAUSE_NS = 20000000 };

/* A handle of this process, or a view without one. */
typedef struct hold {
    HANDLE handle; /* NULL: none any more */
    unsigned name;
    kmw_kind kind;
    uint64_t identity;
    _Atomic(uint64_t) *view; /* of a section; NULL: none */
    size_t size;
    uint64_t mark;
} hold;

static const name_plan *plan;
static char names[NAMES][64];

static unsigned seat;
static bool is_child;
static hold holds[HANDLES];
static pid_t child;
static bool child_may_die;

static bool is_section_name(unsigned name) {
    return name < SECTION_NAMES;
}

static void count(atomic_ulong *counter) {
    atomic_fetch_add(counter, 1);
}

/* ---- Calls, none of which may take long ---- */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static HANDLE create_object(kmw_kind kind, const char *name) {
    const DWORD size = PAGE * (1 + stress_random(MOST_PAGES));
    switch (kind) {
    case KMW_SECTION:
        return CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, size, name);
    case KMW_EVENT:
        return CreateEventA(NULL, TRUE, TRUE, name);
    case KMW_MUTEX:
        return CreateMutexA(NULL, FALSE, name);
    default:
        return CreateSemaphoreA(NULL, SEMAPHORE_START, SEMAPHORE_START, name);
    }
}

static HANDLE open_object(kmw_kind kind, const char *name) {
    switch (kind) {
    case KMW_SECTION:
        return OpenFileMappingA(ACCESS, FALSE, name);
    case KMW_EVENT:
        return OpenEventA(EVENT_ALL_ACCESS, FALSE, name);
    case KMW_MUTEX:
        return OpenMutexA(MUTEX_ALL_ACCESS, FALSE, name);
    default:
        return OpenSemaphoreA(SEMAPHORE_ALL_ACCESS, FALSE, name);
    }
}

/* *error: the last error, or 0. */
static HANDLE call(HANDLE (*function)(kmw_kind kind, const char *name), kmw_kind kind,
                   unsigned name, DWORD *error) {
    const uint64_t began = now_ns();
    alarm(NAME_HANG_SECONDS);
    SetLastError(ERROR_SUCCESS);
    HANDLE handle = function(kind, names[name]);
    *error = GetLastError();
    name_board_took(now_ns() - began);
    return handle;
}

static void close_handle(HANDLE handle) {
    const uint64_t began = now_ns();
    alarm(NAME_HANG_SECONDS);
    if (!CloseHandle(handle)) {
        stress_fail("CloseHandle: %u", (unsigned)GetLastError());
    }
    name_board_took(now_ns() - began);
}

/* ---- What a new handle leads to ---- */

static size_t size_of_view(const void *view) {
    MEMORY_BASIC_INFORMATION facts;
    if (VirtualQuery(view, &facts, sizeof facts) != sizeof facts) {
        stress_fail("VirtualQuery: %u", (unsigned)GetLastError());
    }
    return facts.RegionSize;
}

static void map(hold *at) {
    at->view = MapViewOfFile(at->handle, FILE_MAP_WRITE, 0, 0, 0);
    if (at->view == NULL) {
        stress_fail("MapViewOfFile of name %u: %u", at->name, (unsigned)GetLastError());
    }
    at->size = size_of_view(at->view);
    count(&name_board_counts()->views);
}

/* Nothing but marks is ever stored in a section: the first word, its maker's, and the last. */
static void look_at_memory(const hold *at) {
    const size_t words = at->size / sizeof *at->view;
    if (at->size % PAGE != 0 || at->size < PAGE || at->size > (size_t)MOST_PAGES * PAGE) {
        stress_fail("a section of %zu bytes", at->size);
    }
    for (size_t i = 2; i + 1 < words; i++) {
        if (atomic_load_explicit(&at->view[i], memory_order_relaxed) != 0) {
            stress_fail("word %zu of a section is not zero", i);
        }
    }
    const uint64_t last = atomic_load(&at->view[words - 1]);
    if (last != 0 && last != at->mark) {
        stress_fail("the ends of a section bear marks %llx and %llx", (unsigned long long)at->mark,
                    (unsigned long long)last);
    }
}

static uint64_t mark(_Atomic(uint64_t) *word, unsigned name) {
    uint64_t there = 0;
    const uint64_t drawn = name_board_draw(name);
    if (atomic_compare_exchange_strong(word, &there, drawn)) {
        return drawn;
    }
    if (!name_board_is_mark(there, name)) {
        stress_fail("name %u leads to memory that begins with %llx", name,
                    (unsigned long long)there);
    }
    return there;
}

/* `newest` was the newest mark known before the call that got the handle. */
static void check_section(hold *at, bool made, uint64_t newest) {
    uint64_t nobody = 0;
    map(at);
    at->mark = mark(&at->view[0], at->name);
    if (made ? at->mark <= newest : at->mark < newest) {
        stress_fail("name %u: %llx was there already, and %llx is %s", at->name,
                    (unsigned long long)newest, (unsigned long long)at->mark,
                    made ? "new" : "found");
    }
    if (made && !atomic_compare_exchange_strong(&at->view[1], &nobody, at->mark)) {
        stress_fail("two have made the same section");
    }
    name_board_saw(at->name, at->mark);
    look_at_memory(at);
    atomic_store(&at->view[at->size / sizeof *at->view - 1], at->mark);
}

/* Others may have it, for a moment, or die with it: then the next is told. */
static void check_mutex(HANDLE mutex) {
    const DWORD result = WaitForSingleObject(mutex, 0);
    if (result == WAIT_TIMEOUT) {
        return;
    }
    if ((result != WAIT_OBJECT_0 && result != WAIT_ABANDONED) || !ReleaseMutex(mutex)) {
        stress_fail("a mutex: %u, error %u", (unsigned)result, (unsigned)GetLastError());
    }
}

static void check_semaphore(HANDLE semaphore) {
    LONG before = -1;
    if (WaitForSingleObject(semaphore, 0) != WAIT_OBJECT_0 ||
        !ReleaseSemaphore(semaphore, 1, &before)) {
        stress_fail("a semaphore: error %u", (unsigned)GetLastError());
    }
    if (before >= SEMAPHORE_START || before < SEMAPHORE_START / 2) {
        stress_fail("a semaphore's count is %d", (int)before);
    }
}

static void check(hold *at, bool made, uint64_t newest) {
    switch (at->kind) {
    case KMW_SECTION:
        check_section(at, made, newest);
        break;
    case KMW_EVENT:
        if (WaitForSingleObject(at->handle, 0) != WAIT_OBJECT_0) {
            stress_fail("an event that is made signaled, and never reset, is not");
        }
        break;
    case KMW_MUTEX:
        check_mutex(at->handle);
        break;
    default:
        check_semaphore(at->handle);
    }
}

/* ---- Getting handles ---- */

/* Half of the time all come to the same one, which changes every millisecond. */
static unsigned any_name(void) {
    return stress_random(2) ? (unsigned)(now_ns() / 1000000 % NAMES) : stress_random(NAMES);
}

static kmw_kind any_kind(unsigned name) {
    static const kmw_kind kinds[] = {KMW_SECTION, KMW_EVENT, KMW_MUTEX, KMW_SEMAPHORE};
    return is_section_name(name) ? KMW_SECTION : kinds[stress_random(4)];
}

/* There is no handle: why may that be? */
static void explain(const char *what, unsigned name, bool opening, DWORD error) {
    if (opening && error == ERROR_FILE_NOT_FOUND) {
        count(&name_board_counts()->absent);
    } else if (!is_section_name(name) && error == ERROR_INVALID_HANDLE) {
        count(&name_board_counts()->clashes);
    } else {
        stress_fail("%s name %u: error %u", what, name, (unsigned)error);
    }
}

static void take(hold *at, bool opening) {
    DWORD error = ERROR_SUCCESS;
    const unsigned name = any_name();
    const kmw_kind kind = any_kind(name);
    const uint64_t newest = name_board_newest(name);
    HANDLE handle = call(opening ? open_object : create_object, kind, name, &error);
    if (handle == NULL) {
        explain(opening ? "opening" : "creating", name, opening, error);
        return;
    }
    if (error != ERROR_SUCCESS && (opening || error != ERROR_ALREADY_EXISTS)) {
        stress_fail("a handle to name %u, and error %u", name, (unsigned)error);
    }
    *at = (hold){.handle = handle, .name = name, .kind = kind};
    at->identity = name_board_identity(handle);
    name_board_enter(plan->crowd, seat, name, at->identity);
    name_counts *counts = name_board_counts();
    count(opening ? &counts->opened : error == ERROR_SUCCESS ? &counts->made : &counts->found);
    check(at, !opening && error == ERROR_SUCCESS, newest);
}

/* Who has a handle finds the object by its name, and as what it is. */
static void find_again(const hold *at) {
    DWORD error = ERROR_SUCCESS;
    const bool opening = stress_random(2);
    HANDLE other = call(opening ? open_object : create_object, at->kind, at->name, &error);
    if (other == NULL || (!opening && error != ERROR_ALREADY_EXISTS)) {
        stress_fail("name %u is held, and %s it: %s, error %u", at->name,
                    opening ? "opening" : "creating", other == NULL ? "none" : "made",
                    (unsigned)error);
    }
    if (name_board_identity(other) != at->identity) {
        stress_fail("name %u is held, and leads to another object", at->name);
    }
    close_handle(other);
    const kmw_kind kind = any_kind(at->name);
    if (kind != at->kind) {
        other = call(opening ? open_object : create_object, kind, at->name, &error);
        if (other != NULL || error != ERROR_INVALID_HANDLE) {
            stress_fail("name %u is held, and another kind by it: error %u", at->name,
                        (unsigned)error);
        }
    }
    count(&name_board_counts()->again);
}

static void duplicate(hold *at) {
    HANDLE other = NULL;
    const DWORD options = DUPLICATE_SAME_ACCESS | (stress_random(2) ? DUPLICATE_CLOSE_SOURCE : 0);
    if (!DuplicateHandle(GetCurrentProcess(), at->handle, GetCurrentProcess(), &other, 0, FALSE,
                         options)) {
        stress_fail("DuplicateHandle: %u", (unsigned)GetLastError());
    }
    if (!(options & DUPLICATE_CLOSE_SOURCE)) {
        close_handle(at->handle);
    }
    at->handle = other;
    count(&name_board_counts()->duplicates);
}

/* ---- Giving them back ---- */

static void unmap(hold *at) {
    look_at_memory(at);
    if (atomic_load(&at->view[0]) != at->mark || !UnmapViewOfFile(at->view)) {
        stress_fail("a view has lost its memory, or itself");
    }
    at->view = NULL;
}

static bool has_another(const hold *at) {
    for (const hold *other = holds; other < holds + HANDLES; other++) {
        if (other != at && other->handle != NULL && other->name == at->name) {
            return true;
        }
    }
    return false;
}

/* A view may stay behind. */
static void let_go(hold *at) {
    if (at->handle == NULL || stress_random(2)) {
        if (at->view != NULL) {
            unmap(at);
        }
    }
    if (at->handle != NULL) {
        if (!has_another(at)) {
            name_board_strike(seat, at->name);
        }
        close_handle(at->handle);
        at->handle = NULL;
    }
}

static void let_all_go(void) {
    for (hold *at = holds; at < holds + HANDLES; at++) {
        while (at->handle != NULL || at->view != NULL) {
            let_go(at);
        }
    }
}

/* ---- Children, who have what their parents have ---- */

static void wait_for_child(void) {
    int status = 0;
    if (child == 0) {
        return;
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            stress_fail("a child is lost");
        }
    }
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) && !(child_may_die && killed)) {
        stress_fail("a child ended with status %x", (unsigned)status);
    }
    child = 0;
}

static void take_turns(unsigned turns);

/* As a program ends: by closing everything, by exit, at once, or by force. */
_Noreturn static void end_child(void) {
    const unsigned how = stress_random(plan->may_die ? 4 : 2);
    if (how == 0) {
        let_all_go();
    }
    name_board_leave_seat(seat);
    switch (how) {
    case 2:
        _exit(0);
    case 3:
        count(&name_board_counts()->suicides);
        (void)raise(SIGKILL);
        _exit(1);
    default:
        exit(0); /* NOLINT(concurrency-mt-unsafe): of one thread */
    }
}

_Noreturn static void be_child(unsigned turns) {
    is_child = true;
    seat = name_board_take_seat();
    for (const hold *at = holds; at < holds + HANDLES; at++) {
        if (at->handle != NULL) {
            name_board_enter(plan->crowd, seat, at->name, at->identity);
        }
    }
    take_turns(turns);
    end_child();
}

/* Half of the time both close what they have in common, at once. */
static void fork_child(void) {
    wait_for_child();
    const unsigned turns = stress_random(2) ? stress_random(8) : 0;
    const uint32_t dice = stress_random(UINT32_MAX);
    count(&name_board_counts()->forks);
    child_may_die = plan->may_die;
    child = fork();
    if (child < 0) {
        stress_fail("no more processes");
    }
    if (child == 0) {
        stress_reseed(dice);
        be_child(turns);
    }
    if (turns == 0) {
        let_all_go();
    }
}

/* ---- Turns ---- */

static void take_turn(void) {
    hold *at = &holds[stress_random(HANDLES)];
    if (at->handle == NULL && at->view == NULL) {
        take(at, stress_random(2));
        return;
    }
    switch (at->handle == NULL ? 0 : stress_random(6)) {
    case 0:
    case 1:
    case 2:
        let_go(at);
        break;
    case 3:
        duplicate(at);
        break;
    case 4:
        find_again(at);
        break;
    default:
        if (!is_child && stress_random(3) == 0) {
            fork_child();
        }
    }
}

/* With nothing in hand a process has as many descriptors as it began with, and no object mapped. */
static void rest(unsigned descriptors) {
    let_all_go();
    wait_for_child();
    const unsigned now = process_descriptors();
    const unsigned mapped = process_mappings("/dev/shm/");
    if (now != descriptors || mapped != 0) {
        stress_fail("%u descriptors have become %u, %u objects are still mapped", descriptors, now,
                    mapped);
    }
    count(&name_board_counts()->rests);
}

static void hangs(int signal) {
    (void)signal;
    static const char text[] = "a call on a name hangs\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

/* Somewhat later, with nothing in hand: names are free most of the time, and contended when not. */
static void stay_away(void) {
    const struct timespec pause = {.tv_nsec = (long)stress_random(LONGEST_PAUSE_NS)};
    nanosleep(&pause, NULL);
}

static void take_turns(unsigned turns) {
    while (turns-- > 0) {
        take_turn();
    }
}

void name_user_work(unsigned worker) {
    seat = worker;
    (void)signal(SIGALRM, hangs);
    kmw_sweep_interval_ms = worker % 2 == 0 ? 0 : 1000;
    const unsigned descriptors = process_descriptors();
    for (unsigned stay = 1; plan->stays == 0 ? stress_goes_on() : stay <= plan->stays; stay++) {
        take_turns(stress_random(MOST_TURNS));
        let_all_go();
        if (stay % REST_EVERY == 0) {
            rest(descriptors);
        }
        if (plan->stays == 0) {
            stay_away();
        }
    }
    rest(descriptors);
    alarm(0);
}

/* ---- Before all ---- */

const char *name_user_name(unsigned name) {
    return names[name];
}

static void keep_directory_of(unsigned name) {
    DWORD error = ERROR_SUCCESS;
    HANDLE handle = call(create_object, KMW_SECTION, name, &error);
    if (handle == NULL) {
        stress_fail("creating name %u: error %u", name, (unsigned)error);
    }
    close_handle(handle);
}

void name_user_begin(const name_plan *its_plan) {
    plan = its_plan;
    name_board_make();
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s\\km-test-%ld-%u", i % 2 ? "Global" : "Local",
                       (long)getpid(), i);
    }
    keep_directory_of(0);
    keep_directory_of(1);
    alarm(0);
}
