/*
 * publish.c - files that appear whole or not at all, in one place.
 */
#include "publish.h"

#include <stdlib.h>
#include <string.h>

#include "path.h"
#include "platform.h"
#include "status.h"

/* A temporary name that somebody else has taken is 32 random bits of bad luck. */
#define NAME_ATTEMPTS 16

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- Beginning ----------------------------------------------------------------------------- */

/*
 * What kind of file an existing target is, is asked of an open handle: the attributes alone do not
 * tell a device everywhere. Who may not open it learns at the replacement whether he may replace
 * it.
 */
static bool is_disk_file(const WCHAR *target, DWORD attributes) {
    if ((attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE)) != 0) {
        return false;
    }
    HANDLE file = CreateFileW(target, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return true;
    }
    bool is_disk = GetFileType(file) == FILE_TYPE_DISK;
    CloseHandle(file);
    return is_disk;
}

/* *exists: there is a file, and it may be replaced as far as can be told now. */
static km_status check_target(const km_draft *draft, bool *exists) {
    DWORD attributes = GetFileAttributesW(draft->target);
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        DWORD error = GetLastError();
        *exists = false;
        return error == ERROR_FILE_NOT_FOUND
                   ? KM_OK
                   : km_fail_system(error, "cannot create \"%s\"", draft->path);
    }
    *exists = true;
    if (!draft->replace) {
        return km_fail_system(ERROR_FILE_EXISTS, "cannot create \"%s\"", draft->path);
    }
    if (!is_disk_file(draft->target, attributes)) {
        return km_fail(KM_E_INVALID, "cannot replace \"%s\": it is no regular file", draft->path);
    }
    if (km_platform_in_use(draft->target)) {
        return km_fail(KM_E_BUSY, "cannot replace \"%s\": somebody has it open or mapped",
                       draft->path);
    }
    return KM_OK;
}

static km_status begin(km_draft *draft, const WCHAR *native, uint32_t permissions, DWORD share) {
    DWORD error = km_platform_resolve(native, &draft->target);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot create \"%s\"", draft->path);
    }
    km_status status = check_target(draft, &draft->exists);
    if (status != KM_OK) {
        return status;
    }
    error = draft->io->create(draft->target, permissions, share, &draft->file, &draft->name);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot create a file for \"%s\"", draft->path);
    }
    if (draft->exists) {
        error = km_platform_match_permissions(draft->file, draft->target);
        if (error != ERROR_SUCCESS) {
            return km_fail_system(error, "cannot give the permissions of \"%s\" to its replacement",
                                  draft->path);
        }
    }
    return KM_OK;
}

km_status km_draft_begin(km_draft *draft, const km_io *io, const char *path, uint32_t permissions,
                         DWORD share, bool replace) {
    WCHAR *native = NULL;
    km_draft made = {.io = io,
                     .path = path,
                     .file = INVALID_HANDLE_VALUE,
                     .replace = replace,
                     .permissions = permissions};
    km_status status = km_path_to_native(path, &native);
    if (status != KM_OK) {
        return status;
    }
    status = begin(&made, native, permissions, share);
    free(native);
    if (status != KM_OK) {
        km_draft_abandon(&made);
        return status;
    }
    *draft = made;
    return KM_OK;
}

/* ---- Publishing ---------------------------------------------------------------------------- */

/* Once more, since what was written since has cleared the set-ID bits. */
static DWORD settle_permissions(const km_draft *draft) {
    if (!draft->exists) {
        return draft->permissions == 0
                   ? ERROR_SUCCESS
                   : km_platform_set_permissions(draft->file, draft->permissions);
    }
    DWORD error = km_platform_match_permissions(draft->file, draft->target);
    bool is_gone = error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND;
    return is_gone ? ERROR_SUCCESS : error; /* then it has what there was to take over */
}

/* Gives a nameless draft a temporary name, since only a named file can be renamed over another. */
static DWORD name_temporarily(km_draft *draft) {
    for (int attempt = 0;; attempt++) {
        WCHAR *name = NULL;
        DWORD error = km_platform_draft_name(draft->target, &name);
        if (error != ERROR_SUCCESS) {
            return error;
        }
        error = draft->io->name(draft->file, name);
        if (error == ERROR_SUCCESS) {
            draft->name = name;
            return ERROR_SUCCESS;
        }
        free(name);
        if (error != ERROR_ALREADY_EXISTS || attempt == NAME_ATTEMPTS) {
            return error;
        }
    }
}

/* The draft's name is the target's from here on: it is what must go if a later step fails. */
static void adopt_target_name(km_draft *draft) {
    free(draft->name);
    draft->name = draft->target;
    draft->target = NULL;
}

/* After it draft->name is the target's, and draft->target NULL. */
static DWORD give_target_name(km_draft *draft) {
    DWORD error = ERROR_SUCCESS;
    if (draft->name == NULL && draft->replace) {
        error = name_temporarily(draft);
    }
    if (error == ERROR_SUCCESS) {
        error = draft->name == NULL ? draft->io->name(draft->file, draft->target)
                                    : draft->io->rename(draft->name, draft->target, draft->replace);
    }
    if (error == ERROR_SUCCESS) {
        adopt_target_name(draft);
    }
    return error;
}

static km_status fail_naming(const km_draft *draft, DWORD error) {
    /* Windows says "access denied" of a target that somebody has open. */
    if (draft->replace && error == ERROR_ACCESS_DENIED && km_platform_in_use(draft->target)) {
        return km_fail_system_as(
            KM_E_BUSY, error, "cannot replace \"%s\": somebody has it open or mapped", draft->path);
    }
    return km_fail_system(error, "cannot give the finished file its name \"%s\"", draft->path);
}

/* Nothing is left to undo. */
static void forget(km_draft *draft) {
    free(draft->name);
    free(draft->target);
    draft->name = NULL;
    draft->target = NULL;
    draft->file = INVALID_HANDLE_VALUE;
}

static DWORD close_draft(km_draft *draft) {
    HANDLE file = draft->file;
    draft->file = INVALID_HANDLE_VALUE;
    return draft->io->close(file);
}

km_status km_draft_publish(km_draft *draft, bool durable, HANDLE *keep) {
    DWORD error = settle_permissions(draft);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot give \"%s\" its permissions", draft->path);
    }
    error = durable ? draft->io->sync(draft->file) : ERROR_SUCCESS;
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot make the contents of \"%s\" durable", draft->path);
    }
    /* A close may report what a write did not, so it comes while there is still a way back; but a
     * nameless file would be gone with it. */
    if (keep == NULL && draft->name != NULL) {
        error = close_draft(draft);
        if (error != ERROR_SUCCESS) {
            return km_fail_system(error, "cannot finish \"%s\"", draft->path);
        }
    }
    error = give_target_name(draft);
    if (error != ERROR_SUCCESS) {
        return fail_naming(draft, error);
    }
    if (durable) {
        error = draft->io->sync_directory(draft->name);
    }
    if (error == ERROR_SUCCESS && keep == NULL && draft->file != INVALID_HANDLE_VALUE) {
        error = close_draft(draft);
    }
    if (error != ERROR_SUCCESS) {
        /* What has been replaced cannot come back: then the new file stays, being whole. */
        if (draft->replace) {
            free(draft->name);
            draft->name = NULL;
            return km_fail_system(error, "\"%s\" is in place, but may not survive a power failure",
                                  draft->path);
        }
        return km_fail_system(error, "cannot make the name of \"%s\" durable", draft->path);
    }
    if (keep != NULL) {
        *keep = draft->file;
    }
    forget(draft);
    return KM_OK;
}

void km_draft_abandon(km_draft *draft) {
    DWORD last_error = GetLastError();
    /* Closed first: Windows deletes an open file only when its last handle goes. Errors have no
     * reader here; what failed before is what the caller reports. */
    if (draft->file != INVALID_HANDLE_VALUE) {
        (void)close_draft(draft);
    }
    if (draft->name != NULL) {
        (void)draft->io->remove(draft->name);
    }
    forget(draft);
    SetLastError(last_error);
}
