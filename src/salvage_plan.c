/*
 * salvage_plan.c - which of the members found in a damaged file make up the image: what is noted
 * of them as they are found.
 */
#include "salvage_plan.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

/* The longest that a stored block of deflate can be; what is longer does not lie in one. */
#define STORED_BLOCK 65535u

void km_plan_free(km_plan *plan) {
    for (size_t i = 0; i < plan->index_count; i++) {
        free(plan->indexes[i].entries);
    }
    free(plan->members);
    free(plan->indexes);
    free(plan->chains);
    *plan = (km_plan){.at = 0};
}

/* ---- Noting -------------------------------------------------------------------------------- */

static km_status fail_no_memory(void) {
    return km_fail(KM_E_NO_MEMORY, "no memory to note what there is in a damaged snapshot");
}

/* The array, with room for one more: it doubles. NULL without memory, the array being as it was. */
static void *with_room(void *array, size_t size, size_t count, size_t *room) {
    if (count < *room) {
        return array;
    }
    const size_t wanted = *room == 0 ? 64 : 2 * *room;
    void *larger = wanted > SIZE_MAX / size ? NULL : realloc(array, wanted * size);
    if (larger != NULL) {
        *room = wanted;
    }
    return larger;
}

static uint32_t new_snapshot(km_plan *plan) {
    if (plan->snapshot_count == KM_PLAN_SNAPSHOTS) {
        return KM_PLAN_NO_SNAPSHOT;
    }
    plan->snapshots[plan->snapshot_count] = (km_plan_snapshot){.bytes = 0};
    return plan->snapshot_count++;
}

static const uint8_t *snapshot_id(const km_plan_snapshot *snapshot) {
    return snapshot->has_facts ? snapshot->facts.id : snapshot->footer.id;
}

/* The snapshot with this id; one that has no id yet, being met last, gets it; else a new one. */
static uint32_t snapshot_of_id(km_plan *plan, const uint8_t *id) {
    for (uint32_t i = 0; i < plan->snapshot_count; i++) {
        const km_plan_snapshot *snapshot = &plan->snapshots[i];
        if ((snapshot->has_facts || snapshot->has_footer) &&
            memcmp(snapshot_id(snapshot), id, KM_FORMAT_ID_SIZE) == 0) {
            return i;
        }
    }
    /* What begins with facts does not go on with what came before. */
    if (plan->latest < plan->snapshot_count && !plan->chain.has_facts) {
        const km_plan_snapshot *latest = &plan->snapshots[plan->latest];
        if (!latest->has_facts && !latest->has_footer) {
            return plan->latest;
        }
    }
    return new_snapshot(plan);
}

/* Is the snapshot met last the only one whose end has not been seen? */
static bool only_latest_is_open(const km_plan *plan) {
    for (uint32_t i = 0; i < plan->snapshot_count; i++) {
        if (plan->snapshots[i].has_footer == (i == plan->latest)) {
            return false;
        }
    }
    return plan->latest < plan->snapshot_count;
}

/* Of what snapshot is the chain at hand? `alone`: it may be one of its own. */
static uint32_t chain_snapshot(km_plan *plan, bool alone) {
    if (plan->chain.has_footer) {
        return snapshot_of_id(plan, plan->chain.footer.id);
    }
    if (plan->chain.has_facts) {
        return snapshot_of_id(plan, plan->chain.facts.id);
    }
    if (only_latest_is_open(plan)) {
        return plan->latest;
    }
    return alone ? new_snapshot(plan) : KM_PLAN_NO_SNAPSHOT;
}

static bool footer_fits_facts(const km_format_footer *footer, const km_format_facts *facts) {
    return memcmp(footer->id, facts->id, KM_FORMAT_ID_SIZE) == 0 &&
           footer->chunk_shift == facts->chunk_shift &&
           (facts->total == UINT64_MAX || facts->total == footer->total);
}

km_status km_plan_close_chain(km_plan *plan) {
    if (!plan->chain.open) {
        return KM_OK;
    }
    const bool agrees = !plan->chain.has_facts || !plan->chain.has_footer ||
                        footer_fits_facts(&plan->chain.footer, &plan->chain.facts);
    const bool is_named = plan->chain.has_facts || plan->chain.has_footer;
    const bool is_long = plan->chain.proved - plan->chain.start > STORED_BLOCK;
    const bool counts = is_named || is_long || plan->chain.has_index;
    const uint32_t number = chain_snapshot(plan, counts);
    km_plan_chain *chains =
        with_room(plan->chains, sizeof *chains, plan->chain_count, &plan->chain_room);
    if (chains == NULL) {
        return fail_no_memory();
    }
    plan->chains = chains;
    chains[plan->chain_count++] = (km_plan_chain){
        .snapshot = number, .named = is_named, .trusted = agrees && (is_named || is_long)};
    plan->latest = counts ? number : plan->latest;
    if (number != KM_PLAN_NO_SNAPSHOT) {
        km_plan_snapshot *snapshot = &plan->snapshots[number];
        if (plan->chain.has_facts && agrees && !snapshot->has_facts) {
            snapshot->facts = plan->chain.facts;
            snapshot->has_facts = true;
        }
        if (plan->chain.has_footer && !snapshot->has_footer &&
            (!snapshot->has_facts || footer_fits_facts(&plan->chain.footer, &snapshot->facts))) {
            snapshot->footer = plan->chain.footer;
            snapshot->has_footer = true;
        }
    }
    memset(&plan->chain, 0, sizeof plan->chain);
    return KM_OK;
}

static km_status add_data(km_plan *plan, const km_scan_member *found) {
    const km_format_entry *entry = &found->as.data.entry;
    km_plan_member *members =
        with_room(plan->members, sizeof *members, plan->member_count, &plan->member_room);
    if (members == NULL) {
        return fail_no_memory();
    }
    plan->members = members;
    members[plan->member_count++] = (km_plan_member){
        .chunk = found->as.data.chunk,
        .offset = found->end - entry->packed_length,
        .sum = entry->sum,
        .packed_length = entry->packed_length,
        .raw_length = entry->raw_length,
        .chain = (uint32_t)plan->chain_count,
        .flags = entry->flags,
        .whole = found->as.data.whole,
    };
    if (found->as.data.chunk == 0) {
        plan->chain.has_facts = true;
        plan->chain.facts = found->as.data.facts;
    }
    return KM_OK;
}

static km_status add_index(km_plan *plan, const km_scan_member *found) {
    const size_t size = (size_t)found->as.index.count * KM_FORMAT_ENTRY_SIZE;
    km_plan_index *indexes =
        with_room(plan->indexes, sizeof *indexes, plan->index_count, &plan->index_room);
    if (indexes == NULL) {
        return fail_no_memory();
    }
    plan->indexes = indexes;
    plan->chain.has_index = true;
    uint8_t *entries = malloc(size);
    if (entries == NULL) {
        return fail_no_memory();
    }
    memcpy(entries, found->as.index.entries, size);
    indexes[plan->index_count++] = (km_plan_index){
        .first = found->as.index.first,
        .offset = found->offset,
        .entries = entries,
        .count = found->as.index.count,
        .chain = (uint32_t)plan->chain_count,
    };
    return KM_OK;
}

/* Not only its head? */
static bool is_there(const km_scan_member *member) {
    return member->kind != KM_MEMBER_DATA || member->as.data.whole;
}

km_status km_plan_add(km_plan *plan, const km_scan_member *member) {
    const bool begins = member->kind == KM_MEMBER_DATA && member->as.data.chunk == 0;
    const bool goes_on = !begins && plan->chain.end == member->offset && !plan->chain.has_footer;
    km_status status = goes_on ? KM_OK : km_plan_close_chain(plan);
    if (status != KM_OK) {
        return status;
    }
    if (plan->chain_count == UINT32_MAX) {
        return fail_no_memory();
    }
    if (!plan->chain.open) {
        plan->chain.open = true;
        plan->chain.start = member->offset;
    }
    plan->chain.end = member->end;
    plan->chain.proved = is_there(member) ? member->end : member->offset;
    switch (member->kind) {
    case KM_MEMBER_DATA:
        return add_data(plan, member);
    case KM_MEMBER_INDEX:
        return add_index(plan, member);
    case KM_MEMBER_FOOTER:
        plan->chain.has_footer = true;
        plan->chain.footer = member->as.footer;
        return KM_OK;
    }
    return KM_OK;
}
