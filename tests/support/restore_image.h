/*
 * restore_image.h - images to restore, and files of snapshots made of them.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_RESTORE_IMAGE_H
#define TESTS_RESTORE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "support/snapshot_builder.h"

/* The smallest chunks there are. */
#define IMAGE_CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)

typedef struct image {
    unsigned char *bytes;
    size_t size;
} image;

/*
 * `size` bytes; a letter of `pattern` for each chunk, over and over: 'z' zeros, 't' packs well, 'r'
 * does not pack.
 */
image image_make(const char *pattern, size_t size);
void image_free(image *one);

/* Writes a snapshot of it, at level 1, to the file; `plan` NULL: {0} but for the level. */
void image_snapshot(const image *one, const char *path, const snapshot_plan *plan);

/* Where member `number` of the undamaged snapshot begins: data members first. */
size_t image_member(const char *path, size_t number);

/* Turns one bit of the file. */
void image_damage(const char *path, size_t offset);

/* Is the file exactly these bytes of the image? */
bool image_is_file(const image *one, size_t offset, size_t length, const char *path);

/* A file, read whole; malloc'ed. */
unsigned char *image_load(const char *path, size_t *length);

/* Memory as a km_write_function. */
typedef struct image_outlet {
    unsigned char *bytes;
    size_t size;
    size_t room; /* it has, and then fails with KM_E_NO_SPACE; 0: as much as comes */
} image_outlet;

km_status image_write(const void *from, size_t length, void *arg);
void image_outlet_close(image_outlet *outlet);

#endif /* TESTS_RESTORE_IMAGE_H */
