/*
 * foreign_gunzip_posix.c - runs them in a shell, and reads what they give through a pipe.
 */
#include "foreign_gunzip_posix.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/tool.h"

#define SAID "foreign-said"
#define PYTHON "import gzip, shutil, sys; "

/* busybox takes no extra field beyond 16 KiB: index members keep below. */
const foreign_gunzip foreign_gunzips[] = {
    {"gunzip", "command -v gunzip", "gunzip -c \"$0\"", false},
    {"zcat", "command -v zcat", "zcat \"$0\"", false},
    {"gzip -t", "command -v gzip", "gzip -t \"$0\"", true},
    {"gzip -d", "command -v gzip", "gzip -dc <\"$0\"", false},
    {"pigz -d", "command -v pigz", "pigz -dc \"$0\"", false},
    {"pigz -t", "command -v pigz", "pigz -t \"$0\"", true},
    {"python3", "python3 -c '" PYTHON "'",
     "python3 -c '" PYTHON
     "shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer, 1 << 20)' \"$0\"",
     false},
    {"zstd -d", "printf x | zstd -q --format=gzip", "zstd -dcq --format=gzip <\"$0\"", false},
    {"busybox", "command -v busybox", "busybox gunzip -c <\"$0\"", false},
    {"7z", "command -v 7z", "7z e -so -bso0 -bsp0 \"$0\"", false},
    {"igzip", "command -v igzip", "igzip -dc \"$0\"", false},
    {"libdeflate-gunzip", "command -v libdeflate-gunzip", "libdeflate-gunzip -c \"$0\"", false},
};
const size_t foreign_gunzip_count = sizeof foreign_gunzips / sizeof foreign_gunzips[0];

bool foreign_gunzip_is_there(const foreign_gunzip *program) {
    const char *const words[] = {"/bin/sh", "-c", program->probe, NULL};
    return tool_spawn(words, NULL, "/dev/null", "/dev/null") == 0;
}

/* Is what comes the original, to its end? All is read, so that who writes is not disturbed. */
static bool is_original(FILE *unpacked, FILE *original) {
    static _Thread_local char pieces[2][1 << 16];
    size_t got = 0;
    bool same = true;
    while ((got = fread(pieces[0], 1, sizeof pieces[0], unpacked)) > 0) {
        same = same && fread(pieces[1], 1, got, original) == got &&
               memcmp(pieces[0], pieces[1], got) == 0;
    }
    return same && fgetc(original) == EOF && ferror(original) == 0 && ferror(unpacked) == 0;
}

/* The command's standard output; its input is empty, its errors go to the file SAID. */
static pid_t start(const char *command, const char *snapshot, FILE **output) {
    int ends[2];
    if (pipe(ends) != 0) {
        return -1;
    }
    pid_t id = fork();
    if (id == 0) {
        (void)!freopen("/dev/null", "r", stdin);
        (void)!freopen(SAID, "w", stderr);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        execl("/bin/sh", "sh", "-c", command, snapshot, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    *output = fdopen(ends[0], "rb");
    return id;
}

const char *foreign_gunzip_reads(const foreign_gunzip *program, const char *snapshot,
                                 const char *original) {
    static _Thread_local char said[512];
    FILE *output = NULL;
    FILE *expected = fopen(program->tests_only ? "/dev/null" : original, "rb");
    pid_t id = start(program->unpack, snapshot, &output);
    if (expected == NULL || id < 0 || output == NULL) {
        return "it could not be run";
    }
    bool same = is_original(output, expected);
    (void)fclose(output);
    (void)fclose(expected);
    int status = 0;
    if (waitpid(id, &status, 0) != id) {
        return "it was lost";
    }
    FILE *errors = fopen(SAID, "rb");
    size_t length = errors == NULL ? 0 : fread(said, 1, sizeof said - 1, errors);
    said[length] = '\0';
    if (errors != NULL) {
        (void)fclose(errors);
    }
    if (length > 0) {
        return said;
    }
    if (status != 0) {
        return "its status says failure";
    }
    return same ? NULL : "other bytes";
}
