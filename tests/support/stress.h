/*
 * stress.h - what the long runs share: their length, random numbers, worker processes that may be
 * killed at any moment, and memory that survives them. POSIX only.
 *
 *     PROGRAM [SECONDS]      else $KM_STRESS_SECONDS, else 60
 */
#ifndef TESTS_STRESS_H
#define TESTS_STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the length of the run, starts its clock, and prints the seed ($KM_STRESS_SEED, else the
 * time). */
void stress_begin(int argc, char **argv);
bool stress_goes_on(void);

/* Anything below `limit`; a sequence of its own for each thread and worker. */
uint32_t stress_random(uint32_t limit);
void stress_reseed(unsigned worker);

/* Zeroed memory that forked workers share. */
void *stress_shared_memory(size_t size);

/* Says what is wrong and ends this process with status 1, without unwinding anything. */
_Noreturn void stress_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A crowd of worker processes, each a fork that runs `work` until stress_goes_on() is false.
 * `life` (in shared memory) tells the incarnations of a worker apart: odd while it is being killed
 * and replaced.
 */
typedef struct stress_crowd {
    unsigned size;
    void (*work)(unsigned worker);
    void (*reaped)(unsigned worker); /* in the parent, after a killed worker is gone; or NULL */
    atomic_uint *life;
    int *ids;
    unsigned long killed;
} stress_crowd;

/*
 * Runs the crowd for the whole time; every `kill_every_ms` (0: never) a random worker is killed and
 * replaced. false if any worker ended in any other way than by exit status 0 or by that kill.
 */
bool stress_run(stress_crowd *crowd, unsigned kill_every_ms);

#endif /* TESTS_STRESS_H */
