/*
 * command.h - what the parts of the keepmap command share: its exit statuses and its verbs.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "arguments.h"
#include "output.h"

/* Exit statuses. */
#define EXIT_FINE 0
#define EXIT_CHECK_FAILED 1 /* check, fits, verify, salvage, diff: the answer is no */
#define EXIT_MISUSE 2       /* the command line makes no sense */
#define EXIT_REFUSED 3      /* it could not be done: the message says why */

typedef struct verb {
    const char *name;
    const char *operands; /* as in the usage line: "SOURCE TARGET" */
    int operand_count;
    int segment_operand; /* which of them, from 0, OPTION_SEGMENT stands for */
    unsigned options;    /* OPTION_* it takes besides those that all take */
    unsigned required;   /* those it cannot do without */
    const char *summary;
    const char *details; /* more for --help, whole lines */
    int (*run)(output *out, const arguments *given);
} verb;

int verb_create(output *out, const arguments *given);
int verb_resize(output *out, const arguments *given);
int verb_flush(output *out, const arguments *given);
int verb_info(output *out, const arguments *given);
int verb_check(output *out, const arguments *given);
int verb_fits(output *out, const arguments *given);
int verb_cat(output *out, const arguments *given);
int verb_copy(output *out, const arguments *given);
int verb_segment(output *out, const arguments *given);
int verb_watch(output *out, const arguments *given);
int verb_ls(output *out, const arguments *given);
int verb_snapshot(output *out, const arguments *given);
int verb_restore(output *out, const arguments *given);
int verb_salvage(output *out, const arguments *given);
int verb_verify(output *out, const arguments *given);
int verb_diff(output *out, const arguments *given);
int verb_log(output *out, const arguments *given);

/* What info says with OPTION_SEGMENT (verb_segment.c). */
int info_segment(output *out, const arguments *given);

/* What info says of a snapshot (verb_verify.c). */
int info_snapshot(output *out, const char *path);

#endif /* TOOLS_COMMAND_H */
