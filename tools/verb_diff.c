/*
 * verb_diff.c - the verb diff: where two files, or what two snapshots hold, differ.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "console.h"
#include "progress.h"
#include "ranges.h"
#include "streams.h"

static void say_text(const char *a, const char *b, const km_diff_report *report,
                     const range_list *ranges) {
    char text[SIZE_TEXT];
    range_list_print(ranges);
    if (report->ranges == 0) {
        text_safe(a);
        (void)fputs(" and ", stdout);
        text_safe(b);
        printf(" are the same, %s\n", size_text(text, report->a_size));
        return;
    }
    printf("%" PRIu64 " range%s differ%s; %s changed", report->ranges,
           report->ranges == 1 ? "" : "s", report->ranges == 1 ? "s" : "",
           size_text(text, report->changed));
    if (report->a_size != report->b_size) {
        printf(", sizes %" PRIu64 " and %" PRIu64, report->a_size, report->b_size);
    }
    (void)putchar('\n');
}

static void say_json(const output *out, const char *a, const char *b, const km_diff_report *report,
                     const range_list *ranges) {
    json_begin(out);
    json_text("a", a);
    json_text("b", b);
    json_bool("a_is_snapshot", report->a_is_snapshot);
    json_bool("b_is_snapshot", report->b_is_snapshot);
    json_bytes("a_size", report->a_size);
    json_bytes("b_size", report->b_size);
    json_bool("same", report->ranges == 0);
    json_bytes("unit", report->unit);
    json_bytes("changed", report->changed);
    range_list_json("ranges", ranges);
    json_end();
}

static void say(const output *out, const char *a, const char *b, const km_diff_report *report,
                const range_list *ranges) {
    if (out->json) {
        say_json(out, a, b, report, ranges);
    } else {
        say_text(a, b, report, ranges);
    }
}

int verb_diff(output *out, const arguments *given) {
    const char *a = given->operands[0];
    const char *b = given->operands[1];
    if (is_stream(a) || is_stream(b)) {
        return output_misused(out, "diff wants files: it reads no streams");
    }
    if (given->given & OPTION_UNIT && (given->unit == 0 || given->unit > (uint64_t)1 << 20 ||
                                       (given->unit & (given->unit - 1)) != 0)) {
        return output_misused(out, "--unit %" PRIu64 ": a power of two, 1 to 1M", given->unit);
    }
    km_diff_report report = {0};
    range_list ranges = {.count = 0};
    progress bar;
    progress_start(&bar, "comparing", !out->json);
    const km_diff_options options = {
        .flags = given->given & OPTION_PLAIN ? KM_DIFF_PLAIN_A | KM_DIFF_PLAIN_B : 0,
        .unit = (uint32_t)given->unit,
        .threads = given->threads,
        .range = range_list_add,
        .range_arg = &ranges,
        .progress = progress_step,
        .progress_arg = &bar,
        .report = &report,
    };
    const km_status status = km_diff(a, b, &options);
    progress_end(&bar);
    int exit_status = report.ranges == 0 ? EXIT_FINE : EXIT_CHECK_FAILED;
    if (status != KM_OK) {
        exit_status = range_list_refused(out, status, &ranges);
    } else {
        console_release_interrupt(); /* there may be much to say, and nothing to take back */
        say(out, a, b, &report, &ranges);
    }
    range_list_free(&ranges);
    return status == KM_OK ? output_end(out, exit_status) : exit_status;
}
