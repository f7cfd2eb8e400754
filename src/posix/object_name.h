/*
 * object_name.h - the names of sections, events, mutexes and semaphores: which are valid, and what
 * the file of such an object is called.
 */
#ifndef KMW_OBJECT_NAME_H
#define KMW_OBJECT_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include <keepmap/win32.h>

#include "text.h"

/* UTF-16 units that a name may have, its prefix included. The A calls take MAX_PATH - 1 for every
 * kind, the W calls for all but sections, as documented. */
#define KMW_NAME_LIMIT ((size_t)MAX_PATH - 1)
#define KMW_SECTION_NAME_LIMIT_W ((size_t)32767)

typedef struct kmw_object_name {
    bool global;   /* of the machine, not of this user */
    char *text;    /* UTF-8 without the prefix; NULL: no name. Points to `own`, or is malloc'ed. */
    size_t length; /* bytes, without the final zero */
    char own[3 * MAX_PATH];
} kmw_object_name;

/*
 * Takes a name apart. NULL and "" are no name (Create* makes an unnamed object then). Errors:
 * ERROR_PATH_NOT_FOUND for a backslash that ends no known prefix, ERROR_BAD_PATHNAME for a leading
 * one, ERROR_INVALID_NAME for a prefix alone, ERROR_INVALID_HANDLE for "Local" and "Global"
 * themselves, ERROR_FILENAME_EXCED_RANGE, ERROR_NO_UNICODE_TRANSLATION, ERROR_NOT_ENOUGH_MEMORY.
 * Only after success is there something to free.
 */
DWORD kmw_object_name_from_utf8(LPCSTR from, kmw_object_name *name);
DWORD kmw_object_name_from_utf16(LPCWSTR from, size_t limit, kmw_object_name *name);
void kmw_object_name_free(kmw_object_name *name);

/* What Open* says of a name before it looks for it: ERROR_INVALID_PARAMETER for NULL,
 * ERROR_INVALID_HANDLE for "", else ERROR_SUCCESS. */
DWORD kmw_object_name_to_open(const void *from, bool empty);

/* In the directory of the machine's objects their files begin so; then 32 hexadecimal digits. */
#define KMW_GLOBAL_PREFIX "keepmap-"
#define KMW_HASH_DIGITS 32
/* What a segment's lock file has after the name of the segment's own. */
#define KMW_LOCK_SUFFIX ".lock"

/* The name of an object's file in its directory (object_directory.h). */
typedef struct kmw_object_file {
    bool global;
    char name[sizeof KMW_GLOBAL_PREFIX + KMW_HASH_DIGITS];
} kmw_object_file;

void kmw_object_file_of(const kmw_object_name *name, kmw_object_file *file);

#endif /* KMW_OBJECT_NAME_H */
