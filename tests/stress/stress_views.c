/*
 * stress_views.c - threads map, unmap, query, protect, flush and copy from views, their own and
 * others': a view is found by each of its addresses, shows its own part of the file, and in the end
 * none is left.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <keepmap/win32.h>

#include "support/scratch.h"
#include "support/stress.h"

enum { THREADS = 8, GRANULES = 32, GRANULE = 65536, PAGE = 4096, KEPT = 16, SEED = 3 };

static HANDLE section;
static _Atomic(unsigned char *) seen[THREADS * KEPT]; /* addresses of views, perhaps gone by now */
static atomic_ulong mapped;
static atomic_ulong queried;
static atomic_ulong copied;
static atomic_ulong copies_refused;

typedef struct own_view {
    unsigned char *base;
    size_t offset;
    size_t length;
    DWORD access;
} own_view;

static own_view map_one(void) {
    static const DWORD accesses[] = {FILE_MAP_READ, FILE_MAP_WRITE, FILE_MAP_COPY};
    own_view view = {.access = accesses[stress_random(3)]};
    view.offset = (size_t)stress_random(GRANULES) * GRANULE;
    size_t rest = (size_t)GRANULES * GRANULE - view.offset;
    view.length = 1 + stress_random((uint32_t)rest);
    view.base = MapViewOfFile(section, view.access, 0, (DWORD)view.offset, view.length);
    if (view.base == NULL) {
        stress_fail("MapViewOfFile: error %u", (unsigned)GetLastError());
    }
    atomic_fetch_add(&mapped, 1);
    return view;
}

static void check_contents(const own_view *view) {
    size_t at = stress_random((uint32_t)view->length);
    unsigned char want = scratch_byte(view->offset + at, SEED);
    if (view->base[at] != want) {
        stress_fail("byte %zu of a view at %zu is %u, not %u", at, view->offset, view->base[at],
                    want);
    }
    if (view->access != FILE_MAP_READ) {
        view->base[at] = want; /* a store that changes nothing */
    }
}

static void check_query(const own_view *view) {
    MEMORY_BASIC_INFORMATION facts;
    size_t at = stress_random((uint32_t)view->length);
    size_t pages = (view->length + PAGE - 1) / PAGE * PAGE;
    if (VirtualQuery(view->base + at, &facts, sizeof facts) != sizeof facts) {
        stress_fail("VirtualQuery: error %u", (unsigned)GetLastError());
    }
    size_t begin = (size_t)((unsigned char *)facts.BaseAddress - view->base);
    bool split = view->access == FILE_MAP_COPY; /* written pages make regions of their own */
    if (facts.AllocationBase != view->base || facts.Type != MEM_MAPPED ||
        begin != at / PAGE * PAGE || begin + facts.RegionSize > pages ||
        (!split && begin + facts.RegionSize != pages)) {
        stress_fail("VirtualQuery of a view of %zu at %zu: region from %zu of %zu", view->length,
                    at, begin, facts.RegionSize);
    }
    atomic_fetch_add(&queried, 1);
}

static void check_protect(const own_view *view) {
    DWORD before = 0;
    DWORD full = view->access == FILE_MAP_READ    ? PAGE_READONLY
                 : view->access == FILE_MAP_WRITE ? PAGE_READWRITE
                                                  : PAGE_WRITECOPY;
    if (!VirtualProtect(view->base, view->length, PAGE_READONLY, &before) ||
        !VirtualProtect(view->base, view->length, full, &before)) {
        stress_fail("VirtualProtect: error %u", (unsigned)GetLastError());
    }
}

/* What another thread may be unmapping at this moment: an answer or an error, never a crash. */
static void look_at_another(void) {
    unsigned char *address = atomic_load(&seen[stress_random(THREADS * KEPT)]);
    if (address == NULL) {
        return;
    }
    MEMORY_BASIC_INFORMATION facts;
    if (VirtualQuery(address, &facts, sizeof facts) != sizeof facts) {
        stress_fail("VirtualQuery of another's view: error %u", (unsigned)GetLastError());
    }
    unsigned char byte = 0;
    SIZE_T done = 0;
    if (ReadProcessMemory(GetCurrentProcess(), address, &byte, 1, &done)) {
        atomic_fetch_add(&copied, 1);
    } else {
        atomic_fetch_add(&copies_refused, 1);
    }
    (void)FlushViewOfFile(address, 1);
}

static void unmap_one(own_view *view) {
    if (!UnmapViewOfFile(view->base + stress_random((uint32_t)view->length))) {
        stress_fail("UnmapViewOfFile: error %u", (unsigned)GetLastError());
    }
    view->base = NULL;
}

static void *hammer(void *arg) {
    unsigned thread = *(const unsigned *)arg;
    stress_reseed(thread + 1);
    own_view views[KEPT] = {0};
    while (stress_goes_on()) {
        unsigned index = stress_random(KEPT);
        own_view *view = &views[index];
        if (view->base == NULL) {
            *view = map_one();
            atomic_store(&seen[thread * KEPT + index], view->base);
        }
        check_contents(view);
        check_query(view);
        switch (stress_random(5)) {
        case 0:
            check_protect(view);
            break;
        case 1:
            if (!FlushViewOfFile(view->base, 0)) {
                stress_fail("FlushViewOfFile: error %u", (unsigned)GetLastError());
            }
            break;
        case 2:
            look_at_another();
            break;
        default:
            unmap_one(view);
        }
    }
    for (unsigned i = 0; i < KEPT; i++) {
        if (views[i].base != NULL) {
            unmap_one(&views[i]);
        }
    }
    return NULL;
}

static unsigned lines_of_our_file(void) {
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "/views.dat") != NULL;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return count;
}

int main(int argc, char **argv) {
    stress_begin(argc, argv);
    scratch_file("views.dat", (uint64_t)GRANULES * GRANULE, SEED);
    HANDLE file = CreateFileA("views.dat", GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    if (section == NULL) {
        stress_fail("section: error %u", (unsigned)GetLastError());
    }
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, hammer, &numbers[i]) != 0) {
            stress_fail("no more threads");
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CloseHandle(section);
    if (lines_of_our_file() != 0) {
        stress_fail("%u mappings are left", lines_of_our_file());
    }
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    if (!SetEndOfFile(file)) {
        stress_fail("the file counts as mapped still: error %u", (unsigned)GetLastError());
    }
    CloseHandle(file);
    printf("%lu views mapped, %lu queries, %lu bytes copied from others' views, %lu refused\n",
           mapped, queried, copied, copies_refused);
    return mapped > 0 && copied > 0 ? 0 : 1;
}
