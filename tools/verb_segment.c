/*
 * verb_segment.c - the verb segment, which makes one and keeps it alive, and info of a segment.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "holding.h"
#include "progress.h"

#define CHUNK_BYTES ((uint64_t)16 << 20)

static uint32_t scope_of(const arguments *given) {
    return given->given & OPTION_MACHINE_WIDE ? KM_OPEN_MACHINE_WIDE : 0;
}

/* ---- segment --------------------------------------------------------------------------------- */

/* What the new segment is filled with. */
typedef struct filling {
    const char *path;
    km_map *file;
    progress bar;
    km_status status; /* of the filling itself, whose sentence says more than the segment's */
    char sentence[1024];
    uint32_t system_error;
} filling;

/* By km_read: a file cut short, or a disk that fails, is an error and no signal. */
static km_status fill(void *data, uint64_t size, void *arg) {
    filling *from = arg;
    const uint64_t length = km_size(from->file);
    (void)size; /* at least as large: make_segment saw to it */
    for (uint64_t at = 0; at < length && from->status == KM_OK; at += CHUNK_BYTES) {
        const uint64_t rest = length - at;
        from->status =
            km_read(from->file, at, (char *)data + at, rest < CHUNK_BYTES ? rest : CHUNK_BYTES);
        if (from->status == KM_OK && !progress_step(at, length, &from->bar)) {
            from->status = KM_E_CANCELLED;
        }
    }
    (void)snprintf(from->sentence, sizeof from->sentence, "%s", km_error_message());
    return from->status;
}

static int refuse(output *out, km_status status, const filling *from) {
    if (from->status == KM_E_CANCELLED) {
        return output_failed(out, KM_E_CANCELLED, "filling it from \"%s\" was cancelled",
                             from->path);
    }
    if (from->status != KM_OK) {
        return output_failed(out, from->status, "%s", from->sentence);
    }
    return output_refused(out, status);
}

/* The size that the segment is to have. EXIT_FINE, or the failure's exit status. */
static int choose_size(output *out, const arguments *given, const filling *from, uint64_t *size) {
    char text[SIZE_TEXT];
    *size = given->size;
    if (!from->file) {
        return EXIT_FINE;
    }
    const uint64_t length = km_size(from->file);
    if (!(given->given & OPTION_SIZE)) {
        *size = length;
    }
    if (*size < length) {
        return output_misused(out, "--size %" PRIu64 " is too small: \"%s\" has %s", *size,
                              from->path, size_text(text, length));
    }
    if (*size == 0) {
        return output_failed(out, KM_E_INVALID, "\"%s\" is empty, and no segment can be: --size",
                             from->path);
    }
    return EXIT_FINE;
}

static int make_segment(output *out, const arguments *given, filling *from, km_map **map) {
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_NEW | scope_of(given),
                          .permissions = given->given & OPTION_EVERYBODY ? 0666 : 0,
                          .init = from->path ? fill : NULL,
                          .init_arg = from,
                          .type = given->type,
                          .type_version = given->type_version};
    if (from->path) {
        const km_options reading = {.flags = KM_OPEN_SEQUENTIAL};
        const km_status status = km_open(&from->file, from->path, &reading);
        if (status != KM_OK) {
            return output_refused(out, status);
        }
    }
    const int exit_status = choose_size(out, given, from, &options.size);
    if (exit_status != EXIT_FINE) {
        return exit_status;
    }
    const km_status status = km_segment(map, given->operands[0], &options);
    return status == KM_OK ? EXIT_FINE : refuse(out, status, from);
}

int verb_segment(output *out, const arguments *given) {
    holding hold;
    filling from = {.path = given->from};
    km_map *map = NULL;
    if (!(given->given & (OPTION_FROM | OPTION_SIZE))) {
        return output_misused(out, "segment needs --size or --from");
    }
    if (!holding_read(out, given, &hold)) {
        return EXIT_MISUSE;
    }
    progress_start(&from.bar, "filling", given->from && !out->json);
    int exit_status = make_segment(out, given, &from, &map);
    progress_end(&from.bar);
    (void)km_close(from.file);
    if (exit_status == EXIT_FINE) {
        exit_status = holding_wait(out, map, given, &hold);
    }
    (void)km_close(map);
    return exit_status;
}

/* ---- info --segment -------------------------------------------------------------------------- */

static void print_info(const arguments *given, const km_segment_facts *facts,
                       const km_size_report *report) {
    char text[SIZE_TEXT];
    text_line("segment", given->segment);
    text_bytes("size", facts->size);
    text_bytes("memory", facts->section_size);
    text_bytes("allocated", report->allocated);
    text_bytes("memory free", report->disk_free);
    text_bytes("address free", report->address_free);
    if (facts->described) {
        if (facts->type[0]) {
            text_line("type", facts->type);
            (void)snprintf(text, sizeof text, "%" PRIu32, facts->type_version);
            text_line("type version", text);
        }
        text_line("created", time_text(text, facts->created_ns));
        (void)snprintf(text, sizeof text, "%" PRIu32, facts->creator);
        text_line("creator", text);
    } else {
        text_line("record", "none: a plain section");
    }
    text_findings("findings", report->findings);
}

static void print_info_json(const output *out, const arguments *given,
                            const km_segment_facts *facts, const km_size_report *report) {
    const bool described = facts->described;
    const bool typed = described && facts->type[0];
    json_begin(out);
    json_text("segment", given->segment);
    json_bool("machine_wide", given->given & OPTION_MACHINE_WIDE);
    json_bool("described", described);
    json_bytes("size", facts->size);
    json_bytes("section_size", facts->section_size);
    json_bytes("allocated", report->allocated);
    json_bytes("disk_free", report->disk_free);
    json_bytes("address_free", report->address_free);
    json_text_or_null("type", typed ? facts->type : NULL);
    json_bytes("type_version", typed ? facts->type_version : KM_SIZE_UNKNOWN);
    json_bytes("created_ns", described ? facts->created_ns : KM_SIZE_UNKNOWN);
    json_bytes("creator", described ? facts->creator : KM_SIZE_UNKNOWN);
    json_findings("findings", report->findings);
    json_end();
}

/* What km_check finds is a fact here, and no failure. */
int info_segment(output *out, const arguments *given) {
    const km_options options = {.flags = scope_of(given)};
    km_size_report report = {.actual = KM_SIZE_UNKNOWN};
    km_segment_facts facts = {0};
    km_map *map = NULL;
    km_status status = km_segment(&map, given->segment, &options);
    if (status == KM_OK) {
        status = km_segment_describe(map, &facts);
    }
    if (status == KM_OK) {
        const km_status checked = km_check(map, &report);
        status = report.actual == KM_SIZE_UNKNOWN ? checked : KM_OK;
    }
    (void)km_close(map);
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    if (out->json) {
        print_info_json(out, given, &facts, &report);
    } else {
        print_info(given, &facts, &report);
    }
    return output_end(out, EXIT_FINE);
}
