/*
 * text.h - UTF-8 and UTF-16, and the paths that the Win32 calls are given in either.
 */
#ifndef KMW_TEXT_H
#define KMW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <keepmap/win32.h>

/*
 * Strict conversions of `length` units; nothing is added or terminated. They return the number of
 * units needed, and write them if they fit into `size` (with size 0 they only count). (size_t)-1 if
 * `from` is not well-formed.
 */
size_t kmw_utf8_to_utf16(const char *from, size_t length, WCHAR *to, size_t size);
size_t kmw_utf16_to_utf8(const WCHAR *from, size_t length, char *to, size_t size);
/* The same with one U+FFFD for each piece that is not well-formed; never (size_t)-1. */
size_t kmw_utf8_to_utf16_lenient(const char *from, size_t length, WCHAR *to, size_t size);
size_t kmw_utf16_to_utf8_lenient(const WCHAR *from, size_t length, char *to, size_t size);
size_t kmw_length16(const WCHAR *text);

/* Longest path, its final zero included: Linux' PATH_MAX. Longer ones are refused before use. */
#define KMW_PATH_SIZE 4096

/* A path as the system calls take it. Lives on the caller's stack. */
typedef struct kmw_path {
    char text[KMW_PATH_SIZE];
} kmw_path;

/*
 * Checks and converts a path. ERROR_PATH_NOT_FOUND for NULL and "" , ERROR_FILENAME_EXCED_RANGE if
 * it is too long, ERROR_NO_UNICODE_TRANSLATION if it is no text; ERROR_SUCCESS otherwise.
 */
DWORD kmw_path_from_utf8(LPCSTR from, kmw_path *path);
DWORD kmw_path_from_utf16(LPCWSTR from, kmw_path *path);

/*
 * ENOENT can mean the file or a directory on the way to it, which Win32 tells apart:
 * ERROR_FILE_NOT_FOUND or ERROR_PATH_NOT_FOUND.
 */
DWORD kmw_error_of_missing(const char *path);

#endif /* KMW_TEXT_H */
