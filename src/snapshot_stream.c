/*
 * snapshot_stream.c - a snapshot that arrives in a stream: member after member, and at the end
 * everything that could not be known before.
 *
 * Nobody can seek back, so what the index and the footer will have to agree with is noted as it
 * comes: of each chunk what its head said, of the whole its length and where the index began.
 */
#include "snapshot_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "chunk.h"
#include "status.h"

#define BUFFER_SIZE ((size_t)64 << 10)

/* What was noted of the chunks lies in blocks that never move, each twice as large as the one
 * before: hashes are told while it grows. */
#define FIRST_BLOCK_SHIFT 10u
#define BLOCKS (64u - KM_CHUNK_SHIFT_MIN)

/* A chunk that has come. `told` and `told_hash` belong to who tells, the rest to the reader. */
typedef struct came {
    uint64_t sum;
    uint32_t packed_length;
    uint32_t raw_length;
    uint8_t flags;
    bool told;
    uint8_t told_hash[KM_HASH_SIZE];
    uint8_t index_hash[KM_HASH_SIZE];
} came;

struct km_stream {
    km_read_function read;
    void *arg;
    uint8_t *buffer; /* BUFFER_SIZE; the member at hand if that is an index or a footer */
    size_t buffered; /* bytes in it, */
    size_t taken;    /* of which have been used */
    bool ended;      /* there is no more to read */
    uint64_t offset; /* bytes used so far */
    uint64_t member; /* where the member at hand begins */
    km_format_facts facts;
    km_format_footer footer;
    km_format_entry first; /* of chunk 0, whose head was read at the begin */
    bool whole;            /* footer and end have been seen */
    uint64_t chunks;       /* that have come */
    uint64_t total;        /* bytes of the image that have come */
    came *blocks[BLOCKS];
};

/* ---- Bytes --------------------------------------------------------------------------------- */

static km_status fail_short(const km_stream *stream) {
    return km_fail(KM_E_CORRUPT,
                   "the stream ends after %" PRIu64 " bytes, before the snapshot's end",
                   stream->offset);
}

static km_status fail_member(const km_stream *stream, const char *what) {
    return km_fail(KM_E_CORRUPT, "the stream is damaged in the member from byte %" PRIu64 " on: %s",
                   stream->member, what);
}

/* Up to `length` bytes, 0 only at the end. */
static km_status read_some(km_stream *stream, void *to, size_t length, size_t *done) {
    size_t got = 0;
    const uint64_t before = stream->offset + (stream->buffered - stream->taken);
    if (!stream->ended) {
        km_status status = stream->read(to, length, &got, stream->arg);
        if (status != KM_OK) {
            return km_fail(status, "cannot read the snapshot's stream after %" PRIu64 " bytes: %s",
                           before, km_status_meaning(status));
        }
        if (got > length) {
            return km_fail(KM_E_INVALID,
                           "the function that reads the stream gave %zu bytes; asked for were %zu",
                           got, length);
        }
        stream->ended = got == 0;
    }
    *done = got;
    return KM_OK;
}

/* What is left in the buffer is used first; large rests go past it. */
static km_status read_exactly(km_stream *stream, void *to, size_t length) {
    uint8_t *rest = to;
    while (length > 0) {
        size_t ready = stream->buffered - stream->taken;
        if (ready == 0) {
            const bool directly = length >= BUFFER_SIZE;
            size_t done = 0;
            km_status status = directly ? read_some(stream, rest, length, &done)
                                        : read_some(stream, stream->buffer, BUFFER_SIZE, &done);
            if (status != KM_OK) {
                return status;
            }
            if (done == 0) {
                return fail_short(stream);
            }
            if (directly) {
                rest += done;
                length -= done;
                stream->offset += done;
                continue;
            }
            stream->buffered = done;
            stream->taken = 0;
            ready = done;
        }
        const size_t step = ready < length ? ready : length;
        memcpy(rest, stream->buffer + stream->taken, step);
        stream->taken += step;
        stream->offset += step;
        rest += step;
        length -= step;
    }
    return KM_OK;
}

/* Behind the footer there is nothing. */
static km_status expect_end(km_stream *stream) {
    uint8_t byte = 0;
    size_t done = stream->buffered - stream->taken;
    km_status status = done > 0 ? KM_OK : read_some(stream, &byte, 1, &done);
    if (status != KM_OK) {
        return status;
    }
    return done == 0 ? KM_OK
                     : km_fail(KM_E_CORRUPT,
                               "the stream goes on behind the snapshot's end at byte %" PRIu64,
                               stream->offset);
}

/* ---- What has come ------------------------------------------------------------------------- */

/* Block 0 has the chunks up to 2^10, block 1 the 2^11 behind them... */
static void find_block(uint64_t chunk, unsigned *block, uint64_t *at) {
    const uint64_t shifted = chunk + ((uint64_t)1 << FIRST_BLOCK_SHIFT);
    *block = 0;
    while (shifted >> (FIRST_BLOCK_SHIFT + 1 + *block) != 0) {
        ++*block;
    }
    *at = shifted - ((uint64_t)1 << (FIRST_BLOCK_SHIFT + *block));
}

/* Of a chunk that has come. */
static came *find(const km_stream *stream, uint64_t chunk) {
    unsigned block = 0;
    uint64_t at = 0;
    find_block(chunk, &block, &at);
    return stream->blocks[block] + at;
}

static km_status note(km_stream *stream, const km_format_entry *entry) {
    unsigned block = 0;
    uint64_t at = 0;
    find_block(stream->chunks, &block, &at);
    const uint64_t length = (uint64_t)1 << (FIRST_BLOCK_SHIFT + block);
    if (at == 0 && length <= SIZE_MAX / sizeof(came)) {
        stream->blocks[block] = malloc((size_t)length * sizeof(came));
    }
    if (stream->blocks[block] == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to note what has come of %" PRIu64 " chunks",
                       stream->chunks);
    }
    stream->blocks[block][at] = (came){
        .sum = entry->sum,
        .packed_length = entry->packed_length,
        .raw_length = entry->raw_length,
        .flags = entry->flags,
    };
    stream->total += entry->raw_length;
    stream->chunks++;
    return KM_OK;
}

/* ---- Data members -------------------------------------------------------------------------- */

/* The next member's prefix, and the rest of its head behind it. */
static km_status read_head(km_stream *stream, uint8_t *head, size_t room, km_member_kind *kind,
                           size_t *size) {
    stream->member = stream->offset;
    km_status status = read_exactly(stream, head, KM_FORMAT_PREFIX_SIZE);
    if (status != KM_OK) {
        return status;
    }
    if (!km_format_kind(head, kind, size)) {
        return fail_member(stream, stream->member == 0 ? "it does not begin as a snapshot does"
                                                       : "it is none of a snapshot's");
    }
    /* Index and footer are longer than the head of a data member, and are read by others. */
    const size_t rest = *kind == KM_MEMBER_DATA ? *size - KM_FORMAT_PREFIX_SIZE : 0;
    if (rest > room - KM_FORMAT_PREFIX_SIZE) {
        return fail_member(stream, "it is not of the kind that it has to be");
    }
    return read_exactly(stream, head + KM_FORMAT_PREFIX_SIZE, rest);
}

/* Is it the chunk that has to come now, and as long as that has to be? */
static km_status check_place(const km_stream *stream, uint64_t chunk,
                             const km_format_entry *entry) {
    const uint8_t shift = stream->facts.chunk_shift;
    const uint32_t full = (uint32_t)1 << shift;
    if (chunk != stream->chunks) {
        return km_fail(KM_E_CORRUPT,
                       "the stream is damaged: chunk %" PRIu64 " comes, at byte %" PRIu64
                       ", where chunk %" PRIu64 " has to",
                       chunk, stream->member, stream->chunks);
    }
    if (stream->total != chunk << shift || entry->raw_length > full ||
        entry->raw_length > KM_FORMAT_TOTAL_MAX - stream->total) {
        return fail_member(stream, "the chunks' lengths do not fit the chunk size");
    }
    if (stream->facts.total != UINT64_MAX &&
        (chunk >= km_format_chunks(stream->facts.total, shift) ||
         entry->raw_length != km_format_raw_length(stream->facts.total, shift, chunk))) {
        return fail_member(stream, "the chunk's length is not what the image's size asks for");
    }
    return KM_OK;
}

static km_status read_packed(km_stream *stream, const km_format_entry *entry, void *packed) {
    km_status status = read_exactly(stream, packed, entry->packed_length);
    if (status != KM_OK) {
        return status;
    }
    const km_chunk_state state = km_packed_check(entry, packed);
    return state == KM_CHUNK_GOOD
               ? KM_OK
               : km_fail(KM_E_CORRUPT,
                         "the stream is damaged in chunk %" PRIu64 ", the member from byte %" PRIu64
                         " on: %s",
                         stream->chunks, stream->member, km_chunk_state_text(state));
}

/* ---- Index and footer ---------------------------------------------------------------------- */

static bool is_as_it_came(const km_format_entry *entry, const came *was) {
    return entry->packed_length == was->packed_length && entry->raw_length == was->raw_length &&
           entry->flags == was->flags && entry->sum == was->sum;
}

/* An index member, which has to begin with chunk `done` and to have `wanted` entries. */
static km_status check_index(km_stream *stream, const uint8_t *member, uint64_t done,
                             uint32_t wanted) {
    uint64_t first = 0;
    uint32_t count = 0;
    const uint8_t *entries = NULL;
    if (!km_format_index_read(member, KM_FORMAT_INDEX_SIZE((size_t)wanted), &first, &count,
                              &entries)) {
        return fail_member(stream, "a piece of the index is damaged, or not of all chunks");
    }
    if (first != done || count != wanted) {
        return fail_member(stream, "a piece of the index is not of the chunks that it has to be");
    }
    for (uint32_t i = 0; i < count; i++) {
        km_format_entry entry;
        came *was = find(stream, first + i);
        if (!km_format_entry_read(entries + (size_t)i * KM_FORMAT_ENTRY_SIZE, &entry) ||
            !is_as_it_came(&entry, was)) {
            return km_fail(KM_E_CORRUPT,
                           "the stream is damaged: the index, at byte %" PRIu64
                           ", says of chunk %" PRIu64 " what the chunk itself does not",
                           stream->member, first + i);
        }
        memcpy(was->index_hash, entry.hash, KM_HASH_SIZE);
    }
    return KM_OK;
}

/* The rest of a member whose prefix is there, up to its end. */
static km_status read_rest(km_stream *stream, uint8_t *member, size_t size) {
    return read_exactly(stream, member + KM_FORMAT_PREFIX_SIZE, size - KM_FORMAT_PREFIX_SIZE);
}

/* All index members, the first one's prefix being there; then `member` has the footer's. */
static km_status read_index(km_stream *stream, uint8_t *member, km_checksum_state *sum) {
    uint64_t done = 0;
    while (done < stream->chunks) {
        const uint64_t left = stream->chunks - done;
        const uint32_t count =
            left < KM_FORMAT_INDEX_ENTRIES ? (uint32_t)left : KM_FORMAT_INDEX_ENTRIES;
        const size_t size = KM_FORMAT_INDEX_SIZE((size_t)count);
        km_member_kind kind = KM_MEMBER_DATA;
        size_t head_size = 0;
        km_status status = read_rest(stream, member, size);
        if (status == KM_OK) {
            status = check_index(stream, member, done, count);
        }
        if (status != KM_OK) {
            return status;
        }
        km_checksum_add(sum, member, size);
        done += count;
        status = read_head(stream, member, KM_FORMAT_PREFIX_SIZE, &kind, &head_size);
        if (status != KM_OK) {
            return status;
        }
        if (kind != (done < stream->chunks ? KM_MEMBER_INDEX : KM_MEMBER_FOOTER)) {
            return fail_member(stream, "the index is not followed by what it has to be");
        }
    }
    return KM_OK;
}

/* The rest of the footer, whose prefix is there. */
static km_status read_footer(km_stream *stream, uint8_t *member, uint64_t index_offset,
                             uint64_t index_sum) {
    km_format_footer footer;
    const km_format_facts *facts = &stream->facts;
    km_status status = read_rest(stream, member, KM_FORMAT_FOOTER_SIZE);
    if (status != KM_OK) {
        return status;
    }
    if (!km_format_footer_read(member, &footer)) {
        return fail_member(stream, "the footer is damaged");
    }
    if (memcmp(footer.id, facts->id, KM_FORMAT_ID_SIZE) != 0 ||
        footer.chunk_shift != facts->chunk_shift || footer.hash_kind != facts->hash_kind) {
        return fail_member(stream, "the footer is of another snapshot than the facts");
    }
    if (footer.chunks != stream->chunks || footer.total != stream->total ||
        footer.index_offset != index_offset || footer.index_sum != index_sum ||
        (facts->total != UINT64_MAX && footer.total != facts->total)) {
        return fail_member(stream, "the footer does not agree with what came before it");
    }
    stream->footer = footer;
    return KM_OK;
}

/* Everything behind the chunks, the first index member's prefix being there. */
static km_status read_tail(km_stream *stream, const uint8_t *prefix) {
    const uint64_t index_offset = stream->member;
    km_status status = KM_E_NO_MEMORY;
    km_checksum_state *sum = km_checksum_begin();
    uint8_t *member = malloc(KM_FORMAT_INDEX_SIZE_MAX);
    if (sum == NULL || member == NULL) {
        status = km_fail(KM_E_NO_MEMORY, "no memory for the index of the snapshot in the stream");
        goto cleanup;
    }
    memcpy(member, prefix, KM_FORMAT_PREFIX_SIZE);
    status = read_index(stream, member, sum);
    if (status == KM_OK) {
        status = read_footer(stream, member, index_offset, km_checksum_value(sum));
    }
    if (status == KM_OK) {
        status = expect_end(stream);
    }

cleanup:
    km_checksum_end(sum);
    free(member);
    return status;
}

/* ---- The calls ----------------------------------------------------------------------------- */

/* The facts and what chunk 0 is. */
static km_status read_first_head(km_stream *stream) {
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    km_member_kind kind = KM_MEMBER_DATA;
    size_t size = 0;
    uint64_t chunk = 0;
    km_status status = read_head(stream, head, sizeof head, &kind, &size);
    if (status != KM_OK) {
        return status;
    }
    if (kind != KM_MEMBER_DATA || size != sizeof head) {
        return fail_member(stream, "it is not the one that a snapshot begins with");
    }
    if (!km_format_head_read(head, size, &chunk, &stream->first, &stream->facts)) {
        return fail_member(stream, "its head is damaged");
    }
    return KM_OK;
}

km_status km_stream_begin(km_read_function read, void *arg, km_stream **stream) {
    km_stream *made = calloc(1, sizeof *made);
    uint8_t *buffer = km_buffer_make(BUFFER_SIZE);
    if (made == NULL || buffer == NULL) {
        free(made);
        km_buffer_free(buffer);
        return km_fail(KM_E_NO_MEMORY, "no memory to read a snapshot from a stream");
    }
    made->read = read;
    made->arg = arg;
    made->buffer = buffer;
    km_status status = read_first_head(made);
    if (status != KM_OK) {
        km_stream_end(made);
        return status;
    }
    *stream = made;
    return KM_OK;
}

void km_stream_end(km_stream *stream) {
    if (stream == NULL) {
        return;
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(stream->blocks[i]);
    }
    km_buffer_free(stream->buffer);
    free(stream);
}

const km_format_facts *km_stream_facts(const km_stream *stream) {
    return &stream->facts;
}

/* The head of the next data member; *end, with everything behind them read, if there is none. */
static km_status next_head(km_stream *stream, uint64_t *chunk, km_format_entry *entry, bool *end) {
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    km_member_kind kind = KM_MEMBER_DATA;
    size_t size = 0;
    km_format_facts again; /* only a chunk 0 has some, and that is refused here */
    *end = false;
    if (stream->chunks == 0) {
        *chunk = 0;
        *entry = stream->first;
        return KM_OK;
    }
    km_status status = read_head(stream, head, sizeof head, &kind, &size);
    if (status != KM_OK) {
        return status;
    }
    if (kind == KM_MEMBER_INDEX) {
        *end = true;
        return read_tail(stream, head);
    }
    if (kind != KM_MEMBER_DATA) {
        return fail_member(stream, "the footer comes without an index");
    }
    return km_format_head_read(head, size, chunk, entry, &again)
               ? KM_OK
               : fail_member(stream, "its head is damaged");
}

km_status km_stream_next(km_stream *stream, uint64_t *chunk, km_format_entry *entry, void *packed,
                         bool *end) {
    uint64_t number = 0;
    km_format_entry read = {.flags = 0};
    bool at_end = stream->whole;
    km_status status = at_end ? KM_OK : next_head(stream, &number, &read, &at_end);
    if (status != KM_OK) {
        return status;
    }
    if (at_end) {
        stream->whole = true;
        *end = true;
        return KM_OK;
    }
    status = check_place(stream, number, &read);
    if (status == KM_OK) {
        status = read_packed(stream, &read, packed);
    }
    if (status == KM_OK) {
        status = note(stream, &read);
    }
    if (status != KM_OK) {
        return status;
    }
    *chunk = number;
    *entry = read;
    *end = false;
    return KM_OK;
}

void km_stream_hashed(km_stream *stream, uint64_t chunk, const uint8_t hash[KM_HASH_SIZE]) {
    came *was = find(stream, chunk);
    memcpy(was->told_hash, hash, KM_HASH_SIZE);
    was->told = true;
}

km_status km_stream_check_hashes(const km_stream *stream) {
    for (uint64_t chunk = 0; chunk < stream->chunks; chunk++) {
        const came *was = find(stream, chunk);
        if (was->told && memcmp(was->told_hash, was->index_hash, KM_HASH_SIZE) != 0) {
            return km_fail(KM_E_CORRUPT, "the stream is damaged in chunk %" PRIu64 ": %s", chunk,
                           km_chunk_state_text(KM_CHUNK_BAD_HASH));
        }
    }
    return KM_OK;
}

const km_format_footer *km_stream_footer(const km_stream *stream) {
    return &stream->footer;
}
