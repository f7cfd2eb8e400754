/*
 * verify.c - km_verify: is every bit of a snapshot as it was written?
 *
 * From a file the chunks are read at random, by all threads; from a stream one thread reads them in
 * order, and their hashes are compared when the index has come.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <keepmap.h>

#include "checksum.h"
#include "chunk.h"
#include "options.h"
#include "pool.h"
#include "snapshot_format.h"
#include "snapshot_reader.h"
#include "snapshot_stream.h"
#include "status.h"

#define KNOWN_FLAGS KM_VERIFY_QUICK

/* What an item of the pool has. */
typedef struct verify_slot {
    uint8_t *packed; /* from a file: the whole member */
    uint8_t *raw;    /* not with KM_VERIFY_QUICK */
    km_unpacker *unpacker;
    km_format_entry entry; /* from a stream: what fetch has read */
    uint32_t raw_length;
} verify_slot;

typedef struct verify_job {
    const km_verify_options *options;
    const char *path;  /* NULL: a stream */
    km_reader *reader; /* of a file */
    km_stream *stream;
    bool quick;
    const km_format_facts *facts;
    uint64_t total;        /* of the image; KM_SIZE_UNKNOWN */
    _Atomic uint64_t done; /* bytes of the image */
    size_t packed_room, raw_room;
    verify_slot *slots;
    unsigned slot_count;
} verify_job;

/* ---- Slots --------------------------------------------------------------------------------- */

static km_status fill_slot(const verify_job *job, verify_slot *slot) {
    slot->packed = malloc(job->packed_room);
    slot->raw = job->quick ? NULL : malloc(job->raw_room);
    if (slot->packed == NULL || (slot->raw == NULL && !job->quick)) {
        return km_fail(KM_E_NO_MEMORY, "no memory to verify a snapshot: %zu bytes wanted",
                       job->packed_room + job->raw_room);
    }
    return job->quick ? KM_OK : km_unpacker_make(&slot->unpacker);
}

/* A slot gets its memory with its first item: a snapshot of few chunks, or a stream that only
 * claims to have large ones, takes no more than it needs. */
static km_status need_slot(verify_job *job, unsigned number, verify_slot **slot) {
    *slot = &job->slots[number];
    return (*slot)->packed == NULL ? fill_slot(job, *slot) : KM_OK;
}

static void free_slots(verify_job *job) {
    for (unsigned i = 0; job->slots != NULL && i < job->slot_count; i++) {
        km_unpacker_free(job->slots[i].unpacker);
        free(job->slots[i].raw);
        free(job->slots[i].packed);
    }
    free(job->slots);
}

/* ---- Stages -------------------------------------------------------------------------------- */

static km_status work_on_file(void *arg, uint64_t item, unsigned slot_number) {
    verify_job *job = arg;
    verify_slot *slot = NULL;
    const uint8_t *packed = NULL;
    const km_status status = need_slot(job, slot_number, &slot);
    if (status != KM_OK) {
        return status;
    }
    slot->raw_length = km_format_raw_length(job->total, job->facts->chunk_shift, item);
    return job->quick ? km_reader_member(job->reader, item, slot->packed, &packed)
                      : km_reader_chunk(job->reader, slot->unpacker, item, slot->packed, slot->raw);
}

static km_status fetch_from_stream(void *arg, uint64_t item, unsigned slot_number, bool *end) {
    verify_job *job = arg;
    verify_slot *slot = NULL;
    uint64_t chunk = item; /* they come in order, or km_stream_next says that they do not */
    km_status status = need_slot(job, slot_number, &slot);
    if (status == KM_OK) {
        status = km_stream_next(job->stream, &chunk, &slot->entry, slot->packed, end);
        slot->raw_length = slot->entry.raw_length;
    }
    return status;
}

static km_status work_on_stream(void *arg, uint64_t item, unsigned slot_number) {
    verify_job *job = arg;
    verify_slot *slot = &job->slots[slot_number];
    uint8_t hash[KM_HASH_SIZE];
    if (job->quick) {
        return KM_OK; /* its sum was looked at when it was read */
    }
    const km_chunk_state state =
        km_unpack(slot->unpacker, &slot->entry, slot->packed, slot->raw, NULL);
    if (state != KM_CHUNK_GOOD) {
        return km_fail_chunk(NULL, item, job->facts->chunk_shift, slot->entry.raw_length, state);
    }
    km_hash(slot->raw, slot->entry.raw_length, job->facts->seed, hash);
    km_stream_hashed(job->stream, item, hash);
    return KM_OK;
}

static km_status finish(void *arg, uint64_t item, unsigned slot_number) {
    verify_job *job = arg;
    (void)item;
    atomic_fetch_add(&job->done, job->slots[slot_number].raw_length);
    return KM_OK;
}

static km_status report_progress(void *arg, uint64_t finished) {
    verify_job *job = arg;
    const uint64_t done = atomic_load(&job->done);
    (void)finished;
    if (job->options->progress(done, job->total, job->options->progress_arg)) {
        return KM_OK;
    }
    return job->path == NULL
               ? km_fail(KM_E_CANCELLED,
                         "verifying a stream was cancelled after %" PRIu64 " bytes of its image",
                         done)
               : km_fail(KM_E_CANCELLED,
                         "verifying \"%s\" was cancelled after %" PRIu64 " of %" PRIu64
                         " bytes of its image",
                         job->path, done, job->total);
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status run(verify_job *job, uint64_t chunks) {
    const bool from_file = job->path != NULL;
    unsigned threads = km_pool_threads(job->options->threads);
    threads = chunks < threads ? (unsigned)chunks : threads;
    job->slot_count = km_pool_slots(threads);
    job->slots = calloc(job->slot_count, sizeof *job->slots);
    if (job->slots == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to verify a snapshot with %u threads", threads);
    }
    const km_pool_job pool = {
        .fetch = from_file ? NULL : fetch_from_stream,
        .work = from_file ? work_on_file : work_on_stream,
        .finish = finish,
        .progress = job->options->progress == NULL ? NULL : report_progress,
        .arg = job,
        .count = chunks,
        .threads = threads,
        .slots = job->slot_count,
    };
    const km_status status = km_pool_run(&pool, NULL);
    free_slots(job);
    return status;
}

static km_status verify_file(verify_job *job) {
    km_status status = km_reader_open(&job->reader, job->path);
    if (status != KM_OK) {
        return status;
    }
    job->facts = &job->reader->facts;
    job->total = job->facts->total;
    job->packed_room = km_reader_member_room(job->reader);
    job->raw_room = km_reader_raw_room(job->reader);
    status = run(job, job->reader->footer.chunks);
    km_reader_close(job->reader);
    return status;
}

static km_status verify_stream(verify_job *job) {
    km_status status = km_stream_begin(job->options->read, job->options->read_arg, &job->stream);
    if (status != KM_OK) {
        return status;
    }
    job->facts = km_stream_facts(job->stream);
    job->total = job->facts->total == UINT64_MAX ? KM_SIZE_UNKNOWN : job->facts->total;
    job->raw_room = (size_t)1 << job->facts->chunk_shift;
    job->packed_room = km_format_packed_most((uint32_t)job->raw_room);
    status = run(job, UINT64_MAX);
    if (status == KM_OK && !job->quick) {
        status = km_stream_check_hashes(job->stream);
    }
    km_stream_end(job->stream);
    return status;
}

static km_status check_options(const char *snapshot, const km_verify_options *options) {
    if (snapshot == NULL && options->read == NULL) {
        return km_fail(KM_E_INVALID, "km_verify: there is neither a path nor a stream to read");
    }
    if (snapshot != NULL && options->read != NULL) {
        return km_fail(KM_E_INVALID, "km_verify: there is a path, \"%s\", and a stream to read",
                       snapshot);
    }
    return km_flags_check(options->flags, KNOWN_FLAGS, "km_verify_options");
}

km_status km_verify(const char *snapshot, const km_verify_options *options) {
    km_verify_options wanted;
    km_status status =
        km_struct_read(options, sizeof wanted, sizeof wanted, &wanted, "km_verify_options");
    if (status == KM_OK) {
        status = check_options(snapshot, &wanted);
    }
    if (status != KM_OK) {
        return status;
    }
    verify_job job = {
        .options = &wanted, .path = snapshot, .quick = (wanted.flags & KM_VERIFY_QUICK) != 0};
    return snapshot != NULL ? verify_file(&job) : verify_stream(&job);
}
