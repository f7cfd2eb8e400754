/*
 * message_box.c - MessageBox without a window (keepmap/compat/winuser.h).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <keepmap/compat/winuser.h>

#include "last_error.h"

/* What closes a box when nobody is there: never an answer that would bring it back at once. */
static int answer(UINT type) {
    switch (type & MB_TYPEMASK) {
    case MB_OK:
    case MB_OKCANCEL:
        return IDOK;
    case MB_ABORTRETRYIGNORE:
        return IDABORT;
    case MB_YESNO:
    case MB_YESNOCANCEL:
        return IDYES;
    case MB_RETRYCANCEL:
        return IDCANCEL;
    default:
        return 0;
    }
}

int MessageBoxA(HWND owner, LPCSTR text, LPCSTR title, UINT type) {
    (void)owner;
    int closed_by = answer(type);
    if (closed_by == 0) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", title == NULL ? "Error" : title, text == NULL ? "" : text);
    return closed_by;
}

/* UTF-8; freed by the caller. NULL, and the last error. */
static char *narrow(LPCWSTR wide) {
    int size = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, NULL, 0, NULL, NULL);
    char *text = size <= 0 ? NULL : malloc((size_t)size);
    if (text == NULL) {
        if (size > 0) {
            SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        }
        return NULL;
    }
    (void)WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    return text;
}

int MessageBoxW(HWND owner, LPCWSTR text, LPCWSTR title, UINT type) {
    char *narrow_text = text == NULL ? NULL : narrow(text);
    char *narrow_title = title == NULL ? NULL : narrow(title);
    bool converted =
        (text == NULL || narrow_text != NULL) && (title == NULL || narrow_title != NULL);
    int closed_by = converted ? MessageBoxA(owner, narrow_text, narrow_title, type) : 0;
    free(narrow_text);
    free(narrow_title);
    return closed_by;
}
