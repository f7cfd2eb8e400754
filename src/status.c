/*
 * status.c - statuses, their names, and this thread's last failure in one sentence.
 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One with a longer path is cut in its middle: both its ends say something. */
#define SENTENCE_SIZE KM_SENTENCE_SIZE
/* Room to make it, two paths of the usual longest length included. */
#define DRAFT_SIZE (2 * 4096 + 512)
/* Room for the system's own words: 200 units of UTF-16, at most 3 bytes of UTF-8 each. */
#define SYSTEM_UNITS 200
#define SYSTEM_SIZE (3 * SYSTEM_UNITS + 1)

static _Thread_local km_failure last_failure;

/* ERROR_DISK_QUOTA_EXCEEDED, which not every <windows.h> has. */
#define DISK_QUOTA_EXCEEDED 1295

/* What is not listed is KM_E_IO. */
static const struct {
    DWORD error;
    km_status status;
} statuses[] = {
    {ERROR_SUCCESS, KM_OK},
    {ERROR_FILE_NOT_FOUND, KM_E_NOT_FOUND},
    {ERROR_PATH_NOT_FOUND, KM_E_NOT_FOUND},
    {ERROR_ACCESS_DENIED, KM_E_ACCESS},
    {ERROR_WRITE_PROTECT, KM_E_ACCESS},
    {ERROR_PRIVILEGE_NOT_HELD, KM_E_ACCESS},
    {ERROR_SHARING_VIOLATION, KM_E_BUSY},
    {ERROR_LOCK_VIOLATION, KM_E_BUSY},
    {ERROR_BUSY, KM_E_BUSY},
    {ERROR_USER_MAPPED_FILE, KM_E_BUSY},
    {ERROR_FILE_EXISTS, KM_E_EXISTS},
    {ERROR_ALREADY_EXISTS, KM_E_EXISTS},
    {WAIT_TIMEOUT, KM_E_TIMEOUT},
    {ERROR_HANDLE_EOF, KM_E_TRUNCATED},
    {ERROR_HANDLE_DISK_FULL, KM_E_NO_SPACE},
    {ERROR_DISK_FULL, KM_E_NO_SPACE},
    {DISK_QUOTA_EXCEEDED, KM_E_NO_SPACE},
    {ERROR_TOO_MANY_OPEN_FILES, KM_E_NO_MEMORY},
    {ERROR_NOT_ENOUGH_MEMORY, KM_E_NO_MEMORY},
    {ERROR_OUTOFMEMORY, KM_E_NO_MEMORY},
    {ERROR_INVALID_ADDRESS, KM_E_NO_MEMORY},
    {ERROR_NO_SYSTEM_RESOURCES, KM_E_NO_MEMORY},
    {ERROR_WORKING_SET_QUOTA, KM_E_NO_MEMORY},
    {ERROR_COMMITMENT_LIMIT, KM_E_NO_MEMORY},
    {ERROR_FILE_TOO_LARGE, KM_E_TOO_LARGE},
    {ERROR_INVALID_PARAMETER, KM_E_INVALID},
    {ERROR_INVALID_NAME, KM_E_INVALID},
    {ERROR_BAD_PATHNAME, KM_E_INVALID},
    {ERROR_FILENAME_EXCED_RANGE, KM_E_INVALID},
    {ERROR_DIRECTORY, KM_E_INVALID},
    {ERROR_NO_UNICODE_TRANSLATION, KM_E_INVALID},
    {ERROR_CANT_RESOLVE_FILENAME, KM_E_INVALID},
    {ERROR_OPERATION_ABORTED, KM_E_CANCELLED},
    {ERROR_NOT_SUPPORTED, KM_E_UNSUPPORTED},
    {ERROR_CALL_NOT_IMPLEMENTED, KM_E_UNSUPPORTED},
};

km_status km_status_of_error(DWORD error) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].error == error) {
            return statuses[i].status;
        }
    }
    return KM_E_IO;
}

const char *km_version(void) {
    return KM_VERSION_TEXT;
}

const char *km_strerror(km_status status) {
    switch (status) {
#define NAME_CASE(name, value, meaning)                                                            \
    case name:                                                                                     \
        return #name;
        KM_STATUS_LIST(NAME_CASE)
#undef NAME_CASE
    }
    return "KM_E_?";
}

const char *km_status_meaning(km_status status) {
    switch (status) {
#define MEANING_CASE(name, value, meaning)                                                         \
    case name:                                                                                     \
        return meaning;
        KM_STATUS_LIST(MEANING_CASE)
#undef MEANING_CASE
    }
    return "not a status of this version of keepmap";
}

const char *km_error_message(void) {
    return last_failure.sentence;
}

uint32_t km_system_error(void) {
    return last_failure.error;
}

void km_failure_keep(km_failure *kept) {
    *kept = last_failure;
}

void km_failure_restore(const km_failure *kept) {
    last_failure = *kept;
}

/* ": Access is denied (5)", or as much as is known. */
static void describe_error(DWORD error, char *text, size_t size) {
    WCHAR words[SYSTEM_UNITS];
    char utf8[SYSTEM_SIZE];
    DWORD units = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                 error, 0, words, SYSTEM_UNITS, NULL);
    while (units > 0 && (words[units - 1] <= ' ' || words[units - 1] == '.')) {
        units--;
    }
    int length = 0;
    if (units > 0) {
        length = WideCharToMultiByte(CP_UTF8, 0, words, (int)units, utf8, SYSTEM_SIZE, NULL, NULL);
    }
    if (length > 0) {
        snprintf(text, size, ": %.*s (%lu)", length, utf8, (unsigned long)error);
    } else {
        snprintf(text, size, ": system error %lu", (unsigned long)error);
    }
}

static bool continues_character(char byte) {
    return ((unsigned char)byte & 0xC0u) == 0x80u;
}

/* The last one may have been cut in two. */
static void drop_last_character(char *text) {
    size_t length = strlen(text);
    while (length > 0 && continues_character(text[length - 1])) {
        length--;
    }
    text[length > 0 ? length - 1 : 0] = '\0';
}

/* Adds `length` bytes at `end`; the end from there on. */
static char *append(char *end, const char *text, size_t length) {
    memcpy(end, text, length);
    return end + length;
}

/*
 * Sets the sentence to `body` and `tail`. Where that is too long, the middle of the body gives way,
 * between two characters.
 */
static void set_sentence(const char *body, const char *tail) {
    static const char gap[] = "[...]";
    char *end = last_failure.sentence;
    const size_t body_length = strlen(body);
    const size_t room = SENTENCE_SIZE - 1 - strlen(tail);
    if (body_length <= room) {
        end = append(end, body, body_length);
    } else {
        const size_t shown = room - (sizeof gap - 1);
        size_t head = shown / 2;
        size_t rest = body_length - (shown - head);
        while (head > 0 && continues_character(body[head])) {
            head--;
        }
        while (continues_character(body[rest])) {
            rest++;
        }
        end = append(end, body, head);
        end = append(end, gap, sizeof gap - 1);
        end = append(end, body + rest, body_length - rest);
    }
    end = append(end, tail, strlen(tail));
    *end = '\0';
}

static km_status fail(km_status status, DWORD error, const char *format, va_list arguments) {
    char body[DRAFT_SIZE];
    char tail[SYSTEM_SIZE + 32] = "";
    int length = vsnprintf(body, sizeof body, format, arguments);
    if (length < 0 || (size_t)length >= sizeof body) {
        drop_last_character(body);
    }
    if (error != ERROR_SUCCESS) {
        describe_error(error, tail, sizeof tail);
    }
    set_sentence(body, tail);
    last_failure.error = error;
    return status;
}

km_status km_fail(km_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(status, ERROR_SUCCESS, format, arguments);
    va_end(arguments);
    return status;
}

km_status km_fail_system(DWORD error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    km_status status = fail(km_status_of_error(error), error, format, arguments);
    va_end(arguments);
    return status;
}

km_status km_fail_system_as(km_status status, DWORD error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(status, error, format, arguments);
    va_end(arguments);
    return status;
}
