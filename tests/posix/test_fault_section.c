/*
 * test_fault_section.c - sections, locked ranges and forks when no further description can be had:
 * what they keep others from is kept up all the same, if need be for too long, but not for good.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/fault/fault.h"
#include "support/scratch.h"

enum { SIZE = 65536, KEPT = 100, MOST_CALLS = 100 };

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

typedef struct mapped {
    HANDLE file;
    HANDLE writable;
    HANDLE readable;
    void *view;
} mapped;

static mapped open_and_map(void) {
    mapped all;
    scratch_file("file", SIZE, 1);
    all.file =
        CreateFileA("file", GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(all.file, INVALID_HANDLE_VALUE);
    all.writable = CreateFileMappingA(all.file, NULL, PAGE_READWRITE, 0, 0, NULL);
    all.readable = CreateFileMappingA(all.file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(all.writable);
    assert_non_null(all.readable);
    all.view = MapViewOfFile(all.readable, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(all.view);
    return all;
}

static bool end_sections(const mapped *all) {
    const bool first = CloseHandle(all->readable);
    const bool second = CloseHandle(all->writable);
    return UnmapViewOfFile(all->view) && first && second;
}

static bool cut_through(HANDLE handle) {
    return SetFilePointer(handle, KEPT, NULL, FILE_BEGIN) == KEPT && SetEndOfFile(handle);
}

/* By handles that have nothing to do with the ones shared. */

static DWORD open_error(DWORD share) {
    HANDLE other = CreateFileA("file", GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
    if (other == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    assert_true(CloseHandle(other));
    return ERROR_SUCCESS;
}

static DWORD other_error(bool (*act)(HANDLE handle)) {
    HANDLE other =
        CreateFileA("file", GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(other, INVALID_HANDLE_VALUE);
    const DWORD error = act(other) ? ERROR_SUCCESS : GetLastError();
    assert_true(CloseHandle(other));
    return error;
}

static bool lock(HANDLE handle) {
    return LockFile(handle, 0, 0, 10, 0);
}

static void assert_claimed(void) {
    assert_int_equal(open_error(FILE_SHARE_WRITE), ERROR_SHARING_VIOLATION); /* it is read */
}

static void assert_mapped(void) {
    assert_int_equal(other_error(cut_through), ERROR_USER_MAPPED_FILE);
}

static void assert_free(void) {
    assert_int_equal(open_error(0), ERROR_SUCCESS);
    assert_int_equal(other_error(cut_through), ERROR_SUCCESS);
}

static unsigned count_descriptors(void) {
    unsigned count = 0;
    for (int descriptor = 0; descriptor < 256; ++descriptor) {
        count += fcntl(descriptor, F_GETFD) >= 0;
    }
    return count;
}

/* The child waits for the end of `go`, having ended its sections first if it is to. */
static pid_t fork_waiting(const int go[2], const mapped *all, bool ends, const int done[2]) {
    const pid_t id = fork();
    if (id != 0) {
        return id;
    }
    char byte = 0;
    (void)fault_disarm();
    (void)alarm(60); /* a mutex held for ever must not hang the suite */
    close(go[1]);
    const bool ended = !ends || end_sections(all);
    close(done[0]);
    close(done[1]);
    _exit(ended && read(go[0], &byte, 1) == 0 ? 0 : 1);
}

static void finish(pid_t id) {
    int status = 0;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Whatever fails: nothing mapped is cut, nothing claimed is given away, and nothing stays. */
static bool fork_with_fault(unsigned k, int error, bool from_then_on, bool child_ends) {
    int go[2];
    int done[2];
    char byte = 0;
    const unsigned before = count_descriptors();
    const mapped all = open_and_map();
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    fault_arm(FAULT_SYSTEM, k, error, from_then_on);
    const pid_t child = fork_waiting(go, &all, child_ends, done);
    const bool failed = fault_disarm();
    assert_true(child > 0);
    close(done[1]);
    assert_int_equal(read(done[0], &byte, 1), 0); /* the child has done its part */
    close(done[0]);

    assert_claimed();
    assert_mapped();
    assert_false(cut_through(all.file));
    assert_int_equal(GetLastError(), ERROR_USER_MAPPED_FILE);
    assert_false(cut_through(all.file)); /* and trying has not made it possible */

    if (child_ends) {
        close(go[0]);
        close(go[1]);
        finish(child);
        assert_claimed();
        assert_false(cut_through(all.file));
        assert_true(CloseHandle(all.file));
        assert_mapped();
        assert_true(end_sections(&all));
    } else {
        assert_true(CloseHandle(all.file));
        assert_claimed();
        assert_true(end_sections(&all));
        assert_claimed();
        assert_mapped();
        close(go[0]);
        close(go[1]);
        finish(child);
    }
    assert_free();
    assert_int_equal(count_descriptors(), before);
    return failed;
}

static void what_is_mapped_and_claimed_stays_so(void **state) {
    (void)state;
    static const int errors[] = {EMFILE, ENOLCK};
    for (unsigned variant = 0; variant < 8; ++variant) {
        unsigned k = 1;
        while (fork_with_fault(k, errors[variant & 1], variant & 2, variant & 4)) {
            assert_true(++k < MOST_CALLS);
        }
        assert_true(k > 1);
    }
}

/* Neither of the two can unlock anything then; closing does it. */
static void without_descriptors_the_handle_does_not_cut_before_it_is_closed(void **state) {
    (void)state;
    int go[2];
    int done[2];
    const mapped all = open_and_map();
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    fault_arm(FAULT_SYSTEM, 1, EMFILE, true);
    const pid_t child = fork_waiting(go, &all, false, done);
    assert_true(fault_disarm());
    assert_true(child > 0);
    for (int i = 0; i < 2; ++i) {
        close(go[i]);
        close(done[i]);
    }
    finish(child);
    assert_true(end_sections(&all));
    assert_false(cut_through(all.file));
    assert_int_equal(GetLastError(), ERROR_USER_MAPPED_FILE);
    assert_int_equal(scratch_size("file"), SIZE);
    assert_true(CloseHandle(all.file));
    assert_free();
}

/* A view keeps what is locked where it is mapped from. */
static void ranges_go_with_the_handle_wherever_they_are_locked(void **state) {
    (void)state;
    bool failed = true;
    for (unsigned k = 1; failed; ++k) {
        for (int from_then_on = 0; from_then_on < 2; ++from_then_on) {
            assert_true(k < MOST_CALLS);
            const mapped all = open_and_map();
            fault_arm(FAULT_SYSTEM, k, EMFILE, from_then_on);
            const bool locked = lock(all.file);
            failed = fault_disarm();
            assert_true(locked || failed);
            assert_int_equal(other_error(lock), locked ? ERROR_LOCK_VIOLATION : ERROR_SUCCESS);
            assert_true(CloseHandle(all.file));
            assert_int_equal(other_error(lock), ERROR_SUCCESS);
            assert_true(end_sections(&all));
        }
    }
}

/* The range is locked all the same, in the only place that there is. */
static void ranges_are_locked_though_no_description_of_their_own_can_be_had(void **state) {
    (void)state;
    static const char *const names[] = {"open", "open64"}; /* one of them is what is called */
    bool failed = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        const mapped all = open_and_map();
        fault_arm_call(names[i], 1, EMFILE, true);
        const bool locked = lock(all.file);
        failed = fault_disarm() || failed;
        assert_true(locked);
        assert_int_equal(other_error(lock), ERROR_LOCK_VIOLATION);
        assert_true(CloseHandle(all.file));
        assert_int_equal(other_error(lock), ERROR_SUCCESS);
        assert_true(end_sections(&all));
    }
    assert_true(failed);
}

static void forking_keeps_errno(void **state) {
    (void)state;
    const mapped all = open_and_map();
    fault_arm(FAULT_SYSTEM, 1, EMFILE, true);
    errno = ENOTTY;
    const pid_t child = fork();
    if (child == 0) {
        _exit(errno == ENOTTY ? 0 : 1);
    }
    const int error = errno;
    assert_true(fault_disarm());
    assert_true(child > 0);
    assert_int_equal(error, ENOTTY);
    finish(child);
    assert_true(end_sections(&all));
    assert_true(CloseHandle(all.file));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_mapped_and_claimed_stays_so),
        cmocka_unit_test(without_descriptors_the_handle_does_not_cut_before_it_is_closed),
        cmocka_unit_test(ranges_go_with_the_handle_wherever_they_are_locked),
        cmocka_unit_test(ranges_are_locked_though_no_description_of_their_own_can_be_had),
        cmocka_unit_test(forking_keeps_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
