/*
 * snapshot.c - km_snapshot: what a map shows, or a stream gives, packed into a file or a stream.
 *
 * The order matters. The draft first, which finds out whether there may be a target at all, and
 * before the earlier snapshot is opened, which it may be about to replace. Then the lock, under
 * which all is read; what the map noted of stores is fetched before the first byte is read, so that
 * a store that comes in between counts for the next snapshot, whether this one saw it or not. When
 * all is read the lock goes, the index is written, and the draft gets its name.
 */
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "options.h"
#include "platform.h"
#include "pool.h"
#include "publish.h"
#include "snapshot_changes.h"
#include "snapshot_lock.h"
#include "snapshot_pack.h"
#include "snapshot_since.h"
#include "snapshot_sink.h"
#include "snapshot_source.h"
#include "status.h"

#define KNOWN_FLAGS                                                                                \
    (KM_SNAPSHOT_REPLACE | KM_SNAPSHOT_COMPARE | KM_SNAPSHOT_UNLOCKED | KM_SNAPSHOT_NO_SYNC |      \
     KM_SNAPSHOT_TRACK)
#define PERMISSION_BITS 07777u

/* So much, synced in the end, is worth the way past the cache. */
#define LARGE_IMAGE ((uint64_t)16 << 20)

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

typedef struct snapshot_job {
    km_map *map;
    const char *path;
    km_snapshot_options options;
    km_draft draft;
    km_source source;
    km_sink sink;
    km_reader *since;
    km_change_watch watch;
    km_format_facts facts;
    km_pack_counts counts;
    bool locked; /* by us */
} snapshot_job;

/* ---- Options ------------------------------------------------------------------------------- */

static bool is_chunk_size(uint32_t size) {
    return size == 0 || ((size & (size - 1)) == 0 && size >= UINT32_C(1) << KM_CHUNK_SHIFT_MIN &&
                         size <= UINT32_C(1) << KM_CHUNK_SHIFT_MAX);
}

static km_status check_numbers(const km_snapshot_options *options) {
    if (options->level < KM_LEVEL_STORED || options->level > KM_CODEC_LEVEL_MAX) {
        return km_fail(KM_E_INVALID, "km_snapshot: %" PRId32 " is no level", options->level);
    }
    if (!is_chunk_size(options->chunk_size)) {
        return km_fail(KM_E_INVALID,
                       "km_snapshot: chunks cannot have %" PRIu32
                       " bytes: a power of two, 65536 to 16777216, is wanted",
                       options->chunk_size);
    }
    if ((options->permissions & ~PERMISSION_BITS) != 0) {
        return km_fail(KM_E_INVALID, "km_snapshot: 0%" PRIo32 " are no permissions",
                       options->permissions);
    }
    return KM_OK;
}

/* What makes sense only with something else; NULL: all does. */
static const char *find_nonsense(const km_map *map, const char *path,
                                 const km_snapshot_options *options) {
    const uint32_t flags = options->flags;
    if (map == NULL && options->read == NULL) {
        return "there is neither a map nor a stream to read";
    }
    if (map != NULL && options->read != NULL) {
        return "there are a map and a stream to read";
    }
    if (path == NULL && options->write == NULL) {
        return "there is neither a path nor a stream to write";
    }
    if (path != NULL && options->write != NULL) {
        return "there are a path and a stream to write";
    }
    if (map == NULL && (flags & (KM_SNAPSHOT_TRACK | KM_SNAPSHOT_UNLOCKED)) != 0) {
        return "a stream can be neither tracked nor locked";
    }
    if (path == NULL && (flags & (KM_SNAPSHOT_REPLACE | KM_SNAPSHOT_NO_SYNC)) != 0) {
        return "in a stream nothing is replaced or synced";
    }
    if (path == NULL && options->permissions != 0) {
        return "a stream has no permissions";
    }
    if (options->since == NULL && (flags & KM_SNAPSHOT_COMPARE) != 0) {
        return "without an earlier snapshot there is nothing to compare";
    }
    if (map != NULL && map->file->segment != NULL && (flags & KM_SNAPSHOT_TRACK) != 0) {
        return "the stores of others to a segment cannot be tracked";
    }
    return NULL;
}

static km_status check_options(const km_map *map, const char *path,
                               const km_snapshot_options *options, uint32_t *report_size) {
    km_status status = km_flags_check(options->flags, KNOWN_FLAGS, "km_snapshot_options");
    if (status == KM_OK) {
        status = check_numbers(options);
    }
    if (status == KM_OK) {
        status = km_result_size(options->report, sizeof *options->report, "km_snapshot_report",
                                report_size);
    }
    if (status != KM_OK) {
        return status;
    }
    const char *nonsense = find_nonsense(map, path, options);
    return nonsense == NULL ? KM_OK : km_fail(KM_E_INVALID, "km_snapshot: %s", nonsense);
}

/* ---- Beginning ----------------------------------------------------------------------------- */

static km_status begin_draft(snapshot_job *job, const km_io *io) {
    const bool replace = (job->options.flags & KM_SNAPSHOT_REPLACE) != 0;
    if (job->path == NULL) {
        return KM_OK;
    }
    const km_map_reader reader = {.map = job->map, .verb = "snapshot", .target = job->path};
    km_status status =
        replace && job->map != NULL ? km_map_reader_refuse_itself(&reader, job->path) : KM_OK;
    return status == KM_OK ? km_draft_begin(&job->draft, io, job->path, job->options.permissions,
                                            SHARE_ALL, replace)
                           : status;
}

static uint8_t shift_of(uint32_t chunk_size) {
    uint8_t shift = 0;
    while (chunk_size > 1) {
        chunk_size >>= 1;
        shift++;
    }
    return shift;
}

static int level_of(int32_t level) {
    if (level == KM_LEVEL_STORED) {
        return 0;
    }
    return level != 0 ? level : km_codec_default_level();
}

static km_status draw(void *bytes, size_t length) {
    const DWORD error = km_platform_random(bytes, length);
    return error == ERROR_SUCCESS
               ? KM_OK
               : km_fail_system(error, "cannot make a snapshot: the system gives no random bytes");
}

/* The facts that the source does not know. */
static km_status begin_facts(snapshot_job *job) {
    km_format_facts *facts = &job->facts;
    facts->made_ns = km_platform_now();
    facts->hash_kind = KM_FORMAT_HASH_XXH3_128;
    facts->level = (uint8_t)level_of(job->options.level);
    facts->chunk_shift = shift_of(job->options.chunk_size);
    km_status status = draw(facts->id, sizeof facts->id);
    if (status == KM_OK && job->options.since != NULL) {
        status = km_since_open(&job->since, job->options.since, &facts->chunk_shift);
    } else if (status == KM_OK) {
        status = draw(&facts->seed, sizeof facts->seed);
    }
    if (status == KM_OK && job->since != NULL) {
        facts->seed = job->since->facts.seed;
        memcpy(facts->since, job->since->footer.id, sizeof facts->since);
    }
    if (facts->chunk_shift == 0) {
        facts->chunk_shift = KM_CHUNK_SHIFT_DEFAULT;
    }
    return status;
}

static bool wants_lock(const snapshot_job *job) {
    const km_map *map = job->map;
    return map != NULL && map->opened && map->file->access != KM_PRIVATE &&
           map->file->contents == NULL && (job->options.flags & KM_SNAPSHOT_UNLOCKED) == 0;
}

static void unlock(snapshot_job *job) {
    if (job->locked) {
        km_snapshot_unlock(job->map);
    }
    job->locked = false;
}

static km_status begin_source(snapshot_job *job) {
    const km_snapshot_patience patience = {
        .timeout_ms = job->options.timeout_ms,
        .progress = job->options.progress,
        .progress_arg = job->options.progress_arg,
    };
    km_status status =
        wants_lock(job) ? km_snapshot_lock(job->map, &patience, &job->locked) : KM_OK;
    if (status != KM_OK) {
        return status;
    }
    if (job->map != NULL) {
        status = km_source_from_map(&job->source, job->map, job->path);
    } else {
        km_source_from_stream(&job->source, job->options.read, job->options.read_arg);
    }
    return status == KM_OK ? km_source_describe(&job->source, &job->facts) : status;
}

static bool is_durable(const snapshot_job *job) {
    return (job->options.flags & KM_SNAPSHOT_NO_SYNC) == 0;
}

static km_status begin_sink(snapshot_job *job) {
    const uint64_t total = km_source_total(&job->source);
    const uint64_t chunks =
        total == KM_SIZE_UNKNOWN ? 0 : km_format_chunks(total, job->facts.chunk_shift);
    const bool large = total == KM_SIZE_UNKNOWN || total >= LARGE_IMAGE;
    return job->path != NULL
               ? km_sink_to_draft(&job->sink, &job->draft, is_durable(job) && large, chunks)
               : km_sink_to_stream(&job->sink, job->options.write, job->options.write_arg, chunks);
}

/* ---- The work ------------------------------------------------------------------------------ */

static km_status pack(snapshot_job *job) {
    const uint32_t flags = job->options.flags;
    const km_pack_plan plan = {
        .source = &job->source,
        .sink = &job->sink,
        .facts = &job->facts,
        .since = job->since,
        .compare = (flags & KM_SNAPSHOT_COMPARE) != 0,
        .watch = &job->watch,
        .threads = km_pool_threads(job->options.threads),
        .progress = job->options.progress,
        .progress_arg = job->options.progress_arg,
    };
    km_changes_begin(&job->watch, job->map, (flags & KM_SNAPSHOT_TRACK) != 0,
                     job->since != NULL ? job->facts.since : NULL, job->facts.chunk_shift);
    km_status status = km_pack_image(&plan, &job->counts);
    return status == KM_OK ? km_source_check(&job->source) : status;
}

static km_status publish(snapshot_job *job) {
    km_status status = km_sink_finish(&job->sink, &job->facts);
    km_reader_close(job->since); /* the target may be this very file, and has to be free then */
    job->since = NULL;
    return status == KM_OK && job->path != NULL
               ? km_draft_publish(&job->draft, is_durable(job), NULL)
               : status;
}

static km_status make(snapshot_job *job) {
    km_status status = begin_facts(job);
    if (status == KM_OK) {
        status = begin_source(job);
    }
    if (status == KM_OK) {
        status = begin_sink(job);
    }
    if (status == KM_OK) {
        status = pack(job);
    }
    unlock(job);
    return status == KM_OK ? publish(job) : status;
}

static void fill_report(const snapshot_job *job, uint32_t report_size) {
    const km_snapshot_report report = {
        .threads = job->counts.threads,
        .size = job->sink.total,
        .packed_size = job->sink.given,
        .chunks = job->sink.chunks,
        .zero_chunks = job->counts.zero_chunks,
        .reused_chunks = job->counts.reused_chunks,
        .unread_chunks = job->counts.unread_chunks,
    };
    km_result_fill(&report, sizeof report, report_size, job->options.report);
}

km_status km_snapshot_through(const km_io *io, km_map *map, const char *path,
                              const km_snapshot_options *options) {
    uint32_t report_size = 0;
    snapshot_job job = {.map = map, .path = path};
    job.draft.file = INVALID_HANDLE_VALUE;
    km_status status = km_struct_read(options, sizeof job.options, sizeof job.options, &job.options,
                                      "km_snapshot_options");
    if (status == KM_OK) {
        status = check_options(map, path, &job.options, &report_size);
    }
    if (status == KM_OK) {
        status = begin_draft(&job, io);
    }
    if (status != KM_OK) {
        return status;
    }
    status = make(&job);
    km_changes_end(&job.watch, status == KM_OK ? job.facts.id : NULL);
    km_sink_free(&job.sink); /* first: it may still be writing to the draft */
    km_draft_abandon(&job.draft);
    km_reader_close(job.since);
    if (status == KM_OK) {
        fill_report(&job, report_size);
    }
    return status;
}

km_status km_snapshot(km_map *map, const char *path, const km_snapshot_options *options) {
    return km_snapshot_through(&km_io_default, map, path, options);
}
