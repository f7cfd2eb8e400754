/*
 * tool_windows.c - runs the command by CreateProcess.
 */
#include "tool.h"

#include <string.h>
#include <windows.h>

#define LINE_CHARACTERS 32768

/* Words in quotes, as CommandLineToArgvW takes them apart again. */
static bool quote(char *line, size_t size, const char *const *words) {
    size_t used = 0;
    for (; *words; words++) {
        size_t backslashes = 0;
        if (used + 2 * strlen(*words) + 4 > size) {
            return false;
        }
        line[used++] = '"';
        for (const char *at = *words; *at; at++) {
            for (size_t i = 0; *at == '"' && i < backslashes + 1; i++) {
                line[used++] = '\\';
            }
            backslashes = *at == '\\' ? backslashes + 1 : 0;
            line[used++] = *at;
        }
        for (size_t i = 0; i < backslashes; i++) {
            line[used++] = '\\';
        }
        line[used++] = '"';
        line[used++] = ' ';
    }
    line[used] = '\0';
    return true;
}

static HANDLE open_stream(const char *path, DWORD access, DWORD disposition) {
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    return CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit, disposition,
                       FILE_ATTRIBUTE_NORMAL, NULL);
}

int tool_spawn(const char *const *words, const char *in_path, const char *out_path,
               const char *err_path) {
    static char line[LINE_CHARACTERS];
    static WCHAR wide[LINE_CHARACTERS];
    if (!quote(line, sizeof line, words) ||
        MultiByteToWideChar(CP_UTF8, 0, line, -1, wide, LINE_CHARACTERS) == 0) {
        return -1;
    }
    STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    start.hStdInput = open_stream(in_path ? in_path : "NUL", GENERIC_READ, OPEN_EXISTING);
    start.hStdOutput = open_stream(out_path, GENERIC_WRITE, CREATE_ALWAYS);
    start.hStdError = open_stream(err_path, GENERIC_WRITE, CREATE_ALWAYS);
    PROCESS_INFORMATION process;
    DWORD status = 0;
    bool ran = start.hStdInput != INVALID_HANDLE_VALUE &&
               start.hStdOutput != INVALID_HANDLE_VALUE &&
               start.hStdError != INVALID_HANDLE_VALUE &&
               CreateProcessW(NULL, wide, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process);
    if (ran) {
        ran = WaitForSingleObject(process.hProcess, INFINITE) == WAIT_OBJECT_0 &&
              GetExitCodeProcess(process.hProcess, &status);
        (void)CloseHandle(process.hThread);
        (void)CloseHandle(process.hProcess);
    }
    (void)CloseHandle(start.hStdInput);
    (void)CloseHandle(start.hStdOutput);
    (void)CloseHandle(start.hStdError);
    return ran ? (int)status : -1;
}
