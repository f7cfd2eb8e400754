/*
 * name_board_posix.c - who has a handle to which named object just now.
 */
#include "name_board.h"

#include <stddef.h>

#include "posix/named_object.h"
#include "posix/section.h"
#include "posix/sync_object.h"

typedef struct board {
    name_counts counts;
    _Atomic(uint64_t) held[NAMES][SEATS]; /* identities; 0: nothing */
    _Atomic(uint64_t) newest[NAMES];
    _Atomic(uint64_t) drawn;
    _Atomic(uint64_t) longest;
    atomic_bool taken[CHILD_SEATS];
} board;

static board *shared;

void name_board_make(void) {
    shared = stress_shared_memory(sizeof *shared);
}

name_counts *name_board_counts(void) {
    return &shared->counts;
}

static const kmw_named *named_of(const kmw_object *object) {
    return object->class->kind == KMW_SECTION ? &((const kmw_section *)object)->named
                                              : &((const kmw_sync_object *)object)->named;
}

uint64_t name_board_identity(HANDLE handle) {
    const kmw_use use = kmw_use_begin(handle, KMW_ANY);
    if (use.object == NULL) {
        stress_fail("a handle to a named object is none");
    }
    const uint64_t identity =
        (uint64_t)named_of(use.object)->inode << 8 | (uint64_t)use.object->class->kind;
    kmw_use_end(use);
    return identity;
}

/* ---- Who has what ---- */

/* Was the process in this seat alive when it was looked at, being in incarnation `life` before? */
static bool was_alive(const stress_crowd *crowd, unsigned seat, unsigned life) {
    return seat >= crowd->size || (life % 2 == 0 && atomic_load(&crowd->life[seat]) == life);
}

static void compare(const stress_crowd *crowd, unsigned seat, unsigned name, uint64_t identity,
                    unsigned other) {
    const unsigned life = other < crowd->size ? atomic_load(&crowd->life[other]) : 0;
    const uint64_t others = atomic_load(&shared->held[name][other]);
    if (others != 0 && others != identity && was_alive(crowd, other, life)) {
        stress_fail("two objects live under name %u: %llx, held in seat %u, and %llx in seat %u",
                    name, (unsigned long long)identity, seat, (unsigned long long)others, other);
    }
}

void name_board_enter(const stress_crowd *crowd, unsigned seat, unsigned name, uint64_t identity) {
    const uint64_t own = atomic_exchange(&shared->held[name][seat], identity);
    if (own != 0 && own != identity) {
        stress_fail("name %u leads seat %u to %llx and to %llx", name, seat,
                    (unsigned long long)own, (unsigned long long)identity);
    }
    for (unsigned other = 0; other < SEATS; other++) {
        if (other != seat) {
            compare(crowd, seat, name, identity, other);
        }
    }
}

void name_board_strike(unsigned seat, unsigned name) {
    atomic_store(&shared->held[name][seat], 0);
}

void name_board_clear(unsigned seat) {
    for (unsigned name = 0; name < NAMES; name++) {
        name_board_strike(seat, name);
    }
}

bool name_board_is_empty(void) {
    bool empty = true;
    for (unsigned at = 0; at < SEATS; at++) {
        for (unsigned name = 0; name < NAMES; name++) {
            empty = empty && atomic_load(&shared->held[name][at]) == 0;
        }
        empty = empty && (at < CROWD_SEATS || !atomic_load(&shared->taken[at - CROWD_SEATS]));
    }
    return empty;
}

unsigned name_board_take_seat(void) {
    for (unsigned i = 0; i < CHILD_SEATS; i++) {
        if (!atomic_exchange(&shared->taken[i], true)) {
            return CROWD_SEATS + i;
        }
    }
    stress_fail("%d children are alive", CHILD_SEATS);
}

void name_board_leave_seat(unsigned seat) {
    name_board_clear(seat);
    atomic_store(&shared->taken[seat - CROWD_SEATS], false);
}

/* ---- Marks ---- */

enum { MARK_NAME_SHIFT = 8, MARK_NUMBER_SHIFT = 16, MARK = 0xA5 };

uint64_t name_board_draw(unsigned name) {
    const uint64_t number = atomic_fetch_add(&shared->drawn, 1) + 1;
    return number << MARK_NUMBER_SHIFT | (uint64_t)name << MARK_NAME_SHIFT | MARK;
}

bool name_board_is_mark(uint64_t mark, unsigned name) {
    const uint64_t number = mark >> MARK_NUMBER_SHIFT;
    return (mark & 0xFF) == MARK && (mark >> MARK_NAME_SHIFT & 0xFF) == name && number > 0 &&
           number <= atomic_load(&shared->drawn);
}

static void raise_to(_Atomic(uint64_t) *at, uint64_t value) {
    uint64_t now = atomic_load(at);
    while (now < value && !atomic_compare_exchange_weak(at, &now, value)) {
    }
}

uint64_t name_board_newest(unsigned name) {
    return atomic_load(&shared->newest[name]);
}

void name_board_saw(unsigned name, uint64_t mark) {
    raise_to(&shared->newest[name], mark);
}

void name_board_took(uint64_t nanoseconds) {
    raise_to(&shared->longest, nanoseconds);
}

uint64_t name_board_longest(void) {
    return atomic_load(&shared->longest);
}
