/*
 * test_section_fork.c - what sections and handles keep others from, when the process forks.
 *
 * A child shares its parent's handles, sections and views. A claim or the mark "mapped" lasts until
 * neither of the two needs it, whoever is done first. The child here does what it is told, step by
 * step; "others" are handles of the parent's that have nothing to do with the ones shared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

enum { SIZE = 65536, KEPT = 100 };

/* ---- What both have, and what they do with it ---- */

static HANDLE file;
static HANDLE section;
static void *view;

typedef enum step {
    MAP = 'm', /* a section and a view of the file, for reading */
    UNMAP = 'u',
    CLOSE_SECTION = 's',
    CLOSE_FILE = 'f',
    CUT = 'c', /* through the file's handle */
    LOCK = 'l',
} step;

static bool map(DWORD protection) {
    section = CreateFileMappingA(file, NULL, protection, 0, 0, NULL);
    view = section != NULL ? MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0) : NULL;
    return view != NULL;
}

static bool cut_through(HANDLE handle) {
    return SetFilePointer(handle, KEPT, NULL, FILE_BEGIN) == KEPT && SetEndOfFile(handle);
}

/* The error it ends with; ERROR_SUCCESS. */
static DWORD take(step which) {
    bool done = false;
    switch (which) {
    case MAP:
        done = map(PAGE_READONLY);
        break;
    case UNMAP:
        done = UnmapViewOfFile(view);
        break;
    case CLOSE_SECTION:
        done = CloseHandle(section);
        break;
    case CLOSE_FILE:
        done = CloseHandle(file);
        break;
    case CUT:
        done = cut_through(file);
        break;
    case LOCK:
        done = LockFile(file, 0, 0, 10, 0);
        break;
    }
    return done ? ERROR_SUCCESS : GetLastError();
}

static void must(step which) {
    assert_int_equal(take(which), ERROR_SUCCESS);
}

static void open_shared(const char *name, DWORD access, DWORD share, DWORD flags) {
    scratch_file(name, SIZE, 1);
    file = CreateFileA(name, access, share, NULL, OPEN_EXISTING, flags, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
}

static void open_and_map(const char *name, DWORD protection) {
    open_shared(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, 0);
    assert_true(map(protection));
}

/* ---- The child ---- */

typedef struct forked {
    pid_t id;
    int tell;
    int hear;
} forked;

static void obey(int hear, int tell) {
    char which;
    while (read(hear, &which, 1) == 1) {
        const DWORD error = take((step)which);
        if (write(tell, &error, sizeof error) != sizeof error) {
            break;
        }
    }
    _exit(0); /* as if by a signal: nothing is closed in order */
}

static forked fork_child(void) {
    int there[2];
    int back[2];
    assert_int_equal(pipe(there), 0);
    assert_int_equal(pipe(back), 0);
    forked child = {.id = fork(), .tell = there[1], .hear = back[0]};
    assert_true(child.id >= 0);
    if (child.id == 0) {
        (void)alarm(60); /* a mutex held for ever must not hang the suite */
        close(there[1]);
        close(back[0]);
        obey(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    return child;
}

static DWORD child_takes(const forked *child, step which) {
    const char word = (char)which;
    DWORD error = 4711;
    assert_int_equal(write(child->tell, &word, 1), 1);
    assert_int_equal(read(child->hear, &error, sizeof error), sizeof error);
    return error;
}

static void child_must(const forked *child, step which) {
    assert_int_equal(child_takes(child, which), ERROR_SUCCESS);
}

static void end_child(const forked *child) {
    int status = 0;
    close(child->tell);
    close(child->hear);
    assert_int_equal(waitpid(child->id, &status, 0), child->id);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- Others ---- */

static DWORD open_error(const char *name, DWORD access, DWORD share) {
    HANDLE other = CreateFileA(name, access, share, NULL, OPEN_EXISTING, 0, NULL);
    if (other == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    assert_true(CloseHandle(other));
    return ERROR_SUCCESS;
}

static DWORD cut_error(const char *name) {
    HANDLE other = CreateFileA(name, GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    if (other == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    const DWORD error = cut_through(other) ? ERROR_SUCCESS : GetLastError();
    assert_true(CloseHandle(other));
    return error;
}

static DWORD lock_error(const char *name) {
    HANDLE other =
        CreateFileA(name, GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(other, INVALID_HANDLE_VALUE);
    const DWORD error = LockFile(other, 5, 0, 1, 0) ? ERROR_SUCCESS : GetLastError();
    assert_true(CloseHandle(other));
    return error;
}

/* ---- The mark ---- */

static void a_childs_view_keeps_the_mark_after_its_parent_closed_all(void **state) {
    (void)state;
    static const DWORD protections[] = {PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY};
    for (size_t i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        open_and_map("childs_view", protections[i]);
        forked child = fork_child();
        must(UNMAP);
        must(CLOSE_SECTION);
        must(CLOSE_FILE);
        assert_int_equal(cut_error("childs_view"), ERROR_USER_MAPPED_FILE);
        child_must(&child, CLOSE_FILE);
        child_must(&child, CLOSE_SECTION);
        assert_int_equal(cut_error("childs_view"), ERROR_USER_MAPPED_FILE);
        child_must(&child, UNMAP);
        assert_int_equal(cut_error("childs_view"), ERROR_SUCCESS);
        end_child(&child);
    }
}

static void a_parents_view_keeps_the_mark_after_its_child_closed_all(void **state) {
    (void)state;
    open_and_map("parents_view", PAGE_READWRITE);
    forked child = fork_child();
    child_must(&child, UNMAP);
    child_must(&child, CLOSE_SECTION);
    child_must(&child, CLOSE_FILE);
    must(CLOSE_FILE);
    must(CLOSE_SECTION);
    assert_int_equal(cut_error("parents_view"), ERROR_USER_MAPPED_FILE);
    end_child(&child);
    assert_int_equal(cut_error("parents_view"), ERROR_USER_MAPPED_FILE);
    must(UNMAP);
    assert_int_equal(cut_error("parents_view"), ERROR_SUCCESS);
}

static void a_view_alone_is_the_childs_too(void **state) {
    (void)state;
    open_and_map("alone", PAGE_READWRITE);
    must(CLOSE_SECTION);
    must(CLOSE_FILE);
    forked child = fork_child();
    must(UNMAP);
    assert_int_equal(cut_error("alone"), ERROR_USER_MAPPED_FILE);
    assert_int_equal(open_error("alone", GENERIC_READ, FILE_SHARE_READ), ERROR_SHARING_VIOLATION);
    child_must(&child, UNMAP);
    assert_int_equal(open_error("alone", GENERIC_READ, FILE_SHARE_READ), ERROR_SUCCESS);
    assert_int_equal(cut_error("alone"), ERROR_SUCCESS);
    end_child(&child);
}

static void the_shared_handle_cuts_when_neither_has_it_mapped(void **state) {
    (void)state;
    open_and_map("same", PAGE_READONLY);
    forked child = fork_child();
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    must(UNMAP);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    must(CLOSE_SECTION);
    /* Trying must not take away what it found in its way. */
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    child_must(&child, UNMAP);
    assert_int_equal(child_takes(&child, CUT), ERROR_USER_MAPPED_FILE);
    child_must(&child, CLOSE_SECTION);
    must(CUT);
    assert_int_equal(scratch_size("same"), KEPT);
    must(CLOSE_FILE);
    end_child(&child);
}

static void a_child_does_not_cut_what_only_its_parent_maps(void **state) {
    (void)state;
    open_and_map("only_parent", PAGE_READONLY);
    forked child = fork_child();
    child_must(&child, CLOSE_SECTION);
    child_must(&child, UNMAP);
    assert_int_equal(child_takes(&child, CUT), ERROR_USER_MAPPED_FILE);
    assert_int_equal(child_takes(&child, CUT), ERROR_USER_MAPPED_FILE);
    must(CLOSE_SECTION);
    must(UNMAP);
    child_must(&child, CUT);
    end_child(&child);
    must(CLOSE_FILE);
}

static void a_killed_child_keeps_nothing(void **state) {
    (void)state;
    open_and_map("killed", PAGE_READWRITE);
    forked child = fork_child();
    must(UNMAP);
    must(CLOSE_SECTION);
    must(CLOSE_FILE);
    assert_int_equal(cut_error("killed"), ERROR_USER_MAPPED_FILE);
    assert_int_equal(kill(child.id, SIGKILL), 0);
    assert_int_equal(waitpid(child.id, NULL, 0), child.id);
    assert_int_equal(open_error("killed", GENERIC_READ, 0), ERROR_SUCCESS);
    assert_int_equal(cut_error("killed"), ERROR_SUCCESS);
    close(child.tell);
    close(child.hear);
}

static void of_two_children_the_last_counts(void **state) {
    (void)state;
    open_and_map("three", PAGE_READONLY);
    forked first = fork_child();
    forked second = fork_child();
    must(UNMAP);
    must(CLOSE_SECTION);
    child_must(&first, UNMAP);
    child_must(&first, CLOSE_SECTION);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    child_must(&second, UNMAP);
    child_must(&second, CLOSE_SECTION);
    must(CUT);
    must(CLOSE_FILE);
    end_child(&second); /* it has the first one's pipes too */
    end_child(&first);
}

/* ---- The claims ---- */

static void claims_go_with_the_handles_of_both_though_a_view_is_left(void **state) {
    (void)state;
    open_shared("claims", GENERIC_READ, 0, 0);
    assert_true(map(PAGE_READONLY));
    forked child = fork_child();
    must(CLOSE_FILE);
    assert_int_equal(open_error("claims", GENERIC_READ, SHARE_ALL), ERROR_SHARING_VIOLATION);
    child_must(&child, CLOSE_FILE);
    assert_int_equal(open_error("claims", GENERIC_READ | GENERIC_WRITE, 0), ERROR_SUCCESS);
    assert_int_equal(cut_error("claims"), ERROR_USER_MAPPED_FILE);
    end_child(&child);
    assert_int_equal(open_error("claims", GENERIC_READ | GENERIC_WRITE, 0), ERROR_SUCCESS);
    assert_int_equal(cut_error("claims"), ERROR_USER_MAPPED_FILE);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(cut_error("claims"), ERROR_SUCCESS);
}

static void claims_stay_with_the_handle_of_one_though_no_view_is_left(void **state) {
    (void)state;
    open_shared("stay", GENERIC_READ | GENERIC_WRITE, 0, 0);
    assert_true(map(PAGE_READWRITE));
    forked child = fork_child();
    end_child(&child);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(open_error("stay", GENERIC_READ, SHARE_ALL), ERROR_SHARING_VIOLATION);
    must(CLOSE_FILE);
    assert_int_equal(open_error("stay", GENERIC_READ, 0), ERROR_SUCCESS);
}

static void write_access_is_used_until_the_last_writable_section_of_both_goes(void **state) {
    (void)state;
    open_and_map("written", PAGE_READONLY);
    HANDLE writable = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(writable);
    forked child = fork_child();
    must(CLOSE_FILE);
    assert_true(CloseHandle(writable));
    end_child(&child);
    assert_int_equal(open_error("written", GENERIC_READ, FILE_SHARE_READ), ERROR_SUCCESS);
    assert_int_equal(cut_error("written"), ERROR_USER_MAPPED_FILE);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(cut_error("written"), ERROR_SUCCESS);
}

static void what_waits_to_be_deleted_stays_claimed_until_it_is(void **state) {
    (void)state;
    open_shared("deleted", GENERIC_READ | DELETE, FILE_SHARE_READ, FILE_FLAG_DELETE_ON_CLOSE);
    assert_true(map(PAGE_READONLY));
    forked child = fork_child();
    must(CLOSE_FILE);
    end_child(&child);
    assert_int_equal(open_error("deleted", GENERIC_READ, FILE_SHARE_READ), ERROR_SHARING_VIOLATION);
    must(CLOSE_SECTION);
    assert_int_equal(scratch_size("deleted"), SIZE);
    must(UNMAP);
    assert_int_equal(scratch_size("deleted"), -1);
}

/* ---- After the fork, and besides ---- */

static void a_section_made_after_the_fork_is_its_makers_alone(void **state) {
    (void)state;
    open_shared("after", GENERIC_READ | GENERIC_WRITE, 0, 0);
    forked child = fork_child();
    child_must(&child, MAP);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    must(MAP);
    child_must(&child, UNMAP);
    child_must(&child, CLOSE_SECTION);
    assert_int_equal(child_takes(&child, CUT), ERROR_USER_MAPPED_FILE);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(open_error("after", GENERIC_READ, SHARE_ALL), ERROR_SHARING_VIOLATION);
    child_must(&child, CUT);
    must(CLOSE_FILE);
    child_must(&child, CLOSE_FILE);
    assert_int_equal(open_error("after", GENERIC_READ, 0), ERROR_SUCCESS);
    end_child(&child);
}

static void sections_from_before_and_after_a_fork_both_count(void **state) {
    (void)state;
    open_and_map("both", PAGE_READONLY);
    forked child = fork_child();
    end_child(&child);
    HANDLE later = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(later);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    must(CLOSE_FILE);
    assert_int_equal(cut_error("both"), ERROR_USER_MAPPED_FILE);
    assert_int_equal(open_error("both", GENERIC_READ, FILE_SHARE_READ), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(later));
    assert_int_equal(open_error("both", GENERIC_READ, 0), ERROR_SUCCESS);
    assert_int_equal(cut_error("both"), ERROR_SUCCESS);
}

static void a_file_that_has_lost_its_name_is_shared_like_another(void **state) {
    (void)state;
    struct stat facts;
    open_and_map("nameless", PAGE_READWRITE);
    assert_int_equal(unlink("nameless"), 0);
    scratch_file("nameless", SIZE, 2); /* what now has the name is not concerned */
    forked child = fork_child();
    assert_int_equal(cut_error("nameless"), ERROR_SUCCESS);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_int_equal(take(CUT), ERROR_USER_MAPPED_FILE);
    child_must(&child, UNMAP);
    child_must(&child, CLOSE_SECTION);
    must(CUT);
    must(CLOSE_FILE);
    assert_int_equal(stat("nameless", &facts), 0);
    end_child(&child);
}

/* A view would keep ranges that are locked where it is mapped from. */
static void locked_ranges_go_with_the_handles_of_both_though_views_are_left(void **state) {
    (void)state;
    for (int locked_first = 0; locked_first < 2; ++locked_first) {
        open_shared("ranges", GENERIC_READ | GENERIC_WRITE, SHARE_ALL, 0);
        must(locked_first ? LOCK : MAP);
        must(locked_first ? MAP : LOCK);
        forked child = fork_child();
        assert_int_equal(lock_error("ranges"), ERROR_LOCK_VIOLATION);
        must(CLOSE_FILE);
        assert_int_equal(lock_error("ranges"), ERROR_LOCK_VIOLATION);
        child_must(&child, CLOSE_FILE);
        assert_int_equal(lock_error("ranges"), ERROR_SUCCESS);
        assert_int_equal(cut_error("ranges"), ERROR_USER_MAPPED_FILE);
        end_child(&child);
        must(UNMAP);
        must(CLOSE_SECTION);
        assert_int_equal(cut_error("ranges"), ERROR_SUCCESS);
    }
}

static unsigned count_descriptors(void) {
    unsigned count = 0;
    for (int descriptor = 0; descriptor < 256; ++descriptor) {
        count += fcntl(descriptor, F_GETFD) >= 0;
    }
    return count;
}

static void a_fork_leaves_no_descriptor_open(void **state) {
    (void)state;
    const unsigned before = count_descriptors();
    open_and_map("descriptors", PAGE_READWRITE);
    HANDLE other = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(other);
    forked child = fork_child();
    end_child(&child);
    must(CLOSE_FILE);
    must(UNMAP);
    must(CLOSE_SECTION);
    assert_true(CloseHandle(other));
    assert_int_equal(count_descriptors(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_childs_view_keeps_the_mark_after_its_parent_closed_all),
        cmocka_unit_test(a_parents_view_keeps_the_mark_after_its_child_closed_all),
        cmocka_unit_test(a_view_alone_is_the_childs_too),
        cmocka_unit_test(the_shared_handle_cuts_when_neither_has_it_mapped),
        cmocka_unit_test(a_child_does_not_cut_what_only_its_parent_maps),
        cmocka_unit_test(a_killed_child_keeps_nothing),
        cmocka_unit_test(of_two_children_the_last_counts),
        cmocka_unit_test(claims_go_with_the_handles_of_both_though_a_view_is_left),
        cmocka_unit_test(claims_stay_with_the_handle_of_one_though_no_view_is_left),
        cmocka_unit_test(write_access_is_used_until_the_last_writable_section_of_both_goes),
        cmocka_unit_test(what_waits_to_be_deleted_stays_claimed_until_it_is),
        cmocka_unit_test(a_section_made_after_the_fork_is_its_makers_alone),
        cmocka_unit_test(sections_from_before_and_after_a_fork_both_count),
        cmocka_unit_test(a_file_that_has_lost_its_name_is_shared_like_another),
        cmocka_unit_test(locked_ranges_go_with_the_handles_of_both_though_views_are_left),
        cmocka_unit_test(a_fork_leaves_no_descriptor_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
