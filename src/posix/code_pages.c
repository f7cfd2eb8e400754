/*
 * code_pages.c - MultiByteToWideChar and WideCharToMultiByte, for UTF-8.
 */
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "last_error.h"
#include "text.h"

static bool is_known_page(UINT page) {
    return page == CP_UTF8 || page == CP_ACP || page == CP_THREAD_ACP;
}

/* The arguments that both calls share, and both refuse first. */
static bool are_sound(UINT page, const void *from, int from_length, const void *to, int to_length) {
    return is_known_page(page) && from != NULL && from_length != 0 && to_length >= 0 &&
           (to != NULL || to_length == 0) && from != to;
}

/* The count as these calls return it, or 0 and the last error. */
static int result_of(size_t needed, int to_length) {
    if (needed == (size_t)-1) {
        return kmw_fail(ERROR_NO_UNICODE_TRANSLATION);
    }
    if (needed > INT_MAX) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (to_length != 0 && needed > (size_t)to_length) {
        return kmw_fail(ERROR_INSUFFICIENT_BUFFER);
    }
    return (int)needed;
}

int MultiByteToWideChar(UINT page, DWORD flags, LPCSTR from, int from_length, LPWSTR to,
                        int to_length) {
    if (!are_sound(page, from, from_length, to, to_length)) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (flags & ~(MB_PRECOMPOSED | MB_ERR_INVALID_CHARS)) {
        return kmw_fail(ERROR_INVALID_FLAGS);
    }
    size_t length = from_length < 0 ? strlen(from) + 1 : (size_t)from_length;
    size_t needed = flags & MB_ERR_INVALID_CHARS ? kmw_utf8_to_utf16(from, length, NULL, 0)
                                                 : kmw_utf8_to_utf16_lenient(from, length, NULL, 0);
    int result = result_of(needed, to_length);
    if (result > 0 && to_length > 0) {
        (void)kmw_utf8_to_utf16_lenient(from, length, to, needed);
    }
    return result;
}

/* A substitute makes no sense for UTF-8, which has a character for everything. */
int WideCharToMultiByte(UINT page, DWORD flags, LPCWSTR from, int from_length, LPSTR to,
                        int to_length, LPCSTR substitute,
                        LPBOOL substituted) { // NOLINT(readability-non-const-parameter)
    if (!are_sound(page, from, from_length, to, to_length) || substitute != NULL ||
        substituted != NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (flags & ~(WC_ERR_INVALID_CHARS | WC_NO_BEST_FIT_CHARS)) {
        return kmw_fail(ERROR_INVALID_FLAGS);
    }
    size_t length = from_length < 0 ? kmw_length16(from) + 1 : (size_t)from_length;
    size_t needed = flags & WC_ERR_INVALID_CHARS ? kmw_utf16_to_utf8(from, length, NULL, 0)
                                                 : kmw_utf16_to_utf8_lenient(from, length, NULL, 0);
    int result = result_of(needed, to_length);
    if (result > 0 && to_length > 0) {
        (void)kmw_utf16_to_utf8_lenient(from, length, to, needed);
    }
    return result;
}
