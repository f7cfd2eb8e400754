/*
 * bench_named.c - named shared memory of 4 KiB: made and removed, and opened where it exists. What
 * it costs that a name goes with its last holder, however that ends, beside shm_open, where it
 * stays until somebody thinks of it.
 */
#include <stdio.h>
#include <unistd.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "measure.h"
#include "shm_peers.h"

static bool store(HANDLE section) {
    char *data = section != NULL ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (data == NULL) {
        fprintf(stderr, "Win32 error %u\n", (unsigned)GetLastError());
        return false;
    }
    *(volatile char *)data = 1;
    UnmapViewOfFile(data);
    return true;
}

static bool create_win32(void *name, uint64_t count) {
    for (; count > 0; count--) {
        HANDLE section =
            CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SHM_SIZE, name);
        if (!store(section)) {
            return false;
        }
        CloseHandle(section);
    }
    return true;
}

static bool attach_win32(void *name, uint64_t count) {
    for (; count > 0; count--) {
        HANDLE section = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
        if (!store(section)) {
            return false;
        }
        CloseHandle(section);
    }
    return true;
}

static int measure_creating(char *name) {
    const bench_subject subjects[] = {
        {"shm_open", peer_create_raw, name, 0, NULL},
        {"Boost.Interprocess", peer_create_boost, name, 0, NULL},
        {"keepmap, CreateFileMapping", create_win32, name, 0.5, NULL},
    };
    return bench_measure("create+map+write+unmap+remove, named 4 KiB", subjects,
                         sizeof subjects / sizeof subjects[0], bench_rounds(9), 0.2);
}

static int measure_attaching(char *name) {
    const bench_subject subjects[] = {
        {"shm_open", peer_attach_raw, name, 0, NULL},
        {"Boost.Interprocess", peer_attach_boost, name, 0, NULL},
        {"keepmap, OpenFileMapping", attach_win32, name, 0.5, NULL},
    };
    HANDLE existing =
        CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SHM_SIZE, name);
    if (existing == NULL || !peer_make_existing(name)) {
        perror(name);
        return -1;
    }
    int missed = bench_measure("open existing+map+write+unmap+close, named 4 KiB", subjects,
                               sizeof subjects / sizeof subjects[0], bench_rounds(9), 0.2);
    CloseHandle(existing);
    peer_remove_existing(name);
    return missed;
}

int main(void) {
    char name[64];
    (void)snprintf(name, sizeof name, "keepmap bench %ld", (long)getpid());
    return measure_creating(name) < 0 || measure_attaching(name) < 0 ? 1 : 0;
}
