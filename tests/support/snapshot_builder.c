/*
 * snapshot_builder.c - snapshots made in memory from the core's own pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot_builder.h"

#include "chunk.h"
#include "codec.h"

#define LONGEST_PIECE ((size_t)5000)

typedef struct buffer {
    unsigned char *bytes;
    size_t length;
} buffer;

/* Room for `length` more bytes at the end, zeroed. */
static unsigned char *append(buffer *to, size_t length) {
    unsigned char *grown = realloc(to->bytes, to->length + length);
    assert_non_null(grown);
    to->bytes = grown;
    to->length += length;
    memset(grown + to->length - length, 0, length);
    return grown + to->length - length;
}

static km_format_facts facts_of(const snapshot_plan *plan, size_t size) {
    km_format_facts facts = {
        .total = plan->total_unknown ? UINT64_MAX : size,
        .made_ns = UINT64_C(1700000000123456789),
        .seed = plan->seed,
        .chunk_shift = plan->chunk_shift != 0 ? plan->chunk_shift : KM_CHUNK_SHIFT_MIN,
        .hash_kind = KM_FORMAT_HASH_XXH3_128,
        .source = (uint8_t)(plan->source != 0 ? plan->source : KM_FORMAT_FILE),
        .level = (uint8_t)plan->level,
        .type_version = plan->type_version,
        .volume = 2049,
        .number = 131072,
    };
    memset(facts.id, plan->id, sizeof facts.id);
    memset(facts.since, plan->since, sizeof facts.since);
    if (plan->type != NULL) {
        assert_true(strlen(plan->type) < sizeof facts.type);
        memcpy(facts.type, plan->type, strlen(plan->type));
    }
    return facts;
}

static void append_chunk(buffer *to, km_packer *packer, uint64_t chunk, const void *raw,
                         uint32_t raw_length, const km_format_facts *facts,
                         km_format_entry *entry) {
    const size_t head_size = km_format_head_size(chunk);
    const size_t room = km_format_packed_most(raw_length);
    unsigned char *member = append(to, head_size + room);
    assert_int_equal(km_pack(packer, raw, raw_length, member + head_size, entry), KM_OK);
    km_hash(raw, raw_length, facts->seed, entry->hash);
    km_format_head_write(chunk, entry, facts, member);
    to->length -= room - entry->packed_length;
}

static void append_index(buffer *to, const uint8_t *entries, uint64_t chunks) {
    for (uint64_t first = 0; first < chunks; first += KM_FORMAT_INDEX_ENTRIES) {
        const uint64_t left = chunks - first;
        const uint32_t count =
            left < KM_FORMAT_INDEX_ENTRIES ? (uint32_t)left : KM_FORMAT_INDEX_ENTRIES;
        km_format_index_write(first, count, entries + first * KM_FORMAT_ENTRY_SIZE,
                              append(to, KM_FORMAT_INDEX_SIZE(count)));
    }
}

static void append_footer(buffer *to, const km_format_facts *facts, size_t size, uint64_t chunks,
                          size_t index_offset) {
    km_format_footer footer = {
        .chunk_shift = facts->chunk_shift,
        .hash_kind = facts->hash_kind,
        .total = size,
        .chunks = chunks,
        .index_offset = index_offset,
        .index_sum = km_checksum(to->bytes + index_offset, to->length - index_offset),
    };
    memcpy(footer.id, facts->id, sizeof footer.id);
    km_format_footer_write(&footer, append(to, KM_FORMAT_FOOTER_SIZE));
}

unsigned char *snapshot_build(const void *image, size_t size, const snapshot_plan *plan,
                              size_t *length) {
    static const snapshot_plan plain = {0};
    snapshot_plan known = plan != NULL ? *plan : plain;
    known.level = km_codecs()[0] != NULL ? known.level : 0;
    const km_format_facts facts = facts_of(&known, size);
    const uint64_t chunks = km_format_chunks(size, facts.chunk_shift);
    uint8_t *entries = malloc((size_t)chunks * KM_FORMAT_ENTRY_SIZE);
    km_packer *packer = NULL;
    buffer made = {0};
    assert_non_null(entries);
    assert_int_equal(km_packer_make(known.level, &packer), KM_OK);
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        const char *raw = (const char *)image + (chunk << facts.chunk_shift);
        km_format_entry entry = {0};
        append_chunk(&made, packer, chunk, raw,
                     km_format_raw_length(size, facts.chunk_shift, chunk), &facts, &entry);
        km_format_entry_write(&entry, entries + chunk * KM_FORMAT_ENTRY_SIZE);
    }
    km_packer_free(packer);
    const size_t index_offset = made.length;
    append_index(&made, entries, chunks);
    free(entries);
    append_footer(&made, &facts, size, chunks, index_offset);
    *length = made.length;
    return made.bytes;
}

/* Heads have sums: one that is whole says how long its member is. */
static size_t member_length(const unsigned char *member, size_t left, km_member_kind kind,
                            size_t head_size) {
    uint64_t chunk = 0;
    km_format_entry entry;
    km_format_facts facts;
    if (kind != KM_MEMBER_DATA) {
        return head_size + 10;
    }
    assert_true(head_size <= left);
    assert_true(km_format_head_read(member, head_size, &chunk, &entry, &facts));
    return head_size + entry.packed_length;
}

size_t snapshot_members(const unsigned char *snapshot, size_t length, snapshot_member *members,
                        size_t room) {
    size_t count = 0;
    for (size_t at = 0; at < length; count++) {
        km_member_kind kind = KM_MEMBER_DATA;
        size_t head_size = 0;
        assert_true(count < room && length - at > KM_FORMAT_PREFIX_SIZE);
        assert_true(km_format_kind(snapshot + at, &kind, &head_size));
        members[count] = (snapshot_member){
            .offset = at,
            .length = member_length(snapshot + at, length - at, kind, head_size),
            .kind = kind,
        };
        assert_true(members[count].length <= length - at);
        at += members[count].length;
    }
    return count;
}

void snapshot_put(unsigned char *at, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

uint64_t snapshot_get(const unsigned char *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static void seal(unsigned char *member, size_t at) {
    snapshot_put(member + at, 8, km_checksum(member, at));
}

void snapshot_seal(unsigned char *snapshot, const snapshot_member *members, size_t count) {
    unsigned char *footer = snapshot + members[count - 1].offset;
    unsigned char *index = footer;
    for (size_t i = 0; i < count; i++) {
        unsigned char *member = snapshot + members[i].offset;
        if (members[i].kind == KM_MEMBER_DATA) {
            seal(member, km_format_head_size(i) - 8);
        } else if (members[i].kind == KM_MEMBER_INDEX) {
            seal(member, members[i].length - 18);
            index = member < index ? member : index;
        }
    }
    snapshot_put(footer + 48, 8, km_checksum(index, (size_t)(footer - index)));
    seal(footer, 72);
}

/* ---- Bytes --------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

void snapshot_text(void *to, size_t size, unsigned seed) {
    static const char *const words[] = {"page ", "view ", "map ", "section ", "commit ", "the ",
                                        "of ",   "file ", "and ", "lock ",    "handle ", "\n"};
    uint32_t state = seed;
    char *text = to;
    size_t at = 0;
    while (at < size) {
        const char *word = words[next_random(&state) % (sizeof words / sizeof words[0])];
        while (*word != '\0' && at < size) {
            text[at++] = *word++;
        }
    }
}

void snapshot_noise(void *to, size_t size, unsigned seed) {
    uint32_t state = seed;
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)to)[i] = (unsigned char)next_random(&state);
    }
}

/* ---- As a stream --------------------------------------------------------------------------- */

km_status snapshot_stream_read(void *to, size_t length, size_t *done, void *arg) {
    snapshot_stream *stream = arg;
    const size_t left = stream->length - stream->at;
    size_t step = 1 + (stream->at * 7 + 1000) % LONGEST_PIECE;
    step = step < length ? step : length;
    step = step < left ? step : left;
    memcpy(to, stream->bytes + stream->at, step);
    stream->at += step;
    *done = step;
    return KM_OK;
}
