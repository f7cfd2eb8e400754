/*
 * name_user.h - a process that creates, opens, maps, duplicates, shares by fork and closes the same
 * eight names as many others do, at random, and looks whether all it sees can be.
 *
 * Names 0 to 3 are always sections'; 4 to 7 are made as objects of any kind, so that kinds clash.
 * Odd ones are the machine's, the others the user's. POSIX only.
 */
#ifndef TESTS_NAME_USER_H
#define TESTS_NAME_USER_H

#include "name_board.h"
#include "stress.h"

typedef struct name_plan {
    const stress_crowd *crowd;
    bool may_die;   /* children end in any way, also by SIGKILL, with handles open */
    unsigned stays; /* of a process; 0: with pauses between them, while stress_goes_on() */
} name_plan;

enum { NAME_HANG_SECONDS = 30 }; /* no call takes so long */

/* Makes the board, and names of this run alone; in the parent of all, which has a descriptor of
 * both directories of objects afterwards. The plan stays the caller's. */
void name_user_begin(const name_plan *its_plan);

const char *name_user_name(unsigned name);

/* What one of the crowd does; it gives back all it took. */
void name_user_work(unsigned worker);

#endif /* TESTS_NAME_USER_H */
