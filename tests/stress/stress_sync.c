/*
 * stress_sync.c - processes pass things through events, semaphores and mutexes, one by one and
 * several at once, while some of them are killed at any moment: nobody hangs, nobody is inside
 * together with somebody else, and every death inside is told once.
 *
 * First nobody is killed, and each worker does its part and ends. Waits do not look again by
 * themselves meanwhile, so a lost wake-up is a wait without end; and in the end there must be as
 * much as in the beginning.
 *
 * Then workers are killed. A token goes round through an auto-reset event; who dies with it takes
 * it along, and so does who dies in a seat. So each worker says before it takes something that it
 * may have it, and after giving it back that it has not; the parent gives back what a dead one may
 * have had. (Too many tokens do no harm, an event is set or not; nor do too many seats.) What is
 * counted under the mutex is counted in two places, one before and one after a pause; they differ
 * exactly when somebody died in between, and then the next owner must have been told so.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/sync_sleep.h"

#include "support/stress.h"

enum { WORKERS = 6, SEATS = 2, MANY = 1000000, PATIENCE_MS = 20000 };
enum { PEACEFUL_ROUNDS = 3000, AN_HOUR_MS = 3600 * 1000 };

typedef struct board {
    atomic_ulong before, after; /* under the mutex */
    atomic_int owner;           /* worker + 1, or 0 */
    atomic_ulong owned, told;   /* times */
    atomic_ulong tokens, seated, both;
    atomic_int sitting;                                    /* while nobody is killed */
    atomic_bool may_have_token[WORKERS], may_sit[WORKERS]; /* each set by its worker alone */
} board;

static board *shared;
static stress_crowd crowd;
static HANDLE token, seats, mutex, quiet;
static bool peaceful;

/* Others come in between, on few processors too. */
static void give_way(void) {
    const struct timespec moment = {.tv_nsec = 20000};
    if (stress_random(8) == 0) {
        nanosleep(&moment, NULL);
    } else {
        sched_yield();
    }
}

static void must(bool well, const char *what) {
    if (!well) {
        stress_fail("%s: error %u", what, (unsigned)GetLastError());
    }
}

static void be_inside(unsigned worker, bool told) {
    /* Long enough that a good part of the killed die here. */
    const struct timespec while_inside = {.tv_nsec = 200000};
    unsigned long before = atomic_load(&shared->before);
    int owner = atomic_load(&shared->owner);
    if (told) {
        atomic_fetch_add(&shared->told, 1);
    } else if (owner != 0 || before != atomic_load(&shared->after)) {
        stress_fail("the owner before (%d) left things undone, and nobody was told", owner);
    }
    atomic_store(&shared->owner, (int)worker + 1);
    atomic_store(&shared->before, before + 1);
    nanosleep(&while_inside, NULL);
    if (atomic_load(&shared->owner) != (int)worker + 1) {
        stress_fail("two are inside");
    }
    atomic_store(&shared->after, before + 1);
    atomic_store(&shared->owner, 0);
    atomic_fetch_add(&shared->owned, 1);
}

static void own(unsigned worker) {
    DWORD result = WaitForSingleObject(mutex, PATIENCE_MS);
    must(result == WAIT_OBJECT_0 || result == WAIT_ABANDONED, "the mutex");
    be_inside(worker, result == WAIT_ABANDONED);
    must(ReleaseMutex(mutex), "ReleaseMutex");
}

static void own_among_others(unsigned worker) {
    const HANDLE objects[] = {quiet, mutex};
    DWORD result = WaitForMultipleObjects(2, objects, FALSE, PATIENCE_MS);
    must(result == WAIT_OBJECT_0 + 1 || result == WAIT_ABANDONED_0 + 1, "the mutex among others");
    be_inside(worker, result == WAIT_ABANDONED_0 + 1);
    must(ReleaseMutex(mutex), "ReleaseMutex");
}

static void pass_the_token(unsigned worker, bool among_others) {
    const HANDLE objects[] = {quiet, token};
    atomic_store(&shared->may_have_token[worker], true);
    DWORD result = among_others ? WaitForMultipleObjects(2, objects, FALSE, PATIENCE_MS)
                                : WaitForSingleObject(token, PATIENCE_MS) + 1;
    must(result == WAIT_OBJECT_0 + 1, "the token");
    give_way();
    atomic_fetch_add(&shared->tokens, 1);
    must(SetEvent(token), "SetEvent");
    atomic_store(&shared->may_have_token[worker], false);
}

static void take_a_seat(unsigned worker) {
    atomic_store(&shared->may_sit[worker], true);
    must(WaitForSingleObject(seats, PATIENCE_MS) == WAIT_OBJECT_0, "a seat");
    if (atomic_fetch_add(&shared->sitting, 1) >= SEATS && peaceful) {
        stress_fail("more are sitting than there are seats");
    }
    give_way();
    atomic_fetch_add(&shared->seated, 1);
    atomic_fetch_sub(&shared->sitting, 1);
    must(ReleaseSemaphore(seats, 1, NULL), "ReleaseSemaphore");
    atomic_store(&shared->may_sit[worker], false);
}

static void take_both(unsigned worker) {
    const HANDLE objects[] = {mutex, token};
    atomic_store(&shared->may_have_token[worker], true);
    DWORD result = WaitForMultipleObjects(2, objects, TRUE, PATIENCE_MS);
    must(result == WAIT_OBJECT_0 || result == WAIT_ABANDONED_0, "mutex and token");
    be_inside(worker, result == WAIT_ABANDONED_0);
    atomic_fetch_add(&shared->both, 1);
    must(SetEvent(token), "SetEvent");
    atomic_store(&shared->may_have_token[worker], false);
    must(ReleaseMutex(mutex), "ReleaseMutex");
}

static void do_something(unsigned worker) {
    switch (stress_random(6)) {
    case 0:
        own(worker);
        break;
    case 1:
        own_among_others(worker);
        break;
    case 2:
        take_a_seat(worker);
        break;
    case 3:
        take_both(worker);
        break;
    default:
        pass_the_token(worker, stress_random(2));
    }
}

/* ---- Without killing ---- */

static void make_objects(void) {
    token = CreateEventA(NULL, FALSE, TRUE, NULL);
    seats = CreateSemaphoreA(NULL, SEATS, MANY, NULL);
    mutex = CreateMutexA(NULL, FALSE, NULL);
    quiet = CreateEventA(NULL, TRUE, FALSE, NULL);
    must(token != NULL && seats != NULL && mutex != NULL && quiet != NULL, "making them");
}

static pid_t start_peaceful(unsigned worker) {
    fflush(NULL);
    pid_t id = fork();
    if (id < 0) {
        stress_fail("no more processes");
    }
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stress_reseed(worker + 1);
        for (int i = 0; i < PEACEFUL_ROUNDS && stress_goes_on(); i++) {
            do_something(worker);
        }
        _exit(0);
    }
    return id;
}

static void live_in_peace(void) {
    pid_t ids[WORKERS];
    int status = 0;
    atomic_store(&kmw_sync_look_again_ms, AN_HOUR_MS);
    peaceful = true;
    for (unsigned i = 0; i < WORKERS; i++) {
        ids[i] = start_peaceful(i);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        if (waitpid(ids[i], &status, 0) != ids[i] || status != 0) {
            stress_fail("a worker ended with status %d", status);
        }
    }
    atomic_store(&kmw_sync_look_again_ms, KMW_LOOK_AGAIN_MS);
    peaceful = false;
    for (int i = 0; i < SEATS; i++) {
        must(WaitForSingleObject(seats, 0) == WAIT_OBJECT_0, "a seat in the end");
    }
    must(WaitForSingleObject(seats, 0) == WAIT_TIMEOUT, "no further seat");
    must(ReleaseSemaphore(seats, SEATS, NULL), "the seats");
    must(WaitForSingleObject(token, 0) == WAIT_OBJECT_0 && SetEvent(token), "the token in the end");
}

/* ---- With killing ---- */

static void work(unsigned worker) {
    while (stress_goes_on()) {
        do_something(worker);
    }
}

static void bring_back(unsigned worker) {
    if (atomic_exchange(&shared->may_have_token[worker], false)) {
        must(SetEvent(token), "SetEvent");
    }
    if (atomic_exchange(&shared->may_sit[worker], false)) {
        must(ReleaseSemaphore(seats, 1, NULL), "ReleaseSemaphore");
    }
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    shared = stress_shared_memory(sizeof *shared);
    make_objects();
    live_in_peace();
    crowd = (stress_crowd){.size = WORKERS, .work = work, .reaped = bring_back};
    bool well = stress_run(&crowd, 15);
    DWORD last = WaitForSingleObject(mutex, 0);
    must(last == WAIT_OBJECT_0 || last == WAIT_ABANDONED, "the mutex in the end");
    printf("%lu tokens, %lu times inside (%lu told of a death), %lu seats, %lu times both; %lu "
           "processes killed\n",
           atomic_load(&shared->tokens), atomic_load(&shared->owned), atomic_load(&shared->told),
           atomic_load(&shared->seated), atomic_load(&shared->both), crowd.killed);
    return well && atomic_load(&shared->tokens) > 0 && atomic_load(&shared->told) > 0 ? 0 : 1;
}
