/*
 * diff_block.h - one block of two images, compared: what differs in it, unit by unit.
 */
#ifndef KM_DIFF_BLOCK_H
#define KM_DIFF_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "image.h"

typedef struct km_diff_pair {
    km_image images[2]; /* A and B */
    uint64_t common;    /* bytes that both have: the blocks lie in these */
    uint32_t unit;      /* what differs is told in units of this: a power of two, at most */
    uint32_t block;     /* the size of a block, a power of two and a multiple of */
    uint32_t granule;   /* the larger chunk size; of two plain files the block's */
    bool related;       /* two snapshots whose hashes can be compared */
} km_diff_pair;

/* Block, granule and relation of two open images. `unit` 0: whole chunks. */
void km_diff_pair_arrange(km_diff_pair *pair, uint32_t unit);

/* What a thread needs; see km_image_space. */
typedef struct km_diff_space {
    km_image_space images[2];
    uint8_t *raw[2]; /* a granule each */
} km_diff_space;

km_status km_diff_space_make(const km_diff_pair *pair, km_diff_space *space);
void km_diff_space_free(km_diff_space *space);

/* Bytes of block `number`: less than a whole one only where an image ends. */
uint32_t km_diff_block_length(const km_diff_pair *pair, uint64_t number);

/* What the hashes of two snapshots alone say of a block. */
typedef enum km_diff_verdict {
    KM_DIFF_SAME,
    KM_DIFF_DIFFERENT, /* every unit of it */
    KM_DIFF_UNKNOWN,   /* look at the bytes */
} km_diff_verdict;

km_diff_verdict km_diff_by_index(const km_diff_pair *pair, uint64_t number);

/*
 * Compares block `number`; bit n of `bits` is set if unit n differs, the others stay. `hole`: is
 * the whole block known to be zeros, in A, in B?
 */
km_status km_diff_block(const km_diff_pair *pair, const km_diff_space *space, uint64_t number,
                        const bool hole[2], uint8_t *bits);

#endif /* KM_DIFF_BLOCK_H */
