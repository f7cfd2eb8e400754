/*
 * object_name.c - the names of sections, events, mutexes and semaphores, and of their files.
 *
 * Sessions do not exist here: "Session\N\x" is "Local\x" for every N.
 *
 * The file name is a hash, since a name may hold what a file name may not. Two names that meet in
 * 128 bits are told apart by the whole name in the object's header: the second is refused.
 */
#include "object_name.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- Taking a name apart ---- */

static bool begins_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of "Session\N\" at the start of `text`; 0 if that is not how it begins. */
static size_t session_prefix(const char *text) {
    const size_t word = strlen("Session\\");
    if (!begins_with(text, "Session\\")) {
        return 0;
    }
    const size_t digits = strspn(text + word, "0123456789");
    return digits > 0 && text[word + digits] == '\\' ? word + digits + 1 : 0;
}

/* Windows' prefixes are links and directories in a tree of names; this is what it says of them. */
static DWORD strip_prefix(const char *text, size_t *prefix, bool *global) {
    *prefix = 0;
    *global = begins_with(text, "Global\\");
    if (*global) {
        *prefix = strlen("Global\\");
    } else if (begins_with(text, "Local\\")) {
        *prefix = strlen("Local\\");
    } else {
        *prefix = session_prefix(text);
    }
    if (text[0] == '\\') {
        return ERROR_BAD_PATHNAME;
    }
    if (strcmp(text, "Local") == 0 || strcmp(text, "Global") == 0 || strcmp(text, "Session") == 0) {
        return ERROR_INVALID_HANDLE;
    }
    if (text[*prefix] == '\0') {
        return ERROR_INVALID_NAME;
    }
    return strchr(text + *prefix, '\\') == NULL ? ERROR_SUCCESS : ERROR_PATH_NOT_FOUND;
}

/* name->text is the whole text, `bytes` long; takes it apart, or frees it. */
static DWORD settle(kmw_object_name *name, size_t bytes) {
    size_t prefix = 0;
    name->text[bytes] = '\0';
    const DWORD error = strip_prefix(name->text, &prefix, &name->global);
    if (error != ERROR_SUCCESS) {
        kmw_object_name_free(name);
        return error;
    }
    name->length = bytes - prefix;
    memmove(name->text, name->text + prefix, name->length + 1);
    return ERROR_SUCCESS;
}

static bool make_room(kmw_object_name *name, size_t bytes) {
    name->text = bytes < sizeof name->own ? name->own : malloc(bytes + 1);
    return name->text != NULL;
}

static void set_unnamed(kmw_object_name *name) {
    name->text = NULL;
    name->length = 0;
    name->global = false;
}

DWORD kmw_object_name_from_utf8(LPCSTR from, kmw_object_name *name) {
    set_unnamed(name);
    if (from == NULL || from[0] == '\0') {
        return ERROR_SUCCESS;
    }
    const size_t bytes = strnlen(from, sizeof name->own);
    if (bytes == sizeof name->own) {
        return ERROR_FILENAME_EXCED_RANGE; /* 259 units never have so many */
    }
    const size_t units = kmw_utf8_to_utf16(from, bytes, NULL, 0);
    if (units == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    if (units > KMW_NAME_LIMIT) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    name->text = name->own;
    memcpy(name->text, from, bytes);
    return settle(name, bytes);
}

DWORD kmw_object_name_from_utf16(LPCWSTR from, size_t limit, kmw_object_name *name) {
    set_unnamed(name);
    if (from == NULL || from[0] == 0) {
        return ERROR_SUCCESS;
    }
    const size_t units = kmw_length16(from);
    if (units > limit) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    const size_t bytes = kmw_utf16_to_utf8(from, units, NULL, 0);
    if (bytes == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    if (!make_room(name, bytes)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    (void)kmw_utf16_to_utf8(from, units, name->text, bytes);
    return settle(name, bytes);
}

void kmw_object_name_free(kmw_object_name *name) {
    if (name->text != name->own) {
        free(name->text);
    }
    set_unnamed(name);
}

DWORD kmw_object_name_to_open(const void *from, bool empty) {
    if (from == NULL) {
        return ERROR_INVALID_PARAMETER;
    }
    return empty ? ERROR_INVALID_HANDLE : ERROR_SUCCESS;
}

/* ---- What its file is called ---- */

/* FNV-1a, begun at `hash`, and stirred at the end so that both halves differ in every bit. */
static uint64_t hash_text(const kmw_object_name *name, uint64_t hash) {
    for (size_t i = 0; i < name->length; ++i) {
        hash = (hash ^ (unsigned char)name->text[i]) * 0x100000001B3ULL;
    }
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
    return hash ^ (hash >> 32);
}

static char *put_hex(char *to, uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[value >> shift & 15];
    }
    return to;
}

void kmw_object_file_of(const kmw_object_name *name, kmw_object_file *file) {
    char *end = file->name;
    file->global = name->global;
    if (name->global) {
        memcpy(end, KMW_GLOBAL_PREFIX, strlen(KMW_GLOBAL_PREFIX));
        end += strlen(KMW_GLOBAL_PREFIX);
    }
    end = put_hex(end, hash_text(name, 0xCBF29CE484222325ULL));
    end = put_hex(end, hash_text(name, 0x6C62272E07BB0142ULL));
    *end = '\0';
}
