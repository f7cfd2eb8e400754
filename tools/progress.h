/*
 * progress.h - a bar on standard error while long work goes on, and its end by Ctrl-C.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *label;
    unsigned columns; /* of the terminal; 0: nothing is shown */
    unsigned shown;   /* characters on the line now */
    uint64_t drawn;   /* when, in console_milliseconds */
} progress;

/* From here on Ctrl-C is noted. The bar is shown only on a terminal, and only if `wanted`. */
void progress_start(progress *bar, const char *label, bool wanted);

/* Nothing is shown, and Ctrl-C ends the process at once: for work that leaves nothing behind. */
void progress_none(progress *bar);

/* A km_progress_function; `arg` is the progress. Of an unknown total there is no bar, but how much
 * is done. */
bool progress_step(uint64_t done, uint64_t total, void *arg);

/* Takes the bar away. */
void progress_end(progress *bar);

#endif /* TOOLS_PROGRESS_H */
