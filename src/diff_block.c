/*
 * diff_block.c - one block of two images, compared: what differs in it, unit by unit.
 *
 * It is compared granule by granule: a granule is a chunk, so what hashes tell they tell of all of
 * it.
 */
#include "diff_block.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "checksum.h"
#include "status.h"

/* Of two plain files: enough to keep a disk busy. */
#define PLAIN_BLOCK ((uint32_t)1 << 20)

/* ---- Arrangement --------------------------------------------------------------------------- */

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Chunks of two snapshots with the same secret seed hash to the same if they are the same. */
static bool are_related(const km_reader *a, const km_reader *b) {
    return a != NULL && b != NULL && a->facts.seed == b->facts.seed &&
           a->facts.hash_kind == b->facts.hash_kind && a->facts.chunk_shift == b->facts.chunk_shift;
}

void km_diff_pair_arrange(km_diff_pair *pair, uint32_t unit) {
    const km_image *a = &pair->images[0];
    const km_image *b = &pair->images[1];
    const uint32_t chunk = larger(km_image_chunk_size(a), km_image_chunk_size(b));
    pair->unit = unit != 0 ? unit : chunk != 0 ? chunk : KM_CHUNK_SIZE_DEFAULT;
    pair->granule = chunk != 0 ? chunk : larger(PLAIN_BLOCK, pair->unit);
    pair->block = larger(pair->granule, pair->unit);
    pair->related = are_related(a->reader, b->reader);
    pair->common = a->size < b->size ? a->size : b->size;
}

uint32_t km_diff_block_length(const km_diff_pair *pair, uint64_t number) {
    const uint64_t left = pair->common - number * pair->block;
    return left < pair->block ? (uint32_t)left : pair->block;
}

km_status km_diff_space_make(const km_diff_pair *pair, km_diff_space *space) {
    km_diff_space made = {.raw = {NULL, NULL}};
    km_status status = km_image_space_make(&pair->images[0], &made.images[0]);
    if (status == KM_OK) {
        status = km_image_space_make(&pair->images[1], &made.images[1]);
    }
    if (status == KM_OK) {
        made.raw[0] = km_buffer_make(pair->granule);
        made.raw[1] = km_buffer_make(pair->granule);
    }
    if (status == KM_OK && (made.raw[0] == NULL || made.raw[1] == NULL)) {
        status = km_fail(KM_E_NO_MEMORY,
                         "no memory to compare \"%s\" with \"%s\": %" PRIu32 " bytes wanted twice",
                         pair->images[0].path, pair->images[1].path, pair->granule);
    }
    if (status != KM_OK) {
        km_diff_space_free(&made);
        return status;
    }
    *space = made;
    return KM_OK;
}

void km_diff_space_free(km_diff_space *space) {
    for (unsigned i = 0; i < 2; i++) {
        km_image_space_free(&space->images[i]);
        km_buffer_free(space->raw[i]);
        space->raw[i] = NULL;
    }
}

/* ---- By what the index says ---------------------------------------------------------------- */

/* Of the chunk that begins at `offset`. */
static km_diff_verdict chunk_by_index(const km_diff_pair *pair, uint64_t offset) {
    const uint64_t chunk = offset / pair->granule;
    km_format_entry a;
    km_format_entry b;
    km_reader_entry(pair->images[0].reader, chunk, &a);
    km_reader_entry(pair->images[1].reader, chunk, &b);
    if (a.raw_length != b.raw_length) {
        return KM_DIFF_UNKNOWN;
    }
    if (memcmp(a.hash, b.hash, KM_HASH_SIZE) == 0) {
        return KM_DIFF_SAME;
    }
    return pair->unit == pair->granule ? KM_DIFF_DIFFERENT : KM_DIFF_UNKNOWN;
}

km_diff_verdict km_diff_by_index(const km_diff_pair *pair, uint64_t number) {
    if (!pair->related) {
        return KM_DIFF_UNKNOWN;
    }
    const uint64_t begin = number * pair->block;
    const uint32_t length = km_diff_block_length(pair, number);
    const km_diff_verdict first = chunk_by_index(pair, begin);
    for (uint32_t at = pair->granule; at < length && first == KM_DIFF_SAME; at += pair->granule) {
        if (chunk_by_index(pair, begin + at) != KM_DIFF_SAME) {
            return KM_DIFF_UNKNOWN;
        }
    }
    return first;
}

/* ---- By the bytes -------------------------------------------------------------------------- */

/* A granule being compared. */
typedef struct granule {
    uint64_t offset; /* in the images */
    uint32_t length;
    uint32_t in_block; /* where in its block it begins */
} granule;

static void mark(const km_diff_pair *pair, const granule *where, uint32_t at, uint8_t *bits) {
    const uint32_t unit = (where->in_block + at) / pair->unit;
    bits[unit / 8] |= (uint8_t)(1u << unit % 8);
}

static void compare_bytes(const km_diff_pair *pair, const granule *where, const uint8_t *a,
                          const uint8_t *b, uint8_t *bits) {
    if (memcmp(a, b, where->length) == 0) {
        return;
    }
    for (uint32_t at = 0; at < where->length; at += pair->unit) {
        const uint32_t left = where->length - at;
        if (memcmp(a + at, b + at, left < pair->unit ? left : pair->unit) != 0) {
            mark(pair, where, at, bits);
        }
        if (left <= pair->unit) {
            return;
        }
    }
}

static km_status read_granule(const km_diff_pair *pair, const km_diff_space *space, unsigned which,
                              const granule *where, bool hole) {
    if (hole) {
        memset(space->raw[which], 0, where->length);
        return KM_OK;
    }
    return km_image_read(&pair->images[which], &space->images[which], where->offset, where->length,
                         space->raw[which]);
}

/*
 * A snapshot, images[which], against a plain file whose bytes are there already: the hash of the
 * file's bytes, made as the snapshot's are. Unknown where the file does not have the whole chunk.
 */
static km_diff_verdict chunk_by_hash(const km_diff_pair *pair, unsigned which, const granule *where,
                                     const uint8_t *raw) {
    const km_reader *reader = pair->images[which].reader;
    uint8_t hash[KM_HASH_SIZE];
    km_format_entry entry;
    km_reader_entry(reader, where->offset / pair->granule, &entry);
    if (entry.raw_length != where->length) {
        return KM_DIFF_UNKNOWN;
    }
    km_hash(raw, where->length, reader->facts.seed, hash);
    if (memcmp(hash, entry.hash, KM_HASH_SIZE) == 0) {
        return KM_DIFF_SAME;
    }
    return pair->unit == pair->granule ? KM_DIFF_DIFFERENT : KM_DIFF_UNKNOWN;
}

/* Which of the two is the only snapshot? */
static bool one_snapshot(const km_diff_pair *pair, unsigned *which) {
    *which = pair->images[0].reader == NULL;
    return pair->images[*which].reader != NULL && pair->images[!*which].reader == NULL;
}

static km_status compare_granule(const km_diff_pair *pair, const km_diff_space *space,
                                 const granule *where, const bool hole[2], uint8_t *bits) {
    unsigned snapshot = 1;
    km_diff_verdict verdict = pair->related ? chunk_by_index(pair, where->offset) : KM_DIFF_UNKNOWN;
    const bool by_hash = one_snapshot(pair, &snapshot);
    const unsigned other = !snapshot; /* read first: it may spare the snapshot's unpacking */
    km_status status = KM_OK;
    if (verdict == KM_DIFF_UNKNOWN) {
        status = read_granule(pair, space, other, where, hole[other]);
        if (status == KM_OK && by_hash) {
            verdict = chunk_by_hash(pair, snapshot, where, space->raw[other]);
        }
    }
    if (status == KM_OK && verdict == KM_DIFF_UNKNOWN) {
        status = read_granule(pair, space, snapshot, where, hole[snapshot]);
    }
    if (status != KM_OK || verdict == KM_DIFF_SAME) {
        return status;
    }
    if (verdict == KM_DIFF_DIFFERENT) {
        mark(pair, where, 0, bits); /* the unit is all of it */
    } else {
        compare_bytes(pair, where, space->raw[0], space->raw[1], bits);
    }
    return KM_OK;
}

km_status km_diff_block(const km_diff_pair *pair, const km_diff_space *space, uint64_t number,
                        const bool hole[2], uint8_t *bits) {
    const uint32_t length = km_diff_block_length(pair, number);
    for (uint32_t at = 0; at < length;) {
        const uint32_t left = length - at;
        const granule where = {
            .offset = number * pair->block + at,
            .length = left < pair->granule ? left : pair->granule,
            .in_block = at,
        };
        const km_status status = compare_granule(pair, space, &where, hole, bits);
        if (status != KM_OK) {
            return status;
        }
        at += where.length;
    }
    return KM_OK;
}
