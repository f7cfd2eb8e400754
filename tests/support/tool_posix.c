/*
 * tool_posix.c - runs the command by posix_spawn.
 */
#include "tool.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

int tool_spawn(const char *const *words, const char *in_path, const char *out_path,
               const char *err_path) {
    posix_spawn_file_actions_t actions;
    const char *input = in_path ? in_path : "/dev/null";
    int flags = O_WRONLY | O_CREAT | O_TRUNC;
    pid_t id = -1;
    int status = 0;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -1;
    }
    bool started =
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0) == 0 &&
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path, flags, 0600) == 0 &&
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path, flags, 0600) == 0 &&
        posix_spawn(&id, words[0], &actions, NULL, (char *const *)words, environ) == 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    if (!started || waitpid(id, &status, 0) != id) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
