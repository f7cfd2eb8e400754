/*
 * snapshot_pack.h - the image of a snapshot made into its data members, by several threads.
 */
#ifndef KM_SNAPSHOT_PACK_H
#define KM_SNAPSHOT_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_changes.h"
#include "snapshot_format.h"
#include "snapshot_reader.h"
#include "snapshot_sink.h"
#include "snapshot_source.h"

typedef struct km_pack_plan {
    km_source *source;
    km_sink *sink;
    const km_format_facts *facts;
    const km_reader *since; /* NULL: none */
    bool compare;           /* what looks unchanged is compared, and nothing believed */
    const km_change_watch *watch;
    unsigned threads; /* at most */
    km_progress_function progress;
    void *progress_arg;
} km_pack_plan;

typedef struct km_pack_counts {
    unsigned threads; /* that worked */
    uint64_t zero_chunks;
    uint64_t reused_chunks;
    uint64_t unread_chunks;
} km_pack_counts;

/* Fetches, packs and hands to the sink all chunks. Index and footer are the caller's business. */
km_status km_pack_image(const km_pack_plan *plan, km_pack_counts *counts);

#endif /* KM_SNAPSHOT_PACK_H */
