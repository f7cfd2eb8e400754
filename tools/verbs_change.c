/*
 * verbs_change.c - the verbs that make a file, or change one: create, resize, flush.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "console.h"

/* Runs when the file is allocated but has no name yet: the last moment to leave nothing behind. */
static km_status go_on(void *data, uint64_t size, void *arg) {
    (void)data;
    (void)size;
    (void)arg;
    return console_interrupted() ? KM_E_CANCELLED : KM_OK;
}

/* Prints what has become of the file. */
static int done(output *out, const char *path, const char *what, uint64_t size) {
    char text[SIZE_TEXT];
    text_safe(path);
    printf(": %s, %s\n", what, size_text(text, size));
    return output_end(out, EXIT_FINE);
}

int verb_create(output *out, const arguments *given) {
    const char *path = given->operands[0];
    bool sparse = given->given & OPTION_SPARSE;
    /* Sole: what cannot be made durable is taken away again, and nobody may be using it by then. */
    km_options options = {.access = KM_WRITE,
                          .size = given->size,
                          .flags = KM_OPEN_NEW | KM_OPEN_SOLE | (sparse ? KM_OPEN_SPARSE : 0),
                          .init = go_on};
    km_map *map = NULL;

    console_catch_interrupt();
    km_status status = km_open(&map, path, &options);
    if (status == KM_E_CANCELLED) {
        return output_failed(out, status, "cancelled: \"%s\" was not made", path);
    }
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    status = km_flush(map, 0, 0, KM_FLUSH_DURABLE);
    (void)km_close(map);
    if (status != KM_OK && !console_remove(path)) {
        return output_failed(out, status, "%s; \"%s\" was made and could not be taken away again",
                             km_error_message(), path);
    }
    if (status != KM_OK) {
        return output_refused(out, status);
    }

    if (!out->json) {
        return done(out, path, sparse ? "created, sparse" : "created", given->size);
    }
    json_begin(out);
    json_text("file", path);
    json_bytes("size", given->size);
    json_bool("sparse", sparse);
    json_end();
    return output_end(out, EXIT_FINE);
}

int verb_resize(output *out, const arguments *given) {
    const char *path = given->operands[0];
    km_options options = {.access = KM_WRITE,
                          .flags = given->given & OPTION_SPARSE ? KM_OPEN_SPARSE : 0};
    km_map *map = NULL;
    uint64_t before = 0;

    km_status status = km_open(&map, path, &options);
    if (status == KM_OK) {
        before = km_size(map);
        status = km_resize(map, given->size);
    }
    if (status == KM_OK) {
        status = km_flush(map, 0, 0, KM_FLUSH_DURABLE);
    }
    int exit_status = status == KM_OK ? EXIT_FINE : output_refused(out, status);
    (void)km_close(map);
    if (exit_status != EXIT_FINE) {
        return exit_status;
    }

    if (!out->json) {
        const char *what = given->size > before   ? "grown"
                           : given->size < before ? "shrunk"
                                                  : "as it was";
        return done(out, path, what, given->size);
    }
    json_begin(out);
    json_text("file", path);
    json_bytes("size", given->size);
    json_bytes("size_before", before);
    json_end();
    return output_end(out, EXIT_FINE);
}

int verb_flush(output *out, const arguments *given) {
    const char *path = given->operands[0];
    km_options options = {.access = KM_WRITE};
    km_map *map = NULL;
    uint64_t size = 0;

    km_status status = km_open(&map, path, &options);
    if (status == KM_OK) {
        size = km_size(map);
        status = km_flush(map, 0, 0, KM_FLUSH_DURABLE);
    }
    int exit_status = status == KM_OK ? EXIT_FINE : output_refused(out, status);
    (void)km_close(map);
    if (exit_status != EXIT_FINE) {
        return exit_status;
    }

    if (!out->json) {
        return done(out, path, "flushed", size);
    }
    json_begin(out);
    json_text("file", path);
    json_bytes("size", size);
    json_end();
    return output_end(out, EXIT_FINE);
}
