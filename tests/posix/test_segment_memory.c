/*
 * test_segment_memory.c - segments that memory, or what holds named memory, cannot take: refused
 * when they are made, with the numbers, and nobody is killed.
 *
 * In a /dev/shm of 4 MiB of the suite's own, where it may mount one. The control group is that of
 * test_section_memory.c: one that KEEPMAP_TEST_CGROUP lets it make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "support/private_shm.h"

#define MIB ((uint64_t)1 << 20)

static bool small; /* /dev/shm is ours, and 4 MiB */

static int set_up(void **state) {
    (void)state;
    small = private_shm_mount("size=4m");
    return 0;
}

static void need_small(void) {
    if (!small) {
        skip(); /* mounting needs privileges that the tests need not have */
    }
}

/* The refusal must name the segment, what was asked, what there is, and whose limit it is. */
static void check_refusal(const char *name, uint64_t size, const char *limit) {
    km_map *map = NULL;
    char asked[32];
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = size};
    const km_status status = km_segment(&map, name, &options);
    (void)snprintf(asked, sizeof asked, "%llu", (unsigned long long)size);
    assert_null(map);
    assert_int_equal(status, KM_E_NO_MEMORY);
    assert_int_equal(km_system_error(), ERROR_COMMITMENT_LIMIT);
    const char *sentence = km_error_message();
    if ((name != NULL && strstr(sentence, name) == NULL) || strstr(sentence, asked) == NULL ||
        strstr(sentence, limit) == NULL) {
        fail_msg("%s", sentence);
    }
}

static void a_segment_larger_than_dev_shm_is_refused_with_the_numbers(void **state) {
    (void)state;
    need_small();
    const size_t before = private_shm_files();
    check_refusal("too large", 8 * MIB, "file system");
    assert_int_equal(private_shm_files(), before); /* nothing half-made, no mutex, no lock */
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, "too large", NULL), KM_E_NOT_FOUND);
}

static void what_still_fits_can_be_made_after_a_refusal(void **state) {
    (void)state;
    need_small();
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 2 * MIB};
    check_refusal("fits after", 8 * MIB, "file system");
    assert_int_equal(km_segment(&map, "fits after", &options), KM_OK);
    memset(km_data(map), 0x5A, 2 * MIB); /* all of it is there */
    check_refusal("no room beside it", 3 * MIB, "file system");
    assert_int_equal(km_close(map), KM_OK);
}

static void the_win32_call_says_commitment_limit(void **state) {
    (void)state;
    need_small();
    const size_t before = private_shm_files();
    assert_null(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)(8 * MIB),
                                   "too large for win32"));
    assert_int_equal(GetLastError(), ERROR_COMMITMENT_LIMIT);
    assert_int_equal(private_shm_files(), before);
    HANDLE reserved = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE,
                                         0, (DWORD)(8 * MIB), "reserved");
    assert_non_null(reserved); /* takes nothing yet */
    char *view = MapViewOfFile(reserved, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    assert_non_null(VirtualAlloc(view, MIB, MEM_COMMIT, PAGE_READWRITE));
    assert_null(VirtualAlloc(view, 8 * MIB, MEM_COMMIT, PAGE_READWRITE));
    assert_int_equal(GetLastError(), ERROR_COMMITMENT_LIMIT);
    UnmapViewOfFile(view);
    CloseHandle(reserved);
}

static void a_segment_larger_than_all_memory_is_refused_with_the_numbers(void **state) {
    (void)state;
    check_refusal(NULL, (uint64_t)1 << 50, "memory");
}

/* ---- A control group ---- */

static char group[512];

static bool tell(const char *file, const char *word) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", group, file);
    const int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    const bool told = descriptor >= 0 && write(descriptor, word, strlen(word)) > 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    return told;
}

/* In the group: what is larger than it is refused, what fits is there to the last byte. */
static int try_in_the_group(void) {
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 64 * MIB};
    if (!tell("cgroup.procs", "0")) {
        return 2;
    }
    if (km_segment(&map, NULL, &options) != KM_E_NO_MEMORY ||
        strstr(km_error_message(), "67108864") == NULL ||
        strstr(km_error_message(), "group") == NULL) {
        (void)fprintf(stderr, "%s\n", km_error_message());
        return 3;
    }
    options.size = 8 * MIB;
    if (km_segment(&map, NULL, &options) != KM_OK) {
        (void)fprintf(stderr, "%s\n", km_error_message());
        return 4;
    }
    memset(km_data(map), 1, (size_t)km_size(map));
    return km_close(map) == KM_OK ? 0 : 5;
}

static void a_segment_larger_than_its_group_is_refused_and_nobody_is_killed(void **state) {
    (void)state;
    const char *parent = getenv("KEEPMAP_TEST_CGROUP");
    if (parent == NULL) {
        print_message("KEEPMAP_TEST_CGROUP names no group to make one in\n");
        skip();
    }
    (void)snprintf(group, sizeof group, "%s/keepmap-segment-%ld", parent, (long)getpid());
    assert_int_equal(mkdir(group, 0755), 0);
    const bool limited =
        tell("memory.limit_in_bytes", "33554432") || tell("memory.max", "33554432");
    int status = -1;
    const pid_t child = limited ? fork() : -1;
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(try_in_the_group());
    }
    if (child > 0) {
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_int_equal(rmdir(group), 0);
    assert_true(limited);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_larger_than_dev_shm_is_refused_with_the_numbers),
        cmocka_unit_test(what_still_fits_can_be_made_after_a_refusal),
        cmocka_unit_test(the_win32_call_says_commitment_limit),
        cmocka_unit_test(a_segment_larger_than_all_memory_is_refused_with_the_numbers),
        cmocka_unit_test(a_segment_larger_than_its_group_is_refused_and_nobody_is_killed),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
