/*
 * restore_image.c - images to restore, and files of snapshots made of them.
 */
#include "restore_image.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scratch.h"

#define MEMBERS_MOST 4096u

image image_make(const char *pattern, size_t size) {
    image made = {.bytes = calloc(1, size + 1), .size = size};
    assert_non_null(made.bytes);
    for (size_t at = 0, chunk = 0; at < size; at += IMAGE_CHUNK, chunk++) {
        const size_t length = size - at < IMAGE_CHUNK ? size - at : IMAGE_CHUNK;
        const char kind = pattern[chunk % strlen(pattern)];
        if (kind == 't') {
            snapshot_text(made.bytes + at, length, (unsigned)chunk + 1);
        } else if (kind == 'r') {
            snapshot_noise(made.bytes + at, length, (unsigned)chunk + 1);
        }
    }
    return made;
}

void image_free(image *one) {
    free(one->bytes);
    one->bytes = NULL;
}

void image_snapshot(const image *one, const char *path, const snapshot_plan *plan) {
    const snapshot_plan packed = {.level = 1};
    size_t length = 0;
    unsigned char *snapshot =
        snapshot_build(one->bytes, one->size, plan != NULL ? plan : &packed, &length);
    scratch_write(path, snapshot, length);
    free(snapshot);
}

unsigned char *image_load(const char *path, size_t *length) {
    const int64_t size = scratch_size(path);
    assert_true(size >= 0);
    unsigned char *bytes = malloc((size_t)size + 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(bytes);
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    *length = (size_t)size;
    return bytes;
}

size_t image_member(const char *path, size_t number) {
    size_t length = 0;
    unsigned char *snapshot = image_load(path, &length);
    snapshot_member *members = calloc(MEMBERS_MOST, sizeof *members);
    assert_non_null(members);
    assert_true(number < snapshot_members(snapshot, length, members, MEMBERS_MOST));
    const size_t offset = members[number].offset;
    free(members);
    free(snapshot);
    return offset;
}

void image_damage(const char *path, size_t offset) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    const int byte = getc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    assert_int_equal(putc(byte ^ 4, file), byte ^ 4);
    assert_int_equal(fclose(file), 0);
}

bool image_is_file(const image *one, size_t offset, size_t length, const char *path) {
    return scratch_size(path) == (int64_t)length &&
           scratch_equals(path, one->bytes + offset, length);
}

/* It may be called in threads, which must not fail a test. */
km_status image_write(const void *from, size_t length, void *arg) {
    image_outlet *outlet = arg;
    if (outlet->room != 0 && length > outlet->room - outlet->size) {
        return KM_E_NO_SPACE;
    }
    unsigned char *more = realloc(outlet->bytes, outlet->size + length + 1);
    if (more == NULL) {
        return KM_E_NO_MEMORY;
    }
    memcpy(more + outlet->size, from, length);
    outlet->bytes = more;
    outlet->size += length;
    return KM_OK;
}

void image_outlet_close(image_outlet *outlet) {
    free(outlet->bytes);
    outlet->bytes = NULL;
    outlet->size = 0;
}
