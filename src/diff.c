/*
 * diff.c - km_diff: where two images differ, in rising order, told on the calling thread.
 *
 * The work comes in batches. Of each the calling thread first picks the blocks that have to be
 * looked at, passing over what holes and hashes show to be the same; then the pool compares these,
 * each to a map of bits; then the calling thread goes through the maps in order and tells the
 * ranges. So the memory is that of a batch, however many ranges there are.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "diff_block.h"
#include "image.h"
#include "options.h"
#include "pool.h"
#include "status.h"

#define KNOWN_FLAGS (KM_DIFF_PLAIN_A | KM_DIFF_PLAIN_B | KM_DIFF_CHUNKS)
#define UNIT_DEFAULT 4096u
#define UNIT_MAX ((uint32_t)1 << 20)

/* A batch: as many blocks, as many bytes of maps unless that were too few blocks, and as many
 * blocks passed over. */
#define BATCH_BLOCKS 256u
#define BATCH_MAPS ((size_t)8 << 20)
#define BATCH_PASSED 65536u

/* With larger chunks than this no thread has more of them than it works on. */
#define SLOTS_CHUNK ((uint32_t)1 << 20)

typedef struct block {
    uint64_t number;
    bool hole[2];
    bool different; /* all of it; nobody looks */
} block;

typedef struct diff_job {
    const km_diff_options *options;
    km_diff_pair pair;
    unsigned threads;
    unsigned slots;
    km_diff_space *spaces; /* one for each slot */
    unsigned space_count;

    block *blocks; /* the batch */
    unsigned block_room;
    unsigned block_count;
    uint8_t *maps;
    size_t map_size;   /* bytes of one block's */
    uint64_t next;     /* block that the next batch begins with */
    uint64_t progress; /* bytes told of */

    /* The range that may go on. */
    km_range_kind kind;
    uint64_t begin, end;

    km_diff_report report;
} diff_job;

/* ---- Telling ------------------------------------------------------------------------------- */

static km_status fail_cancelled(const diff_job *job) {
    return km_fail(KM_E_CANCELLED, "comparing \"%s\" with \"%s\" was cancelled",
                   job->pair.images[0].path, job->pair.images[1].path);
}

static km_status tell_progress(diff_job *job, uint64_t done) {
    if (done > job->progress) {
        job->progress = done < job->pair.common ? done : job->pair.common;
    }
    if (job->options->progress == NULL ||
        job->options->progress(job->progress, job->pair.common, job->options->progress_arg)) {
        return KM_OK;
    }
    return fail_cancelled(job);
}

static km_status end_range(diff_job *job) {
    const uint64_t length = job->end - job->begin;
    if (length == 0) {
        return KM_OK;
    }
    job->report.ranges++;
    job->report.changed += job->kind == KM_RANGE_CHANGED ? length : 0;
    const uint64_t begin = job->begin;
    job->begin = job->end;
    if (job->options->range == NULL ||
        job->options->range(job->kind, begin, length, job->options->range_arg)) {
        return KM_OK;
    }
    return fail_cancelled(job);
}

static km_status add_range(diff_job *job, km_range_kind kind, uint64_t begin, uint64_t end) {
    if (job->end == begin && job->kind == kind && job->end > job->begin) {
        job->end = end;
        return KM_OK;
    }
    const km_status status = end_range(job);
    job->kind = kind;
    job->begin = begin;
    job->end = end;
    return status;
}

/* The next unit, from `at` on, whose bit is `wanted`; `units` if there is none. */
static uint32_t find_bit(const uint8_t *map, uint32_t at, uint32_t units, bool wanted) {
    const uint8_t dull = wanted ? 0 : 0xff;
    while (at < units) {
        if (at % 8 == 0 && map[at / 8] == dull) {
            at += 8;
        } else if (((map[at / 8] >> at % 8 & 1) != 0) == wanted) {
            return at;
        } else {
            at++;
        }
    }
    return units;
}

static km_status tell_block(diff_job *job, unsigned index) {
    const block *what = &job->blocks[index];
    const uint8_t *map = job->maps + index * job->map_size;
    const uint64_t begin = what->number * job->pair.block;
    const uint32_t length = km_diff_block_length(&job->pair, what->number);
    const uint32_t units = (length - 1) / job->pair.unit + 1;
    km_status status = KM_OK;
    if (what->different) {
        return add_range(job, KM_RANGE_CHANGED, begin, begin + length);
    }
    for (uint32_t at = find_bit(map, 0, units, true); status == KM_OK && at < units;) {
        const uint32_t stop = find_bit(map, at, units, false);
        const uint64_t end = (uint64_t)stop * job->pair.unit;
        status = add_range(job, KM_RANGE_CHANGED, begin + (uint64_t)at * job->pair.unit,
                           begin + (end < length ? end : length));
        at = find_bit(map, stop, units, true);
    }
    return status;
}

/* ---- A batch ------------------------------------------------------------------------------- */

static uint64_t block_count(const diff_job *job) {
    const uint64_t common = job->pair.common;
    return common == 0 ? 0 : (common - 1) / job->pair.block + 1;
}

/* Has block `number` to be looked at or told of? *next: the block after it, or after the hole that
 * both have there. */
static km_status pick_block(diff_job *job, uint64_t number, block *what, bool *picked,
                            uint64_t *next) {
    km_diff_pair *pair = &job->pair;
    const uint64_t begin = number * pair->block;
    const uint32_t length = km_diff_block_length(pair, number);
    const km_diff_verdict verdict = km_diff_by_index(pair, number);
    *what = (block){.number = number, .different = verdict == KM_DIFF_DIFFERENT};
    *picked = verdict != KM_DIFF_SAME;
    *next = number + 1;
    if (verdict != KM_DIFF_UNKNOWN) {
        return KM_OK;
    }
    for (unsigned i = 0; i < 2; i++) {
        const km_status status = km_image_is_hole(&pair->images[i], begin, length, &what->hole[i]);
        if (status != KM_OK) {
            return status;
        }
    }
    if (what->hole[0] && what->hole[1]) {
        const uint64_t a = km_image_next_data(&pair->images[0], begin + length);
        const uint64_t b = km_image_next_data(&pair->images[1], begin + length);
        const uint64_t skipped = (a < b ? a : b) / pair->block;
        *picked = false;
        *next = skipped > number ? skipped : number + 1;
    }
    return KM_OK;
}

static km_status pick_blocks(diff_job *job) {
    const uint64_t count = block_count(job);
    job->block_count = 0;
    for (uint64_t seen = 0;
         job->next < count && job->block_count < job->block_room && seen < BATCH_PASSED; seen++) {
        bool picked = false;
        const km_status status =
            pick_block(job, job->next, &job->blocks[job->block_count], &picked, &job->next);
        if (status != KM_OK) {
            return status;
        }
        job->block_count += picked;
    }
    return KM_OK;
}

static km_status work(void *arg, uint64_t item, unsigned slot) {
    diff_job *job = arg;
    const block *what = &job->blocks[item];
    return what->different ? KM_OK
                           : km_diff_block(&job->pair, &job->spaces[slot], what->number, what->hole,
                                           job->maps + item * job->map_size);
}

static km_status pool_progress(void *arg, uint64_t finished) {
    diff_job *job = arg;
    return finished < job->block_count
               ? tell_progress(job, job->blocks[finished].number * job->pair.block)
               : KM_OK;
}

static km_status run_batch(diff_job *job) {
    km_status status = pick_blocks(job);
    if (status == KM_OK && job->block_count > 0) {
        memset(job->maps, 0, job->block_count * job->map_size);
        const km_pool_job pool = {
            .work = work,
            .progress = pool_progress,
            .arg = job,
            .count = job->block_count,
            .threads = job->threads,
            .slots = job->slots,
        };
        status = km_pool_run(&pool, NULL);
    }
    for (unsigned i = 0; status == KM_OK && i < job->block_count; i++) {
        status = tell_block(job, i);
    }
    return status == KM_OK ? tell_progress(job, job->next * job->pair.block) : status;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status need_memory(diff_job *job) {
    const km_diff_pair *pair = &job->pair;
    job->threads = km_pool_threads(job->options->threads);
    job->slots = pair->granule > SLOTS_CHUNK ? job->threads : km_pool_slots(job->threads);
    job->map_size = (pair->block / pair->unit + 7) / 8;
    const size_t fitting = BATCH_MAPS / job->map_size;
    job->block_room = fitting < BATCH_BLOCKS ? (unsigned)fitting : BATCH_BLOCKS;
    job->block_room = job->block_room < job->slots ? job->slots : job->block_room;
    job->blocks = calloc(job->block_room, sizeof *job->blocks);
    job->maps = malloc(job->block_room * job->map_size);
    job->spaces = calloc(job->slots, sizeof *job->spaces);
    if (job->blocks == NULL || job->maps == NULL || job->spaces == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to compare \"%s\" with \"%s\"",
                       pair->images[0].path, pair->images[1].path);
    }
    for (; job->space_count < job->slots; job->space_count++) {
        const km_status status = km_diff_space_make(pair, &job->spaces[job->space_count]);
        if (status != KM_OK) {
            return status;
        }
    }
    return KM_OK;
}

static void free_memory(diff_job *job) {
    for (unsigned i = 0; i < job->space_count; i++) {
        km_diff_space_free(&job->spaces[i]);
    }
    free(job->spaces);
    free(job->blocks);
    free(job->maps);
}

/* What only one of them has, behind the other's end. */
static km_status add_tail(diff_job *job) {
    const uint64_t a = job->pair.images[0].size;
    const uint64_t b = job->pair.images[1].size;
    km_status status = KM_OK;
    if (a != b) {
        status =
            a > b ? add_range(job, KM_RANGE_ONLY_A, b, a) : add_range(job, KM_RANGE_ONLY_B, a, b);
    }
    return status == KM_OK ? end_range(job) : status;
}

static km_status compare(diff_job *job) {
    const km_diff_pair *pair = &job->pair;
    km_status status = tell_progress(job, 0);
    if (status == KM_OK) {
        status = need_memory(job);
    }
    while (status == KM_OK && job->next < block_count(job)) {
        status = run_batch(job);
    }
    for (unsigned i = 0; status == KM_OK && i < 2; i++) {
        status = km_image_check(&pair->images[i]); /* a file cut short looks like a hole */
    }
    return status == KM_OK ? add_tail(job) : status;
}

static km_status check_options(const km_diff_options *options) {
    const km_status status = km_flags_check(options->flags, KNOWN_FLAGS, "km_diff_options");
    if (status != KM_OK) {
        return status;
    }
    const uint32_t unit = options->unit;
    if ((options->flags & KM_DIFF_CHUNKS) != 0 && unit != 0) {
        return km_fail(KM_E_INVALID, "km_diff: a unit of %" PRIu32 " bytes, and in whole chunks",
                       unit);
    }
    if ((unit & (unit - 1)) != 0 || unit > UNIT_MAX) {
        return km_fail(KM_E_INVALID,
                       "km_diff: a unit of %" PRIu32 " bytes is no power of two up to 1 MiB", unit);
    }
    return KM_OK;
}

static void fill_report(diff_job *job, uint32_t size) {
    const km_image *images = job->pair.images;
    job->report.a_is_snapshot = images[0].reader != NULL;
    job->report.b_is_snapshot = images[1].reader != NULL;
    job->report.a_size = images[0].size;
    job->report.b_size = images[1].size;
    job->report.unit = job->pair.unit;
    km_result_fill(&job->report, sizeof job->report, size, job->options->report);
}

km_status km_diff(const char *a, const char *b, const km_diff_options *options) {
    km_diff_options known;
    uint32_t report_size = 0;
    km_status status =
        km_struct_read(options, sizeof known, sizeof known, &known, "km_diff_options");
    if (status == KM_OK) {
        status = check_options(&known);
    }
    if (status == KM_OK) {
        status =
            km_result_size(known.report, sizeof(km_diff_report), "km_diff_report", &report_size);
    }
    if (status != KM_OK) {
        return status;
    }
    diff_job job = {.options = &known};
    km_image *images = job.pair.images;
    status = km_image_open(&images[0], a, (known.flags & KM_DIFF_PLAIN_A) != 0);
    if (status == KM_OK) {
        status = km_image_open(&images[1], b, (known.flags & KM_DIFF_PLAIN_B) != 0);
    }
    if (status == KM_OK) {
        const bool in_chunks = (known.flags & KM_DIFF_CHUNKS) != 0;
        const uint32_t unit = known.unit != 0 ? known.unit : UNIT_DEFAULT;
        km_diff_pair_arrange(&job.pair, in_chunks ? 0 : unit);
        status = compare(&job);
    }
    if (status == KM_OK) {
        fill_report(&job, report_size);
    }
    free_memory(&job);
    km_image_close(&images[0]);
    km_image_close(&images[1]);
    return status;
}
