/*
 * verbs_size.c - the verbs that look at sizes: info, check, fits.
 */
#include <stdio.h>

#include "command.h"

/* A report that no check has filled: no file has that many bytes. */
#define NOT_FILLED                                                                                 \
    (km_size_report) {                                                                             \
        .actual = KM_SIZE_UNKNOWN                                                                  \
    }

static bool is_filled(const km_size_report *report) {
    return report->actual != KM_SIZE_UNKNOWN;
}

static void report_json(const char *path, const km_size_report *report) {
    json_text("file", path);
    json_bytes("expected", report->expected);
    json_bytes("declared", report->declared);
    json_bytes("actual", report->actual);
    json_bytes("allocated", report->allocated);
    json_bytes("disk_free", report->disk_free);
    json_bytes("address_free", report->address_free);
    json_findings("findings", report->findings);
}

static void report_text(const char *path, const km_size_report *report) {
    text_line("file", path);
    text_bytes("actual", report->actual);
    text_bytes("allocated", report->allocated);
    text_bytes("disk free", report->disk_free);
    text_bytes("address free", report->address_free);
    text_findings("findings", report->findings);
}

/* A report may come with any verdict; without one the check itself has failed. */
int verb_info(output *out, const arguments *given) {
    if (given->given & OPTION_SEGMENT) {
        return info_segment(out, given);
    }
    if (given->given & OPTION_MACHINE_WIDE) {
        return output_misused(out, "--machine-wide needs --segment: see keepmap info --help");
    }
    const char *path = given->operands[0];
    if (!(given->given & OPTION_PLAIN) && km_is_snapshot(path)) {
        return info_snapshot(out, path);
    }
    km_size_report report = NOT_FILLED;
    km_status status = km_check_file(path, KM_SIZE_UNKNOWN, &report);
    if (!is_filled(&report)) {
        return output_refused(out, status);
    }

    if (!out->json) {
        report_text(path, &report);
        return output_end(out, EXIT_FINE);
    }
    json_begin(out);
    report_json(path, &report);
    json_end();
    return output_end(out, EXIT_FINE);
}

static int verdict(output *out, const char *path, km_status status, const km_size_report *report) {
    if (!is_filled(report)) {
        return output_refused(out, status);
    }
    int exit_status = status == KM_OK ? EXIT_FINE : EXIT_CHECK_FAILED;
    if (out->json) {
        json_begin_status(out, status);
        json_text("message", status == KM_OK ? "" : km_error_message());
        report_json(path, report);
        json_end();
        return output_end(out, exit_status);
    }
    report_text(path, report);
    text_bytes("expected", report->expected);
    printf("%-13s %s: %s\n", "status", km_strerror(status), km_status_meaning(status));
    if (status != KM_OK) {
        (void)output_refused(out, status);
    }
    return output_end(out, exit_status);
}

int verb_check(output *out, const arguments *given) {
    const char *path = given->operands[0];
    uint64_t expected = given->given & OPTION_SIZE ? given->size : KM_SIZE_UNKNOWN;
    km_size_report report = NOT_FILLED;
    km_status status = km_check_file(path, expected, &report);
    return verdict(out, path, status, &report);
}

int verb_fits(output *out, const arguments *given) {
    const char *path = given->operands[0];
    km_size_report report = NOT_FILLED;
    km_status status = km_fits(path, given->size, &report);
    return verdict(out, path, status, &report);
}
