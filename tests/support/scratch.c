/*
 * scratch.c - files to test with, made and looked at with plain C calls alone.
 */
#include "scratch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { CHUNK = 65536 };

unsigned char scratch_byte(uint64_t offset, unsigned seed) {
    return (unsigned char)(offset * 7 + offset / 4096 + seed);
}

static FILE *open_file(const char *name, const char *mode) {
    FILE *file = fopen(name, mode);
    if (file == NULL) {
        fail_msg("%s cannot be opened (%s)", name, mode);
    }
    return file;
}

static void close_written(FILE *file, const char *name, bool written) {
    bool closed = fclose(file) == 0;
    if (!written || !closed) {
        fail_msg("%s cannot be written", name);
    }
}

void scratch_file(const char *name, uint64_t size, unsigned seed) {
    FILE *file = open_file(name, "wb");
    static _Thread_local unsigned char chunk[CHUNK];
    bool written = true;
    for (uint64_t at = 0; at < size && written; at += CHUNK) {
        size_t length = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        for (size_t i = 0; i < length; i++) {
            chunk[i] = scratch_byte(at + i, seed);
        }
        written = fwrite(chunk, 1, length, file) == length;
    }
    close_written(file, name, written);
}

void scratch_write(const char *name, const void *bytes, size_t size) {
    FILE *file = open_file(name, "wb");
    close_written(file, name, size == 0 || fwrite(bytes, 1, size, file) == size);
}

int64_t scratch_size(const char *name) {
#if defined(_WIN32)
    struct _stati64 facts;
    return _stati64(name, &facts) == 0 ? (int64_t)facts.st_size : -1;
#else
    struct stat facts;
    return stat(name, &facts) == 0 ? (int64_t)facts.st_size : -1;
#endif
}

bool scratch_equals(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        return false;
    }
    const unsigned char *expected = bytes;
    unsigned char chunk[4096];
    size_t at = 0;
    size_t got = 0;
    bool same = true;
    while (same && (got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        same = got <= size - at && memcmp(chunk, expected + at, got) == 0;
        at += got;
    }
    same = same && at == size && !ferror(file);
    fclose(file);
    return same;
}

bool scratch_same(const char *one, const char *other) {
    FILE *files[2] = {fopen(one, "rb"), fopen(other, "rb")};
    bool same = files[0] != NULL && files[1] != NULL;
    size_t got = 1;
    while (same && got > 0) {
        unsigned char chunks[2][4096];
        got = fread(chunks[0], 1, sizeof chunks[0], files[0]);
        same = fread(chunks[1], 1, sizeof chunks[1], files[1]) == got &&
               memcmp(chunks[0], chunks[1], got) == 0 && !ferror(files[0]) && !ferror(files[1]);
    }
    for (size_t i = 0; i < 2; i++) {
        if (files[i] != NULL) {
            fclose(files[i]);
        }
    }
    return same;
}

void scratch_remove(const char *name) {
    if (remove(name) != 0) {
        fail_msg("%s cannot be removed", name);
    }
}

size_t scratch_entries(void) {
    DIR *directory = opendir(".");
    if (directory == NULL) {
        fail_msg("the scratch directory cannot be listed");
        return 0;
    }
    size_t count = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
        }
    }
    closedir(directory);
    return count;
}
