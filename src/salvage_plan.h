/*
 * salvage_plan.h - which of the members found in a damaged file make up the image.
 *
 * Only facts and footer say which snapshot they are of (they have its id), and there may be several
 * in the file, one behind the other, or one inside a stored chunk of another. So:
 *
 * Chains. Members of which each begins where the one before ends are a chain; a body that is
 * damaged but has kept its length does not break it, a head that is damaged does. A chain begins
 * anew with the facts and behind a footer.
 *
 * Snapshots. A chain is of the snapshot that its facts or its footer name; one that has neither, of
 * the snapshot that was met last, if that is the only one that has not ended; else it stands alone,
 * since nobody knows which of them goes on there, or is of none, if it has no index member either
 * and would not be trusted.
 *
 * Names. Which snapshot that is, an index knows better than the order: a chain without facts and
 * footer is of the snapshot whose index lists some of its data members and contradicts none.
 *
 * Trust. A chain is trusted if it has facts or footer, or if more of it follows one another than
 * what a stored block can hold: a snapshot that lies inside a damaged chunk must not be taken for
 * what it lies in. What its last head says of a body that is not there counts for nothing. If facts
 * and footer of a chain disagree it is not trusted.
 *
 * Choice. The image is that of the snapshot of which most bytes were found; the first of equals.
 *
 * Index. An index member is believed if the snapshot's trusted data members agree with it more
 * often than they disagree; with none to compare, if its chain is trusted or no chain is. For a
 * chunk that a believed one has, nothing counts but a data member, anywhere in the file, that is
 * just as it says. For any other chunk it is the first one, in the snapshot's trusted chains, that
 * is whole.
 *
 * Chunk size. That of facts or footer; else what the chunks that are not the last have as their
 * length. A single chunk without either cannot be placed, since it may be the last.
 */
#ifndef KM_SALVAGE_PLAN_H
#define KM_SALVAGE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "salvage_scan.h"

/* Snapshots told apart in one file; the members of more are passed over. */
#define KM_PLAN_SNAPSHOTS 64u
#define KM_PLAN_NO_SNAPSHOT UINT32_MAX /* one of those, or none */

typedef struct km_plan_member {
    uint64_t chunk;
    uint64_t offset; /* of the packed bytes */
    uint64_t sum;    /* of them */
    uint32_t packed_length;
    uint32_t raw_length;
    uint32_t chain;
    uint8_t flags;
    bool whole;
} km_plan_member;

typedef struct km_plan_index {
    uint64_t first;
    uint64_t offset; /* in the file */
    uint8_t *entries;
    uint32_t count;
    uint32_t chain;
    bool believed;
} km_plan_index;

typedef struct km_plan_chain {
    uint32_t snapshot;
    bool named; /* has facts or footer */
    bool trusted;
} km_plan_chain;

typedef struct km_plan_snapshot {
    km_format_facts facts;
    km_format_footer footer;
    bool has_facts;
    bool has_footer;
    uint64_t bytes; /* of its whole chunks, when decided */
} km_plan_snapshot;

typedef struct km_plan {
    km_plan_member *members; /* when decided: by chunk, then by offset */
    size_t member_count, member_room;
    km_plan_index *indexes; /* when decided: by first, then as found */
    size_t index_count, index_room;
    km_plan_chain *chains;
    size_t chain_count, chain_room;
    km_plan_snapshot snapshots[KM_PLAN_SNAPSHOTS];
    uint32_t snapshot_count;
    uint32_t latest; /* the snapshot met last; KM_PLAN_NO_SNAPSHOT: one that is passed over */

    /* The chain at hand; `open` if it has members. */
    struct {
        bool open;
        uint64_t start;
        uint64_t end;    /* as far as the last head tells */
        uint64_t proved; /* up to here its members are there */
        bool has_facts;
        bool has_index;
        bool has_footer;
        km_format_facts facts;
        km_format_footer footer;
    } chain;

    /* When decided. */
    uint32_t chosen;
    uint8_t chunk_shift;
    bool size_known;
    bool index_complete; /* every chunk is in a believed index member */
    uint64_t size;       /* of the image */
    size_t at;           /* members looked at by km_plan_next */
    size_t index_at;
} km_plan;

/* One of zeros is an empty plan. */
void km_plan_free(km_plan *plan);

/* The members in the order in which they are found. */
km_status km_plan_add(km_plan *plan, const km_scan_member *member);

/* The chain at hand is over (for salvage_decide.c). */
km_status km_plan_close_chain(km_plan *plan);

/* When all have been added (salvage_decide.c). KM_E_CORRUPT, with a sentence on `path`, if there is
 * nothing that could be placed in an image. */
km_status km_plan_decide(km_plan *plan, const char *path);

/* A data member that may be its chunk's, and what is known of it. */
typedef struct km_plan_pick {
    uint64_t chunk;
    uint64_t offset;       /* of its packed bytes */
    km_format_entry entry; /* with the hash if `indexed` */
    bool indexed;
} km_plan_pick;

/* The next one: chunks rising, the better member of a chunk first. false: no more. */
bool km_plan_next(km_plan *plan, km_plan_pick *pick);

/* What the hashes were made with; NULL if that is lost. */
const uint64_t *km_plan_seed(const km_plan *plan);

#endif /* KM_SALVAGE_PLAN_H */
