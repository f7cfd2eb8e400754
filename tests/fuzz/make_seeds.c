/*
 * make_seeds.c - the inputs that fuzzing begins with: small snapshots of every kind.
 *
 *   make_seeds DIRECTORY     fills DIRECTORY/snapshots and DIRECTORY/chunks, which are there
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/repair.h"
#include "support/snapshot_builder.h"

#define KIB ((size_t)1 << 10)
#define MEMBERS_MOST 64u

typedef struct seed {
    const char *name;
    size_t size;
    enum { ZEROS, SPOTS, TEXT, NOISE } image;
    snapshot_plan plan;
} seed;

static const seed seeds[] = {
    {"empty", 0, ZEROS, {.level = 1}},
    {"byte", 1, TEXT, {.level = 1}},
    {"few", 300, TEXT, {.level = 1, .since = 7}},
    {"stored", 300, TEXT, {0}},
    {"noise", 700, NOISE, {.level = 1, .seed = 5}},
    {"chunk", 64 * KIB, SPOTS, {.level = 1, .seed = 1}},
    {"chunks", 128 * KIB + 100, SPOTS, {.level = 1, .seed = 2, .id = 3, .since = 4}},
    {"zeros", 192 * KIB, ZEROS, {.level = 1}},
    {"stream",
     64 * KIB + 1,
     SPOTS,
     {.level = 1, .total_unknown = true, .source = KM_FORMAT_STREAM}},
    {"segment",
     128 * KIB,
     SPOTS,
     {.level = 1, .source = KM_FORMAT_SEGMENT, .type = "grid", .type_version = 3}},
    {"wide", 300 * KIB, SPOTS, {.level = 1, .chunk_shift = 18}},
    {"large", 1100 * KIB, SPOTS, {.level = 1, .seed = 9}}, /* so that a map of it is lazy */
};

static unsigned char *make_image(const seed *of) {
    unsigned char *image = fuzz_allocate(of->size);
    memset(image, 0, of->size);
    if (of->image == TEXT) {
        snapshot_text(image, of->size, 1);
    } else if (of->image == NOISE) {
        snapshot_noise(image, of->size, 1);
    }
    for (size_t at = 40 * KIB; of->image == SPOTS && at + 60 < of->size; at += 170 * KIB) {
        snapshot_text(image + at, 60, (unsigned)at);
    }
    return image;
}

static void save(const char *directory, const char *kind, const char *name, unsigned number,
                 const uint8_t options[FUZZ_OPTIONS], const void *bytes, size_t length) {
    char path[FUZZ_PATH];
    (void)snprintf(path, sizeof path, "%s/%s/%s-%u", directory, kind, name, number);
    FILE *file = fopen(path, "wb");
    fuzz_check(file != NULL);
    fuzz_check(fwrite(options, 1, FUZZ_OPTIONS, file) == FUZZ_OPTIONS);
    fuzz_check(fwrite(bytes, 1, length, file) == length);
    fuzz_check(fclose(file) == 0);
}

static void save_chunks(const char *directory, const seed *of, const unsigned char *snapshot,
                        size_t length) {
    snapshot_member members[MEMBERS_MOST];
    const size_t count = snapshot_members(snapshot, length, members, MEMBERS_MOST);
    for (size_t i = 0; i < count && members[i].kind == KM_MEMBER_DATA; i++) {
        const unsigned char *head = snapshot + members[i].offset;
        const size_t head_size = km_format_head_size(i);
        uint8_t options[FUZZ_OPTIONS] = {0};
        options[0] = (uint8_t)((head[18] & 3u) | 0xcu);
        memcpy(options + 1, head + 20, 3);
        save(directory, "chunks", of->name, (unsigned)i, options, head + head_size,
             members[i].length - head_size - KM_FORMAT_TRAILER_SIZE);
    }
}

static void save_seed(const char *directory, const seed *of) {
    size_t length = 0;
    unsigned char *image = make_image(of);
    unsigned char *snapshot = snapshot_build(image, of->size, &of->plan, &length);
    for (unsigned how = FUZZ_AS_IS; how <= FUZZ_REBUILD; how++) {
        const uint8_t options[FUZZ_OPTIONS] = {
            (uint8_t)how, (uint8_t)(1u << (2 * how)), 0, 0, 100, 0, 5, 0};
        save(directory, "snapshots", of->name, how, options, snapshot, length);
    }
    save_chunks(directory, of, snapshot, length);
    free(snapshot);
    free(image);
}

int main(int count, char **arguments) {
    if (count != 2) {
        (void)fputs("usage: make_seeds DIRECTORY\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        save_seed(arguments[1], &seeds[i]);
    }
    return 0;
}
