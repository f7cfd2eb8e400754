/*
 * file.h - the object behind a file handle on POSIX.
 */
#ifndef KMW_FILE_H
#define KMW_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "file_mutexes.h"
#include "handle_table.h"
#include "mapped_mark.h"

struct kmw_lock_range; /* file_lock.c: one range that LockFileEx holds */

typedef struct kmw_file {
    kmw_object object;
    int descriptor; /* -1 once the last handle is closed and no section shares it any more */
    bool readable;  /* the descriptor's own mode; neither: it knows the file's attributes only */
    bool writable;  /* ...may be more than `access` asked for */
    mode_t type;    /* S_IFREG, S_IFDIR... */
    DWORD access;   /* specific rights it was opened with; a handle may have fewer */
    DWORD share;    /* FILE_SHARE_* */
    DWORD flags;    /* FILE_FLAG_* */
    bool enforced;  /* sharing is enforced on this file system */
    atomic_bool sparse; /* growth allocates nothing */
    kmw_file_mutexes *mutexes;
    dev_t device;
    ino_t inode;
    off_t opened_size; /* when it was opened */

    char *path; /* as it was opened, to open it again soon; NULL if unknown. May be stale. */

    kmw_marks marks; /* of the sections that share the descriptor */

    pid_t opener;      /* delete-on-close is the opening process's business, not a forked child's */
    char *delete_path; /* absolute; NULL unless FILE_FLAG_DELETE_ON_CLOSE */
    int delete_pin;    /* then: keeps the inode's number from being used again; else -1 */

    struct kmw_lock_range *lock_ranges; /* this and the next two: guarded by mutexes->ranges */
    int lock_descriptor;      /* where the ranges' own description is; -1: the handle's serves */
    unsigned lock_generation; /* the process, after forks, whose own that description is */
} kmw_file;

/*
 * A handle to an already open descriptor, which becomes the handle's on success. `path` is needed
 * only for FILE_FLAG_DELETE_ON_CLOSE. Claims sharing. INVALID_HANDLE_VALUE with the last error set,
 * and the descriptor left alone, on failure.
 */
HANDLE kmw_file_adopt(int descriptor, DWORD access, DWORD share, DWORD flags, bool inherit,
                      const char *path);

/*
 * The steps that adopting is made of. A file begins with one reference, the maker's, and without a
 * handle. It owns its descriptor: releasing it closes that, unless kmw_file_disown gave it back.
 * `open_flags` as the descriptor was opened with, `facts` as fstat said, `path` as it was opened or
 * NULL. NULL: no memory.
 */
kmw_file *kmw_file_new(int descriptor, int open_flags, const struct stat *facts, const char *path,
                       DWORD access, DWORD share, DWORD flags);
/* From now on the file is deleted with the last reference; `path` as it was opened. */
DWORD kmw_file_delete_on_close(kmw_file *file, const char *path);
/* After a failed step: gives the descriptor back, without its claims, and deletes nothing. */
void kmw_file_disown(kmw_file *file);

/*
 * Makes the file `size` bytes long if it is shorter, allocating what is added unless the file is
 * sparse. ERROR_DISK_FULL and the file unchanged if it does not fit. `old_size` as fstat said.
 */
DWORD kmw_file_grow(kmw_file *file, off_t old_size, off_t size);

/* Cuts the file to `size` bytes: ERROR_USER_MAPPED_FILE, and nothing done, while it is mapped. */
DWORD kmw_file_cut(kmw_file *file, off_t size);

/*
 * A second description of the same file, close-on-exec, with O_RDONLY or O_RDWR; -1 and errno.
 * Without a /proc it is the same description once more, so that what is locked through it lives
 * until both are closed.
 */
int kmw_file_reopen(const kmw_file *file, int open_flags);

/* The same, but never the same description: -1 and errno, ENOENT without a /proc, instead. */
int kmw_file_reopen_apart(const kmw_file *file, int open_flags);

/*
 * The two ways to it. By the path that was opened takes a third of the time, but may lead to
 * another file by now: what comes of it is only to be used once kmw_file_is has said so.
 */
typedef enum kmw_way { KMW_BY_PATH, KMW_BY_DESCRIPTOR } kmw_way;
int kmw_file_open_again(const kmw_file *file, kmw_way way, int open_flags);
bool kmw_file_is(const kmw_file *file, const struct stat *facts);

/* use_begin for a file, checking that the handle has all of `access`: ERROR_ACCESS_DENIED else. */
kmw_use kmw_file_use(HANDLE handle, DWORD access, kmw_file **file);

/* Specific rights for generic ones. */
DWORD kmw_file_rights(DWORD access);

/*
 * file_lock.c: is [offset, offset + length) locked against reading (or writing) by somebody else?
 * Writing is refused by shared locks of one's own too.
 */
bool kmw_file_is_locked(kmw_file *file, off_t offset, off_t length, bool writing);
void kmw_file_locks_init(kmw_file *file);
/* Does the descriptor itself hold ranges, or wait for them? */
bool kmw_file_locks_are_here(kmw_file *file);
/* After the last handle: no range is held any more. */
void kmw_file_locks_drop(kmw_file *file);
void kmw_file_locks_destroy(kmw_file *file);

#endif /* KMW_FILE_H */
