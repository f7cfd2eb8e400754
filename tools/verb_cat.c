/*
 * verb_cat.c - the verb cat: a file's bytes, raw, in hexadecimal, or in JSON.
 *
 * The file is seen through one window after the other, so that memory stays bounded, and read by
 * km_read, so that a file cut short meanwhile is an error and no signal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define WINDOW_BYTES ((uint64_t)64 << 20)
#define CHUNK_BYTES ((size_t)256 << 10) /* a multiple of LINE_BYTES */
#define LINE_BYTES 16

typedef struct hex_lines {
    unsigned char last[LINE_BYTES]; /* the line before */
    bool any;                       /* is there a line before? */
    bool folded;                    /* a "*" stands for lines like it */
} hex_lines;

/* Writes `length` bytes that lie at `offset` of the file. */
typedef void (*chunk_writer)(const unsigned char *bytes, size_t length, uint64_t offset,
                             hex_lines *lines);

static void write_raw(const unsigned char *bytes, size_t length, uint64_t offset,
                      hex_lines *lines) {
    (void)offset;
    (void)lines;
    (void)fwrite(bytes, 1, length, stdout);
}

static void write_json(const unsigned char *bytes, size_t length, uint64_t offset,
                       hex_lines *lines) {
    static const char digits[] = "0123456789abcdef";
    (void)offset;
    (void)lines;
    for (size_t i = 0; i < length; i++) {
        (void)putchar(digits[bytes[i] >> 4]);
        (void)putchar(digits[bytes[i] & 15]);
    }
}

/* "00000010  00 01 ...  0f  |................|" */
static void write_line(const unsigned char *bytes, size_t length, uint64_t offset) {
    char text[LINE_BYTES + 1];
    printf("%08" PRIx64 " ", offset);
    for (size_t i = 0; i < LINE_BYTES; i++) {
        const char *gap = i == LINE_BYTES / 2 ? " " : "";
        if (i < length) {
            printf("%s %02x", gap, bytes[i]);
            text[i] = (char)(bytes[i] >= 0x20 && bytes[i] < 0x7F ? bytes[i] : '.');
        } else {
            printf("%s   ", gap);
        }
    }
    text[length] = '\0';
    printf("  |%s|\n", text);
}

/* Whole lines that are like the one before are folded into one "*". */
static void write_hex(const unsigned char *bytes, size_t length, uint64_t offset,
                      hex_lines *lines) {
    for (size_t at = 0; at < length; at += LINE_BYTES) {
        size_t line = length - at < LINE_BYTES ? length - at : LINE_BYTES;
        if (line == LINE_BYTES && lines->any && memcmp(lines->last, bytes + at, LINE_BYTES) == 0) {
            if (!lines->folded) {
                (void)puts("*");
            }
            lines->folded = true;
            continue;
        }
        write_line(bytes + at, line, offset + at);
        memcpy(lines->last, bytes + at, line);
        lines->any = line == LINE_BYTES;
        lines->folded = false;
    }
}

/* How what is to be written is opened, and measured: a file, or what a snapshot holds. */
typedef km_status (*opener)(km_map **map, const char *path, const km_options *options);

static km_status measure_snapshot(const char *path, uint64_t *size) {
    km_snapshot_facts facts = {0};
    km_status status = km_inspect(path, &facts);
    if (status == KM_OK) {
        *size = facts.size;
    }
    return status;
}

static km_status measure_file(const char *path, uint64_t *size) {
    km_size_report report = {.actual = KM_SIZE_UNKNOWN};
    km_status status = km_check_file(path, KM_SIZE_UNKNOWN, &report);
    if (report.actual == KM_SIZE_UNKNOWN) {
        return status;
    }
    *size = report.actual;
    return KM_OK; /* any verdict about space is none of ours */
}

/* The file's size, and whether the range asked for lies in it. KM_OK: *length is its length. */
static km_status measure(const char *path, const arguments *given, bool snapshot, uint64_t *length,
                         uint64_t *size) {
    km_status status = snapshot ? measure_snapshot(path, size) : measure_file(path, size);
    if (status != KM_OK) {
        return status;
    }
    if (given->offset > *size) {
        return KM_E_TRUNCATED;
    }
    uint64_t rest = *size - given->offset;
    *length = given->given & OPTION_LENGTH ? given->length : rest;
    return *length <= rest ? KM_OK : KM_E_TRUNCATED;
}

/* Writes what `window` shows; it lies at `offset` of the file. Ends early when nobody reads. */
static km_status write_window(output *out, const km_map *window, uint64_t offset,
                              unsigned char *chunk, chunk_writer write, hex_lines *lines) {
    uint64_t size = km_size(window);
    for (uint64_t at = 0; at < size && output_takes_more(out); at += CHUNK_BYTES) {
        size_t length = size - at < CHUNK_BYTES ? (size_t)(size - at) : CHUNK_BYTES;
        km_status status = km_read(window, at, chunk, length);
        if (status != KM_OK) {
            return status;
        }
        write(chunk, length, offset + at, lines);
    }
    return KM_OK;
}

static km_status write_range(output *out, const char *path, opener open, uint64_t offset,
                             uint64_t length, chunk_writer write) {
    static unsigned char chunk[CHUNK_BYTES];
    hex_lines lines = {.any = false};
    km_options options = {.offset = offset,
                          .length = length < WINDOW_BYTES ? length : WINDOW_BYTES,
                          .flags = KM_OPEN_SEQUENTIAL};
    km_map *map = NULL;
    km_map *window = NULL;

    km_status status = open(&map, path, &options);
    if (status != KM_OK) {
        return status;
    }
    status = write_window(out, map, offset, chunk, write, &lines);
    for (uint64_t at = WINDOW_BYTES; status == KM_OK && at < length && output_takes_more(out);
         at += WINDOW_BYTES) {
        uint64_t rest = length - at;
        status = km_window(&window, map, offset + at, rest < WINDOW_BYTES ? rest : WINDOW_BYTES);
        if (status == KM_OK) {
            status = write_window(out, window, offset + at, chunk, write, &lines);
        }
        (void)km_close(window);
        window = NULL;
    }
    (void)km_close(map);
    if (status == KM_OK && lines.folded) {
        printf("%08" PRIx64 "\n", offset + length); /* where the "*" ends */
    }
    return status;
}

int verb_cat(output *out, const arguments *given) {
    const char *path = given->operands[0];
    uint64_t length = 0;
    uint64_t size = KM_SIZE_UNKNOWN;

    const bool snapshot = !(given->given & OPTION_PLAIN) && km_is_snapshot(path);
    km_status status = measure(path, given, snapshot, &length, &size);
    if (status != KM_OK && size != KM_SIZE_UNKNOWN && given->offset > size) {
        return output_failed(out, status,
                             "\"%s\" has %" PRIu64 " bytes: it ends before byte %" PRIu64, path,
                             size, given->offset);
    }
    if (status != KM_OK && size != KM_SIZE_UNKNOWN) {
        return output_failed(out, status,
                             "\"%s\" has %" PRIu64 " bytes: too few for %" PRIu64
                             " bytes from byte %" PRIu64,
                             path, size, length, given->offset);
    }
    if (status != KM_OK) {
        return output_refused(out, status);
    }

    chunk_writer write = write_raw;
    if (out->json) {
        write = write_json;
        json_begin(out);
        json_text("file", path);
        json_bytes("offset", given->offset);
        json_bytes("length", length);
        (void)fputs(",\"hex\":\"", stdout);
    } else if (given->given & OPTION_HEX) {
        write = write_hex;
    }
    if (length > 0) { /* to the library, a length of 0 means to the end */
        status = write_range(out, path, snapshot ? km_open_snapshot : km_open, given->offset,
                             length, write);
    }
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    if (out->json) {
        (void)fputc('"', stdout);
        json_end();
    }
    return output_end(out, EXIT_FINE);
}
