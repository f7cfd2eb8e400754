/*
 * publish.h - files that appear whole or not at all, in one place.
 *
 * A draft is a file without a name, or with a temporary one, beside its target. It is written,
 * synced, and only then given the target's name; the directory is synced last. Whatever fails or
 * is cancelled before, km_draft_abandon leaves nothing.
 */
#ifndef KM_PUBLISH_H
#define KM_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "io.h"

typedef struct km_draft {
    const km_io *io;
    const char *path; /* as the user named the target; for sentences. The caller's. */
    WCHAR *target;    /* links resolved */
    HANDLE file;      /* INVALID_HANDLE_VALUE when there is none */
    WCHAR *name;      /* NULL while nameless */
    bool replace;
    bool exists;          /* the target did when the draft began: its permissions are taken over */
    uint32_t permissions; /* else these; 0: the system's default */
} km_draft;

/*
 * Begins a draft for `path`. Without `replace` an existing target is KM_E_EXISTS; with it, one that
 * somebody uses is KM_E_BUSY, a directory or device KM_E_INVALID, and the draft takes over the
 * target's permissions. `share` is the sharing mode of draft->file (km_platform_draft).
 * Each km_draft_begin that succeeds is followed by km_draft_abandon in the end.
 */
km_status km_draft_begin(km_draft *draft, const km_io *io, const char *path, uint32_t permissions,
                         DWORD share, bool replace);

/*
 * Gives the draft its target's name. `durable`: syncs the file before and the directory after.
 * `keep`: if not NULL, the still open file is handed to the caller, else it is closed.
 * KM_E_EXISTS if somebody was faster (without `replace`). After a failure the caller lets go of
 * what it has mapped of draft->file, which could not be deleted before, and abandons the draft.
 */
km_status km_draft_publish(km_draft *draft, bool durable, HANDLE *keep);

/* Removes every trace. Safe on a draft already published or abandoned. Keeps the last error. */
void km_draft_abandon(km_draft *draft);

#endif /* KM_PUBLISH_H */
