/*
 * repair.c - makes what a fuzzer has changed agree with itself again.
 *
 * The offsets are those of snapshot_format.md, written down once more: what is repaired need not be
 * anything that the library's own functions would take.
 */
#include "repair.h"

#include <stdbool.h>
#include <string.h>

#include "checksum.h"
#include "codec.h"
#include "fuzz.h"
#include "members.h"
#include "snapshot_format.h"
#include "stored.h"

#define HAS_FACTS 4u
#define FIXED_SIZE 20u
#define RAW_MOST ((size_t)16 << 20) /* larger images take their time and show no more */

typedef struct builder {
    uint8_t *bytes;
    size_t length;
    uint8_t *entries;
    uint64_t chunks;
    uint64_t total;
    uint8_t *raw; /* a chunk's */
    uint8_t shift;
} builder;

/* ---- Members as they stand ------------------------------------------------------------------ */

static km_member_kind kind_of(const uint8_t *member) {
    switch (member[17]) {
    case KM_MEMBER_INDEX:
        return KM_MEMBER_INDEX;
    case KM_MEMBER_FOOTER:
        return KM_MEMBER_FOOTER;
    default:
        return KM_MEMBER_DATA;
    }
}

static size_t data_head_size(const uint8_t *member) {
    return (member[18] & HAS_FACTS) != 0 ? KM_FORMAT_FIRST_HEAD_SIZE : KM_FORMAT_HEAD_SIZE;
}

/* Is it long enough for what its kind has at least? */
static bool is_one(const uint8_t *bytes, const fuzz_member *member) {
    if (member->length < FIXED_SIZE) {
        return false;
    }
    const uint8_t *at = bytes + member->at;
    switch (kind_of(at)) {
    case KM_MEMBER_DATA:
        return member->length >= data_head_size(at) + KM_FORMAT_TRAILER_SIZE;
    case KM_MEMBER_INDEX:
        return member->length >= KM_FORMAT_INDEX_SIZE(1);
    default:
        return member->length >= KM_FORMAT_FOOTER_SIZE;
    }
}

static void put_fixed(uint8_t *member, km_member_kind kind, size_t head_size) {
    static const uint8_t fixed[10] = {0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff};
    memcpy(member, fixed, sizeof fixed);
    fuzz_put(member + 10, 2, head_size - 12);
    fuzz_put(member + 12, 2, 0x4d4b);
    fuzz_put(member + 14, 2, head_size - 16);
    member[16] = KM_FORMAT_VERSION;
    member[17] = (uint8_t)kind;
    member[19] = 0;
}

static void seal(uint8_t *member, size_t at) {
    fuzz_put(member + at, 8, km_checksum(member, at));
}

static void repair_data(uint8_t *member, size_t length, bool heads) {
    const size_t head_size = data_head_size(member);
    if (heads) {
        put_fixed(member, KM_MEMBER_DATA, head_size);
        fuzz_put(member + 32, 4, length - head_size);
    }
    const uint64_t packed = fuzz_get(member + 32, 4);
    const size_t there = packed < length - head_size ? (size_t)packed : length - head_size;
    fuzz_put(member + 36, 8, km_checksum(member + head_size, there));
    seal(member, head_size - 8);
}

/* The entries repeat what the heads of the data members say. */
static void repair_index(uint8_t *member, size_t length, bool heads, const uint8_t *bytes,
                         const fuzz_member *members, size_t member_count, size_t *next) {
    size_t count = (length - KM_FORMAT_INDEX_SIZE(0)) / KM_FORMAT_ENTRY_SIZE;
    count = count < KM_FORMAT_INDEX_ENTRIES ? count : KM_FORMAT_INDEX_ENTRIES;
    if (heads) {
        put_fixed(member, KM_MEMBER_INDEX, 40 + KM_FORMAT_ENTRY_SIZE * count);
        member[18] = 0;
        fuzz_put(member + 20, 4, count);
        memset(member + 40 + KM_FORMAT_ENTRY_SIZE * count, 0, 10);
        member[40 + KM_FORMAT_ENTRY_SIZE * count] = 3;
    }
    for (size_t i = 0; heads && i < count && *next < member_count; (*next)++) {
        const uint8_t *data = bytes + members[*next].at;
        if (is_one(bytes, &members[*next]) && kind_of(data) == KM_MEMBER_DATA) {
            uint8_t *entry = member + 32 + KM_FORMAT_ENTRY_SIZE * i++;
            memcpy(entry, data + 32, 4);
            memcpy(entry + 4, data + 20, 4);
            fuzz_put(entry + 8, 4, data[18] & (KM_CHUNK_STORED | KM_CHUNK_ZEROS));
            memcpy(entry + 12, data + 36, 8);
        }
    }
    uint64_t said = fuzz_get(member + 20, 4);
    said = said < count ? said : count;
    seal(member, 32 + KM_FORMAT_ENTRY_SIZE * (size_t)said);
}

static void repair_footer(uint8_t *bytes, size_t at, size_t index_at, bool heads) {
    uint8_t *footer = bytes + at;
    if (heads) {
        put_fixed(footer, KM_MEMBER_FOOTER, 88);
        footer[18] = 0;
        fuzz_put(footer + 40, 8, index_at);
        fuzz_put(footer + 80, 8, UINT64_C(0x1a70616d7065656b));
        fuzz_put(footer + 88, 8, 3);
        fuzz_put(footer + 96, 2, 0);
    }
    fuzz_put(footer + 48, 8, km_checksum(bytes + index_at, at - index_at));
    seal(footer, 72);
}

/* In place: data members first, since the index is about them, as the footer is about the index. */
static void repair_all(uint8_t *bytes, size_t length, bool heads) {
    fuzz_member members[FUZZ_MEMBERS_MAX];
    const size_t count = fuzz_members(bytes, length, members);
    size_t index_at = SIZE_MAX;
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *member = bytes + members[i].at;
        if (is_one(bytes, &members[i]) && kind_of(member) == KM_MEMBER_DATA) {
            repair_data(member, members[i].length, heads);
        }
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *member = bytes + members[i].at;
        if (!is_one(bytes, &members[i])) {
            continue;
        }
        if (kind_of(member) == KM_MEMBER_INDEX) {
            repair_index(member, members[i].length, heads, bytes, members, count, &next);
            index_at = index_at == SIZE_MAX ? members[i].at : index_at;
        } else if (kind_of(member) == KM_MEMBER_FOOTER) {
            repair_footer(bytes, members[i].at, index_at == SIZE_MAX ? members[i].at : index_at,
                          heads);
        }
    }
}

/* ---- Made anew ------------------------------------------------------------------------------ */

/* The facts of the first member that has some, made such as are allowed. */
static void take_facts(const uint8_t *bytes, const fuzz_member *members, size_t count,
                       uint8_t facts[KM_FORMAT_FACTS_SIZE]) {
    memset(facts, 0, KM_FORMAT_FACTS_SIZE);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *member = bytes + members[i].at;
        if (is_one(bytes, &members[i]) && kind_of(member) == KM_MEMBER_DATA &&
            data_head_size(member) == KM_FORMAT_FIRST_HEAD_SIZE) {
            memcpy(facts, member + 44, KM_FORMAT_FACTS_SIZE);
            break;
        }
    }
    uint8_t *shift = facts + 56;
    if (*shift < KM_CHUNK_SHIFT_MIN || *shift > KM_CHUNK_SHIFT_MAX || count << *shift > RAW_MOST) {
        *shift = KM_CHUNK_SHIFT_MIN;
    }
    facts[57] = KM_FORMAT_HASH_XXH3_128;
    facts[58] = (uint8_t)(1 + (facts[58] + 2u) % 3);
    facts[59] = (uint8_t)(facts[59] % 10);
    facts[95] = 0;
}

static bool unpack(const uint8_t *body, size_t body_length, uint8_t flags, uint8_t *raw,
                   uint32_t raw_length) {
    const km_codec *codec = km_codecs()[0];
    void *state = NULL;
    if (flags == KM_CHUNK_STORED) {
        return km_stored_unpack(body, body_length, raw, raw_length);
    }
    if (flags == KM_CHUNK_ZEROS) {
        memset(raw, 0, raw_length);
        return true;
    }
    if (codec == NULL || codec->unpack_begin(&state) != KM_CODEC_OK) {
        return false;
    }
    const bool good = codec->unpack(state, body, body_length, raw, raw_length) == KM_CODEC_OK;
    codec->unpack_end(state);
    return good;
}

/* All chunks but the last are full ones. */
static uint32_t raw_length_of(const builder *made, const uint8_t *member, bool last) {
    const uint32_t most = (uint32_t)1 << made->shift;
    const uint64_t said = fuzz_get(member + 20, 4);
    const uint32_t least = made->chunks == 0 ? 0 : 1; /* an empty image is one empty chunk */
    return !last || said > most || said < least ? most : (uint32_t)said;
}

static void add_chunk(builder *made, const uint8_t *member, size_t length, const uint8_t *facts,
                      bool last) {
    const size_t old_head = data_head_size(member);
    const size_t head_size = km_format_head_size(made->chunks);
    const size_t packed_length = length - old_head;
    const uint8_t flags = member[18] & (KM_CHUNK_STORED | KM_CHUNK_ZEROS);
    const uint32_t raw_length = raw_length_of(made, member, last);
    uint8_t *head = made->bytes + made->length;
    uint8_t *packed = head + head_size;
    uint8_t *entry = made->entries + KM_FORMAT_ENTRY_SIZE * made->chunks;
    memcpy(packed, member + old_head, packed_length);
    memset(entry, 0, KM_FORMAT_ENTRY_SIZE);
    if (unpack(packed, packed_length - KM_FORMAT_TRAILER_SIZE, flags, made->raw, raw_length)) {
        km_format_trailer_write(km_crc32(0, made->raw, raw_length), raw_length,
                                packed + packed_length - KM_FORMAT_TRAILER_SIZE);
        km_hash(made->raw, raw_length, fuzz_get(facts + 48, 8), entry + 20);
    }
    const bool first = made->chunks == 0;
    put_fixed(head, KM_MEMBER_DATA, head_size);
    head[18] = (uint8_t)(flags | (first ? HAS_FACTS : 0u));
    fuzz_put(head + 20, 4, raw_length);
    fuzz_put(head + 24, 8, made->chunks);
    fuzz_put(head + 32, 4, packed_length);
    fuzz_put(head + 36, 8, km_checksum(packed, packed_length));
    if (first) {
        memcpy(head + 44, facts, KM_FORMAT_FACTS_SIZE);
    }
    seal(head, head_size - 8);
    fuzz_put(entry, 4, packed_length);
    fuzz_put(entry + 4, 4, raw_length);
    entry[8] = flags;
    memcpy(entry + 12, head + 36, 8);
    made->length += head_size + packed_length;
    made->total += raw_length;
    made->chunks++;
}

static void add_end(builder *made, const uint8_t *facts) {
    const size_t index_at = made->length;
    km_format_index_write(0, (uint32_t)made->chunks, made->entries, made->bytes + index_at);
    made->length += KM_FORMAT_INDEX_SIZE((size_t)made->chunks);
    km_format_footer footer = {
        .chunk_shift = made->shift,
        .hash_kind = KM_FORMAT_HASH_XXH3_128,
        .total = made->total,
        .chunks = made->chunks,
        .index_offset = index_at,
        .index_sum = km_checksum(made->bytes + index_at, made->length - index_at),
    };
    memcpy(footer.id, facts, sizeof footer.id);
    km_format_footer_write(&footer, made->bytes + made->length);
    made->length += KM_FORMAT_FOOTER_SIZE;
    if (fuzz_get(facts + 32, 8) != UINT64_MAX) {
        fuzz_put(made->bytes + 44 + 32, 8, made->total);
        seal(made->bytes, KM_FORMAT_FIRST_HEAD_SIZE - 8);
    }
}

/* false: there is no data member to make it of. */
static bool rebuild(const uint8_t *bytes, size_t length, uint8_t **rebuilt, size_t *made_length) {
    fuzz_member members[FUZZ_MEMBERS_MAX];
    uint8_t facts[KM_FORMAT_FACTS_SIZE];
    const size_t count = fuzz_members(bytes, length, members);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const bool is_data =
            is_one(bytes, &members[i]) && kind_of(bytes + members[i].at) == KM_MEMBER_DATA;
        kept += is_data ? 1 : 0;
        members[is_data ? kept - 1 : i] = members[i];
    }
    if (kept == 0) {
        return false;
    }
    take_facts(bytes, members, kept, facts);
    builder made = {
        .bytes = fuzz_allocate(length + KM_FORMAT_FACTS_SIZE + KM_FORMAT_FOOTER_SIZE +
                               KM_FORMAT_INDEX_SIZE(kept)),
        .entries = fuzz_allocate(KM_FORMAT_ENTRY_SIZE * kept),
        .raw = fuzz_allocate((size_t)1 << facts[56]),
        .shift = facts[56],
    };
    for (size_t i = 0; i < kept; i++) {
        add_chunk(&made, bytes + members[i].at, members[i].length, facts, i + 1 == kept);
    }
    add_end(&made, facts);
    free(made.entries);
    free(made.raw);
    *rebuilt = made.bytes;
    *made_length = made.length;
    return true;
}

uint8_t *fuzz_repair(fuzz_repair_how how, const uint8_t *bytes, size_t length,
                     size_t *made_length) {
    uint8_t *made = NULL;
    if (how == FUZZ_REBUILD && rebuild(bytes, length, &made, made_length)) {
        return made;
    }
    made = fuzz_allocate(length);
    memcpy(made, bytes, length);
    *made_length = length;
    if (how != FUZZ_AS_IS) {
        repair_all(made, length, how != FUZZ_SUMS);
    }
    return made;
}
