/*
 * stress_sharing.c - processes open one file in random modes, and some are killed: never do two
 * hold it whose modes exclude each other.
 */
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include <keepmap/win32.h>

#include "support/scratch.h"
#include "support/sharing_rules.h"
#include "support/stress.h"

enum { WORKERS = 8 };

typedef struct board {
    atomic_uint
        mode[WORKERS]; /* held: the mode + 1; written while the handle is open, not beside */
    atomic_ulong opened;
    atomic_ulong refused;
    atomic_ulong together; /* times that somebody else was seen holding it, rightly */
} board;

static board *shared;
static stress_crowd crowd;

/*
 * What worker `i` holds for certain at this moment, 0 for nothing or for "being killed": the kernel
 * may have taken its handle already while its mark still stands.
 */
static unsigned held_by(unsigned i) {
    unsigned before = atomic_load(&crowd.life[i]);
    unsigned mode = atomic_load(&shared->mode[i]);
    unsigned after = atomic_load(&crowd.life[i]);
    return before == after && before % 2 == 0 ? mode : 0;
}

static void look_around(unsigned worker, unsigned mode) {
    for (unsigned i = 0; i < WORKERS; i++) {
        unsigned other = i != worker ? held_by(i) : 0;
        if (other == 0) {
            continue;
        }
        if (!sharing_allows(mode, other - 1)) {
            stress_fail("two at the same time: %s", sharing_pair_name(other - 1, mode));
        }
        atomic_fetch_add(&shared->together, 1);
    }
}

/* Others come in between, on few processors too. */
static void give_way(void) {
    const struct timespec moment = {.tv_nsec = 50000};
    if (stress_random(4) == 0) {
        nanosleep(&moment, NULL);
    } else {
        sched_yield();
    }
}

static void open_and_close(unsigned worker) {
    while (stress_goes_on()) {
        unsigned mode = stress_random(SHARING_MODES);
        HANDLE file = CreateFileA("contended", sharing_access(mode), sharing_share(mode), NULL,
                                  OPEN_EXISTING, 0, NULL);
        if (file == INVALID_HANDLE_VALUE) {
            if (GetLastError() != ERROR_SHARING_VIOLATION) {
                stress_fail("error %u", (unsigned)GetLastError());
            }
            atomic_fetch_add(&shared->refused, 1);
            continue;
        }
        atomic_fetch_add(&shared->opened, 1);
        atomic_store(&shared->mode[worker], mode + 1);
        for (uint32_t looks = 1 + stress_random(20); looks > 0; looks--) {
            look_around(worker, mode);
            give_way();
        }
        atomic_store(&shared->mode[worker], 0);
        if (!CloseHandle(file)) {
            stress_fail("CloseHandle: error %u", (unsigned)GetLastError());
        }
    }
}

static void clear_mark(unsigned worker) {
    atomic_store(&shared->mode[worker], 0);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    scratch_write("contended", "x", 1);
    shared = stress_shared_memory(sizeof *shared);
    crowd = (stress_crowd){.size = WORKERS, .work = open_and_close, .reaped = clear_mark};
    bool well = stress_run(&crowd, 20);

    HANDLE file = CreateFileA("contended", GENERIC_READ | GENERIC_WRITE | DELETE, 0, NULL,
                              OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        stress_fail("after all have gone the file is barred: error %u", (unsigned)GetLastError());
    }
    CloseHandle(file);
    unsigned long opened = atomic_load(&shared->opened);
    unsigned long together = atomic_load(&shared->together);
    printf("%lu opens (%lu refused, %lu beside others), %lu processes killed\n", opened,
           atomic_load(&shared->refused), together, crowd.killed);
    return well && opened > 0 && together > 0 ? 0 : 1;
}
