/*
 * test_list_users.c - km_list and what other users keep to themselves, or share; and forked
 * children that hold what their parents opened.
 *
 * Wants to be root, and a /dev/shm of its own. Where it may not, it skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/private_shm.h"

/* Users that own nothing else. */
#define ALICE ((uid_t)61001)
#define BOB ((uid_t)61002)
#define ROOT ((uid_t)0)

#define HOLDERS_AT_MOST 8

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

/* ---- Looking as somebody else ---------------------------------------------------------------- */

typedef struct sight {
    const char *name;
    km_status status;
    int found;
    km_object object; /* its pointers are not to be used */
    uint32_t holders[HOLDERS_AT_MOST];
} sight;

static bool look(const km_object *object, void *arg) {
    sight *seen = arg;
    if (strcmp(object->name, seen->name) == 0) {
        seen->found++;
        seen->object = *object;
        for (uint32_t i = 0; i < object->holder_count && i < HOLDERS_AT_MOST; i++) {
            seen->holders[i] = object->holders[i];
        }
    }
    return true;
}

/* What the user's list says of the name. */
static sight seen_by(uid_t user, const char *name) {
    sight seen = {.name = name};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const bool became = user == ROOT || (setgid(user) == 0 && setuid(user) == 0);
        seen.status = km_list(look, &seen);
        _exit(became && write(ends[1], &seen, sizeof seen) == (ssize_t)sizeof seen ? 0 : 1);
    }
    int status = 0;
    close(ends[1]);
    assert_int_equal(read(ends[0], &seen, sizeof seen), sizeof seen);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return seen;
}

/* A process of that user's that holds a segment until it is killed; it does when this returns. */
static pid_t keep(uid_t user, const char *name, uint32_t flags, uint32_t permissions) {
    int ready[2];
    char word = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        km_map *map = NULL;
        const km_options options = {.access = KM_WRITE,
                                    .flags = KM_OPEN_NEW | flags,
                                    .size = 5000,
                                    .permissions = permissions};
        /* Having been root, it would be hidden from its user too. */
        word = setgid(user) == 0 && setuid(user) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0 &&
                       km_segment(&map, name, &options) == KM_OK
                   ? 1
                   : 0;
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

static void end(pid_t child) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- Facts ----------------------------------------------------------------------------------- */

static void what_everybody_may_open_is_listed_with_its_owner(void **state) {
    (void)state;
    need_room();
    const pid_t keeper = keep(ALICE, "shared", KM_OPEN_MACHINE_WIDE, 0666);
    sight seen = seen_by(ROOT, "shared");
    assert_int_equal(seen.status, KM_OK);
    assert_int_equal(seen.found, 1);
    assert_int_equal(seen.object.owner, ALICE);
    assert_int_equal(seen.object.size, 5000);
    assert_int_equal(seen.object.holder_count, 1);
    assert_int_equal(seen.holders[0], keeper);
    assert_true(seen.object.holders_complete);
    end(keeper);
    assert_int_equal(seen_by(ROOT, "shared").found, 0);
}

static void a_holder_hidden_from_us_is_known_by_its_lock_and_the_list_not_complete(void **state) {
    (void)state;
    need_room();
    const pid_t keeper = keep(ALICE, "hidden", KM_OPEN_MACHINE_WIDE, 0666);
    sight seen = seen_by(BOB, "hidden");
    assert_int_equal(seen.status, KM_OK);
    assert_int_equal(seen.found, 1);
    assert_int_equal(seen.object.holder_count, 1);
    assert_int_equal(seen.holders[0], keeper);
    assert_false(seen.object.holders_complete);
    end(keeper);
}

static void a_user_sees_all_holders_of_what_only_he_holds(void **state) {
    (void)state;
    need_room();
    const pid_t keeper = keep(ALICE, "own", 0, 0);
    sight seen = seen_by(ALICE, "own");
    assert_int_equal(seen.found, 1);
    assert_int_equal(seen.object.holder_count, 1);
    assert_int_equal(seen.holders[0], keeper);
    assert_true(seen.object.holders_complete);
    end(keeper);
}

static void what_others_keep_to_themselves_is_not_listed_and_no_error(void **state) {
    (void)state;
    need_room();
    const pid_t wide = keep(ALICE, "private", KM_OPEN_MACHINE_WIDE, 0);
    const pid_t local = keep(ALICE, "local", 0, 0);
    assert_int_equal(seen_by(BOB, "private").status, KM_OK);
    assert_int_equal(seen_by(BOB, "private").found, 0);
    assert_int_equal(seen_by(BOB, "local").found, 0);
    assert_int_equal(seen_by(ALICE, "private").found, 1);
    assert_int_equal(seen_by(ALICE, "local").found, 1);
    end(wide);
    end(local);
}

static void a_forked_child_holds_what_its_parent_opened(void **state) {
    (void)state;
    need_room();
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100};
    assert_int_equal(km_segment(&map, "forked", &options), KM_OK);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pause();
        _exit(1);
    }
    sight seen = {.name = "forked"};
    assert_int_equal(km_list(look, &seen), KM_OK);
    assert_int_equal(seen.object.holder_count, 2);
    assert_true(seen.object.holders_complete);
    km_close(map);
    seen = (sight){.name = "forked"};
    assert_int_equal(km_list(look, &seen), KM_OK);
    assert_int_equal(seen.object.holder_count, 1);
    assert_int_equal(seen.holders[0], child);
    end(child);
    seen = (sight){.name = "forked"};
    assert_int_equal(km_list(look, &seen), KM_OK);
    assert_int_equal(seen.found, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_everybody_may_open_is_listed_with_its_owner),
        cmocka_unit_test(a_holder_hidden_from_us_is_known_by_its_lock_and_the_list_not_complete),
        cmocka_unit_test(a_user_sees_all_holders_of_what_only_he_holds),
        cmocka_unit_test(what_others_keep_to_themselves_is_not_listed_and_no_error),
        cmocka_unit_test(a_forked_child_holds_what_its_parent_opened),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
