/*
 * replace_file.c - ReplaceFile: one file takes another's name, permissions and owner.
 *
 * The name of the replaced file always leads to one of the two, where the file system can exchange
 * two names. Where it cannot and a backup is wanted, there is a moment without one, as on Windows.
 * What fails leaves names and permissions as they were, except ERROR_UNABLE_TO_MOVE_REPLACEMENT_2:
 * then the replaced file has the backup's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_facts.h"
#include "file_names.h"
#include "last_error.h"
#include "sharing.h"
#include "text.h"

#define KNOWN_FLAGS                                                                                \
    (REPLACEFILE_WRITE_THROUGH | REPLACEFILE_IGNORE_MERGE_ERRORS | REPLACEFILE_IGNORE_ACL_ERRORS)

typedef struct replacing {
    const char *replaced;
    const char *replacement;
    const char *backup; /* NULL: none */
    DWORD flags;
    struct stat old; /* of the replaced file */
    struct stat new; /* of the replacement */
    int claims[3];   /* on the three files */
} replacing;

static DWORD look_up(const char *path, struct stat *facts, DWORD access, int *claim) {
    if (lstat(path, facts) != 0) {
        return errno == ENOENT ? kmw_error_of_missing(path) : kmw_error_of_errno(errno);
    }
    if (!S_ISREG(facts->st_mode) || (kmw_attributes_of(facts) & FILE_ATTRIBUTE_READONLY)) {
        return ERROR_ACCESS_DENIED;
    }
    return kmw_name_claim(path, facts, access, KMW_SHARE_ALL, claim);
}

static DWORD check_backup(replacing *what) {
    struct stat facts;
    if (kmw_name_is_same(what->backup, what->replaced) ||
        kmw_name_is_same(what->backup, what->replacement)) {
        return ERROR_INVALID_PARAMETER;
    }
    if (lstat(what->backup, &facts) != 0) {
        return errno != ENOENT ? kmw_error_of_errno(errno)
               : kmw_error_of_missing(what->backup) == ERROR_PATH_NOT_FOUND ? ERROR_PATH_NOT_FOUND
                                                                            : ERROR_SUCCESS;
    }
    if (kmw_is_same_file(&facts, &what->old)) {
        what->backup = NULL; /* another link to the replaced file: the backup is there already */
        return ERROR_SUCCESS;
    }
    if (kmw_is_same_file(&facts, &what->new)) {
        return ERROR_SUCCESS; /* claimed, and it loses only a link */
    }
    return kmw_name_claim_to_replace(what->backup, &facts, &what->claims[2]);
}

/* Claims all three, in the order of Windows: the replaced file, the replacement, the backup. */
static DWORD check(replacing *what) {
    DWORD error = look_up(what->replaced, &what->old, FILE_READ_DATA | DELETE, &what->claims[0]);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (lstat(what->replacement, &what->new) == 0 && kmw_is_same_file(&what->old, &what->new)) {
        return ERROR_INVALID_PARAMETER; /* and a second claim would wait for the first */
    }
    error = look_up(what->replacement, &what->new, FILE_READ_DATA | FILE_WRITE_DATA | DELETE,
                    &what->claims[1]);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (what->backup != NULL) {
        return check_backup(what);
    }
    /* Without a backup the old file would have to be deleted, which its views forbid. */
    return kmw_name_is_mapped(what->claims[0]) ? ERROR_UNABLE_TO_REMOVE_REPLACED : ERROR_SUCCESS;
}

/* Gives the file at `path` owner and permissions of `like`; the owner as far as allowed. */
static int give_permissions(const char *path, const struct stat *like) {
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) {
        return errno;
    }
    mode_t mode = like->st_mode & 07777;
    if (fchown(descriptor, like->st_uid, like->st_gid) != 0) {
        mode &= ~(mode_t)(S_ISUID | S_ISGID); /* those were given for the other owner */
    }
    int error = fchmod(descriptor, mode) == 0 ? 0 : errno;
    close(descriptor);
    return error;
}

/* 0 or errno; EINVAL or ENOSYS if this cannot be done here. */
static int exchange(const char *one, const char *other) {
#if defined(RENAME_EXCHANGE)
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0 ? 0 : errno;
#else
    (void)one, (void)other;
    return ENOSYS;
#endif
}

static DWORD error_of_move(int error) {
    return error == EXDEV ? ERROR_UNABLE_TO_MOVE_REPLACEMENT : kmw_error_of_errno(error);
}

/* Without exchanging: the old file steps aside, the new one in. */
static DWORD move_one_by_one(const replacing *what) {
    if (rename(what->replaced, what->backup) != 0) {
        return error_of_move(errno);
    }
    if (rename(what->replacement, what->replaced) == 0) {
        return ERROR_SUCCESS;
    }
    int error = errno;
    if (rename(what->backup, what->replaced) != 0) {
        return ERROR_UNABLE_TO_MOVE_REPLACEMENT_2;
    }
    return error_of_move(error);
}

static DWORD move_with_backup(const replacing *what) {
    int error = exchange(what->replacement, what->replaced);
    if (error == EINVAL || error == ENOSYS) {
        return move_one_by_one(what);
    }
    if (error != 0) {
        return error_of_move(error);
    }
    if (rename(what->replacement, what->backup) == 0) {
        return ERROR_SUCCESS;
    }
    error = errno;
    /* The same two names could be exchanged just now. */
    (void)exchange(what->replacement, what->replaced);
    return error_of_move(error);
}

/* Of files that have been checked and claimed. */
static DWORD replace_claimed(const replacing *what) {
    DWORD error = ERROR_SUCCESS;
    const DWORD ignore = REPLACEFILE_IGNORE_MERGE_ERRORS | REPLACEFILE_IGNORE_ACL_ERRORS;
    int merged = give_permissions(what->replacement, &what->old);
    if (merged != 0 && !(what->flags & ignore)) {
        (void)give_permissions(what->replacement, &what->new);
        return kmw_error_of_errno(merged);
    }
    if (what->backup != NULL) {
        error = move_with_backup(what);
    } else if (rename(what->replacement, what->replaced) != 0) {
        error = error_of_move(errno);
    }
    if (error != ERROR_SUCCESS) {
        (void)give_permissions(what->replacement, &what->new); /* the first error is to be told */
        return error;
    }
    if (what->flags & REPLACEFILE_WRITE_THROUGH) {
        error = kmw_name_sync(what->replaced);
    }
    if (error == ERROR_SUCCESS && (what->flags & REPLACEFILE_WRITE_THROUGH)) {
        error = kmw_name_sync(what->replacement);
    }
    if (error == ERROR_SUCCESS && (what->flags & REPLACEFILE_WRITE_THROUGH) &&
        what->backup != NULL) {
        error = kmw_name_sync(what->backup);
    }
    return error;
}

static DWORD replace(replacing *what) {
    DWORD error = check(what);
    if (error == ERROR_SUCCESS) {
        error = replace_claimed(what);
    }
    for (size_t i = 0; i < sizeof what->claims / sizeof what->claims[0]; ++i) {
        kmw_name_let_go(what->claims[i]);
    }
    return error;
}

static bool are_sound(const void *replaced, const void *replacement, DWORD flags,
                      const void *exclude, const void *reserved) {
    return replaced != NULL && replacement != NULL && !(flags & ~KNOWN_FLAGS) && exclude == NULL &&
           reserved == NULL;
}

BOOL ReplaceFileA(LPCSTR replaced, LPCSTR replacement, LPCSTR backup, DWORD flags, LPVOID exclude,
                  LPVOID reserved) {
    kmw_path paths[3];
    replacing what = {paths[0].text, paths[1].text, NULL, flags, {0}, {0}, {-1, -1, -1}};
    if (!are_sound(replaced, replacement, flags, exclude, reserved)) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    DWORD error = kmw_path_from_utf8(replaced, &paths[0]);
    if (error == ERROR_SUCCESS) {
        error = kmw_path_from_utf8(replacement, &paths[1]);
    }
    if (error == ERROR_SUCCESS && backup != NULL) {
        error = kmw_path_from_utf8(backup, &paths[2]);
        what.backup = paths[2].text;
    }
    if (error == ERROR_SUCCESS) {
        error = replace(&what);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}

BOOL ReplaceFileW(LPCWSTR replaced, LPCWSTR replacement, LPCWSTR backup, DWORD flags,
                  LPVOID exclude, LPVOID reserved) {
    kmw_path paths[3];
    replacing what = {paths[0].text, paths[1].text, NULL, flags, {0}, {0}, {-1, -1, -1}};
    if (!are_sound(replaced, replacement, flags, exclude, reserved)) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    DWORD error = kmw_path_from_utf16(replaced, &paths[0]);
    if (error == ERROR_SUCCESS) {
        error = kmw_path_from_utf16(replacement, &paths[1]);
    }
    if (error == ERROR_SUCCESS && backup != NULL) {
        error = kmw_path_from_utf16(backup, &paths[2]);
        what.backup = paths[2].text;
    }
    if (error == ERROR_SUCCESS) {
        error = replace(&what);
    }
    return error == ERROR_SUCCESS ? TRUE : kmw_fail(error);
}
