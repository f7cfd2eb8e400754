/*
 * stress_creators.c - many processes create the same file at the same moment, and some are killed:
 * exactly one creates it, and nobody ever sees it half-made.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/scratch.h"
#include "support/stress.h"

enum { CREATORS = 64, WORDS = 5000 };

typedef struct board {
    atomic_uint ready;
    atomic_bool go;
    atomic_uint created;
    atomic_uint opened;
} board;

static board *shared;

/*
 * Every word tells who made it, the last one too, so a half-made file would show; and its maker
 * dawdles, so that others have time to see it, and kills to hit it.
 */
static km_status fill(void *data, uint64_t size, void *arg) {
    uint32_t *words = data;
    const uint32_t *me = arg;
    if (size != WORDS * sizeof *words) {
        return KM_E_INVALID;
    }
    const struct timespec moment = {.tv_nsec = 20000};
    for (size_t i = 0; i < WORDS; i++) {
        if (words[i] != 0) {
            return KM_E_CORRUPT;
        }
        if (i % 1000 == 0) {
            nanosleep(&moment, NULL);
        }
        words[i] = *me;
    }
    return KM_OK;
}

static void create(unsigned worker) {
    uint32_t me = worker + 1;
    km_options options = {.access = KM_WRITE,
                          .flags = KM_OPEN_CREATE,
                          .size = WORDS * sizeof(uint32_t),
                          .init = fill,
                          .init_arg = &me};
    km_map *map = NULL;
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go)) {
        sched_yield();
    }
    if (km_open(&map, "made", &options) != KM_OK) {
        stress_fail("%s", km_error_message());
    }
    const uint32_t *words = km_data(map);
    if (km_size(map) != WORDS * sizeof *words || words[0] == 0) {
        stress_fail("seen half-made: %llu bytes", (unsigned long long)km_size(map));
    }
    for (size_t i = 1; i < WORDS; i++) {
        if (words[i] != words[0]) {
            stress_fail("seen half-made: word %zu is %u, not %u", i, words[i], words[0]);
        }
    }
    if (km_created(map)) {
        atomic_fetch_add(&shared->created, 1);
        if (words[0] != me) {
            stress_fail("created by this process and by %u", words[0]);
        }
    }
    atomic_fetch_add(&shared->opened, 1);
    km_close(map);
}

static pid_t start(unsigned worker) {
    pid_t id = fork();
    if (id < 0) {
        stress_fail("no more processes");
    }
    if (id == 0) {
        stress_reseed(worker + 1);
        create(worker);
        _exit(0);
    }
    return id;
}

/* All creators of one round; `kills` of them are killed meanwhile. false if one failed. */
static bool run_round(unsigned kills) {
    pid_t ids[CREATORS];
    *shared = (board){0};
    fflush(NULL);
    for (unsigned i = 0; i < CREATORS; i++) {
        ids[i] = start(i);
    }
    while (atomic_load(&shared->ready) < CREATORS) {
        sched_yield();
    }
    atomic_store(&shared->go, true);
    for (unsigned i = 0; i < kills; i++) {
        const struct timespec moment = {.tv_nsec = (long)stress_random(300000)};
        nanosleep(&moment, NULL);
        kill(ids[stress_random(CREATORS)], SIGKILL);
    }
    bool well = true;
    for (unsigned i = 0; i < CREATORS; i++) {
        int status = 0;
        while (waitpid(ids[i], &status, 0) < 0 && errno == EINTR) {
        }
        bool killed = kills > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        well = well && (killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    return well;
}

static bool has_unnamed_files(void) {
    int descriptor = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0) {
        close(descriptor);
    }
    return descriptor >= 0;
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    shared = stress_shared_memory(sizeof *shared);
    size_t entries = scratch_entries();
    bool unnamed = has_unnamed_files();
    unsigned long rounds = 0;
    unsigned long with_kills = 0;
    unsigned long opened = 0;
    while (stress_goes_on()) {
        unsigned kills = stress_random(2) * (1 + stress_random(40));
        if (!run_round(kills)) {
            stress_fail("a creator failed in round %lu", rounds);
        }
        unsigned created = atomic_load(&shared->created);
        /* A creator may be killed between its creation and its counting of it. */
        if (created > 1 || (kills == 0 && created != 1)) {
            stress_fail("%u creators in round %lu, %u killed", created, rounds, kills);
        }
        int64_t size = scratch_size("made");
        if (size >= 0 && size != (int64_t)(WORDS * sizeof(uint32_t))) {
            stress_fail("a file of %lld bytes is left", (long long)size);
        }
        (void)remove("made");
        if (unnamed && scratch_entries() != entries) {
            stress_fail("something is left in the directory after round %lu", rounds);
        }
        rounds++;
        with_kills += kills > 0;
        opened += atomic_load(&shared->opened);
    }
    printf("%lu rounds of %d creators (%lu with kills), %lu opens, each of a whole file\n", rounds,
           CREATORS, with_kills, opened);
    return rounds > 0 ? 0 : 1;
}
