/*
 * described_segment.c - a segment that says what it is: by hand, and keepmap's way.
 *
 *     described_segment [NAME]
 *
 * Start it, and leave it waiting; start it again. The first makes two segments, the second opens
 * them knowing nothing but the name.
 *
 * OpenFileMapping does not say how large a section is, nor what is in it; VirtualQuery rounds up to
 * whole pages. So the old advice is a header at the front of the memory with the size and a name:
 * look at the header through a small view first, then map the whole. That works, but all who use
 * the memory have to agree on the header, skip it, and be careful to read it only when it is
 * finished. km_segment keeps such a record behind the data, where it is in nobody's way, checks it
 * when a segment is opened, and lets nobody in before it is there.
 */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include <keepmap.h>

#define NUMBERS 1000
#define PATIENCE_MS 5000
#define MAGIC 0x314D454Du /* "MEM1", so that somebody else's memory is not taken for ours */

/* ---- By hand --------------------------------------------------------------------------------- */

typedef struct description {
    LONG magic; /* stored last: whoever finds it finds the rest too */
    DWORD size; /* of the whole, this header included */
    char name[56];
} description;

static int complain(const char *what) {
    fprintf(stderr, "described_segment: %s failed with error %lu\n", what,
            (unsigned long)GetLastError());
    return 1;
}

static BOOL describe(HANDLE section, DWORD size) {
    description *front = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, size);
    if (front == NULL) {
        return FALSE;
    }
    front->size = size;
    snprintf(front->name, sizeof front->name, "a thousand numbers");
    InterlockedExchange(&front->magic, (LONG)MAGIC);
    UnmapViewOfFile(front);
    return TRUE;
}

/* Its maker may just have got as far as making it, or have died there: so not for ever. The
 * Interlocked call stores nothing new; it is there for its barrier: nothing of what follows is read
 * before the magic number. */
static BOOL wait_until_finished(description *front) {
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 10) {
        if (InterlockedCompareExchange(&front->magic, 0, 0) == (LONG)MAGIC) {
            return TRUE;
        }
        Sleep(10);
    }
    return FALSE;
}

/* First only the header's bytes, then as many as it says: after a look at whether that can be. */
static BOOL look(HANDLE section) {
    description *front = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, sizeof(description));
    if (front == NULL) {
        return FALSE;
    }
    BOOL finished = wait_until_finished(front);
    DWORD size = front->size;
    UnmapViewOfFile(front);
    if (!finished || size < sizeof(description)) {
        SetLastError(ERROR_INVALID_DATA);
        return FALSE;
    }
    front = MapViewOfFile(section, FILE_MAP_READ, 0, 0, size);
    if (front == NULL) {
        return FALSE;
    }
    printf("by hand: \"%.*s\", %lu bytes, of which %lu are the header\n", (int)sizeof front->name,
           front->name, (unsigned long)front->size, (unsigned long)sizeof(description));
    UnmapViewOfFile(front);
    return TRUE;
}

/* One call makes or opens it, and the last error says which. To try to open it first, and to make
 * it if it is not there, would let two processes believe that they have made it. */
static int by_hand(const char *name, HANDLE *section) {
    DWORD size = (DWORD)(sizeof(description) + NUMBERS * sizeof(LONG));
    *section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, size, name);
    BOOL existed = GetLastError() == ERROR_ALREADY_EXISTS;
    if (*section == NULL) {
        return complain("CreateFileMapping");
    }
    if (existed) {
        return look(*section) ? 0 : complain("reading the description");
    }
    if (!describe(*section, size)) {
        return complain("writing the description");
    }
    printf("by hand: made %lu bytes\n", (unsigned long)size);
    return 0;
}

/* ---- keepmap's way --------------------------------------------------------------------------- */

static int with_keepmap(const char *name, km_map **map) {
    /* Make it or open it. Whoever comes with another type or version is refused. */
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_CREATE,
                                .size = NUMBERS * sizeof(int32_t),
                                .type = "a thousand numbers",
                                .type_version = 1};
    km_segment_facts facts = {0};
    if (km_segment(map, name, &options) != KM_OK || km_segment_describe(*map, &facts) != KM_OK) {
        fprintf(stderr, "described_segment: %s\n", km_error_message());
        return 1;
    }
    /* The numbers begin at km_data, and km_size is exact. */
    if (km_created(*map)) {
        printf("km_segment: made %llu bytes\n", (unsigned long long)km_size(*map));
    } else {
        printf("km_segment: \"%s\" version %lu, %llu bytes, all of them data\n", facts.type,
               (unsigned long)facts.type_version, (unsigned long long)km_size(*map));
    }
    return 0;
}

int main(int argc, char **argv) {
    char by_hand_name[MAX_PATH];
    const char *name = argc > 1 ? argv[1] : "keepmap-example-numbers";
    int length = snprintf(by_hand_name, sizeof by_hand_name, "Local\\%s.by-hand", name);
    if (length < 0 || (size_t)length >= sizeof by_hand_name) {
        fprintf(stderr, "described_segment: the name is too long\n"); /* cut, it would be another */
        return 1;
    }

    HANDLE section = NULL;
    km_map *map = NULL;
    int result = by_hand(by_hand_name, &section);
    if (result == 0) {
        result = with_keepmap(name, &map);
    }
    if (result == 0) {
        printf("press Enter to end\n");
        fflush(stdout);
        (void)getchar();
    }
    km_close(map);
    if (section != NULL) {
        CloseHandle(section);
    }
    return result;
}
