/*
 * object_directory.c - where the files of named objects lie.
 *
 * Reaching a file by its whole path takes half as long again as from its directory. So each process
 * keeps a descriptor of both directories. A program may close descriptors that it does not know,
 * and remove what it finds in /dev/shm; so what the descriptor leads to is looked at each time, and
 * opened anew if it is not what it was. Then the old descriptor is left alone: it may be the
 * program's by now, or be in another thread's use. One that acts for several users keeps one for
 * each.
 */
#include "object_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "last_error.h"

#ifdef O_PATH
#define DIRECTORY_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#else
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#endif

/* Inside a user name space the system's own directories belong to nobody that has a number there.
 */
#define UNMAPPED_OWNER ((uid_t)65534)

/* A directory that was found in order. Never changed or freed once it can be seen. */
typedef struct kept {
    int descriptor;
    uid_t user; /* the effective user at that time */
    dev_t device;
    ino_t inode;
    const struct kept *next; /* found earlier */
} kept;

static _Atomic(const kept *) kept_directories[2]; /* users', the machine's: the latest first */

/* ---- Paths ---- */

/* One of the system's, in which everybody may make files, and nobody remove another's. */
static bool is_shared(const struct stat *facts) {
    return S_ISDIR(facts->st_mode) && (facts->st_mode & S_ISVTX) != 0 &&
           (facts->st_uid == 0 || facts->st_uid == UNMAPPED_OWNER);
}

static bool is_shared_directory(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0 && is_shared(&facts);
}

static const char *const shared_directories[] = {"/dev/shm", "/tmp"};
#define IN_MEMORY shared_directories[0]

/* Chosen once: a process that changed its mind would not find its own objects again. */
static const char *shared_directory(void) {
    static _Atomic(const char *) chosen;
    const char *directory = atomic_load_explicit(&chosen, memory_order_relaxed);
    for (size_t i = 0; directory == NULL && i < 2; ++i) {
        if (is_shared_directory(shared_directories[i])) {
            directory = shared_directories[i];
            atomic_store_explicit(&chosen, directory, memory_order_relaxed);
        }
    }
    return directory;
}

static const char *users_base(void) {
    const char *shared = shared_directory();
    if (shared == IN_MEMORY) {
        return shared;
    }
    const char *temporary = secure_getenv("TMPDIR");
    return temporary != NULL && temporary[0] == '/' ? temporary : shared;
}

DWORD kmw_object_directory_path(bool global, kmw_path *path) {
    const char *base = global ? shared_directory() : users_base();
    if (base == NULL) {
        return ERROR_ACCESS_DENIED;
    }
    const int length = global ? snprintf(path->text, sizeof path->text, "%s", base)
                              : snprintf(path->text, sizeof path->text, "%s/keepmap-%ju", base,
                                         (uintmax_t)geteuid());
    return length < 0 || (size_t)length >= sizeof path->text ? ERROR_FILENAME_EXCED_RANGE
                                                             : ERROR_SUCCESS;
}

DWORD kmw_object_path(const kmw_object_name *name, bool make, kmw_path *path) {
    kmw_object_file file;
    int directory;
    DWORD error = kmw_object_directory(name->global, make, &directory);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_directory_path(name->global, path);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_object_file_of(name, &file);
    const size_t used = strlen(path->text);
    const int length = snprintf(path->text + used, sizeof path->text - used, "/%s", file.name);
    return length < 0 || (size_t)length >= sizeof path->text - used ? ERROR_FILENAME_EXCED_RANGE
                                                                    : ERROR_SUCCESS;
}

/* ---- Descriptors ---- */

/* Nobody else may enter this user's, or he could put what he likes in our objects' places. */
static bool is_in_order(bool global, uid_t user, const struct stat *facts) {
    if (global) {
        return is_shared(facts);
    }
    return S_ISDIR(facts->st_mode) && facts->st_uid == user &&
           (facts->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static DWORD open_directory(bool global, uid_t user, kept *found) {
    kmw_path path;
    struct stat facts;
    const DWORD error = kmw_object_directory_path(global, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const int descriptor = open(path.text, DIRECTORY_FLAGS);
    if (descriptor < 0) {
        /* Not a directory, a link, or not ours to enter. */
        return errno == ELOOP || errno == ENOTDIR ? ERROR_ACCESS_DENIED : kmw_error_of_errno(errno);
    }
    if (fstat(descriptor, &facts) != 0 || !is_in_order(global, user, &facts)) {
        close(descriptor);
        return ERROR_ACCESS_DENIED;
    }
    *found = (kept){descriptor, user, facts.st_dev, facts.st_ino, NULL};
    return ERROR_SUCCESS;
}

static DWORD make_directory(void) {
    kmw_path path;
    const DWORD error = kmw_object_directory_path(false, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    return mkdir(path.text, 0700) == 0 || errno == EEXIST ? ERROR_SUCCESS
                                                          : kmw_error_of_errno(errno);
}

/* Threads that come here at once may keep two for the same directory. */
static DWORD keep(bool global, const kept *found, int *directory) {
    kept *record = malloc(sizeof *record);
    if (record == NULL) {
        close(found->descriptor);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *record = *found;
    record->next = atomic_load(&kept_directories[global]);
    while (!atomic_compare_exchange_weak(&kept_directories[global], &record->next, record)) {
    }
    *directory = found->descriptor;
    return ERROR_SUCCESS;
}

static const kept *latest_of(bool global, uid_t user) {
    const kept *record = atomic_load_explicit(&kept_directories[global], memory_order_acquire);
    while (record != NULL && record->user != user && !global) {
        record = record->next;
    }
    return record;
}

/* Does the descriptor still lead to what it did? Closed by the program, it leads nowhere. */
static DWORD look_again(const kept *record, bool global, bool *same) {
    struct stat facts;
    *same = false;
    if (fstat(record->descriptor, &facts) != 0) {
        return errno == EBADF ? ERROR_SUCCESS : kmw_error_of_errno(errno);
    }
    *same = facts.st_dev == record->device && facts.st_ino == record->inode && facts.st_nlink > 0;
    return *same && !is_in_order(global, record->user, &facts) ? ERROR_ACCESS_DENIED
                                                               : ERROR_SUCCESS;
}

DWORD kmw_object_directory(bool global, bool make, int *directory) {
    kept found = {.descriptor = -1};
    bool same = false;
    DWORD error = ERROR_SUCCESS;
    const uid_t user = geteuid();
    const kept *record = latest_of(global, user);
    if (record != NULL) {
        error = look_again(record, global, &same);
    }
    if (error != ERROR_SUCCESS || same) {
        *directory = same ? record->descriptor : -1;
        return error;
    }
    error = open_directory(global, user, &found);
    if (error == ERROR_FILE_NOT_FOUND && make && !global) {
        error = make_directory();
        error = error == ERROR_SUCCESS ? open_directory(global, user, &found) : error;
    }
    return error == ERROR_SUCCESS ? keep(global, &found, directory) : error;
}
