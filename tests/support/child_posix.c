/*
 * child_posix.c - child processes by posix_spawn, one socket being both their input and their
 * output.
 */
#include "child_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { MAX_ARGUMENTS = 32 };

struct child_process {
    pid_t id;
    int line; /* a socket, so that writing to a dead child is an error and no signal */
};

/* The path and not /proc/self/exe itself, which under an emulator would be the emulator. */
static bool own_path(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    return true;
}

static pid_t spawn(const char *path, char *const *arguments, int line) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -1;
    }
    pid_t id = -1;
    if (posix_spawn_file_actions_adddup2(&actions, line, STDIN_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, line, STDOUT_FILENO) != 0 ||
        posix_spawn(&id, path, &actions, NULL, arguments, environ) != 0) {
        id = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    return id;
}

child_process *child_process_start(const char *program, const char *const *arguments) {
    char path[4096];
    if (program == NULL && !own_path(path, sizeof path)) {
        return NULL;
    }
    if (program != NULL && (size_t)snprintf(path, sizeof path, "%s", program) >= sizeof path) {
        return NULL;
    }
    /* posix_spawn takes its strings without const and changes none of them. */
    char *copies[MAX_ARGUMENTS] = {path};
    for (size_t i = 0; arguments[i] != NULL; i++) {
        if (i + 2 >= MAX_ARGUMENTS) {
            return NULL;
        }
        memcpy(&copies[i + 1], &arguments[i], sizeof copies[i + 1]);
    }

    child_process *process = malloc(sizeof *process);
    int ends[2];
    if (process == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        free(process);
        return NULL;
    }
    process->line = ends[0];
    process->id = spawn(path, copies, ends[1]);
    close(ends[1]);
    if (process->id < 0) {
        close(ends[0]);
        free(process);
        return NULL;
    }
    return process;
}

bool child_process_write(child_process *process, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = send(process->line, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

int child_process_read(child_process *process, char *to, size_t size, unsigned milliseconds) {
    struct pollfd line = {.fd = process->line, .events = POLLIN};
    int ready = poll(&line, 1, (int)milliseconds);
    while (ready < 0 && errno == EINTR) {
        ready = poll(&line, 1, (int)milliseconds);
    }
    if (ready <= 0) {
        return -1;
    }
    ssize_t got = recv(process->line, to, size, 0);
    return got < 0 ? 0 : (int)got; /* a reset is an end too */
}

void child_process_close_input(child_process *process) {
    shutdown(process->line, SHUT_WR);
}

static int exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_process_wait(child_process *process, unsigned milliseconds) {
    const struct timespec moment = {.tv_nsec = 1000000};
    for (unsigned waited = 0;; waited++) {
        int status = 0;
        if (waitpid(process->id, &status, WNOHANG) == process->id) {
            return exit_code(status);
        }
        if (waited >= milliseconds) {
            return -1;
        }
        nanosleep(&moment, NULL);
    }
}

void child_process_kill(child_process *process) {
    kill(process->id, SIGKILL);
    while (waitpid(process->id, NULL, 0) < 0 && errno == EINTR) {
    }
}

void child_process_free(child_process *process) {
    close(process->line);
    free(process);
}

unsigned long child_process_self(void) {
    return (unsigned long)getpid();
}

void child_process_follow(unsigned long parent) {
    alarm(CHILD_LIFETIME_SECONDS);
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if ((unsigned long)getppid() != parent) { /* it went before we could ask to follow it */
        _exit(1);
    }
}
