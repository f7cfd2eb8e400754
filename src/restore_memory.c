/*
 * restore_memory.c - a snapshot's image, or a range of it, in memory of the caller's.
 */
#include "restore.h"

#include <inttypes.h>
#include <stdlib.h>

#include "options.h"
#include "status.h"

static km_status check_options(const char *snapshot, const void *to, uint64_t size,
                               const km_restore_options *options) {
    if ((snapshot == NULL) == (options->read == NULL)) {
        return km_fail(KM_E_INVALID, "km_restore_memory: there has to be a snapshot or a "
                                     "km_restore_options.read, and not both");
    }
    if (options->flags != 0 || options->permissions != 0 || options->write != NULL ||
        options->write_arg != NULL) {
        return km_fail(KM_E_INVALID, "km_restore_memory: flags, permissions and write of the "
                                     "km_restore_options are for files and streams");
    }
    if (to == NULL && size > 0) {
        return km_fail(KM_E_INVALID, "km_restore_memory: the memory is NULL");
    }
    return KM_OK;
}

static km_status fail_size(const km_restore_source *source, uint64_t wanted, uint64_t size) {
    return km_fail(KM_E_MISMATCH,
                   "cannot restore %" PRIu64 " bytes of \"%s\" to %" PRIu64 " bytes of memory",
                   wanted, km_restore_source_name(source), size);
}

static km_status restore(km_restore_job *job) {
    const uint64_t room = job->sink.memory_size;
    uint64_t size = room;
    if (job->length != UINT64_MAX && job->length != room) {
        return fail_size(job->source, job->length, room);
    }
    const km_status status = km_restore_run(job, &size);
    if (status == KM_OK && size != room) {
        return fail_size(job->source, size, room);
    }
    return status;
}

km_status km_restore_memory(const char *snapshot, void *to, uint64_t size,
                            const km_restore_options *options) {
    km_restore_options wanted;
    uint8_t nowhere = 0;
    km_status status =
        km_struct_read(options, sizeof wanted, sizeof wanted, &wanted, "km_restore_options");
    if (status == KM_OK) {
        status = check_options(snapshot, to, size, &wanted);
    }
    if (status != KM_OK) {
        return status;
    }
    km_restore_source source = {.reader = NULL};
    km_restore_job job;
    status = km_restore_prepare(&source, snapshot, &wanted, &job);
    if (status == KM_OK) {
        job.sink = (km_restore_sink){.memory = to != NULL ? to : &nowhere, .memory_size = size};
        status = restore(&job);
    }
    km_restore_source_close(&source);
    if (status == KM_OK && wanted.written != NULL) {
        *wanted.written = size;
    }
    return status;
}

km_status km_restore_reader(km_reader *reader, uint64_t offset, void *to, uint64_t length,
                            unsigned threads) {
    const km_restore_source source = {.reader = reader};
    const km_restore_job job = {
        .source = &source,
        .sink = {.memory = to, .memory_size = length, .memory_is_zero = true},
        .offset = offset,
        .length = length,
        .threads = threads,
        .doing = "restoring",
    };
    uint64_t size = 0;
    return km_restore_run(&job, &size);
}
