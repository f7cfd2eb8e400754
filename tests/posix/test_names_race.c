/*
 * test_names_race.c - several processes use the same names at random: the short form of
 * tests/stress/stress_names.c, and rounds in which nobody is killed.
 *
 * Not under valgrind: it runs one thread at a time, and processes that race hardly meet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "support/name_run.h"
#include "support/private_shm.h"
#include "support/stress.h"

static bool alone; /* a /dev/shm of our own */

static int set_up(void **state) {
    (void)state;
    alone = private_shm_mount(NULL);
    return 0;
}

static void names_stay_right_while_their_users_are_killed(void **state) {
    (void)state;
    stress_begin(2, (char *[]){"", "2"});
    assert_true(name_run_with_kills(12, 20, alone));
    assert_true(name_run_tell());
}

static void who_closes_what_he_opened_leaves_nothing(void **state) {
    (void)state;
    stress_begin(0, NULL);
    assert_true(name_run_in_peace(8, 60));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_right_while_their_users_are_killed),
        cmocka_unit_test(who_closes_what_he_opened_leaves_nothing),
    };
    return cmocka_run_group_tests_name("names_race", tests, set_up, NULL);
}
