/*
 * name_run_posix.c - a whole run of many processes that use the same names.
 */
#include "name_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "name_user.h"
#include "posix/named_object.h"
#include "posix/object_directory.h"
#include "private_shm.h"

static stress_crowd crowd;
static name_plan plan;

static bool complain(const char *what, unsigned long number) {
    fprintf(stderr, "%s: %lu\n", what, number);
    return false;
}

static unsigned files_of_names(void) {
    unsigned files = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        kmw_object_name name;
        kmw_path path;
        if (kmw_object_name_from_utf8(name_user_name(i), &name) != ERROR_SUCCESS ||
            kmw_object_path(&name, true, &path) != ERROR_SUCCESS) {
            stress_fail("name %u has no path", i);
        }
        files += access(path.text, F_OK) == 0;
    }
    return files;
}

/* ---- With kills ---- */

/* Every process of the run has the writing end, also the children that a killed one leaves. */
static bool all_have_gone(const int ends[2]) {
    struct pollfd reading = {.fd = ends[0], .events = POLLIN};
    close(ends[1]);
    const int ready = poll(&reading, 1, (NAME_HANG_SECONDS + 1) * 1000);
    close(ends[0]);
    return ready == 1 && name_board_is_empty();
}

static bool nothing_is_left_after_one_more(bool alone) {
    kmw_sweep_interval_ms = 0;
    HANDLE last = CreateEventA(NULL, TRUE, TRUE, "km-test-the-last");
    if (last == NULL || !CloseHandle(last)) {
        return complain("making the last one: error", GetLastError());
    }
    const unsigned files = files_of_names();
    const size_t all = alone ? private_shm_files() : files;
    return files == 0 && all == 0 ? true : complain("files are left for ever", all);
}

bool name_run_with_kills(unsigned size, unsigned kill_every_ms, bool alone) {
    int ends[2];
    crowd = (stress_crowd){.size = size, .work = name_user_work, .reaped = name_board_clear};
    plan = (name_plan){.crowd = &crowd, .may_die = true};
    name_user_begin(&plan);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return complain("no pipe: error", (unsigned long)errno);
    }
    const bool well = stress_run(&crowd, kill_every_ms);
    if (!all_have_gone(ends)) {
        return complain("children hang, or have failed, after kills", crowd.killed);
    }
    printf("%lu processes killed; of %d names, %u had a file left\n", crowd.killed, NAMES,
           files_of_names());
    return nothing_is_left_after_one_more(alone) && well;
}

/* ---- In peace ---- */

static pid_t start(unsigned worker, unsigned number, const int gate[2]) {
    fflush(NULL);
    const pid_t id = fork();
    if (id < 0) {
        stress_fail("no more processes");
    }
    if (id > 0) {
        return id;
    }
    char nothing;
    close(gate[1]);
    stress_reseed(number);
    if (read(gate[0], &nothing, 1) != 0) { /* until the gate opens for all */
        _exit(1);
    }
    name_user_work(worker);
    _exit(0);
}

static bool run_round(unsigned round) {
    int gate[2];
    pid_t ids[CROWD_SEATS];
    bool well = pipe2(gate, O_CLOEXEC) == 0;
    for (unsigned i = 0; well && i < crowd.size; i++) {
        ids[i] = start(i, round * CROWD_SEATS + i, gate);
    }
    close(gate[0]);
    close(gate[1]);
    for (unsigned i = 0; well && i < crowd.size; i++) {
        int status = 0;
        while (waitpid(ids[i], &status, 0) < 0 && errno == EINTR) {
        }
        well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    if (!well) {
        return complain("a process failed in round", round);
    }
    const unsigned files = files_of_names();
    return files == 0 ? true
                      : complain("files are left, and nobody was killed, after round", round);
}

bool name_run_in_peace(unsigned size, unsigned rounds) {
    crowd = (stress_crowd){.size = size, .life = stress_shared_memory(size * sizeof(atomic_uint))};
    plan = (name_plan){.crowd = &crowd, .stays = 3};
    name_user_begin(&plan);
    bool well = true;
    for (unsigned round = 0; well && round < rounds; round++) {
        well = run_round(round);
    }
    return well;
}

/* ---- What was done ---- */

bool name_run_tell(void) {
    name_counts *all = name_board_counts();
    atomic_ulong *const needed[] = {&all->made,    &all->found,     &all->opened, &all->absent,
                                    &all->clashes, &all->again,     &all->views,  &all->forks,
                                    &all->rests,   &all->duplicates};
    bool well = true;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        well = well && atomic_load(needed[i]) > 0;
    }
    printf("%lu made, %lu created that were there, %lu opened, %lu found again, %lu absent, %lu of "
           "another kind; %lu views, %lu duplicates, %lu forks (%lu killed themselves), %lu times "
           "at rest; the longest call took %.3f s\n",
           atomic_load(&all->made), atomic_load(&all->found), atomic_load(&all->opened),
           atomic_load(&all->again), atomic_load(&all->absent), atomic_load(&all->clashes),
           atomic_load(&all->views), atomic_load(&all->duplicates), atomic_load(&all->forks),
           atomic_load(&all->suicides), atomic_load(&all->rests),
           (double)name_board_longest() / 1e9);
    return well;
}
