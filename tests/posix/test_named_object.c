/*
 * test_named_object.c - the life of a name: born whole, kept by locks, gone with the last holder.
 *
 * In a /dev/shm of the suite's own where that may be had; else among other programs' objects, whose
 * sweeps may clear an orphan away before the test does.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix/named_object.h"
#include "posix/object_directory.h"
#include "support/private_shm.h"

static bool alone; /* a /dev/shm of our own */

static int set_up(void **state) {
    (void)state;
    alone = private_shm_mount(NULL);
    kmw_sweep_interval_ms = 0;
    return 0;
}

static void name_it(const char *text, kmw_object_name *name) {
    char unique[128];
    (void)snprintf(unique, sizeof unique, "%s %ld", text, (long)getpid());
    assert_int_equal(kmw_object_name_from_utf8(unique, name), ERROR_SUCCESS);
}

static kmw_named create(const kmw_object_name *name, bool expect_existing) {
    kmw_named named;
    bool existed = !expect_existing;
    const kmw_birth birth = {.kind = KMW_EVENT};
    assert_int_equal(kmw_named_create(name, &birth, &named, &existed), ERROR_SUCCESS);
    assert_int_equal(existed, expect_existing);
    return named;
}

static DWORD open_error(const kmw_object_name *name, kmw_kind kind) {
    kmw_named named;
    const DWORD error = kmw_named_open(name, kind, &named);
    if (error == ERROR_SUCCESS) {
        kmw_named_close(&named);
    } else {
        assert_int_equal(named.descriptor, -1);
    }
    return error;
}

static bool file_exists(const kmw_object_name *name) {
    kmw_path path;
    struct stat facts;
    assert_int_equal(kmw_object_path(name, true, &path), ERROR_SUCCESS);
    return lstat(path.text, &facts) == 0;
}

static void a_name_lives_until_its_last_holder_lets_go(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("last holder", &name);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
    kmw_named first = create(&name, false);
    kmw_named second = create(&name, true);
    kmw_named third;
    assert_int_equal(kmw_named_open(&name, KMW_EVENT, &third), ERROR_SUCCESS);
    kmw_named_close(&first);
    kmw_named_close(&third);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_SUCCESS);
    kmw_named_close(&second);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
    assert_false(file_exists(&name));
}

static void closing_what_has_no_name_does_nothing(void **state) {
    (void)state;
    kmw_named none = {.descriptor = -1};
    SetLastError(77);
    kmw_named_close(&none);
    assert_int_equal(GetLastError(), 77);
}

static void closing_keeps_the_last_error(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("last error", &name);
    kmw_named named = create(&name, false);
    SetLastError(77);
    kmw_named_close(&named);
    assert_int_equal(GetLastError(), 77);
}

static void a_name_of_another_kind_is_an_invalid_handle(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("kinds", &name);
    kmw_named event = create(&name, false);
    kmw_named other;
    bool existed;
    const kmw_birth mutex = {.kind = KMW_MUTEX};
    assert_int_equal(open_error(&name, KMW_SECTION), ERROR_INVALID_HANDLE);
    assert_int_equal(kmw_named_create(&name, &mutex, &other, &existed), ERROR_INVALID_HANDLE);
    kmw_named_close(&event);
    assert_int_equal(kmw_named_create(&name, &mutex, &other, &existed), ERROR_SUCCESS);
    assert_false(existed);
    kmw_named_close(&other);
}

static void the_header_tells_what_was_made(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_named made;
    kmw_named found;
    bool existed;
    char extra[6];
    name_it("header", &name);
    const kmw_birth birth = {.kind = KMW_SECTION,
                             .flags = 4,
                             .data_size = 8192,
                             .exact_size = 5000,
                             .extra = "extra",
                             .extra_length = 6};
    assert_int_equal(kmw_named_create(&name, &birth, &made, &existed), ERROR_SUCCESS);
    assert_int_equal(kmw_named_open(&name, KMW_SECTION, &found), ERROR_SUCCESS);
    assert_int_equal(found.header.flags, 4);
    assert_int_equal(found.header.data_size, 8192);
    assert_int_equal(found.header.exact_size, 5000);
    assert_int_equal(found.header.creator, getpid());
    assert_int_equal(found.header.data_offset % (uint64_t)sysconf(_SC_PAGESIZE), 0);
    assert_int_equal(kmw_named_read_extra(&found, extra, sizeof extra), ERROR_SUCCESS);
    assert_string_equal(extra, "extra");
    assert_int_equal(kmw_named_read_extra(&found, extra, 7), ERROR_INVALID_DATA);
    kmw_named_close(&made);
    kmw_named_close(&found);
}

static DWORD refuse(kmw_named *draft, void *arg) {
    struct stat facts;
    const kmw_object_name *name = arg;
    assert_int_equal(fstat(draft->descriptor, &facts), 0);
    assert_false(file_exists(name)); /* nobody sees it before it is complete */
    return ERROR_COMMITMENT_LIMIT;
}

static void an_object_that_cannot_be_completed_is_never_seen(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_named named;
    bool existed;
    name_it("incomplete", &name);
    const size_t before = private_shm_files();
    const kmw_birth birth = {
        .kind = KMW_SECTION, .data_size = 4096, .prepare = refuse, .arg = &name};
    assert_int_equal(kmw_named_create(&name, &birth, &named, &existed), ERROR_COMMITMENT_LIMIT);
    assert_int_equal(named.descriptor, -1);
    assert_int_equal(open_error(&name, KMW_SECTION), ERROR_FILE_NOT_FOUND);
    if (alone) {
        assert_int_equal(private_shm_files(), before);
    }
}

static DWORD make_small(const kmw_object_name *name, kmw_kind kind,
                        DWORD (*prepare)(kmw_named *draft, void *arg), kmw_named *named,
                        bool *existed) {
    const kmw_birth birth = {.kind = kind,
                             .data_size = 4096,
                             .exact_size = 4096,
                             .data = KMW_DATA_WRITTEN,
                             .prepare = prepare,
                             .arg = (void *)name};
    return kmw_named_create(name, &birth, named, existed);
}

/* From then on a name is expected to be free. */
static void make_many(void) {
    kmw_object_name name;
    name_it("one of many", &name);
    for (int i = 0; i < 40; ++i) {
        kmw_named named;
        bool existed = true;
        assert_int_equal(make_small(&name, KMW_SECTION, NULL, &named, &existed), ERROR_SUCCESS);
        assert_false(existed);
        kmw_named_close(&named);
        assert_false(file_exists(&name));
    }
}

static void who_has_made_many_finds_what_is_there_all_the_same(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_named first;
    kmw_named second;
    bool existed = true;
    name_it("taken", &name);
    const size_t before = private_shm_files();
    make_many();
    assert_int_equal(make_small(&name, KMW_SECTION, NULL, &first, &existed), ERROR_SUCCESS);
    assert_false(existed);
    assert_int_equal(make_small(&name, KMW_SECTION, NULL, &second, &existed), ERROR_SUCCESS);
    assert_true(existed);
    assert_int_equal(second.inode, first.inode);
    kmw_named_close(&second);
    make_many();
    assert_int_equal(make_small(&name, KMW_EVENT, NULL, &second, &existed), ERROR_INVALID_HANDLE);
    kmw_named_close(&first);
    assert_int_equal(open_error(&name, KMW_SECTION), ERROR_FILE_NOT_FOUND);
    if (alone) {
        assert_int_equal(private_shm_files(), before);
    }
}

static DWORD refuse_anything(kmw_named *draft, void *arg) {
    (void)draft;
    (void)arg;
    return ERROR_COMMITMENT_LIMIT;
}

static void a_name_that_is_taken_matters_more_than_what_is_wrong(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_named first;
    kmw_named second;
    bool existed = true;
    name_it("matters more", &name);
    make_many();
    assert_int_equal(make_small(&name, KMW_SECTION, refuse, &first, &existed),
                     ERROR_COMMITMENT_LIMIT);
    assert_int_equal(open_error(&name, KMW_SECTION), ERROR_FILE_NOT_FOUND);
    assert_int_equal(make_small(&name, KMW_SECTION, NULL, &first, &existed), ERROR_SUCCESS);
    make_many();
    assert_int_equal(make_small(&name, KMW_SECTION, refuse_anything, &second, &existed),
                     ERROR_SUCCESS);
    assert_true(existed);
    kmw_named_close(&first);
    kmw_named_close(&second);
}

static void a_forked_child_s_objects_are_its_own(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("creator", &name);
    kmw_named named = create(&name, false);
    kmw_named_close(&named);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        named = create(&name, false);
        _exit(named.header.creator == getpid() ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_mapping_keeps_the_memory_but_not_the_name(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("mapping", &name);
    kmw_named named = create(&name, false);
    const int descriptor = kmw_named_reopen(&named);
    assert_true(descriptor >= 0);
    assert_true((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    close(descriptor);
    kmw_named_close(&named);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
    page[KMW_STATE_OFFSET] = 42;
    kmw_named again = create(&name, false);
    const int other = kmw_named_reopen(&again);
    char *new_page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, 0);
    assert_ptr_not_equal(new_page, MAP_FAILED);
    close(other);
    assert_int_equal(new_page[KMW_STATE_OFFSET], 0); /* new and empty */
    kmw_named_close(&again);
    munmap(page, 4096);
    munmap(new_page, 4096);
}

static void an_object_whose_file_was_removed_by_hand_can_still_be_mapped(void **state) {
    (void)state;
    kmw_path path;
    struct stat facts;
    kmw_object_name name;
    name_it("by hand", &name);
    kmw_named named = create(&name, false);
    assert_int_equal(kmw_object_path(&name, false, &path), ERROR_SUCCESS);
    assert_int_equal(unlink(path.text), 0);
    kmw_named another = create(&name, false);
    const int descriptor = kmw_named_reopen(&named);
    assert_int_equal(fstat(descriptor, &facts), 0);
    assert_int_equal(facts.st_ino, named.inode);
    close(descriptor);
    kmw_named_close(&named); /* leaves the other's name alone */
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_SUCCESS);
    kmw_named_close(&another);
}

static void a_forked_child_keeps_the_name(void **state) {
    (void)state;
    int go[2];
    kmw_object_name name;
    name_it("fork", &name);
    kmw_named named = create(&name, false);
    assert_int_equal(pipe(go), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char word;
        close(go[1]);
        _exit(read(go[0], &word, 1) == 0 ? 0 : 1);
    }
    close(go[0]);
    kmw_named_close(&named);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_SUCCESS);
    close(go[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
}

static void a_child_that_closes_leaves_the_name_to_its_parent(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("fork and close", &name);
    kmw_named named = create(&name, false);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kmw_named_close(&named);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_SUCCESS);
    kmw_named_close(&named);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
}

static void an_exec_lets_go(void **state) {
    (void)state;
    int started[2];
    kmw_object_name name;
    name_it("exec", &name);
    assert_int_equal(pipe2(started, O_CLOEXEC), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const kmw_named named = create(&name, false);
        if (named.descriptor >= 0) {
            (void)execlp("sleep", "sleep", "60", (char *)NULL);
        }
        _exit(1);
    }
    char word;
    close(started[1]);
    assert_int_equal(read(started[0], &word, 1), 0); /* closed by the exec */
    close(started[0]);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A child that holds the name until it is killed. */
static pid_t holder(const kmw_object_name *name) {
    int ready[2];
    char word = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const kmw_named named = create(name, false);
        word = named.descriptor >= 0 ? 1 : 0;
        if (write(ready[1], &word, 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &word, 1), 1);
    close(ready[0]);
    return child;
}

static void kill_it(pid_t child) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_killed_holder_s_name_is_gone_for_the_next_who_opens_it(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("killed, opened", &name);
    const pid_t child = holder(&name);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_SUCCESS);
    kill_it(child);
    assert_int_equal(open_error(&name, KMW_EVENT), ERROR_FILE_NOT_FOUND);
    assert_false(file_exists(&name));
}

static void a_killed_holder_s_name_is_made_anew_by_the_next_who_creates_it(void **state) {
    (void)state;
    kmw_object_name name;
    name_it("killed, created", &name);
    kill_it(holder(&name));
    kmw_named named = create(&name, false);
    kmw_named_close(&named);
}

static void whatever_is_created_next_clears_away_what_a_killed_process_left(void **state) {
    (void)state;
    kmw_object_name dead;
    kmw_object_name global;
    kmw_object_name other;
    char text[64];
    name_it("swept", &dead);
    (void)snprintf(text, sizeof text, "Global\\swept %ld", (long)getpid());
    assert_int_equal(kmw_object_name_from_utf8(text, &global), ERROR_SUCCESS);
    name_it("sweeper", &other);
    kill_it(holder(&dead));
    kill_it(holder(&global));
    kmw_named named = create(&other, false);
    assert_false(file_exists(&dead));
    assert_false(file_exists(&global));
    kmw_named_close(&named);
    if (alone) {
        assert_int_equal(private_shm_files(), 0);
    }
}

typedef struct listing {
    const char *name;
    unsigned seen;
    bool global;
    kmw_object_header header;
} listing;

static bool note(const kmw_listed *object, void *arg) {
    listing *wanted = arg;
    if (strcmp(object->name, wanted->name) == 0) {
        wanted->seen++;
        wanted->global = object->global;
        wanted->header = *object->header;
    }
    return true;
}

static bool stop(const kmw_listed *object, void *arg) {
    (void)object;
    ++*(unsigned *)arg;
    return false;
}

static void listing_shows_the_living_and_clears_away_the_dead(void **state) {
    (void)state;
    kmw_object_name dead;
    kmw_object_name alive;
    name_it("listed, dead", &dead);
    name_it("listed, alive", &alive);
    kill_it(holder(&dead));
    kmw_named named = create(&alive, false);
    listing wanted = {.name = alive.text};
    listing unwanted = {.name = dead.text};
    assert_int_equal(kmw_named_list(note, &unwanted), ERROR_SUCCESS);
    assert_int_equal(unwanted.seen, 0);
    assert_false(file_exists(&dead));
    assert_int_equal(kmw_named_list(note, &wanted), ERROR_SUCCESS);
    assert_int_equal(wanted.seen, 1);
    assert_false(wanted.global);
    assert_int_equal(wanted.header.kind, KMW_EVENT);
    unsigned calls = 0;
    assert_int_equal(kmw_named_list(stop, &calls), ERROR_SUCCESS);
    assert_int_equal(calls, 1);
    kmw_named_close(&named);
}

static void an_object_for_everybody_is_readable_and_writable_whatever_the_umask(void **state) {
    (void)state;
    kmw_object_name name;
    kmw_named named;
    bool existed;
    struct stat facts;
    const kmw_birth birth = {.kind = KMW_EVENT, .for_everybody = true};
    name_it("everybody", &name);
    const mode_t mask = umask(0777);
    assert_int_equal(kmw_named_create(&name, &birth, &named, &existed), ERROR_SUCCESS);
    umask(mask);
    assert_int_equal(fstat(named.descriptor, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0666);
    kmw_named_close(&named);
    named = create(&name, false);
    assert_int_equal(fstat(named.descriptor, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    kmw_named_close(&named);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_lives_until_its_last_holder_lets_go),
        cmocka_unit_test(closing_what_has_no_name_does_nothing),
        cmocka_unit_test(closing_keeps_the_last_error),
        cmocka_unit_test(a_name_of_another_kind_is_an_invalid_handle),
        cmocka_unit_test(the_header_tells_what_was_made),
        cmocka_unit_test(an_object_that_cannot_be_completed_is_never_seen),
        cmocka_unit_test(who_has_made_many_finds_what_is_there_all_the_same),
        cmocka_unit_test(a_name_that_is_taken_matters_more_than_what_is_wrong),
        cmocka_unit_test(a_forked_child_s_objects_are_its_own),
        cmocka_unit_test(a_mapping_keeps_the_memory_but_not_the_name),
        cmocka_unit_test(an_object_whose_file_was_removed_by_hand_can_still_be_mapped),
        cmocka_unit_test(a_forked_child_keeps_the_name),
        cmocka_unit_test(a_child_that_closes_leaves_the_name_to_its_parent),
        cmocka_unit_test(an_exec_lets_go),
        cmocka_unit_test(a_killed_holder_s_name_is_gone_for_the_next_who_opens_it),
        cmocka_unit_test(a_killed_holder_s_name_is_made_anew_by_the_next_who_creates_it),
        cmocka_unit_test(whatever_is_created_next_clears_away_what_a_killed_process_left),
        cmocka_unit_test(listing_shows_the_living_and_clears_away_the_dead),
        cmocka_unit_test(an_object_for_everybody_is_readable_and_writable_whatever_the_umask),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
