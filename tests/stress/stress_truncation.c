/*
 * stress_truncation.c - some processes map a file and touch every byte of it, others cut it and let
 * it grow, and some are killed: what is mapped can be touched, or a SIGBUS ends the run.
 */
#include <stdio.h>
#include <time.h>

#include <keepmap/win32.h>

#include "support/scratch.h"
#include "support/stress.h"

enum { WORKERS = 8, CUTTERS = 3, MAX_SIZE = 300000, PAGE = 4096 };

typedef struct board {
    atomic_ulong maps;
    atomic_ulong touched; /* pages */
    atomic_ulong cuts;
    atomic_ulong refused; /* cuts, because it was mapped */
} board;

static board *shared;

static HANDLE open_it(DWORD disposition) {
    return CreateFileA("cut", GENERIC_READ | GENERIC_WRITE,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, disposition, 0,
                       NULL);
}

static void touch_all(volatile unsigned char *view, size_t size, bool store) {
    for (size_t at = 0; at < size; at += PAGE) {
        unsigned char byte = view[at];
        if (store) {
            view[at] = (unsigned char)(byte + 1);
        }
        atomic_fetch_add(&shared->touched, 1);
    }
    (void)view[size - 1];
}

/* The size of what is mapped is the region's, to the page: more than the file's must never be. */
static void map_once(void) {
    static const DWORD protections[] = {PAGE_READWRITE, PAGE_READONLY, PAGE_WRITECOPY};
    static const DWORD accesses[] = {FILE_MAP_WRITE, FILE_MAP_READ, FILE_MAP_COPY};
    unsigned kind = stress_random(3);
    HANDLE file = open_it(OPEN_EXISTING);
    if (file == INVALID_HANDLE_VALUE) {
        stress_fail("open: error %u", (unsigned)GetLastError());
    }
    DWORD size = kind == 0 && stress_random(2) ? 1 + stress_random(MAX_SIZE) : 0;
    HANDLE section = CreateFileMappingA(file, NULL, protections[kind], 0, size, NULL);
    DWORD error = section == NULL ? GetLastError() : 0;
    CloseHandle(file);
    if (section == NULL) {
        if (error != ERROR_FILE_INVALID && error != ERROR_SHARING_VIOLATION) {
            stress_fail("section: error %u", (unsigned)error);
        }
        return;
    }
    unsigned char *view = MapViewOfFile(section, accesses[kind], 0, 0, 0);
    if (view == NULL) {
        stress_fail("view: error %u", (unsigned)GetLastError());
    }
    if (stress_random(2)) {
        CloseHandle(section);
        section = NULL;
    }
    MEMORY_BASIC_INFORMATION facts;
    if (VirtualQuery(view, &facts, sizeof facts) != sizeof facts) {
        stress_fail("VirtualQuery: error %u", (unsigned)GetLastError());
    }
    size_t mapped = size != 0 ? size : facts.RegionSize;
    for (uint32_t times = 1 + stress_random(5); times > 0; times--) {
        touch_all(view, mapped, kind != 1);
    }
    atomic_fetch_add(&shared->maps, 1);
    if (!UnmapViewOfFile(view) || (section != NULL && !CloseHandle(section))) {
        stress_fail("unmap: error %u", (unsigned)GetLastError());
    }
}

static void cut_once(void) {
    static const DWORD dispositions[] = {OPEN_EXISTING, OPEN_EXISTING, CREATE_ALWAYS,
                                         TRUNCATE_EXISTING};
    DWORD error = 0;
    HANDLE file = open_it(dispositions[stress_random(4)]);
    if (file == INVALID_HANDLE_VALUE) {
        error = GetLastError();
    } else {
        SetFilePointer(file, (LONG)stress_random(MAX_SIZE), NULL, FILE_BEGIN);
        error = SetEndOfFile(file) ? 0 : GetLastError();
        CloseHandle(file);
    }
    if (error != 0 && error != ERROR_USER_MAPPED_FILE) {
        stress_fail("cut: error %u", (unsigned)error);
    }
    atomic_fetch_add(error == 0 ? &shared->cuts : &shared->refused, 1);
}

/* Long enough that at times nobody maps the file and it can be cut. */
static void pause_a_little(void) {
    const struct timespec pause = {.tv_nsec = (long)stress_random(4000000)};
    nanosleep(&pause, NULL);
}

static void work(unsigned worker) {
    while (stress_goes_on()) {
        if (worker < CUTTERS) {
            cut_once();
        } else {
            map_once();
            pause_a_little();
        }
    }
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    scratch_file("cut", 100000, 1);
    shared = stress_shared_memory(sizeof *shared);
    stress_crowd crowd = {.size = WORKERS, .work = work};
    bool well = stress_run(&crowd, 30);

    HANDLE file = open_it(TRUNCATE_EXISTING);
    if (file == INVALID_HANDLE_VALUE) {
        stress_fail("after all have gone the file cannot be cut: error %u",
                    (unsigned)GetLastError());
    }
    CloseHandle(file);
    unsigned long maps = atomic_load(&shared->maps);
    unsigned long cuts = atomic_load(&shared->cuts);
    unsigned long refused = atomic_load(&shared->refused);
    printf("%lu maps (%lu pages touched), %lu cuts, %lu refused, %lu processes killed\n", maps,
           atomic_load(&shared->touched), cuts, refused, crowd.killed);
    return well && maps > 0 && cuts > 0 && refused > 0 ? 0 : 1;
}
