/*
 * copy.c - km_copy: what a map shows, as a file of its own.
 *
 * The file system shares the blocks if it can; else the kernel copies each run of data, or, if it
 * cannot either, a buffer does. The draft is sparse and has its final size before the first byte,
 * so whatever is not written is a hole. A private map is copied from its memory, which alone knows
 * its stores, and so is a segment, which is nothing else.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "buffer.h"
#include "io.h"
#include "map.h"
#include "map_reader.h"
#include "options.h"
#include "platform.h"
#include "publish.h"
#include "size.h"
#include "status.h"

#define KNOWN_FLAGS KM_COPY_REPLACE
#define PERMISSION_BITS 07777u

/* What is copied between two progress calls: by the kernel, at a memory's speed, and by us. */
#define KERNEL_STEP ((uint64_t)16 << 20)
#define BUFFER_SIZE ((uint32_t)1 << 20)

/* Zeros are left out in blocks of this size: no file system has larger ones in common use. */
#define HOLE_SIZE ((uint32_t)64 << 10)

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

typedef struct copy_job {
    const km_map *map;
    km_map_reader reader;
    const km_copy_options *options;
    km_draft draft;
    uint64_t total;
    bool holes;         /* the source has some: zeros need not be written */
    bool kernel_copies; /* until it says that it cannot */
    char *buffer;       /* BUFFER_SIZE bytes; NULL until needed */
} copy_job;

/* ---- Steps --------------------------------------------------------------------------------- */

static km_status fail_copy(const copy_job *job, DWORD error, const char *doing, uint64_t done) {
    return km_map_reader_fail(&job->reader, error, doing, done);
}

static km_status report_progress(const copy_job *job, uint64_t done) {
    if (job->options->progress == NULL ||
        job->options->progress(done, job->total, job->options->progress_arg)) {
        return KM_OK;
    }
    return km_fail(KM_E_CANCELLED,
                   "copying \"%s\" to \"%s\" was cancelled after %" PRIu64 " of %" PRIu64 " bytes",
                   job->map->file->path, job->draft.path, done, job->total);
}

static km_status need_buffer(copy_job *job) {
    if (job->buffer == NULL) {
        job->buffer = km_buffer_make(BUFFER_SIZE);
    }
    if (job->buffer == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to copy \"%s\": %" PRIu32 " bytes wanted",
                       job->map->file->path, BUFFER_SIZE);
    }
    return KM_OK;
}

static bool all_zero(const char *bytes, size_t length) {
    /* A byte that is zero, and each one like the one before it. */
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Writes the buffer's first `length` bytes to `offset` of the draft, leaving out blocks of zeros.
 */
static km_status write_data(copy_job *job, uint64_t offset, uint32_t length) {
    uint32_t start = 0; /* of what is not written yet */
    uint32_t at = 0;
    while (at < length) {
        uint32_t block = length - at < HOLE_SIZE ? length - at : HOLE_SIZE;
        bool is_hole = job->holes && all_zero(job->buffer + at, block);
        uint32_t end = is_hole ? at : at + block;
        at += block;
        if (!is_hole && at < length) {
            continue;
        }
        if (end > start) {
            DWORD error = job->draft.io->write_at(job->draft.file, offset + start,
                                                  job->buffer + start, end - start);
            if (error != ERROR_SUCCESS) {
                return fail_copy(job, error, "writing", offset + start);
            }
        }
        start = at;
    }
    return KM_OK;
}

/* ---- From the file ------------------------------------------------------------------------- */

/* Reads `step` bytes through the buffer. */
static km_status copy_through_buffer(copy_job *job, uint64_t done, uint32_t step) {
    km_status status = need_buffer(job);
    if (status == KM_OK) {
        status = km_map_reader_read(&job->reader, done, job->buffer, step);
    }
    return status == KM_OK ? write_data(job, done, step) : status;
}

/* One step from `done` on, of at most `length` bytes; *copied of them. */
static km_status copy_step(copy_job *job, uint64_t done, uint64_t length, uint64_t *copied) {
    uint64_t source = job->map->offset + done;
    if (job->kernel_copies) {
        uint64_t step = length < KERNEL_STEP ? length : KERNEL_STEP;
        DWORD error = km_platform_copy_range(job->map->file->handle, source, job->draft.file, done,
                                             step, copied);
        if (error == ERROR_SUCCESS) {
            return *copied > 0 ? KM_OK : km_map_reader_fail_truncated(&job->reader, source);
        }
        if (error != ERROR_NOT_SUPPORTED) {
            return fail_copy(job, error, "copying", done);
        }
        job->kernel_copies = false;
    }
    uint32_t step = length < BUFFER_SIZE ? (uint32_t)length : BUFFER_SIZE;
    km_status status = copy_through_buffer(job, done, step);
    if (status == KM_OK) {
        *copied = step;
    }
    return status;
}

static km_status copy_runs(copy_job *job) {
    uint64_t offset = job->map->offset;
    uint64_t done = 0;
    while (done < job->total) {
        uint64_t start = 0;
        uint64_t end = 0;
        DWORD error = km_platform_next_data(job->map->file->handle, offset + done,
                                            offset + job->total, &start, &end);
        if (error != ERROR_SUCCESS) {
            return fail_copy(job, error, "looking for holes", done);
        }
        for (done = start - offset; done < end - offset;) {
            uint64_t copied = 0;
            km_status status = copy_step(job, done, end - offset - done, &copied);
            if (status != KM_OK) {
                return status;
            }
            done += copied;
            status = done < job->total ? report_progress(job, done) : KM_OK;
            if (status != KM_OK) {
                return status;
            }
        }
    }
    return KM_OK;
}

/* *cloned: the draft shares all blocks of the file, and shows what the map does. */
static km_status try_clone(copy_job *job, bool *cloned) {
    const km_map *map = job->map;
    uint64_t size = 0;
    DWORD error = km_file_size(map->file, &size);
    if (error != ERROR_SUCCESS) {
        return fail_copy(job, error, "asking for the size", 0);
    }
    if (map->offset != 0 || size != job->total) {
        return KM_OK;
    }
    error = km_platform_clone(map->file->handle, job->draft.file);
    if (error == ERROR_SUCCESS) {
        *cloned = true; /* cut to size by the caller, should the file have grown just now */
        return km_map_reader_check_size(&job->reader);
    }
    return error == ERROR_NOT_SUPPORTED ? KM_OK : fail_copy(job, error, "sharing its blocks", 0);
}

static km_status copy_from_file(copy_job *job) {
    uint64_t allocated = 0;
    DWORD error = km_platform_allocated(job->map->file->handle, &allocated);
    if (error != ERROR_SUCCESS) {
        return fail_copy(job, error, "asking for its blocks", 0);
    }
    job->holes = allocated < job->map->offset + job->total;
    km_status status = copy_runs(job);
    /* A file cut short looks like one that ends in a hole. */
    return status != KM_OK ? status : km_map_reader_check_size(&job->reader);
}

/* ---- From memory --------------------------------------------------------------------------- */

static km_status copy_from_memory(copy_job *job) {
    job->holes = true;
    km_status status = KM_OK;
    uint64_t done = 0;
    while (status == KM_OK && done < job->total) {
        const uint64_t left = job->total - done;
        const uint32_t step = left < BUFFER_SIZE ? (uint32_t)left : BUFFER_SIZE;
        status = copy_through_buffer(job, done, step);
        done += step;
        if (status == KM_OK && done < job->total) {
            status = report_progress(job, done);
        }
    }
    /* In the last page of a file cut short memory reads as zeros, and nothing fails. */
    return status != KM_OK ? status : km_map_reader_check_size(&job->reader);
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status fill_draft(copy_job *job) {
    bool cloned = false;
    const bool from_memory = km_map_reader_is_memory(&job->reader);
    km_status status = report_progress(job, 0);
    if (status != KM_OK || job->total == 0) {
        return status;
    }
    if (!from_memory) {
        status = try_clone(job, &cloned);
    }
    if (status != KM_OK) {
        return status;
    }
    /* Without holes (NOT_SUPPORTED) the copy is right all the same, only larger. */
    DWORD error = km_platform_set_sparse(job->draft.file);
    if (error == ERROR_SUCCESS || error == ERROR_NOT_SUPPORTED) {
        error = job->draft.io->truncate(job->draft.file, job->total);
    }
    if (error != ERROR_SUCCESS) {
        DWORD allowed = km_platform_growth_allowed(job->draft.file, job->total);
        return fail_copy(job, allowed == ERROR_SUCCESS ? error : allowed, "setting the size", 0);
    }
    if (!cloned) {
        status = from_memory ? copy_from_memory(job) : copy_from_file(job);
    }
    return status != KM_OK ? status : report_progress(job, job->total);
}

static km_status check_options(const km_map *map, const km_copy_options *options) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "km_copy: the map is NULL");
    }
    km_status status = km_flags_check(options->flags, KNOWN_FLAGS, "km_copy_options");
    if (status != KM_OK) {
        return status;
    }
    if ((options->permissions & ~PERMISSION_BITS) != 0) {
        return km_fail(KM_E_INVALID, "km_copy: 0%" PRIo32 " are no permissions",
                       options->permissions);
    }
    return KM_OK;
}

km_status km_copy(km_map *map, const char *path, const km_copy_options *options) {
    km_copy_options wanted;
    km_status status =
        km_struct_read(options, sizeof wanted, sizeof wanted, &wanted, "km_copy_options");
    if (status == KM_OK) {
        status = check_options(map, &wanted);
    }
    if (status != KM_OK) {
        return status;
    }
    copy_job job = {.map = map,
                    .reader = {.map = map, .verb = "copy", .target = path},
                    .options = &wanted,
                    .total = map->size,
                    .kernel_copies = true};
    const bool replace = (wanted.flags & KM_COPY_REPLACE) != 0;
    status = replace ? km_map_reader_refuse_itself(&job.reader, path) : KM_OK;
    if (status != KM_OK) {
        return status;
    }
    status =
        km_draft_begin(&job.draft, &km_io_default, path, wanted.permissions, SHARE_ALL, replace);
    if (status != KM_OK) {
        return status;
    }
    status = fill_draft(&job);
    if (status == KM_OK) {
        status = km_draft_publish(&job.draft, true, NULL);
    }
    km_draft_abandon(&job.draft);
    km_buffer_free(job.buffer);
    return status;
}
