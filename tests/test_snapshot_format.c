/*
 * test_snapshot_format.c - the bytes of the snapshot format are where the description has them, and
 * what is written is read.
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

static uint64_t number_at(const uint8_t *bytes, size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value += (uint64_t)bytes[at + i] << (8 * i);
    }
    return value;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

static void chunks_and_their_lengths_follow_from_the_total(void **state) {
    (void)state;
    static const struct {
        uint64_t total;
        uint8_t shift;
        uint64_t chunks;
        uint32_t last;
    } rows[] = {
        {0, 16, 1, 0},
        {1, 16, 1, 1},
        {65535, 16, 1, 65535},
        {65536, 16, 1, 65536},
        {65537, 16, 2, 1},
        {131072, 16, 2, 65536},
        {(uint64_t)1 << 24, 24, 1, 1u << 24},
        {KM_FORMAT_TOTAL_MAX, 16, KM_FORMAT_CHUNKS_MAX, 65535},
        {KM_FORMAT_TOTAL_MAX, 24, (uint64_t)1 << 39, (1u << 24) - 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(km_format_chunks(rows[i].total, rows[i].shift), rows[i].chunks);
        assert_int_equal(km_format_raw_length(rows[i].total, rows[i].shift, rows[i].chunks - 1),
                         rows[i].last);
        if (rows[i].chunks > 1) {
            assert_int_equal(km_format_raw_length(rows[i].total, rows[i].shift, 0),
                             1u << rows[i].shift);
        }
    }
}

static void the_longest_form_of_a_chunk_is_the_stored_one(void **state) {
    (void)state;
    assert_int_equal(km_format_packed_most(0), 13);
    assert_int_equal(km_format_packed_most(1), 14);
    assert_int_equal(km_format_packed_most(65535), 65535 + 13);
    assert_int_equal(km_format_packed_most(65536), 65536 + 18);
    assert_int_equal(km_format_packed_most(1u << 24), (1u << 24) + 8 + 5 * 257);
}

static void an_index_has_454_entries_in_all_members_but_the_last(void **state) {
    (void)state;
    const uint64_t full = 16394; /* 50 + 36 * 454 */
    assert_int_equal(km_format_index_size(1), 86);
    assert_int_equal(km_format_index_size(454), full);
    assert_int_equal(km_format_index_size(455), full + 86);
    assert_int_equal(km_format_index_size(3 * 454 + 5), 3 * full + 230);
    assert_int_equal(km_format_index_size(0), UINT64_MAX);
    assert_int_equal(km_format_index_size(KM_FORMAT_CHUNKS_MAX + 1), UINT64_MAX);
    assert_int_equal(km_format_index_size(UINT64_MAX), UINT64_MAX);
    assert_true(km_format_index_size(KM_FORMAT_CHUNKS_MAX) < UINT64_MAX);
}

/* ---- Places -------------------------------------------------------------------------------- */

static void the_bytes_of_a_head_are_where_the_description_says(void **state) {
    (void)state;
    static const uint8_t beginning[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff};
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    km_format_head_write(0, &some_entry, &some_facts, head);
    assert_memory_equal(head, beginning, sizeof beginning);
    assert_int_equal(number_at(head, 10, 2), 152);
    assert_memory_equal(head + 12, "KM", 2);
    assert_int_equal(number_at(head, 14, 2), 148);
    assert_int_equal(head[16], 1);
    assert_int_equal(head[17], 1);
    assert_int_equal(head[18], 4);
    assert_int_equal(head[19], 0);
    assert_int_equal(number_at(head, 20, 4), some_entry.raw_length);
    assert_int_equal(number_at(head, 24, 8), 0);
    assert_int_equal(number_at(head, 32, 4), some_entry.packed_length);
    assert_int_equal(number_at(head, 36, 8), some_entry.sum);
    assert_memory_equal(head + 44, some_facts.id, 16);
    assert_memory_equal(head + 60, some_facts.since, 16);
    assert_int_equal(number_at(head, 76, 8), some_facts.total);
    assert_int_equal(number_at(head, 84, 8), some_facts.made_ns);
    assert_int_equal(number_at(head, 92, 8), some_facts.seed);
    assert_int_equal(head[100], 16);
    assert_int_equal(head[101], 1);
    assert_int_equal(head[102], 2);
    assert_int_equal(head[103], 6);
    assert_int_equal(number_at(head, 104, 4), 7);
    assert_memory_equal(head + 108, some_facts.type, 32);
    assert_int_equal(number_at(head, 140, 8), 2049);
    assert_int_equal(number_at(head, 148, 8), 77);
    assert_int_equal(number_at(head, 156, 8), km_checksum(head, 156));
    km_format_head_write(UINT64_C(0x123456789a), &some_entry, NULL, head);
    assert_int_equal(number_at(head, 10, 2), 40);
    assert_int_equal(number_at(head, 14, 2), 36);
    assert_int_equal(head[18], 0);
    assert_int_equal(number_at(head, 24, 8), UINT64_C(0x123456789a));
    assert_int_equal(number_at(head, 44, 8), km_checksum(head, 44));
}

static void the_bytes_of_index_and_footer_are_where_the_description_says(void **state) {
    (void)state;
    static const uint8_t nothing[10] = {3};
    uint8_t entries[2 * KM_FORMAT_ENTRY_SIZE];
    uint8_t index[KM_FORMAT_INDEX_SIZE(2)];
    uint8_t footer[KM_FORMAT_FOOTER_SIZE];
    km_format_entry_write(&some_entry, entries);
    km_format_entry_write(&some_entry, entries + KM_FORMAT_ENTRY_SIZE);
    assert_int_equal(number_at(entries, 0, 4), some_entry.packed_length);
    assert_int_equal(number_at(entries, 4, 4), some_entry.raw_length);
    assert_int_equal(number_at(entries, 8, 4), 0);
    assert_int_equal(number_at(entries, 12, 8), some_entry.sum);
    assert_memory_equal(entries + 20, some_entry.hash, 16);
    km_format_index_write(454, 2, entries, index);
    assert_int_equal(sizeof index, 122);
    assert_int_equal(number_at(index, 10, 2), 100);
    assert_int_equal(number_at(index, 14, 2), 96);
    assert_int_equal(index[17], 2);
    assert_int_equal(number_at(index, 20, 4), 2);
    assert_int_equal(number_at(index, 24, 8), 454);
    assert_memory_equal(index + 32, entries, sizeof entries);
    assert_int_equal(number_at(index, 104, 8), km_checksum(index, 104));
    assert_memory_equal(index + 112, nothing, sizeof nothing);
    km_format_footer_write(&some_footer, footer);
    assert_int_equal(number_at(footer, 10, 2), 76);
    assert_int_equal(footer[17], 3);
    assert_int_equal(footer[20], 16);
    assert_int_equal(footer[21], 1);
    assert_int_equal(number_at(footer, 22, 2), 0);
    assert_int_equal(number_at(footer, 24, 8), some_footer.total);
    assert_int_equal(number_at(footer, 32, 8), some_footer.chunks);
    assert_int_equal(number_at(footer, 40, 8), some_footer.index_offset);
    assert_int_equal(number_at(footer, 48, 8), some_footer.index_sum);
    assert_memory_equal(footer + 56, some_footer.id, 16);
    assert_int_equal(number_at(footer, 72, 8), km_checksum(footer, 72));
    assert_memory_equal(footer + 98 - 18, "keepmap\x1a", 8);
    assert_memory_equal(footer + 88, nothing, sizeof nothing);
}

/* ---- There and back ------------------------------------------------------------------------ */

static void what_is_written_is_read(void **state) {
    (void)state;
    uint8_t bytes[KM_FORMAT_FIRST_HEAD_SIZE];
    uint64_t chunk = 99;
    km_format_entry entry;
    km_format_facts facts;
    km_format_footer footer;
    km_format_entry without_hash = some_entry;
    memset(without_hash.hash, 0, sizeof without_hash.hash);

    km_format_head_write(0, &some_entry, &some_facts, bytes);
    assert_true(km_format_head_read(bytes, KM_FORMAT_FIRST_HEAD_SIZE, &chunk, &entry, &facts));
    assert_int_equal(chunk, 0);
    assert_int_equal(entry.packed_length, some_entry.packed_length);
    assert_int_equal(entry.raw_length, some_entry.raw_length);
    assert_int_equal(entry.flags, some_entry.flags);
    assert_int_equal(entry.sum, some_entry.sum);
    assert_memory_equal(entry.hash, without_hash.hash, KM_HASH_SIZE);
    assert_memory_equal(facts.id, some_facts.id, 16);
    assert_memory_equal(facts.since, some_facts.since, 16);
    assert_int_equal(facts.total, some_facts.total);
    assert_int_equal(facts.made_ns, some_facts.made_ns);
    assert_int_equal(facts.seed, some_facts.seed);
    assert_int_equal(facts.chunk_shift, some_facts.chunk_shift);
    assert_int_equal(facts.source, some_facts.source);
    assert_int_equal(facts.level, some_facts.level);
    assert_int_equal(facts.type_version, some_facts.type_version);
    assert_string_equal(facts.type, some_facts.type);
    assert_int_equal(facts.volume, some_facts.volume);
    assert_int_equal(facts.number, some_facts.number);

    km_format_head_write(5, &some_entry, NULL, bytes);
    assert_true(km_format_head_read(bytes, KM_FORMAT_HEAD_SIZE, &chunk, &entry, NULL));
    assert_int_equal(chunk, 5);

    km_format_entry_write(&some_entry, bytes);
    assert_true(km_format_entry_read(bytes, &entry));
    assert_memory_equal(entry.hash, some_entry.hash, KM_HASH_SIZE);
    assert_int_equal(entry.sum, some_entry.sum);

    km_format_footer_write(&some_footer, bytes);
    assert_true(km_format_footer_read(bytes, &footer));
    assert_int_equal(footer.total, some_footer.total);
    assert_int_equal(footer.chunks, some_footer.chunks);
    assert_int_equal(footer.index_offset, some_footer.index_offset);
    assert_int_equal(footer.index_sum, some_footer.index_sum);
    assert_memory_equal(footer.id, some_footer.id, 16);
}

static void the_largest_index_member_is_written_and_read(void **state) {
    (void)state;
    static uint8_t entries[KM_FORMAT_INDEX_ENTRIES * KM_FORMAT_ENTRY_SIZE];
    static uint8_t index[KM_FORMAT_INDEX_SIZE_MAX];
    uint64_t first = 0;
    uint32_t count = 0;
    const uint8_t *found = NULL;
    memset(entries, 0xa5, sizeof entries);
    km_format_index_write(454, 454, entries, index);
    assert_true(km_format_index_read(index, sizeof index, &first, &count, &found));
    assert_int_equal(first, 454);
    assert_int_equal(count, 454);
    assert_memory_equal(found, entries, sizeof entries);
}

static void a_trailer_has_crc_and_length(void **state) {
    (void)state;
    static const uint8_t expected[] = {0x78, 0x56, 0x34, 0x12, 0x01, 0x00, 0x02, 0x00};
    uint8_t trailer[KM_FORMAT_TRAILER_SIZE];
    uint32_t crc = 0;
    uint32_t raw_length = 0;
    km_format_trailer_write(0x12345678, 0x20001, trailer);
    assert_memory_equal(trailer, expected, sizeof expected);
    km_format_trailer_read(trailer, &crc, &raw_length);
    assert_int_equal(crc, 0x12345678);
    assert_int_equal(raw_length, 0x20001);
}

static void the_kind_of_a_member_shows_in_its_first_bytes(void **state) {
    (void)state;
    uint8_t bytes[KM_FORMAT_FIRST_HEAD_SIZE + KM_FORMAT_INDEX_SIZE(3)];
    uint8_t entries[3 * KM_FORMAT_ENTRY_SIZE] = {0};
    km_member_kind kind = KM_MEMBER_FOOTER;
    size_t size = 0;
    km_format_head_write(0, &some_entry, &some_facts, bytes);
    assert_true(km_format_kind(bytes, &kind, &size));
    assert_int_equal(kind, KM_MEMBER_DATA);
    assert_int_equal(size, 164);
    km_format_head_write(1, &some_entry, NULL, bytes);
    assert_true(km_format_kind(bytes, &kind, &size));
    assert_int_equal(size, 52);
    km_format_index_write(0, 3, entries, bytes);
    assert_true(km_format_kind(bytes, &kind, &size));
    assert_int_equal(kind, KM_MEMBER_INDEX);
    assert_int_equal(size, 40 + 3 * 36);
    km_format_footer_write(&some_footer, bytes);
    assert_true(km_format_kind(bytes, &kind, &size));
    assert_int_equal(kind, KM_MEMBER_FOOTER);
    assert_int_equal(size, 88);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_their_lengths_follow_from_the_total),
        cmocka_unit_test(the_longest_form_of_a_chunk_is_the_stored_one),
        cmocka_unit_test(an_index_has_454_entries_in_all_members_but_the_last),
        cmocka_unit_test(the_bytes_of_a_head_are_where_the_description_says),
        cmocka_unit_test(the_bytes_of_index_and_footer_are_where_the_description_says),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_largest_index_member_is_written_and_read),
        cmocka_unit_test(a_trailer_has_crc_and_length),
        cmocka_unit_test(the_kind_of_a_member_shows_in_its_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
