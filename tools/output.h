/*
 * output.h - how the command speaks: results on standard output, failures on standard error, each
 * as text for people or as one JSON object.
 *
 * JSON. A run prints exactly one object: its result, or its failure. Byte counts are integers, a
 * count that is not known is null; statuses and findings have the names of keepmap.h. A failure has
 * the members error (the kind of failure), status, message (the sentence), system_error.
 */
#ifndef TOOLS_OUTPUT_H
#define TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#if defined(__MINGW32__)
#define PRINTF_LIKE(text, first) __attribute__((format(gnu_printf, text, first)))
#elif defined(__GNUC__)
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif

typedef struct output {
    bool json;
    const char *verb; /* "" where there is none */
    int write_error;  /* the errno of the first failed write to standard output */
} output;

/* ---- Results as JSON: members between json_begin and json_end ---- */

void json_begin(const output *out); /* with the members verb and status KM_OK */
void json_begin_status(const output *out, km_status status);
void json_text(const char *name, const char *value);
void json_bytes(const char *name, uint64_t bytes); /* KM_SIZE_UNKNOWN: null */
void json_bool(const char *name, bool value);
void json_text_or_null(const char *name, const char *value); /* NULL: null */
void json_numbers(const char *name, const uint32_t *numbers, uint32_t count);
void json_findings(const char *name, uint32_t findings);
/* An array of objects: each begins with a text member; more follow by the functions above. */
void json_list_begin(const char *name);
void json_item_begin(bool is_first, const char *name, const char *value);
void json_item_end(void);
void json_list_end(void);
void json_end(void);

/* ---- Results as text ---- */

void text_line(const char *label, const char *value);
void text_bytes(const char *label, uint64_t bytes); /* KM_SIZE_UNKNOWN: "any" */
void text_findings(const char *label, uint32_t findings);
/* A text with its control characters made harmless: names of files can hold any. */
void text_safe(const char *text);
/* Columns that this takes, if every character takes one. */
unsigned text_safe_width(const char *text);

#define SIZE_TEXT 64
/* "1610612736 bytes (1.5 GiB)" */
const char *size_text(char text[SIZE_TEXT], uint64_t bytes);
/* "1.5 GiB" */
const char *size_rounded(char text[SIZE_TEXT], uint64_t bytes);
/* "2026-11-21T11:09:59Z", or "" if the calendar has no such day. */
const char *time_text(char text[SIZE_TEXT], uint64_t since_1970_ns);

/* false: what has been printed cannot be written, so that more would be in vain. */
bool output_takes_more(output *out);

/* ---- The end of a run: all of these return its exit status ---- */

/* Sends off what was printed. Cannot it be, that is the failure; a reader that has closed the pipe
 * has had what it wanted. */
int output_end(output *out, int exit_status);

/* The library's last failure, or one found here, which has a sentence of its own. */
int output_refused(output *out, km_status status);
int output_failed(output *out, km_status status, const char *format, ...) PRINTF_LIKE(3, 4);
int output_misused(output *out, const char *format, ...) PRINTF_LIKE(2, 3);

#endif /* TOOLS_OUTPUT_H */
