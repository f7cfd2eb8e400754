/*
 * test_file_races.c - files that threads, processes and forks use at the same moment: no name goes
 * from under a claim, no forked child waits for what only its parent has, no signal comes instead
 * of an error.
 *
 * Not under valgrind: it runs one thread at a time, and loops that race hardly advance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/file.h"
#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define READ_WRITE (GENERIC_READ | GENERIC_WRITE)

static HANDLE open_file(const char *path, DWORD share, DWORD disposition, DWORD flags) {
    return CreateFileA(path, READ_WRITE, share, NULL, disposition, flags, NULL);
}

static HANDLE must_create(const char *path) {
    HANDLE file = open_file(path, SHARE_ALL, CREATE_ALWAYS, 0);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    return file;
}

/* The child's exit code, or that of the alarm that ended it: it hung. */
static int in_child(int (*body)(HANDLE file), HANDLE file) {
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGALRM, SIG_DFL);
        alarm(20);
        _exit(body(file));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- Names ---- */

#define ATTEMPTS 6000

static atomic_bool stop;

static void *delete_it(void *path) {
    while (!atomic_load(&stop)) {
        (void)DeleteFileA(path);
    }
    return NULL;
}

static void *replace_it(void *path) {
    while (!atomic_load(&stop)) {
        HANDLE file = open_file("draft", 0, CREATE_ALWAYS, 0);
        if (file != INVALID_HANDLE_VALUE) {
            CloseHandle(file);
        }
        (void)MoveFileExA("draft", path, MOVEFILE_REPLACE_EXISTING);
    }
    return NULL;
}

static void *delete_it_on_close(void *path) {
    while (!atomic_load(&stop)) {
        HANDLE file = open_file(path, SHARE_ALL, OPEN_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE);
        if (file != INVALID_HANDLE_VALUE) {
            CloseHandle(file);
        }
    }
    return NULL;
}

/* Opens the file again and again, not sharing deletion, and counts those without a name. */
static void keeps_its_name_against(void *(*other)(void *path), char *path) {
    pthread_t thread;
    int opened = 0;
    int nameless = 0;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, other, path), 0);
    while (opened < ATTEMPTS) {
        HANDLE file = open_file(path, FILE_SHARE_READ, OPEN_ALWAYS, 0);
        if (file == INVALID_HANDLE_VALUE) {
            continue;
        }
        BY_HANDLE_FILE_INFORMATION facts = {0};
        (void)GetFileInformationByHandle(file, &facts);
        opened++;
        nameless += facts.nNumberOfLinks == 0;
        CloseHandle(file);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(nameless, 0);
}

static void what_is_opened_is_not_deleted_in_the_same_moment(void **state) {
    (void)state;
    keeps_its_name_against(delete_it, (char[]){"deleted"});
}

static void what_is_opened_is_not_replaced_in_the_same_moment(void **state) {
    (void)state;
    keeps_its_name_against(replace_it, (char[]){"replaced"});
}

static void what_is_opened_is_not_deleted_by_another_handles_end(void **state) {
    (void)state;
    keeps_its_name_against(delete_it_on_close, (char[]){"closed"});
}

static void a_file_without_a_name_is_opened_through_proc(void **state) {
    (void)state;
    char path[32];
    HANDLE file = must_create("unnamed");
    kmw_file *object = NULL;
    kmw_use use = kmw_file_use(file, 0, &object);
    assert_int_equal(unlink("unnamed"), 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", object->descriptor);
    HANDLE again = open_file(path, SHARE_ALL, OPEN_EXISTING, 0);
    assert_ptr_not_equal(again, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(again));
    kmw_use_end(use);
    assert_true(CloseHandle(file));
}

/* ---- Forks ---- */

static void *write_on(void *file) {
    DWORD done = 0;
    OVERLAPPED at = {0};
    while (!atomic_load(&stop)) {
        (void)WriteFile(file, "x", 1, &done, &at);
    }
    return NULL;
}

static int write_once(HANDLE file) {
    DWORD done = 0;
    OVERLAPPED at = {0};
    return WriteFile(file, "y", 1, &done, &at) ? 0 : 1;
}

static void a_child_writes_whatever_its_parents_threads_were_doing(void **state) {
    (void)state;
    pthread_t threads[2];
    HANDLE file = must_create("forked");
    atomic_store(&stop, false);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, file), 0);
    }
    int result = 0;
    for (int i = 0; i < 100 && result == 0; ++i) {
        result = in_child(write_once, file);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(result, 0);
    assert_true(CloseHandle(file));
}

static void *lock_waiting(void *file) {
    OVERLAPPED at = {0};
    return LockFileEx(file, LOCKFILE_EXCLUSIVE_LOCK, 0, 10, 0, &at) ? NULL : file;
}

static int close_it(HANDLE file) {
    return CloseHandle(file) ? 0 : 1;
}

/* What the parent's thread waits for it gets, or not, there. */
static int lock_what_is_waited_for(HANDLE file) {
    OVERLAPPED at = {.Offset = 10};
    bool beside = LockFileEx(file, LOCKFILE_FAIL_IMMEDIATELY, 0, 10, 0, &at);
    return beside && UnlockFileEx(file, 0, 10, 0, &at) ? 0 : 1;
}

static void a_child_closes_and_locks_what_its_parent_waits_for(void **state) {
    (void)state;
    pthread_t thread;
    void *failed = NULL;
    HANDLE file = must_create("waited");
    assert_true(LockFile(file, 0, 0, 10, 0));
    assert_int_equal(pthread_create(&thread, NULL, lock_waiting, file), 0);
    Sleep(50); /* it waits by then, as a rule; what is asserted holds either way */
    int closed = in_child(close_it, file);
    int locked = in_child(lock_what_is_waited_for, file);
    assert_true(UnlockFile(file, 0, 0, 10, 0));
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(closed, 0);
    assert_int_equal(locked, 0);
    assert_true(CloseHandle(file));
}

/* ---- The file pointer ---- */

#define MOVES 20000

static void *move_on(void *file) {
    const LARGE_INTEGER one = {.QuadPart = 1};
    for (int i = 0; i < MOVES; ++i) {
        (void)SetFilePointerEx(file, one, NULL, FILE_CURRENT);
    }
    return NULL;
}

static void threads_move_the_file_pointer_by_all_they_say(void **state) {
    (void)state;
    pthread_t threads[2];
    LARGE_INTEGER position = {0};
    HANDLE file = must_create("pointed");
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(pthread_create(&threads[i], NULL, move_on, file), 0);
    }
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(SetFilePointerEx(file, position, &position, FILE_CURRENT));
    assert_int_equal(position.QuadPart, 2 * MOVES);
    assert_true(CloseHandle(file));
}

/* ---- Signals ---- */

#define LIMIT 4096

static int write_past_the_limit(HANDLE file) {
    const struct rlimit limit = {LIMIT, LIMIT};
    static const char bytes[2 * LIMIT];
    DWORD done = 0;
    LARGE_INTEGER position = {0};
    sigset_t pending;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || WriteFile(file, bytes, sizeof bytes, &done, NULL) ||
        GetLastError() != ERROR_DISK_FULL || done != LIMIT) {
        return 1;
    }
    OVERLAPPED at = {.Offset = 2 * LIMIT};
    if (WriteFile(file, bytes, 1, &done, &at) || GetLastError() != ERROR_DISK_FULL || done != 0) {
        return 2;
    }
    if (!SetFilePointerEx(file, position, &position, FILE_CURRENT) || position.QuadPart != LIMIT) {
        return 3; /* what failed whole has not moved it */
    }
    return sigpending(&pending) == 0 && sigisemptyset(&pending) ? 0 : 4;
}

static void writing_past_the_process_limit_is_an_error_and_no_signal(void **state) {
    (void)state;
    HANDLE file = must_create("limited");
    assert_int_equal(in_child(write_past_the_limit, file), 0);
    assert_true(CloseHandle(file));
}

static int write_without_reader(HANDLE file) {
    DWORD done = 0;
    (void)signal(SIGPIPE, SIG_DFL);
    return !WriteFile(file, "x", 1, &done, NULL) && GetLastError() == ERROR_NO_DATA ? 0 : 1;
}

static void writing_to_a_pipe_without_a_reader_is_an_error_and_no_signal(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    HANDLE writer = kmw_file_adopt(ends[1], GENERIC_WRITE, SHARE_ALL, 0, false, NULL);
    assert_ptr_not_equal(writer, INVALID_HANDLE_VALUE);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(in_child(write_without_reader, writer), 0);
    assert_true(CloseHandle(writer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_opened_is_not_deleted_in_the_same_moment),
        cmocka_unit_test(what_is_opened_is_not_replaced_in_the_same_moment),
        cmocka_unit_test(what_is_opened_is_not_deleted_by_another_handles_end),
        cmocka_unit_test(a_file_without_a_name_is_opened_through_proc),
        cmocka_unit_test(a_child_writes_whatever_its_parents_threads_were_doing),
        cmocka_unit_test(a_child_closes_and_locks_what_its_parent_waits_for),
        cmocka_unit_test(threads_move_the_file_pointer_by_all_they_say),
        cmocka_unit_test(writing_past_the_process_limit_is_an_error_and_no_signal),
        cmocka_unit_test(writing_to_a_pipe_without_a_reader_is_an_error_and_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
