/*
 * test_file_posix.c - files as only POSIX has them: links, FIFOs, devices, permissions,
 * descriptors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/file.h"
#include "posix/sharing.h"
#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define READ_WRITE (GENERIC_READ | GENERIC_WRITE)
#define NOBODY 65534

static HANDLE open_with(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    return CreateFileA(path, access, SHARE_ALL, NULL, disposition, flags, NULL);
}

static HANDLE must_open(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    HANDLE file = open_with(path, access, disposition, flags);
    if (file == INVALID_HANDLE_VALUE) {
        fail_msg("%s: %u", path, GetLastError());
    }
    return file;
}

static DWORD code_of(const char *path, DWORD access, DWORD disposition, DWORD flags) {
    HANDLE file = open_with(path, access, disposition, flags);
    if (file == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    CloseHandle(file);
    return ERROR_SUCCESS;
}

static void must_close(HANDLE handle) {
    assert_true(CloseHandle(handle));
}

static bool exists(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0;
}

static size_t open_descriptors(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        ++count;
    }
    closedir(directory);
    return count;
}

/* Runs `test` in a forked child and returns its exit code. */
static int in_child(int (*test)(void)) {
    fflush(NULL);
    pid_t id = fork();
    assert_true(id >= 0);
    if (id == 0) {
        _exit(test());
    }
    int status;
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- Descriptors ---- */

static void no_descriptor_is_passed_on_to_other_programs(void **state) {
    (void)state;
    kmw_file *file;
    HANDLE handle = must_open("private", READ_WRITE, CREATE_ALWAYS, 0);
    kmw_use use = kmw_file_use(handle, 0, &file);
    assert_non_null(use.object);
    assert_true(fcntl(file->descriptor, F_GETFD) & FD_CLOEXEC);
    int again = kmw_file_reopen(file, O_RDONLY);
    assert_true(again >= 0);
    assert_true(fcntl(again, F_GETFD) & FD_CLOEXEC);
    close(again);
    kmw_use_end(use);
    must_close(handle);
}

static void what_fails_leaves_no_descriptor_open(void **state) {
    (void)state;
    scratch_file("busy", 10, 0);
    HANDLE holder = CreateFileA("busy", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(holder, INVALID_HANDLE_VALUE);
    size_t before = open_descriptors();
    assert_int_equal(code_of("busy", GENERIC_READ, OPEN_EXISTING, 0), ERROR_SHARING_VIOLATION);
    assert_int_equal(code_of("busy", GENERIC_READ, CREATE_ALWAYS, 0), ERROR_SHARING_VIOLATION);
    assert_int_equal(code_of(".", GENERIC_READ, OPEN_EXISTING, 0), ERROR_ACCESS_DENIED);
    assert_int_equal(open_descriptors(), before);
    must_close(holder);
    assert_int_equal(open_descriptors(), before - 1);
}

static void an_adopted_descriptor_is_the_handles_own(void **state) {
    (void)state;
    scratch_file("adopted", 10, 0);
    int descriptor = open("adopted", O_RDWR | O_CLOEXEC);
    HANDLE handle = kmw_file_adopt(descriptor, READ_WRITE, 0, 0, false, NULL);
    assert_ptr_not_equal(handle, INVALID_HANDLE_VALUE);
    assert_int_equal(code_of("adopted", GENERIC_READ, OPEN_EXISTING, 0), ERROR_SHARING_VIOLATION);
    must_close(handle);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);
    assert_int_equal(code_of("adopted", GENERIC_READ, OPEN_EXISTING, 0), ERROR_SUCCESS);
}

static void a_descriptor_that_is_refused_stays_the_callers(void **state) {
    (void)state;
    scratch_file("not_adopted", 10, 0);
    HANDLE holder =
        CreateFileA("not_adopted", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    int descriptor = open("not_adopted", O_RDWR | O_CLOEXEC);
    HANDLE handle = kmw_file_adopt(descriptor, READ_WRITE, 0, 0, false, NULL);
    assert_ptr_equal(handle, INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    assert_true(fcntl(descriptor, F_GETFD) >= 0);
    /* Nor does it hold a claim any more. */
    HANDLE other =
        CreateFileA("not_adopted", GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(other, INVALID_HANDLE_VALUE);
    must_close(other);
    must_close(holder);
    close(descriptor);
}

/* ---- Kinds of files ---- */

static void a_fifo_does_not_make_opening_wait(void **state) {
    (void)state;
    char byte;
    DWORD done = 1;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    HANDLE reader = must_open("fifo", GENERIC_READ, OPEN_EXISTING, 0);
    assert_int_equal(GetFileType(reader), FILE_TYPE_PIPE);
    assert_false(ReadFile(reader, &byte, 1, &done, NULL));
    assert_int_equal(GetLastError(), ERROR_BROKEN_PIPE);
    HANDLE writer = must_open("fifo", GENERIC_WRITE, OPEN_EXISTING, 0);
    assert_true(WriteFile(writer, "x", 1, &done, NULL));
    assert_true(ReadFile(reader, &byte, 1, &done, NULL));
    assert_int_equal(byte, 'x');
    LARGE_INTEGER size;
    assert_false(GetFileSizeEx(reader, &size));
    must_close(reader);
    assert_true(WriteFile(writer, "y", 1, &done, NULL)); /* and no SIGPIPE */
    must_close(writer);
}

static void a_device_is_read_and_written(void **state) {
    (void)state;
    char bytes[4] = "abc";
    DWORD done = 0;
    HANDLE zero = must_open("/dev/zero", GENERIC_READ, OPEN_EXISTING, 0);
    assert_int_equal(GetFileType(zero), FILE_TYPE_CHAR);
    assert_true(ReadFile(zero, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(done, sizeof bytes);
    assert_int_equal(bytes[0], 0);
    BY_HANDLE_FILE_INFORMATION facts;
    assert_true(GetFileInformationByHandle(zero, &facts));
    assert_true(facts.dwFileAttributes & FILE_ATTRIBUTE_DEVICE);
    must_close(zero);
    HANDLE null = must_open("/dev/null", READ_WRITE, CREATE_ALWAYS, 0);
    assert_true(WriteFile(null, bytes, sizeof bytes, &done, NULL));
    assert_true(ReadFile(null, bytes, sizeof bytes, &done, NULL));
    assert_int_equal(done, 0);
    assert_false(SetEndOfFile(null));
    must_close(null);
}

static void a_path_with_a_slash_behind_a_file_is_no_path(void **state) {
    (void)state;
    scratch_file("plain", 1, 0);
    assert_int_equal(code_of("plain/", GENERIC_READ, OPEN_EXISTING, 0), ERROR_PATH_NOT_FOUND);
    assert_int_equal(code_of("not_there/", READ_WRITE, CREATE_ALWAYS, 0), ERROR_PATH_NOT_FOUND);
    assert_false(exists("not_there"));
}

/* ---- Links ---- */

static void a_link_is_followed_unless_asked_for(void **state) {
    (void)state;
    char byte;
    DWORD done;
    scratch_file("target", 10, 0);
    assert_int_equal(symlink("target", "link"), 0);
    HANDLE followed = must_open("link", GENERIC_READ, OPEN_EXISTING, 0);
    assert_int_equal(GetFileSize(followed, NULL), 10);
    must_close(followed);
    HANDLE link = must_open("link", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT);
    BY_HANDLE_FILE_INFORMATION facts;
    assert_true(GetFileInformationByHandle(link, &facts));
    assert_true(facts.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT);
    assert_false(ReadFile(link, &byte, 1, &done, NULL));
    must_close(link);
    assert_int_equal(code_of("link", READ_WRITE, CREATE_ALWAYS, FILE_FLAG_OPEN_REPARSE_POINT),
                     ERROR_CANT_RESOLVE_FILENAME);
    assert_int_equal(scratch_size("target"), 10);
}

static void a_dangling_link_leads_to_what_is_made(void **state) {
    (void)state;
    assert_int_equal(mkdir("below", 0700), 0);
    assert_int_equal(symlink("below/second", "first"), 0);
    assert_int_equal(symlink("made", "below/second"), 0);
    assert_int_equal(code_of("first", GENERIC_READ, OPEN_EXISTING, 0), ERROR_FILE_NOT_FOUND);
    assert_int_equal(code_of("first", READ_WRITE, CREATE_NEW, 0), ERROR_FILE_EXISTS);
    assert_false(exists("below/made"));
    HANDLE file = must_open("first", READ_WRITE, OPEN_ALWAYS, 0);
    assert_int_equal(GetLastError(), ERROR_SUCCESS); /* made, not found */
    must_close(file);
    assert_true(exists("below/made"));
    file = must_open("first", READ_WRITE, OPEN_ALWAYS, 0);
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    must_close(file);
}

static void a_circle_of_links_ends(void **state) {
    (void)state;
    assert_int_equal(symlink("circle_2", "circle_1"), 0);
    assert_int_equal(symlink("circle_1", "circle_2"), 0);
    assert_int_equal(code_of("circle_1", GENERIC_READ, OPEN_EXISTING, 0),
                     ERROR_CANT_RESOLVE_FILENAME);
    assert_int_equal(code_of("circle_1", READ_WRITE, OPEN_ALWAYS, 0), ERROR_CANT_RESOLVE_FILENAME);
}

/* ---- Delete on close ---- */

static void delete_on_close_deletes_what_was_opened(void **state) {
    (void)state;
    scratch_file("doomed", 1, 0);
    assert_int_equal(symlink("doomed", "to_doomed"), 0);
    assert_int_equal(code_of("to_doomed", GENERIC_READ, OPEN_EXISTING,
                             FILE_FLAG_DELETE_ON_CLOSE | FILE_FLAG_OPEN_REPARSE_POINT),
                     ERROR_SUCCESS);
    assert_false(exists("to_doomed"));
    assert_true(exists("doomed"));
    assert_int_equal(symlink("doomed", "to_doomed"), 0);
    assert_int_equal(code_of("to_doomed", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE),
                     ERROR_SUCCESS);
    assert_true(exists("to_doomed"));
    assert_false(exists("doomed"));
}

static void delete_on_close_spares_what_took_the_place(void **state) {
    (void)state;
    HANDLE file = must_open("replaced", READ_WRITE, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    scratch_write("replacement", "other", 5);
    assert_int_equal(rename("replacement", "replaced"), 0);
    must_close(file);
    assert_true(scratch_equals("replaced", "other", 5));
}

static void delete_on_close_finds_the_file_from_elsewhere(void **state) {
    (void)state;
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    HANDLE file = must_open("relative", READ_WRITE, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    assert_int_equal(chdir("elsewhere"), 0);
    must_close(file);
    assert_int_equal(chdir(".."), 0);
    assert_false(exists("relative"));
}

static HANDLE shared_with_child;

static int close_in_child(void) {
    return CloseHandle(shared_with_child) ? 0 : 1;
}

static void delete_on_close_is_the_openers_business(void **state) {
    (void)state;
    shared_with_child = must_open("inherited", READ_WRITE, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE);
    assert_int_equal(in_child(close_in_child), 0);
    assert_true(exists("inherited"));
    must_close(shared_with_child);
    assert_false(exists("inherited"));
}

/* ---- Permissions ---- */

static int unprivileged(void) {
    return geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0 ? 0 : 100;
}

#define CHILD_EXPECT(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "# line %d: %s (last error %u)\n", __LINE__, #condition,               \
                    GetLastError());                                                               \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int use_without_permissions(void) {
    CHILD_EXPECT(unprivileged() == 0);
    char byte;
    DWORD done;
    /* Nothing allowed: attributes are told all the same. */
    HANDLE looker = open_with("locked_away", 0, OPEN_EXISTING, 0);
    CHILD_EXPECT(looker != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(GetFileSize(looker, NULL) == 10);
    CHILD_EXPECT(!ReadFile(looker, &byte, 1, &done, NULL));
    CHILD_EXPECT(CloseHandle(looker));
    CHILD_EXPECT(code_of("locked_away", GENERIC_READ, OPEN_EXISTING, 0) == ERROR_ACCESS_DENIED);
    CHILD_EXPECT(code_of("locked_away", GENERIC_WRITE, OPEN_EXISTING, 0) == ERROR_ACCESS_DENIED);
    CHILD_EXPECT(code_of("locked_away", GENERIC_READ, CREATE_ALWAYS, 0) == ERROR_ACCESS_DENIED);
    CHILD_EXPECT(code_of("readable", READ_WRITE, OPEN_EXISTING, 0) == ERROR_ACCESS_DENIED);
    CHILD_EXPECT(code_of("readable", GENERIC_READ, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE) ==
                 ERROR_ACCESS_DENIED);
    CHILD_EXPECT(code_of("new_file", READ_WRITE, CREATE_NEW, 0) == ERROR_ACCESS_DENIED);

    HANDLE most = open_with("readable", MAXIMUM_ALLOWED, OPEN_EXISTING, 0);
    CHILD_EXPECT(most != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(ReadFile(most, &byte, 1, &done, NULL));
    CHILD_EXPECT(!WriteFile(most, &byte, 1, &done, NULL));
    CHILD_EXPECT(CloseHandle(most));
    return 0;
}

static void permissions_are_kept(void **state) {
    (void)state;
    if (geteuid() != 0) {
        skip(); /* the files would be one's own */
    }
    scratch_file("locked_away", 10, 0);
    scratch_file("readable", 10, 0);
    assert_int_equal(chmod("locked_away", 0600), 0);
    assert_int_equal(chmod("readable", 0644), 0);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(in_child(use_without_permissions), 0);
    assert_false(exists("new_file"));
    assert_int_equal(scratch_size("readable"), 10);
}

/* A description that may not read cannot take shared locks; its claims count all the same. */
static int use_write_only_file(void) {
    CHILD_EXPECT(unprivileged() == 0);
    const DWORD write_shared = FILE_SHARE_WRITE;
    HANDLE one = CreateFileA("drop", GENERIC_WRITE, write_shared, NULL, OPEN_EXISTING, 0, NULL);
    CHILD_EXPECT(one != INVALID_HANDLE_VALUE);
    HANDLE two = CreateFileA("drop", GENERIC_WRITE, write_shared, NULL, OPEN_EXISTING, 0, NULL);
    CHILD_EXPECT(two != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(CreateFileA("drop", GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL) ==
                 INVALID_HANDLE_VALUE);
    CHILD_EXPECT(GetLastError() == ERROR_SHARING_VIOLATION);
    CHILD_EXPECT(CloseHandle(one));
    CHILD_EXPECT(CloseHandle(two));
    one = CreateFileA("drop", GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    CHILD_EXPECT(one != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(code_of("drop", GENERIC_WRITE, OPEN_EXISTING, 0) == ERROR_SHARING_VIOLATION);
    DWORD done = 0;
    CHILD_EXPECT(WriteFile(one, "abc", 3, &done, NULL) && done == 3);
    CHILD_EXPECT(SetEndOfFile(one));
    CHILD_EXPECT(LockFile(one, 0, 0, 1, 0));
    CHILD_EXPECT(CloseHandle(one));
    CHILD_EXPECT(code_of("drop", GENERIC_READ, OPEN_EXISTING, 0) == ERROR_ACCESS_DENIED);
    return 0;
}

static void a_file_that_may_only_be_written_is_shared_by_the_same_rules(void **state) {
    (void)state;
    scratch_file("drop", 10, 0);
    assert_int_equal(chmod("drop", 0222), 0);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(in_child(use_write_only_file), 0);
    assert_true(scratch_equals("drop", "abc", 3));
}

static void creation_heeds_the_umask_and_the_read_only_attribute(void **state) {
    (void)state;
    struct stat facts;
    mode_t before = umask(027);
    must_close(must_open("masked", READ_WRITE, CREATE_NEW, 0));
    must_close(must_open("masked_read_only", READ_WRITE, CREATE_NEW, FILE_ATTRIBUTE_READONLY));
    scratch_file("emptied", 10, 0);
    must_close(must_open("emptied", READ_WRITE, CREATE_ALWAYS, FILE_ATTRIBUTE_READONLY));
    umask(before);
    assert_int_equal(stat("masked", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0640);
    assert_int_equal(stat("masked_read_only", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0440);
    assert_int_equal(stat("emptied", &facts), 0);
    assert_int_equal(facts.st_mode & 0222, 0);
}

/* ---- Writing through ---- */

/* The flags of the only descriptor that leads to the file. */
static int flags_of_descriptor(const char *name) {
    struct stat wanted;
    struct stat facts;
    assert_int_equal(stat(name, &wanted), 0);
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
        if (fstat(descriptor, &facts) == 0 && facts.st_dev == wanted.st_dev &&
            facts.st_ino == wanted.st_ino) {
            return fcntl(descriptor, F_GETFL);
        }
    }
    fail_msg("%s is not open", name);
    return -1;
}

static void writing_through_is_what_the_kernel_is_asked_for(void **state) {
    (void)state;
    HANDLE file = must_open("through", READ_WRITE, CREATE_NEW, FILE_FLAG_WRITE_THROUGH);
    assert_int_equal(flags_of_descriptor("through") & O_DSYNC, O_DSYNC);
    must_close(file);
    file = must_open("through", READ_WRITE, OPEN_EXISTING, 0);
    assert_int_equal(flags_of_descriptor("through") & O_DSYNC, 0);
    must_close(file);
}

/* ---- Growing ---- */

static DWORD grow_to(HANDLE handle, LONGLONG size) {
    LARGE_INTEGER end = {.QuadPart = size};
    if (!SetFilePointerEx(handle, end, NULL, FILE_BEGIN) || !SetEndOfFile(handle)) {
        return GetLastError();
    }
    return ERROR_SUCCESS;
}

static void growth_allocates_unless_the_file_is_sparse(void **state) {
    (void)state;
    struct stat facts;
    kmw_file *file;
    HANDLE handle = must_open("grown", READ_WRITE, CREATE_ALWAYS, 0);
    assert_int_equal(grow_to(handle, 1 << 20), ERROR_SUCCESS);
    assert_int_equal(stat("grown", &facts), 0);
    assert_true(facts.st_blocks * 512 >= 1 << 20);
    kmw_use use = kmw_file_use(handle, 0, &file);
    atomic_store(&file->sparse, true);
    kmw_use_end(use);
    assert_int_equal(grow_to(handle, 1 << 24), ERROR_SUCCESS);
    assert_int_equal(stat("grown", &facts), 0);
    assert_int_equal(facts.st_size, 1 << 24);
    assert_true(facts.st_blocks * 512 < 1 << 21);
    must_close(handle);
}

static int grow_past_own_limit(void) {
    const struct rlimit limit = {100000, 100000};
    CHILD_EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    HANDLE file = open_with("limited", READ_WRITE, CREATE_ALWAYS, 0);
    CHILD_EXPECT(file != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(grow_to(file, 100001) == ERROR_DISK_FULL);
    CHILD_EXPECT(GetFileSize(file, NULL) == 0);
    CHILD_EXPECT(grow_to(file, 100000) == ERROR_SUCCESS);
    return 0;
}

static void growth_past_the_process_limit_is_an_error_and_no_signal(void **state) {
    (void)state;
    assert_int_equal(in_child(grow_past_own_limit), 0);
}

/* In a file system of 1 MiB. 77: none can be mounted here. */
static int fill_the_disk(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir("small", 0700) != 0 || mount("none", "small", "tmpfs", 0, "size=1m") != 0) {
        return 77;
    }
    struct stat facts;
    static char bytes[1 << 20];
    DWORD done = 0;
    HANDLE file = open_with("small/file", READ_WRITE, CREATE_ALWAYS, 0);
    CHILD_EXPECT(file != INVALID_HANDLE_VALUE);
    CHILD_EXPECT(WriteFile(file, bytes, 5000, &done, NULL));
    CHILD_EXPECT(grow_to(file, 1 << 22) == ERROR_DISK_FULL);
    CHILD_EXPECT(GetFileSize(file, NULL) == 5000);
    CHILD_EXPECT(stat("small/file", &facts) == 0 && facts.st_blocks * 512 <= 8192);
    CHILD_EXPECT(grow_to(file, 1 << 19) == ERROR_SUCCESS);
    CHILD_EXPECT(!WriteFile(file, bytes, sizeof bytes, &done, NULL));
    CHILD_EXPECT(GetLastError() == ERROR_DISK_FULL);
    CHILD_EXPECT(done < sizeof bytes);
    CHILD_EXPECT(CloseHandle(file));
    return 0;
}

static void a_full_disk_is_told_and_nothing_kept(void **state) {
    (void)state;
    int result = in_child(fill_the_disk);
    if (result == 77) {
        skip();
    }
    assert_int_equal(result, 0);
}

enum { GROWERS = 4, STEPS = 50, STEP = 4096 };

static void *grow_in_steps(void *argument) {
    HANDLE handle = argument;
    for (int i = 1; i <= STEPS; ++i) {
        kmw_file *file;
        struct stat facts;
        kmw_use use = kmw_file_use(handle, FILE_WRITE_DATA, &file);
        DWORD error = fstat(file->descriptor, &facts) == 0
                          ? kmw_file_grow(file, facts.st_size, (off_t)i * STEP)
                          : ERROR_READ_FAULT;
        off_t reached = fstat(file->descriptor, &facts) == 0 ? facts.st_size : -1;
        kmw_use_end(use);
        if (error != ERROR_SUCCESS || reached < (off_t)i * STEP) {
            return argument;
        }
    }
    return NULL;
}

static void two_who_grow_a_file_do_not_cut_it(void **state) {
    (void)state;
    pthread_t threads[GROWERS];
    HANDLE handles[GROWERS];
    for (int i = 0; i < GROWERS; ++i) {
        kmw_file *file;
        handles[i] = must_open("raced", READ_WRITE, OPEN_ALWAYS, 0);
        kmw_use use = kmw_file_use(handles[i], 0, &file);
        atomic_store(&file->sparse, true);
        kmw_use_end(use);
    }
    for (int i = 0; i < GROWERS; ++i) {
        assert_int_equal(pthread_create(&threads[i], NULL, grow_in_steps, handles[i / 2]), 0);
    }
    for (int i = 0; i < GROWERS; ++i) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (int i = 0; i < GROWERS; ++i) {
        must_close(handles[i]);
    }
    assert_int_equal(scratch_size("raced"), STEPS * STEP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptor_is_passed_on_to_other_programs),
        cmocka_unit_test(what_fails_leaves_no_descriptor_open),
        cmocka_unit_test(an_adopted_descriptor_is_the_handles_own),
        cmocka_unit_test(a_descriptor_that_is_refused_stays_the_callers),
        cmocka_unit_test(a_fifo_does_not_make_opening_wait),
        cmocka_unit_test(a_device_is_read_and_written),
        cmocka_unit_test(a_path_with_a_slash_behind_a_file_is_no_path),
        cmocka_unit_test(a_link_is_followed_unless_asked_for),
        cmocka_unit_test(a_dangling_link_leads_to_what_is_made),
        cmocka_unit_test(a_circle_of_links_ends),
        cmocka_unit_test(delete_on_close_deletes_what_was_opened),
        cmocka_unit_test(delete_on_close_spares_what_took_the_place),
        cmocka_unit_test(delete_on_close_finds_the_file_from_elsewhere),
        cmocka_unit_test(delete_on_close_is_the_openers_business),
        cmocka_unit_test(writing_through_is_what_the_kernel_is_asked_for),
        cmocka_unit_test(permissions_are_kept),
        cmocka_unit_test(a_file_that_may_only_be_written_is_shared_by_the_same_rules),
        cmocka_unit_test(creation_heeds_the_umask_and_the_read_only_attribute),
        cmocka_unit_test(growth_allocates_unless_the_file_is_sparse),
        cmocka_unit_test(growth_past_the_process_limit_is_an_error_and_no_signal),
        cmocka_unit_test(a_full_disk_is_told_and_nothing_kept),
        cmocka_unit_test(two_who_grow_a_file_do_not_cut_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
