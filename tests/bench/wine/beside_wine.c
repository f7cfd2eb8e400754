/*
 * beside_wine.c - named sections of 4 KiB on keepmap and on Wine, in one run: two implementations
 * of the same calls on the same machine, whose names both go with their last handle.
 *
 *   beside_wine COMMAND...    COMMAND starts named_worker.exe
 *
 * Wine's half runs in a process that stays, and is told how often to do it; the word to it and back
 * is a hundredth of what it then does.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/named_work.h"

static FILE *to_worker;
static FILE *from_worker;

static pid_t start_worker(char *command[]) {
    int to[2];
    int from[2];
    if (pipe(to) != 0 || pipe(from) != 0) {
        return -1;
    }
    const pid_t worker = fork();
    if (worker == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[0]);
        close(to[1]);
        close(from[0]);
        close(from[1]);
        execv(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_worker = fdopen(to[1], "w");
    from_worker = fdopen(from[0], "r");
    return to_worker != NULL && from_worker != NULL ? worker : -1;
}

/* `what` is the worker's word for it. */
static bool on_wine(void *what, uint64_t count) {
    char answer[64];
    fprintf(to_worker, "%s %" PRIu64 "\n", (const char *)what, count);
    fflush(to_worker);
    if (fgets(answer, sizeof answer, from_worker) == NULL || strncmp(answer, "done", 4) != 0) {
        fputs("the program on Wine has failed\n", stderr);
        return false;
    }
    return true;
}

static int measure(const char *work, char *word, bool (*run)(void *name, uint64_t count),
                   char *name, double target) {
    const bench_subject subjects[] = {
        {"Wine", on_wine, word, 0, NULL},
        {"keepmap", run, name, target, NULL},
    };
    return bench_measure(work, subjects, sizeof subjects / sizeof subjects[0], bench_rounds(9),
                         0.2);
}

int main(int count, char *arguments[]) {
    char name[64];
    char existing[96];
    char create[] = "c";
    char attach[] = "a";
    const pid_t worker = count > 1 ? start_worker(arguments + 1) : -1;
    if (worker < 0) {
        fputs("usage: beside_wine COMMAND...\n", stderr);
        return 2;
    }
    (void)snprintf(name, sizeof name, "keepmap bench %ld", (long)getpid());
    (void)snprintf(existing, sizeof existing, "%s, existing", name);
    HANDLE held = make_section(existing);
    const bool measured = held != NULL &&
                          measure(CREATE_WORK, create, create_win32, name, 2.5) >= 0 &&
                          measure(ATTACH_WORK, attach, attach_win32, existing, 3.5) >= 0;
    if (held != NULL) {
        CloseHandle(held);
    }
    fclose(to_worker); /* which ends it */
    fclose(from_worker);
    (void)waitpid(worker, NULL, 0);
    return measured ? 0 : 1;
}
