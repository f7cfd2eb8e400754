/*
 * verb_copy.c - the verb copy: a plain copy of a file or segment that appears whole and durable, or
 * not at all.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "console.h"
#include "progress.h"

static km_status open_source(const arguments *given, km_map **map) {
    km_options options = {.flags = KM_OPEN_SEQUENTIAL};
    if (given->given & OPTION_SEGMENT) {
        options.flags |= given->given & OPTION_MACHINE_WIDE ? KM_OPEN_MACHINE_WIDE : 0;
        return km_segment(map, given->segment, &options);
    }
    return km_open(map, given->operands[0], &options);
}

int verb_copy(output *out, const arguments *given) {
    const bool segment = given->given & OPTION_SEGMENT;
    const char *source = segment ? given->segment : given->operands[0];
    const char *target = given->operands[segment ? 0 : 1];
    km_map *map = NULL;
    if (!segment && given->given & OPTION_MACHINE_WIDE) {
        return output_misused(out, "--machine-wide needs --segment: see keepmap copy --help");
    }
    progress bar;
    progress_start(&bar, "copying", !out->json);
    uint64_t started = console_milliseconds();

    km_status status = open_source(given, &map);
    uint64_t size = status == KM_OK ? km_size(map) : 0;
    if (status == KM_OK) {
        km_copy_options copy = {.flags = given->given & OPTION_FORCE ? KM_COPY_REPLACE : 0,
                                .progress = progress_step,
                                .progress_arg = &bar};
        status = km_copy(map, target, &copy);
    }
    progress_end(&bar);
    int exit_status = status == KM_OK ? EXIT_FINE : output_refused(out, status);
    (void)km_close(map);
    if (exit_status != EXIT_FINE) {
        return exit_status;
    }

    if (!out->json) {
        char text[SIZE_TEXT];
        text_safe(source);
        (void)fputs(" -> ", stdout);
        text_safe(target);
        printf(": copied, %s in %" PRIu64 " ms\n", size_text(text, size),
               console_milliseconds() - started);
        return output_end(out, EXIT_FINE);
    }
    json_begin(out);
    json_text(segment ? "segment" : "source", source);
    json_text("target", target);
    json_bytes("size", size);
    json_end();
    return output_end(out, EXIT_FINE);
}
