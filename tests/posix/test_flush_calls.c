/*
 * test_flush_calls.c - that a durable flush is the right system calls in the right order, seen by
 * strace, since no test without a power cut can see it by its effects.
 *
 * Not under asan: LeakSanitizer cannot run in a process that strace holds.
 * Not under tsan: its runtime starts anew with another address space layout, which hides markers.
 * Not under valgrind: strace would see valgrind's own calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/scratch.h"

#define TRACE_SIZE (1 << 20)

/* ---- What is traced: this program again, with one argument ---- */

/* A call that does nothing but show up in the trace. */
static void mark(const char *text) {
    (void)access(text, F_OK);
}

static int store_and_flush(const char *path, uint32_t flags, km_flush_mode mode) {
    km_options options = {.access = KM_WRITE, .flags = flags, .size = 1 << 20};
    km_map *map = NULL;
    if (km_open(&map, path, &options) != KM_OK) {
        fprintf(stderr, "%s\n", km_error_message());
        return 1;
    }
    memset(km_data(map), 1, 100000);
    mark("mark-first");
    if (km_flush(map, 65536, 4096, mode) != KM_OK) {
        fprintf(stderr, "%s\n", km_error_message());
        return 1;
    }
    mark("mark-second");
    memset(km_data(map), 2, 100000);
    if (km_flush(map, 0, 0, mode) != KM_OK) {
        return 1;
    }
    mark("mark-end");
    km_close(map);
    return 0;
}

static int copy_durably(void) {
    km_map *map = NULL;
    if (km_open(&map, "traced-source", NULL) != KM_OK) {
        return 1;
    }
    mark("mark-first");
    km_status status = km_copy(map, "traced-copy", NULL);
    mark("mark-end");
    km_close(map);
    return status == KM_OK ? 0 : 1;
}

/* A view that begins inside the file, flushed from inside to its end, and in the middle. */
static int flush_a_view(void) {
    HANDLE file = CreateFileA("traced-view", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 65536, (SIZE_T)12288);
    if (view == NULL) {
        return 1;
    }
    mark("mark-first");
    const BOOL to_the_end = FlushViewOfFile(view + 4096, 0);
    mark("mark-second");
    const BOOL middle = FlushViewOfFile(view + 4096 + 7, 11);
    mark("mark-end");
    return to_the_end && middle ? 0 : 1;
}

/* To "traced-elsewhere", a link to a directory on another file system. */
static int move_across(void) {
    mark("mark-first");
    BOOL moved = MoveFileExA("traced-moved", "traced-elsewhere/traced-there",
                             MOVEFILE_COPY_ALLOWED | MOVEFILE_WRITE_THROUGH);
    mark("mark-end");
    return moved ? 0 : 1;
}

static int run_traced(const char *what) {
    if (strcmp(what, "across") == 0) {
        return move_across();
    }
    if (strcmp(what, "view") == 0) {
        return flush_a_view();
    }
    if (strcmp(what, "existing") == 0) {
        return store_and_flush("traced-existing", 0, KM_FLUSH_DURABLE);
    }
    if (strcmp(what, "created") == 0) {
        return store_and_flush("traced-created", KM_OPEN_NEW, KM_FLUSH_DURABLE);
    }
    if (strcmp(what, "start") == 0) {
        return store_and_flush("traced-start", 0, KM_FLUSH_START);
    }
    return copy_durably();
}

/* ---- The trace ---- */

/* The file's calls that sync or name something, one a line; skips where there is no strace. */
static void trace(const char *what, char *lines) {
    char self[4096];
    ssize_t self_length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(self_length > 0);
    self[self_length] = '\0';
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execlp("strace", "strace", "-f", "-y", "-o", "trace.txt", "-e",
               "trace=fsync,fdatasync,msync,sync_file_range,access,faccessat,faccessat2,linkat,"
               "rename,renameat,renameat2,unlink,unlinkat,sync,syncfs",
               self, "--traced", what, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 127) {
        print_message("no strace here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    FILE *file = fopen("trace.txt", "r");
    assert_non_null(file);
    size_t length = fread(lines, 1, TRACE_SIZE - 1, file);
    fclose(file);
    assert_true(length > 0 && length < TRACE_SIZE - 1);
    lines[length] = '\0';
}

/* The part of the trace from one marker to the next, which is cut off there. */
static char *between(char *lines, const char *from, const char *to) {
    char *start = strstr(lines, from);
    assert_non_null(start);
    start = strchr(start, '\n');
    assert_non_null(start);
    char *end = strstr(start, to);
    assert_non_null(end);
    *end = '\0';
    return start + 1;
}

static const char *after(const char *lines, const char *call, const char *file) {
    char both[256];
    for (const char *line = lines; line != NULL && *line != '\0';
         line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL) {
        const char *end = strchr(line, '\n');
        size_t length = end != NULL ? (size_t)(end - line) : strlen(line);
        if (length >= sizeof both) {
            length = sizeof both - 1;
        }
        memcpy(both, line, length);
        both[length] = '\0';
        if (strstr(both, call) != NULL && strstr(both, file) != NULL) {
            return end != NULL ? end + 1 : line + length;
        }
    }
    return NULL;
}

/* Where this program's directory shows up as a whole descriptor: </...>. */
static const char *here(void) {
    static char name[4200];
    char path[4096];
    assert_non_null(getcwd(path, sizeof path));
    snprintf(name, sizeof name, "<%s>", path);
    return name;
}

static char lines[TRACE_SIZE];

static void a_durable_flush_starts_the_range_then_syncs_the_file(void **state) {
    (void)state;
    scratch_file("traced-existing", 1 << 20, 1);
    trace("existing", lines);
    const char *first = between(lines, "mark-first", "mark-second");
    const char *rest = after(first, "sync_file_range(", "traced-existing>, 65536, 4096,");
    assert_non_null(rest);
    assert_non_null(after(rest, "fsync(", "traced-existing"));
    /* The file was there before: its directory is not touched. */
    assert_null(after(first, "sync(", here()));
}

static void the_first_durable_flush_of_a_created_file_syncs_the_directory_too(void **state) {
    (void)state;
    (void)remove("traced-created"); /* it need not be there */
    trace("created", lines);
    char *second = between(lines, "mark-second", "mark-end");
    const char *rest = after(second, "fsync(", "");
    assert_non_null(rest);
    assert_null(after(second, "fsync(", here()));

    (void)remove("traced-created"); /* it need not be there */
    trace("created", lines);
    const char *first = between(lines, "mark-first", "mark-second");
    rest = after(first, "fsync(", "");
    assert_non_null(rest);
    assert_non_null(after(rest, "fsync(", here()));
}

static void a_flush_that_only_starts_waits_for_no_sync(void **state) {
    (void)state;
    scratch_file("traced-start", 1 << 20, 1);
    trace("start", lines);
    const char *both = between(lines, "mark-first", "mark-end");
    assert_non_null(after(both, "sync_file_range(", "traced-start"));
    assert_null(after(both, "fsync(", ""));
    assert_null(after(both, "fdatasync(", ""));
}

static void a_view_s_flush_is_of_its_own_part_of_the_file(void **state) {
    (void)state;
    scratch_file("traced-view", 1 << 20, 1);
    trace("view", lines);
    static char second[TRACE_SIZE];
    memcpy(second, lines, sizeof second);
    const char *first = between(lines, "mark-first", "mark-second");
    assert_non_null(after(first, "sync_file_range(", ", 69632, 8192, SYNC_FILE_RANGE_WRITE)"));
    const char *rest = between(second, "mark-second", "mark-end");
    assert_non_null(after(rest, "sync_file_range(", ", 69639, 11, SYNC_FILE_RANGE_WRITE)"));
}

static void a_copy_is_synced_before_it_has_its_name_and_the_directory_after(void **state) {
    (void)state;
    scratch_file("traced-source", 300000, 1);
    (void)remove("traced-copy"); /* it need not be there */
    trace("copy", lines);
    const char *all = between(lines, "mark-first", "mark-end");
    const char *rest = after(all, "fsync(", "");
    assert_non_null(rest);
    const char *named = after(rest, "link", "traced-copy");
    if (named == NULL) {
        named = after(rest, "rename", "traced-copy");
    }
    assert_non_null(named);
    assert_non_null(after(named, "fsync(", here()));
    assert_true(scratch_same("traced-source", "traced-copy"));
}

static void a_move_across_file_systems_deletes_only_what_is_safe_elsewhere(void **state) {
    (void)state;
    char directory[] = "/dev/shm/keepmap-test-XXXXXX";
    struct stat here_facts;
    struct stat there_facts;
    char synced[64];
    if (mkdtemp(directory) == NULL) {
        skip();
    }
    assert_int_equal(stat(".", &here_facts), 0);
    assert_int_equal(stat(directory, &there_facts), 0);
    if (here_facts.st_dev == there_facts.st_dev) {
        assert_int_equal(rmdir(directory), 0);
        skip();
    }
    scratch_file("traced-moved", 10000, 4);
    assert_int_equal(symlink(directory, "traced-elsewhere"), 0);
    trace("across", lines);
    (void)snprintf(synced, sizeof synced, "<%s>", directory);
    char *part = between(lines, "mark-first", "mark-end");
    const char *data = after(part, "fsync(", "/.km-");
    assert_non_null(data);
    const char *named = after(data, "rename", "traced-there");
    assert_non_null(named);
    const char *kept = after(named, "fsync(", synced);
    assert_non_null(kept);
    assert_non_null(after(kept, "unlink", "traced-moved"));
    assert_int_equal(unlink("traced-elsewhere/traced-there"), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--traced") == 0) {
        return run_traced(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_durable_flush_starts_the_range_then_syncs_the_file),
        cmocka_unit_test(the_first_durable_flush_of_a_created_file_syncs_the_directory_too),
        cmocka_unit_test(a_flush_that_only_starts_waits_for_no_sync),
        cmocka_unit_test(a_view_s_flush_is_of_its_own_part_of_the_file),
        cmocka_unit_test(a_copy_is_synced_before_it_has_its_name_and_the_directory_after),
        cmocka_unit_test(a_move_across_file_systems_deletes_only_what_is_safe_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
