/*
 * handles.c - the Win32 calls on handles of every kind.
 *
 * The only process that has a handle is the current one, and that is its pseudo handle: the target
 * and the source of a duplicate. Duplicating a pseudo handle itself would make a process or a
 * thread handle, which do not exist here: ERROR_NOT_SUPPORTED.
 */
#include <stdbool.h>
#include <stdint.h>

#include "file.h"
#include "handle_table.h"
#include "last_error.h"
#include "section.h"
#include "sync_object.h"

#define KNOWN_HANDLE_FLAGS (HANDLE_FLAG_INHERIT | HANDLE_FLAG_PROTECT_FROM_CLOSE)
#define KNOWN_DUPLICATE_OPTIONS (DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS)

static const intptr_t current_process = -1;
static const intptr_t current_thread = -2;

HANDLE GetCurrentProcess(void) {
    return (HANDLE)current_process;
}

bool kmw_is_current_process(HANDLE process) {
    return process == (HANDLE)current_process;
}

static bool is_pseudo_handle(HANDLE handle) {
    return handle == (HANDLE)current_process || handle == (HANDLE)current_thread;
}

BOOL CloseHandle(HANDLE handle) {
    if (is_pseudo_handle(handle)) {
        return TRUE;
    }
    return kmw_handle_close(handle, false);
}

BOOL GetHandleInformation(HANDLE handle, LPDWORD flags) {
    DWORD now = 0;
    if (!is_pseudo_handle(handle) && !kmw_handle_flags(handle, 0, 0, &now)) {
        return FALSE;
    }
    if (flags != NULL) {
        *flags = now;
    }
    return TRUE;
}

BOOL SetHandleInformation(HANDLE handle, DWORD mask, DWORD flags) {
    DWORD now = 0;
    if (mask & ~KNOWN_HANDLE_FLAGS) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    return kmw_handle_flags(handle, mask, flags, &now);
}

/*
 * The rights of a duplicate for which `asked` was asked. What the source may not do, the duplicate
 * may not do either. A section's handle never has all of FILE_MAP_ALL_ACCESS, which programs ask
 * for all the same and get where reading and writing is what it is about.
 */
static DWORD duplicate_rights(kmw_use source, DWORD asked, DWORD *access) {
    if (asked & MAXIMUM_ALLOWED) {
        *access = source.access;
        return ERROR_SUCCESS;
    }
    DWORD needed = 0;
    const kmw_sync_class *sync = kmw_sync_class_of(source.object);
    if (sync != NULL) {
        asked = kmw_sync_rights(sync, asked);
        needed = asked;
    } else if (source.object->class->kind == KMW_SECTION) {
        asked = kmw_section_rights(asked);
        needed = asked & (SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_MAP_EXECUTE_EXPLICIT);
    } else {
        asked = kmw_file_rights(asked);
        needed = asked;
    }
    if (needed & ~source.access) {
        return ERROR_ACCESS_DENIED;
    }
    *access = asked & source.access;
    return ERROR_SUCCESS;
}

static BOOL duplicate(HANDLE source, LPHANDLE target, DWORD access, bool same_access,
                      bool inherit) {
    kmw_use use = kmw_use_begin(source, KMW_ANY);
    if (use.object == NULL) {
        return FALSE;
    }
    HANDLE made = NULL;
    DWORD rights = use.access;
    DWORD error = same_access ? ERROR_SUCCESS : duplicate_rights(use, access, &rights);
    if (error == ERROR_SUCCESS) {
        made = kmw_handle_open(use.object, rights, inherit);
        error = made == NULL ? GetLastError() : ERROR_SUCCESS;
    }
    kmw_use_end(use);
    if (error != ERROR_SUCCESS) {
        return kmw_fail(error);
    }
    if (target != NULL) {
        *target =
            made; /* otherwise it stays open, and unknown, to the end: Windows does that too */
    }
    return TRUE;
}

BOOL DuplicateHandle(HANDLE source_process, HANDLE source, HANDLE target_process, LPHANDLE target,
                     DWORD access, BOOL inherit, DWORD options) {
    if (!kmw_is_current_process(source_process)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    if (options & ~KNOWN_DUPLICATE_OPTIONS) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (is_pseudo_handle(source)) {
        return kmw_fail(ERROR_NOT_SUPPORTED);
    }
    BOOL done = FALSE;
    if (kmw_is_current_process(target_process)) {
        done = duplicate(source, target, access, options & DUPLICATE_SAME_ACCESS, inherit);
    } else if (target_process == NULL && target == NULL && (options & DUPLICATE_CLOSE_SOURCE)) {
        return CloseHandle(source); /* how one process closes another's handle on Windows */
    } else {
        kmw_fail(ERROR_INVALID_HANDLE);
    }
    if (options & DUPLICATE_CLOSE_SOURCE) {
        /* Whatever became of the duplicate, as documented. A protected source stays open. */
        DWORD error = GetLastError();
        (void)CloseHandle(source);
        SetLastError(error);
    }
    return done;
}
