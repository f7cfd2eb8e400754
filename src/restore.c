/*
 * restore.c - km_restore: what is asked for, and which way it goes.
 */
#include "restore.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "options.h"
#include "status.h"

#define KNOWN_FLAGS (KM_RESTORE_REPLACE | KM_RESTORE_IN_PLACE | KM_RESTORE_NO_SYNC)
#define PERMISSION_BITS 07777u

/* ---- Options ------------------------------------------------------------------------------- */

/* Each end is a file or a stream: exactly one of them. */
static km_status check_ends(const char *snapshot, const char *path,
                            const km_restore_options *options) {
    if ((snapshot == NULL) == (options->read == NULL)) {
        return km_fail(KM_E_INVALID,
                       snapshot == NULL ? "km_restore: there is neither a snapshot nor a "
                                          "km_restore_options.read"
                                        : "km_restore: km_restore_options.read is for streams, and "
                                          "a snapshot is named");
    }
    if ((path == NULL) == (options->write == NULL)) {
        return km_fail(KM_E_INVALID,
                       path == NULL
                           ? "km_restore: there is neither a target nor a km_restore_options.write"
                           : "km_restore: km_restore_options.write is for streams, and a target is "
                             "named");
    }
    return KM_OK;
}

/* What is said of the target makes no sense of a stream. */
static km_status check_stream(const km_restore_options *options) {
    if ((options->flags & (KM_RESTORE_REPLACE | KM_RESTORE_NO_SYNC)) != 0) {
        return km_fail(KM_E_INVALID, "km_restore: in a stream nothing is replaced or synced");
    }
    return options->permissions == 0
               ? KM_OK
               : km_fail(KM_E_INVALID, "km_restore: a stream has no permissions");
}

static km_status check_in_place(const char *snapshot, const char *path,
                                const km_restore_options *options) {
    const char *wrong = NULL;
    if (snapshot == NULL || path == NULL) {
        wrong = "a stream";
    } else if (options->offset != 0 || options->length != 0) {
        wrong = "a range of the image";
    } else if ((options->flags & KM_RESTORE_REPLACE) != 0) {
        wrong = "KM_RESTORE_REPLACE";
    }
    return wrong == NULL ? KM_OK
                         : km_fail(KM_E_INVALID,
                                   "km_restore: KM_RESTORE_IN_PLACE does not go with %s", wrong);
}

static km_status check_options(const char *snapshot, const char *path,
                               const km_restore_options *options) {
    km_status status = km_flags_check(options->flags, KNOWN_FLAGS, "km_restore_options");
    if (status == KM_OK) {
        status = check_ends(snapshot, path, options);
    }
    if (status == KM_OK && (options->flags & KM_RESTORE_IN_PLACE) != 0) {
        status = check_in_place(snapshot, path, options);
    }
    if (status == KM_OK && path == NULL) {
        status = check_stream(options);
    }
    if (status == KM_OK && (options->permissions & ~PERMISSION_BITS) != 0) {
        status = km_fail(KM_E_INVALID, "km_restore: 0%" PRIo32 " are no permissions",
                         options->permissions);
    }
    return status;
}

/* ---- To a stream --------------------------------------------------------------------------- */

typedef struct outlet {
    km_write_function write;
    void *arg;
} outlet;

static km_status put(void *arg, uint64_t at, const void *bytes, uint32_t length) {
    const outlet *out = arg;
    const km_status status = out->write(bytes, length, out->arg);
    if (status == KM_OK) {
        return KM_OK;
    }
    return km_fail(status, "cannot write the image's stream after %" PRIu64 " bytes: %s", at,
                   km_status_meaning(status));
}

static km_status restore_to_stream(km_restore_job *job, const km_restore_options *options,
                                   uint64_t *written) {
    outlet out = {.write = options->write, .arg = options->write_arg};
    job->sink = (km_restore_sink){.put = put, .arg = &out, .in_order = true};
    return km_restore_run(job, written);
}

/* ---- The whole ----------------------------------------------------------------------------- */

static km_status restore(const km_io *io, km_restore_job *job, const char *path,
                         const km_restore_options *options, uint64_t *written) {
    if (path == NULL) {
        return restore_to_stream(job, options, written);
    }
    return (options->flags & KM_RESTORE_IN_PLACE) != 0
               ? km_restore_in_place(io, job, path, options, written)
               : km_restore_to_file(io, job, path, options, written);
}

km_status km_restore_with(const km_io *io, const char *snapshot, const char *path,
                          const km_restore_options *options) {
    km_restore_options wanted;
    uint64_t written = 0;
    km_status status =
        km_struct_read(options, sizeof wanted, sizeof wanted, &wanted, "km_restore_options");
    if (status == KM_OK) {
        status = check_options(snapshot, path, &wanted);
    }
    if (status != KM_OK) {
        return status;
    }
    km_restore_source source = {.reader = NULL};
    km_restore_job job;
    status = km_restore_prepare(&source, snapshot, &wanted, &job);
    if (status == KM_OK) {
        status = restore(io, &job, path, &wanted, &written);
    }
    km_restore_source_close(&source);
    if (status == KM_OK && wanted.written != NULL) {
        *wanted.written = written;
    }
    return status;
}

km_status km_restore(const char *snapshot, const char *path, const km_restore_options *options) {
    return km_restore_with(&km_io_default, snapshot, path, options);
}
