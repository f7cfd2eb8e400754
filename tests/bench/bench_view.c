/*
 * bench_view.c - reading and writing through a view, which is to cost what a raw mmap costs: a
 * ratio of 1, give or take the 3 % that two runs of the same code differ by.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keepmap.h>

#include "measure.h"

#define FILE_SIZE ((size_t)64 << 20)

typedef struct view_work {
    unsigned char *data;
} view_work;

static bool sum_bytes(void *context, uint64_t count) {
    view_work *work = context;
    static volatile uint64_t sink;
    for (; count > 0; count--) {
        const uint64_t *words = (const uint64_t *)(const void *)work->data;
        uint64_t sum = 0;
        for (size_t i = 0; i < FILE_SIZE / sizeof *words; i++) {
            sum += words[i];
        }
        sink = sum;
        (void)sink;
    }
    return true;
}

static bool fill_bytes(void *context, uint64_t count) {
    view_work *work = context;
    for (; count > 0; count--) {
        memset(work->data, (int)(count & 0xFF), FILE_SIZE);
    }
    return true;
}

int main(void) {
    char path[] = "bench_view-XXXXXX";
    int descriptor = mkstemp(path);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)FILE_SIZE) != 0) {
        perror(path);
        return 1;
    }
    void *raw = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE};
    if (raw == MAP_FAILED || km_open(&map, path, &options) != KM_OK) {
        fprintf(stderr, "%s\n", km_error_message());
        unlink(path);
        return 1;
    }
    view_work raw_work = {raw};
    view_work map_work = {km_data(map)};
    /* Both have every page before the clock starts. */
    fill_bytes(&raw_work, 1);
    fill_bytes(&map_work, 1);

    const bench_subject reading[] = {
        {"raw mmap", sum_bytes, &raw_work, 0, NULL},
        {"keepmap", sum_bytes, &map_work, 0.97, NULL},
    };
    const bench_subject writing[] = {
        {"raw mmap", fill_bytes, &raw_work, 0, NULL},
        {"keepmap", fill_bytes, &map_work, 0.97, NULL},
    };
    int missed = bench_measure("read 64 MiB through a view", reading, 2, bench_rounds(7), 0.2);
    if (missed >= 0) {
        missed = bench_measure("write 64 MiB through a view", writing, 2, bench_rounds(7), 0.2);
    }
    km_close(map);
    munmap(raw, FILE_SIZE);
    close(descriptor);
    unlink(path);
    return missed < 0 ? 1 : 0;
}
