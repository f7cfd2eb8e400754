/*
 * object_sweep.c - going through everything that has a name: clearing away what nobody holds, and
 * listing what somebody does.
 *
 * What a killed process left is cleared away by the next program that opens its name, makes any
 * object, or lists them. There is no daemon for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "last_error.h"
#include "object_directory.h"
#include "object_probe.h"
#include "sharing.h"

/* One directory being gone through. */
typedef struct round {
    bool global;
    int directory;
    kmw_path path;          /* the directory's */
    kmw_list_function each; /* NULL: sweep only */
    void *arg;
    bool enough;
} round;

unsigned kmw_sweep_interval_ms = 1000;

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text);
    const size_t tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Is it named as the file of an object is, of a draft, or of a segment's lock? */
static bool is_ours(const round *at, const char *file) {
    if (at->global) {
        if (strncmp(file, KMW_GLOBAL_PREFIX, strlen(KMW_GLOBAL_PREFIX)) != 0) {
            return false;
        }
        file += strlen(KMW_GLOBAL_PREFIX);
    }
    const size_t digits = strspn(file, "0123456789abcdef");
    return digits == KMW_HASH_DIGITS && (file[digits] == '\0' || file[digits] == '.');
}

/* Is that the name that such a file has? Anybody may write what he likes into a file of his. */
static bool is_name_of(const round *at, const char *file, const char *text, size_t length) {
    const kmw_object_name name = {.global = at->global, .text = (char *)text, .length = length};
    kmw_object_file expected;
    kmw_object_file_of(&name, &expected);
    return strcmp(expected.name, file) == 0;
}

/* A held object, as far as it can be read; not one that was let go a moment ago. */
static void show(round *at, const char *file, int descriptor) {
    struct stat facts;
    kmw_object_header header;
    if (fstat(descriptor, &facts) != 0 || facts.st_nlink != 1 ||
        !kmw_object_read_header(descriptor, facts.st_size, &header)) {
        return;
    }
    char *name = malloc((size_t)header.name_length + 1); /* which the header was checked for */
    if (name == NULL) {
        return;
    }
    const ssize_t got = pread(descriptor, name, header.name_length, (off_t)KMW_NAME_OFFSET);
    if (got == (ssize_t)header.name_length && is_name_of(at, file, name, header.name_length)) {
        name[header.name_length] = '\0';
        const kmw_listed listed = {descriptor,   at->global, facts.st_uid, facts.st_dev,
                                   facts.st_ino, &header,    name};
        at->enough = !at->each(&listed, at->arg);
    }
    free(name);
}

/* Where nobody can tell whether a file is in use, none is deleted; and nobody is waited for. */
static bool is_in_nobodys_use(const round *at, const char *file) {
    const int descriptor = kmw_object_open_file(at->directory, file, O_RDONLY);
    if (descriptor < 0) {
        return false;
    }
    const bool free_now = kmw_sharing_is_free(descriptor);
    close(descriptor);
    return free_now;
}

/* Refused while a segment's map has it open. */
static void clear_lock_file(const round *at, const char *file) {
    kmw_path path;
    const int length = snprintf(path.text, sizeof path.text, "%s/%s", at->path.text, file);
    if (length >= 0 && (size_t)length < sizeof path.text && is_in_nobodys_use(at, file)) {
        (void)DeleteFileA(path.text);
    }
}

static void visit(round *at, const char *file) {
    if (ends_with(file, KMW_LOCK_SUFFIX)) {
        clear_lock_file(at, file);
        return;
    }
    const int descriptor = kmw_object_open_file(at->directory, file, O_RDONLY);
    if (descriptor < 0) {
        return; /* gone meanwhile, or kept from us */
    }
    if (kmw_object_probe(descriptor, at->directory, file) == KMW_PROBE_HELD && at->each != NULL) {
        show(at, file, descriptor);
    }
    close(descriptor);
}

static DWORD go_through(round *at) {
    DWORD error = kmw_object_directory(at->global, false, &at->directory);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_directory_path(at->global, &at->path);
    }
    if (error != ERROR_SUCCESS) {
        return error == ERROR_FILE_NOT_FOUND ? ERROR_SUCCESS : error; /* nobody has made one yet */
    }
    DIR *directory = opendir(at->path.text);
    if (directory == NULL) {
        return errno == ENOENT ? ERROR_SUCCESS : kmw_error_of_errno(errno);
    }
    for (const struct dirent *entry = readdir(directory); !at->enough && entry != NULL;
         entry = readdir(directory)) {
        if (is_ours(at, entry->d_name)) {
            visit(at, entry->d_name);
        }
    }
    closedir(directory);
    return ERROR_SUCCESS;
}

static DWORD go_through_all(kmw_list_function each, void *arg) {
    DWORD error = ERROR_SUCCESS;
    const DWORD kept = GetLastError();
    round at = {.each = each, .arg = arg};
    for (int global = 0; global <= 1 && !at.enough; ++global) {
        at.global = global != 0;
        const DWORD failed = go_through(&at);
        error = error == ERROR_SUCCESS ? failed : error;
    }
    SetLastError(kept);
    return error;
}

DWORD kmw_named_list(kmw_list_function each, void *arg) {
    return go_through_all(each, arg);
}

void kmw_named_sweep(void) {
    static _Atomic(uint64_t) last_ms; /* 0: never */
    const uint64_t now_ms = GetTickCount64();
    uint64_t before = atomic_load_explicit(&last_ms, memory_order_relaxed);
    if (before != 0 && now_ms - before < kmw_sweep_interval_ms) {
        return;
    }
    /* Of several threads that come at once, one goes. */
    if (atomic_compare_exchange_strong_explicit(&last_ms, &before, now_ms, memory_order_relaxed,
                                                memory_order_relaxed)) {
        (void)go_through_all(NULL, NULL); /* what cannot be cleared away now stays for the next */
    }
}
