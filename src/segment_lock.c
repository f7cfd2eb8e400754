/*
 * segment_lock.c - what km_lock on a segment needs besides: a file to lock, and the holder's mark.
 *
 * A section cannot be locked, so a small empty file beside the segments stands for it (machine-wide
 * where all users find it). It is opened at the first km_lock, by each process for itself: a forked
 * child shares its parent's handles, and a lock through a shared handle keeps nobody out.
 *
 * Whoever is done closes the file and deletes it. That fails while anybody has it open, as nobody
 * shares deletion; so the file does not change under a lock, unless somebody who knows nothing of
 * all this removes it: whoever gets the lock therefore looks whether its file still has its name.
 * Who comes while it is being deleted is refused for a moment, and asks again. A process that is
 * killed leaves an empty file behind, which the next user of the name opens; on POSIX, what nobody
 * has open is swept away with dead objects.
 *
 * The kernel frees a lock with its process; that somebody died inside is told by the mark in the
 * record, which only the holder of the lock touches.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "segment.h"
#include "status.h"

#define SHARE (FILE_SHARE_READ | FILE_SHARE_WRITE)

/* For as long one who makes or deletes the file may seem to have no right to it, or, as that is
 * over at once, hold up even those who do not want to wait. */
#define MOMENT_MS 100u
#define PAUSE_MS 1u

struct km_segment_lock {
    DWORD process; /* whose handle it is */
    HANDLE file;
    WCHAR *path;
    void *end; /* the view of the record; NULL: there is no record */
    uint64_t end_length;
};

/* ---- The file -------------------------------------------------------------------------------- */

static bool is_for_everybody(const km_file *file) {
    return file->segment->described ? (file->segment->record.flags & KM_RECORD_EVERYBODY) != 0
                                    : (file->flags & KM_OPEN_MACHINE_WIDE) != 0;
}

/* The name under which all who share the segment find its file. */
static DWORD lock_path(const km_file *file, WCHAR **path) {
    if (file->native_path != NULL) {
        return km_platform_companion(file->native_path, path);
    }
    /* No segment with a name has such a one, and no two without have the same. */
    const km_record *record = &file->segment->record;
    char unique[80];
    snprintf(unique, sizeof unique, "%" PRIu32 ".%" PRIu32 ".%" PRIu64, record->creator,
             record->serial, record->created);
    WCHAR *name = NULL;
    DWORD error = km_segment_text("Local\\", unique, KM_SEGMENT_SUFFIX, &name);
    if (error == ERROR_SUCCESS) {
        error = km_platform_companion(name, path);
        free(name);
    }
    return error;
}

/* Opening what is there comes first: in a directory that all may write to, a system may refuse to
 * open another user's file in a way that could also make it. */
static DWORD open_or_make(const km_file *file, const WCHAR *path, HANDLE *handle) {
    const DWORD access = GENERIC_READ | GENERIC_WRITE;
    const DWORD flags = FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT;
    km_everybody storage;
    HANDLE opened = CreateFileW(path, access, SHARE, NULL, OPEN_EXISTING, flags, NULL);
    if (opened != INVALID_HANDLE_VALUE) {
        *handle = opened;
        return ERROR_SUCCESS;
    }
    DWORD error = GetLastError();
    if (error != ERROR_FILE_NOT_FOUND) {
        return error;
    }
    const bool everybody = is_for_everybody(file);
    opened = CreateFileW(path, access, SHARE, km_segment_security(everybody, &storage), CREATE_NEW,
                         flags, NULL);
    if (opened == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    error = km_platform_share_companion(opened, file->handle, everybody);
    if (error != ERROR_SUCCESS) {
        CloseHandle(opened);
        (void)DeleteFileW(path);
        return error;
    }
    *handle = opened;
    return ERROR_SUCCESS;
}

/* Somebody who knows nothing of locks (a tidy system, at the end of a session) may have removed it:
 * then those who come meet at a new one, and so do we. */
static bool has_lost_its_name(HANDLE file) {
    BY_HANDLE_FILE_INFORMATION facts;
    return GetFileInformationByHandle(file, &facts) && facts.nNumberOfLinks == 0;
}

/* Refused by one who is just making the file, so not yet for us, or has just deleted it (Windows).
 * If that lasts, it is meant. */
static bool is_of_a_moment(DWORD error) {
    return error == ERROR_FILE_EXISTS || error == ERROR_ALREADY_EXISTS ||
           error == ERROR_ACCESS_DENIED;
}

/* WAIT_TIMEOUT: somebody was at making or deleting it all the time. */
static DWORD open_file(const km_file *file, const WCHAR *path, const km_deadline *deadline,
                       HANDLE *handle) {
    const uint64_t start = GetTickCount64();
    uint64_t refused = 0; /* when is_of_a_moment began to hold; 0: it does not */
    for (;;) {
        const DWORD error = open_or_make(file, path, handle);
        const uint64_t now = GetTickCount64();
        const bool moment = is_of_a_moment(error);
        if (!moment && error != ERROR_SHARING_VIOLATION) {
            return error;
        }
        refused = !moment ? 0 : refused == 0 ? now : refused;
        if (deadline->timeout_ms == 0 ? now - start >= MOMENT_MS
                                      : moment && now - refused >= MOMENT_MS) {
            return error;
        }
        if (deadline->timeout_ms != 0 && km_deadline_left(deadline) == 0) {
            return moment ? error : WAIT_TIMEOUT;
        }
        Sleep(PAUSE_MS);
    }
}

static km_status fail_lock_file(const km_file *file, DWORD error, uint32_t timeout_ms) {
    if (error == WAIT_TIMEOUT) {
        return km_fail(KM_E_TIMEOUT,
                       "cannot lock the segment \"%s\": the file that its lock lies on was others' "
                       "for %" PRIu32 " ms",
                       file->path, timeout_ms);
    }
    return km_fail_system(error, "cannot open the file that the lock of the segment \"%s\" lies on",
                          file->path);
}

/* NULL, and *status, if it cannot be made. */
static km_segment_lock *make_companion(const km_file *file, km_status *status) {
    km_segment_lock *made = calloc(1, sizeof *made);
    if (made == NULL) {
        *status = km_fail(KM_E_NO_MEMORY, "no memory to lock the segment \"%s\"", file->path);
        return NULL;
    }
    made->file = INVALID_HANDLE_VALUE;
    DWORD error = lock_path(file, &made->path);
    if (error == ERROR_SUCCESS && file->segment->described) {
        const DWORD access = file->access == KM_WRITE ? FILE_MAP_WRITE : FILE_MAP_READ;
        error = km_segment_view_end(file, access, &made->end, &made->end_length);
    }
    if (error != ERROR_SUCCESS) {
        free(made->path);
        free(made);
        *status = fail_lock_file(file, error, 0);
        return NULL;
    }
    return made;
}

bool km_segment_lock_is_lost(const km_map *map) {
    return has_lost_its_name(map->companion->file);
}

km_status km_segment_lock_file(km_map *map, const km_deadline *deadline, HANDLE *handle) {
    km_status status = KM_OK;
    if (map->companion == NULL) {
        map->companion = make_companion(map->file, &status);
    }
    km_segment_lock *companion = map->companion;
    if (companion == NULL) {
        return status;
    }
    const DWORD self = GetCurrentProcessId();
    if (companion->file == INVALID_HANDLE_VALUE || companion->process != self ||
        has_lost_its_name(companion->file)) {
        HANDLE own = INVALID_HANDLE_VALUE;
        const DWORD error = open_file(map->file, companion->path, deadline, &own);
        if (error != ERROR_SUCCESS) {
            return fail_lock_file(map->file, error, deadline->timeout_ms);
        }
        if (companion->file != INVALID_HANDLE_VALUE) {
            CloseHandle(companion->file); /* inherited from a parent, or nameless */
        }
        companion->file = own;
        companion->process = self;
    }
    *handle = companion->file;
    return KM_OK;
}

void km_segment_lock_close(km_map *map) {
    km_segment_lock *companion = map->companion;
    if (companion == NULL) {
        return;
    }
    if (companion->end != NULL) {
        UnmapViewOfFile(companion->end);
    }
    if (companion->file != INVALID_HANDLE_VALUE) {
        /* Fails, as it should, while others have it open; where nobody would notice, it stays. */
        const bool refusable = km_platform_sharing_enforced(companion->file);
        CloseHandle(companion->file);
        if (refusable) {
            (void)DeleteFileW(companion->path);
        }
    }
    free(companion->path);
    free(companion);
    map->companion = NULL;
}

/* ---- The mark -------------------------------------------------------------------------------- */

static DWORD write_mark(const km_segment_lock *companion, uint64_t mark) {
    km_record *record =
        (km_record *)(void *)((char *)companion->end + companion->end_length - KM_RECORD_SIZE);
    SIZE_T done = 0;
    return WriteProcessMemory(GetCurrentProcess(), &record->mark, &mark, sizeof mark, &done)
               ? ERROR_SUCCESS
               : GetLastError();
}

static km_status fail_mark(const km_file *file, DWORD error) {
    return km_fail_system(error, "cannot lock the segment \"%s\": its record is out of reach",
                          file->path);
}

static km_status tell_of_death(const km_file *file, uint64_t mark) {
    return km_fail(
        KM_E_OWNER_DIED,
        "locked the segment \"%s\", but process %" PRIu32
        " ended while it had the lock exclusively: what it was changing may be half done",
        file->path, (uint32_t)mark);
}

/* Not 0, and no other lock's of this process or of one that had its number. */
static uint64_t new_mark(void) {
    static atomic_uint last;
    const uint32_t serial = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed);
    const uint32_t moment = ((uint32_t)GetTickCount64() << 16) + 2 * serial;
    return (uint64_t)(moment | 1) << 32 | GetCurrentProcessId();
}

km_status km_segment_lock_entered(km_map *map, km_lock_mode mode) {
    const km_segment_lock *companion = map->companion;
    const uint64_t mark = mode == KM_LOCK_EXCLUSIVE ? new_mark() : 0;
    km_record record;
    map->mark = 0;
    if (companion->end == NULL) {
        return KM_OK;
    }
    DWORD error = km_segment_read_record(companion->end, companion->end_length, &record);
    if (error == ERROR_SUCCESS && mark != 0) {
        error = write_mark(companion, mark);
    }
    if (error != ERROR_SUCCESS) {
        return fail_mark(map->file, error);
    }
    map->mark = mark;
    map->found = record.mark;
    return record.mark == 0 ? KM_OK : tell_of_death(map->file, record.mark);
}

DWORD km_segment_lock_leaving(km_map *map, bool repaired, HANDLE *handle, bool *ours) {
    const km_segment_lock *companion = map->companion;
    const uint64_t mark = map->mark;
    km_record record;
    *handle = companion->file;
    *ours = true;
    if (mark == 0) {
        return ERROR_SUCCESS;
    }
    map->mark = 0;
    const DWORD error = km_segment_read_record(companion->end, companion->end_length, &record);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    if (record.mark == mark) {
        return write_mark(companion, repaired ? 0 : map->found);
    }
    /* To free a byte twice harms nobody through a file of one's own; through one that is the
     * parent's, it would free what the parent has locked meanwhile. */
    *ours = map->locker == GetCurrentProcessId();
    return ERROR_SUCCESS;
}
