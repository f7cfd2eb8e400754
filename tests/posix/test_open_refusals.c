/*
 * test_open_refusals.c - files that cannot be mapped as only POSIX has them: FIFOs, files and
 * directories without permission, and files cut short by programs that know nothing of keepmap.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap.h>

#include "support/scratch.h"

#define NOBODY ((uid_t)65534)

/* What `part` returns in a forked child; -1 if it was killed. */
static int in_child(int (*part)(void)) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(part());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Does km_open give `expected`, a sentence with the path in it, and no map? */
static bool refuses(km_status expected, const char *path, const km_options *options) {
    km_map *map = NULL;
    const km_status status = km_open(&map, path, options);
    const bool right =
        status == expected && map == NULL && strstr(km_error_message(), path) != NULL;
    if (!right) {
        fprintf(stderr, "# %s: %s, %s\n", path, km_strerror(status), km_error_message());
    }
    return right;
}

static int open_fifo(void) {
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10};
    (void)alarm(20); /* waiting for the other end would be for ever */
    for (int access = KM_READ; access <= KM_PRIVATE; access++) {
        if (!refuses(KM_E_INVALID, "fifo", &(km_options){.access = (km_access)access})) {
            return 1;
        }
    }
    return refuses(KM_E_INVALID, "fifo", &options) ? 0 : 2;
}

static void a_fifo_is_refused_at_once(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(in_child(open_fifo), 0);
    assert_int_equal(stat("fifo", &facts), 0);
    assert_true(S_ISFIFO(facts.st_mode));
}

/* Root may do everything: it becomes somebody else first, who owns what follows. */
static int use_without_permission(void) {
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        return 1;
    }
    if (mkdir("closed", 0777) != 0 || close(creat("closed/inside", 0666)) != 0 ||
        chmod("closed", 0555) != 0 || close(creat("secret", 0)) != 0 ||
        truncate("secret", 10) == 0 || close(creat("frozen", 0444)) != 0) {
        return 2;
    }
    km_map *map = NULL;
    km_options fresh = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10};
    if (!refuses(KM_E_ACCESS, "secret", NULL) ||
        !refuses(KM_E_ACCESS, "frozen", &(km_options){.access = KM_WRITE}) ||
        !refuses(KM_E_ACCESS, "closed/new", &fresh)) {
        return 3;
    }
    if (km_open(&map, "readable", NULL) != KM_OK ||
        km_copy(map, "closed/copy", NULL) != KM_E_ACCESS ||
        km_copy(map, "closed/inside", &(km_copy_options){.flags = KM_COPY_REPLACE}) !=
            KM_E_ACCESS) {
        return 4;
    }
    km_close(map);
    if (chdir("closed") != 0 || scratch_entries() != 1 || scratch_size("inside") != 0) {
        return 5;
    }
    return 0;
}

static void without_permission_nothing_is_opened_and_nothing_made(void **state) {
    (void)state;
    scratch_file("readable", 100, 1);
    assert_int_equal(chmod("readable", 0644), 0);
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(in_child(use_without_permission), 0);
    assert_int_equal(chmod("closed", 0755), 0); /* so that it can be cleared away */
}

/* Its owner cannot open a file once more whose mode he has just given it. */
static int create_what_nobody_may_write(void) {
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        return 1;
    }
    km_map *map = NULL;
    km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 5000, .permissions = 0444};
    if (km_open(&map, "read_only", &options) != KM_OK) {
        fprintf(stderr, "# %s\n", km_error_message());
        return 2;
    }
    memcpy(km_data(map), "made", 4);
    if (km_flush(map, 0, 0, KM_FLUSH_DURABLE) != KM_OK || km_close(map) != KM_OK) {
        return 3;
    }
    return scratch_size("read_only") == 5000 ? 0 : 4;
}

static void a_file_made_read_only_is_mapped_for_writing_by_its_maker(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(in_child(create_what_nobody_may_write), 0);
    assert_int_equal(stat("read_only", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0444);
}

/* The signals that this process catches, as the kernel has them. */
static unsigned long long caught_signals(void) {
    char line[256];
    unsigned long long mask = 0;
    bool found = false;
    FILE *status = fopen("/proc/self/status", "re");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "SigCgt:", 7) == 0) {
            mask = strtoull(line + 7, NULL, 16);
            found = true;
        }
    }
    (void)fclose(status);
    assert_true(found);
    return mask;
}

static int cut_short(void) {
    return truncate("cut", 100);
}

static void another_programs_truncation_is_a_status_and_no_signal_is_caught(void **state) {
    (void)state;
    char byte = 0;
    const unsigned long long before = caught_signals();
    scratch_file("cut", 100000, 2);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "cut", &(km_options){.access = KM_WRITE}), KM_OK);
    assert_int_equal(in_child(cut_short), 0);
    assert_int_equal(km_read(map, 99, &byte, 1), KM_OK);
    assert_int_equal((unsigned char)byte, scratch_byte(99, 2));
    assert_int_equal(km_read(map, 50000, &byte, 1), KM_E_TRUNCATED);
    assert_int_equal(km_write(map, 50000, "x", 1), KM_E_TRUNCATED);
    assert_int_equal(km_check(map, NULL), KM_E_TRUNCATED);
    assert_true(caught_signals() == before);
    assert_int_equal(km_close(map), KM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fifo_is_refused_at_once),
        cmocka_unit_test(without_permission_nothing_is_opened_and_nothing_made),
        cmocka_unit_test(a_file_made_read_only_is_mapped_for_writing_by_its_maker),
        cmocka_unit_test(another_programs_truncation_is_a_status_and_no_signal_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
