/*
 * stress_handles.c - threads make, use, duplicate, hand over and close handles, and use stale ones:
 * a handle is its file's or nobody's, and in the end no descriptor is left.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>

#include <keepmap/win32.h>

#include "support/scratch.h"
#include "support/stress.h"

enum { THREADS = 8, FILES = 7, PLACES = 64, FILE_UNIT = 1000 };

/* Handles on offer. Who takes one out of its place owns it alone; who only looks may be too late.
 */
static _Atomic(HANDLE) places[PLACES];
static atomic_ulong opened;
static atomic_ulong duplicated;
static atomic_ulong closed;
static atomic_ulong stale;

static void name_of(unsigned index, char *name, size_t size) {
    snprintf(name, size, "file%u", index);
}

static HANDLE open_one(void) {
    char name[16];
    name_of(stress_random(FILES), name, sizeof name);
    HANDLE file =
        CreateFileA(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        stress_fail("open: error %u", (unsigned)GetLastError());
    }
    atomic_fetch_add(&opened, 1);
    return file;
}

/* 0 if the handle is none. */
static uint64_t size_by(HANDLE file) {
    LARGE_INTEGER size;
    if (!GetFileSizeEx(file, &size)) {
        if (GetLastError() != ERROR_INVALID_HANDLE) {
            stress_fail("GetFileSizeEx: error %u", (unsigned)GetLastError());
        }
        return 0;
    }
    if (size.QuadPart <= 0 || size.QuadPart > (LONGLONG)FILES * FILE_UNIT ||
        size.QuadPart % FILE_UNIT != 0) {
        stress_fail("a handle to no file of ours: size %lld", (long long)size.QuadPart);
    }
    return (uint64_t)size.QuadPart;
}

static HANDLE duplicate(HANDLE file) {
    HANDLE twin = NULL;
    if (!DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &twin, 0, FALSE,
                         DUPLICATE_SAME_ACCESS)) {
        stress_fail("DuplicateHandle: error %u", (unsigned)GetLastError());
    }
    if (size_by(twin) != size_by(file)) {
        stress_fail("a duplicate of another file");
    }
    atomic_fetch_add(&duplicated, 1);
    return twin;
}

static void close_twice(HANDLE file) {
    if (size_by(file) == 0 || !CloseHandle(file)) {
        stress_fail("a handle that somebody else has closed");
    }
    atomic_fetch_add(&closed, 1);
    /* Its number comes back only after half a million other closes. */
    if (CloseHandle(file) || GetLastError() != ERROR_INVALID_HANDLE || size_by(file) != 0) {
        stress_fail("a closed handle that is still one");
    }
    atomic_fetch_add(&stale, 1);
}

static void put(HANDLE file) {
    HANDLE before = atomic_exchange(&places[stress_random(PLACES)], file);
    if (before != NULL) {
        close_twice(before);
    }
}

static void *hammer(void *arg) {
    stress_reseed(*(const unsigned *)arg);
    while (stress_goes_on()) {
        unsigned place = stress_random(PLACES);
        switch (stress_random(4)) {
        case 0:
            put(open_one());
            break;
        case 1: { /* somebody may close it meanwhile */
            HANDLE seen = atomic_load(&places[place]);
            if (seen != NULL) {
                (void)size_by(seen);
            }
            break;
        }
        case 2: {
            HANDLE taken = atomic_exchange(&places[place], NULL);
            if (taken != NULL) {
                put(duplicate(taken));
                put(taken);
            }
            break;
        }
        default: {
            HANDLE taken = atomic_exchange(&places[place], NULL);
            if (taken != NULL) {
                close_twice(taken);
            }
        }
        }
    }
    return NULL;
}

static unsigned open_descriptors(void) {
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        stress_fail("/proc is not there");
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        name_of(i, name, sizeof name);
        scratch_file(name, (uint64_t)(i + 1) * FILE_UNIT, i);
    }
    unsigned descriptors = open_descriptors();
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        if (pthread_create(&threads[i], NULL, hammer, &numbers[i]) != 0) {
            stress_fail("no more threads");
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < PLACES; i++) {
        if (places[i] != NULL) {
            close_twice(places[i]);
        }
    }
    if (open_descriptors() != descriptors) {
        stress_fail("%u descriptors before, %u after", descriptors, open_descriptors());
    }
    printf("%lu opens, %lu duplicates, %lu closes, %lu stale handles seen as such\n", opened,
           duplicated, closed, stale);
    return closed == opened + duplicated && opened > 0 ? 0 : 1;
}
