/*
 * json.c - a strict reader of one JSON object, to check what the command prints.
 */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS_AT_MOST 32

typedef struct slice {
    const char *start;
    size_t length;
} slice;

typedef struct members {
    slice names[MEMBERS_AT_MOST]; /* with their quotes */
    slice values[MEMBERS_AT_MOST];
    size_t count;
} members;

/* Each reader returns what is behind the thing it reads, NULL if it is not there. */

static const char *blanks(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *character(const char *at) {
    static const unsigned char least_second[] = {0xA0, 0x80, 0x90};
    const unsigned char *byte = (const unsigned char *)at;
    if (byte[0] < 0x80) {
        return byte[0] >= 0x20 && byte[0] != '"' && byte[0] != '\\' ? at + 1 : NULL;
    }
    size_t length = byte[0] >= 0xF0 ? 4 : byte[0] >= 0xE0 ? 3 : 2;
    unsigned char least = byte[0] == 0xE0   ? least_second[0]
                          : byte[0] == 0xF0 ? least_second[2]
                                            : least_second[1];
    unsigned char most = byte[0] == 0xED ? 0x9F : byte[0] == 0xF4 ? 0x8F : 0xBF;
    if (byte[0] < 0xC2 || byte[0] > 0xF4 || byte[1] < least || byte[1] > most) {
        return NULL;
    }
    for (size_t i = 2; i < length; i++) {
        if ((byte[i] & 0xC0) != 0x80) {
            return NULL;
        }
    }
    return at + length;
}

static const char *escape(const char *at) {
    if (at[1] == 'u') {
        return strspn(at + 2, "0123456789abcdefABCDEF") >= 4 ? at + 6 : NULL;
    }
    return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) ? at + 2 : NULL;
}

static const char *string(const char *at) {
    if (*at != '"') {
        return NULL;
    }
    for (at++; at && *at != '"';) {
        at = *at == '\\' ? escape(at) : character(at);
    }
    return at ? at + 1 : NULL;
}

static const char *value(const char *at);

static const char *list(const char *at) {
    at = blanks(at + 1);
    if (*at == ']') {
        return at + 1;
    }
    for (;;) {
        at = value(at);
        if (!at) {
            return NULL;
        }
        at = blanks(at);
        if (*at == ']') {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
        at = blanks(at + 1);
    }
}

static const char *object(const char *at, members *all);

static const char *value(const char *at) {
    members inner;
    static const char *const literals[] = {"true", "false", "null"};
    if (*at == '"') {
        return string(at);
    }
    if (*at == '[') {
        return list(at);
    }
    if (*at == '{') {
        return object(at, &inner);
    }
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        if (strncmp(at, literals[i], strlen(literals[i])) == 0) {
            return at + strlen(literals[i]);
        }
    }
    size_t digits = strspn(at, "0123456789");
    return digits > 0 && (digits == 1 || *at != '0') ? at + digits : NULL;
}

static bool equal(slice one, slice other) {
    return one.length == other.length && memcmp(one.start, other.start, one.length) == 0;
}

static const char *member(const char *at, members *all) {
    size_t n = all->count;
    const char *end = string(at);
    if (!end || n == MEMBERS_AT_MOST) {
        return NULL;
    }
    all->names[n] = (slice){at, (size_t)(end - at)};
    for (size_t i = 0; i < n; i++) {
        if (equal(all->names[i], all->names[n])) {
            return NULL;
        }
    }
    at = blanks(end);
    if (*at != ':') {
        return NULL;
    }
    at = blanks(at + 1);
    end = value(at);
    if (!end) {
        return NULL;
    }
    all->values[n] = (slice){at, (size_t)(end - at)};
    all->count++;
    return end;
}

static const char *object(const char *at, members *all) {
    *all = (members){.count = 0};
    if (*at != '{') {
        return NULL;
    }
    at = blanks(at + 1);
    while (*at != '}') {
        at = member(at, all);
        if (!at) {
            return NULL;
        }
        at = blanks(at);
        if (*at == ',') {
            at = blanks(at + 1);
            if (*at == '}') {
                return NULL;
            }
        } else if (*at != '}') {
            return NULL;
        }
    }
    return at + 1;
}

/* One object and its line end, nothing else. */
static bool whole(const char *text, members *all) {
    const char *end = object(text, all);
    return end && strcmp(end, "\n") == 0;
}

bool json_is_object(const char *text) {
    members all;
    return whole(text, &all);
}

/* start NULL: there is no such member. */
static slice find(const char *text, const char *name) {
    members all;
    if (!whole(text, &all)) {
        fail_msg("no JSON object: %s", text);
    }
    for (size_t i = 0; i < all.count; i++) {
        if (all.names[i].length == strlen(name) + 2 &&
            memcmp(all.names[i].start + 1, name, strlen(name)) == 0) {
            return all.values[i];
        }
    }
    return (slice){NULL, 0};
}

static slice need(const char *text, const char *name) {
    slice found = find(text, name);
    if (!found.start) {
        fail_msg("no member \"%s\": %s", name, text);
    }
    return found;
}

bool json_has(const char *text, const char *name) {
    return find(text, name).start != NULL;
}

bool json_is(const char *text, const char *name, const char *literal) {
    return equal(need(text, name), (slice){literal, strlen(literal)});
}

uint64_t json_integer(const char *text, const char *name) {
    slice found = need(text, name);
    if (*found.start < '0' || *found.start > '9') {
        fail_msg("\"%s\" is no integer: %s", name, text);
    }
    return strtoull(found.start, NULL, 10);
}

/* Code points below 0x80 and U+FFFD are all that the command escapes. */
const char *json_string(const char *text, const char *name) {
    static char result[8192];
    slice found = need(text, name);
    size_t used = 0;
    if (*found.start != '"' || found.length > sizeof result) {
        fail_msg("\"%s\" is no text: %s", name, text);
    }
    for (size_t i = 1; i + 1 < found.length; i++) {
        char c = found.start[i];
        if (c == '\\' && found.start[i + 1] == 'u') {
            char digits[5] = "";
            memcpy(digits, found.start + i + 2, 4);
            unsigned long code = strtoul(digits, NULL, 16);
            c = (char)(code < 0x80 ? code : '?');
            i += 5;
        } else if (c == '\\') {
            c = found.start[++i];
        }
        result[used++] = c;
    }
    result[used] = '\0';
    return result;
}

bool json_lists(const char *text, const char *name, const char *entry) {
    slice found = need(text, name);
    size_t length = strlen(entry) + 2; /* with its quotes */
    for (size_t i = 1; i + length < found.length; i++) {
        const char *at = found.start + i;
        if (*at == '"' && at[length - 1] == '"' && memcmp(at + 1, entry, length - 2) == 0) {
            return true;
        }
    }
    return false;
}

const char *json_entry(const char *text, const char *name, size_t index) {
    static char result[8192];
    slice found = need(text, name);
    const char *at = found.start;
    if (!at || *at != '[') {
        fail_msg("\"%s\" is no array: %s", name, text);
        return NULL;
    }
    at = blanks(at + 1);
    for (; *at != ']' && index > 0; index--) {
        at = blanks(value(at));
        at = *at == ',' ? blanks(at + 1) : at;
    }
    if (*at == ']') {
        return NULL;
    }
    const size_t length = (size_t)(value(at) - at);
    assert_true(length + 2 <= sizeof result);
    memcpy(result, at, length);
    memcpy(result + length, "\n", 2);
    return result;
}
