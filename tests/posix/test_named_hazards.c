/*
 * test_named_hazards.c - what named objects must withstand from their own program: forks in the
 * middle of a call, limits on files, changes of user; and from records that others have written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix/named_object.h"
#include "posix/object_directory.h"
#include "posix/section.h"
#include "support/private_shm.h"
#include "support/scratch.h"

static bool alone;

static int set_up(void **state) {
    (void)state;
    alone = geteuid() == 0 && private_shm_mount(NULL);
    return 0;
}

static void need_room(void) {
    if (!alone) {
        skip(); /* needs root and a mount namespace */
    }
}

static size_t descriptors(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* ---- Forks ---- */

static atomic_bool enough;
static atomic_uint made;

static void *make_and_let_go(void *name) {
    while (!atomic_load(&enough)) {
        CloseHandle(CreateEventA(NULL, FALSE, FALSE, name));
        atomic_fetch_add(&made, 1);
    }
    return NULL;
}

/* Closes whatever handle the parent may have had open, and waits. */
static void close_all_and_wait(int go) {
    char word;
    for (uintptr_t slot = 1; slot < 4096; ++slot) {
        for (uintptr_t generation = 0; generation < 512; ++generation) {
            CloseHandle((HANDLE)((generation << 20 | slot) << 2));
        }
    }
    _exit(read(go, &word, 1) == 0 ? 0 : 1);
}

static void a_fork_in_the_middle_of_another_thread_s_call_leaves_the_child_no_name(void **state) {
    (void)state;
    enum { ROUNDS = 40 };
    char name[64];
    unsigned kept = 0;
    (void)snprintf(name, sizeof name, "fork hazard %ld", (long)getpid());
    for (int round = 0; round < ROUNDS; ++round) {
        pthread_t thread;
        int go[2];
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        atomic_store(&enough, false);
        atomic_store(&made, 0);
        assert_int_equal(pthread_create(&thread, NULL, make_and_let_go, name), 0);
        while (atomic_load(&made) < 20 + (unsigned)round) {
            sched_yield(); /* under way */
        }
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(go[1]);
            close_all_and_wait(go[0]);
        }
        atomic_store(&enough, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        /* The child says nothing when it has closed all; it holds the name until then at most. */
        HANDLE left = NULL;
        for (int wait = 0; wait < 2000; ++wait) {
            left = OpenEventA(SYNCHRONIZE, FALSE, name);
            if (left == NULL) {
                break;
            }
            CloseHandle(left);
            Sleep(1);
        }
        kept += left != NULL;
        close(go[0]);
        close(go[1]);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    assert_int_equal(kept, 0);
}

static HANDLE used;
static unsigned child_says;

static void fork_in_a_handler(int signal) {
    (void)signal;
    const pid_t child = fork();
    if (child > 0) {
        int status = 0;
        (void)waitpid(child, &status, 0);
        child_says = WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 99;
    } else if (child == 0) {
        alarm(0);
        (void)SetEvent(used); /* so that the wait that was interrupted goes on here too */
    }
}

static void a_handle_used_while_a_handler_forks_is_whole_in_the_child(void **state) {
    (void)state;
    const pid_t parent = getpid();
    struct sigaction action = {.sa_handler = fork_in_a_handler};
    used = CreateEventA(NULL, TRUE, FALSE, NULL);
    assert_non_null(used);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    child_says = 77;
    alarm(1);
    const DWORD waited = WaitForSingleObject(used, 20000);
    if (getpid() != parent) {
        _exit(waited == WAIT_OBJECT_0 && WaitForSingleObject(used, 0) == WAIT_OBJECT_0 &&
                      CloseHandle(used)
                  ? 0
                  : 1);
    }
    assert_int_equal(waited, WAIT_OBJECT_0);
    assert_int_equal(child_says, 0);
    CloseHandle(used);
    assert_true(signal(SIGALRM, SIG_DFL) != SIG_ERR);
}

/* ---- Limits ---- */

static int make_things_under_a_limit(void) {
    const struct rlimit nothing = {0, 0};
    if (setrlimit(RLIMIT_FSIZE, &nothing) != 0) {
        return 2;
    }
    if (CreateEventA(NULL, FALSE, FALSE, "no room for an event") != NULL ||
        GetLastError() != ERROR_COMMITMENT_LIMIT) {
        return 3;
    }
    if (CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, "nor a section") !=
            NULL ||
        GetLastError() != ERROR_COMMITMENT_LIMIT) {
        return 4;
    }
    if (CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, 1 << 20,
                           "nor a reserved one") != NULL ||
        GetLastError() != ERROR_COMMITMENT_LIMIT) {
        return 5;
    }
    return 0;
}

static void a_limit_on_file_sizes_is_an_error_and_no_signal(void **state) {
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(make_things_under_a_limit());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_program_that_acts_for_several_users_needs_no_more_descriptors(void **state) {
    (void)state;
    need_room();
    size_t settled = 0;
    for (int round = 0; round < 50; ++round) {
        assert_int_equal(seteuid(round % 2 == 0 ? 61001 : 0), 0);
        HANDLE event = CreateEventA(NULL, FALSE, FALSE, "whose");
        assert_non_null(event);
        CloseHandle(event);
        settled = round == 1 ? descriptors() : settled;
    }
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(descriptors(), settled);
}

static void a_section_that_cannot_be_marked_leaves_the_file_s_handle_alone(void **state) {
    (void)state;
    scratch_file("barred", 5000, 1);
    struct flock bar = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)1 << 62, .l_len = 1};
    char bytes[10];
    DWORD got = 0;
    HANDLE file = CreateFileA("barred", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    const int other = open("barred", O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(other, F_OFD_SETLK, &bar), 0);
    assert_null(CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL));
    assert_int_equal(GetLastError(), ERROR_SHARING_VIOLATION);
    assert_true(ReadFile(file, bytes, sizeof bytes, &got, NULL));
    assert_int_equal(got, sizeof bytes);
    close(other);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    assert_non_null(section);
    CloseHandle(section);
    assert_true(CloseHandle(file));
}

/* ---- What others have written ---- */

/* A held object of the name `text` whose record says this. */
static kmw_named with_record(const char *text, const void *record, size_t length) {
    kmw_named named;
    kmw_object_name name;
    bool existed = true;
    const kmw_birth birth = {.kind = KMW_SECTION,
                             .flags = PAGE_READWRITE,
                             .exact_size = 4096,
                             .extra = record,
                             .extra_length = length};
    assert_int_equal(kmw_object_name_from_utf8(text, &name), ERROR_SUCCESS);
    assert_int_equal(kmw_named_create(&name, &birth, &named, &existed), ERROR_SUCCESS);
    assert_false(existed);
    return named;
}

static void check_record(const char *path, size_t path_length, DWORD error) {
    char bytes[sizeof(kmw_file_record) + 256];
    struct stat facts;
    memset(&facts, 0, sizeof facts);
    (void)stat(path, &facts);
    const kmw_file_record record = {facts.st_dev, facts.st_ino, (uint32_t)path_length, 0};
    memcpy(bytes, &record, sizeof record);
    memcpy(bytes + sizeof record, path, path_length);
    kmw_named named = with_record("hostile record", bytes, sizeof record + path_length);
    assert_null(OpenFileMappingA(FILE_MAP_READ, FALSE, "hostile record"));
    assert_int_equal(GetLastError(), error);
    kmw_named_close(&named);
}

static void a_record_that_leads_to_no_regular_file_is_not_followed(void **state) {
    (void)state;
    check_record("/dev/null", sizeof "/dev/null", ERROR_FILE_NOT_FOUND);
    check_record("/tmp", sizeof "/tmp", ERROR_FILE_NOT_FOUND);
    check_record("/nowhere/at/all", sizeof "/nowhere/at/all", ERROR_FILE_NOT_FOUND);
    check_record("/proc/self/exe", sizeof "/proc/self/exe", ERROR_FILE_NOT_FOUND); /* a link */
    check_record("relative", sizeof "relative", ERROR_FILE_NOT_FOUND);
    check_record("/dev/null", 0, ERROR_INVALID_DATA);
    check_record("/dev/null", 4, ERROR_INVALID_DATA); /* without its end */
}

static bool count_it(const kmw_listed *object, void *arg) {
    *(unsigned *)arg += strcmp(object->name, "listed once") == 0;
    return true;
}

static void only_a_file_that_its_name_leads_to_is_listed(void **state) {
    (void)state;
    need_room();
    kmw_path path;
    kmw_path copy;
    kmw_object_name name;
    unsigned seen = 0;
    char page[8192];
    kmw_named named = with_record("Global\\listed once", "x", 1);
    assert_int_equal(kmw_object_name_from_utf8("Global\\listed once", &name), ERROR_SUCCESS);
    assert_int_equal(kmw_object_path(&name, false, &path), ERROR_SUCCESS);
    copy = path;
    char *last = copy.text + strlen(copy.text) - 1;
    *last = *last == '0' ? '1' : '0';
    const ssize_t length = pread(named.descriptor, page, sizeof page, 0);
    const int spoof = open(copy.text, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    assert_true(length > 0 && spoof >= 0);
    assert_int_equal(write(spoof, page, (size_t)length), length);
    assert_int_equal(flock(spoof, LOCK_SH), 0);
    assert_int_equal(kmw_named_list(count_it, &seen), ERROR_SUCCESS);
    assert_int_equal(seen, 1);
    close(spoof);
    kmw_named_close(&named);
}

static void a_name_longer_than_any_is_not_read(void **state) {
    (void)state;
    need_room();
    unsigned seen = 0;
    kmw_named named = with_record("Global\\huge", "x", 1);
    named.header.name_length = 0x7FFF0000;
    named.header.data_offset = 0x80000000;
    assert_int_equal(pwrite(named.descriptor, &named.header, sizeof named.header, 0),
                     sizeof named.header);
    assert_int_equal(ftruncate(named.descriptor, 0x80000000), 0);
    struct rusage before;
    struct rusage after;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    assert_int_equal(kmw_named_list(count_it, &seen), ERROR_SUCCESS);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 1 << 20); /* in KiB: less than 1 GiB */
    assert_null(OpenFileMappingA(FILE_MAP_READ, FALSE, "Global\\huge"));
    assert_int_equal(GetLastError(), ERROR_INVALID_DATA);
    kmw_named_close(&named);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_in_the_middle_of_another_thread_s_call_leaves_the_child_no_name),
        cmocka_unit_test(a_handle_used_while_a_handler_forks_is_whole_in_the_child),
        cmocka_unit_test(a_limit_on_file_sizes_is_an_error_and_no_signal),
        cmocka_unit_test(a_program_that_acts_for_several_users_needs_no_more_descriptors),
        cmocka_unit_test(a_section_that_cannot_be_marked_leaves_the_file_s_handle_alone),
        cmocka_unit_test(a_record_that_leads_to_no_regular_file_is_not_followed),
        cmocka_unit_test(only_a_file_that_its_name_leads_to_is_listed),
        cmocka_unit_test(a_name_longer_than_any_is_not_read),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
