/*
 * snapshot_format.h - the bytes of snapshot_format.md, made and read; nothing else knows offsets.
 *
 * Pure functions on memory: no file, no allocation. A _read function says false unless every byte
 * is as the format has it, and then leaves its results alone; what it gives is consistent in
 * itself.
 */
#ifndef KM_SNAPSHOT_FORMAT_H
#define KM_SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checksum.h"

#define KM_FORMAT_VERSION 1u
#define KM_FORMAT_HASH_XXH3_128 1u
#define KM_FORMAT_ID_SIZE 16u
#define KM_FORMAT_TYPE_SIZE 32u

#define KM_CHUNK_SHIFT_MIN 16u
#define KM_CHUNK_SHIFT_MAX 24u
#define KM_CHUNK_SHIFT_DEFAULT 18u

/* No image is larger, since no file is; so no chunk's number reaches KM_FORMAT_CHUNKS_MAX, and
 * offsets in the image and in the snapshot can be added up without a thought of overflow. */
#define KM_FORMAT_TOTAL_MAX ((uint64_t)INT64_MAX)
#define KM_FORMAT_CHUNKS_MAX ((uint64_t)1 << (63 - KM_CHUNK_SHIFT_MIN))

/* Flags of a chunk. */
#define KM_CHUNK_STORED 1u
#define KM_CHUNK_ZEROS 2u

#define KM_FORMAT_HEAD_SIZE 52u   /* of a data member */
#define KM_FORMAT_FACTS_SIZE 112u /* more in member 0 */
#define KM_FORMAT_FIRST_HEAD_SIZE (KM_FORMAT_HEAD_SIZE + KM_FORMAT_FACTS_SIZE)
#define KM_FORMAT_PREFIX_SIZE 20u     /* of any member: enough for km_format_kind */
#define KM_FORMAT_TRAILER_SIZE 8u     /* CRC-32 and raw length, part of the packed bytes */
#define KM_FORMAT_EMPTY_BODY_SIZE 10u /* what an index or footer member has behind its head */
#define KM_FORMAT_INDEX_ENTRIES 454u
#define KM_FORMAT_ENTRY_SIZE 36u
#define KM_FORMAT_INDEX_SIZE(entries) (50u + KM_FORMAT_ENTRY_SIZE * (entries))
#define KM_FORMAT_INDEX_SIZE_MAX KM_FORMAT_INDEX_SIZE(KM_FORMAT_INDEX_ENTRIES)
#define KM_FORMAT_FOOTER_SIZE 98u

typedef enum km_member_kind {
    KM_MEMBER_DATA = 1,
    KM_MEMBER_INDEX = 2,
    KM_MEMBER_FOOTER = 3,
} km_member_kind;

typedef enum km_source_kind { /* values of the format, and of km_snapshot_facts */
                              KM_FORMAT_FILE = 1,
                              KM_FORMAT_SEGMENT = 2,
                              KM_FORMAT_STREAM = 3,
} km_source_kind;

typedef struct km_format_facts {
    uint8_t id[KM_FORMAT_ID_SIZE];
    uint8_t since[KM_FORMAT_ID_SIZE]; /* zeros: none */
    uint64_t total;                   /* UINT64_MAX: not known yet */
    uint64_t made_ns;
    uint64_t seed;
    uint8_t chunk_shift;
    uint8_t hash_kind;
    uint8_t source;
    uint8_t level;
    uint32_t type_version;
    char type[KM_FORMAT_TYPE_SIZE]; /* zero-padded, at least one zero */
    uint64_t volume;
    uint64_t number;
} km_format_facts;

typedef struct km_format_entry {
    uint32_t packed_length;
    uint32_t raw_length;
    uint8_t flags; /* KM_CHUNK_* */
    uint64_t sum;  /* of the packed bytes */
    uint8_t hash[KM_HASH_SIZE];
} km_format_entry;

typedef struct km_format_footer {
    uint8_t chunk_shift;
    uint8_t hash_kind;
    uint64_t total;
    uint64_t chunks;
    uint64_t index_offset;
    uint64_t index_sum;
    uint8_t id[KM_FORMAT_ID_SIZE];
} km_format_footer;

/* ---- Numbers that follow from others ---- */

/* Chunks of an image; 1 for an empty one. */
uint64_t km_format_chunks(uint64_t total, uint8_t chunk_shift);
/* Bytes of chunk `chunk`, which is one of them. */
uint32_t km_format_raw_length(uint64_t total, uint8_t chunk_shift, uint64_t chunk);
/* The most that a chunk of this raw length is packed to: stored form and trailer. */
uint32_t km_format_packed_most(uint32_t raw_length);
/* Bytes of the head of data member `chunk`. */
size_t km_format_head_size(uint64_t chunk);
/* Bytes of all index members; UINT64_MAX if there cannot be so many chunks. */
uint64_t km_format_index_size(uint64_t chunks);

/* ---- Making ---- */

/* The head of data member `chunk`; facts for chunk 0 alone. km_format_head_size bytes. */
void km_format_head_write(uint64_t chunk, const km_format_entry *entry,
                          const km_format_facts *facts, uint8_t *to);
/* CRC-32 and raw length. */
void km_format_trailer_write(uint32_t crc, uint32_t raw_length, uint8_t to[KM_FORMAT_TRAILER_SIZE]);
void km_format_entry_write(const km_format_entry *entry, uint8_t to[KM_FORMAT_ENTRY_SIZE]);
/* An index member of `count` entries, written one after another at `entries`. */
void km_format_index_write(uint64_t first, uint32_t count, const uint8_t *entries, uint8_t *to);
void km_format_footer_write(const km_format_footer *footer, uint8_t to[KM_FORMAT_FOOTER_SIZE]);

/* ---- Reading ---- */

/* Of the first KM_FORMAT_PREFIX_SIZE bytes of a member: its kind, and the length of its head, up to
 * and with the extra field. false: no member of ours. A cheap look; the sums come later. */
bool km_format_kind(const uint8_t *prefix, km_member_kind *kind, size_t *head_size);

/*
 * A data member's head, all km_format_head_size(*chunk) bytes of it, which `length` must be. The
 * hash in *entry is zeros: only the index knows it. *facts is written for chunk 0 alone. Raw and
 * packed length are possible ones: raw at most 2^24, packed at most km_format_packed_most, exactly
 * that if stored, less if zeros; chunk 0's raw length fits its facts, another's is not 0. The
 * number is less than KM_FORMAT_CHUNKS_MAX; whether it is one of the snapshot's the caller knows.
 */
bool km_format_head_read(const uint8_t *head, size_t length, uint64_t *chunk,
                         km_format_entry *entry, km_format_facts *facts);
void km_format_trailer_read(const uint8_t *trailer, uint32_t *crc, uint32_t *raw_length);
bool km_format_entry_read(const uint8_t from[KM_FORMAT_ENTRY_SIZE], km_format_entry *entry);
/* A whole index member of `length` bytes; *entries points into it. The entries are not looked at,
 * whether they are this snapshot's the caller knows. */
bool km_format_index_read(const uint8_t *member, size_t length, uint64_t *first, uint32_t *count,
                          const uint8_t **entries);
/* The numbers agree among themselves: chunks with total and chunk size, the index is not before the
 * end of what so many chunks need. */
bool km_format_footer_read(const uint8_t from[KM_FORMAT_FOOTER_SIZE], km_format_footer *footer);

#endif /* KM_SNAPSHOT_FORMAT_H */
