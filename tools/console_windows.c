/*
 * console_windows.c - the console, its control events and standard streams on Windows.
 */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include <shellapi.h>

#define LAST_WORDS_AFTER_MS 1000

static volatile LONG interrupted;
static const char *volatile last_words;
static HANDLE interruption; /* an event: it has happened */
static UINT code_page_before;
static DWORD screen_mode_before;

static void restore_code_page(void) {
    (void)SetConsoleOutputCP(code_page_before);
}

static char *utf8(const WCHAR *text) {
    int size = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, -1, NULL, 0, NULL, NULL);
    if (size <= 0) {
        return NULL;
    }
    char *result = malloc((size_t)size);
    if (!result) {
        return NULL;
    }
    if (WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, -1, result, size, NULL, NULL) <=
        0) {
        free(result);
        return NULL;
    }
    return result;
}

/* The words stay until the process ends. */
static char **words_in_utf8(void) {
    int count = 0;
    WCHAR **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    if (!wide) {
        return NULL;
    }
    char **words = calloc((size_t)count + 1, sizeof *words);
    bool fine = words != NULL;
    for (int i = 0; fine && i < count; i++) {
        words[i] = utf8(wide[i]);
        fine = words[i] != NULL;
    }
    LocalFree(wide);
    if (fine) {
        return words;
    }
    for (int i = 0; words && words[i]; i++) {
        free(words[i]);
    }
    free(words);
    return NULL;
}

char **console_start(char **argv) {
    (void)argv;
    (void)_setmode(_fileno(stdin), _O_BINARY);
    (void)_setmode(_fileno(stdout), _O_BINARY);
    (void)_setmode(_fileno(stderr), _O_BINARY);
    code_page_before = GetConsoleOutputCP();
    if (code_page_before != 0 && code_page_before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8)) {
        (void)atexit(restore_code_page);
    }
    return words_in_utf8();
}

/* A read at the console is ended by Ctrl-C as if the input had. */
int console_read(void *to, size_t length, size_t *done) {
    const unsigned most = length < INT_MAX ? (unsigned)length : INT_MAX;
    if (console_interrupted()) {
        return EINTR;
    }
    const int got = _read(_fileno(stdin), to, most);
    if (got < 0) {
        return errno;
    }
    if (got == 0 && console_interrupted()) {
        return EINTR;
    }
    *done = (size_t)got;
    return 0;
}

static WCHAR *pattern_of(const char *directory) {
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, directory, -1, NULL, 0);
    WCHAR *pattern = length > 0 ? malloc(((size_t)length + 2) * sizeof *pattern) : NULL;
    if (pattern && MultiByteToWideChar(CP_UTF8, 0, directory, -1, pattern, length) > 0) {
        wcscpy(pattern + length - 1, L"\\*");
    }
    return pattern;
}

/* Why such a folder cannot be listed; cuts the pattern to its name. */
static int listing_error(WCHAR *pattern) {
    const DWORD failure = GetLastError();
    pattern[wcslen(pattern) - 2] = L'\0';
    const DWORD attributes = GetFileAttributesW(pattern);
    if (attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY)) {
        return ENOTDIR;
    }
    return failure == ERROR_ACCESS_DENIED ? EACCES : ENOENT;
}

int console_list(const char *directory, console_entry each, void *arg) {
    char name[4 * MAX_PATH];
    WIN32_FIND_DATAW found;
    WCHAR *pattern = pattern_of(directory);
    if (!pattern) {
        return EINVAL;
    }
    HANDLE search = FindFirstFileW(pattern, &found);
    int error = search == INVALID_HANDLE_VALUE ? listing_error(pattern) : 0;
    free(pattern);
    if (error != 0) {
        return error;
    }
    do {
        if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) {
            continue;
        }
        if (WideCharToMultiByte(CP_UTF8, 0, found.cFileName, -1, name, sizeof name, NULL, NULL) >
                0 &&
            !each(name, arg)) {
            error = ENOMEM;
        }
    } while (error == 0 && FindNextFileW(search, &found));
    if (error == 0 && GetLastError() != ERROR_NO_MORE_FILES) {
        error = EIO;
    }
    (void)FindClose(search);
    return error;
}

unsigned console_columns(void) {
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info)) {
        return 0;
    }
    return info.dwSize.X > 0 ? (unsigned)info.dwSize.X : 80;
}

uint64_t console_milliseconds(void) {
    return GetTickCount64();
}

bool console_remove(const char *path) {
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    WCHAR *wide = length > 0 ? malloc((size_t)length * sizeof *wide) : NULL;
    bool removed = wide && MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, length) > 0 &&
                   !(GetFileAttributesW(wide) & FILE_ATTRIBUTE_REPARSE_POINT) &&
                   /* a link stays */ DeleteFileW(wide);
    free(wide);
    return removed;
}

/* In a thread of its own: true if the call that has last words is still not over by then. */
static bool is_stuck(void) {
    for (int waited = 0; last_words && waited < LAST_WORDS_AFTER_MS; waited += 10) {
        Sleep(10);
    }
    const char *words = last_words;
    DWORD done = 0;
    if (words) {
        (void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), words, (DWORD)strlen(words), &done, NULL);
    }
    return words != NULL;
}

void console_last_words(const char *words) {
    last_words = words;
}

static BOOL WINAPI note(DWORD event) {
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        return FALSE;
    }
    const bool first = InterlockedExchange(&interrupted, 1) == 0;
    if (interruption) {
        (void)SetEvent(interruption);
    }
    return first && !is_stuck(); /* the second time it is obeyed at once */
}

void console_catch_interrupt(void) {
    if (!interruption) {
        interruption = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    (void)SetConsoleCtrlHandler(note, TRUE);
}

bool console_interrupted(void) {
    return interrupted != 0;
}

void console_release_interrupt(void) {
    (void)SetConsoleCtrlHandler(note, FALSE);
}

/* Ends when standard input does, or with the process. */
static DWORD WINAPI swallow_input(void *unused) {
    char bytes[4096];
    DWORD got = 0;
    (void)unused;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes, sizeof bytes, &got, NULL) && got > 0) {
    }
    return 0;
}

console_event console_wait(uint64_t milliseconds, bool input) {
    static HANDLE reader;
    if (input && !reader) {
        reader = CreateThread(NULL, 0, swallow_input, NULL, 0, NULL);
    }
    const HANDLE events[] = {interruption, reader};
    const DWORD count = input && reader ? 2 : 1;
    const uint64_t end = milliseconds < CONSOLE_FOREVER - GetTickCount64()
                             ? GetTickCount64() + milliseconds
                             : CONSOLE_FOREVER;
    for (;;) {
        const uint64_t now = GetTickCount64();
        const uint64_t rest = now < end ? end - now : 0;
        const DWORD step = rest < 60000 ? (DWORD)rest : 60000;
        if (interrupted) {
            return CONSOLE_INTERRUPTED;
        }
        const DWORD event = WaitForMultipleObjects(count, events, FALSE, step);
        if (event == WAIT_OBJECT_0 + 1) {
            return CONSOLE_INPUT_ENDED;
        }
        if (event == WAIT_FAILED) { /* no memory for the events: without them, by the clock */
            Sleep(step < 100 ? step : 100);
        }
        if (rest == 0) {
            return CONSOLE_TIME;
        }
    }
}

static void restore_screen_mode(void) {
    (void)SetConsoleMode(GetStdHandle(STD_OUTPUT_HANDLE), screen_mode_before);
}

bool console_screen(unsigned *columns, unsigned *rows) {
    HANDLE screen = GetStdHandle(STD_OUTPUT_HANDLE);
    CONSOLE_SCREEN_BUFFER_INFO info;
    DWORD mode = 0;
    if (!GetConsoleMode(screen, &mode) || !GetConsoleScreenBufferInfo(screen, &info)) {
        return false;
    }
    if (!(mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING)) {
        screen_mode_before = mode;
        if (!SetConsoleMode(screen, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING) ||
            atexit(restore_screen_mode) != 0) {
            return false;
        }
    }
    *columns = (unsigned)(info.srWindow.Right - info.srWindow.Left + 1);
    *rows = (unsigned)(info.srWindow.Bottom - info.srWindow.Top + 1);
    return true;
}

void console_obey_interrupt(void) {
    /* A process has no way to end by Ctrl-C after the fact; its exit status says that it failed. */
}
