/*
 * restore_in_place.c - an existing file made equal to a snapshot's image, by writing the chunks in
 * which they differ.
 *
 * First all of the snapshot is unpacked and checked, so that a damaged one changes nothing; then
 * the file gets its size; then each of its chunks is read and hashed, and only where the hash is
 * not the index's is the chunk unpacked and written.
 *
 * What a crash leaves. The file has the image's size already, or still its own; each chunk of it is
 * the old one, the image's, or a mixture of both. There is no record of how far it had got, and
 * none is needed: the same call compares anew and writes what is still different. The image itself
 * is only there once the call has returned KM_OK (with KM_RESTORE_NO_SYNC: to the system, not to
 * the disk).
 */
#include "restore.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "path.h"
#include "platform.h"
#include "size.h"
#include "status.h"

typedef struct place {
    const km_io *io;
    const km_restore_job *job;
    const char *path; /* as the user named it; for sentences */
    HANDLE file;
    uint64_t old_size; /* what lies behind it has just been added, and is zeros */
    bool holes;        /* it may have some */
    _Atomic uint64_t written;
} place;

static km_status fail_at(const place *to, DWORD error, const char *doing, uint64_t at,
                         uint32_t length) {
    return km_fail_system(error,
                          "cannot restore \"%s\" into \"%s\": %s %" PRIu32 " bytes at %" PRIu64
                          " failed; the file may be a mixture now, which the same call repairs",
                          km_restore_source_name(to->job->source), to->path, doing, length, at);
}

/* ---- The target ---------------------------------------------------------------------------- */

static km_status fail_opening(const place *to, DWORD error) {
    if (error == ERROR_SHARING_VIOLATION) {
        return km_fail_system_as(KM_E_BUSY, error,
                                 "cannot restore into \"%s\": somebody has it open or mapped",
                                 to->path);
    }
    return km_fail_system(error, "cannot open \"%s\" to restore into it", to->path);
}

static bool is_folder(const WCHAR *native) {
    const DWORD attributes = GetFileAttributesW(native);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/*
 * Opened for ourselves alone. A view without a handle, which does not keep us out, is looked for
 * before: once we have the file, we would be seen ourselves.
 */
static km_status open_native(place *to, const WCHAR *native) {
    if (is_folder(native)) {
        return km_fail(KM_E_INVALID, "cannot restore into \"%s\": it is a directory", to->path);
    }
    if (km_restore_is_source(to->job->source, native)) {
        return km_fail(KM_E_INVALID, "cannot restore \"%s\" into \"%s\": they are the same file",
                       km_restore_source_name(to->job->source), to->path);
    }
    if (km_platform_in_use(native)) {
        return fail_opening(to, ERROR_SHARING_VIOLATION);
    }
    to->file = CreateFileW(native, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                           FILE_ATTRIBUTE_NORMAL, NULL);
    if (to->file == INVALID_HANDLE_VALUE) {
        return fail_opening(to, GetLastError());
    }
    if (km_is_device(to->file)) {
        return km_fail(KM_E_INVALID, "cannot restore into \"%s\": it is no regular file", to->path);
    }
    LARGE_INTEGER size;
    if (!GetFileSizeEx(to->file, &size)) {
        return fail_opening(to, GetLastError());
    }
    to->old_size = (uint64_t)size.QuadPart;
    uint64_t allocated = 0;
    to->holes =
        km_platform_allocated(to->file, &allocated) == ERROR_SUCCESS && allocated < to->old_size;
    return KM_OK;
}

static km_status open_target(place *to) {
    WCHAR *native = NULL;
    km_status status = km_path_to_native(to->path, &native);
    if (status == KM_OK) {
        status = open_native(to, native);
    }
    free(native);
    return status;
}

static km_status set_size(const place *to, uint64_t size) {
    DWORD error = ERROR_SUCCESS;
    if (size == to->old_size) {
        return KM_OK;
    }
    if (size > to->old_size) {
        /* What is added is holes where it can be; without them it is right all the same. */
        error = km_platform_set_sparse(to->file);
        error = error == ERROR_NOT_SUPPORTED ? ERROR_SUCCESS : error;
    }
    if (error == ERROR_SUCCESS) {
        error = to->io->truncate(to->file, size);
    }
    if (error == ERROR_SUCCESS) {
        return KM_OK;
    }
    const DWORD allowed = km_platform_growth_allowed(to->file, size);
    return km_fail_system(allowed == ERROR_SUCCESS ? error : allowed,
                          "cannot restore \"%s\" into \"%s\": changing its size from %" PRIu64
                          " to %" PRIu64 " bytes failed",
                          km_restore_source_name(to->job->source), to->path, to->old_size, size);
}

/* ---- Its chunks ---------------------------------------------------------------------------- */

static km_status read_target(const place *to, uint64_t at, uint8_t *bytes, uint32_t length) {
    size_t have = 0;
    DWORD error = km_read_at(to->file, at, bytes, length, &have);
    if (error == ERROR_SUCCESS && have < length) {
        error = ERROR_HANDLE_EOF;
    }
    return error == ERROR_SUCCESS ? KM_OK : fail_at(to, error, "reading", at, length);
}

static km_status has(void *arg, uint64_t at, const km_format_entry *entry, void *scratch,
                     bool *has_it) {
    const place *to = arg;
    uint8_t hash[KM_HASH_SIZE];
    if (at >= to->old_size) {
        *has_it = entry->flags == KM_CHUNK_ZEROS || entry->raw_length == 0;
        return KM_OK;
    }
    if (entry->flags == KM_CHUNK_ZEROS && to->holes &&
        km_is_hole(to->file, at, entry->raw_length)) {
        *has_it = true;
        return KM_OK;
    }
    const km_status status = read_target(to, at, scratch, entry->raw_length);
    if (status == KM_OK) {
        km_hash(scratch, entry->raw_length, to->job->source->reader->facts.seed, hash);
        *has_it = memcmp(hash, entry->hash, KM_HASH_SIZE) == 0;
    }
    return status;
}

static km_status put(void *arg, uint64_t at, const void *bytes, uint32_t length) {
    place *to = arg;
    const DWORD error = to->io->write_at(to->file, at, bytes, length);
    if (error != ERROR_SUCCESS) {
        return fail_at(to, error, "writing", at, length);
    }
    atomic_fetch_add(&to->written, length);
    return KM_OK;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status check_source(km_restore_job *job) {
    uint64_t size = 0;
    job->doing = "verifying";
    job->sink = (km_restore_sink){.put = NULL};
    return km_restore_run(job, &size);
}

static km_status change(place *to, km_restore_job *job) {
    uint64_t size = 0;
    km_status status = set_size(to, job->length);
    if (status == KM_OK) {
        job->sink = (km_restore_sink){.put = put, .has = has, .arg = to};
        job->progress_before = job->length;
        job->doing = "restoring";
        status = km_restore_run(job, &size);
    }
    return status;
}

static km_status sync_target(const place *to) {
    const DWORD error = to->io->sync(to->file);
    return error == ERROR_SUCCESS
               ? KM_OK
               : km_fail_system(error, "cannot make the contents of \"%s\" durable", to->path);
}

/* A close may report what a write did not. */
static km_status close_target(const place *to) {
    const DWORD error = to->io->close(to->file);
    return error == ERROR_SUCCESS ? KM_OK : km_fail_system(error, "cannot finish \"%s\"", to->path);
}

km_status km_restore_in_place(const km_io *io, km_restore_job *job, const char *path,
                              const km_restore_options *options, uint64_t *written) {
    place to = {.io = io, .job = job, .path = path, .file = INVALID_HANDLE_VALUE};
    atomic_init(&to.written, 0);
    job->progress_total = job->length <= UINT64_MAX / 2 ? 2 * job->length : KM_SIZE_UNKNOWN;
    km_status status = open_target(&to);
    if (status == KM_OK) {
        status = check_source(job);
    }
    if (status == KM_OK) {
        status = change(&to, job);
    }
    if (status == KM_OK && (options->flags & KM_RESTORE_NO_SYNC) == 0) {
        status = sync_target(&to);
    }
    if (status == KM_OK) {
        status = close_target(&to);
    } else if (to.file != INVALID_HANDLE_VALUE) {
        (void)to.io->close(to.file);
    }
    if (status == KM_OK) {
        *written = atomic_load(&to.written);
    }
    return status;
}
