/*
 * platform_posix.c - names, drafts and sharing of platform.h, on POSIX systems.
 */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"
#include "last_error.h"
#include "sharing.h"
#include "text.h"

/* How many links may lead to links: the kernel's own limit. */
#define LINKS_MAX 40
/* ".km-" and eight hexadecimal digits. */
#define SUFFIX_LENGTH 12
/* A name that somebody else has taken is 32 random bits of bad luck; more than that is no luck. */
#define NAME_ATTEMPTS 16

/* ---- Paths --------------------------------------------------------------------------------- */

static DWORD error_of_path(int error, const char *path) {
    return error == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(error);
}

/* The part of `path` before its last name, its '/' included; 0 if there is no directory in it. */
static size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* The directory that `path` is an entry of. */
static void directory_of(const kmw_path *path, kmw_path *directory) {
    size_t length = directory_length(path->text);
    if (length == 0) {
        strcpy(directory->text, ".");
        return;
    }
    memcpy(directory->text, path->text, length);
    directory->text[length] = '\0';
}

/* Replaces the last name of `path` by `name`, or all of it if `name` begins at the root. */
static DWORD replace_name(kmw_path *path, const char *name) {
    size_t kept = name[0] == '/' ? 0 : directory_length(path->text);
    size_t length = strlen(name);
    if (kept + length >= sizeof path->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    memcpy(path->text + kept, name, length + 1);
    return ERROR_SUCCESS;
}

static DWORD path_to_utf16(const char *path, WCHAR **result) {
    size_t bytes = strlen(path) + 1;
    size_t units = kmw_utf8_to_utf16(path, bytes, NULL, 0);
    if (units == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    WCHAR *text = malloc(units * sizeof *text);
    if (text == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    kmw_utf8_to_utf16(path, bytes, text, units);
    *result = text;
    return ERROR_SUCCESS;
}

/* Follows the links that `path` itself is, not those among its directories. */
static DWORD follow_links(kmw_path *path) {
    struct stat status;
    /* The kernel has rules about whose links in /tmp may be followed; asking it here keeps them.
     * A link to nothing is ENOENT, and followed all the same. */
    if (stat(path->text, &status) != 0 && errno != ENOENT) {
        return kmw_error_of_errno(errno);
    }
    for (int links = 0; lstat(path->text, &status) == 0 && S_ISLNK(status.st_mode); links++) {
        kmw_path target;
        ssize_t length = readlink(path->text, target.text, sizeof target.text);
        if (length < 0) {
            return kmw_error_of_errno(errno);
        }
        if (links == LINKS_MAX) {
            return ERROR_CANT_RESOLVE_FILENAME;
        }
        if ((size_t)length == sizeof target.text) {
            return ERROR_FILENAME_EXCED_RANGE;
        }
        target.text[length] = '\0';
        DWORD error = replace_name(path, target.text);
        if (error != ERROR_SUCCESS) {
            return error;
        }
    }
    return ERROR_SUCCESS;
}

/* Makes the directory part absolute: whoever calls chdir later must not move the target. */
static DWORD anchor(kmw_path *path) {
    kmw_path directory;
    char name[KMW_PATH_SIZE];
    directory_of(path, &directory);
    const char *last = path->text + directory_length(path->text);
    memcpy(name, last, strlen(last) + 1);
    char *absolute = realpath(directory.text, NULL);
    if (absolute == NULL) {
        /* The name is there to tell a missing file from a missing directory; here it is the latter.
         */
        return errno == ENOENT ? ERROR_PATH_NOT_FOUND : kmw_error_of_errno(errno);
    }
    size_t length = strlen(absolute);
    bool is_text = kmw_utf8_to_utf16(absolute, length, NULL, 0) != (size_t)-1;
    DWORD error = ERROR_SUCCESS;
    if (length + 1 + strlen(name) >= sizeof path->text) {
        error = ERROR_FILENAME_EXCED_RANGE;
    } else if (is_text) { /* else a directory above has a name that UTF-16 cannot say: stay relative
                           */
        memcpy(path->text, absolute, length);
        if (length > 1) {
            path->text[length++] = '/';
        }
        memcpy(path->text + length, name, strlen(name) + 1);
    }
    free(absolute);
    return error;
}

DWORD km_platform_resolve(const WCHAR *path, WCHAR **resolved) {
    kmw_path text;
    DWORD error = kmw_path_from_utf16(path, &text);
    if (error == ERROR_SUCCESS) {
        error = follow_links(&text);
    }
    if (error == ERROR_SUCCESS) {
        error = anchor(&text);
    }
    return error != ERROR_SUCCESS ? error : path_to_utf16(text.text, resolved);
}

DWORD km_platform_long_path(const WCHAR *path, WCHAR **native) {
    size_t size = (kmw_length16(path) + 1) * sizeof *path;
    WCHAR *copy = malloc(size);
    if (copy == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    memcpy(copy, path, size);
    *native = copy;
    return ERROR_SUCCESS;
}

/* ---- Drafts -------------------------------------------------------------------------------- */

/* Room for the suffix is made by shortening the name, never inside a character. */
static void shorten_name(kmw_path *path) {
    size_t start = directory_length(path->text);
    size_t length = strlen(path->text);
    size_t limit = start + NAME_MAX - SUFFIX_LENGTH;
    if (length > limit) {
        length = limit;
        while (length > start && ((unsigned char)path->text[length] & 0xC0u) == 0x80u) {
            length--;
        }
        path->text[length] = '\0';
    }
}

static DWORD draft_name(const kmw_path *target, kmw_path *name) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        return kmw_error_of_errno(errno);
    }
    *name = *target;
    shorten_name(name);
    size_t length = strlen(name->text);
    if (length + SUFFIX_LENGTH >= sizeof name->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    snprintf(name->text + length, SUFFIX_LENGTH + 1, ".km-%08x", (unsigned)random);
    return ERROR_SUCCESS;
}

/*
 * A file without a name; -1 and errno where there is none. O_TMPFILE is of no use to us without a
 * way to name the file later, and without CAP_DAC_READ_SEARCH /proc is the only one.
 */
static int open_nameless(const kmw_path *target, mode_t mode) {
#ifdef O_TMPFILE
    kmw_path directory;
    directory_of(target, &directory);
    if (access("/proc/self/fd", X_OK) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return open(directory.text, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
#else
    (void)target;
    (void)mode;
    errno = EOPNOTSUPP;
    return -1;
#endif
}

/* EISDIR is what kernels say that do not know O_TMPFILE. */
static bool has_no_nameless_files(int error) {
    return error == EOPNOTSUPP || error == EISDIR || error == EINVAL;
}

static DWORD open_named(const kmw_path *target, mode_t mode, kmw_path *name, int *descriptor) {
    for (int attempt = 0;; attempt++) {
        DWORD error = draft_name(target, name);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        *descriptor = open(name->text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (*descriptor >= 0) {
            return ERROR_SUCCESS;
        }
        if (errno != EEXIST || attempt == NAME_ATTEMPTS) {
            return error_of_path(errno, name->text);
        }
    }
}

DWORD km_platform_draft(const WCHAR *target, uint32_t permissions, DWORD share, HANDLE *file,
                        WCHAR **name) {
    kmw_path path;
    kmw_path chosen = {""};
    WCHAR *chosen16 = NULL;
    HANDLE handle = INVALID_HANDLE_VALUE;
    DWORD error = kmw_path_from_utf16(target, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }

    /* The umask has no say in permissions that are given: those are set below. */
    mode_t mode = permissions == 0 ? 0666 : 0600;
    int descriptor = open_nameless(&path, mode);
    if (descriptor < 0) {
        if (!has_no_nameless_files(errno)) {
            return error_of_path(errno, path.text);
        }
        error = open_named(&path, mode, &chosen, &descriptor);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        error = path_to_utf16(chosen.text, &chosen16);
        if (error != ERROR_SUCCESS) {
            goto failed;
        }
    }
    if (permissions != 0 && fchmod(descriptor, (mode_t)permissions & 07777) != 0) {
        error = kmw_error_of_errno(errno);
        goto failed;
    }
    handle = kmw_file_adopt(descriptor, kmw_file_rights(GENERIC_READ | GENERIC_WRITE | DELETE),
                            share, 0, false, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        error = GetLastError();
        goto failed;
    }
    *file = handle;
    *name = chosen16;
    return ERROR_SUCCESS;

failed:
    if (chosen.text[0] != '\0') {
        unlink(chosen.text);
    }
    close(descriptor);
    free(chosen16);
    return error;
}

DWORD km_platform_name_draft(HANDLE file, const WCHAR *name) {
    kmw_path path;
    DWORD error = kmw_path_from_utf16(name, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_file *draft = NULL;
    kmw_use use = kmw_file_use(file, 0, &draft);
    if (use.object == NULL) {
        return GetLastError();
    }
    char link[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    snprintf(link, sizeof link, "/proc/self/fd/%d", draft->descriptor);
    if (linkat(AT_FDCWD, link, AT_FDCWD, path.text, AT_SYMLINK_FOLLOW) != 0) {
        error = errno == EEXIST ? ERROR_ALREADY_EXISTS : error_of_path(errno, path.text);
    }
    kmw_use_end(use);
    return error;
}

DWORD km_platform_draft_name(const WCHAR *target, WCHAR **name) {
    kmw_path path;
    kmw_path chosen;
    DWORD error = kmw_path_from_utf16(target, &path);
    if (error == ERROR_SUCCESS) {
        error = draft_name(&path, &chosen);
    }
    return error != ERROR_SUCCESS ? error : path_to_utf16(chosen.text, name);
}

/* ---- Permissions --------------------------------------------------------------------------- */

#ifdef __linux__
#define ACL_ATTRIBUTE "system.posix_acl_access"

/* Copies the access control list, or the lack of one; false if that did not work. */
static bool copy_access_list(int descriptor, const char *like) {
    char list[8192]; /* some thousand entries; ext4 and XFS hold far fewer */
    ssize_t length = getxattr(like, ACL_ATTRIBUTE, list, sizeof list);
    if (length >= 0) {
        return fsetxattr(descriptor, ACL_ATTRIBUTE, list, (size_t)length, 0) == 0;
    }
    if (errno != ENODATA) {
        return errno == EOPNOTSUPP; /* a file system without such lists */
    }
    return fremovexattr(descriptor, ACL_ATTRIBUTE) == 0 || errno == ENODATA || errno == EOPNOTSUPP;
}
#else
static bool copy_access_list(int descriptor, const char *like) {
    (void)descriptor;
    (void)like;
    return true;
}
#endif

/*
 * The owner is given first, since giving it clears the set-user-ID bits. Where it cannot be given,
 * those bits go, and a group that is not the old one gets no more than everybody else: nobody gains
 * a right by the replacement.
 */
static DWORD match_permissions(int descriptor, const char *like) {
    struct stat wanted;
    struct stat given;
    if (stat(like, &wanted) != 0) {
        return error_of_path(errno, like);
    }
    if (fchown(descriptor, wanted.st_uid, wanted.st_gid) != 0 &&
        fchown(descriptor, (uid_t)-1, wanted.st_gid) != 0 && errno != EPERM && errno != EINVAL) {
        return kmw_error_of_errno(errno);
    }
    if (fstat(descriptor, &given) != 0) {
        return kmw_error_of_errno(errno);
    }
    mode_t mode = wanted.st_mode & 07777;
    if (given.st_uid != wanted.st_uid) {
        mode &= ~(mode_t)S_ISUID;
    }
    if (given.st_gid != wanted.st_gid) {
        mode &= ~(mode_t)(S_ISGID | S_IRWXG) | (mode & S_IRWXO) << 3;
    }
    if (!copy_access_list(descriptor, like)) {
        mode &= ~(mode_t)S_IRWXG | (mode & S_IRWXO) << 3; /* the group bits were the list's mask */
    }
    return fchmod(descriptor, mode) == 0 ? ERROR_SUCCESS : kmw_error_of_errno(errno);
}

DWORD km_platform_match_permissions(HANDLE file, const WCHAR *like) {
    kmw_path path;
    DWORD error = kmw_path_from_utf16(like, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_file *draft = NULL;
    kmw_use use = kmw_file_use(file, 0, &draft);
    if (use.object == NULL) {
        return GetLastError();
    }
    error = match_permissions(draft->descriptor, path.text);
    kmw_use_end(use);
    return error;
}

DWORD km_platform_set_permissions(HANDLE file, uint32_t permissions) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    DWORD error = fchmod(opened->descriptor, (mode_t)permissions & 07777) == 0
                      ? ERROR_SUCCESS
                      : kmw_error_of_errno(errno);
    kmw_use_end(use);
    return error;
}

/* ---- Directories and sharing --------------------------------------------------------------- */

static int open_directory(const kmw_path *path) {
    kmw_path directory;
    directory_of(path, &directory);
    return open(directory.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* EINVAL: this file system has no such thing as an unsynced directory. */
static DWORD sync_directory(int descriptor) {
    return fsync(descriptor) == 0 || errno == EINVAL ? ERROR_SUCCESS : kmw_error_of_errno(errno);
}

/* All of the file system, for want of a way to the directory that matters. */
static DWORD sync_file_system(int descriptor) {
#ifdef __linux__
    return syncfs(descriptor) == 0 ? ERROR_SUCCESS : kmw_error_of_errno(errno);
#else
    (void)descriptor;
    return ERROR_NOT_SUPPORTED;
#endif
}

/* Who may make files in a directory need not be allowed to read, and so to open it. */
DWORD km_platform_sync_directory(const WCHAR *path) {
    kmw_path text;
    DWORD error = kmw_path_from_utf16(path, &text);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    int descriptor = open_directory(&text);
    if (descriptor >= 0) {
        error = sync_directory(descriptor);
        close(descriptor);
        return error;
    }
    error = error_of_path(errno, text.text);
    if (error == ERROR_ACCESS_DENIED) {
        descriptor = open(text.text, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (descriptor >= 0) {
        error = sync_file_system(descriptor);
        close(descriptor);
    }
    return error;
}

DWORD km_platform_sync_entry(HANDLE file, const WCHAR *path) {
    kmw_path text;
    struct stat entry;
    kmw_file *opened = NULL;
    DWORD error = kmw_path_from_utf16(path, &text);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    if (fstat(opened->descriptor, &entry) == 0 && entry.st_nlink == 0) {
        kmw_use_end(use);
        return ERROR_SUCCESS; /* deleted: there is no entry any more */
    }
    int descriptor = open_directory(&text);
    const char *name = text.text + directory_length(text.text);
    if (descriptor >= 0 && fstatat(descriptor, name, &entry, AT_SYMLINK_NOFOLLOW) == 0 &&
        kmw_file_is(opened, &entry)) {
        error = sync_directory(descriptor);
    } else {
        error = sync_file_system(opened->descriptor);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    kmw_use_end(use);
    return error;
}

bool km_platform_in_use(const WCHAR *path) {
    kmw_path text;
    if (kmw_path_from_utf16(path, &text) != ERROR_SUCCESS) {
        return false;
    }
    int descriptor = open(text.text, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    struct stat status;
    bool in_use =
        fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
        (kmw_sharing_is_refused(descriptor, DELETE, 0) || kmw_sharing_is_mapped(descriptor));
    close(descriptor);
    return in_use;
}

/* A handle without data access has claimed nothing: another description has to try. */
static bool try_sharing(const kmw_file *file) {
    int descriptor = kmw_file_reopen(file, O_RDONLY);
    if (descriptor < 0) {
        return true; /* nothing is known, so there is nothing to warn of */
    }
    bool enforced = true; /* being refused is being enforced */
    (void)kmw_sharing_claim(descriptor, FILE_READ_DATA, KMW_SHARE_ALL, &enforced);
    close(descriptor);
    return enforced;
}

bool km_platform_sharing_enforced(HANDLE file) {
    kmw_file *opened = NULL;
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return false;
    }
    bool enforced = opened->readable || opened->writable ? opened->enforced : try_sharing(opened);
    kmw_use_end(use);
    return enforced;
}
