/*
 * message_box.c - MessageBox without a window (keepmap/compat/winuser.h).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <keepmap/compat/winuser.h>

#include "last_error.h"

/* The buttons of each type from left to right; 0: no more. */
static const int buttons[][3] = {
    [MB_OK] = {IDOK},
    [MB_OKCANCEL] = {IDOK, IDCANCEL},
    [MB_ABORTRETRYIGNORE] = {IDABORT, IDRETRY, IDIGNORE},
    [MB_YESNOCANCEL] = {IDYES, IDNO, IDCANCEL},
    [MB_YESNO] = {IDYES, IDNO},
    [MB_RETRYCANCEL] = {IDRETRY, IDCANCEL},
};

/* What closes a box when nobody is there: never an answer that would bring it back at once. A
 * default button that the box does not have is the first. 0: there is no such box. */
static int answer(UINT type) {
    UINT which = type & MB_TYPEMASK;
    if (which >= sizeof buttons / sizeof buttons[0]) {
        return 0;
    }
    UINT place = (type & MB_DEFMASK) / MB_DEFBUTTON2;
    int button =
        place < 3 && buttons[which][place] != 0 ? buttons[which][place] : buttons[which][0];
    if (button != IDRETRY) {
        return button;
    }
    return which == MB_RETRYCANCEL ? IDCANCEL : IDABORT;
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
