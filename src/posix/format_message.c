/*
 * format_message.c - FormatMessage for the codes known here and for text of one's own.
 *
 * Text of the system's is English whatever language is asked for, one sentence and a line end.
 * Inserts are left as they stand (FORMAT_MESSAGE_IGNORE_INSERTS is implied). Line ends come out as
 * "\r\n", or as one space each with FORMAT_MESSAGE_MAX_WIDTH_MASK; breaking lines at another width
 * is ERROR_NOT_SUPPORTED. No module has messages here.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "last_error.h"
#include "text.h"

/* A finished message, in the units the caller wants. Terminated; `length` without the zero. */
typedef struct message {
    void *text; /* malloc'ed */
    size_t length;
} message;

static DWORD fail(DWORD code) {
    SetLastError(code);
    return 0;
}

HLOCAL LocalFree(HLOCAL memory) {
    free(memory);
    return NULL;
}

/* Is there a line end at `from`, and how long is it? "\r\n", "\n" or "\r"; 0: none. */
static size_t line_end_at(const char *from) {
    if (from[0] == '\r' && from[1] == '\n') {
        return 2;
    }
    return from[0] == '\r' || from[0] == '\n' ? 1 : 0;
}

/* `to` has room for twice the source and a zero. */
static size_t lay_out(const char *from, const char *line_end, char *to) {
    char *start = to;
    while (*from != '\0') {
        size_t skipped = line_end_at(from);
        if (skipped == 0) {
            *to++ = *from++;
            continue;
        }
        from += skipped;
        size_t length = strlen(line_end);
        memcpy(to, line_end, length);
        to += length;
    }
    *to = '\0';
    return (size_t)(to - start);
}

/* UTF-8 of the message that is asked for. */
static DWORD compose(DWORD flags, const char *source, DWORD code, message *made) {
    DWORD width = flags & FORMAT_MESSAGE_MAX_WIDTH_MASK;
    if (width != 0 && width != FORMAT_MESSAGE_MAX_WIDTH_MASK) {
        return ERROR_NOT_SUPPORTED;
    }
    bool of_system = !(flags & FORMAT_MESSAGE_FROM_STRING);
    if (of_system) {
        source = flags & FORMAT_MESSAGE_FROM_SYSTEM ? kmw_error_text(code) : NULL;
    }
    if (source == NULL) {
        return ERROR_MR_MID_NOT_FOUND;
    }
    const char *line_end = width == 0 ? "\r\n" : " ";
    char *text = malloc(2 * strlen(source) + sizeof "\r\n");
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    made->length = lay_out(source, line_end, text);
    if (of_system) {
        made->length += lay_out("\n", line_end, text + made->length);
    }
    made->text = text;
    return ERROR_SUCCESS;
}

/* The flags and pointers of both calls. */
static DWORD check(DWORD flags, LPCVOID source, const void *buffer) {
    const DWORD origins =
        FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_FROM_HMODULE;
    if (buffer == NULL || !(flags & origins) ||
        ((flags & FORMAT_MESSAGE_FROM_STRING) && source == NULL)) {
        return ERROR_INVALID_PARAMETER;
    }
    return ERROR_SUCCESS;
}

/*
 * Hands the message over: in memory of its own, of at least `size` units of `unit` bytes, or in the
 * caller's buffer. The message is gone afterwards.
 */
static DWORD deliver(DWORD flags, message made, size_t unit, void *buffer, DWORD size) {
    if (made.length == 0 || made.length >= UINT32_MAX) {
        free(made.text);
        return fail(ERROR_MR_MID_NOT_FOUND); /* 0 must mean failure */
    }
    size_t units = made.length + 1;
    if (!(flags & FORMAT_MESSAGE_ALLOCATE_BUFFER)) {
        if (units > size) {
            free(made.text);
            return fail(ERROR_INSUFFICIENT_BUFFER);
        }
        memcpy(buffer, made.text, units * unit);
        free(made.text);
        return (DWORD)made.length;
    }
    if (units < size) {
        void *longer = realloc(made.text, size * unit);
        if (longer == NULL) {
            free(made.text);
            return fail(ERROR_NOT_ENOUGH_MEMORY);
        }
        made.text = longer;
    }
    *(void **)buffer = made.text;
    return (DWORD)made.length;
}

DWORD FormatMessageA(DWORD flags, LPCVOID source, DWORD code, DWORD language, LPSTR buffer,
                     DWORD size, va_list *arguments) {
    (void)language, (void)arguments;
    message made = {0};
    DWORD error = check(flags, source, buffer);
    if (error == ERROR_SUCCESS) {
        error = compose(flags, source, code, &made);
    }
    if (error != ERROR_SUCCESS) {
        return fail(error);
    }
    return deliver(flags, made, sizeof(char), buffer, size);
}

/* A malloc'ed, terminated copy in the other encoding. */
static DWORD copy_as_utf8(const WCHAR *from, char **copy) {
    size_t length = kmw_length16(from);
    size_t needed = kmw_utf16_to_utf8_lenient(from, length, NULL, 0);
    char *text = malloc(needed + 1);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    (void)kmw_utf16_to_utf8_lenient(from, length, text, needed);
    text[needed] = '\0';
    *copy = text;
    return ERROR_SUCCESS;
}

static DWORD copy_as_utf16(message from, message *copy) {
    size_t needed = kmw_utf8_to_utf16_lenient(from.text, from.length, NULL, 0);
    WCHAR *text = malloc((needed + 1) * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    (void)kmw_utf8_to_utf16_lenient(from.text, from.length, text, needed);
    text[needed] = 0;
    *copy = (message){text, needed};
    return ERROR_SUCCESS;
}

DWORD FormatMessageW(DWORD flags, LPCVOID source, DWORD code, DWORD language, LPWSTR buffer,
                     DWORD size, va_list *arguments) {
    (void)language, (void)arguments;
    char *source8 = NULL;
    message made8 = {0};
    message made = {0};
    DWORD error = check(flags, source, buffer);
    if (error == ERROR_SUCCESS && (flags & FORMAT_MESSAGE_FROM_STRING)) {
        error = copy_as_utf8(source, &source8);
    }
    if (error == ERROR_SUCCESS) {
        error = compose(flags, source8, code, &made8);
    }
    if (error == ERROR_SUCCESS) {
        error = copy_as_utf16(made8, &made);
    }
    free(source8);
    free(made8.text);
    if (error != ERROR_SUCCESS) {
        return fail(error);
    }
    return deliver(flags, made, sizeof(WCHAR), buffer, size);
}
