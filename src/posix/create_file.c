/*
 * create_file.c - CreateFile: how each disposition finds, makes or empties a file.
 *
 * A file is never opened with O_TRUNC: what is there is opened as it is, claimed, and emptied only
 * when nobody's claim or view forbids it. Nothing here waits for the other end of a FIFO or for a
 * device: all is opened with O_NONBLOCK, which is taken off again where it would matter later.
 *
 * What Windows does and this does not: FILE_FLAG_OVERLAPPED is accepted, and every call on the
 * handle is done when it returns; FILE_FLAG_NO_BUFFERING is accepted and changes nothing; unknown
 * flags and attributes, the template file and security descriptors are ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "file_facts.h"
#include "fork_gate.h"
#include "last_error.h"
#include "sharing.h"
#include "text.h"

#ifdef O_PATH
#define ATTRIBUTES_ONLY O_PATH
#else
#define ATTRIBUTES_ONLY O_RDONLY /* such a system wants read permission even to look */
#endif

#define READ_RIGHTS (FILE_READ_DATA | FILE_EXECUTE)
#define WRITE_RIGHTS (FILE_WRITE_DATA | FILE_APPEND_DATA)
#define MOST_ROUNDS 41 /* a chain of links as long as the kernel follows, and the file */

typedef struct creation {
    kmw_path *path; /* its contents change where a link is followed */
    DWORD access;   /* specific rights, once the arguments are checked */
    DWORD share;
    DWORD disposition;
    DWORD flags;
    bool inherit;
} creation;

/* What open(2) gave. */
typedef struct opened {
    int descriptor;
    int open_flags;
    bool created;
    bool enforced;     /* claimed, on a file system that keeps claims */
    struct stat facts; /* as they were once it was claimed */
} opened;

static bool truncates(const creation *request) {
    return request->disposition == CREATE_ALWAYS || request->disposition == TRUNCATE_EXISTING;
}

/* 0 or errno. */
static int open_as(const creation *request, int how, opened *result) {
    int open_flags = how | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    if (request->flags & FILE_FLAG_OPEN_REPARSE_POINT) {
        open_flags |= O_NOFOLLOW;
    }
    if (request->flags & FILE_FLAG_WRITE_THROUGH) {
        open_flags |= O_DSYNC;
    }
    mode_t mode = request->flags & FILE_ATTRIBUTE_READONLY ? 0444 : 0666;
    int descriptor;
    do {
        descriptor = open(request->path->text, open_flags, mode);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) {
        return errno;
    }
    result->descriptor = descriptor;
    result->open_flags = open_flags;
    return 0;
}

/*
 * Opens what is there with as much as is needed, and as little as the permissions leave. Writing
 * asks for reading too: claims, LockFileEx and sections need it.
 */
static int open_existing(const creation *request, opened *result) {
    const DWORD access = request->access;
    const bool directories = request->flags & FILE_FLAG_BACKUP_SEMANTICS;
    result->created = false;
    int error;
    if ((access & WRITE_RIGHTS) || truncates(request)) {
        error = open_as(request, O_RDWR, result);
        if (error == EACCES && !(access & READ_RIGHTS)) {
            error = open_as(request, O_WRONLY, result);
        }
        if (error == EISDIR && directories && !truncates(request)) {
            error = open_as(request, O_RDONLY | O_DIRECTORY, result);
        }
    } else if (access & (READ_RIGHTS | DELETE)) {
        error = open_as(request, O_RDONLY, result);
        if ((error == EACCES || error == ENXIO) && !(access & FILE_READ_DATA)) {
            error = open_as(request, ATTRIBUTES_ONLY, result);
        }
    } else {
        return open_as(request, ATTRIBUTES_ONLY, result);
    }
    if (error == ELOOP && (request->flags & FILE_FLAG_OPEN_REPARSE_POINT) && !truncates(request)) {
        error = open_as(request, ATTRIBUTES_ONLY, result); /* the link itself, if it is one */
    }
    return error;
}

static int create_new(const creation *request, opened *result) {
    int how = request->access & WRITE_RIGHTS ? O_RDWR : O_RDONLY;
    result->created = true;
    return open_as(request, how | O_CREAT | O_EXCL, result);
}

/*
 * The path of a link becomes that of what it leads to, one step; EINVAL if it is no link. Only so
 * can the making of what a dangling link leads to be told from finding it.
 */
static int follow_link(kmw_path *path) {
    char target[KMW_PATH_SIZE];
    ssize_t length = readlink(path->text, target, sizeof target);
    if (length < 0) {
        return errno;
    }
    const char *slash = strrchr(path->text, '/');
    size_t kept = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash - path->text) + 1;
    if (kept + (size_t)length >= sizeof path->text) {
        return ENAMETOOLONG;
    }
    memcpy(path->text + kept, target, (size_t)length);
    path->text[kept + (size_t)length] = '\0';
    return 0;
}

/* Opens the file or makes it, whichever it takes, however others make and delete it meanwhile. */
static int open_or_create(creation *request, opened *result) {
    for (int round = 0; round < MOST_ROUNDS; ++round) {
        int error = open_existing(request, result);
        if (error != ENOENT) {
            return error;
        }
        error = create_new(request, result);
        if (error != EEXIST) {
            return error;
        }
        if (request->flags & FILE_FLAG_OPEN_REPARSE_POINT) {
            continue;
        }
        error = follow_link(request->path);
        if (error != 0 && error != EINVAL && error != ENOENT) {
            return error;
        }
    }
    return ELOOP;
}

static DWORD error_of_open(int error, const char *path) {
    switch (error) {
    case ENOENT:
        return kmw_error_of_missing(path);
    case EISDIR:
        /* A path that ends with a slash cannot name a file to be made. */
        return path[strlen(path) - 1] == '/' && access(path, F_OK) != 0 ? ERROR_PATH_NOT_FOUND
                                                                        : ERROR_ACCESS_DENIED;
    case EAGAIN: /* another program's lease on it */
        return ERROR_SHARING_VIOLATION;
    default:
        return kmw_error_of_errno(error);
    }
}

static DWORD open_by_disposition(creation *request, opened *result) {
    int error;
    switch (request->disposition) {
    case CREATE_NEW:
        error = create_new(request, result);
        break;
    case OPEN_ALWAYS:
    case CREATE_ALWAYS:
        error = open_or_create(request, result);
        break;
    default:
        error = open_existing(request, result);
        break;
    }
    return error == 0 ? ERROR_SUCCESS : error_of_open(error, request->path->text);
}

/* Some of what Windows refuses by a file's kind and attributes, whoever asks. */
static DWORD check_kind(const creation *request, const opened *file) {
    const mode_t mode = file->facts.st_mode;
    if (S_ISDIR(mode)) {
        bool allowed = (request->flags & FILE_FLAG_BACKUP_SEMANTICS) && !truncates(request);
        return allowed ? ERROR_SUCCESS : ERROR_ACCESS_DENIED;
    }
    bool changes = (request->access & WRITE_RIGHTS) || truncates(request) ||
                   (request->flags & FILE_FLAG_DELETE_ON_CLOSE);
    bool read_only = S_ISREG(mode) && !(mode & (S_IWUSR | S_IWGRP | S_IWOTH));
    return read_only && changes && !file->created ? ERROR_ACCESS_DENIED : ERROR_SUCCESS;
}

/*
 * Claims what was opened, and only then looks at it: one look tells what it is, and whether it was
 * deleted or replaced before it could be claimed. An attributes-only descriptor takes no locks, and
 * Windows shares devices and pipes freely.
 */
static DWORD claim_and_look(const creation *request, opened *file) {
    DWORD refused = ERROR_SUCCESS;
    if (!(file->open_flags & ATTRIBUTES_ONLY)) {
        refused =
            kmw_sharing_claim(file->descriptor, request->access, request->share, &file->enforced);
    }
    if (fstat(file->descriptor, &file->facts) != 0) {
        return kmw_error_of_errno(errno);
    }
    if (!S_ISREG(file->facts.st_mode) && !S_ISDIR(file->facts.st_mode)) {
        kmw_sharing_drop(file->descriptor);
        file->enforced = false;
        refused = ERROR_SUCCESS;
    }
    DWORD error = check_kind(request, file);
    return error != ERROR_SUCCESS ? error : refused;
}

/* Reading from a FIFO or a device waits, once it is open. */
static DWORD make_blocking(const opened *file) {
    if (S_ISREG(file->facts.st_mode) || S_ISDIR(file->facts.st_mode) ||
        (file->open_flags & ATTRIBUTES_ONLY)) {
        return ERROR_SUCCESS;
    }
    int flags = fcntl(file->descriptor, F_GETFL);
    if (flags < 0 || fcntl(file->descriptor, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        return kmw_error_of_errno(errno);
    }
    return ERROR_SUCCESS;
}

/* Emptying a file counts as writing to it, if only for this moment. */
static DWORD empty_existing(const creation *request, const opened *found, kmw_file *file) {
    if (!S_ISREG(found->facts.st_mode)) {
        return ERROR_SUCCESS;
    }
    if (!(request->access & WRITE_RIGHTS) &&
        kmw_sharing_is_refused(file->descriptor, FILE_WRITE_DATA, KMW_SHARE_ALL)) {
        return ERROR_SHARING_VIOLATION;
    }
    DWORD error = kmw_file_cut(file, 0);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const mode_t writers = S_IWUSR | S_IWGRP | S_IWOTH;
    if ((request->flags & FILE_ATTRIBUTE_READONLY) &&
        fchmod(file->descriptor, found->facts.st_mode & ~(S_IFMT | writers)) != 0) {
        return kmw_error_of_errno(errno);
    }
    return ERROR_SUCCESS;
}

static void advise(const kmw_file *file) {
#if defined(POSIX_FADV_RANDOM)
    if (file->flags & FILE_FLAG_RANDOM_ACCESS) {
        (void)posix_fadvise(file->descriptor, 0, 0, POSIX_FADV_RANDOM); /* advice: may be refused */
    } else if (file->flags & FILE_FLAG_SEQUENTIAL_SCAN) {
        (void)posix_fadvise(file->descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
#else
    (void)file;
#endif
}

/*
 * Was the file deleted or replaced after it was opened and before it was claimed? What has no name
 * may also have been opened so: through /proc.
 */
static bool has_gone(const creation *request, const opened *file) {
    struct stat now;
    return file->enforced && S_ISREG(file->facts.st_mode) && file->facts.st_nlink == 0 &&
           !(stat(request->path->text, &now) == 0 && kmw_is_same_file(&now, &file->facts));
}

/* The steps between the claimed descriptor and the caller's handle, the irrevocable ones last. */
static DWORD make_handle(const creation *request, const opened *found, HANDLE *handle) {
    kmw_file *file =
        kmw_file_new(found->descriptor, found->open_flags, &found->facts, request->path->text,
                     request->access, request->share, request->flags);
    if (file == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    HANDLE made = NULL;
    DWORD error = ERROR_SUCCESS;
    file->enforced = found->enforced;
    if (request->flags & FILE_FLAG_DELETE_ON_CLOSE) {
        error = kmw_file_delete_on_close(file, request->path->text);
    }
    if (error == ERROR_SUCCESS) {
        made = kmw_handle_open(&file->object, request->access, request->inherit);
        error = made == NULL ? GetLastError() : ERROR_SUCCESS;
    }
    if (error == ERROR_SUCCESS && truncates(request) && !found->created) {
        error = empty_existing(request, found, file);
    }
    if (error != ERROR_SUCCESS) {
        kmw_file_disown(file);
    } else {
        advise(file);
        *handle = made;
        made = NULL;
    }
    kmw_object_release(&file->object);
    if (made != NULL) {
        CloseHandle(made);
    }
    return error;
}

/* Takes back a file that was made here and that nobody else has found yet. Its facts are asked for
 * anew: that they could not be had may be why it goes. */
static void undo_creation(const creation *request, const opened *made) {
    struct stat facts;
    struct stat own;
    if (lstat(request->path->text, &facts) == 0 && fstat(made->descriptor, &own) == 0 &&
        kmw_is_same_file(&facts, &own)) {
        (void)unlink(request->path->text); /* the error that led here is the one to tell */
    }
}

/* One attempt. *gone: it has to be opened again, the file was deleted before it was claimed. */
static DWORD create_once(creation *request, HANDLE *handle, bool *created, bool *gone) {
    opened file = {.descriptor = -1};
    *gone = false;
    DWORD error = open_by_disposition(request, &file);
    if (error == ERROR_SUCCESS) {
        error = claim_and_look(request, &file);
    }
    if (error == ERROR_SUCCESS && has_gone(request, &file)) {
        *gone = true;
        error = ERROR_FILE_NOT_FOUND;
    }
    if (error == ERROR_SUCCESS) {
        error = make_blocking(&file);
    }
    if (error == ERROR_SUCCESS) {
        error = make_handle(request, &file, handle);
    }
    if (error == ERROR_SUCCESS) {
        *created = file.created;
        return ERROR_SUCCESS;
    }
    /* Refused sharing, a file just made is another's already: it came between. */
    if (file.descriptor >= 0 && file.created && error != ERROR_SHARING_VIOLATION) {
        undo_creation(request, &file);
    }
    if (file.descriptor >= 0) {
        close(file.descriptor);
    }
    return error;
}

static DWORD create(creation *request, HANDLE *handle, bool *created) {
    bool gone = true;
    DWORD error = ERROR_FILE_NOT_FOUND;
    for (int round = 0; gone && round < MOST_ROUNDS; ++round) {
        error = create_once(request, handle, created, &gone);
    }
    return error;
}

static DWORD check_arguments(const creation *request) {
    if (request->disposition < CREATE_NEW || request->disposition > TRUNCATE_EXISTING ||
        (request->share & ~KMW_SHARE_ALL)) {
        return ERROR_INVALID_PARAMETER;
    }
    if (request->disposition == TRUNCATE_EXISTING && !(request->access & FILE_WRITE_DATA)) {
        return ERROR_INVALID_PARAMETER;
    }
    return ERROR_SUCCESS;
}

/* As much as the file permits: everything, or else everything but changing it. */
static DWORD create_with_most(creation *request, HANDLE *handle, bool *created) {
    request->access |= FILE_ALL_ACCESS;
    DWORD error = create(request, handle, created);
    if (error != ERROR_ACCESS_DENIED && error != ERROR_WRITE_PROTECT) {
        return error;
    }
    request->access = FILE_GENERIC_READ | FILE_GENERIC_EXECUTE;
    return create(request, handle, created);
}

static bool inherits(const SECURITY_ATTRIBUTES *security) {
    return security != NULL && security->bInheritHandle;
}

static HANDLE create_file_gated(creation *request) {
    HANDLE handle = INVALID_HANDLE_VALUE;
    bool created = false;
    bool most = request->access & MAXIMUM_ALLOWED;
    request->access = kmw_file_rights(request->access & ~MAXIMUM_ALLOWED);
    request->access |= SYNCHRONIZE | FILE_READ_ATTRIBUTES;
    if (request->flags & FILE_FLAG_DELETE_ON_CLOSE) {
        request->access |= DELETE;
    }
    DWORD error = check_arguments(request);
    if (error == ERROR_SUCCESS) {
        error = most ? create_with_most(request, &handle, &created)
                     : create(request, &handle, &created);
    }
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_HANDLE_VALUE;
    }
    bool tells = request->disposition == CREATE_ALWAYS || request->disposition == OPEN_ALWAYS;
    SetLastError(tells && !created ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    return handle;
}

static HANDLE create_file(creation *request) {
    kmw_fork_gate_close();
    HANDLE handle = create_file_gated(request);
    kmw_fork_gate_open();
    return handle;
}

HANDLE CreateFileA(LPCSTR path, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES security,
                   DWORD disposition, DWORD flags, HANDLE like) {
    (void)like;
    kmw_path native;
    DWORD error = kmw_path_from_utf8(path, &native);
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_HANDLE_VALUE;
    }
    creation request = {&native, access, share, disposition, flags, inherits(security)};
    return create_file(&request);
}

HANDLE CreateFileW(LPCWSTR path, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES security,
                   DWORD disposition, DWORD flags, HANDLE like) {
    (void)like;
    kmw_path native;
    DWORD error = kmw_path_from_utf16(path, &native);
    if (error != ERROR_SUCCESS) {
        kmw_fail(error);
        return INVALID_HANDLE_VALUE;
    }
    creation request = {&native, access, share, disposition, flags, inherits(security)};
    return create_file(&request);
}
