/*
 * snapshot_format.c - the bytes of snapshot_format.md, made and read; nothing else knows offsets.
 */
#include "snapshot_format.h"

#include <string.h>

#include "record.h"

/* Of every member. */
#define AT_EXTRA_LENGTH 10u
#define AT_EXTRA 12u /* where what XLEN counts begins */
#define AT_SUBFIELD_LENGTH 14u
#define AT_SUBFIELD 16u /* where what LEN counts begins */
#define AT_KIND 17u
#define AT_FLAGS 18u
#define AT_RESERVED 19u
#define SUM_SIZE 8u

/* Of a data member. */
#define AT_RAW_LENGTH 20u
#define AT_CHUNK 24u
#define AT_PACKED_LENGTH 32u
#define AT_PACKED_SUM 36u
#define AT_FACTS 44u

/* Of an index member; its body follows its head. */
#define AT_COUNT 20u
#define AT_FIRST 24u
#define AT_ENTRIES 32u
#define INDEX_HEAD_SIZE(entries) (40u + KM_FORMAT_ENTRY_SIZE * (entries))

/* Of the footer member. */
#define AT_SHIFT 20u
#define AT_HASH_KIND 21u
#define AT_TOTAL 24u
#define AT_CHUNKS 32u
#define AT_INDEX 40u
#define AT_INDEX_SUM 48u
#define AT_ID 56u
#define AT_FOOTER_SUM 72u
#define AT_MAGIC 80u
#define FOOTER_HEAD_SIZE 88u

/* What the flags byte of a data member has besides KM_CHUNK_*. */
#define FLAG_FACTS 4u

#define LEVEL_MAX 9u
#define STORED_BLOCK 65535u
#define STORED_BLOCK_COST 5u
#define RAW_LENGTH_MAX ((uint32_t)1 << KM_CHUNK_SHIFT_MAX)
/* No deflate stream is shorter than a byte. */
#define PACKED_LEAST (KM_FORMAT_TRAILER_SIZE + 1u)

static const uint8_t gzip_head[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff};
static const uint8_t subfield_name[] = {'K', 'M'};
static const uint8_t magic[] = {'k', 'e', 'e', 'p', 'm', 'a', 'p', 0x1a};
/* A deflate stream of nothing, its CRC-32 and its length. */
static const uint8_t empty_body[KM_FORMAT_EMPTY_BODY_SIZE] = {3};

_Static_assert(sizeof gzip_head == AT_EXTRA_LENGTH && sizeof magic == FOOTER_HEAD_SIZE - AT_MAGIC,
               "constants fill their fields");
_Static_assert(AT_FACTS + SUM_SIZE == KM_FORMAT_HEAD_SIZE &&
                   FOOTER_HEAD_SIZE + KM_FORMAT_EMPTY_BODY_SIZE == KM_FORMAT_FOOTER_SIZE &&
                   INDEX_HEAD_SIZE(1) + KM_FORMAT_EMPTY_BODY_SIZE == KM_FORMAT_INDEX_SIZE(1),
               "the sizes of the members are those of the header");
_Static_assert(INDEX_HEAD_SIZE(KM_FORMAT_INDEX_ENTRIES) - AT_EXTRA <= UINT16_MAX,
               "an index member's entries fit into an extra field");

/* ---- Numbers in bytes ---------------------------------------------------------------------- */

static void put(uint64_t value, unsigned size, uint8_t *to) {
    for (unsigned i = 0; i < size; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get(const uint8_t *from, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

static uint32_t get32(const uint8_t *from) {
    return (uint32_t)get(from, 4);
}

static uint64_t get64(const uint8_t *from) {
    return get(from, 8);
}

static bool all_zero(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void sum_write(uint8_t *member, size_t at) {
    put(km_checksum(member, at), SUM_SIZE, member + at);
}

static bool sum_is_right(const uint8_t *member, size_t at) {
    return get64(member + at) == km_checksum(member, at);
}

/* ---- Numbers that follow from others ------------------------------------------------------- */

uint64_t km_format_chunks(uint64_t total, uint8_t chunk_shift) {
    const uint64_t partial = (total & (((uint64_t)1 << chunk_shift) - 1)) != 0;
    return total == 0 ? 1 : (total >> chunk_shift) + partial;
}

uint32_t km_format_raw_length(uint64_t total, uint8_t chunk_shift, uint64_t chunk) {
    const uint64_t left = total - (chunk << chunk_shift);
    const uint64_t chunk_size = (uint64_t)1 << chunk_shift;
    return (uint32_t)(left < chunk_size ? left : chunk_size);
}

uint32_t km_format_packed_most(uint32_t raw_length) {
    const uint32_t partial = raw_length % STORED_BLOCK != 0 || raw_length == 0;
    const uint32_t blocks = raw_length / STORED_BLOCK + partial;
    return KM_FORMAT_TRAILER_SIZE + raw_length + STORED_BLOCK_COST * blocks;
}

size_t km_format_head_size(uint64_t chunk) {
    return chunk == 0 ? KM_FORMAT_FIRST_HEAD_SIZE : KM_FORMAT_HEAD_SIZE;
}

uint64_t km_format_index_size(uint64_t chunks) {
    if (chunks == 0 || chunks > KM_FORMAT_CHUNKS_MAX) {
        return UINT64_MAX;
    }
    const uint64_t rest = chunks % KM_FORMAT_INDEX_ENTRIES;
    return chunks / KM_FORMAT_INDEX_ENTRIES * KM_FORMAT_INDEX_SIZE_MAX +
           (rest != 0 ? KM_FORMAT_INDEX_SIZE(rest) : 0);
}

/* ---- Making -------------------------------------------------------------------------------- */

/* What every member begins with; `head_size` is how much comes before its body. */
static void prefix_write(km_member_kind kind, uint8_t flags, size_t head_size, uint8_t *to) {
    memcpy(to, gzip_head, sizeof gzip_head);
    put(head_size - AT_EXTRA, 2, to + AT_EXTRA_LENGTH);
    memcpy(to + AT_EXTRA, subfield_name, sizeof subfield_name);
    put(head_size - AT_SUBFIELD, 2, to + AT_SUBFIELD_LENGTH);
    to[AT_SUBFIELD] = KM_FORMAT_VERSION;
    to[AT_KIND] = (uint8_t)kind;
    to[AT_FLAGS] = flags;
    to[AT_RESERVED] = 0;
}

static void facts_write(const km_format_facts *facts, uint8_t *to) {
    memcpy(to, facts->id, KM_FORMAT_ID_SIZE);
    memcpy(to + 16, facts->since, KM_FORMAT_ID_SIZE);
    put(facts->total, 8, to + 32);
    put(facts->made_ns, 8, to + 40);
    put(facts->seed, 8, to + 48);
    to[56] = facts->chunk_shift;
    to[57] = facts->hash_kind;
    to[58] = facts->source;
    to[59] = facts->level;
    put(facts->type_version, 4, to + 60);
    memcpy(to + 64, facts->type, KM_FORMAT_TYPE_SIZE);
    put(facts->volume, 8, to + 96);
    put(facts->number, 8, to + 104);
}

void km_format_head_write(uint64_t chunk, const km_format_entry *entry,
                          const km_format_facts *facts, uint8_t *to) {
    const size_t size = km_format_head_size(chunk);
    const uint8_t flags = chunk == 0 ? entry->flags | FLAG_FACTS : entry->flags;
    prefix_write(KM_MEMBER_DATA, flags, size, to);
    put(entry->raw_length, 4, to + AT_RAW_LENGTH);
    put(chunk, 8, to + AT_CHUNK);
    put(entry->packed_length, 4, to + AT_PACKED_LENGTH);
    put(entry->sum, 8, to + AT_PACKED_SUM);
    if (chunk == 0) {
        facts_write(facts, to + AT_FACTS);
    }
    sum_write(to, size - SUM_SIZE);
}

void km_format_trailer_write(uint32_t crc, uint32_t raw_length,
                             uint8_t to[KM_FORMAT_TRAILER_SIZE]) {
    put(crc, 4, to);
    put(raw_length, 4, to + 4);
}

void km_format_entry_write(const km_format_entry *entry, uint8_t to[KM_FORMAT_ENTRY_SIZE]) {
    put(entry->packed_length, 4, to);
    put(entry->raw_length, 4, to + 4);
    put(entry->flags, 4, to + 8); /* and three zeros */
    put(entry->sum, 8, to + 12);
    memcpy(to + 20, entry->hash, KM_HASH_SIZE);
}

void km_format_index_write(uint64_t first, uint32_t count, const uint8_t *entries, uint8_t *to) {
    const size_t size = INDEX_HEAD_SIZE((size_t)count);
    prefix_write(KM_MEMBER_INDEX, 0, size, to);
    put(count, 4, to + AT_COUNT);
    put(first, 8, to + AT_FIRST);
    memcpy(to + AT_ENTRIES, entries, (size_t)KM_FORMAT_ENTRY_SIZE * count);
    sum_write(to, size - SUM_SIZE);
    memcpy(to + size, empty_body, KM_FORMAT_EMPTY_BODY_SIZE);
}

void km_format_footer_write(const km_format_footer *footer, uint8_t to[KM_FORMAT_FOOTER_SIZE]) {
    prefix_write(KM_MEMBER_FOOTER, 0, FOOTER_HEAD_SIZE, to);
    to[AT_SHIFT] = footer->chunk_shift;
    to[AT_HASH_KIND] = footer->hash_kind;
    put(0, 2, to + AT_HASH_KIND + 1);
    put(footer->total, 8, to + AT_TOTAL);
    put(footer->chunks, 8, to + AT_CHUNKS);
    put(footer->index_offset, 8, to + AT_INDEX);
    put(footer->index_sum, 8, to + AT_INDEX_SUM);
    memcpy(to + AT_ID, footer->id, KM_FORMAT_ID_SIZE);
    sum_write(to, AT_FOOTER_SUM);
    memcpy(to + AT_MAGIC, magic, sizeof magic);
    memcpy(to + FOOTER_HEAD_SIZE, empty_body, KM_FORMAT_EMPTY_BODY_SIZE);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static bool chunk_flags_are_possible(uint8_t flags) {
    return flags <= (KM_CHUNK_STORED | KM_CHUNK_ZEROS) &&
           flags != (KM_CHUNK_STORED | KM_CHUNK_ZEROS);
}

/* Is there a data member with these flags, XLEN then being `extra_length`? */
static bool data_prefix_is_possible(uint8_t flags, size_t head_size) {
    const bool has_facts = (flags & FLAG_FACTS) != 0;
    return chunk_flags_are_possible(flags & (uint8_t)~FLAG_FACTS) &&
           head_size == (has_facts ? KM_FORMAT_FIRST_HEAD_SIZE : KM_FORMAT_HEAD_SIZE);
}

static bool index_head_is_possible(size_t head_size) {
    return head_size >= INDEX_HEAD_SIZE(1) &&
           head_size <= INDEX_HEAD_SIZE(KM_FORMAT_INDEX_ENTRIES) &&
           (head_size - INDEX_HEAD_SIZE(0)) % KM_FORMAT_ENTRY_SIZE == 0;
}

static bool kind_is_possible(uint8_t kind, uint8_t flags, size_t head_size) {
    switch (kind) {
    case KM_MEMBER_DATA:
        return data_prefix_is_possible(flags, head_size);
    case KM_MEMBER_INDEX:
        return flags == 0 && index_head_is_possible(head_size);
    case KM_MEMBER_FOOTER:
        return flags == 0 && head_size == FOOTER_HEAD_SIZE;
    default:
        return false;
    }
}

bool km_format_kind(const uint8_t *prefix, km_member_kind *kind, size_t *head_size) {
    const size_t size = AT_EXTRA + (size_t)get(prefix + AT_EXTRA_LENGTH, 2);
    if (memcmp(prefix, gzip_head, sizeof gzip_head) != 0 ||
        memcmp(prefix + AT_EXTRA, subfield_name, sizeof subfield_name) != 0 ||
        AT_SUBFIELD + (size_t)get(prefix + AT_SUBFIELD_LENGTH, 2) != size ||
        prefix[AT_SUBFIELD] != KM_FORMAT_VERSION || prefix[AT_RESERVED] != 0 ||
        !kind_is_possible(prefix[AT_KIND], prefix[AT_FLAGS], size)) {
        return false;
    }
    *kind = (km_member_kind)prefix[AT_KIND];
    *head_size = size;
    return true;
}

/* Does a head of that kind and size begin there? */
static bool head_is_right(const uint8_t *head, size_t size, km_member_kind kind) {
    km_member_kind found = KM_MEMBER_DATA;
    size_t found_size = 0;
    return km_format_kind(head, &found, &found_size) && found == kind && found_size == size;
}

static bool lengths_are_possible(const km_format_entry *entry) {
    if (entry->raw_length > RAW_LENGTH_MAX || entry->packed_length < PACKED_LEAST) {
        return false;
    }
    const uint32_t most = km_format_packed_most(entry->raw_length);
    switch (entry->flags) {
    case KM_CHUNK_STORED:
        return entry->packed_length == most;
    case KM_CHUNK_ZEROS: /* never where the stored form is as short */
        return entry->raw_length != 0 && entry->packed_length < most;
    default:
        return entry->raw_length != 0 && entry->packed_length <= most;
    }
}

static bool chunking_is_possible(uint8_t chunk_shift, uint8_t hash_kind) {
    return chunk_shift >= KM_CHUNK_SHIFT_MIN && chunk_shift <= KM_CHUNK_SHIFT_MAX &&
           hash_kind == KM_FORMAT_HASH_XXH3_128;
}

static bool type_is_possible(const char *type) {
    const char *end = memchr(type, '\0', KM_FORMAT_TYPE_SIZE);
    return end != NULL &&
           all_zero((const uint8_t *)end, (size_t)(type + KM_FORMAT_TYPE_SIZE - end)) &&
           km_record_is_type(type);
}

static bool facts_are_possible(const km_format_facts *facts) {
    return (facts->total <= KM_FORMAT_TOTAL_MAX || facts->total == UINT64_MAX) &&
           chunking_is_possible(facts->chunk_shift, facts->hash_kind) &&
           facts->source >= KM_FORMAT_FILE && facts->source <= KM_FORMAT_STREAM &&
           facts->level <= LEVEL_MAX && type_is_possible(facts->type);
}

static bool facts_read(const uint8_t *from, km_format_facts *facts) {
    km_format_facts read = {
        .total = get64(from + 32),
        .made_ns = get64(from + 40),
        .seed = get64(from + 48),
        .chunk_shift = from[56],
        .hash_kind = from[57],
        .source = from[58],
        .level = from[59],
        .type_version = get32(from + 60),
        .volume = get64(from + 96),
        .number = get64(from + 104),
    };
    memcpy(read.id, from, KM_FORMAT_ID_SIZE);
    memcpy(read.since, from + 16, KM_FORMAT_ID_SIZE);
    memcpy(read.type, from + 64, KM_FORMAT_TYPE_SIZE);
    if (!facts_are_possible(&read)) {
        return false;
    }
    *facts = read;
    return true;
}

/* Can chunk 0 of a snapshot with these facts have that length? */
static bool first_length_fits(uint32_t raw_length, const km_format_facts *facts) {
    return facts->total == UINT64_MAX
               ? raw_length <= (uint32_t)1 << facts->chunk_shift
               : raw_length == km_format_raw_length(facts->total, facts->chunk_shift, 0);
}

bool km_format_head_read(const uint8_t *head, size_t length, uint64_t *chunk,
                         km_format_entry *entry, km_format_facts *facts) {
    if (length < KM_FORMAT_HEAD_SIZE || !head_is_right(head, length, KM_MEMBER_DATA) ||
        !sum_is_right(head, length - SUM_SIZE)) {
        return false;
    }
    const uint64_t number = get64(head + AT_CHUNK);
    const km_format_entry read = {
        .packed_length = get32(head + AT_PACKED_LENGTH),
        .raw_length = get32(head + AT_RAW_LENGTH),
        .flags = head[AT_FLAGS] & (uint8_t)~FLAG_FACTS,
        .sum = get64(head + AT_PACKED_SUM),
    };
    if (number >= KM_FORMAT_CHUNKS_MAX || km_format_head_size(number) != length ||
        !lengths_are_possible(&read)) {
        return false;
    }
    if (number != 0) {
        if (read.raw_length == 0) {
            return false;
        }
    } else {
        km_format_facts found;
        if (!facts_read(head + AT_FACTS, &found) || !first_length_fits(read.raw_length, &found)) {
            return false;
        }
        *facts = found;
    }
    *chunk = number;
    *entry = read;
    return true;
}

void km_format_trailer_read(const uint8_t *trailer, uint32_t *crc, uint32_t *raw_length) {
    *crc = get32(trailer);
    *raw_length = get32(trailer + 4);
}

bool km_format_entry_read(const uint8_t from[KM_FORMAT_ENTRY_SIZE], km_format_entry *entry) {
    km_format_entry read = {
        .packed_length = get32(from),
        .raw_length = get32(from + 4),
        .flags = from[8],
        .sum = get64(from + 12),
    };
    memcpy(read.hash, from + 20, KM_HASH_SIZE);
    if (!all_zero(from + 9, 3) || !chunk_flags_are_possible(read.flags) ||
        !lengths_are_possible(&read)) {
        return false;
    }
    *entry = read;
    return true;
}

bool km_format_index_read(const uint8_t *member, size_t length, uint64_t *first, uint32_t *count,
                          const uint8_t **entries) {
    if (length < KM_FORMAT_INDEX_SIZE(1)) {
        return false;
    }
    const size_t head_size = length - KM_FORMAT_EMPTY_BODY_SIZE;
    if (!head_is_right(member, head_size, KM_MEMBER_INDEX) ||
        !sum_is_right(member, head_size - SUM_SIZE) ||
        memcmp(member + head_size, empty_body, KM_FORMAT_EMPTY_BODY_SIZE) != 0) {
        return false;
    }
    const uint64_t from = get64(member + AT_FIRST);
    const uint32_t here = get32(member + AT_COUNT);
    if (INDEX_HEAD_SIZE((uint64_t)here) != head_size || from % KM_FORMAT_INDEX_ENTRIES != 0 ||
        from > KM_FORMAT_CHUNKS_MAX - here) {
        return false;
    }
    *first = from;
    *count = here;
    *entries = member + AT_ENTRIES;
    return true;
}

/* Do its numbers agree among themselves? */
static bool footer_is_possible(const km_format_footer *footer) {
    if (!chunking_is_possible(footer->chunk_shift, footer->hash_kind) ||
        footer->total > KM_FORMAT_TOTAL_MAX ||
        footer->chunks != km_format_chunks(footer->total, footer->chunk_shift)) {
        return false;
    }
    const uint64_t least =
        KM_FORMAT_FACTS_SIZE + footer->chunks * (KM_FORMAT_HEAD_SIZE + PACKED_LEAST);
    return footer->index_offset >= least && footer->index_offset <= KM_FORMAT_TOTAL_MAX;
}

bool km_format_footer_read(const uint8_t from[KM_FORMAT_FOOTER_SIZE], km_format_footer *footer) {
    if (!head_is_right(from, FOOTER_HEAD_SIZE, KM_MEMBER_FOOTER) ||
        !sum_is_right(from, AT_FOOTER_SUM) || get(from + AT_HASH_KIND + 1, 2) != 0 ||
        memcmp(from + AT_MAGIC, magic, sizeof magic) != 0 ||
        memcmp(from + FOOTER_HEAD_SIZE, empty_body, KM_FORMAT_EMPTY_BODY_SIZE) != 0) {
        return false;
    }
    km_format_footer read = {
        .chunk_shift = from[AT_SHIFT],
        .hash_kind = from[AT_HASH_KIND],
        .total = get64(from + AT_TOTAL),
        .chunks = get64(from + AT_CHUNKS),
        .index_offset = get64(from + AT_INDEX),
        .index_sum = get64(from + AT_INDEX_SUM),
    };
    memcpy(read.id, from + AT_ID, KM_FORMAT_ID_SIZE);
    if (!footer_is_possible(&read)) {
        return false;
    }
    *footer = read;
    return true;
}
