/*
 * file.c - files: how they come to be, grow, are cut short, and go.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "last_error.h"
#include "sharing.h"
#include "text.h"

static void close_if_open(int *descriptor) {
    if (*descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
}

/* It is not a forked child's business. */
static bool is_to_be_deleted(const kmw_file *file) {
    return file->delete_path != NULL && file->opener == getpid();
}

/*
 * The claims and locks go; sections keep what they need. But what is to be deleted stays claimed
 * until it is: nobody who does not share deleting may open it in between.
 */
static void last_handle(kmw_object *object) {
    kmw_file *file = (kmw_file *)object;
    kmw_file_locks_drop(file);
    if (!is_to_be_deleted(file)) {
        kmw_marks_end_claims(file);
    }
}

/* What has been put in its place since it was opened is not ours to delete. */
static void delete_if_same(const kmw_file *file) {
    struct stat facts;
    if (lstat(file->delete_path, &facts) != 0 || !kmw_file_is(file, &facts)) {
        return;
    }
    if (S_ISDIR(facts.st_mode)) {
        (void)rmdir(file->delete_path); /* one that is not empty stays, as on Windows */
    } else {
        (void)unlink(file->delete_path); /* nobody is left to tell */
    }
}

static void destroy(kmw_object *object) {
    kmw_file *file = (kmw_file *)object;
    if (is_to_be_deleted(file)) {
        delete_if_same(file);
    }
    close_if_open(&file->delete_pin);
    close_if_open(&file->lock_descriptor);
    kmw_marks_end_claims(file);
    kmw_file_locks_destroy(file);
    free(file->delete_path);
    free(file);
}

static const kmw_class file_class = {KMW_FILE, last_handle, destroy};

kmw_file *kmw_file_new(int descriptor, int open_flags, const struct stat *facts, const char *path,
                       DWORD access, DWORD share, DWORD flags) {
    const size_t path_size = path != NULL ? strlen(path) + 1 : 0;
    kmw_file *file = malloc(sizeof *file + path_size);
    if (file == NULL) {
        return NULL;
    }
    *file = (kmw_file){0};
    if (path != NULL) {
        file->path = (char *)(file + 1);
        memcpy(file->path, path, path_size);
    }
    kmw_object_init(&file->object, &file_class);
    bool opened_for_io = true;
#ifdef O_PATH
    opened_for_io = !(open_flags & O_PATH);
#endif
    int mode = open_flags & O_ACCMODE;
    file->descriptor = descriptor;
    file->readable = opened_for_io && mode != O_WRONLY;
    file->writable = opened_for_io && mode != O_RDONLY;
    file->type = facts->st_mode & S_IFMT;
    file->device = facts->st_dev;
    file->inode = facts->st_ino;
    file->opened_size = facts->st_size;
    file->access = access;
    file->share = share;
    file->flags = flags;
    file->opener = -1;
    file->delete_pin = -1;
    file->mutexes = kmw_file_mutexes_choose();
    kmw_marks_init(file);
    kmw_file_locks_init(file);
    return file;
}

void kmw_file_disown(kmw_file *file) {
    kmw_sharing_drop(file->descriptor);
    file->descriptor = -1;
    free(file->delete_path);
    file->delete_path = NULL;
}

/* Windows shares devices and pipes freely, and an attributes-only descriptor takes no locks. */
static DWORD claim(kmw_file *file) {
    if ((!S_ISREG(file->type) && !S_ISDIR(file->type)) || !(file->readable || file->writable)) {
        return ERROR_SUCCESS;
    }
    return kmw_sharing_claim(file->descriptor, file->access, file->share, &file->enforced);
}

/* The path of the opened thing itself: of a link's target, unless the link was what was opened. */
static char *path_of_opened(const char *path, bool link) {
    if (!link) {
        return realpath(path, NULL);
    }
    const char *slash = strrchr(path, '/');
    char directory[KMW_PATH_SIZE] = ".";
    if (slash != NULL) {
        size_t length = (size_t)(slash - path) + 1;
        if (length >= sizeof directory) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        memcpy(directory, path, length);
        directory[length] = '\0';
    }
    const char *name = slash != NULL ? slash + 1 : path;
    char *parent = realpath(directory, NULL);
    if (parent == NULL) {
        return NULL;
    }
    size_t size = strlen(parent) + strlen(name) + 2;
    char *whole = malloc(size);
    if (whole != NULL) {
        (void)snprintf(whole, size, "%s/%s", parent, name);
    }
    free(parent);
    return whole;
}

/* Windows asks when the file is opened whether it may be deleted; at the end nobody could be told.
 */
static int check_parent(char *absolute) {
    char *slash = strrchr(absolute, '/');
    *slash = '\0';
    int error = access(slash == absolute ? "/" : absolute, W_OK | X_OK) == 0 ? 0 : errno;
    *slash = '/';
    return error;
}

DWORD kmw_file_delete_on_close(kmw_file *file, const char *path) {
    char *absolute = path_of_opened(path, S_ISLNK(file->type));
    if (absolute == NULL) {
        return kmw_error_of_errno(errno);
    }
    int error = check_parent(absolute);
#ifdef O_PATH
    if (error == 0) {
        file->delete_pin = open(absolute, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        error = file->delete_pin < 0 ? errno : 0;
    }
#endif
    if (error != 0) {
        free(absolute);
        return kmw_error_of_errno(error);
    }
    file->delete_path = absolute;
    file->opener = getpid();
    return ERROR_SUCCESS;
}

HANDLE kmw_file_adopt(int descriptor, DWORD access, DWORD share, DWORD flags, bool inherit,
                      const char *path) {
    struct stat facts;
    int open_flags = fcntl(descriptor, F_GETFL);
    if (open_flags < 0 || fstat(descriptor, &facts) != 0) {
        kmw_fail_errno(errno);
        return INVALID_HANDLE_VALUE;
    }
    access = kmw_file_rights(access) | SYNCHRONIZE | FILE_READ_ATTRIBUTES;
    kmw_file *file = kmw_file_new(descriptor, open_flags, &facts, path, access, share, flags);
    if (file == NULL) {
        kmw_fail(ERROR_NOT_ENOUGH_MEMORY);
        return INVALID_HANDLE_VALUE;
    }
    HANDLE handle = NULL;
    DWORD error = claim(file);
    if (error == ERROR_SUCCESS && (flags & FILE_FLAG_DELETE_ON_CLOSE)) {
        error = kmw_file_delete_on_close(file, path);
    }
    if (error == ERROR_SUCCESS) {
        handle = kmw_handle_open(&file->object, access, inherit);
        error = handle == NULL ? GetLastError() : ERROR_SUCCESS;
    }
    if (error != ERROR_SUCCESS) {
        kmw_file_disown(file);
    }
    kmw_object_release(&file->object);
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_HANDLE_VALUE;
    }
    return handle;
}

/* Going past a process's own limit would be answered by a signal. */
static bool is_past_own_limit(off_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (rlim_t)size > limit.rlim_cur;
}

static int set_size(int descriptor, off_t size) {
    int result;
    do {
        result = ftruncate(descriptor, size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

/* 0 or errno. Lengthens the file too. EOPNOTSUPP where the file system cannot tell. */
static int allocate(int descriptor, off_t start, off_t length) {
#if defined(__linux__)
    int result;
    do {
        result = fallocate(descriptor, 0, start, length);
    } while (result != 0 && errno == EINTR);
    if (result == 0) {
        return 0;
    }
    return errno == ENOSYS ? EOPNOTSUPP : errno;
#else
    (void)descriptor, (void)start, (void)length;
    return EOPNOTSUPP;
#endif
}

static DWORD error_of_growth(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_DISK_FULL;
    default:
        return kmw_error_of_errno(error);
    }
}

/* 0 or errno; on failure the file is as long as it was. */
static int grow_alone(kmw_file *file, off_t size) {
    struct stat facts;
    if (fstat(file->descriptor, &facts) != 0) {
        return errno;
    }
    if (facts.st_size >= size) {
        return 0;
    }
    int error = EOPNOTSUPP;
    if (!atomic_load(&file->sparse)) {
        error = allocate(file->descriptor, facts.st_size, size - facts.st_size);
    }
    if (error == EOPNOTSUPP) {
        error = set_size(file->descriptor, size);
    }
    if (error != 0) {
        /* A disk that filled half-way has lengthened the file, or left blocks behind its end. */
        (void)set_size(file->descriptor, facts.st_size); /* the first error is the one to tell */
    }
    return error;
}

DWORD kmw_file_grow(kmw_file *file, off_t old_size, off_t size) {
    if (size <= old_size) {
        return ERROR_SUCCESS;
    }
    if (is_past_own_limit(size)) {
        return ERROR_DISK_FULL;
    }
    pthread_mutex_lock(&file->mutexes->size);
    kmw_sharing_begin_growth(file->descriptor);
    int error = grow_alone(file, size);
    kmw_sharing_end_growth(file->descriptor);
    pthread_mutex_unlock(&file->mutexes->size);
    return error == 0 ? ERROR_SUCCESS : error_of_growth(error);
}

static DWORD cut_unless_mapped(kmw_file *file, off_t size) {
    /* A description does not stand in its own way: its marks would become the bar, and be gone. */
    if (kmw_marks_forbid_cutting(file)) {
        return ERROR_USER_MAPPED_FILE;
    }
    DWORD result = kmw_sharing_bar_mapping(file->descriptor);
    if (result == ERROR_SUCCESS) {
        int error = set_size(file->descriptor, size);
        kmw_sharing_lift_bar(file->descriptor);
        result = error == 0 ? ERROR_SUCCESS : kmw_error_of_errno(error);
    }
    return result;
}

DWORD kmw_file_cut(kmw_file *file, off_t size) {
    /* The bar belongs to the description: of two threads, the first to be done would lift it. */
    pthread_mutex_lock(&file->mutexes->size);
    pthread_mutex_lock(&file->mutexes->marks);
    DWORD result = cut_unless_mapped(file, size);
    pthread_mutex_unlock(&file->mutexes->marks);
    pthread_mutex_unlock(&file->mutexes->size);
    return result;
}

static int open_again(const char *path, int open_flags) {
    int descriptor;
    do {
        descriptor = open(path, open_flags);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

bool kmw_file_is(const kmw_file *file, const struct stat *facts) {
    return facts->st_dev == file->device && facts->st_ino == file->inode;
}

static bool means_no_proc(int error) {
    return error == ENOENT || error == ENOTDIR;
}

static int open_through_proc(const kmw_file *file, int open_flags) {
    static const char *const directories[] = {"/proc/self/fd", "/dev/fd"};
    char path[32];
    int descriptor = -1;
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; ++i) {
        (void)snprintf(path, sizeof path, "%s/%d", directories[i], file->descriptor);
        descriptor = open_again(path, open_flags);
        if (descriptor >= 0 || !means_no_proc(errno)) {
            break;
        }
    }
    return descriptor;
}

static int open_by_descriptor(const kmw_file *file, int open_flags) {
    int descriptor = open_through_proc(file, open_flags);
    if (descriptor >= 0 || !means_no_proc(errno)) {
        return descriptor;
    }
    if ((open_flags & O_ACCMODE) == O_RDONLY ? !file->readable : !file->writable) {
        errno = EACCES;
        return -1;
    }
    return fcntl(file->descriptor, F_DUPFD_CLOEXEC, 0);
}

#define REOPENED (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static int open_by_path(const kmw_file *file, int open_flags) {
    if (file->path == NULL || !S_ISREG(file->type)) {
        errno = ENOENT;
        return -1;
    }
    return open_again(file->path, open_flags);
}

int kmw_file_open_again(const kmw_file *file, kmw_way way, int open_flags) {
    return way == KMW_BY_PATH ? open_by_path(file, open_flags | REOPENED)
                              : open_by_descriptor(file, open_flags | REOPENED);
}

/* By the path, if it still leads to the file; else -1. */
static int open_by_good_path(const kmw_file *file, int open_flags) {
    struct stat facts;
    int descriptor = open_by_path(file, open_flags);
    if (descriptor < 0 || (fstat(descriptor, &facts) == 0 && kmw_file_is(file, &facts))) {
        return descriptor;
    }
    close(descriptor);
    return -1;
}

int kmw_file_reopen(const kmw_file *file, int open_flags) {
    int descriptor = open_by_good_path(file, open_flags | REOPENED);
    return descriptor >= 0 ? descriptor : open_by_descriptor(file, open_flags | REOPENED);
}

int kmw_file_reopen_apart(const kmw_file *file, int open_flags) {
    int descriptor = open_by_good_path(file, open_flags | REOPENED);
    return descriptor >= 0 ? descriptor : open_through_proc(file, open_flags | REOPENED);
}

kmw_use kmw_file_use(HANDLE handle, DWORD access, kmw_file **file) {
    kmw_use use = kmw_use_begin(handle, KMW_FILE);
    if (use.object == NULL) {
        return use;
    }
    if ((use.access & access) != access) {
        kmw_use_end(use);
        use.object = NULL;
        kmw_fail(ERROR_ACCESS_DENIED);
        return use;
    }
    *file = (kmw_file *)use.object;
    return use;
}

DWORD kmw_file_rights(DWORD access) {
    static const struct {
        DWORD generic, specific;
    } rights[] = {
        {GENERIC_READ, FILE_GENERIC_READ},       {GENERIC_WRITE, FILE_GENERIC_WRITE},
        {GENERIC_EXECUTE, FILE_GENERIC_EXECUTE}, {GENERIC_ALL, FILE_ALL_ACCESS},
        {MAXIMUM_ALLOWED, FILE_ALL_ACCESS},
    };
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; ++i) {
        if (access & rights[i].generic) {
            access = (access & ~rights[i].generic) | rights[i].specific;
        }
    }
    return access;
}
