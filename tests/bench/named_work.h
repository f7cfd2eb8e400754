/*
 * named_work.h - what is measured of named sections, in Win32's own words: so that the same lines
 * run on keepmap and on Windows' own implementation.
 */
#ifndef BENCH_NAMED_WORK_H
#define BENCH_NAMED_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <keepmap/win32.h>

#define CREATE_WORK "create+map+write+unmap+remove, named 4 KiB"
#define ATTACH_WORK "open existing+map+write+unmap+close, named 4 KiB"

enum { SECTION_SIZE = 4096 };

static inline HANDLE make_section(const char *name) {
    return CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SECTION_SIZE, name);
}

static inline bool store(HANDLE section) {
    char *data = section != NULL ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (data == NULL) {
        fprintf(stderr, "Win32 error %u\n", (unsigned)GetLastError());
        return false;
    }
    *(volatile char *)data = 1;
    UnmapViewOfFile(data);
    return true;
}

/* Each does it `count` times, under the given name; attaching wants one that is there. */
static inline bool create_win32(void *name, uint64_t count) {
    for (; count > 0; count--) {
        HANDLE section = make_section(name);
        if (!store(section)) {
            return false;
        }
        CloseHandle(section);
    }
    return true;
}

static inline bool attach_win32(void *name, uint64_t count) {
    for (; count > 0; count--) {
        HANDLE section = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
        if (!store(section)) {
            return false;
        }
        CloseHandle(section);
    }
    return true;
}

#endif /* BENCH_NAMED_WORK_H */
