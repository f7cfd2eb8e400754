/*
 * shared_reader.c - reads what shared_writer.c shares.
 *
 *     shared_reader [NAME]
 */
#include <stdio.h>

#include <windows.h>

#define SIZE 256

static int fail(const char *what) {
    fprintf(stderr, "shared_reader: %s failed with error %lu\n", what,
            (unsigned long)GetLastError());
    return 1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "Local\\keepmap-example-memory";

    /* Opening never makes anything: without a writer there is nothing to read. And it asks for no
     * more than it needs, so that a slip of the pen below would fault here instead of destroying
     * the writer's data. */
    HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
    if (section == NULL) {
        if (GetLastError() == ERROR_FILE_NOT_FOUND) {
            fprintf(stderr, "shared_reader: there is no \"%s\"; start shared_writer first\n", name);
            return 1;
        }
        return fail("OpenFileMapping");
    }
    const char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, SIZE);
    if (view == NULL) {
        CloseHandle(section);
        return fail("MapViewOfFile");
    }

    /* Somebody else may have written this, so there is no trusting that a zero ends it. */
    printf("read: %.*s\n", SIZE, view);

    UnmapViewOfFile(view);
    CloseHandle(section);
    return 0;
}
