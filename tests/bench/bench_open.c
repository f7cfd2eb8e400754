/*
 * bench_open.c - open, map, touch, unmap and close a file of 1 MiB: the cost of sharing modes, of
 * refusing to cut a mapped file, and of handles, beside the bare system calls.
 *
 * At the first touch Linux maps the pages around it that lie in the same 64 KiB of address space.
 * So what a touch costs depends on where the system happens to put the mapping: at a multiple of 64
 * KiB, as Windows wants it and keepmap does it, it maps 16 pages; 4 KiB before one, a single page.
 * Each round therefore begins by moving everybody else's place on by a page, and 16 rounds see all
 * of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "measure.h"
#include "peers.h"

enum { FILE_SIZE = 1 << 20, PAGE = 4096, PLACES = 16 };

/* Mappings of one page each, kept, that push what is mapped after them further down. */
static bool move_place(void *context) {
    (void)context;
    static unsigned rounds;
    static void *pushing[PLACES];
    unsigned turn = rounds++ % PLACES;
    if (turn == 0) {
        for (int i = 0; i < PLACES && pushing[i] != NULL; i++) {
            munmap(pushing[i], PAGE);
            pushing[i] = NULL;
        }
    }
    pushing[turn] = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pushing[turn] != MAP_FAILED;
}

static bool open_keepmap(void *path, uint64_t count) {
    for (; count > 0; count--) {
        km_map *map = NULL;
        if (km_open(&map, path, NULL) != KM_OK) {
            fprintf(stderr, "%s\n", km_error_message());
            return false;
        }
        (void)*(volatile const char *)km_data(map);
        km_close(map);
    }
    return true;
}

static bool open_win32(void *path, uint64_t count) {
    for (; count > 0; count--) {
        HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                  OPEN_EXISTING, 0, NULL);
        HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
        const char *data = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
        if (data == NULL) {
            fprintf(stderr, "Win32 error %u\n", (unsigned)GetLastError());
            return false;
        }
        (void)*(volatile const char *)data;
        UnmapViewOfFile(data);
        CloseHandle(section);
        CloseHandle(file);
    }
    return true;
}

static bool make_file(char *path) {
    int descriptor = mkstemp(path);
    if (descriptor < 0) {
        perror(path);
        return false;
    }
    static char block[1 << 16];
    bool written = true;
    for (int done = 0; done < FILE_SIZE && written; done += (int)sizeof block) {
        written = write(descriptor, block, sizeof block) == (ssize_t)sizeof block;
    }
    close(descriptor);
    return written;
}

int main(void) {
    char path[] = "bench_open-XXXXXX";
    if (!make_file(path)) {
        return 1;
    }
    const bench_subject subjects[] = {
        {"raw system calls", peer_open_raw, path, 0, move_place},
        {"Boost.Interprocess", peer_open_boost, path, 0, NULL},
        {"APR", peer_open_apr, path, 0, NULL},
        {"keepmap, the Win32 calls", open_win32, path, 0, NULL},
        {"keepmap, km_open", open_keepmap, path, 0.65, NULL},
    };
    int missed = bench_measure("open+map+touch+unmap+close, 1 MiB", subjects,
                               sizeof subjects / sizeof subjects[0], bench_rounds(PLACES), 0.15);
    unlink(path);
    return missed < 0 ? 1 : 0;
}
