/*
 * unique.c - names of objects that no other test, and no other run of the same one, uses.
 */
#include "support/unique.h"

#include <stdio.h>

#include <keepmap/win32.h>

#define PLACES 8

static char *next_place(void) {
    static char places[PLACES][UNIQUE_SIZE];
    static unsigned used;
    return places[used++ % PLACES];
}

const char *unique_name(const char *what) {
    char *name = next_place();
    snprintf(name, UNIQUE_SIZE, "km-test-%lu-%s", (unsigned long)GetCurrentProcessId(), what);
    return name;
}

const char *unique_object(const char *prefix, const char *name, const char *suffix) {
    char *object = next_place();
    snprintf(object, UNIQUE_SIZE, "%s%s%s", prefix, name, suffix);
    return object;
}
