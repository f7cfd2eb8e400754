/*
 * ranges.h - the ranges that km_diff and km_salvage tell of, kept until the result is known: a
 * failure prints none.
 */
#ifndef TOOLS_RANGES_H
#define TOOLS_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "output.h"

typedef struct range {
    km_range_kind kind;
    uint64_t offset;
    uint64_t length;
} range;

typedef struct range_list {
    range *ranges;
    size_t count;
    size_t room;
    bool no_memory; /* and therefore ended */
} range_list;

/* A km_range_function; `arg` is a range_list. */
bool range_list_add(km_range_kind kind, uint64_t offset, uint64_t length, void *arg);
void range_list_free(range_list *list);

/* A line each: "changed: 4096 bytes (4.0 KiB) from byte 0". */
void range_list_print(const range_list *list);
/* An array of objects with kind, offset, length. */
void range_list_json(const char *name, const range_list *list);

/* The end of a run whose call has failed: the list's fault, or the library's. */
int range_list_refused(output *out, km_status status, const range_list *list);

#endif /* TOOLS_RANGES_H */
