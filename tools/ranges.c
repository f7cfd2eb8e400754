/*
 * ranges.c - the ranges that km_diff and km_salvage tell of.
 */
#include "ranges.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_ROOM 64

static bool grow(range_list *list) {
    const size_t room = list->room ? list->room * 2 : FIRST_ROOM;
    range *ranges =
        room <= SIZE_MAX / sizeof *ranges ? realloc(list->ranges, room * sizeof *ranges) : NULL;
    if (!ranges) {
        list->no_memory = true;
        return false;
    }
    list->ranges = ranges;
    list->room = room;
    return true;
}

bool range_list_add(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    range_list *list = arg;
    if (list->count == list->room && !grow(list)) {
        return false;
    }
    list->ranges[list->count++] = (range){.kind = kind, .offset = offset, .length = length};
    return true;
}

void range_list_free(range_list *list) {
    free(list->ranges);
    *list = (range_list){.count = 0};
}

static const char *kind_text(km_range_kind kind) {
    switch (kind) {
    case KM_RANGE_LOST:
        return "lost";
    case KM_RANGE_CHANGED:
        return "changed";
    case KM_RANGE_ONLY_A:
        return "only in the first";
    case KM_RANGE_ONLY_B:
        return "only in the second";
    }
    return "?";
}

static const char *kind_name(km_range_kind kind) {
    switch (kind) {
    case KM_RANGE_LOST:
        return "KM_RANGE_LOST";
    case KM_RANGE_CHANGED:
        return "KM_RANGE_CHANGED";
    case KM_RANGE_ONLY_A:
        return "KM_RANGE_ONLY_A";
    case KM_RANGE_ONLY_B:
        return "KM_RANGE_ONLY_B";
    }
    return "KM_RANGE_?";
}

void range_list_print(const range_list *list) {
    char text[SIZE_TEXT];
    for (size_t i = 0; i < list->count; i++) {
        const range *one = &list->ranges[i];
        printf("%s: %s from byte %" PRIu64 "\n", kind_text(one->kind), size_text(text, one->length),
               one->offset);
    }
}

void range_list_json(const char *name, const range_list *list) {
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < list->count; i++) {
        const range *one = &list->ranges[i];
        printf("%s{\"kind\":\"%s\",\"offset\":%" PRIu64 ",\"length\":%" PRIu64 "}", i ? "," : "",
               kind_name(one->kind), one->offset, one->length);
    }
    (void)putchar(']');
}

int range_list_refused(output *out, km_status status, const range_list *list) {
    if (list->no_memory) {
        return output_failed(out, KM_E_NO_MEMORY, "no memory for more than %zu ranges",
                             list->count);
    }
    return output_refused(out, status);
}
