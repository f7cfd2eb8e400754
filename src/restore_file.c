/*
 * restore_file.c - a snapshot's image as a new file, whole or not at all.
 *
 * The draft is sparse, and what is zeros is not written, so it stays a hole. A file's snapshot says
 * how long the image is, and the draft gets its size before the first byte: what the file system
 * refuses is refused at once. A stream's draft grows as it comes and is settled at the end.
 */
#include "restore.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "path.h"
#include "platform.h"
#include "publish.h"
#include "same_file.h"
#include "status.h"
#include "stored.h"

/* Zeros are left out in blocks of this size: no file system has larger ones in common use. */
#define HOLE_SIZE ((uint32_t)64 << 10)

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

typedef struct target {
    km_draft draft;
    const char *source;
    _Atomic uint64_t written;
} target;

static km_status fail_write(const target *to, DWORD error, uint64_t at, uint32_t length) {
    uint64_t left = 0;
    if (km_platform_disk_free(to->draft.file, &left) == ERROR_SUCCESS) {
        return km_fail_system(error,
                              "cannot restore \"%s\" to \"%s\": writing %" PRIu32
                              " bytes at %" PRIu64 " failed, with %" PRIu64 " bytes of disk left",
                              to->source, to->draft.path, length, at, left);
    }
    return km_fail_system(
        error, "cannot restore \"%s\" to \"%s\": writing %" PRIu32 " bytes at %" PRIu64 " failed",
        to->source, to->draft.path, length, at);
}

static km_status write_run(target *to, uint64_t at, const uint8_t *bytes, uint32_t length) {
    const DWORD error = to->draft.io->write_at(to->draft.file, at, bytes, length);
    if (error != ERROR_SUCCESS) {
        return fail_write(to, error, at, length);
    }
    atomic_fetch_add(&to->written, length);
    return KM_OK;
}

/* Writes all but the blocks of zeros. The blocks are the file's, wherever the range begins. */
static km_status put(void *arg, uint64_t at, const void *from, uint32_t length) {
    target *to = arg;
    const uint8_t *bytes = from;
    uint32_t start = 0; /* of what is not written yet */
    uint32_t done = 0;
    while (done < length) {
        const uint32_t to_edge = HOLE_SIZE - (uint32_t)((at + done) % HOLE_SIZE);
        const uint32_t block = length - done < to_edge ? length - done : to_edge;
        const bool is_hole = km_zeros_are(bytes + done, block);
        const uint32_t end = is_hole ? done : done + block;
        done += block;
        if (!is_hole && done < length) {
            continue;
        }
        if (end > start) {
            const km_status status = write_run(to, at + start, bytes + start, end - start);
            if (status != KM_OK) {
                return status;
            }
        }
        start = done;
    }
    return KM_OK;
}

static km_status set_size(const target *to, uint64_t size) {
    const DWORD error = to->draft.io->truncate(to->draft.file, size);
    if (error == ERROR_SUCCESS) {
        return KM_OK;
    }
    const DWORD allowed = km_platform_growth_allowed(to->draft.file, size);
    return km_fail_system(allowed == ERROR_SUCCESS ? error : allowed,
                          "cannot restore \"%s\" to \"%s\": making it %" PRIu64 " bytes long "
                          "failed",
                          to->source, to->draft.path, size);
}

static km_status fill(target *to, km_restore_job *job) {
    uint64_t size = 0;
    /* Without holes (NOT_SUPPORTED) the file is right all the same, only larger. */
    const DWORD error = km_platform_set_sparse(to->draft.file);
    if (error != ERROR_SUCCESS && error != ERROR_NOT_SUPPORTED) {
        return km_fail_system(error, "cannot restore \"%s\" to \"%s\": making it sparse failed",
                              to->source, to->draft.path);
    }
    const bool size_is_sure = job->source->reader != NULL;
    km_status status = size_is_sure ? set_size(to, job->length) : KM_OK;
    if (status == KM_OK) {
        /* In order: of two threads that write to one file, one waits for the other in the kernel.
         */
        job->sink = (km_restore_sink){.put = put, .arg = to, .in_order = true};
        status = km_restore_run(job, &size);
    }
    return status == KM_OK && !size_is_sure ? set_size(to, size) : status;
}

/* ---- The snapshot itself ------------------------------------------------------------------- */

bool km_restore_is_source(const km_restore_source *source, const WCHAR *path) {
    return source->reader != NULL && km_path_leads_to(path, source->reader->input.file);
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status refuse_itself(const km_restore_job *job, const char *path) {
    WCHAR *native = NULL;
    km_status status = km_path_to_native(path, &native);
    if (status != KM_OK) {
        return status;
    }
    if (km_restore_is_source(job->source, native)) {
        status = km_fail(KM_E_INVALID, "cannot restore \"%s\" to \"%s\": they are the same file",
                         km_restore_source_name(job->source), path);
    }
    free(native);
    return status;
}

km_status km_restore_to_file(const km_io *io, km_restore_job *job, const char *path,
                             const km_restore_options *options, uint64_t *written) {
    const bool replace = (options->flags & KM_RESTORE_REPLACE) != 0;
    target to = {.source = km_restore_source_name(job->source)};
    km_status status = replace ? refuse_itself(job, path) : KM_OK;
    if (status != KM_OK) {
        return status;
    }
    atomic_init(&to.written, 0);
    status = km_draft_begin(&to.draft, io, path, options->permissions, SHARE_ALL, replace);
    if (status != KM_OK) {
        return status;
    }
    status = fill(&to, job);
    if (status == KM_OK) {
        status = km_draft_publish(&to.draft, (options->flags & KM_RESTORE_NO_SYNC) == 0, NULL);
    }
    km_draft_abandon(&to.draft);
    if (status == KM_OK) {
        *written = atomic_load(&to.written);
    }
    return status;
}
