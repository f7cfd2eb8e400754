/*
 * verb_restore.c - the verbs that bring back what snapshots hold: restore and salvage.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "console.h"
#include "holding.h"
#include "progress.h"
#include "ranges.h"
#include "streams.h"

/* ---- restore into a file, or a stream -------------------------------------------------------- */

static uint32_t flags_of(unsigned given) {
    return (given & OPTION_FORCE ? KM_RESTORE_REPLACE : 0) |
           (given & OPTION_IN_PLACE ? KM_RESTORE_IN_PLACE : 0) |
           (given & OPTION_NO_SYNC ? KM_RESTORE_NO_SYNC : 0);
}

/* The size of what is there now, holes and all. */
static uint64_t size_of(const char *target) {
    km_size_report report = {.actual = KM_SIZE_UNKNOWN};
    const km_status verdict = km_check_file(target, KM_SIZE_UNKNOWN, &report);
    (void)verdict; /* about space: none of ours */
    return report.actual;
}

static void say_restored(const output *out, const char *snapshot, const char *target,
                         uint64_t written, uint64_t milliseconds, bool in_place) {
    char text[SIZE_TEXT];
    char differed[SIZE_TEXT];
    const uint64_t size = size_of(target);
    if (out->json) {
        json_begin(out);
        json_text("snapshot", snapshot);
        json_text("target", target);
        json_bytes("size", size);
        json_bytes("written", written);
        json_end();
        return;
    }
    text_safe(input_name(snapshot));
    (void)fputs(" -> ", stdout);
    text_safe(target);
    (void)fputs(": restored", stdout);
    if (size != KM_SIZE_UNKNOWN) { /* else somebody has taken it away since */
        printf(", %s", size_text(text, size));
    }
    if (in_place) {
        printf(", of which %s differed,", size_rounded(differed, written));
    }
    printf(" in %" PRIu64 " ms\n", milliseconds);
}

/* A length of 0, to the library, is "to the end". */
static bool is_empty_range(const arguments *given) {
    return given->given & OPTION_LENGTH && given->length == 0;
}

static int check_words(output *out, const arguments *given, bool from_stream, bool to_stream) {
    if (is_empty_range(given)) {
        return output_misused(out, "--length 0: nothing to restore");
    }
    if (given->given & OPTION_IN_PLACE &&
        given->given & (OPTION_FORCE | OPTION_OFFSET | OPTION_LENGTH)) {
        return output_misused(out, "--in-place makes the whole of an existing file equal: neither "
                                   "--force nor --offset nor --length goes with it");
    }
    if (given->given & OPTION_IN_PLACE && (from_stream || to_stream)) {
        return output_misused(out, "--in-place needs a snapshot and a target that are files");
    }
    if (to_stream && (out->json || given->given & (OPTION_FORCE | OPTION_NO_SYNC))) {
        return output_misused(out, "%s makes no sense with the bytes on standard output",
                              out->json                     ? "--json"
                              : given->given & OPTION_FORCE ? "--force"
                                                            : "--no-sync");
    }
    return EXIT_FINE;
}

static int restore_file(output *out, const arguments *given) {
    const char *snapshot = given->operands[0];
    const char *target = given->operands[1];
    const bool from_stream = is_stream(snapshot);
    const bool to_stream = is_stream(target);
    const int words = check_words(out, given, from_stream, to_stream);
    if (words != EXIT_FINE) {
        return words;
    }
    uint64_t written = 0;
    stream_state streams = {.error = 0};
    progress bar;
    if (to_stream) {
        progress_none(&bar);
    } else {
        progress_start(&bar, "restoring", !out->json);
    }
    const uint64_t started = console_milliseconds();
    const km_restore_options options = {
        .flags = flags_of(given->given),
        .offset = given->offset,
        .length = given->length,
        .threads = given->threads,
        .read = from_stream ? stream_read : NULL,
        .read_arg = from_stream ? &streams : NULL,
        .write = to_stream ? stream_write : NULL,
        .write_arg = to_stream ? &streams : NULL,
        .progress = progress_step,
        .progress_arg = &bar,
        .written = &written,
    };
    const km_status status =
        km_restore(from_stream ? NULL : snapshot, to_stream ? NULL : target, &options);
    progress_end(&bar);
    if (status != KM_OK) {
        return stream_refused(out, status, &streams);
    }
    if (!to_stream) {
        say_restored(out, snapshot, target, written, console_milliseconds() - started,
                     given->given & OPTION_IN_PLACE);
    }
    return output_end(out, EXIT_FINE);
}

/* ---- restore into a segment ------------------------------------------------------------------ */

static int restore_segment(output *out, const arguments *given) {
    const char *snapshot = given->operands[0];
    holding hold;
    km_map *map = NULL;
    if (given->given & (OPTION_FORCE | OPTION_IN_PLACE | OPTION_OFFSET | OPTION_LENGTH |
                        OPTION_NO_SYNC | OPTION_THREADS)) {
        return output_misused(out,
                              "a segment is made whole and new: --force, --in-place, --offset, "
                              "--length, --no-sync and --threads are for files");
    }
    if (is_stream(snapshot)) {
        return output_misused(out, "a segment is restored from a file, not from standard input");
    }
    if (!holding_read(out, given, &hold)) {
        return EXIT_MISUSE;
    }
    const km_options options = {
        .access = KM_WRITE,
        .flags = given->given & OPTION_MACHINE_WIDE ? KM_OPEN_MACHINE_WIDE : 0,
        .permissions = given->given & OPTION_EVERYBODY ? 0666 : 0,
    };
    /* Until there is a segment Ctrl-C ends the process at once: nothing is left of one half filled.
     */
    const km_status status = km_restore_segment(&map, snapshot, given->segment, &options);
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    console_catch_interrupt();
    const int exit_status = holding_wait(out, map, given, &hold);
    (void)km_close(map);
    return exit_status;
}

int verb_restore(output *out, const arguments *given) {
    if (given->given & OPTION_SEGMENT) {
        return restore_segment(out, given);
    }
    if (given->given & (OPTION_MACHINE_WIDE | OPTION_EVERYBODY | OPTION_HOLD)) {
        return output_misused(out, "--machine-wide, --everybody and --hold need --segment: see "
                                   "keepmap restore --help");
    }
    return restore_file(out, given);
}

/* ---- salvage --------------------------------------------------------------------------------- */

static void say_salvaged(const char *target, const km_salvage_report *report,
                         const range_list *ranges) {
    char text[SIZE_TEXT];
    range_list_print(ranges);
    text_safe(target);
    printf(": %s salvaged", size_text(text, report->recovered));
    if (report->lost > 0) {
        printf(", %s lost", size_text(text, report->lost));
    }
    (void)putchar('\n');
    if (!report->size_known) {
        (void)puts("how long it was is not known: more may be missing at the end");
    }
    if (!report->index_found) {
        (void)puts("the index is lost: what came back was checked by its own sums alone");
    }
}

static void say_salvaged_json(const output *out, const char *snapshot, const char *target,
                              const km_salvage_report *report, const range_list *ranges) {
    json_begin(out);
    json_text("snapshot", snapshot);
    json_text("target", target);
    json_bytes("size", report->size);
    json_bool("size_known", report->size_known);
    json_bool("index_found", report->index_found);
    json_bytes("recovered", report->recovered);
    json_bytes("lost", report->lost);
    json_bytes("lost_chunks", report->lost_chunks);
    range_list_json("lost_ranges", ranges);
    json_end();
}

int verb_salvage(output *out, const arguments *given) {
    const char *snapshot = given->operands[0];
    const char *target = given->operands[1];
    km_salvage_report report = {0};
    range_list ranges = {.count = 0};
    progress bar;
    if (is_stream(snapshot) || is_stream(target)) {
        return output_misused(out, "salvage wants files: it knows no streams");
    }
    progress_start(&bar, "salvaging", !out->json);
    const km_salvage_options options = {
        .flags = flags_of(given->given),
        .lost = range_list_add,
        .lost_arg = &ranges,
        .progress = progress_step,
        .progress_arg = &bar,
        .report = &report,
    };
    const km_status status = km_salvage(snapshot, target, &options);
    progress_end(&bar);
    if (status != KM_OK) {
        const int refused = range_list_refused(out, status, &ranges);
        range_list_free(&ranges);
        return refused;
    }
    if (out->json) {
        say_salvaged_json(out, snapshot, target, &report, &ranges);
    } else {
        say_salvaged(target, &report, &ranges);
    }
    range_list_free(&ranges);
    const bool complete = report.lost == 0 && report.size_known;
    return output_end(out, complete ? EXIT_FINE : EXIT_CHECK_FAILED);
}
