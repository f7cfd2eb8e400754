/*
 * bench_pingpong.c - two processes in step, through two auto-reset events; beside a raw futex,
 * POSIX semaphores and Boost's conditions. And what a set and a wait cost where nobody waits.
 *
 * Once on one processor, once on all there are. Each round starts the partner anew, so that the
 * scheduler places it anew.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "measure.h"
#include "peers.h"

/* A way to say "your turn" in one of two directions. */
typedef struct ball {
    bool (*pass)(struct ball *ball, int direction);
    bool (*await)(struct ball *ball, int direction);
    HANDLE events[2];
    pid_t partner;
    struct court {
        _Alignas(128) atomic_uint words[2][32]; /* not on one cache line */
        sem_t semaphores[2];
        _Alignas(128) char flags[2][512]; /* Boost's */
    } * court;
} ball;

/* ---- A raw futex ---- */

static bool pass_futex(ball *it, int direction) {
    atomic_uint *word = it->court->words[direction];
    atomic_store(word, 1);
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0;
}

static bool await_futex(ball *it, int direction) {
    atomic_uint *word = it->court->words[direction];
    unsigned one = 1;
    while (!atomic_compare_exchange_strong(word, &one, 0)) {
        if (syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0 && errno != EAGAIN &&
            errno != EINTR) {
            return false;
        }
        one = 1;
    }
    return true;
}

/* ---- POSIX semaphores ---- */

static bool pass_semaphore(ball *it, int direction) {
    return sem_post(&it->court->semaphores[direction]) == 0;
}

static bool await_semaphore(ball *it, int direction) {
    int result = 0;
    do {
        result = sem_wait(&it->court->semaphores[direction]);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

/* ---- Boost ---- */

static bool pass_flag(ball *it, int direction) {
    peer_flag_boost_raise(it->court->flags[direction]);
    return true;
}

static bool await_flag(ball *it, int direction) {
    peer_flag_boost_await(it->court->flags[direction]);
    return true;
}

/* ---- keepmap ---- */

static bool pass_event(ball *it, int direction) {
    return SetEvent(it->events[direction]);
}

static bool await_event(ball *it, int direction) {
    return WaitForSingleObject(it->events[direction], INFINITE) == WAIT_OBJECT_0;
}

/* ---- The game ---- */

static _Noreturn void return_for_ever(ball *it) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (it->await(it, 0) && it->pass(it, 1)) {
    }
    _exit(1);
}

static void part(ball *it) {
    if (it->partner > 0) {
        kill(it->partner, SIGKILL);
        waitpid(it->partner, NULL, 0);
    }
    it->partner = 0;
}

/* Nothing is left of the game before. */
static bool clear_court(ball *it) {
    for (int direction = 0; direction < 2; direction++) {
        if (it->events[direction] != NULL) {
            CloseHandle(it->events[direction]);
        }
        it->events[direction] = CreateEventA(NULL, FALSE, FALSE, NULL);
        atomic_store(it->court->words[direction], 0);
        peer_flag_boost_make(it->court->flags[direction]);
        if (sem_init(&it->court->semaphores[direction], 1, 0) != 0 ||
            it->events[direction] == NULL) {
            return false;
        }
    }
    return true;
}

static bool find_partner(void *context) {
    ball *it = context;
    part(it);
    if (!clear_court(it)) {
        return false;
    }
    fflush(NULL);
    it->partner = fork();
    if (it->partner == 0) {
        return_for_ever(it);
    }
    return it->partner > 0;
}

static bool play(void *context, uint64_t count) {
    ball *it = context;
    for (; count > 0; count--) {
        if (!it->pass(it, 0) || !it->await(it, 1)) {
            perror("the partner does not answer");
            return false;
        }
    }
    return true;
}

static int play_on(const char *where, struct court *court, unsigned rounds, double target) {
    ball futex = {.pass = pass_futex, .await = await_futex, .court = court};
    ball semaphore = {.pass = pass_semaphore, .await = await_semaphore, .court = court};
    ball flag = {.pass = pass_flag, .await = await_flag, .court = court};
    ball event = {.pass = pass_event, .await = await_event, .court = court};
    const bench_subject subjects[] = {
        {"raw futex", play, &futex, 0, find_partner},
        {"POSIX semaphores", play, &semaphore, 0, find_partner},
        {"Boost conditions", play, &flag, 0, find_partner},
        {"keepmap, two events", play, &event, target, find_partner},
    };
    char work[64];
    snprintf(work, sizeof work, "two processes in step, %s", where);
    int missed = bench_measure(work, subjects, sizeof subjects / sizeof subjects[0], rounds, 0.3);
    part(&futex);
    part(&semaphore);
    part(&flag);
    part(&event);
    return missed;
}

/* ---- Nobody waits ---- */

static bool set_and_take_word(void *context, uint64_t count) {
    atomic_uint *word = context;
    for (; count > 0; count--) {
        unsigned one = 1;
        atomic_store(word, 1);
        if (!atomic_compare_exchange_strong(word, &one, 0)) {
            return false;
        }
    }
    return true;
}

static bool set_and_take_semaphore(void *context, uint64_t count) {
    bool well = true;
    for (; count > 0 && well; count--) {
        well = sem_post(context) == 0 && sem_wait(context) == 0;
    }
    return well;
}

static bool set_and_take_event(void *context, uint64_t count) {
    bool well = true;
    for (; count > 0 && well; count--) {
        well = SetEvent(context) && WaitForSingleObject(context, INFINITE) == WAIT_OBJECT_0;
    }
    return well;
}

static int nobody_waits(struct court *court, unsigned rounds) {
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    sem_init(&court->semaphores[0], 1, 0);
    const bench_subject subjects[] = {
        {"one atomic word", set_and_take_word, court->words[0], 0, NULL},
        {"POSIX semaphore", set_and_take_semaphore, &court->semaphores[0], 0, NULL},
        {"keepmap, an event", set_and_take_event, event, 0, NULL},
    };
    int missed = bench_measure("set+wait, nobody waits", subjects,
                               sizeof subjects / sizeof subjects[0], rounds, 0.1);
    CloseHandle(event);
    return missed;
}

int main(void) {
    cpu_set_t all, one;
    struct court *court =
        mmap(NULL, sizeof *court, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (court == MAP_FAILED || peer_flag_boost_size() > sizeof court->flags[0] ||
        sched_getaffinity(0, sizeof all, &all) != 0) {
        perror("bench_pingpong");
        return 1;
    }
    int missed = nobody_waits(court, bench_rounds(7));
    if (CPU_COUNT(&all) > 1 && missed >= 0) {
        missed = play_on("all processors", court, bench_rounds(7), 0.95);
    }
    size_t first = 0;
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (missed >= 0 && sched_setaffinity(0, sizeof one, &one) == 0) {
        missed = play_on("one processor", court, bench_rounds(7), 0.95);
    }
    return missed < 0 ? 1 : 0;
}
