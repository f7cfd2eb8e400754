/*
 * program.c - where the example programs are.
 */
#include "program.h"

#include <stdio.h>
#include <string.h>

#include "tool.h"

enum { KEPT = 4, PATH_BYTES = 4096 };

const char *program_path(const char *directory, const char *name) {
    const char *command = tool_path();
    size_t length = strlen(command);
    while (length > 0 && command[length - 1] != '/' && command[length - 1] != '\\') {
        --length;
    }
    static char paths[KEPT][PATH_BYTES];
    static unsigned last;
    last = (last + 1) % KEPT;
    char *path = paths[last];
    snprintf(path, PATH_BYTES, "%.*s%s%c%s", (int)length, command, directory,
             length > 0 ? command[length - 1] : '/', name);
    return path;
}
