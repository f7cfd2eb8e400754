/*
 * fuzz.c - what the fuzz targets have in common: inputs, files, streams.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repair.h"

/* More than any image that is looked at whole. */
#define SINK_MOST ((size_t)64 << 20)

_Noreturn void fuzz_fail(const char *what, const char *file, int line) {
    (void)fprintf(stderr, "%s:%d: does not hold: %s\nthe last failure: %s\n", file, line, what,
                  km_error_message());
    abort();
}

void *fuzz_allocate(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    fuzz_check(memory != NULL);
    return memory;
}

void fuzz_put(uint8_t *at, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

uint64_t fuzz_get(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

bool fuzz_input_begin(fuzz_input *input, const uint8_t *data, size_t size) {
    if (size < FUZZ_OPTIONS) {
        return false;
    }
    input->options = data;
    input->snapshot = fuzz_repair((fuzz_repair_how)(data[0] % 4), data + FUZZ_OPTIONS,
                                  size - FUZZ_OPTIONS, &input->length);
    return true;
}

void fuzz_input_end(fuzz_input *input) {
    free(input->snapshot);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static const char *scratch(void) {
    static char path[FUZZ_PATH];
    if (path[0] == '\0') {
        const char *parent = getenv("FUZZ_SCRATCH");
        const int length =
            snprintf(path, sizeof path, "%s/XXXXXX", parent != NULL ? parent : "/tmp");
        fuzz_check(length > 0 && (size_t)length < sizeof path - 64 && mkdtemp(path) != NULL);
    }
    return path;
}

void fuzz_path(const char *name, char path[FUZZ_PATH]) {
    const int length = snprintf(path, FUZZ_PATH, "%s/%s", scratch(), name);
    fuzz_check(length > 0 && length < (int)FUZZ_PATH);
}

void fuzz_file_write(const char *path, const void *bytes, size_t length) {
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(file >= 0 && write(file, bytes, length) == (ssize_t)length && close(file) == 0);
}

uint8_t *fuzz_file_read(const char *path, size_t *length) {
    struct stat facts;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    fuzz_check(file >= 0 && fstat(file, &facts) == 0);
    uint8_t *bytes = fuzz_allocate((size_t)facts.st_size);
    fuzz_check(read(file, bytes, (size_t)facts.st_size) == (ssize_t)facts.st_size);
    (void)close(file);
    *length = (size_t)facts.st_size;
    return bytes;
}

bool fuzz_file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

void fuzz_file_remove(const char *path) {
    (void)unlink(path);
}

void fuzz_expect_no_files(void) {
    DIR *directory = opendir(scratch());
    fuzz_check(directory != NULL);
    const struct dirent *entry = NULL;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fuzz_fail(entry->d_name, "left behind", 0);
        }
    }
    (void)closedir(directory);
}

int fuzz_snapshot_file(const uint8_t *data, size_t size, fuzz_try *try_snapshot) {
    char snapshot[FUZZ_PATH];
    char target[FUZZ_PATH];
    fuzz_input input;
    if (!fuzz_input_begin(&input, data, size)) {
        return 0;
    }
    fuzz_path("snapshot", snapshot);
    fuzz_path("target", target);
    fuzz_file_write(snapshot, input.snapshot, input.length);
    try_snapshot(&input, snapshot, target);
    fuzz_file_remove(snapshot);
    fuzz_expect_no_files();
    fuzz_input_end(&input);
    return 0;
}

/* ---- Streams -------------------------------------------------------------------------------- */

km_status fuzz_source_read(void *to, size_t length, size_t *done, void *arg) {
    fuzz_source *source = arg;
    const size_t left = source->length - source->at;
    size_t step = length < left ? length : left;
    if (source->piece != 0) {
        const size_t piece = 1 + (source->at * 7 + source->piece) % (2 * source->piece);
        step = piece < step ? piece : step;
    }
    if (source->fail_at != 0 && source->at + step >= source->fail_at) {
        return KM_E_IO;
    }
    if (step > 0) {
        memcpy(to, source->bytes + source->at, step);
    }
    source->at += step;
    *done = step;
    return KM_OK;
}

km_status fuzz_sink_write(const void *from, size_t length, void *arg) {
    fuzz_sink *sink = arg;
    if (length > SINK_MOST - sink->length) {
        return KM_E_NO_SPACE;
    }
    if (sink->length + length > sink->room) {
        sink->room = 2 * (sink->length + length);
        sink->bytes = realloc(sink->bytes, sink->room);
        fuzz_check(sink->bytes != NULL);
    }
    memcpy(sink->bytes + sink->length, from, length);
    sink->length += length;
    return KM_OK;
}

km_status fuzz_image(const char *snapshot, fuzz_sink *image) {
    const km_restore_options options = {.threads = 1, .write = fuzz_sink_write, .write_arg = image};
    return km_restore(snapshot, NULL, &options);
}
