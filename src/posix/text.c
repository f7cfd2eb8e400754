/*
 * text.c - UTF-8 and UTF-16, and paths given in either.
 */
#include "text.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(KMW_PATH_SIZE == PATH_MAX, "the longest path that the system calls take");

#define ILL_FORMED ((size_t)-1)
#define REPLACEMENT 0xFFFDu

/* What stands at one place of a text: a code point, or something ill-formed. */
typedef struct piece {
    uint32_t code;
    size_t units; /* how many it takes */
    bool well_formed;
} piece;

static bool is_surrogate(uint32_t code) {
    return code >= 0xD800 && code <= 0xDFFF;
}

/*
 * The piece at `from`, of which `length` bytes are left, at least one. What is ill-formed ends
 * before the byte that cannot continue it, and after the one that makes it overlong, a surrogate or
 * too large: one U+FFFD for each such piece is how Windows counts.
 */
static piece piece8(const char *from, size_t length) {
    unsigned char lead = (unsigned char)from[0];
    if (lead < 0x80) {
        return (piece){lead, 1, true};
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return (piece){0, 1, false};
    }
    size_t units = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t code = lead & (0x7Fu >> units);
    for (size_t i = 1; i < units; i++) {
        if (i == length || ((unsigned char)from[i] & 0xC0) != 0x80) {
            return (piece){0, i, false};
        }
        code = code << 6 | ((unsigned char)from[i] & 0x3Fu);
        bool second_of_three = units == 3 && i == 1;
        bool second_of_four = units == 4 && i == 1;
        if ((second_of_three && (code < 0x20 || is_surrogate(code << 6))) ||
            (second_of_four && (code < 0x10 || code > 0x10F))) {
            return (piece){0, i + 1, false};
        }
    }
    return (piece){code, units, true};
}

static piece piece16(const WCHAR *from, size_t length) {
    uint32_t first = from[0];
    if (!is_surrogate(first)) {
        return (piece){first, 1, true};
    }
    if (first >= 0xDC00 || length < 2 || from[1] < 0xDC00 || from[1] > 0xDFFF) {
        return (piece){0, 1, false};
    }
    return (piece){0x10000 + ((first - 0xD800) << 10) + (from[1] - 0xDC00u), 2, true};
}

/* Units that `code` takes; written if they fit into `size`. */
static size_t put8(uint32_t code, char *to, size_t size) {
    size_t units = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (to == NULL || units > size) {
        return units;
    }
    if (units == 1) {
        to[0] = (char)code;
        return 1;
    }
    for (size_t i = units - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    to[0] = (char)((0xF00u >> units & 0xFF) | code);
    return units;
}

static size_t put16(uint32_t code, WCHAR *to, size_t size) {
    size_t units = code < 0x10000 ? 1 : 2;
    if (to == NULL || units > size) {
        return units;
    }
    if (units == 1) {
        to[0] = (WCHAR)code;
        return 1;
    }
    code -= 0x10000;
    to[0] = (WCHAR)(0xD800 + (code >> 10));
    to[1] = (WCHAR)(0xDC00 + (code & 0x3FF));
    return 2;
}

static size_t convert8(const char *from, size_t length, WCHAR *to, size_t size, bool strict) {
    size_t needed = 0;
    while (length > 0) {
        piece next = piece8(from, length);
        if (strict && !next.well_formed) {
            return ILL_FORMED;
        }
        needed += put16(next.well_formed ? next.code : REPLACEMENT, to == NULL ? NULL : to + needed,
                        size > needed ? size - needed : 0);
        from += next.units;
        length -= next.units;
    }
    return needed;
}

static size_t convert16(const WCHAR *from, size_t length, char *to, size_t size, bool strict) {
    size_t needed = 0;
    while (length > 0) {
        piece next = piece16(from, length);
        if (strict && !next.well_formed) {
            return ILL_FORMED;
        }
        needed += put8(next.well_formed ? next.code : REPLACEMENT, to == NULL ? NULL : to + needed,
                       size > needed ? size - needed : 0);
        from += next.units;
        length -= next.units;
    }
    return needed;
}

size_t kmw_utf8_to_utf16(const char *from, size_t length, WCHAR *to, size_t size) {
    return convert8(from, length, to, size, true);
}

size_t kmw_utf16_to_utf8(const WCHAR *from, size_t length, char *to, size_t size) {
    return convert16(from, length, to, size, true);
}

size_t kmw_utf8_to_utf16_lenient(const char *from, size_t length, WCHAR *to, size_t size) {
    return convert8(from, length, to, size, false);
}

size_t kmw_utf16_to_utf8_lenient(const WCHAR *from, size_t length, char *to, size_t size) {
    return convert16(from, length, to, size, false);
}

size_t kmw_length16(const WCHAR *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
    return length;
}

DWORD kmw_path_from_utf8(LPCSTR from, kmw_path *path) {
    if (from == NULL || from[0] == '\0') {
        return ERROR_PATH_NOT_FOUND;
    }
    size_t length = strlen(from);
    if (length >= sizeof path->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    if (kmw_utf8_to_utf16(from, length, NULL, 0) == ILL_FORMED) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    memcpy(path->text, from, length + 1);
    return ERROR_SUCCESS;
}

DWORD kmw_path_from_utf16(LPCWSTR from, kmw_path *path) {
    if (from == NULL || from[0] == 0) {
        return ERROR_PATH_NOT_FOUND;
    }
    size_t length = kmw_length16(from);
    size_t needed = kmw_utf16_to_utf8(from, length, NULL, 0);
    if (needed == ILL_FORMED) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    if (needed >= sizeof path->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    (void)kmw_utf16_to_utf8(from, length, path->text, needed);
    path->text[needed] = '\0';
    return ERROR_SUCCESS;
}

DWORD kmw_error_of_missing(const char *path) {
    char parent[KMW_PATH_SIZE];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    if (length == 0) {
        return ERROR_FILE_NOT_FOUND; /* in the current directory */
    }
    if (length >= sizeof parent) {
        return ERROR_PATH_NOT_FOUND;
    }
    memcpy(parent, path, length);
    parent[length] = '\0';
    struct stat facts;
    bool there = stat(parent, &facts) == 0 && S_ISDIR(facts.st_mode);
    return there ? ERROR_FILE_NOT_FOUND : ERROR_PATH_NOT_FOUND;
}
