/*
 * page_map.c - what the kernel knows of this process's pages and mappings (/proc/self).
 */
#include "page_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "last_error.h"

int kmw_page_map_open(void) {
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

bool kmw_page_map_read(int page_map, const void *address, size_t count, uint64_t *entries) {
    const uintptr_t page = (uintptr_t)address / (uintptr_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = count * sizeof *entries;
    errno = 0; /* fewer bytes than asked for are no error of pread's */
    return pread(page_map, entries, bytes, (off_t)(page * sizeof *entries)) == (ssize_t)bytes;
}

DWORD kmw_page_map_error(int error) {
    const bool is_passing = error == EMFILE || error == ENFILE || error == ENOMEM;
    return is_passing ? kmw_error_of_errno(error) : ERROR_NOT_SUPPORTED;
}

/* msync's MS_INVALIDATE is refused for locked memory, and on Linux does nothing else. */
bool kmw_page_is_locked(const void *address) {
#if defined(__linux__)
    const uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *const page = (void *)((uintptr_t)address & ~(page_size - 1));
    return msync(page, page_size, MS_INVALIDATE) != 0 && errno == EBUSY;
#else
    (void)address;
    return false;
#endif
}

/* "start-end rwxp offset major:minor inode path" */
static bool parse_mapping(const char *line, kmw_mapping *mapping) {
    char *rest = NULL;
    mapping->start = (uintptr_t)strtoumax(line, &rest, 16);
    if (*rest != '-') {
        return false;
    }
    mapping->end = (uintptr_t)strtoumax(rest + 1, &rest, 16);
    if (rest[0] != ' ' || rest[1] == '\0' || rest[2] == '\0' || rest[3] == '\0') {
        return false;
    }
    mapping->free = false;
    mapping->protection = (rest[1] == 'r' ? PROT_READ : 0) | (rest[2] == 'w' ? PROT_WRITE : 0) |
                          (rest[3] == 'x' ? PROT_EXEC : 0);
    mapping->shared = rest[4] == 's';
    (void)strtoumax(rest + 5, &rest, 16); /* offset */
    (void)strtoumax(rest, &rest, 16);     /* major */
    if (*rest != ':') {
        return false;
    }
    (void)strtoumax(rest + 1, &rest, 16); /* minor */
    mapping->file = strtoumax(rest, NULL, 10) != 0;
    return true;
}

bool kmw_mapping_at(const void *address, uintptr_t top, kmw_mapping *mapping) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return false;
    }
    const uintptr_t wanted = (uintptr_t)address;
    kmw_mapping gap = {.start = 0, .end = top, .free = true};
    kmw_mapping found = gap;
    char *line = NULL;
    size_t size = 0;
    bool read = false;
    while (getline(&line, &size, maps) > 0) {
        kmw_mapping next;
        if (!parse_mapping(line, &next)) {
            continue;
        }
        if (wanted < next.start) {
            gap.end = next.start < top ? next.start : top;
            read = true;
            break;
        }
        if (wanted < next.end) {
            found = next;
            read = true;
            break;
        }
        gap.start = next.end;
    }
    read = read || feof(maps) != 0; /* want of memory ends it too, and is no gap */
    free(line);
    (void)fclose(maps);
    if (read) {
        *mapping = found.free ? gap : found;
    }
    return read;
}

uint64_t kmw_mapped_bytes(void) {
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL) {
        return 0;
    }
    char line[128];
    uint64_t pages = 0;
    if (fgets(line, sizeof line, statm) != NULL) {
        pages = strtoumax(line, NULL, 10);
    }
    (void)fclose(statm);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
