/*
 * fuzz_format.c - km_format_*_read of any bytes: what they read, writes back to the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "members.h"
#include "snapshot_format.h"

/* Memory of just that length, so that not a byte more may be looked at. */
static uint8_t *copy_of(const uint8_t *bytes, size_t length) {
    uint8_t *copy = fuzz_allocate(length);
    memcpy(copy, bytes, length);
    return copy;
}

static void try_head(const uint8_t *bytes, size_t length) {
    uint8_t again[KM_FORMAT_FIRST_HEAD_SIZE];
    uint64_t chunk = UINT64_MAX;
    km_format_entry entry;
    km_format_facts facts;
    uint8_t *head = copy_of(bytes, length);
    if (km_format_head_read(head, length, &chunk, &entry, &facts)) {
        fuzz_check(length == km_format_head_size(chunk) && chunk < KM_FORMAT_CHUNKS_MAX);
        fuzz_check(entry.packed_length <= km_format_packed_most(entry.raw_length));
        km_format_head_write(chunk, &entry, &facts, again);
        fuzz_check(memcmp(head, again, length) == 0);
    } else {
        fuzz_check(chunk == UINT64_MAX);
    }
    free(head);
}

static void try_entry(const uint8_t *bytes) {
    uint8_t again[KM_FORMAT_ENTRY_SIZE];
    km_format_entry entry;
    uint8_t *copy = copy_of(bytes, sizeof again);
    if (km_format_entry_read(copy, &entry)) {
        fuzz_check(entry.packed_length <= km_format_packed_most(entry.raw_length));
        km_format_entry_write(&entry, again);
        fuzz_check(memcmp(copy, again, sizeof again) == 0);
    }
    free(copy);
}

static void try_index(const uint8_t *bytes, size_t length) {
    uint64_t first = 0;
    uint32_t count = 0;
    const uint8_t *entries = NULL;
    uint8_t *member = copy_of(bytes, length);
    if (km_format_index_read(member, length, &first, &count, &entries)) {
        fuzz_check(KM_FORMAT_INDEX_SIZE((size_t)count) == length);
        uint8_t *again = fuzz_allocate(length);
        km_format_index_write(first, count, entries, again);
        fuzz_check(memcmp(member, again, length) == 0);
        for (uint32_t i = 0; i < count; i++) {
            try_entry(entries + (size_t)i * KM_FORMAT_ENTRY_SIZE);
        }
        free(again);
    }
    free(member);
}

static void try_footer(const uint8_t *bytes) {
    uint8_t again[KM_FORMAT_FOOTER_SIZE];
    km_format_footer footer;
    uint8_t *copy = copy_of(bytes, sizeof again);
    if (km_format_footer_read(copy, &footer)) {
        const uint64_t last = footer.chunks - 1;
        const uint64_t index_size = km_format_index_size(footer.chunks);
        fuzz_check(footer.chunks == km_format_chunks(footer.total, footer.chunk_shift));
        fuzz_check((last << footer.chunk_shift) +
                       km_format_raw_length(footer.total, footer.chunk_shift, last) ==
                   footer.total);
        fuzz_check(index_size >= KM_FORMAT_INDEX_SIZE(1));
        km_format_footer_write(&footer, again);
        fuzz_check(memcmp(copy, again, sizeof again) == 0);
    }
    free(copy);
}

static void try_member(const uint8_t *bytes, size_t length) {
    km_member_kind kind = KM_MEMBER_DATA;
    size_t head_size = 0;
    if (length >= KM_FORMAT_PREFIX_SIZE && km_format_kind(bytes, &kind, &head_size)) {
        const bool fits = head_size <= length;
        if (kind == KM_MEMBER_DATA && fits) {
            try_head(bytes, head_size);
        } else if (kind == KM_MEMBER_INDEX && head_size + 10 <= length) {
            try_index(bytes, head_size + 10);
        }
    }
    if (length >= KM_FORMAT_HEAD_SIZE) {
        try_head(bytes, KM_FORMAT_HEAD_SIZE);
    }
    if (length >= KM_FORMAT_FIRST_HEAD_SIZE) {
        try_head(bytes, KM_FORMAT_FIRST_HEAD_SIZE);
    }
    if (length >= KM_FORMAT_ENTRY_SIZE) {
        try_entry(bytes);
    }
    if (length >= KM_FORMAT_FOOTER_SIZE) {
        try_footer(bytes);
    }
    try_head(bytes, length);
    try_index(bytes, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input;
    fuzz_member members[FUZZ_MEMBERS_MAX];
    if (!fuzz_input_begin(&input, data, size)) {
        return 0;
    }
    const size_t count = fuzz_members(input.snapshot, input.length, members);
    for (size_t i = 0; i < count; i++) {
        try_member(input.snapshot + members[i].at, members[i].length);
    }
    fuzz_input_end(&input);
    return 0;
}
