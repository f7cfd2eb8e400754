/*
 * holding.c - how the command keeps a segment alive.
 */
#include "holding.h"

#include <stdio.h>
#include <string.h>

#include "console.h"

bool holding_read(output *out, const arguments *given, holding *hold) {
    uint32_t seconds = 0;
    *hold = (holding){.milliseconds = CONSOLE_FOREVER};
    if (!given->hold) {
        return true;
    }
    if (strcmp(given->hold, "input") == 0) {
        hold->input = true;
        return true;
    }
    if (!number_read(given->hold, &seconds)) {
        (void)output_misused(out, "--hold %.200s: neither a number of seconds nor \"input\"",
                             given->hold);
        return false;
    }
    hold->milliseconds = (uint64_t)seconds * 1000;
    return true;
}

static void say_ready(const output *out, const km_map *map, const arguments *given) {
    char text[SIZE_TEXT];
    if (out->json) {
        json_begin(out);
        json_text("segment", km_path(map));
        json_bool("machine_wide", given->given & OPTION_MACHINE_WIDE);
        json_bytes("size", km_size(map));
        json_end();
        return;
    }
    (void)fputs("ready: ", stdout);
    text_safe(km_path(map));
    printf(", %s\n", size_text(text, km_size(map)));
}

int holding_wait(output *out, const km_map *map, const arguments *given, const holding *hold) {
    say_ready(out, map, given);
    const int exit_status = output_end(out, EXIT_FINE);
    if (exit_status == EXIT_FINE) {
        (void)console_wait(hold->milliseconds, hold->input);
    }
    return exit_status;
}
