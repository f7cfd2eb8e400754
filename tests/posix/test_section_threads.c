/*
 * test_section_threads.c - threads that map, cut and fork with one handle. What is mapped can be
 * touched, or a SIGBUS ends the suite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

enum { SIZE = 65536, PAGE = 4096, ROUNDS = 400, FORKS = 20, MAPPERS = 2 };

typedef struct shared {
    HANDLE file;
    atomic_bool stop;
} shared;

/* NULL, or what went wrong. */
typedef const char *verdict;

static verdict map_once(HANDLE file, DWORD protection) {
    HANDLE section = CreateFileMappingA(file, NULL, protection, 0, 0, NULL);
    if (section == NULL) {
        /* It was empty, or another process kept it barred, which waiting does not always outlast.
         */
        const DWORD error = GetLastError();
        return error == ERROR_FILE_INVALID || error == ERROR_SHARING_VIOLATION ? NULL
                                                                               : "no section";
    }
    const volatile unsigned char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    if (view == NULL) {
        return "no view";
    }
    MEMORY_BASIC_INFORMATION facts;
    if (VirtualQuery((const void *)view, &facts, sizeof facts) != sizeof facts) {
        return "no facts";
    }
    for (SIZE_T at = 0; at < facts.RegionSize; at += PAGE) {
        (void)view[at];
    }
    return UnmapViewOfFile((const void *)view) && CloseHandle(section) ? NULL : "not ended";
}

static void *map_rounds(void *argument) {
    const shared *with = argument;
    verdict wrong = NULL;
    for (int round = 0; round < ROUNDS && wrong == NULL; ++round) {
        wrong = map_once(with->file, round % 2 ? PAGE_READWRITE : PAGE_READONLY);
    }
    return (void *)(uintptr_t)wrong;
}

/* To nothing and back; only being mapped may stop it. */
static verdict cut_once(HANDLE file) {
    if (SetFilePointer(file, 0, NULL, FILE_BEGIN) != 0) {
        return "no file pointer";
    }
    if (!SetEndOfFile(file) && GetLastError() != ERROR_USER_MAPPED_FILE) {
        return "not cut, for another reason";
    }
    return SetFilePointer(file, SIZE, NULL, FILE_BEGIN) == SIZE && SetEndOfFile(file) ? NULL
                                                                                      : "not grown";
}

static void *cut_until_stopped(void *argument) {
    shared *with = argument;
    verdict wrong = NULL;
    while (!atomic_load(&with->stop) && wrong == NULL) {
        wrong = cut_once(with->file);
    }
    return (void *)(uintptr_t)wrong;
}

static HANDLE open_file(const char *name) {
    scratch_file(name, SIZE, 1);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

static void join(pthread_t thread) {
    void *wrong = NULL;
    assert_int_equal(pthread_join(thread, &wrong), 0);
    if (wrong != NULL) {
        fail_msg("%s", (const char *)wrong);
    }
}

/* Nothing is mapped any more, so the file can be cut; the handle has kept others out all the time,
 * and when it goes nothing is left. */
static void assert_nothing_is_left(const char *name, HANDLE file) {
    assert_int_equal(SetFilePointer(file, 0, NULL, FILE_BEGIN), 0);
    assert_true(SetEndOfFile(file));
    assert_ptr_equal(CreateFileA(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                 OPEN_EXISTING, 0, NULL),
                     INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
    file = CreateFileA(name, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(file));
}

static void what_one_thread_maps_no_other_cuts(void **state) {
    (void)state;
    shared with = {.file = open_file("threads")};
    atomic_init(&with.stop, false);
    pthread_t cutter;
    pthread_t mappers[MAPPERS];
    assert_int_equal(pthread_create(&cutter, NULL, cut_until_stopped, &with), 0);
    for (int i = 0; i < MAPPERS; ++i) {
        assert_int_equal(pthread_create(&mappers[i], NULL, map_rounds, &with), 0);
    }
    for (int i = 0; i < MAPPERS; ++i) {
        join(mappers[i]);
    }
    atomic_store(&with.stop, true);
    join(cutter);
    assert_nothing_is_left("threads", with.file);
}

/* What the threads were doing when the process was forked must neither hang the child nor let it
 * take anything away from its parent. */
static void forks_in_between_change_nothing_for_the_parent(void **state) {
    (void)state;
    shared with = {.file = open_file("forks")};
    atomic_init(&with.stop, false);
    pthread_t cutter;
    pthread_t mapper;
    assert_int_equal(pthread_create(&cutter, NULL, cut_until_stopped, &with), 0);
    assert_int_equal(pthread_create(&mapper, NULL, map_rounds, &with), 0);
    for (int i = 0; i < FORKS; ++i) {
        const pid_t id = fork();
        assert_true(id >= 0);
        if (id == 0) {
            (void)alarm(60); /* a mutex held for ever must not hang the suite */
            const verdict wrong = map_once(with.file, PAGE_READONLY);
            _exit(wrong == NULL && CloseHandle(with.file) ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(id, &status, 0), id);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    join(mapper);
    atomic_store(&with.stop, true);
    join(cutter);
    assert_nothing_is_left("forks", with.file);
}

/* Each of many files has its mark and its claims moved, while others come and go. */
static void forks_move_the_marks_of_all_files_while_others_come_and_go(void **state) {
    (void)state;
    enum { FILES = 40 };
    HANDLE files[FILES];
    HANDLE sections[FILES];
    shared with = {.file = open_file("come_and_go")};
    atomic_init(&with.stop, false);
    pthread_t mapper;
    char name[] = "file_00";
    for (int i = 0; i < FILES; ++i) {
        name[5] = (char)('0' + i / 10);
        name[6] = (char)('0' + i % 10);
        files[i] = open_file(name);
        sections[i] = CreateFileMappingA(files[i], NULL, PAGE_READONLY, 0, 0, NULL);
        assert_non_null(sections[i]);
    }
    assert_int_equal(pthread_create(&mapper, NULL, map_rounds, &with), 0);
    const pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        (void)alarm(60);
        bool closed = true;
        for (int i = 0; i < FILES; ++i) {
            closed = CloseHandle(sections[i]) && CloseHandle(files[i]) && closed;
        }
        _exit(closed ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < FILES; ++i) {
        name[5] = (char)('0' + i / 10);
        name[6] = (char)('0' + i % 10);
        assert_int_equal(SetFilePointer(files[i], 0, NULL, FILE_BEGIN), 0);
        assert_false(SetEndOfFile(files[i]));
        assert_int_equal(GetLastError(), ERROR_USER_MAPPED_FILE);
        assert_true(CloseHandle(sections[i]));
        assert_nothing_is_left(name, files[i]);
    }
    join(mapper);
    assert_nothing_is_left("come_and_go", with.file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_thread_maps_no_other_cuts),
        cmocka_unit_test(forks_in_between_change_nothing_for_the_parent),
        cmocka_unit_test(forks_move_the_marks_of_all_files_while_others_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
