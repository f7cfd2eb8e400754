/*
 * stress_posix.c - the clock, the dice and the worker processes of the long runs.
 */
#include "stress.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_SECONDS = 60 };

static struct timespec end;
static uint64_t seed;
static _Thread_local uint64_t dice = 1;

/* The first of these that is a number, or the default. */
static uint64_t number(const char *one, const char *other, uint64_t otherwise) {
    const char *texts[] = {one, other};
    for (size_t i = 0; i < 2; i++) {
        char *rest = NULL;
        uint64_t value = texts[i] != NULL ? strtoull(texts[i], &rest, 10) : 0;
        if (value > 0 && *rest == '\0') {
            return value;
        }
    }
    return otherwise;
}

void stress_begin(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &end);
    clock_gettime(CLOCK_REALTIME, &now);
    end.tv_sec +=
        (time_t)number(argc > 1 ? argv[1] : NULL, getenv("KM_STRESS_SECONDS"), DEFAULT_SECONDS);
    seed = number(getenv("KM_STRESS_SEED"), NULL, (uint64_t)now.tv_nsec + (uint64_t)now.tv_sec);
    printf("KM_STRESS_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    stress_reseed(0);
}

bool stress_goes_on(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec);
}

/* splitmix64: any seed will do, neighbouring ones too. */
uint32_t stress_random(uint32_t limit) {
    dice += 0x9E3779B97F4A7C15u;
    uint64_t mixed = dice;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    mixed ^= mixed >> 31;
    return (uint32_t)(mixed % limit);
}

void stress_reseed(unsigned worker) {
    dice = seed + worker * (uint64_t)1000003;
}

void *stress_shared_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        stress_fail("no shared memory");
    }
    return memory;
}

void stress_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "stress %d: ", (int)getpid());
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    fflush(NULL);
    _exit(1);
}

static void start_worker(stress_crowd *crowd, unsigned worker) {
    fflush(NULL);
    pid_t parent = getpid();
    pid_t id = fork();
    if (id < 0) {
        stress_fail("no more processes");
    }
    if (id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        stress_reseed(worker + 1 + 1000 * atomic_load(&crowd->life[worker]));
        crowd->work(worker);
        _exit(0);
    }
    crowd->ids[worker] = id;
}

/* Waits for a worker's end. true if it was of its own will, or by our own kill. */
static bool ended_well(const stress_crowd *crowd, unsigned worker, bool may_be_killed) {
    int status = 0;
    while (waitpid(crowd->ids[worker], &status, 0) < 0) {
        if (errno != EINTR) {
            stress_fail("worker %u is lost", worker);
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (may_be_killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        return true;
    }
    fprintf(stderr, "worker %u ended by %s %d\n", worker, WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static bool replace_one(stress_crowd *crowd) {
    unsigned worker = stress_random(crowd->size);
    atomic_fetch_add(&crowd->life[worker], 1);
    kill(crowd->ids[worker], SIGKILL);
    bool well = ended_well(crowd, worker, true);
    if (crowd->reaped != NULL) {
        crowd->reaped(worker);
    }
    atomic_fetch_add(&crowd->life[worker], 1);
    crowd->killed++;
    start_worker(crowd, worker);
    return well;
}

static bool has_one_ended(void) {
    siginfo_t facts = {0};
    return waitid(P_ALL, 0, &facts, WEXITED | WNOHANG | WNOWAIT) == 0 && facts.si_pid != 0;
}

bool stress_run(stress_crowd *crowd, unsigned kill_every_ms) {
    crowd->life = stress_shared_memory(crowd->size * sizeof *crowd->life);
    crowd->ids = calloc(crowd->size, sizeof *crowd->ids);
    if (crowd->ids == NULL) {
        stress_fail("no memory");
    }
    for (unsigned i = 0; i < crowd->size; i++) {
        start_worker(crowd, i);
    }
    unsigned pause_ms = kill_every_ms != 0 ? kill_every_ms : 50;
    const struct timespec pause = {.tv_sec = pause_ms / 1000,
                                   .tv_nsec = (long)(pause_ms % 1000) * 1000000};
    bool well = true;
    /* Whoever ends before the time has failed; the others need not go on. */
    while (well && stress_goes_on()) {
        nanosleep(&pause, NULL);
        if (has_one_ended()) {
            well = !stress_goes_on();
        } else if (kill_every_ms != 0) {
            well = replace_one(crowd);
        }
    }
    for (unsigned i = 0; i < crowd->size; i++) {
        if (!well) {
            kill(crowd->ids[i], SIGKILL);
        }
        well = ended_well(crowd, i, !well) && well;
    }
    free(crowd->ids);
    return well;
}
