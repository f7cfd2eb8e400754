/*
 * snapshot_pack.c - the image of a snapshot made into its data members, by several threads.
 *
 * What a chunk needs until it is written lies in its slot: the member, and what a stream gave. What
 * it needs only while it is worked on lies on a bench, of which there is one for each thread. A
 * chunk is copied first; all that is said of it, hash, sums and packed bytes, is said of the copy.
 */
#include "snapshot_pack.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "checksum.h"
#include "chunk.h"
#include "pool.h"
#include "snapshot_since.h"
#include "status.h"
#include "stored.h"

typedef struct pack_slot {
    uint8_t *member; /* the head's bytes, and behind them the packed ones */
    uint8_t *raw;    /* of a stream; else NULL */
    uint32_t raw_length;
    km_format_entry entry;
    bool reused, unread;
} pack_slot;

typedef struct pack_bench {
    atomic_flag taken;
    km_packer *packer;
    uint8_t *raw;          /* of a map; else NULL */
    km_unpacker *unpacker; /* to compare; else NULL */
    uint8_t *unpacked;
} pack_bench;

/* A whole chunk of zeros, made once. */
typedef struct zero_chunk {
    km_format_entry entry;
    uint8_t *packed; /* NULL: no chunk can be one */
} zero_chunk;

typedef struct pack_job {
    const km_pack_plan *plan;
    uint64_t total; /* KM_SIZE_UNKNOWN: a stream's */
    uint32_t chunk_size;
    pack_slot *slots;
    pack_bench *benches;
    unsigned slot_count, bench_count;
    zero_chunk zeros;
    km_pack_counts counts;
    _Atomic uint64_t done; /* bytes of the image */
} pack_job;

static bool is_stream(const pack_job *job) {
    return job->total == KM_SIZE_UNKNOWN;
}

/* ---- Making room --------------------------------------------------------------------------- */

static km_status fail_room(const pack_job *job) {
    return km_fail(KM_E_NO_MEMORY,
                   "cannot make a snapshot: no memory for %u threads with chunks of %" PRIu32
                   " bytes",
                   job->bench_count, job->chunk_size);
}

static km_status make_slot(const pack_job *job, pack_slot *slot) {
    slot->member =
        km_buffer_make(KM_FORMAT_FIRST_HEAD_SIZE + km_format_packed_most(job->chunk_size));
    slot->raw = is_stream(job) ? km_buffer_make(job->chunk_size) : NULL;
    return slot->member != NULL && (!is_stream(job) || slot->raw != NULL) ? KM_OK : fail_room(job);
}

static km_status make_bench(const pack_job *job, pack_bench *bench) {
    atomic_flag_clear(&bench->taken);
    km_status status = km_packer_make(job->plan->facts->level, &bench->packer);
    if (status == KM_OK && !is_stream(job)) {
        bench->raw = km_buffer_make(job->chunk_size);
        status = bench->raw != NULL ? KM_OK : fail_room(job);
    }
    if (status == KM_OK && job->plan->compare) {
        status = km_unpacker_make(&bench->unpacker);
    }
    if (status == KM_OK && job->plan->compare) {
        bench->unpacked = km_buffer_make(job->chunk_size);
        status = bench->unpacked != NULL ? KM_OK : fail_room(job);
    }
    return status;
}

/* Packs and hashes zeros as any chunk, in the first slot, and keeps what came out. */
static km_status make_zeros(pack_job *job) {
    pack_slot *slot = &job->slots[0];
    uint8_t *raw = is_stream(job) ? slot->raw : job->benches[0].raw;
    km_format_entry *entry = &job->zeros.entry;
    memset(raw, 0, job->chunk_size);
    km_status status = km_pack(job->benches[0].packer, raw, job->chunk_size, slot->member, entry);
    if (status != KM_OK) {
        return status;
    }
    km_hash(raw, job->chunk_size, job->plan->facts->seed, entry->hash);
    job->zeros.packed = malloc(entry->packed_length);
    if (job->zeros.packed == NULL) {
        return fail_room(job);
    }
    memcpy(job->zeros.packed, slot->member, entry->packed_length);
    return KM_OK;
}

static km_status make_room(pack_job *job) {
    job->slots = calloc(job->slot_count, sizeof *job->slots);
    job->benches = calloc(job->bench_count, sizeof *job->benches);
    if (job->slots == NULL || job->benches == NULL) {
        return fail_room(job);
    }
    km_status status = KM_OK;
    for (unsigned i = 0; status == KM_OK && i < job->slot_count; i++) {
        status = make_slot(job, &job->slots[i]);
    }
    for (unsigned i = 0; status == KM_OK && i < job->bench_count; i++) {
        status = make_bench(job, &job->benches[i]);
    }
    return status == KM_OK && job->total >= job->chunk_size ? make_zeros(job) : status;
}

static void free_room(pack_job *job) {
    for (unsigned i = 0; job->slots != NULL && i < job->slot_count; i++) {
        km_buffer_free(job->slots[i].member);
        km_buffer_free(job->slots[i].raw);
    }
    for (unsigned i = 0; job->benches != NULL && i < job->bench_count; i++) {
        km_packer_free(job->benches[i].packer);
        km_unpacker_free(job->benches[i].unpacker);
        km_buffer_free(job->benches[i].raw);
        km_buffer_free(job->benches[i].unpacked);
    }
    free(job->slots);
    free(job->benches);
    free(job->zeros.packed);
}

/* ---- One chunk ----------------------------------------------------------------------------- */

/* There are as many as threads, so one is free. */
static pack_bench *take_bench(pack_job *job) {
    for (unsigned i = 0;; i = (i + 1) % job->bench_count) {
        if (!atomic_flag_test_and_set_explicit(&job->benches[i].taken, memory_order_acquire)) {
            return &job->benches[i];
        }
    }
}

static void leave_bench(pack_bench *bench) {
    atomic_flag_clear_explicit(&bench->taken, memory_order_release);
}

static bool is_zero_chunk(const pack_job *job, const uint8_t *raw, uint32_t raw_length) {
    return job->zeros.packed != NULL && raw_length == job->chunk_size &&
           km_zeros_are(raw, raw_length);
}

/* *zeros: a whole chunk of them; else *raw points at the chunk's bytes. */
static km_status copy_chunk(const pack_job *job, uint64_t chunk, const pack_slot *slot,
                            const pack_bench *bench, const uint8_t **raw, bool *zeros) {
    bool is_hole = false;
    if (is_stream(job)) {
        *raw = slot->raw;
    } else {
        km_status status = km_source_read(job->plan->source, chunk * job->chunk_size, bench->raw,
                                          slot->raw_length, &is_hole);
        if (status != KM_OK) {
            return status;
        }
        *raw = bench->raw;
    }
    if (is_hole && slot->raw_length < job->chunk_size) {
        memset(bench->raw, 0, slot->raw_length);
        is_hole = false;
    }
    *zeros = is_hole || is_zero_chunk(job, *raw, slot->raw_length);
    return KM_OK;
}

/* Takes the chunk over if the earlier snapshot has the same; *done: it did. */
static km_status reuse_chunk(const pack_job *job, uint64_t chunk, const uint8_t *raw,
                             pack_slot *slot, const pack_bench *bench, bool *done) {
    const km_reader *since = job->plan->since;
    km_format_entry known;
    *done = since != NULL && km_since_entry(since, chunk, slot->raw_length, &known) &&
            memcmp(known.hash, slot->entry.hash, sizeof known.hash) == 0;
    if (!*done) {
        return KM_OK;
    }
    km_status status = job->plan->compare ? km_since_compare(since, bench->unpacker, chunk, raw,
                                                             slot->member, bench->unpacked, done)
                                          : km_since_take(since, chunk, slot->member);
    if (status == KM_OK && *done) {
        slot->entry = known;
        slot->reused = true;
    }
    return status;
}

static km_status pack_chunk(const pack_job *job, uint64_t chunk, pack_slot *slot,
                            const pack_bench *bench) {
    uint8_t *packed = slot->member + km_format_head_size(chunk);
    const uint8_t *raw = NULL;
    bool zeros = false;
    bool reused = false;
    km_status status = copy_chunk(job, chunk, slot, bench, &raw, &zeros);
    if (status != KM_OK) {
        return status;
    }
    if (zeros) {
        slot->entry = job->zeros.entry;
        memcpy(packed, job->zeros.packed, slot->entry.packed_length);
        return KM_OK;
    }
    km_hash(raw, slot->raw_length, job->plan->facts->seed, slot->entry.hash);
    status = reuse_chunk(job, chunk, raw, slot, bench, &reused);
    return status == KM_OK && !reused
               ? km_pack(bench->packer, raw, slot->raw_length, packed, &slot->entry)
               : status;
}

/* Is it known, without a look at the chunk, that the earlier snapshot has the same? */
static bool is_untouched(const pack_job *job, uint64_t chunk, const pack_slot *slot,
                         km_format_entry *entry) {
    return !job->plan->compare && job->plan->since != NULL &&
           km_changes_untouched(job->plan->watch, chunk) &&
           km_since_entry(job->plan->since, chunk, slot->raw_length, entry);
}

/* ---- The stages ---------------------------------------------------------------------------- */

static km_status fetch(void *arg, uint64_t chunk, unsigned index, bool *end) {
    pack_job *job = arg;
    pack_slot *slot = &job->slots[index];
    km_status status =
        km_source_fetch(job->plan->source, slot->raw, job->chunk_size, &slot->raw_length);
    *end = status == KM_OK && slot->raw_length == 0 && chunk > 0;
    return status;
}

static km_status work(void *arg, uint64_t chunk, unsigned index) {
    pack_job *job = arg;
    pack_slot *slot = &job->slots[index];
    km_status status = KM_OK;
    if (!is_stream(job)) {
        slot->raw_length = km_format_raw_length(job->total, job->plan->facts->chunk_shift, chunk);
    }
    slot->unread = is_untouched(job, chunk, slot, &slot->entry);
    slot->reused = slot->unread;
    if (slot->unread) {
        status = km_since_take(job->plan->since, chunk, slot->member);
    } else {
        pack_bench *bench = take_bench(job);
        status = pack_chunk(job, chunk, slot, bench);
        leave_bench(bench);
    }
    if (status == KM_OK) {
        km_format_head_write(chunk, &slot->entry, chunk == 0 ? job->plan->facts : NULL,
                             slot->member);
    }
    return status;
}

static km_status finish(void *arg, uint64_t chunk, unsigned index) {
    pack_job *job = arg;
    const pack_slot *slot = &job->slots[index];
    km_status status = km_sink_member(job->plan->sink, &slot->entry, slot->member,
                                      km_format_head_size(chunk) + slot->entry.packed_length);
    if (status == KM_OK) {
        const bool zeros = (slot->entry.flags & KM_CHUNK_ZEROS) != 0;
        job->counts.zero_chunks += zeros;
        job->counts.reused_chunks += slot->reused && !zeros;
        job->counts.unread_chunks += slot->unread;
        atomic_fetch_add(&job->done, slot->raw_length);
    }
    return status;
}

static km_status report_progress(void *arg, uint64_t finished) {
    (void)finished;
    pack_job *job = arg;
    const km_map *map = job->plan->source->reader.map;
    const uint64_t done = atomic_load(&job->done);
    if (job->plan->progress == NULL ||
        job->plan->progress(done, job->total, job->plan->progress_arg)) {
        return KM_OK;
    }
    if (map == NULL) {
        return km_fail(KM_E_CANCELLED,
                       "the snapshot of a stream was cancelled after %" PRIu64 " bytes", done);
    }
    return km_fail(KM_E_CANCELLED,
                   "the snapshot of \"%s\" was cancelled after %" PRIu64 " of %" PRIu64 " bytes",
                   map->file->path, done, job->total);
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status run(pack_job *job, uint64_t chunks) {
    const km_pool_job pool = {
        .fetch = is_stream(job) ? fetch : NULL,
        .work = work,
        .finish = finish,
        .progress = job->plan->progress != NULL ? report_progress : NULL,
        .arg = job,
        .count = chunks,
        .threads = job->bench_count,
        .slots = job->slot_count,
    };
    km_status status = report_progress(job, 0);
    if (status == KM_OK) {
        status = km_pool_run(&pool, NULL);
    }
    return status == KM_OK ? report_progress(job, chunks) : status;
}

km_status km_pack_image(const km_pack_plan *plan, km_pack_counts *counts) {
    const uint64_t total = km_source_total(plan->source);
    const uint64_t chunks =
        total == KM_SIZE_UNKNOWN ? UINT64_MAX : km_format_chunks(total, plan->facts->chunk_shift);
    const unsigned threads = plan->threads < chunks ? plan->threads : (unsigned)chunks;
    pack_job job = {
        .plan = plan,
        .total = total,
        .chunk_size = UINT32_C(1) << plan->facts->chunk_shift,
        .bench_count = threads,
        .slot_count = km_pool_slots(threads),
    };
    job.counts.threads = threads;
    km_status status = make_room(&job);
    if (status == KM_OK) {
        status = run(&job, chunks);
    }
    free_room(&job);
    if (status == KM_OK) {
        *counts = job.counts;
    }
    return status;
}
