/*
 * name_board.h - who has a handle to which named object just now: written down in memory that all
 * processes of a run share, so that two living objects under one name are seen by whoever has one
 * of them. POSIX only.
 *
 * A process enters what it has after it got the handle, and strikes it out before it closes that:
 * what stands on the board is held. Of two that hold different objects under one name at the same
 * time, the one that enters later finds the other's entry.
 */
#ifndef TESTS_NAME_BOARD_H
#define TESTS_NAME_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <keepmap/win32.h>

#include "stress.h"

enum { NAMES = 8, CROWD_SEATS = 64, CHILD_SEATS = 192, SEATS = CROWD_SEATS + CHILD_SEATS };

/* What has been done, by all together. */
typedef struct name_counts {
    atomic_ulong made, found, opened, absent, clashes, again, views, duplicates, forks, suicides,
        rests;
} name_counts;

/* Makes the board, empty. */
void name_board_make(void);
name_counts *name_board_counts(void);

/* The object a handle leads to: never 0, and never another's while it lives. */
uint64_t name_board_identity(HANDLE handle);

/*
 * `seat` has a handle to the object `identity` by this name. Ends the process if somebody else has
 * another one. The first seats are the crowd's, whose killed do not count.
 */
void name_board_enter(const stress_crowd *crowd, unsigned seat, unsigned name, uint64_t identity);
void name_board_strike(unsigned seat, unsigned name);
/* All of a seat's, whose process is dead. */
void name_board_clear(unsigned seat);
/* Nobody has anything, and no child has gone without giving its seat back. */
bool name_board_is_empty(void);

/* A seat for a child, which strikes all out and gives it back before it ends, however it ends. */
unsigned name_board_take_seat(void);
void name_board_leave_seat(unsigned seat);

/*
 * Marks for the memory of sections: a new one is greater than all that were drawn before. The
 * newest of a name that anybody has seen while holding its section: 0 for none.
 */
uint64_t name_board_draw(unsigned name);
bool name_board_is_mark(uint64_t mark, unsigned name);
uint64_t name_board_newest(unsigned name);
void name_board_saw(unsigned name, uint64_t mark);

/* Something that took so long; the longest is told in the end. */
void name_board_took(uint64_t nanoseconds);
uint64_t name_board_longest(void);

#endif /* TESTS_NAME_BOARD_H */
