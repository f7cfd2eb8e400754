/*
 * snapshot_sink.h - where a snapshot's members go to, in their order: a draft file, or a stream.
 *
 * One thread at a time. What goes to a draft is appended by append.h; into a stream members go as
 * they come, small ones gathered, so that a row of them is one call. Of each
 * data member its entry is kept, 36 bytes, until km_sink_finish makes index and footer of them.
 */
#ifndef KM_SNAPSHOT_SINK_H
#define KM_SNAPSHOT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "append.h"
#include "publish.h"
#include "snapshot_format.h"

typedef struct km_sink {
    const km_draft *draft;   /* NULL: a stream */
    km_write_function write; /* of a stream */
    void *write_arg;
    uint64_t given;    /* bytes, those still gathered among them */
    uint64_t total;    /* raw bytes of the chunks that have come */
    uint64_t chunks;   /* that have come */
    uint8_t *entries;  /* as the index has them */
    uint64_t room;     /* for so many entries */
    bool bypass;       /* as for km_append_begin */
    km_append *append; /* to a draft; else NULL */
    uint8_t *gathered; /* for a stream, not handed on yet; else NULL */
    size_t gathered_length;
} km_sink;

/* `chunks`: how many there will be, 0 if that is not known. `bypass`: as for km_append_begin. */
km_status km_sink_to_draft(km_sink *sink, const km_draft *draft, bool bypass, uint64_t chunks);
km_status km_sink_to_stream(km_sink *sink, km_write_function write, void *arg, uint64_t chunks);
void km_sink_free(km_sink *sink); /* one of zeros is fine */

/* The next data member, head and packed bytes, `length` of them in one piece. */
km_status km_sink_member(km_sink *sink, const km_format_entry *entry, const void *member,
                         size_t length);

/* Index members and footer. All has been handed on then. */
km_status km_sink_finish(km_sink *sink, const km_format_facts *facts);

#endif /* KM_SNAPSHOT_SINK_H */
