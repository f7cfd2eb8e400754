/*
 * salvage.c - km_salvage: a file of all that is undamaged in a damaged snapshot.
 *
 * The snapshot is read twice: once to find what there is in it (salvage_scan.h), and, when it is
 * clear what of that makes up the image (salvage_plan.h), once to unpack it. The draft is sparse
 * and gets its final size when the first chunk has been recovered, so whatever is not written is a
 * hole, and a size alone is never tried.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "chunk.h"
#include "input.h"
#include "io.h"
#include "options.h"
#include "platform.h"
#include "publish.h"
#include "salvage_plan.h"
#include "salvage_scan.h"
#include "snapshot_reader.h"
#include "status.h"
#include "stored.h"

#define KNOWN_FLAGS (KM_RESTORE_REPLACE | KM_RESTORE_NO_SYNC)
#define PERMISSION_BITS 07777u
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* Progress is told after so many bytes looked through, or unpacked. */
#define PROGRESS_STEP ((uint64_t)16 << 20)

typedef struct lost_range {
    uint64_t offset;
    uint64_t length;
} lost_range;

typedef struct salvage_job {
    const km_salvage_options *options;
    km_input input;
    km_draft draft;
    km_plan plan;
    km_unpacker *unpacker;
    uint8_t *packed;
    uint8_t *raw;
    uint64_t told;      /* of progress, in bytes of the snapshot */
    uint64_t taken;     /* packed bytes of the chunks tried */
    uint64_t unpacked;  /* raw bytes of them, since progress was told */
    uint64_t end;       /* of the last chunk recovered, in the image */
    uint64_t recovered; /* bytes */
    uint64_t recovered_chunks;
    lost_range *lost;
    size_t lost_count, lost_room;
} salvage_job;

/* ---- Steps --------------------------------------------------------------------------------- */

static km_status fail_target(const salvage_job *job, DWORD error, const char *doing,
                             uint64_t offset) {
    return km_fail_system(
        error, "cannot salvage \"%s\" to \"%s\": %s failed at %" PRIu64 " of %" PRIu64 " bytes",
        job->input.path, job->draft.path, doing, offset, job->plan.size);
}

static km_status tell_progress(salvage_job *job, uint64_t now) {
    job->told = now;
    if (job->options->progress == NULL ||
        job->options->progress(now, job->input.size, job->options->progress_arg)) {
        return KM_OK;
    }
    return km_fail(KM_E_CANCELLED, "salvaging \"%s\" to \"%s\" was cancelled", job->input.path,
                   job->draft.path);
}

/* Both readings are half of the work each. */
static uint64_t half(const salvage_job *job, uint64_t done) {
    return (done < job->input.size ? done : job->input.size) / 2;
}

static km_status tell_found(salvage_job *job, uint64_t position) {
    const uint64_t now = half(job, position);
    return now < job->told + PROGRESS_STEP / 2 ? KM_OK : tell_progress(job, now);
}

/* By what has been done, not by where it lies: the chunks may be in any order in the file, and a
 * few packed bytes may be much to write. */
static km_status tell_tried(salvage_job *job, const km_plan_pick *pick) {
    job->taken += pick->entry.packed_length;
    job->unpacked += pick->entry.raw_length;
    if (job->unpacked < PROGRESS_STEP) {
        return KM_OK;
    }
    job->unpacked = 0;
    return tell_progress(job, job->input.size - half(job, job->input.size) + half(job, job->taken));
}

/* ---- What there is ------------------------------------------------------------------------- */

static km_status find_members(salvage_job *job) {
    km_scan scan;
    km_scan_begin(&scan, &job->input);
    km_status status = tell_progress(job, 0);
    km_scan_result result = KM_SCAN_PAUSE;
    while (status == KM_OK && result != KM_SCAN_END) {
        km_scan_member member;
        status = km_scan_next(&scan, &member, &result);
        if (status == KM_OK && result == KM_SCAN_MEMBER) {
            status = km_plan_add(&job->plan, &member);
        }
        if (status == KM_OK) {
            status = tell_found(job, scan.position);
        }
    }
    km_scan_end(&scan);
    return status;
}

/* ---- Chunks -------------------------------------------------------------------------------- */

static km_status need_buffers(salvage_job *job) {
    const uint32_t chunk_size = (uint32_t)1 << job->plan.chunk_shift;
    job->packed = malloc(km_format_packed_most(chunk_size));
    job->raw = malloc(chunk_size);
    if (job->packed == NULL || job->raw == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to unpack chunks of %" PRIu32 " bytes of \"%s\"",
                       chunk_size, job->input.path);
    }
    return km_unpacker_make(&job->unpacker);
}

static km_status size_target(salvage_job *job) {
    const uint64_t size = job->plan.size;
    /* Without holes (NOT_SUPPORTED) the file is right all the same, only larger. */
    DWORD error = km_platform_set_sparse(job->draft.file);
    if (error == ERROR_SUCCESS || error == ERROR_NOT_SUPPORTED) {
        error = job->draft.io->truncate(job->draft.file, size);
    }
    if (error != ERROR_SUCCESS) {
        const DWORD allowed = km_platform_growth_allowed(job->draft.file, size);
        error = allowed == ERROR_SUCCESS ? error : allowed;
        return fail_target(job, error, "setting the size", 0);
    }
    return KM_OK;
}

/* *good: the chunk's bytes are in job->raw. */
static km_status unpack(salvage_job *job, const km_plan_pick *pick, bool *good) {
    size_t got = 0;
    const uint64_t *seed = pick->indexed ? km_plan_seed(&job->plan) : NULL;
    km_status status =
        km_input_read(&job->input, pick->offset, job->packed, pick->entry.packed_length, &got);
    *good = false;
    if (status != KM_OK || got < pick->entry.packed_length) {
        return status; /* the file has been cut short since it was looked through */
    }
    const km_chunk_state state =
        km_unpack(job->unpacker, &pick->entry, job->packed, job->raw, seed);
    *good = state == KM_CHUNK_GOOD;
    if (state == KM_CHUNK_NO_MEMORY) {
        return km_fail(KM_E_NO_MEMORY, "no memory to unpack a chunk of \"%s\"", job->input.path);
    }
    return state == KM_CHUNK_NO_CODEC
               ? km_fail_chunk(job->input.path, pick->chunk, job->plan.chunk_shift,
                               pick->entry.raw_length, state)
               : KM_OK;
}

/* Nothing was recovered from job->end up to `offset`. */
static km_status note_lost(salvage_job *job, uint64_t offset) {
    if (offset <= job->end) {
        return KM_OK;
    }
    if (job->lost_count == job->lost_room) {
        const size_t room = job->lost_room == 0 ? 64 : 2 * job->lost_room;
        lost_range *larger =
            room > SIZE_MAX / sizeof *larger ? NULL : realloc(job->lost, room * sizeof *larger);
        if (larger == NULL) {
            return km_fail(KM_E_NO_MEMORY, "no memory to note what is lost of \"%s\"",
                           job->input.path);
        }
        job->lost = larger;
        job->lost_room = room;
    }
    job->lost[job->lost_count++] = (lost_range){job->end, offset - job->end};
    return KM_OK;
}

static km_status write_chunk(salvage_job *job, const km_plan_pick *pick) {
    const uint32_t length = pick->entry.raw_length;
    const uint64_t offset = pick->chunk << job->plan.chunk_shift;
    km_status status = job->recovered_chunks == 0 ? size_target(job) : KM_OK;
    if (status != KM_OK) {
        return status;
    }
    if ((pick->entry.flags & KM_CHUNK_ZEROS) == 0 && length > 0 &&
        !km_zeros_are(job->raw, length)) {
        const DWORD error = job->draft.io->write_at(job->draft.file, offset, job->raw, length);
        if (error != ERROR_SUCCESS) {
            return fail_target(job, error, "writing", offset);
        }
    }
    status = note_lost(job, offset);
    if (status == KM_OK) {
        job->end = offset + length;
        job->recovered += length;
        job->recovered_chunks++;
    }
    return status;
}

static km_status recover_chunks(salvage_job *job) {
    km_plan_pick pick;
    uint64_t last = UINT64_MAX; /* chunk recovered */
    km_status status = need_buffers(job);
    while (status == KM_OK && km_plan_next(&job->plan, &pick)) {
        bool good = false;
        if (pick.chunk == last) {
            continue;
        }
        status = unpack(job, &pick, &good);
        if (status == KM_OK && good) {
            status = write_chunk(job, &pick);
            last = pick.chunk;
        }
        if (status == KM_OK) {
            status = tell_tried(job, &pick);
        }
    }
    if (status == KM_OK && job->recovered_chunks == 0) {
        return km_fail(KM_E_CORRUPT, "nothing can be salvaged from \"%s\": no chunk is undamaged",
                       job->input.path);
    }
    return status == KM_OK ? note_lost(job, job->plan.size) : status;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status tell_lost(const salvage_job *job) {
    for (size_t i = 0; job->options->lost != NULL && i < job->lost_count; i++) {
        const lost_range *range = &job->lost[i];
        if (!job->options->lost(KM_RANGE_LOST, range->offset, range->length,
                                job->options->lost_arg)) {
            return km_fail(KM_E_CANCELLED,
                           "salvaging \"%s\" to \"%s\" was cancelled: enough was lost",
                           job->input.path, job->draft.path);
        }
    }
    return KM_OK;
}

static km_status tell_end(const salvage_job *job) {
    const uint64_t size = job->input.size;
    if (job->options->progress == NULL ||
        job->options->progress(size, size, job->options->progress_arg)) {
        return KM_OK;
    }
    return km_fail(KM_E_CANCELLED, "salvaging \"%s\" to \"%s\" was cancelled at its end",
                   job->input.path, job->draft.path);
}

static km_status salvage(salvage_job *job) {
    km_status status = find_members(job);
    if (status == KM_OK) {
        status = km_plan_decide(&job->plan, job->input.path);
    }
    if (status == KM_OK) {
        status = recover_chunks(job);
    }
    if (status == KM_OK) {
        status = tell_lost(job);
    }
    if (status == KM_OK) {
        status = tell_end(job);
    }
    if (status == KM_OK) {
        const bool durable = (job->options->flags & KM_RESTORE_NO_SYNC) == 0;
        status = km_draft_publish(&job->draft, durable, NULL);
    }
    return status;
}

static void report(const salvage_job *job, uint32_t size) {
    const km_plan *plan = &job->plan;
    const km_salvage_report facts = {
        .size_known = plan->size_known,
        .index_found = plan->index_complete,
        .size = plan->size,
        .recovered = job->recovered,
        .lost = plan->size - job->recovered,
        .lost_chunks = km_format_chunks(plan->size, plan->chunk_shift) - job->recovered_chunks,
    };
    km_result_fill(&facts, sizeof facts, size, job->options->report);
}

static km_status read_options(const km_salvage_options *options, km_salvage_options *known,
                              uint32_t *report_size) {
    km_status status =
        km_struct_read(options, sizeof *known, sizeof *known, known, "km_salvage_options");
    if (status == KM_OK) {
        status = km_flags_check(known->flags, KNOWN_FLAGS, "km_salvage_options");
    }
    if (status == KM_OK && (known->permissions & ~PERMISSION_BITS) != 0) {
        status = km_fail(KM_E_INVALID, "km_salvage: 0%" PRIo32 " are no permissions",
                         known->permissions);
    }
    return status != KM_OK ? status
                           : km_result_size(known->report, sizeof(km_salvage_report),
                                            "km_salvage_report", report_size);
}

km_status km_salvage(const char *snapshot, const char *path, const km_salvage_options *options) {
    km_salvage_options known;
    uint32_t report_size = 0;
    km_status status = read_options(options, &known, &report_size);
    if (status != KM_OK) {
        return status;
    }
    salvage_job job = {.options = &known};
    /* Not to be replaced meanwhile, least of all by its own salvage. */
    status =
        km_input_open(&job.input, snapshot, FILE_SHARE_READ | FILE_SHARE_WRITE, "for salvaging");
    if (status != KM_OK) {
        return status;
    }
    status = km_draft_begin(&job.draft, &km_io_default, path, known.permissions, SHARE_ALL,
                            (known.flags & KM_RESTORE_REPLACE) != 0);
    if (status != KM_OK) {
        goto close_input;
    }
    status = salvage(&job);
    if (status == KM_OK) {
        report(&job, report_size);
    }
    km_draft_abandon(&job.draft);
    km_unpacker_free(job.unpacker);
    km_plan_free(&job.plan);
    free(job.packed);
    free(job.raw);
    free(job.lost);

close_input:
    km_input_close(&job.input);
    return status;
}
