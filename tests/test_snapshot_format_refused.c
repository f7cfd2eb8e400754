/*
 * test_snapshot_format_refused.c - of the bytes of the snapshot format nothing is read which is
 * not exactly as described.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "snapshot_format.h"
#include "support/format_examples.h"

static void set_number(uint8_t *bytes, size_t at, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++) {
        bytes[at + i] = (uint8_t)(value >> (8 * i));
    }
}

static bool head_reads(const uint8_t *head, size_t length) {
    uint64_t chunk = 1234567;
    km_format_entry entry = {.sum = 42};
    km_format_facts facts = {.seed = 42};
    const bool read = km_format_head_read(head, length, &chunk, &entry, &facts);
    if (!read) {
        assert_int_equal(chunk, 1234567);
        assert_int_equal(entry.sum, 42);
        assert_int_equal(facts.seed, 42);
    }
    return read;
}

static bool footer_reads(const uint8_t *bytes) {
    km_format_footer footer = {.index_sum = 42};
    const bool read = km_format_footer_read(bytes, &footer);
    if (!read) {
        assert_int_equal(footer.index_sum, 42);
    }
    return read;
}

static bool index_reads(const uint8_t *member, size_t length) {
    uint64_t first = 1234567;
    uint32_t count = 1234567;
    const uint8_t *entries = NULL;
    const bool read = km_format_index_read(member, length, &first, &count, &entries);
    if (!read) {
        assert_int_equal(first, 1234567);
        assert_int_equal(count, 1234567);
        assert_null(entries);
    }
    return read;
}

static void flip(uint8_t *bytes, size_t bit) {
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void every_changed_bit_of_a_head_is_refused(void **state) {
    (void)state;
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    for (uint64_t chunk = 0; chunk < 2; chunk++) {
        const size_t size = km_format_head_size(chunk);
        km_format_head_write(chunk, &some_entry, &some_facts, head);
        for (size_t bit = 0; bit < size * 8; bit++) {
            flip(head, bit);
            assert_false(head_reads(head, size));
            flip(head, bit);
        }
        assert_true(head_reads(head, size));
        assert_false(head_reads(head, size - 1));
    }
}

static void every_changed_bit_of_an_index_member_is_refused(void **state) {
    (void)state;
    uint8_t entries[2 * KM_FORMAT_ENTRY_SIZE];
    uint8_t index[KM_FORMAT_INDEX_SIZE(2) + 1];
    const size_t size = KM_FORMAT_INDEX_SIZE(2);
    km_format_entry_write(&some_entry, entries);
    km_format_entry_write(&some_entry, entries + KM_FORMAT_ENTRY_SIZE);
    km_format_index_write(454, 2, entries, index);
    for (size_t bit = 0; bit < size * 8; bit++) {
        flip(index, bit);
        assert_false(index_reads(index, size));
        flip(index, bit);
    }
    assert_true(index_reads(index, size));
    for (size_t length = 0; length < size; length++) {
        assert_false(index_reads(index, length));
    }
    assert_false(index_reads(index, size + 1));
}

static void every_changed_bit_of_a_footer_is_refused(void **state) {
    (void)state;
    uint8_t footer[KM_FORMAT_FOOTER_SIZE];
    km_format_footer_write(&some_footer, footer);
    for (size_t bit = 0; bit < sizeof footer * 8; bit++) {
        flip(footer, bit);
        assert_false(footer_reads(footer));
        flip(footer, bit);
    }
    assert_true(footer_reads(footer));
}

/* An entry has no sum of its own: a changed bit is refused, or read as what it now says. */
static void a_changed_bit_of_an_entry_is_refused_or_read(void **state) {
    (void)state;
    uint8_t bytes[KM_FORMAT_ENTRY_SIZE];
    uint8_t again[KM_FORMAT_ENTRY_SIZE];
    km_format_entry entry;
    km_format_entry_write(&some_entry, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        flip(bytes, bit);
        if (km_format_entry_read(bytes, &entry)) {
            km_format_entry_write(&entry, again);
            assert_memory_equal(bytes, again, sizeof bytes);
        }
        flip(bytes, bit);
    }
}

static void the_reserved_bytes_and_flags_of_an_entry_are_looked_at(void **state) {
    (void)state;
    uint8_t bytes[KM_FORMAT_ENTRY_SIZE];
    km_format_entry entry;
    for (size_t bit = 66; bit < 96; bit++) { /* flags 1 and 2 are bits 64 and 65 */
        km_format_entry_write(&some_entry, bytes);
        flip(bytes, bit);
        assert_false(km_format_entry_read(bytes, &entry));
    }
    km_format_entry_write(&some_entry, bytes);
    bytes[8] = KM_CHUNK_ZEROS;
    assert_true(km_format_entry_read(bytes, &entry));
    bytes[8] = KM_CHUNK_ZEROS | KM_CHUNK_STORED;
    assert_false(km_format_entry_read(bytes, &entry));
}

static bool entry_reads(uint32_t raw_length, uint32_t packed_length, uint8_t flags) {
    uint8_t bytes[KM_FORMAT_ENTRY_SIZE];
    km_format_entry entry = {
        .raw_length = raw_length, .packed_length = packed_length, .flags = flags};
    km_format_entry_write(&entry, bytes);
    return km_format_entry_read(bytes, &entry);
}

static void impossible_lengths_are_refused(void **state) {
    (void)state;
    const uint32_t largest = 1u << 24;
    assert_true(entry_reads(100, 50, 0));
    assert_true(entry_reads(100, 113, 0));
    assert_false(entry_reads(100, 114, 0));
    assert_false(entry_reads(100, 8, 0));
    assert_false(entry_reads(100, 0, 0));
    assert_true(entry_reads(100, 113, KM_CHUNK_STORED));
    assert_false(entry_reads(100, 112, KM_CHUNK_STORED));
    assert_true(entry_reads(0, 13, KM_CHUNK_STORED));
    assert_false(entry_reads(0, 13, 0));
    assert_false(entry_reads(0, 10, KM_CHUNK_ZEROS));
    assert_false(entry_reads(12, 25, KM_CHUNK_ZEROS)); /* both forms have 17 bytes */
    assert_true(entry_reads(13, 25, KM_CHUNK_ZEROS));
    assert_true(entry_reads(largest, 1000, KM_CHUNK_ZEROS));
    assert_false(entry_reads(largest + 1, 1000, KM_CHUNK_ZEROS));
    assert_false(entry_reads(UINT32_MAX, UINT32_MAX, 0));
    assert_false(entry_reads(UINT32_MAX, UINT32_MAX, KM_CHUNK_STORED));
}

/* Sums are no secret: bytes with a right sum are looked at too. */
static bool resummed_head_reads(uint8_t *head, size_t size) {
    set_number(head, size - 8, 8, km_checksum(head, size - 8));
    return head_reads(head, size);
}

static void impossible_facts_are_refused_although_their_sum_is_right(void **state) {
    (void)state;
    static const struct {
        size_t at, size;
        uint64_t value;
        bool good;
    } rows[] = {
        {20, 4, 0xffff, false},         /* raw length that the total contradicts */
        {24, 8, 1, false},              /* a number that has no facts */
        {32, 4, 8, false},              /* no body */
        {32, 4, UINT32_MAX, false},     /* packed length */
        {76, 8, 0, false},              /* total: chunk 0 would be empty */
        {76, 8, 65536, true},           /* the least total for such a chunk 0 */
        {76, 8, 65535, false},          /* */
        {76, 8, UINT64_MAX, true},      /* not known */
        {76, 8, UINT64_MAX - 1, false}, /* no file is so large */
        {76, 8, KM_FORMAT_TOTAL_MAX, true},
        {76, 8, KM_FORMAT_TOTAL_MAX + 1, false},
        {100, 1, 15, false}, /* chunk size */
        {100, 1, 25, false},
        {100, 1, 200, false},
        {101, 1, 0, false}, /* kind of hash */
        {101, 1, 2, false},
        {102, 1, 0, false}, /* source */
        {102, 1, 3, true},
        {102, 1, 4, false},
        {103, 1, 9, true}, /* level */
        {103, 1, 10, false},
        {108, 1, 0x1b, false}, /* a type with a control in it */
        {108, 1, 0xff, false}, /* that is no UTF-8 */
        {125, 1, 'x', false},  /* with bytes behind its end */
        {139, 1, 'x', false},
        {108, 1, 0, false},
    };
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_format_head_write(0, &some_entry, &some_facts, head);
        set_number(head, rows[i].at, rows[i].size, rows[i].value);
        assert_int_equal(resummed_head_reads(head, sizeof head), rows[i].good);
    }
    km_format_head_write(0, &some_entry, &some_facts, head);
    memset(head + 108, 'x', 32); /* without an end */
    assert_false(resummed_head_reads(head, sizeof head));
    memset(head + 108, 0, 32);
    assert_true(resummed_head_reads(head, sizeof head));
}

static void impossible_heads_are_refused_although_their_sum_is_right(void **state) {
    (void)state;
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    static const struct {
        size_t at, size;
        uint64_t value;
        bool good;
    } rows[] = {
        {24, 8, 0, false}, /* without the facts */
        {24, 8, KM_FORMAT_CHUNKS_MAX - 1, true},
        {24, 8, KM_FORMAT_CHUNKS_MAX, false},
        {24, 8, UINT64_MAX, false},
        {20, 4, 0, false},
        {20, 4, (1u << 24) + 1, false},
        {18, 1, KM_CHUNK_ZEROS, true},
        {18, 1, KM_CHUNK_ZEROS | KM_CHUNK_STORED, false},
        {18, 1, 4, false},
        {18, 1, 8, false},
        {18, 1, 0x80, false},
        {16, 1, 2, false}, /* another version */
        {17, 1, 2, false},
        {19, 1, 1, false},
        {4, 4, 1, false}, /* gzip's time */
        {9, 1, 3, false}, /* and system */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_format_head_write(1, &some_entry, NULL, head);
        set_number(head, rows[i].at, rows[i].size, rows[i].value);
        assert_int_equal(resummed_head_reads(head, KM_FORMAT_HEAD_SIZE), rows[i].good);
    }
}

static void impossible_footers_are_refused_although_their_sum_is_right(void **state) {
    (void)state;
    static const struct {
        size_t at, size;
        uint64_t value;
        bool good;
    } rows[] = {
        {20, 1, 15, false},
        {20, 1, 17, false}, /* the chunks contradict it */
        {20, 1, 255, false},
        {21, 1, 2, false},
        {22, 2, 1, false},
        {24, 8, UINT64_MAX, false},
        {24, 8, 0, false},
        {32, 8, 0, false},
        {32, 8, 0x1234, false},
        {32, 8, UINT64_MAX, false},
        {40, 8, 0, false},
        {40, 8, 112 + 61 * 0x1235, true}, /* the least that so many chunks need */
        {40, 8, 111 + 61 * 0x1235, false},
        {40, 8, KM_FORMAT_TOTAL_MAX + 1, false},
        {40, 8, UINT64_MAX, false},
        {56, 1, 7, true}, /* any id is one */
    };
    uint8_t footer[KM_FORMAT_FOOTER_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_format_footer_write(&some_footer, footer);
        set_number(footer, rows[i].at, rows[i].size, rows[i].value);
        set_number(footer, 72, 8, km_checksum(footer, 72));
        assert_int_equal(footer_reads(footer), rows[i].good);
    }
}

static void impossible_index_members_are_refused_although_their_sum_is_right(void **state) {
    (void)state;
    static const struct {
        size_t at, size;
        uint64_t value;
        bool good;
    } rows[] = {
        {20, 4, 1, false},   {20, 4, 3, false},  {20, 4, UINT32_MAX, false},
        {24, 8, 0, true},    {24, 8, 1, false},  {24, 8, UINT64_MAX - UINT64_MAX % 454, false},
        {10, 2, 101, false}, {14, 2, 95, false},
    };
    uint8_t entries[2 * KM_FORMAT_ENTRY_SIZE] = {0};
    uint8_t index[KM_FORMAT_INDEX_SIZE(2)];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_format_index_write(454, 2, entries, index);
        set_number(index, rows[i].at, rows[i].size, rows[i].value);
        set_number(index, 104, 8, km_checksum(index, 104));
        assert_int_equal(index_reads(index, sizeof index), rows[i].good);
    }
}

static void the_chunk_of_an_empty_image_is_stored(void **state) {
    (void)state;
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    km_format_facts facts = some_facts;
    km_format_entry entry = {.packed_length = 13, .flags = KM_CHUNK_STORED};
    facts.total = 0;
    km_format_head_write(0, &entry, &facts, head);
    assert_true(head_reads(head, sizeof head));
    facts.total = UINT64_MAX;
    km_format_head_write(0, &entry, &facts, head);
    assert_true(head_reads(head, sizeof head));
    entry.flags = 0;
    km_format_head_write(0, &entry, &facts, head);
    assert_false(head_reads(head, sizeof head));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changed_bit_of_a_head_is_refused),
        cmocka_unit_test(every_changed_bit_of_an_index_member_is_refused),
        cmocka_unit_test(every_changed_bit_of_a_footer_is_refused),
        cmocka_unit_test(a_changed_bit_of_an_entry_is_refused_or_read),
        cmocka_unit_test(the_reserved_bytes_and_flags_of_an_entry_are_looked_at),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(impossible_facts_are_refused_although_their_sum_is_right),
        cmocka_unit_test(impossible_heads_are_refused_although_their_sum_is_right),
        cmocka_unit_test(impossible_footers_are_refused_although_their_sum_is_right),
        cmocka_unit_test(impossible_index_members_are_refused_although_their_sum_is_right),
        cmocka_unit_test(the_chunk_of_an_empty_image_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
