/*
 * restore.h - from a snapshot back to its image: what the restores to files, streams and memory
 * have in common.
 *
 * An image comes from a source (a snapshot in a file, or one that arrives in a stream) and goes
 * into a sink. Between them one job for the pool: chunks are read, unpacked and checked by several
 * threads at once, and what the range has of each is given to the sink.
 */
#ifndef KM_RESTORE_H
#define KM_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "io.h"
#include "pool.h"
#include "snapshot_reader.h"
#include "snapshot_stream.h"

/* Exactly one of the two. */
typedef struct km_restore_source {
    km_reader *reader;
    km_stream *stream;
} km_restore_source;

void km_restore_source_close(km_restore_source *source);
/* For sentences: the snapshot's path, or what stands for a stream. */
const char *km_restore_source_name(const km_restore_source *source);

/* Where the bytes go. `at` counts from the range's beginning. */
typedef struct km_restore_sink {
    /* NULL: they are unpacked and checked, and go nowhere. From several threads at once, unless
     * in_order. */
    km_status (*put)(void *arg, uint64_t at, const void *bytes, uint32_t length);
    /* Has the target these bytes of an untouched chunk already? Asked, where there is such a
     * function, before a whole chunk is read: equal ones are not. `scratch` has room for the
     * chunk. */
    km_status (*has)(void *arg, uint64_t at, const km_format_entry *entry, void *scratch,
                     bool *has);
    void *arg;
    bool in_order;
    /* Memory that the range goes to, instead of `put`; whole chunks are unpacked right there. */
    uint8_t *memory;
    uint64_t memory_size;
    bool memory_is_zero; /* chunks of zeros need not be stored there */
} km_restore_sink;

typedef struct km_restore_job {
    const km_restore_source *source;
    km_restore_sink sink;
    uint64_t offset; /* of the range in the image */
    /* Bytes; UINT64_MAX: to the end of a stream, wherever that is. Of a reader's image 0
     * means an empty one. */
    uint64_t length;
    unsigned threads; /* as km_pool_threads has them */
    /* Only the packed bytes are looked at, and no chunk is unpacked: nothing can be given to the
     * sink. Hashes are not compared. */
    bool only_sums;
    const char *doing; /* for sentences: "restoring" */
    km_progress_function progress;
    void *progress_arg;
    uint64_t progress_before; /* bytes of work before this job... */
    uint64_t progress_total;  /* ...and in all; KM_SIZE_UNKNOWN: nobody knows */
} km_restore_job;

/*
 * Opens the source that `snapshot` (NULL: the options' stream) and the options name, and makes of
 * them the job that reads it, sink apart. An option length of 0 becomes what is left of the image,
 * or UINT64_MAX if a stream has not said where that ends. KM_E_TRUNCATED if the range is not inside
 * the image. The source is to be closed with km_restore_source_close even after a failure.
 */
km_status km_restore_prepare(km_restore_source *source, const char *snapshot,
                             const km_restore_options *options, km_restore_job *job);

/*
 * Gives the sink the range's bytes. *size, only set on success: how many there were. A stream is
 * read and checked to its end; so is the range, once more, when that is known.
 */
km_status km_restore_run(const km_restore_job *job, uint64_t *size);

/* km_restore with another table of file calls. */
km_status km_restore_with(const km_io *io, const char *snapshot, const char *path,
                          const km_restore_options *options);

/* A target file: a draft of a new one. *written: bytes that were. `length` is settled. */
km_status km_restore_to_file(const km_io *io, km_restore_job *job, const char *path,
                             const km_restore_options *options, uint64_t *written);

/* The file at `path`, changed where it differs. The source is a reader. */
km_status km_restore_in_place(const km_io *io, km_restore_job *job, const char *path,
                              const km_restore_options *options, uint64_t *written);

/* Is the file at `path` the snapshot that is read? false as well if that cannot be told. */
bool km_restore_is_source(const km_restore_source *source, const WCHAR *path);

/*
 * Unpacks `length` bytes from `offset` on, which are inside the image, to `to`, which is all zeros
 * still. `threads` as km_pool_threads has them.
 */
km_status km_restore_reader(km_reader *reader, uint64_t offset, void *to, uint64_t length,
                            unsigned threads);

#endif /* KM_RESTORE_H */
