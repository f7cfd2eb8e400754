/*
 * salvage_decide.c - which of the members found in a damaged file make up the image: the choice,
 * when all have been found. The rules are in salvage_plan.h.
 */
#include "salvage_plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

/* How many index members that begin with the same chunk are heard. */
#define INDEXES_EACH 4u
#define NO_SHIFT 0u

/* What the index of one snapshot says of a chain. */
#define LISTED 1u
#define CONTRADICTED 2u

/* ---- Order --------------------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int compare_members(const void *one, const void *other) {
    const km_plan_member *a = one;
    const km_plan_member *b = other;
    return a->chunk != b->chunk ? compare(a->chunk, b->chunk) : compare(a->offset, b->offset);
}

static int compare_indexes(const void *one, const void *other) {
    const km_plan_index *a = one;
    const km_plan_index *b = other;
    return a->first != b->first ? compare(a->first, b->first) : compare(a->offset, b->offset);
}

static void sort(km_plan *plan) {
    if (plan->member_count > 1) {
        qsort(plan->members, plan->member_count, sizeof *plan->members, compare_members);
    }
    if (plan->index_count > 1) {
        qsort(plan->indexes, plan->index_count, sizeof *plan->indexes, compare_indexes);
    }
}

/* The first member of a chunk not before `chunk`. */
static size_t find_member(const km_plan *plan, uint64_t chunk) {
    size_t low = 0;
    size_t high = plan->member_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (plan->members[middle].chunk < chunk) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void read_entry(const km_plan_index *index, uint64_t chunk, km_format_entry *entry) {
    /* Looked at by the scan. */
    (void)km_format_entry_read(
        index->entries + (size_t)(chunk - index->first) * KM_FORMAT_ENTRY_SIZE, entry);
}

static bool is_as_indexed(const km_plan_member *member, const km_format_entry *entry) {
    return member->sum == entry->sum && member->packed_length == entry->packed_length &&
           member->raw_length == entry->raw_length && member->flags == entry->flags;
}

/* ---- What snapshot the chains are of ------------------------------------------------------- */

static void note_said(const km_plan *plan, const km_plan_index *index, uint8_t *said) {
    const uint64_t end = index->first + index->count;
    for (size_t at = find_member(plan, index->first);
         at < plan->member_count && plan->members[at].chunk < end; at++) {
        const km_plan_member *member = &plan->members[at];
        km_format_entry entry = {.flags = 0};
        read_entry(index, member->chunk, &entry);
        said[member->chain] |= is_as_indexed(member, &entry) ? LISTED : CONTRADICTED;
    }
}

/* said[chain]: by the snapshot's index members, of those that begin with one chunk the first few.
 */
static void note_all_said(const km_plan *plan, uint32_t snapshot, uint8_t *said) {
    uint64_t first = 0;
    unsigned heard = 0;
    memset(said, 0, plan->chain_count);
    for (size_t i = 0; i < plan->index_count; i++) {
        const km_plan_index *index = &plan->indexes[i];
        heard = index->first == first ? heard : 0;
        first = index->first;
        if (plan->chains[index->chain].snapshot == snapshot && heard < INDEXES_EACH) {
            heard++;
            note_said(plan, index, said);
        }
    }
}

/* Gives chains without facts and footer to the snapshot whose index knows them, if there is one. */
static km_status name_chains(km_plan *plan) {
    const size_t count = plan->chain_count;
    uint8_t *said = malloc(count);
    uint32_t *names = malloc(count * sizeof *names);
    km_status status = KM_OK;
    if (said == NULL || names == NULL) {
        status = km_fail(KM_E_NO_MEMORY, "no memory to tell %zu parts of snapshots apart", count);
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = KM_PLAN_NO_SNAPSHOT;
    }
    for (uint32_t snapshot = 0; snapshot < plan->snapshot_count; snapshot++) {
        note_all_said(plan, snapshot, said);
        for (size_t i = 0; i < count; i++) {
            const bool is_better =
                names[i] == KM_PLAN_NO_SNAPSHOT || plan->chains[i].snapshot == snapshot;
            if (said[i] == LISTED && !plan->chains[i].named && is_better) {
                names[i] = snapshot;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (names[i] != KM_PLAN_NO_SNAPSHOT) {
            plan->chains[i].snapshot = names[i];
        }
    }

done:
    free(names);
    free(said);
    return status;
}

/* ---- What belongs to the chosen snapshot --------------------------------------------------- */

static void choose(km_plan *plan) {
    for (size_t i = 0; i < plan->member_count; i++) {
        const km_plan_member *member = &plan->members[i];
        const uint32_t snapshot = plan->chains[member->chain].snapshot;
        if (member->whole && snapshot != KM_PLAN_NO_SNAPSHOT) {
            plan->snapshots[snapshot].bytes += member->raw_length;
        }
    }
    for (uint32_t i = 1; i < plan->snapshot_count; i++) {
        if (plan->snapshots[i].bytes > plan->snapshots[plan->chosen].bytes) {
            plan->chosen = i;
        }
    }
}

static bool is_of_chosen(const km_plan *plan, uint32_t chain) {
    return plan->chains[chain].snapshot == plan->chosen;
}

static bool is_trusted(const km_plan *plan, const km_plan_member *member) {
    return is_of_chosen(plan, member->chain) && plan->chains[member->chain].trusted;
}

/* ---- The index ----------------------------------------------------------------------------- */

/* By how many chunks the snapshot's trusted members agree more than they disagree; *compared: with
 * how many there are such. */
static int64_t agreement(const km_plan *plan, const km_plan_index *index, uint64_t *compared) {
    int64_t result = 0;
    const uint64_t end = index->first + index->count;
    size_t at = find_member(plan, index->first);
    *compared = 0;
    while (at < plan->member_count && plan->members[at].chunk < end) {
        const uint64_t chunk = plan->members[at].chunk;
        km_format_entry entry = {.flags = 0};
        bool agrees = false;
        bool disagrees = false;
        read_entry(index, chunk, &entry);
        for (; at < plan->member_count && plan->members[at].chunk == chunk; at++) {
            if (is_trusted(plan, &plan->members[at])) {
                const bool same = is_as_indexed(&plan->members[at], &entry);
                agrees = agrees || same;
                disagrees = disagrees || !same;
            }
        }
        result += agrees ? 1 : disagrees ? -1 : 0;
        *compared += agrees || disagrees;
    }
    return result;
}

static bool any_is_trusted(const km_plan *plan) {
    for (size_t i = 0; i < plan->chain_count; i++) {
        if (plan->chains[i].trusted && is_of_chosen(plan, (uint32_t)i)) {
            return true;
        }
    }
    return false;
}

/* Of the index members from `at` on that begin with the same chunk, which is believed? With nothing
 * to compare a trusted one; `untrusted_too`: any. */
static size_t believe_one(km_plan *plan, size_t at, bool untrusted_too) {
    const uint64_t first = plan->indexes[at].first;
    km_plan_index *best = NULL;
    int64_t best_agreement = -1;
    unsigned heard = 0;
    for (; at < plan->index_count && plan->indexes[at].first == first; at++) {
        km_plan_index *index = &plan->indexes[at];
        uint64_t compared = 0;
        if (!is_of_chosen(plan, index->chain) || heard == INDEXES_EACH) {
            continue;
        }
        heard++;
        const int64_t agreed = agreement(plan, index, &compared);
        if (agreed > best_agreement &&
            (compared == 0 ? untrusted_too || plan->chains[index->chain].trusted : agreed > 0)) {
            best = index;
            best_agreement = agreed;
        }
    }
    if (best != NULL) {
        best->believed = true;
    }
    return at;
}

static void believe(km_plan *plan) {
    const bool untrusted_too = !any_is_trusted(plan);
    for (size_t at = 0; at < plan->index_count;) {
        at = believe_one(plan, at, untrusted_too);
    }
}

/* ---- Chunk size and total ------------------------------------------------------------------ */

static uint8_t shift_of(uint32_t raw_length) {
    for (uint8_t shift = KM_CHUNK_SHIFT_MIN; shift <= KM_CHUNK_SHIFT_MAX; shift++) {
        if (raw_length == (uint32_t)1 << shift) {
            return shift;
        }
    }
    return NO_SHIFT;
}

/* From a believed index member whose first entry is not of the last chunk. */
static uint8_t shift_from_index(const km_plan *plan) {
    for (size_t i = 0; i < plan->index_count; i++) {
        const km_plan_index *index = &plan->indexes[i];
        if (index->believed && index->count > 1) {
            km_format_entry entry = {.flags = 0};
            read_entry(index, index->first, &entry);
            return shift_of(entry.raw_length);
        }
    }
    return NO_SHIFT;
}

/* From the lowest chunk, if there is a higher one: then it is not the last. */
static uint8_t shift_from_members(const km_plan *plan) {
    const km_plan_member *lowest = NULL;
    for (size_t i = 0; i < plan->member_count; i++) {
        const km_plan_member *member = &plan->members[i];
        if (!is_trusted(plan, member)) {
            continue;
        }
        if (lowest == NULL) {
            lowest = member;
        } else if (member->chunk > lowest->chunk) {
            return shift_of(lowest->raw_length);
        }
    }
    return NO_SHIFT;
}

static uint8_t find_shift(const km_plan *plan) {
    const km_plan_snapshot *snapshot = &plan->snapshots[plan->chosen];
    if (snapshot->has_facts || snapshot->has_footer) {
        return snapshot->has_facts ? snapshot->facts.chunk_shift : snapshot->footer.chunk_shift;
    }
    const uint8_t shift = shift_from_index(plan);
    return shift != NO_SHIFT ? shift : shift_from_members(plan);
}

/* The image reaches this chunk's end. */
static void reach(km_plan *plan, uint64_t chunk, uint32_t raw_length) {
    if (chunk < KM_FORMAT_TOTAL_MAX >> plan->chunk_shift &&
        raw_length <= (uint32_t)1 << plan->chunk_shift) {
        const uint64_t end = (chunk << plan->chunk_shift) + raw_length;
        plan->size = end > plan->size ? end : plan->size;
    }
}

/* Without facts and footer the size is that of what was found; it is the image's if the index's
 * last member was among that, the only one that may have fewer entries or a shorter last chunk. */
static void find_size_by_reach(km_plan *plan) {
    for (size_t i = 0; i < plan->member_count; i++) {
        if (is_trusted(plan, &plan->members[i])) {
            reach(plan, plan->members[i].chunk, plan->members[i].raw_length);
        }
    }
    for (size_t i = 0; i < plan->index_count; i++) {
        const km_plan_index *index = &plan->indexes[i];
        const uint64_t last = index->first + index->count - 1;
        km_format_entry entry = {.flags = 0};
        if (index->believed) {
            read_entry(index, last, &entry);
            reach(plan, last, entry.raw_length);
            plan->size_known = index->count < KM_FORMAT_INDEX_ENTRIES ||
                               entry.raw_length < (uint32_t)1 << plan->chunk_shift;
        }
    }
}

static void find_size(km_plan *plan) {
    const km_plan_snapshot *snapshot = &plan->snapshots[plan->chosen];
    plan->size_known = true;
    if (snapshot->has_facts && snapshot->facts.total != UINT64_MAX) {
        plan->size = snapshot->facts.total;
    } else if (snapshot->has_footer) {
        plan->size = snapshot->footer.total;
    } else {
        plan->size_known = false;
        find_size_by_reach(plan);
    }
}

/* Believed index members that do not fit into the image are none of it. */
static void check_index(km_plan *plan) {
    const uint64_t chunks = km_format_chunks(plan->size, plan->chunk_shift);
    uint64_t indexed = 0;
    for (size_t i = 0; i < plan->index_count; i++) {
        km_plan_index *index = &plan->indexes[i];
        index->believed = index->believed && index->first + index->count <= chunks;
        indexed += index->believed ? index->count : 0;
    }
    plan->index_complete = indexed == chunks;
}

km_status km_plan_decide(km_plan *plan, const char *path) {
    km_status status = km_plan_close_chain(plan);
    if (status != KM_OK) {
        return status;
    }
    if (plan->snapshot_count == 0) {
        return km_fail(KM_E_CORRUPT,
                       "nothing can be salvaged from \"%s\": no part of a snapshot was found in it",
                       path);
    }
    sort(plan);
    status = name_chains(plan);
    if (status != KM_OK) {
        return status;
    }
    choose(plan);
    believe(plan);
    plan->chunk_shift = find_shift(plan);
    if (plan->chunk_shift == NO_SHIFT) {
        return km_fail(KM_E_CORRUPT,
                       "nothing can be salvaged from \"%s\": what was found in it does not tell "
                       "the chunk size",
                       path);
    }
    find_size(plan);
    check_index(plan);
    return KM_OK;
}

/* ---- Picking ------------------------------------------------------------------------------- */

/* The believed entry of a chunk; chunks are asked for in rising order. */
static bool find_entry(km_plan *plan, uint64_t chunk, km_format_entry *entry) {
    for (; plan->index_at < plan->index_count; plan->index_at++) {
        const km_plan_index *index = &plan->indexes[plan->index_at];
        if (index->first > chunk) {
            return false;
        }
        if (index->believed && chunk < index->first + index->count) {
            read_entry(index, chunk, entry);
            return true;
        }
    }
    return false;
}

bool km_plan_next(km_plan *plan, km_plan_pick *pick) {
    const uint64_t chunks = km_format_chunks(plan->size, plan->chunk_shift);
    while (plan->at < plan->member_count) {
        const km_plan_member *member = &plan->members[plan->at++];
        km_plan_pick found = {
            .chunk = member->chunk,
            .offset = member->offset,
            .entry = {.packed_length = member->packed_length,
                      .raw_length = member->raw_length,
                      .flags = member->flags,
                      .sum = member->sum},
        };
        if (!member->whole || member->chunk >= chunks ||
            member->raw_length !=
                km_format_raw_length(plan->size, plan->chunk_shift, member->chunk)) {
            continue;
        }
        found.indexed = find_entry(plan, member->chunk, &found.entry);
        if (found.indexed ? is_as_indexed(member, &found.entry) : is_trusted(plan, member)) {
            *pick = found;
            return true;
        }
    }
    return false;
}

const uint64_t *km_plan_seed(const km_plan *plan) {
    const km_plan_snapshot *snapshot = &plan->snapshots[plan->chosen];
    return snapshot->has_facts ? &snapshot->facts.seed : NULL;
}
