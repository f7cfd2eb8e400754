/*
 * snapshot_builder.h - snapshots made in memory from the core's own pieces, without files, threads
 * or chance: the same bytes every time.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_SNAPSHOT_BUILDER_H
#define TESTS_SNAPSHOT_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_format.h"

typedef struct snapshot_plan {
    uint8_t chunk_shift;   /* 0: KM_CHUNK_SHIFT_MIN */
    int level;             /* 0: stored; else the default level where nothing packs */
    km_source_kind source; /* 0: a file */
    bool total_unknown;    /* the facts do not tell the total */
    uint8_t id;            /* all bytes of its id */
    uint8_t since;         /* and of the one it was made since */
    uint64_t seed;         /* of the hashes */
    const char *type;      /* NULL: none */
    uint32_t type_version;
} snapshot_plan;

/* A snapshot of `size` bytes at `image`; malloc'ed. `plan` NULL: {0}. */
unsigned char *snapshot_build(const void *image, size_t size, const snapshot_plan *plan,
                              size_t *length);

typedef struct snapshot_member {
    size_t offset, length; /* head, body and trailer */
    km_member_kind kind;
} snapshot_member;

/* Where the members of an undamaged snapshot are; at most `room` of them. */
size_t snapshot_members(const unsigned char *snapshot, size_t length, snapshot_member *members,
                        size_t room);

/* Makes the sums right again of the heads, of the index and of the footer, after something in them
 * was changed: a snapshot that lies with right sums. `members` are those it had before. */
void snapshot_seal(unsigned char *snapshot, const snapshot_member *members, size_t count);

/* Little-endian numbers in it. */
void snapshot_put(unsigned char *at, size_t size, uint64_t value);
uint64_t snapshot_get(const unsigned char *at, size_t size);

/* Bytes to make snapshots of: such as pack to a few percent, and such as do not pack at all. */
void snapshot_text(void *to, size_t size, unsigned seed);
void snapshot_noise(void *to, size_t size, unsigned seed);

/* For km_read_function: a stream of bytes in memory, given out in pieces of uneven length. */
typedef struct snapshot_stream {
    const unsigned char *bytes;
    size_t length;
    size_t at;
} snapshot_stream;

km_status snapshot_stream_read(void *to, size_t length, size_t *done, void *arg);

#endif /* TESTS_SNAPSHOT_BUILDER_H */
