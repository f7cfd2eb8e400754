/*
 * measure.h - several ways of doing the same work, measured in turn in one run.
 *
 * Absolute figures drift from minute to minute and do not travel; ratios taken in the same run do.
 * So the subjects run one after the other, round after round, and a subject's ratio is the median
 * over the rounds of its speed divided by the first subject's in that same round. Beside it stands
 * its best speed divided by the first subject's best: what is left when a shared machine disturbs
 * the half of all rounds.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bench_subject {
    const char *name;
    /* Does the work `count` times. false: it failed (and has said why on standard error). */
    bool (*run)(void *context, uint64_t count);
    void *context;
    double target; /* ratio to the first subject that keepmap is to reach; 0: none */
    /* Runs, untimed, before each round of this subject; NULL: nothing. */
    bool (*prepare)(void *context);
} bench_subject;

/*
 * Measures for `rounds` rounds of about `seconds` a subject (0: the work is done once), prints a
 * table and for each subject one machine-readable line ("bench WORK SUBJECT per_second=...
 * ratio=... best=... target=... reached=yes"). Returns the number of targets missed, or -1 when a
 * subject failed. The first subject is the peer.
 */
int bench_measure(const char *work, const bench_subject *subjects, size_t count, unsigned rounds,
                  double seconds);

/* Seconds on a clock that only goes forward. */
double bench_now(void);

/* BENCH_ROUNDS from the environment, for a quick look or a careful one; else `usual`. */
unsigned bench_rounds(unsigned usual);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_MEASURE_H */
