/*
 * test_named_hostile.c - what others may have put under an object's name, and other users.
 *
 * Wants a /dev/shm of its own, since other suites' sweeps would clear away what is planted here;
 * and to be root, to become somebody else. Where it may not, it skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "posix/named_object.h"
#include "posix/object_directory.h"
#include "support/private_shm.h"

/* Users that own nothing else. */
#define ALICE ((uid_t)61001)
#define BOB ((uid_t)61002)

static bool alone;

static int set_up(void **state) {
    (void)state;
    alone = geteuid() == 0 && private_shm_mount(NULL);
    kmw_sweep_interval_ms = UINT32_MAX; /* what is planted is to be found, not swept */
    return 0;
}

static void need_room(void) {
    if (!alone) {
        skip(); /* needs root and a mount namespace */
    }
}

static void name_it(const char *text, kmw_object_name *name, kmw_path *path) {
    assert_int_equal(kmw_object_name_from_utf8(text, name), ERROR_SUCCESS);
    assert_int_equal(kmw_object_path(name, true, path), ERROR_SUCCESS);
}

static DWORD try_open(const kmw_object_name *name) {
    kmw_named named;
    const DWORD error = kmw_named_open(name, KMW_SECTION, &named);
    kmw_named_close(&named);
    return error;
}

static DWORD try_create(const kmw_object_name *name) {
    kmw_named named;
    bool existed = false;
    const kmw_birth birth = {.kind = KMW_SECTION, .data_size = 4096, .exact_size = 4096};
    const DWORD error = kmw_named_create(name, &birth, &named, &existed);
    kmw_named_close(&named);
    return error;
}

/* The file of a living object, to be spoilt. */
static kmw_named make(const kmw_object_name *name, bool for_everybody) {
    kmw_named named;
    bool existed = true;
    const kmw_birth birth = {
        .kind = KMW_SECTION, .data_size = 4096, .exact_size = 4096, .for_everybody = for_everybody};
    assert_int_equal(kmw_named_create(name, &birth, &named, &existed), ERROR_SUCCESS);
    assert_false(existed);
    return named;
}

/* Runs `part` as another user; true if it said so. */
static bool as_user(uid_t user, bool (*part)(const kmw_object_name *name),
                    const kmw_object_name *name) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(setgid(user) == 0 && setuid(user) == 0 && part(name) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The same, but the part goes on until the child is killed; it is under way when this returns. */
static pid_t start_user(uid_t user, bool (*part)(const kmw_object_name *name),
                        const kmw_object_name *name) {
    int ready[2];
    char word = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        word = setgid(user) == 0 && setuid(user) == 0 && part(name) ? 1 : 0;
        if (write(ready[1], &word, 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &word, 1), 1);
    close(ready[0]);
    assert_int_equal(word, 1);
    return child;
}

static void end_user(pid_t child) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- What is no object ---- */

static void plant(const char *path, const void *bytes, size_t size) {
    const int descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, size), size);
    close(descriptor);
}

static void a_file_that_nobody_holds_is_cleared_away_whatever_is_in_it(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\planted", &name, &path);
    static const char *const contents[] = {"", "short", "KEEPMAP1 but no more"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; ++i) {
        plant(path.text, contents[i], strlen(contents[i]));
        assert_int_equal(try_open(&name), ERROR_FILE_NOT_FOUND);
        assert_int_equal(access(path.text, F_OK), -1);
        plant(path.text, contents[i], strlen(contents[i]));
        assert_int_equal(try_create(&name), ERROR_SUCCESS);
    }
}

/* Held, as its maker would hold it, so that only its contents can be what is wrong with it. */
static void check_refused(const kmw_object_name *name, const char *path, const char *what) {
    const int holder = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(holder >= 0);
    assert_int_equal(flock(holder, LOCK_SH), 0);
    const DWORD opened = try_open(name);
    const DWORD created = try_create(name);
    close(holder);
    if (opened != ERROR_INVALID_DATA || created != ERROR_INVALID_DATA) {
        fail_msg("%s: opening said %u, creating %u", what, (unsigned)opened, (unsigned)created);
    }
    assert_int_equal(unlink(path), 0);
}

static void a_held_file_that_is_no_object_is_refused(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\held garbage", &name, &path);
    plant(path.text, "", 0);
    check_refused(&name, path.text, "an empty file");
    plant(path.text, "short", 5);
    check_refused(&name, path.text, "a short file");
    char *page = calloc(1, 65536);
    assert_non_null(page);
    plant(path.text, page, 65536);
    check_refused(&name, path.text, "a file of zeros");
    memset(page, 0xFF, 65536);
    plant(path.text, page, 65536);
    check_refused(&name, path.text, "a file of ones");
    free(page);
}

static void an_object_with_a_spoilt_header_is_refused(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\spoilt", &name, &path);
#define FIELD(field, value)                                                                        \
    { #field, offsetof(kmw_object_header, field), sizeof(((kmw_object_header *)0)->field), value }
    static const struct {
        const char *name;
        size_t offset;
        size_t size;
        uint64_t value;
    } fields[] = {
        FIELD(magic, 0),
        FIELD(layout, 0),
        FIELD(kind, 0),
        FIELD(kind, 1),
        FIELD(kind, 6),
        FIELD(kind, UINT32_MAX),
        FIELD(name_length, 0),
        FIELD(name_length, 5),
        FIELD(name_length, UINT32_MAX),
        FIELD(extra_length, UINT32_MAX),
        FIELD(data_offset, 0),
        FIELD(data_offset, 512),
        FIELD(data_offset, 8192),
        FIELD(data_offset, UINT64_MAX - 4095),
        FIELD(data_size, 0),
        FIELD(data_size, UINT64_MAX),
        FIELD(data_size, (uint64_t)1 << 62),
    };
#undef FIELD
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; ++i) {
        kmw_named named = make(&name, false);
        assert_int_equal(
            pwrite(named.descriptor, &fields[i].value, fields[i].size, (off_t)fields[i].offset),
            fields[i].size);
        check_refused(&name, path.text, fields[i].name);
        kmw_named_close(&named);
    }
    kmw_named named = make(&name, false);
    assert_int_equal(pwrite(named.descriptor, "x", 1, (off_t)KMW_NAME_OFFSET), 1);
    check_refused(&name, path.text, "another name");
    kmw_named_close(&named);
    named = make(&name, false);
    assert_int_equal(ftruncate(named.descriptor, 4096), 0);
    check_refused(&name, path.text, "a file cut short");
    kmw_named_close(&named);
}

static void a_second_name_for_the_file_changes_nothing(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\two names", &name, &path);
    kmw_path second = path;
    const size_t length = strlen(path.text);
    (void)snprintf(second.text + length, sizeof second.text - length, ".second");
    kmw_named named = make(&name, false);
    assert_int_equal(link(path.text, second.text), 0);
    assert_int_equal(try_open(&name), ERROR_SUCCESS);
    kmw_named_close(&named);
    assert_int_equal(try_open(&name), ERROR_FILE_NOT_FOUND);
    assert_int_equal(unlink(second.text), 0);
}

/* Closed by whoever opens the file to ask, or `through` a description that is open already. */
static void move_away_and_close(bool through) {
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\moved", &name, &path);
    kmw_path elsewhere = path;
    const size_t length = strlen(path.text);
    (void)snprintf(elsewhere.text + length, sizeof elsewhere.text - length, ".elsewhere");
    kmw_named first = make(&name, false);
    const int asker = through ? kmw_named_reopen(&first) : -1;
    assert_int_equal(asker >= 0, through);
    assert_int_equal(rename(path.text, elsewhere.text), 0);
    kmw_named second = make(&name, false);
    kmw_named_close_through(&first, asker);
    if (through) {
        close(asker);
    }
    assert_int_equal(try_open(&name), ERROR_SUCCESS);
    kmw_named_close(&second);
    assert_int_equal(unlink(elsewhere.text), 0);
}

static void an_object_that_was_moved_away_takes_nobody_s_name(void **state) {
    (void)state;
    move_away_and_close(false);
    move_away_and_close(true);
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\special", &name, &path);

    plant("/dev/shm/elsewhere", "treasure", 8);
    assert_int_equal(symlink("/dev/shm/elsewhere", path.text), 0);
    assert_int_equal(try_open(&name), ERROR_INVALID_DATA);
    assert_int_equal(try_create(&name), ERROR_INVALID_DATA);
    assert_int_equal(unlink(path.text), 0);
    assert_int_equal(symlink("/nowhere", path.text), 0);
    assert_int_equal(try_open(&name), ERROR_INVALID_DATA);
    assert_int_equal(try_create(&name), ERROR_INVALID_DATA);
    assert_int_equal(unlink(path.text), 0);
    assert_int_equal(access("/dev/shm/elsewhere", F_OK), 0);
    assert_int_equal(unlink("/dev/shm/elsewhere"), 0);

    assert_int_equal(mkfifo(path.text, 0666), 0);
    assert_int_equal(try_open(&name), ERROR_INVALID_DATA);
    assert_int_equal(try_create(&name), ERROR_INVALID_DATA);
    assert_int_equal(unlink(path.text), 0);

    assert_int_equal(mkdir(path.text, 0777), 0);
    assert_int_equal(try_open(&name), ERROR_INVALID_DATA);
    assert_int_equal(try_create(&name), ERROR_INVALID_DATA);
    assert_int_equal(rmdir(path.text), 0);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(path.text) < sizeof address.sun_path);
    memcpy(address.sun_path, path.text, strlen(path.text) + 1);
    assert_int_equal(bind(server, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(try_open(&name), ERROR_INVALID_DATA);
    assert_int_equal(try_create(&name), ERROR_INVALID_DATA);
    close(server);
    assert_int_equal(unlink(path.text), 0);
}

static void a_user_s_directory_that_others_may_enter_is_refused(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("mine", &name, &path);
    kmw_path directory;
    assert_int_equal(kmw_object_directory_path(false, &directory), ERROR_SUCCESS);
    assert_int_equal(chmod(directory.text, 0750), 0);
    assert_int_equal(try_create(&name), ERROR_ACCESS_DENIED);
    assert_int_equal(try_open(&name), ERROR_ACCESS_DENIED);
    assert_int_equal(chmod(directory.text, 0700), 0);
    assert_int_equal(chown(directory.text, ALICE, ALICE), 0);
    assert_int_equal(try_create(&name), ERROR_ACCESS_DENIED);
    assert_int_equal(rmdir(directory.text), 0);
    assert_int_equal(symlink("/tmp", directory.text), 0);
    assert_int_equal(try_create(&name), ERROR_ACCESS_DENIED);
    assert_int_equal(unlink(directory.text), 0);
    assert_int_equal(try_create(&name), ERROR_SUCCESS);
}

/* ---- Two users ---- */

static bool hold_for_everybody(const kmw_object_name *name) {
    static kmw_named named;
    bool existed = true;
    const kmw_birth birth = {.kind = KMW_SECTION, .data_size = 4096, .for_everybody = true};
    return kmw_named_create(name, &birth, &named, &existed) == ERROR_SUCCESS && !existed;
}

static bool hold_for_oneself(const kmw_object_name *name) {
    static kmw_named named;
    bool existed = true;
    const kmw_birth birth = {.kind = KMW_SECTION, .data_size = 4096};
    return kmw_named_create(name, &birth, &named, &existed) == ERROR_SUCCESS && !existed;
}

static bool finds_it(const kmw_object_name *name) {
    return try_open(name) == ERROR_SUCCESS;
}

static bool is_denied(const kmw_object_name *name) {
    return try_open(name) == ERROR_ACCESS_DENIED && try_create(name) == ERROR_ACCESS_DENIED;
}

static bool finds_none_and_may_not_make_it(const kmw_object_name *name) {
    return try_open(name) == ERROR_FILE_NOT_FOUND && try_create(name) == ERROR_ACCESS_DENIED;
}

static bool makes_it(const kmw_object_name *name) {
    return try_create(name) == ERROR_SUCCESS;
}

static void a_living_object_is_its_owner_s_unless_made_for_everybody(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\whose", &name, &path);
    pid_t alice = start_user(ALICE, hold_for_oneself, &name);
    assert_true(as_user(BOB, is_denied, &name));
    assert_true(as_user(ALICE, finds_it, &name));
    end_user(alice);
    assert_true(as_user(ALICE, makes_it, &name)); /* clears away what she left */
    alice = start_user(ALICE, hold_for_everybody, &name);
    assert_true(as_user(BOB, finds_it, &name));
    end_user(alice);
    assert_int_equal(try_open(&name), ERROR_FILE_NOT_FOUND); /* root clears away the rest */
    assert_int_equal(access(path.text, F_OK), -1);
}

static void another_user_s_orphan_is_absent_and_in_the_way(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\orphan", &name, &path);
    end_user(start_user(ALICE, hold_for_everybody, &name));
    assert_int_equal(access(path.text, F_OK), 0);
    assert_true(as_user(BOB, finds_none_and_may_not_make_it, &name));
    assert_int_equal(access(path.text, F_OK), 0);
    assert_true(as_user(ALICE, makes_it, &name));
    assert_int_equal(access(path.text, F_OK), -1);
}

static void another_user_s_private_orphan_cannot_be_told_from_a_living_object(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\private orphan", &name, &path);
    end_user(start_user(ALICE, hold_for_oneself, &name));
    assert_true(as_user(BOB, is_denied, &name));
    assert_true(as_user(ALICE, makes_it, &name));
}

static bool sits_on_it(const kmw_object_name *name) {
    kmw_path path;
    if (kmw_object_path(name, false, &path) != ERROR_SUCCESS) {
        return false;
    }
    const int descriptor = open(path.text, O_RDONLY | O_CLOEXEC);
    return descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0;
}

static bool cannot_lock_it(const kmw_object_name *name) {
    return !sits_on_it(name) && errno == EWOULDBLOCK;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_reader_who_sits_on_an_exclusive_lock_makes_nobody_wait_for_long(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_path path;
    need_room();
    name_it("Global\\sat on", &name, &path);
    kmw_named named = make(&name, true);
    assert_true(as_user(BOB, cannot_lock_it, &name)); /* not while it lives */
    close(named.descriptor);                          /* as if its holder had been killed */
    const pid_t bob = start_user(BOB, sits_on_it, &name);
    const double start = seconds();
    assert_int_equal(try_open(&name), ERROR_FILE_NOT_FOUND);
    assert_int_equal(try_create(&name), ERROR_ACCESS_DENIED);
    assert_true(seconds() - start < 30); /* it is 2, but a machine may be busy */
    end_user(bob);
    assert_int_equal(try_create(&name), ERROR_SUCCESS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_nobody_holds_is_cleared_away_whatever_is_in_it),
        cmocka_unit_test(a_held_file_that_is_no_object_is_refused),
        cmocka_unit_test(an_object_with_a_spoilt_header_is_refused),
        cmocka_unit_test(a_second_name_for_the_file_changes_nothing),
        cmocka_unit_test(an_object_that_was_moved_away_takes_nobody_s_name),
        cmocka_unit_test(what_is_no_regular_file_is_refused_without_waiting),
        cmocka_unit_test(a_user_s_directory_that_others_may_enter_is_refused),
        cmocka_unit_test(a_living_object_is_its_owner_s_unless_made_for_everybody),
        cmocka_unit_test(another_user_s_orphan_is_absent_and_in_the_way),
        cmocka_unit_test(another_user_s_private_orphan_cannot_be_told_from_a_living_object),
        cmocka_unit_test(a_reader_who_sits_on_an_exclusive_lock_makes_nobody_wait_for_long),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
