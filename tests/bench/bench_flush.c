/*
 * bench_flush.c - 16 random pages of a file of 1 GiB stored to and made durable, again and again:
 * KM_OPEN_RANDOM beside a plain mmap with msync(MS_SYNC).
 *
 * A store through a shared mapping dirties the whole folio that holds the page, and a file system
 * that caches in large folios then writes back megabytes for bytes. First each subject opens a file
 * that has just been written and synced, and so is cached in large folios; then one that is not in
 * the page cache, as after a reboot.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keepmap.h>

#include "measure.h"

enum { PAGES = 16, PAGE = 4096, WARM_PAGES = 2048 };
#define FILE_SIZE ((uint64_t)1 << 30)

/* The pages that are stored to, all over the file; each subject has them in memory when its clock
 * starts. */
static uint64_t warm_pages[WARM_PAGES];

typedef struct flush_work {
    const char *path;
    bool cached;    /* begin with the file in the page cache, written as a whole */
    uint32_t flags; /* of km_open */
    char *data;
    km_map *map; /* NULL for the plain mmap */
    uint64_t random;
} flush_work;

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static bool store_pages(flush_work *work) {
    for (int i = 0; i < PAGES; i++) {
        uint64_t page = warm_pages[next_random(&work->random) % WARM_PAGES];
        memset(work->data + page * PAGE, (int)(work->random >> 40 & 0xFF), 64);
    }
    return true;
}

static void choose_pages(void) {
    uint64_t random = 7;
    for (int i = 0; i < WARM_PAGES; i++) {
        warm_pages[i] = next_random(&random) % (FILE_SIZE / PAGE);
    }
}

static void touch_pages(const flush_work *work) {
    for (int i = 0; i < WARM_PAGES; i++) {
        (void)*(volatile const char *)(work->data + warm_pages[i] * PAGE);
    }
}

/* Who has the file mapped; pages that somebody maps do not leave the page cache. */
static flush_work *holder;

static void let_go(void) {
    flush_work *work = holder;
    holder = NULL;
    if (work == NULL) {
        return;
    }
    if (work->map != NULL) {
        km_close(work->map);
    } else if (work->data != NULL) {
        munmap(work->data, FILE_SIZE);
    }
    work->map = NULL;
    work->data = NULL;
}

static bool write_whole_file(int descriptor) {
    static char block[1 << 20];
    for (uint64_t done = 0; done < FILE_SIZE; done += sizeof block) {
        if (pwrite(descriptor, block, sizeof block, (off_t)done) != (ssize_t)sizeof block) {
            return false;
        }
    }
    return fsync(descriptor) == 0;
}

/* The file on the disk, and in the page cache or not, as the subject wants it. */
static bool settle_file(flush_work *work) {
    int descriptor = open(work->path, O_RDWR | O_CLOEXEC);
    bool fine = descriptor >= 0 && fsync(descriptor) == 0 &&
                posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
                (!work->cached || write_whole_file(descriptor));
    if (!fine) {
        perror(work->path);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    return fine;
}

/* The file settled, and nobody's map but the one that `work` makes of it next. */
static bool take_file(flush_work *work) {
    let_go();
    holder = work;
    return settle_file(work);
}

static bool begin_plain(void *context) {
    flush_work *work = context;
    if (!take_file(work)) {
        return false;
    }
    int descriptor = open(work->path, O_RDWR | O_CLOEXEC);
    void *data = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (data == MAP_FAILED) {
        perror("mmap");
        return false;
    }
    work->data = data;
    touch_pages(work);
    return true;
}

static bool begin_keepmap(void *context) {
    flush_work *work = context;
    if (!take_file(work)) {
        return false;
    }
    km_options options = {.access = KM_WRITE, .flags = work->flags};
    if (km_open(&work->map, work->path, &options) != KM_OK) {
        fprintf(stderr, "%s\n", km_error_message());
        return false;
    }
    work->data = km_data(work->map);
    touch_pages(work);
    return true;
}

static bool run_plain(void *context, uint64_t count) {
    flush_work *work = context;
    for (; count > 0; count--) {
        if (!store_pages(work) || msync(work->data, FILE_SIZE, MS_SYNC) != 0) {
            perror("msync");
            return false;
        }
    }
    return true;
}

static bool run_keepmap(void *context, uint64_t count) {
    flush_work *work = context;
    for (; count > 0; count--) {
        if (!store_pages(work) || km_flush(work->map, 0, 0, KM_FLUSH_DURABLE) != KM_OK) {
            fprintf(stderr, "%s\n", km_error_message());
            return false;
        }
    }
    return true;
}

static int measure_flushes(const char *work, const char *path, bool cached, double target) {
    flush_work plain = {.path = path, .cached = cached, .random = 1};
    flush_work ordinary = plain;
    flush_work random = plain;
    random.flags = KM_OPEN_RANDOM;
    const bench_subject subjects[] = {
        {"mmap + msync(MS_SYNC)", run_plain, &plain, 0, begin_plain},
        {"KM_WRITE", run_keepmap, &ordinary, 0, begin_keepmap},
        {"KM_WRITE, KM_OPEN_RANDOM", run_keepmap, &random, target, begin_keepmap},
    };
    int missed = bench_measure(work, subjects, 3, bench_rounds(5), 0.5);
    let_go();
    return missed;
}

int main(void) {
    char path[] = "bench_flush-XXXXXX";
    int descriptor = mkstemp(path);
    if (descriptor < 0 || !write_whole_file(descriptor)) {
        perror(path);
        unlink(path);
        return 1;
    }
    close(descriptor);
    choose_pages();

    int missed = measure_flushes("store and flush 16 random pages of 1 GiB, file just written",
                                 path, true, 5);
    if (missed >= 0) {
        missed = measure_flushes("store and flush 16 random pages of 1 GiB, file not cached", path,
                                 false, 0);
    }
    unlink(path);
    return missed < 0 ? 1 : 0;
}
