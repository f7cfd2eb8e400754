/*
 * json.h - a strict reader of one JSON object (RFC 8259), to check what the command prints.
 *
 * Members have text, integers, true, false, null, arrays, or objects as their values. A member
 * named twice, a control character, bytes that are no UTF-8, anything behind the object but one
 * line end: it is no object. Failures fail the current test.
 */
#ifndef TESTS_JSON_H
#define TESTS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is this one such object, and nothing else? */
bool json_is_object(const char *text);

bool json_has(const char *text, const char *name);
bool json_is(const char *text, const char *name, const char *literal); /* "null", "true", "[]" */
uint64_t json_integer(const char *text, const char *name);
/* Escapes are undone. Valid until the next call. */
const char *json_string(const char *text, const char *name);
bool json_lists(const char *text, const char *name, const char *entry);
/* An array's entry as a text of its own, with a line end; NULL: it has no so many. Valid until the
 * next call. */
const char *json_entry(const char *text, const char *name, size_t index);

#endif /* TESTS_JSON_H */
