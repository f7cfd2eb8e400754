/*
 * verb_snapshot.c - the verb snapshot: a file, a segment or standard input into a snapshot.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "console.h"
#include "progress.h"
#include "streams.h"

#define CHUNK_SIZE_LEAST ((uint64_t)64 << 10)
#define CHUNK_SIZE_MOST ((uint64_t)16 << 20)

static km_status open_source(const arguments *given, const char *source, km_map **map) {
    km_options options = {.flags = 0};
    if (given->given & OPTION_SEGMENT) {
        options.flags |= given->given & OPTION_MACHINE_WIDE ? KM_OPEN_MACHINE_WIDE : 0;
        return km_segment(map, source, &options);
    }
    options.flags |= KM_OPEN_SEQUENTIAL;
    return km_open(map, source, &options);
}

static uint32_t flags_of(unsigned given) {
    return (given & OPTION_FORCE ? KM_SNAPSHOT_REPLACE : 0) |
           (given & OPTION_COMPARE ? KM_SNAPSHOT_COMPARE : 0) |
           (given & OPTION_NO_LOCK ? KM_SNAPSHOT_UNLOCKED : 0) |
           (given & OPTION_NO_SYNC ? KM_SNAPSHOT_NO_SYNC : 0);
}

static bool is_chunk_size(uint64_t size) {
    return size >= CHUNK_SIZE_LEAST && size <= CHUNK_SIZE_MOST && (size & (size - 1)) == 0;
}

/* These and those below: EXIT_FINE, or EXIT_MISUSE, complained of. */
static int check_numbers(output *out, const arguments *given) {
    if (given->level > 9) {
        return output_misused(out, "--level %" PRIu32 ": levels are 0 to 9", given->level);
    }
    if (given->given & OPTION_CHUNK_SIZE && !is_chunk_size(given->chunk_size)) {
        return output_misused(out, "--chunk-size %" PRIu64 ": a power of two, 64k to 16M",
                              given->chunk_size);
    }
    if (given->timeout > KM_WAIT_FOREVER / 1000 - 1) {
        return output_misused(out, "--timeout %" PRIu32 ": at most %u seconds", given->timeout,
                              KM_WAIT_FOREVER / 1000 - 1);
    }
    return EXIT_FINE;
}

static int check_lock_words(output *out, const arguments *given, bool from_stream) {
    const unsigned words = given->given & (OPTION_NO_LOCK | OPTION_TIMEOUT);
    if (from_stream && words) {
        return output_misused(out, "%s makes no sense with standard input: it has no lock",
                              words & OPTION_NO_LOCK ? "--no-lock" : "--timeout");
    }
    if (words == (OPTION_NO_LOCK | OPTION_TIMEOUT)) {
        return output_misused(out, "--no-lock waits for nobody: --timeout makes no sense with it");
    }
    return EXIT_FINE;
}

static int check_words(output *out, const arguments *given, const char *target) {
    if (!(given->given & OPTION_SEGMENT) && given->given & OPTION_MACHINE_WIDE) {
        return output_misused(out, "--machine-wide needs --segment: see keepmap snapshot --help");
    }
    if (given->given & OPTION_COMPARE && !given->since) {
        return output_misused(out, "--compare needs --since: see keepmap snapshot --help");
    }
    if (is_stream(target) && (out->json || given->given & (OPTION_FORCE | OPTION_NO_SYNC))) {
        return output_misused(out, "%s makes no sense with the snapshot on standard output",
                              out->json                     ? "--json"
                              : given->given & OPTION_FORCE ? "--force"
                                                            : "--no-sync");
    }
    return EXIT_FINE;
}

static void say_done(const output *out, const arguments *given, const char *target,
                     const km_snapshot_report *report, uint64_t milliseconds) {
    const bool segment = given->given & OPTION_SEGMENT;
    const char *source = segment ? given->segment : given->operands[0];
    char size[SIZE_TEXT];
    char packed[SIZE_TEXT];
    if (out->json) {
        json_begin(out);
        json_text(segment ? "segment" : "source", source);
        json_text("snapshot", target);
        json_bytes("size", report->size);
        json_bytes("packed_size", report->packed_size);
        json_bytes("chunks", report->chunks);
        json_bytes("zero_chunks", report->zero_chunks);
        json_bytes("reused_chunks", report->reused_chunks);
        json_end();
        return;
    }
    text_safe(segment ? source : input_name(source));
    (void)fputs(" -> ", stdout);
    text_safe(target);
    printf(": %s packed into %s in %" PRIu64 " ms", size_text(size, report->size),
           size_rounded(packed, report->packed_size), milliseconds);
    if (report->reused_chunks > 0) {
        printf("; %" PRIu64 " of %" PRIu64 " chunks taken over", report->reused_chunks,
               report->chunks);
    }
    (void)putchar('\n');
}

int verb_snapshot(output *out, const arguments *given) {
    const bool segment = given->given & OPTION_SEGMENT;
    const char *source = segment ? given->segment : given->operands[0];
    const char *target = given->operands[segment ? 0 : 1];
    const bool from_stream = !segment && is_stream(source);
    const bool to_stream = is_stream(target);
    int words = check_numbers(out, given);
    if (words == EXIT_FINE) {
        words = check_words(out, given, target);
    }
    if (words == EXIT_FINE) {
        words = check_lock_words(out, given, from_stream);
    }
    if (words != EXIT_FINE) {
        return words;
    }

    km_map *map = NULL;
    stream_state streams = {.error = 0};
    km_snapshot_report report = {0};
    progress bar;
    if (to_stream) {
        progress_none(&bar);
    } else {
        progress_start(&bar, "packing", !out->json);
    }
    const uint64_t started = console_milliseconds();
    km_snapshot_options options = {
        .flags = flags_of(given->given),
        .level = !(given->given & OPTION_LEVEL) ? 0
                 : given->level == 0            ? KM_LEVEL_STORED
                                                : (int32_t)given->level,
        .threads = given->threads,
        .chunk_size = (uint32_t)given->chunk_size,
        /* A timeout of 0 seconds tries; to the library 0 is without end. */
        .timeout_ms = !(given->given & OPTION_TIMEOUT) ? 0
                      : given->timeout == 0            ? 1
                                                       : given->timeout * 1000,
        .since = given->since,
        .read = from_stream ? stream_read : NULL,
        .read_arg = from_stream ? &streams : NULL,
        .write = to_stream ? stream_write : NULL,
        .write_arg = to_stream ? &streams : NULL,
        .progress = progress_step,
        .progress_arg = &bar,
        .report = &report,
    };
    km_status status = from_stream ? KM_OK : open_source(given, source, &map);
    if (status == KM_OK) {
        status = km_snapshot(map, to_stream ? NULL : target, &options);
    }
    progress_end(&bar);
    const int exit_status = status == KM_OK ? EXIT_FINE : stream_refused(out, status, &streams);
    (void)km_close(map);
    if (status != KM_OK) {
        return exit_status;
    }
    if (!to_stream) {
        say_done(out, given, target, &report, console_milliseconds() - started);
    }
    return output_end(out, EXIT_FINE);
}
