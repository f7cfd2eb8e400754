/*
 * verb_verify.c - what a snapshot says of itself, and whether it is all there: verify, and info of
 * a snapshot.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "progress.h"
#include "streams.h"

/* ---- verify ---------------------------------------------------------------------------------- */

int verb_verify(output *out, const arguments *given) {
    const char *snapshot = given->operands[0];
    const bool from_stream = is_stream(snapshot);
    stream_state streams = {.error = 0};
    progress bar;
    progress_start(&bar, "verifying", !out->json);
    const km_verify_options options = {
        .flags = given->given & OPTION_QUICK ? KM_VERIFY_QUICK : 0,
        .threads = given->threads,
        .read = from_stream ? stream_read : NULL,
        .read_arg = from_stream ? &streams : NULL,
        .progress = progress_step,
        .progress_arg = &bar,
    };
    const km_status status = km_verify(from_stream ? NULL : snapshot, &options);
    progress_end(&bar);
    if (status != KM_OK && status != KM_E_CORRUPT) {
        return stream_refused(out, status, &streams);
    }
    const int exit_status = status == KM_OK ? EXIT_FINE : EXIT_CHECK_FAILED;
    if (out->json) {
        json_begin_status(out, status);
        json_text("message", status == KM_OK ? "" : km_error_message());
        json_text("snapshot", snapshot);
        json_bool("quick", given->given & OPTION_QUICK);
        json_end();
        return output_end(out, exit_status);
    }
    if (status != KM_OK) {
        (void)output_refused(out, status);
        return exit_status;
    }
    text_safe(input_name(snapshot));
    printf(": %s\n", given->given & OPTION_QUICK ? "every packed byte is as it was written"
                                                 : "every bit is as it was written");
    return output_end(out, exit_status);
}

/* ---- info of a snapshot ---------------------------------------------------------------------- */

#define ID_TEXT (2 * KM_ID_SIZE + 1)

static const char *id_text(char text[ID_TEXT], const uint8_t id[KM_ID_SIZE]) {
    for (size_t i = 0; i < KM_ID_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
    return text;
}

static bool is_id(const uint8_t id[KM_ID_SIZE]) {
    static const uint8_t none[KM_ID_SIZE];
    return memcmp(id, none, KM_ID_SIZE) != 0;
}

static const char *source_text(km_snapshot_source source) {
    switch (source) {
    case KM_SOURCE_FILE:
        return "file";
    case KM_SOURCE_SEGMENT:
        return "segment";
    case KM_SOURCE_STREAM:
        return "stream";
    }
    return "?";
}

static void print_facts(const char *path, const km_snapshot_facts *facts) {
    char text[SIZE_TEXT];
    char id[ID_TEXT];
    text_line("snapshot", path);
    text_line("of a", source_text(facts->source));
    text_bytes("size", facts->size);
    text_bytes("packed", facts->packed_size);
    text_line("made", time_text(text, facts->made_ns));
    (void)snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu32 " bytes", facts->chunks,
                   facts->chunk_size);
    text_line("chunks", text);
    (void)snprintf(text, sizeof text, "%" PRIu64, facts->zero_chunks);
    text_line("all zeros", text);
    (void)snprintf(text, sizeof text, "%" PRIu64, facts->stored_chunks);
    text_line("stored", text);
    (void)snprintf(text, sizeof text, "%" PRIu32, facts->level);
    text_line("level", text);
    text_line("id", id_text(id, facts->id));
    if (is_id(facts->since_id)) {
        text_line("since", id_text(id, facts->since_id));
    }
    if (facts->type[0]) {
        text_line("type", facts->type);
        (void)snprintf(text, sizeof text, "%" PRIu32, facts->type_version);
        text_line("type version", text);
    }
}

static void print_facts_json(const output *out, const char *path, const km_snapshot_facts *facts) {
    char id[ID_TEXT];
    char since[ID_TEXT];
    json_begin(out);
    json_text("snapshot", path);
    json_text("source", source_text(facts->source));
    json_bytes("size", facts->size);
    json_bytes("packed_size", facts->packed_size);
    json_bytes("made_ns", facts->made_ns);
    json_bytes("chunk_size", facts->chunk_size);
    json_bytes("chunks", facts->chunks);
    json_bytes("zero_chunks", facts->zero_chunks);
    json_bytes("stored_chunks", facts->stored_chunks);
    json_bytes("level", facts->level);
    json_text("id", id_text(id, facts->id));
    json_text_or_null("since", is_id(facts->since_id) ? id_text(since, facts->since_id) : NULL);
    json_text_or_null("type", facts->type[0] ? facts->type : NULL);
    json_bytes("type_version", facts->type[0] ? facts->type_version : KM_SIZE_UNKNOWN);
    json_end();
}

int info_snapshot(output *out, const char *path) {
    km_snapshot_facts facts = {0};
    const km_status status = km_inspect(path, &facts);
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    if (out->json) {
        print_facts_json(out, path, &facts);
    } else {
        print_facts(path, &facts);
    }
    return output_end(out, EXIT_FINE);
}
