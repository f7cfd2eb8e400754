/*
 * child_windows.c - child processes by CreateProcess, with a pipe to them and one back.
 */
#include "child_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

struct child_process {
    HANDLE process;
    HANDLE input;
    HANDLE output;
};

typedef struct command_line {
    char text[8192];
    size_t length;
} command_line;

static void add(command_line *line, char c) {
    if (line->length + 1 < sizeof line->text) {
        line->text[line->length++] = c;
        line->text[line->length] = '\0';
    }
}

/* In quotes; backslashes are doubled only where a quote follows them. */
static void add_argument(command_line *line, const char *argument) {
    if (line->length > 0) {
        add(line, ' ');
    }
    add(line, '"');
    size_t backslashes = 0;
    for (const char *c = argument; *c != '\0'; c++) {
        if (*c == '"') {
            for (size_t i = 0; i <= backslashes; i++) {
                add(line, '\\');
            }
        }
        backslashes = *c == '\\' ? backslashes + 1 : 0;
        add(line, *c);
    }
    for (size_t i = 0; i < backslashes; i++) {
        add(line, '\\');
    }
    add(line, '"');
}

/* Two pipes of which the child inherits its own ends alone. */
static bool make_pipes(HANDLE child_ends[2], HANDLE own_ends[2]) {
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    if (!CreatePipe(&child_ends[0], &own_ends[0], &inherited, 0)) {
        return false;
    }
    if (!CreatePipe(&own_ends[1], &child_ends[1], &inherited, 0)) {
        CloseHandle(child_ends[0]);
        CloseHandle(own_ends[0]);
        return false;
    }
    SetHandleInformation(own_ends[0], HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(own_ends[1], HANDLE_FLAG_INHERIT, 0);
    return true;
}

static HANDLE spawn(const char *path, char *line, const HANDLE ends[2]) {
    STARTUPINFOA startup = {.cb = sizeof startup,
                            .dwFlags = STARTF_USESTDHANDLES,
                            .hStdInput = ends[0],
                            .hStdOutput = ends[1],
                            .hStdError = GetStdHandle(STD_ERROR_HANDLE)};
    PROCESS_INFORMATION made;
    if (!CreateProcessA(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made)) {
        return NULL;
    }
    CloseHandle(made.hThread);
    return made.hProcess;
}

child_process *child_process_start(const char *program, const char *const *arguments) {
    char path[MAX_PATH * 4];
    DWORD length = program == NULL ? GetModuleFileNameA(NULL, path, sizeof path)
                                   : (DWORD)snprintf(path, sizeof path, "%s.exe", program);
    if (length == 0 || length >= sizeof path) {
        return NULL;
    }
    command_line line = {.length = 0};
    add_argument(&line, path);
    for (size_t i = 0; arguments[i] != NULL; i++) {
        add_argument(&line, arguments[i]);
    }

    child_process *process = malloc(sizeof *process);
    HANDLE child_ends[2];
    HANDLE own_ends[2];
    if (process == NULL || !make_pipes(child_ends, own_ends)) {
        free(process);
        return NULL;
    }
    *process = (child_process){
        .process = spawn(path, line.text, child_ends), .input = own_ends[0], .output = own_ends[1]};
    CloseHandle(child_ends[0]);
    CloseHandle(child_ends[1]);
    if (process->process == NULL) {
        CloseHandle(own_ends[0]);
        CloseHandle(own_ends[1]);
        free(process);
        return NULL;
    }
    return process;
}

bool child_process_write(child_process *process, const char *bytes, size_t size) {
    DWORD written = 0;
    return WriteFile(process->input, bytes, (DWORD)size, &written, NULL) && written == size;
}

int child_process_read(child_process *process, char *to, size_t size, unsigned milliseconds) {
    ULONGLONG until = GetTickCount64() + milliseconds;
    DWORD there = 0;
    while (PeekNamedPipe(process->output, NULL, 0, NULL, &there, NULL) && there == 0) {
        if (GetTickCount64() >= until) {
            return -1;
        }
        Sleep(1);
    }
    DWORD got = 0;
    if (there == 0 || !ReadFile(process->output, to, (DWORD)size, &got, NULL)) {
        return 0;
    }
    return (int)got;
}

void child_process_close_input(child_process *process) {
    CloseHandle(process->input);
    process->input = NULL;
}

int child_process_wait(child_process *process, unsigned milliseconds) {
    DWORD code = 0;
    if (WaitForSingleObject(process->process, milliseconds) != WAIT_OBJECT_0 ||
        !GetExitCodeProcess(process->process, &code)) {
        return -1;
    }
    return (int)(code & 0x7FFFFFFF);
}

void child_process_kill(child_process *process) {
    TerminateProcess(process->process, 137);
    WaitForSingleObject(process->process, INFINITE);
}

void child_process_free(child_process *process) {
    if (process->input != NULL) {
        CloseHandle(process->input);
    }
    CloseHandle(process->output);
    CloseHandle(process->process);
    free(process);
}

unsigned long child_process_self(void) {
    return GetCurrentProcessId();
}

static DWORD WINAPI end_with(LPVOID parent) {
    WaitForSingleObject(parent, CHILD_LIFETIME_SECONDS * 1000);
    TerminateProcess(GetCurrentProcess(), 1);
    return 0;
}

void child_process_follow(unsigned long parent) {
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, parent);
    HANDLE thread = process == NULL ? NULL : CreateThread(NULL, 0, end_with, process, 0, NULL);
    if (thread == NULL) {
        ExitProcess(1);
    }
    CloseHandle(thread);
}
