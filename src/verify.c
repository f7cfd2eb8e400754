/*
 * verify.c - km_verify: is every bit of a snapshot as it was written?
 *
 * To verify is to restore to nowhere.
 */
#include <stddef.h>

#include <keepmap.h>

#include "options.h"
#include "restore.h"
#include "status.h"

#define KNOWN_FLAGS KM_VERIFY_QUICK

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
    const km_restore_options all = {.read = wanted.read,
                                    .read_arg = wanted.read_arg,
                                    .threads = wanted.threads,
                                    .progress = wanted.progress,
                                    .progress_arg = wanted.progress_arg};
    km_restore_source source = {.reader = NULL};
    km_restore_job job;
    uint64_t size = 0;
    status = km_restore_prepare(&source, snapshot, &all, &job);
    if (status == KM_OK) {
        job.only_sums = (wanted.flags & KM_VERIFY_QUICK) != 0;
        job.doing = "verifying";
        status = km_restore_run(&job, &size);
    }
    km_restore_source_close(&source);
    return status;
}
