/*
 * open_or_create.c - one program that does not know whether it is the first.
 *
 *     open_or_create [NAME]
 *
 * Start it twice, in two windows. The first makes the segment, the second finds it; both come
 * through the same call. There is no "look whether it exists, then create it": somebody else could
 * come between the two.
 */
#include <stdio.h>

#include <windows.h>

typedef struct counter {
    LONG starts; /* changed by everybody at once, hence only by Interlocked... */
} counter;

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "Local\\keepmap-example-counter";

    HANDLE section =
        CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, sizeof(counter), name);
    /* At once: each further call may set the last error anew. It is ERROR_ALREADY_EXISTS also
     * though the call has succeeded. The memory has then the size that its maker asked for. */
    DWORD error = GetLastError();
    if (section == NULL) {
        fprintf(stderr, "open_or_create: CreateFileMapping failed with error %lu\n",
                (unsigned long)error);
        return 1;
    }
    counter *shared = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, sizeof(counter));
    if (shared == NULL) {
        fprintf(stderr, "open_or_create: MapViewOfFile failed with error %lu\n",
                (unsigned long)GetLastError());
        CloseHandle(section);
        return 1;
    }

    /* New memory is all zeros for everybody, so a state that begins with zeros needs no
     * initialising, and no race about who does it. (Otherwise: a mutex around all of this, or
     * km_segment, which lets nobody in before its creator is ready.) */
    LONG number = InterlockedIncrement(&shared->starts);
    printf("%s it, start number %ld\n", error == ERROR_ALREADY_EXISTS ? "found" : "created",
           (long)number);
    printf("press Enter to end\n");
    fflush(stdout);
    (void)getchar();

    /* The last one to close its handle takes the name and the number with it. */
    UnmapViewOfFile(shared);
    CloseHandle(section);
    return 0;
}
