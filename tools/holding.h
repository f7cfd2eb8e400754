/*
 * holding.h - how the command keeps a segment alive: --hold, and the word that others can open it.
 */
#ifndef TOOLS_HOLDING_H
#define TOOLS_HOLDING_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "command.h"

typedef struct holding {
    uint64_t milliseconds; /* or CONSOLE_FOREVER */
    bool input;            /* until standard input ends */
} holding;

/* What --hold says. false: complained of. */
bool holding_read(output *out, const arguments *given, holding *hold);

/* Says "ready", waits so long, and gives the exit status. The interruption has been caught. */
int holding_wait(output *out, const km_map *map, const arguments *given, const holding *hold);

#endif /* TOOLS_HOLDING_H */
