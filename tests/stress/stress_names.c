/*
 * stress_names.c - 64 processes use the same eight names at random, and a random one is killed ten
 * times a second: no wrong error code, never two living objects under one name, never a half-made
 * one, no hang, and after one last create nothing left of them.
 */
#include <stdio.h>

#include "support/name_run.h"
#include "support/private_shm.h"
#include "support/stress.h"

enum { PROCESSES = 64, KILL_EVERY_MS = 80 };

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    const bool alone = private_shm_mount(NULL);
    printf("%s\n", alone ? "in a /dev/shm of its own" : "among other programs' objects");
    const bool well = name_run_with_kills(PROCESSES, KILL_EVERY_MS, alone);
    const bool told = name_run_tell();
    return well && told ? 0 : 1;
}
