/*
 * bench_open.c - open, map, touch, unmap and close a file of 1 MiB: the cost of sharing modes, of
 * refusing to cut a mapped file, and of handles, beside the bare system calls.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "measure.h"
#include "peers.h"

enum { FILE_SIZE = 1 << 20 };

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
        {"raw system calls", peer_open_raw, path, 0, NULL},
        {"Boost.Interprocess", peer_open_boost, path, 0, NULL},
        {"APR", peer_open_apr, path, 0, NULL},
        {"keepmap, the Win32 calls", open_win32, path, 0, NULL},
        {"keepmap, km_open", open_keepmap, path, 0.65, NULL},
    };
    int missed = bench_measure("open+map+touch+unmap+close, 1 MiB", subjects,
                               sizeof subjects / sizeof subjects[0], bench_rounds(7), 0.3);
    unlink(path);
    return missed < 0 ? 1 : 0;
}
