/*
 * measure.c - the clock, the rounds and the medians of measure.h.
 */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_SUBJECTS = 8, MOST_ROUNDS = 101 };

double bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

unsigned bench_rounds(unsigned usual) {
    const char *text = getenv("BENCH_ROUNDS");
    unsigned long rounds = text != NULL ? strtoul(text, NULL, 10) : usual;
    return rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : (unsigned)rounds;
}

static int by_value(const void *one, const void *other) {
    double a = *(const double *)one;
    double b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(const double *values, unsigned count) {
    double sorted[MOST_ROUNDS];
    for (unsigned i = 0; i < count; i++) {
        sorted[i] = values[i];
    }
    qsort(sorted, count, sizeof sorted[0], by_value);
    return sorted[count / 2];
}

static double greatest(const double *values, unsigned count) {
    double most = values[0];
    for (unsigned i = 1; i < count; i++) {
        most = values[i] > most ? values[i] : most;
    }
    return most;
}

/* Work done per second, or a negative number when the subject failed. */
static double speed_of(const bench_subject *subject, double seconds) {
    if (subject->prepare != NULL && !subject->prepare(subject->context)) {
        return -1;
    }
    uint64_t done = 0;
    uint64_t batch = 1;
    double start = bench_now();
    double elapsed = 0;
    do {
        if (!subject->run(subject->context, batch)) {
            return -1;
        }
        done += batch;
        elapsed = bench_now() - start;
        /* Batches grow until looking at the clock no longer counts. */
        if (elapsed < seconds / 20) {
            batch *= 2;
        }
    } while (elapsed < seconds);
    return (double)done / elapsed;
}

int bench_measure(const char *work, const bench_subject *subjects, size_t count, unsigned rounds,
                  double seconds) {
    static double speed[MOST_SUBJECTS][MOST_ROUNDS];
    static double ratio[MOST_SUBJECTS][MOST_ROUNDS];
    if (count > MOST_SUBJECTS || rounds > MOST_ROUNDS) {
        return -1;
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t s = 0; s < count; s++) {
            speed[s][round] = speed_of(&subjects[s], seconds);
            if (speed[s][round] <= 0) {
                fprintf(stderr, "bench %s: %s failed\n", work, subjects[s].name);
                return -1;
            }
            ratio[s][round] = speed[s][round] / speed[0][round];
        }
    }

    double best[MOST_SUBJECTS];
    for (size_t s = 0; s < count; s++) {
        best[s] = greatest(speed[s], rounds) / greatest(speed[0], rounds);
    }

    int missed = 0;
    printf("\n%s (median of %u rounds)\n", work, rounds);
    printf("  %-28s %14s %8s %8s %8s\n", "", "per second", "ratio", "of best", "target");
    for (size_t s = 0; s < count; s++) {
        printf("  %-28s %14.1f %8.2f %8.2f ", subjects[s].name, median(speed[s], rounds),
               median(ratio[s], rounds), best[s]);
        if (subjects[s].target > 0) {
            bool reached = median(ratio[s], rounds) >= subjects[s].target;
            printf("%8.2f %s", subjects[s].target, reached ? "reached" : "MISSED");
            missed += !reached;
        }
        printf("\n");
    }
    for (size_t s = 0; s < count; s++) {
        double got = median(ratio[s], rounds);
        printf("bench \"%s\" \"%s\" per_second=%.1f ratio=%.3f best=%.3f", work, subjects[s].name,
               median(speed[s], rounds), got, best[s]);
        if (subjects[s].target > 0) {
            printf(" target=%.2f reached=%s", subjects[s].target,
                   got >= subjects[s].target ? "yes" : "no");
        }
        printf("\n");
    }
    return missed;
}
