/*
 * output.c - how the command speaks: text for people, or one JSON object.
 */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

/* ---- Characters ------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 character at `text`, 0 if what is there is none. */
static size_t character_length(const unsigned char *text) {
    unsigned char first = text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    /* Longer than need be, a surrogate, beyond the last: decided by the second byte. */
    unsigned char second = text[1];
    bool bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
               (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return bad ? 0 : length;
}

/* C0, DEL and C1. */
static bool is_control(const unsigned char *text, size_t length) {
    return (length == 1 && (text[0] < 0x20 || text[0] == 0x7F)) ||
           (length == 2 && text[0] == 0xC2 && text[1] < 0xA0);
}

static void safe_to(FILE *stream, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t length = character_length(at);
        if (length == 0 || is_control(at, length)) {
            length = length ? length : 1;
            for (size_t i = 0; i < length; i++) {
                (void)fprintf(stream, "\\x%02X", at[i]);
            }
        } else {
            (void)fwrite(at, 1, length, stream);
        }
        at += length;
    }
}

/* Bytes that are no UTF-8 have no place in JSON: U+FFFD stands for each. */
static void quoted_to(FILE *stream, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    (void)fputc('"', stream);
    while (*at) {
        size_t length = character_length(at);
        if (length == 0) {
            (void)fputs("\\ufffd", stream);
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            (void)fprintf(stream, "\\%c", *at);
        } else if (is_control(at, length)) {
            (void)fprintf(stream, "\\u%04x", at[length - 1]);
        } else {
            (void)fwrite(at, 1, length, stream);
        }
        at += length;
    }
    (void)fputc('"', stream);
}

/* ---- Findings -------------------------------------------------------------------------------- */

static const struct {
    uint32_t bit;
    const char *name;
    const char *meaning;
} findings_known[] = {
    {KM_SIZE_TRUNCATED, "KM_SIZE_TRUNCATED", "the file is too short"},
    {KM_SIZE_MISMATCH, "KM_SIZE_MISMATCH", "the file is not exactly as long as expected"},
    {KM_SIZE_GREW, "KM_SIZE_GREW", "the file is longer than what is mapped of it"},
    {KM_SIZE_HOLES, "KM_SIZE_HOLES", "parts of it are not allocated"},
    {KM_SIZE_NO_DISK, "KM_SIZE_NO_DISK", "the disk cannot take what is not allocated yet"},
    {KM_SIZE_NO_ADDRESS, "KM_SIZE_NO_ADDRESS", "the address space cannot take a view of it"},
    {KM_SIZE_NO_SHARING, "KM_SIZE_NO_SHARING", "this file system does not enforce sharing modes"},
    {KM_SIZE_TOO_LARGE, "KM_SIZE_TOO_LARGE", "larger than a file can be here"},
    {KM_SIZE_RECORD, "KM_SIZE_RECORD", "the segment's record has been overwritten"},
};

#define FINDINGS_KNOWN (sizeof findings_known / sizeof findings_known[0])

/* ---- JSON ------------------------------------------------------------------------------------ */

void json_begin_status(const output *out, km_status status) {
    (void)fputs("{\"verb\":", stdout);
    quoted_to(stdout, out->verb);
    json_text("status", km_strerror(status));
}

void json_begin(const output *out) {
    json_begin_status(out, KM_OK);
}

void json_text(const char *name, const char *value) {
    printf(",\"%s\":", name);
    quoted_to(stdout, value);
}

void json_bytes(const char *name, uint64_t bytes) {
    if (bytes == KM_SIZE_UNKNOWN) {
        printf(",\"%s\":null", name);
        return;
    }
    printf(",\"%s\":%" PRIu64, name, bytes);
}

void json_bool(const char *name, bool value) {
    printf(",\"%s\":%s", name, value ? "true" : "false");
}

void json_text_or_null(const char *name, const char *value) {
    if (value) {
        json_text(name, value);
    } else {
        printf(",\"%s\":null", name);
    }
}

void json_numbers(const char *name, const uint32_t *numbers, uint32_t count) {
    printf(",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        printf("%s%" PRIu32, i ? "," : "", numbers[i]);
    }
    (void)fputs("]", stdout);
}

void json_findings(const char *name, uint32_t findings) {
    const char *separator = "";
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < FINDINGS_KNOWN; i++) {
        if (findings & findings_known[i].bit) {
            printf("%s\"%s\"", separator, findings_known[i].name);
            separator = ",";
        }
    }
    (void)fputs("]", stdout);
}

void json_list_begin(const char *name) {
    printf(",\"%s\":[", name);
}

void json_item_begin(bool is_first, const char *name, const char *value) {
    printf("%s{\"%s\":", is_first ? "" : ",", name);
    quoted_to(stdout, value);
}

void json_item_end(void) {
    (void)putchar('}');
}

void json_list_end(void) {
    (void)putchar(']');
}

void json_end(void) {
    (void)fputs("}\n", stdout);
}

/* ---- Text ------------------------------------------------------------------------------------ */

const char *size_rounded(char text[SIZE_TEXT], uint64_t bytes) {
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        (void)snprintf(text, SIZE_TEXT, "%" PRIu64 " bytes", bytes);
        return text;
    }
    double rounded = (double)bytes / 1024;
    size_t unit = 0;
    while (rounded >= 1023.95) { /* what %.1f would show as 1024.0; at most 2^64: 16 EiB */
        rounded /= 1024;
        unit++;
    }
    (void)snprintf(text, SIZE_TEXT, "%.1f %ciB", rounded, units[unit]);
    return text;
}

const char *size_text(char text[SIZE_TEXT], uint64_t bytes) {
    char rounded[SIZE_TEXT];
    if (bytes < 1024) {
        return size_rounded(text, bytes);
    }
    (void)snprintf(text, SIZE_TEXT, "%" PRIu64 " bytes (%.20s)", bytes,
                   size_rounded(rounded, bytes));
    return text;
}

const char *time_text(char text[SIZE_TEXT], uint64_t since_1970_ns) {
    const time_t seconds = (time_t)(since_1970_ns / 1000000000);
    const struct tm *calendar = gmtime(&seconds); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (!calendar || strftime(text, SIZE_TEXT, "%Y-%m-%dT%H:%M:%SZ", calendar) == 0) {
        text[0] = '\0';
    }
    return text;
}

void text_safe(const char *text) {
    safe_to(stdout, text);
}

unsigned text_safe_width(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    unsigned width = 0;
    while (*at) {
        size_t length = character_length(at);
        bool plain = length > 0 && !is_control(at, length);
        length = length ? length : 1;
        width += plain ? 1 : 4 * (unsigned)length; /* "\xNN" for each byte */
        at += length;
    }
    return width;
}

void text_line(const char *label, const char *value) {
    printf("%-13s ", label);
    safe_to(stdout, value);
    (void)fputc('\n', stdout);
}

void text_bytes(const char *label, uint64_t bytes) {
    char text[SIZE_TEXT];
    char rounded[SIZE_TEXT];
    if (bytes == KM_SIZE_UNKNOWN) {
        text_line(label, "any");
        return;
    }
    if (bytes < 1024) {
        (void)snprintf(text, sizeof text, "%20" PRIu64 " bytes", bytes);
    } else {
        (void)snprintf(text, sizeof text, "%20" PRIu64 " bytes  %.20s", bytes,
                       size_rounded(rounded, bytes));
    }
    text_line(label, text);
}

void text_findings(const char *label, uint32_t findings) {
    for (size_t i = 0; i < FINDINGS_KNOWN; i++) {
        if (findings & findings_known[i].bit) {
            printf("%-13s %s: %s\n", label, findings_known[i].name, findings_known[i].meaning);
            label = "";
        }
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

bool output_takes_more(output *out) {
    if (ferror(stdout) && out->write_error == 0) {
        out->write_error = errno ? errno : EIO;
    }
    return out->write_error == 0;
}

static void flush(output *out) {
    (void)fflush(stdout);
    (void)output_takes_more(out);
}

/* Standard output comes first, so that the two are in order where they go to the same place. */
static void report(output *out, const char *error, km_status status, const char *message,
                   uint32_t system_error) {
    flush(out);
    if (out->json) {
        (void)fputs("{\"verb\":", stderr);
        quoted_to(stderr, out->verb);
        (void)fputs(",\"error\":", stderr);
        quoted_to(stderr, error);
        (void)fprintf(stderr, ",\"status\":\"%s\",\"message\":", km_strerror(status));
        quoted_to(stderr, message);
        (void)fprintf(stderr, ",\"system_error\":%" PRIu32 "}\n", system_error);
        return;
    }
    (void)fprintf(stderr, "keepmap%s%s: ", *out->verb ? " " : "", out->verb);
    safe_to(stderr, message);
    (void)fputc('\n', stderr);
}

int output_refused(output *out, km_status status) {
    report(out, km_status_meaning(status), status, km_error_message(), km_system_error());
    return EXIT_REFUSED;
}

/* Paths may be long, and what matters may stand behind them: cut only if there is no memory. */
static void report_formatted(output *out, const char *error, km_status status, const char *format,
                             va_list values) {
    char short_message[1024];
    va_list again;
    va_copy(again, values);
    int length = vsnprintf(short_message, sizeof short_message, format, values);
    char *message = short_message;
    if (length >= (int)sizeof short_message) {
        char *whole = malloc((size_t)length + 1);
        if (whole && vsnprintf(whole, (size_t)length + 1, format, again) == length) {
            message = whole;
        } else {
            free(whole);
        }
    }
    va_end(again);
    report(out, error, status, message, 0);
    if (message != short_message) {
        free(message);
    }
}

int output_failed(output *out, km_status status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    report_formatted(out, km_status_meaning(status), status, format, values);
    va_end(values);
    return EXIT_REFUSED;
}

int output_misused(output *out, const char *format, ...) {
    va_list values;
    va_start(values, format);
    report_formatted(out, "misuse", KM_E_INVALID, format, values);
    va_end(values);
    return EXIT_MISUSE;
}

int output_end(output *out, int exit_status) {
    flush(out);
    if (out->write_error == 0 || out->write_error == EPIPE) {
        return exit_status;
    }
    return output_failed(out, out->write_error == ENOSPC ? KM_E_NO_SPACE : KM_E_IO,
                         "cannot write to standard output: %s", strerror(out->write_error));
}
