/*
 * copy_on_write.c - everybody may scribble, and nobody spoils the original.
 *
 *     copy_on_write WORD [FILE [NAME]]
 *
 * Start it twice, with two words. Both map the same file copy-on-write under one name; each writes
 * its word over the beginning. PAGE_WRITECOPY gives whoever stores into a page a copy of it, so
 * neither sees the other's word, and the file stays as it was. The file is not even opened for
 * writing.
 */
#include <stdio.h>
#include <string.h>

#include <windows.h>

static const char original[] = "the original, which nobody changes";

static int fail(const char *what) {
    fprintf(stderr, "copy_on_write: %s failed with error %lu\n", what,
            (unsigned long)GetLastError());
    return 1;
}

/* There already is as good as made. */
static BOOL make_original(const char *path) {
    HANDLE file =
        CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return GetLastError() == ERROR_FILE_EXISTS;
    }
    DWORD written = 0;
    BOOL fine = WriteFile(file, original, sizeof original - 1, &written, NULL);
    CloseHandle(file);
    return fine && written == sizeof original - 1;
}

/* By plain reading, past all views. */
static void print_file(HANDLE file) {
    char text[sizeof original] = {0};
    DWORD got = 0;
    SetFilePointer(file, 0, NULL, FILE_BEGIN);
    if (ReadFile(file, text, sizeof original - 1, &got, NULL)) {
        printf("original: %.*s\n", (int)got, text);
    }
}

static int scribble(HANDLE file, HANDLE section, const char *word) {
    char *copy = MapViewOfFile(section, FILE_MAP_COPY, 0, 0, sizeof original - 1);
    if (copy == NULL) {
        return fail("MapViewOfFile");
    }
    size_t length = strlen(word);
    memcpy(copy, word, length < sizeof original - 1 ? length : sizeof original - 1);
    printf("scribbled\n");
    fflush(stdout);
    (void)getchar(); /* let the other one scribble too */

    printf("my copy:  %.*s\n", (int)sizeof original - 1, copy);
    print_file(file);
    UnmapViewOfFile(copy); /* and the copy is forgotten */
    return 0;
}

/* A view cannot be larger than the file, nor can a section of an empty one be made. */
static BOOL large_enough(HANDLE file, const char *path) {
    LARGE_INTEGER size;
    if (!GetFileSizeEx(file, &size)) {
        fail("GetFileSizeEx");
        return FALSE;
    }
    if (size.QuadPart < (LONGLONG)(sizeof original - 1)) {
        fprintf(stderr, "copy_on_write: %s has less than %d bytes; name another file\n", path,
                (int)sizeof original - 1);
        return FALSE;
    }
    return TRUE;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: copy_on_write WORD [FILE [NAME]]\n");
        return 2;
    }
    const char *path = argc > 2 ? argv[2] : "original.txt";
    const char *name = argc > 3 ? argv[3] : "Local\\keepmap-example-original";
    if (!make_original(path)) {
        return fail("making the file");
    }
    HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return fail("CreateFile");
    }
    if (!large_enough(file, path)) {
        CloseHandle(file);
        return 1;
    }
    /* Size 0: the file's. The second process gets a handle to the first one's section, and with it
     * the first one's file, whatever file it has named itself. */
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_WRITECOPY, 0, 0, name);
    if (section == NULL) {
        CloseHandle(file);
        return fail("CreateFileMapping");
    }
    printf("%s\n",
           GetLastError() == ERROR_ALREADY_EXISTS ? "joined whoever came first" : "came first");
    int result = scribble(file, section, argv[1]);
    CloseHandle(section);
    CloseHandle(file);
    return result;
}
