/*
 * shared_writer.c - shares a piece of memory that has a name. shared_reader.c is its other half.
 *
 *     shared_writer [NAME [TEXT]]
 *
 * Start it, leave it waiting, and start shared_reader in another window.
 */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#define SIZE 256

static int fail(const char *what) {
    fprintf(stderr, "shared_writer: %s failed with error %lu\n", what,
            (unsigned long)GetLastError());
    return 1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "Local\\keepmap-example-memory";
    const char *text = argc > 2 ? argv[2] : "Hello from the first process";
    if (strlen(text) >= SIZE) {
        fprintf(stderr, "shared_writer: the text is too long\n");
        return 1;
    }

    /* INVALID_HANDLE_VALUE instead of a file: the memory belongs to no file ("pagefile-backed").
     * The size comes in two halves, the upper 32 bits first. New memory is all zeros. */
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SIZE, name);
    if (section == NULL) {
        return fail("CreateFileMapping");
    }
    /* The call has succeeded all the same: the handle is to the memory of whoever came first. */
    if (GetLastError() == ERROR_ALREADY_EXISTS) {
        printf("the name existed already: writing over what is there\n");
    }

    /* The handle stands for the memory; a view makes it visible at an address. */
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, SIZE);
    if (view == NULL) {
        CloseHandle(section);
        return fail("MapViewOfFile");
    }
    memcpy(view, text, strlen(text) + 1);
    printf("written: %s\n", text);
    fflush(stdout);

    /* The name lives as long as somebody has a handle to it, in whatever process. So wait here:
     * once this was the last handle, a reader would find nothing. */
    printf("press Enter to end\n");
    fflush(stdout);
    (void)getchar();

    UnmapViewOfFile(view);
    CloseHandle(section);
    return 0;
}
