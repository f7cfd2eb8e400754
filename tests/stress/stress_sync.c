/*
 * stress_sync.c - processes pass things through events, semaphores and mutexes, one by one and
 * several at once, while some of them are killed at any moment: nobody hangs, nobody is inside
 * together with somebody else, and every death inside is told once.
 *
 * A token goes round through an auto-reset event; who dies with it takes it along, so the parent
 * sets the event again when a worker has gone. (Too many tokens do no harm: an event is set or
 * not.) What is counted under the mutex is counted in two places, one before and one after a pause;
 * they differ exactly when somebody died in between, and then the next owner must have been told
 * so.
 */
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include <keepmap/win32.h>

#include "support/stress.h"

enum { WORKERS = 6, SEATS = 2, PATIENCE_MS = 20000 };

typedef struct board {
    atomic_ulong before, after; /* under the mutex */
    atomic_int owner;           /* worker + 1, or 0 */
    atomic_ulong owned, told;   /* times */
    atomic_ulong tokens, seated, both;
} board;

static board *shared;
static stress_crowd crowd;
static HANDLE token, seats, mutex, quiet;

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

static void pass_the_token(bool among_others) {
    const HANDLE objects[] = {quiet, token};
    DWORD result = among_others ? WaitForMultipleObjects(2, objects, FALSE, PATIENCE_MS)
                                : WaitForSingleObject(token, INFINITE) + 1;
    must(result == WAIT_OBJECT_0 + 1, "the token");
    give_way();
    atomic_fetch_add(&shared->tokens, 1);
    must(SetEvent(token), "SetEvent");
}

/* Who dies in his seat keeps it; so there are enough for all who are killed between two rounds. */
static void take_a_seat(void) {
    DWORD result = WaitForSingleObject(seats, 50);
    must(result == WAIT_OBJECT_0 || result == WAIT_TIMEOUT, "a seat");
    if (result == WAIT_OBJECT_0) {
        give_way();
        atomic_fetch_add(&shared->seated, 1);
        must(ReleaseSemaphore(seats, 1, NULL), "ReleaseSemaphore");
    }
}

static void take_both(unsigned worker) {
    const HANDLE objects[] = {mutex, token};
    DWORD result = WaitForMultipleObjects(2, objects, TRUE, PATIENCE_MS);
    must(result == WAIT_OBJECT_0 || result == WAIT_ABANDONED_0, "mutex and token");
    be_inside(worker, result == WAIT_ABANDONED_0);
    atomic_fetch_add(&shared->both, 1);
    must(SetEvent(token), "SetEvent");
    must(ReleaseMutex(mutex), "ReleaseMutex");
}

static void work(unsigned worker) {
    while (stress_goes_on()) {
        switch (stress_random(6)) {
        case 0:
            own(worker);
            break;
        case 1:
            own_among_others(worker);
            break;
        case 2:
            take_a_seat();
            break;
        case 3:
            take_both(worker);
            break;
        default:
            pass_the_token(stress_random(2));
        }
    }
}

static void bring_back_the_token(unsigned worker) {
    (void)worker;
    must(SetEvent(token), "SetEvent");
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    shared = stress_shared_memory(sizeof *shared);
    token = CreateEventA(NULL, FALSE, TRUE, NULL);
    seats = CreateSemaphoreA(NULL, SEATS, SEATS, NULL);
    mutex = CreateMutexA(NULL, FALSE, NULL);
    quiet = CreateEventA(NULL, TRUE, FALSE, NULL);
    must(token != NULL && seats != NULL && mutex != NULL && quiet != NULL, "making them");
    crowd = (stress_crowd){.size = WORKERS, .work = work, .reaped = bring_back_the_token};
    bool well = stress_run(&crowd, 15);
    DWORD last = WaitForSingleObject(mutex, 0);
    must(last == WAIT_OBJECT_0 || last == WAIT_ABANDONED, "the mutex in the end");
    printf("%lu tokens, %lu times inside (%lu told of a death), %lu seats, %lu times both; %lu "
           "processes killed\n",
           atomic_load(&shared->tokens), atomic_load(&shared->owned), atomic_load(&shared->told),
           atomic_load(&shared->seated), atomic_load(&shared->both), crowd.killed);
    return well && atomic_load(&shared->tokens) > 0 && atomic_load(&shared->told) > 0 ? 0 : 1;
}
