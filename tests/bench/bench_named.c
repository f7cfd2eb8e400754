/*
 * bench_named.c - named shared memory of 4 KiB: made and removed, and opened where it exists. What
 * it costs that a name goes with its last holder, however that ends, beside shm_open, where it
 * stays until somebody thinks of it.
 */
#include <stdio.h>
#include <unistd.h>

#include "measure.h"
#include "named_work.h"
#include "shm_peers.h"

static int measure_creating(char *name) {
    const bench_subject subjects[] = {
        {"shm_open", peer_create_raw, name, 0, NULL},
        {"Boost.Interprocess", peer_create_boost, name, 0, NULL},
        {"keepmap, CreateFileMapping", create_win32, name, 0.5, NULL},
    };
    return bench_measure(CREATE_WORK, subjects, sizeof subjects / sizeof subjects[0],
                         bench_rounds(9), 0.2);
}

static int measure_attaching(char *name) {
    const bench_subject subjects[] = {
        {"shm_open", peer_attach_raw, name, 0, NULL},
        {"Boost.Interprocess", peer_attach_boost, name, 0, NULL},
        {"keepmap, OpenFileMapping", attach_win32, name, 0.5, NULL},
    };
    _Static_assert((int)SECTION_SIZE == (int)SHM_SIZE, "the peers do the same work");
    HANDLE existing = make_section(name);
    if (existing == NULL || !peer_make_existing(name)) {
        perror(name);
        return -1;
    }
    int missed = bench_measure(ATTACH_WORK, subjects, sizeof subjects / sizeof subjects[0],
                               bench_rounds(9), 0.2);
    CloseHandle(existing);
    peer_remove_existing(name);
    return missed;
}

int main(void) {
    char name[64];
    (void)snprintf(name, sizeof name, "keepmap bench %ld", (long)getpid());
    return measure_creating(name) < 0 || measure_attaching(name) < 0 ? 1 : 0;
}
