/*
 * restore_run.c - the chunks of a range, read, unpacked, checked and given to a sink by a pool.
 *
 * Fetching is what cannot be done in parallel: taking the next member from a stream. Finishing is
 * what has to be done in order: writing to a stream. All else is work.
 */
#include "restore.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "chunk.h"
#include "size.h"
#include "status.h"

/* What belongs to an item while it is under way. */
typedef struct slot {
    km_unpacker *unpacker;
    uint8_t *packed; /* of a reader the whole member */
    uint8_t *raw;
    km_format_entry entry;
    const uint8_t *bytes; /* those of the range in this chunk, for `put`; NULL: none */
} slot;

typedef struct restore_run {
    const km_restore_job *job;
    km_reader *reader; /* of these two one */
    km_stream *stream;
    uint8_t chunk_shift;
    uint64_t seed;
    slot *slots;
    unsigned slot_count;
    size_t packed_room, raw_room; /* of each slot's buffers */
    _Atomic uint64_t done;        /* bytes of the range */
} restore_run;

/* The part of a chunk that is in the range. */
typedef struct part {
    uint64_t at;   /* from the range's beginning */
    uint32_t lead; /* bytes of the chunk before it */
    uint32_t length;
} part;

/* ---- Sources ------------------------------------------------------------------------------- */

static km_status open_source(km_restore_source *source, const char *snapshot, km_read_function read,
                             void *read_arg) {
    return snapshot != NULL ? km_reader_open(&source->reader, snapshot)
                            : km_stream_begin(read, read_arg, &source->stream);
}

void km_restore_source_close(km_restore_source *source) {
    km_reader_close(source->reader);
    km_stream_end(source->stream);
    source->reader = NULL;
    source->stream = NULL;
}

const char *km_restore_source_name(const km_restore_source *source) {
    return source->reader != NULL ? source->reader->path : "(stream)";
}

static uint64_t total_so_far(const km_restore_source *source) {
    return source->reader != NULL ? source->reader->footer.total
                                  : km_stream_facts(source->stream)->total;
}

static km_status settle_within(const km_restore_source *source, uint64_t total, uint64_t offset,
                               uint64_t *length) {
    if (offset > total) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot restore \"%s\" from byte %" PRIu64 " on: the image has only %" PRIu64
                       " bytes",
                       km_restore_source_name(source), offset, total);
    }
    if (!km_size_inside(offset, *length, total)) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot restore %" PRIu64 " bytes from byte %" PRIu64
                       " of \"%s\": the image has only %" PRIu64 " bytes",
                       *length, offset, km_restore_source_name(source), total);
    }
    if (*length == 0) {
        *length = total - offset;
    }
    return KM_OK;
}

static km_status settle(const km_restore_source *source, uint64_t offset, uint64_t *length) {
    const uint64_t total = total_so_far(source);
    if (total != UINT64_MAX) {
        return settle_within(source, total, offset, length);
    }
    if (!km_size_inside(offset, *length, KM_FORMAT_TOTAL_MAX)) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot restore %" PRIu64 " bytes from byte %" PRIu64
                       " of \"%s\": no image is that long",
                       *length, offset, km_restore_source_name(source));
    }
    if (*length == 0) {
        *length = UINT64_MAX;
    }
    return KM_OK;
}

km_status km_restore_prepare(km_restore_source *source, const char *snapshot,
                             const km_restore_options *options, km_restore_job *job) {
    km_restore_job made = {
        .source = source,
        .offset = options->offset,
        .length = options->length,
        .threads = km_pool_threads(options->threads),
        .doing = "restoring",
        .progress = options->progress,
        .progress_arg = options->progress_arg,
    };
    km_status status = open_source(source, snapshot, options->read, options->read_arg);
    if (status == KM_OK) {
        status = settle(source, made.offset, &made.length);
    }
    if (status == KM_OK) {
        made.progress_total = made.length != UINT64_MAX ? made.length : KM_SIZE_UNKNOWN;
        *job = made;
    }
    return status;
}

/* ---- Slots --------------------------------------------------------------------------------- */

static km_status fail_memory(const restore_run *run, size_t wanted) {
    return km_fail(KM_E_NO_MEMORY, "%s \"%s\" failed: no memory, %zu bytes wanted", run->job->doing,
                   km_restore_source_name(run->job->source), wanted);
}

/* A slot gets its memory with its first item: what is small, or only claims to have large chunks,
 * takes no more than it needs. */
static km_status need_slot(restore_run *run, unsigned number, slot **found) {
    slot *at = &run->slots[number];
    *found = at;
    if (at->unpacker != NULL) {
        return KM_OK;
    }
    if (at->packed == NULL) {
        at->packed = km_buffer_make(run->packed_room);
    }
    if (at->packed != NULL && run->job->only_sums) {
        return KM_OK;
    }
    if (at->raw == NULL) {
        at->raw = km_buffer_make(run->raw_room);
    }
    return at->packed != NULL && at->raw != NULL
               ? km_unpacker_make(&at->unpacker)
               : fail_memory(run, run->packed_room + run->raw_room);
}

/* ---- One chunk ----------------------------------------------------------------------------- */

/* What the range has of `raw_length` bytes from `begin` of the image on. */
static part part_of(const km_restore_job *job, uint64_t begin, uint32_t raw_length) {
    const uint64_t end = begin + raw_length;
    const uint64_t range_end =
        job->length <= UINT64_MAX - job->offset ? job->offset + job->length : UINT64_MAX;
    const uint64_t from = begin > job->offset ? begin : job->offset;
    const uint64_t to = end < range_end ? end : range_end;
    if (from >= to) {
        return (part){.length = 0};
    }
    return (part){.at = from - job->offset,
                  .lead = (uint32_t)(from - begin),
                  .length = (uint32_t)(to - from)};
}

/* Unpacks the slot's chunk to `raw`, and checks all that can be checked by now. */
static km_status unpack(restore_run *run, uint64_t chunk, slot *at, uint8_t *raw) {
    if (run->reader != NULL) {
        return km_reader_chunk(run->reader, at->unpacker, chunk, at->packed, raw);
    }
    const km_chunk_state state = km_unpack(at->unpacker, &at->entry, at->packed, raw, NULL);
    if (state != KM_CHUNK_GOOD) {
        return km_fail_chunk(NULL, chunk, run->chunk_shift, at->entry.raw_length, state);
    }
    uint8_t hash[KM_HASH_SIZE];
    km_hash(raw, at->entry.raw_length, run->seed, hash);
    km_stream_hashed(run->stream, chunk, hash);
    return KM_OK;
}

/* A chunk of zeros goes past memory that is zeros already; one of which a part is wanted, through
 * the buffer. */
static km_status unpack_to_memory(restore_run *run, uint64_t chunk, slot *at, const part *wanted) {
    const km_restore_sink *sink = &run->job->sink;
    if (!km_size_inside(wanted->at, wanted->length, sink->memory_size)) {
        return km_fail(KM_E_MISMATCH,
                       "cannot restore \"%s\" to %" PRIu64 " bytes of memory: there are more",
                       km_restore_source_name(run->job->source), sink->memory_size);
    }
    uint8_t *to = sink->memory + wanted->at;
    const bool is_spared = sink->memory_is_zero && at->entry.flags == KM_CHUNK_ZEROS;
    if (wanted->length == at->entry.raw_length && !is_spared) {
        return unpack(run, chunk, at, to);
    }
    const km_status status = unpack(run, chunk, at, at->raw);
    if (status == KM_OK && !is_spared) {
        memcpy(to, at->raw + wanted->lead, wanted->length);
    }
    return status;
}

static km_status unpack_to_put(restore_run *run, uint64_t chunk, slot *at, const part *wanted) {
    const km_restore_sink *sink = &run->job->sink;
    km_status status = unpack(run, chunk, at, at->raw);
    if (status != KM_OK || sink->put == NULL || wanted->length == 0) {
        return status;
    }
    at->bytes = at->raw + wanted->lead;
    return sink->in_order ? KM_OK : sink->put(sink->arg, wanted->at, at->bytes, wanted->length);
}

/* A stream's were summed when they came. */
static km_status check_sum(restore_run *run, uint64_t chunk, const slot *at) {
    const uint8_t *packed = NULL;
    return run->reader != NULL ? km_reader_member(run->reader, chunk, at->packed, &packed) : KM_OK;
}

static km_status give(restore_run *run, uint64_t chunk, slot *at, const part *wanted) {
    const km_restore_sink *sink = &run->job->sink;
    bool has = false;
    if (run->job->only_sums) {
        return check_sum(run, chunk, at);
    }
    if (sink->has != NULL) {
        const km_status status = sink->has(sink->arg, wanted->at, &at->entry, at->raw, &has);
        if (status != KM_OK || has) {
            return status;
        }
    }
    return sink->memory != NULL ? unpack_to_memory(run, chunk, at, wanted)
                                : unpack_to_put(run, chunk, at, wanted);
}

static km_status work(void *arg, uint64_t chunk, unsigned slot_number) {
    restore_run *run = arg;
    slot *at = NULL;
    km_status status = need_slot(run, slot_number, &at);
    if (status != KM_OK) {
        return status;
    }
    at->bytes = NULL;
    if (run->reader != NULL) {
        km_reader_entry(run->reader, chunk, &at->entry);
    }
    const part wanted = part_of(run->job, chunk << run->chunk_shift, at->entry.raw_length);
    /* Of an empty image its only chunk is checked too. */
    if (wanted.length == 0 && at->entry.raw_length > 0) {
        return KM_OK;
    }
    status = give(run, chunk, at, &wanted);
    if (status == KM_OK) {
        atomic_fetch_add(&run->done, wanted.length);
    }
    return status;
}

static km_status fetch(void *arg, uint64_t chunk, unsigned slot_number, bool *end) {
    restore_run *run = arg;
    slot *at = NULL;
    uint64_t came = chunk; /* they come in order, or km_stream_next says that they do not */
    const km_status status = need_slot(run, slot_number, &at);
    return status == KM_OK ? km_stream_next(run->stream, &came, &at->entry, at->packed, end)
                           : status;
}

static km_status finish(void *arg, uint64_t chunk, unsigned slot_number) {
    restore_run *run = arg;
    const km_restore_sink *sink = &run->job->sink;
    const slot *at = &run->slots[slot_number];
    if (at->bytes == NULL) {
        return KM_OK;
    }
    const part wanted = part_of(run->job, chunk << run->chunk_shift, at->entry.raw_length);
    return sink->put(sink->arg, wanted.at, at->bytes, wanted.length);
}

static km_status progress(void *arg, uint64_t finished) {
    restore_run *run = arg;
    const km_restore_job *job = run->job;
    const uint64_t done = atomic_load(&run->done);
    (void)finished;
    if (job->progress(job->progress_before + done, job->progress_total, job->progress_arg)) {
        return KM_OK;
    }
    return km_fail(KM_E_CANCELLED, "%s \"%s\" was cancelled after %" PRIu64 " bytes", job->doing,
                   km_restore_source_name(job->source), done);
}

/* ---- All of them --------------------------------------------------------------------------- */

static km_status make_slots(restore_run *run, unsigned count) {
    run->slots = calloc(count, sizeof *run->slots);
    run->slot_count = count;
    return run->slots != NULL ? KM_OK : fail_memory(run, count * sizeof *run->slots);
}

static void free_slots(restore_run *run) {
    for (unsigned i = 0; run->slots != NULL && i < run->slot_count; i++) {
        km_unpacker_free(run->slots[i].unpacker);
        km_buffer_free(run->slots[i].packed);
        km_buffer_free(run->slots[i].raw);
    }
    free(run->slots);
}

/* The chunks that a range of a file's image touches. */
static void chunks_of(const km_restore_job *job, uint8_t shift, uint64_t total, uint64_t *first,
                      uint64_t *count) {
    *first = job->offset >> shift;
    *count = job->length == 0 ? 0 : ((job->offset + job->length - 1) >> shift) - *first + 1;
    if (total == 0) {
        *count = 1;
    }
}

static km_status run_reader(restore_run *run, uint64_t *size) {
    const km_reader *reader = run->reader;
    km_pool_job pool = {.work = work, .arg = run};
    pool.progress = run->job->progress != NULL ? progress : NULL;
    run->chunk_shift = reader->footer.chunk_shift;
    chunks_of(run->job, run->chunk_shift, reader->footer.total, &pool.first, &pool.count);
    pool.finish = run->job->sink.in_order ? finish : NULL;
    pool.threads = pool.count < run->job->threads ? (unsigned)pool.count : run->job->threads;
    pool.threads = pool.threads > 0 ? pool.threads : 1;
    pool.slots = km_pool_slots(pool.threads);
    run->packed_room = km_reader_member_room(reader);
    run->raw_room = km_reader_raw_room(reader);
    km_status status = make_slots(run, pool.slots);
    if (status == KM_OK) {
        status = km_pool_run(&pool, NULL);
    }
    if (status == KM_OK) {
        *size = run->job->length;
    }
    return status;
}

static km_status run_stream(restore_run *run, uint64_t *size) {
    const km_format_facts *facts = km_stream_facts(run->stream);
    const uint32_t chunk_size = (uint32_t)1 << facts->chunk_shift;
    const km_pool_job pool = {
        .fetch = fetch,
        .work = work,
        .finish = run->job->sink.in_order ? finish : NULL,
        .progress = run->job->progress != NULL ? progress : NULL,
        .arg = run,
        .count = UINT64_MAX,
        .threads = run->job->threads,
        .slots = km_pool_slots(run->job->threads),
    };
    run->chunk_shift = facts->chunk_shift;
    run->seed = facts->seed;
    run->packed_room = km_format_packed_most(chunk_size);
    run->raw_room = chunk_size;
    km_status status = make_slots(run, pool.slots);
    if (status == KM_OK) {
        status = km_pool_run(&pool, NULL);
    }
    if (status == KM_OK && !run->job->only_sums) {
        status = km_stream_check_hashes(run->stream);
    }
    if (status != KM_OK) {
        return status;
    }
    uint64_t length = run->job->length == UINT64_MAX ? 0 : run->job->length;
    status = settle_within(run->job->source, km_stream_footer(run->stream)->total, run->job->offset,
                           &length);
    if (status == KM_OK) {
        *size = length;
    }
    return status;
}

km_status km_restore_run(const km_restore_job *job, uint64_t *size) {
    restore_run run = {.job = job, .reader = job->source->reader, .stream = job->source->stream};
    atomic_init(&run.done, 0);
    const km_status status = run.reader != NULL ? run_reader(&run, size) : run_stream(&run, size);
    free_slots(&run);
    return status;
}
