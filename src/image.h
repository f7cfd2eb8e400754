/*
 * image.h - the bytes of an image, piece by piece: of a plain file, or out of a snapshot.
 */
#ifndef KM_IMAGE_H
#define KM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "chunk.h"
#include "input.h"
#include "snapshot_reader.h"

typedef struct km_image {
    const char *path;
    km_reader *reader; /* of a snapshot; NULL: a plain file */
    km_input input;    /* a plain file */
    uint64_t size;     /* of the image */
    /* The run of data that was found last in a plain file; before it, from where it was looked for,
     * is a hole. */
    uint64_t data_start, data_end;
} km_image;

/* What reading an image takes; each thread has its own, for each image. */
typedef struct km_image_space {
    km_unpacker *unpacker;
    uint8_t *member;
} km_image_space;

/*
 * Opens `path`: if it looks like a snapshot (km_is_snapshot), and not `plain`, as one, and then it
 * has to be whole. After a success it is closed with km_image_close.
 */
km_status km_image_open(km_image *image, const char *path, bool plain);
void km_image_close(km_image *image); /* harmless twice, and for one of zeros */

/* KM_E_TRUNCATED if the file has been cut short since. */
km_status km_image_check(const km_image *image);

/* The chunk size of a snapshot; 0: a plain file. */
uint32_t km_image_chunk_size(const km_image *image);

/*
 * Is everything in [offset, offset + length), which is inside, known to be zeros without being
 * read: a hole, or chunks that say so? One thread at a time asks; of a plain file with rising
 * offsets.
 */
km_status km_image_is_hole(km_image *image, uint64_t offset, uint64_t length, bool *is_hole);

/* Where, at or behind `offset`, a plain file may have something else than the hole that the last
 * km_image_is_hole has seen; `offset` itself of a snapshot. */
uint64_t km_image_next_data(const km_image *image, uint64_t offset);

km_status km_image_space_make(const km_image *image, km_image_space *space);
void km_image_space_free(km_image_space *space); /* harmless for one of zeros */

/*
 * Reads [offset, offset + length), which is inside and begins with a chunk. `to` has room for the
 * whole chunks in it: those are unpacked there. From many threads at once.
 */
km_status km_image_read(const km_image *image, const km_image_space *space, uint64_t offset,
                        uint32_t length, uint8_t *to);

#endif /* KM_IMAGE_H */
