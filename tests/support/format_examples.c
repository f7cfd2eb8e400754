/*
 * format_examples.c - an entry, facts and a footer to write and to read.
 */
#include "format_examples.h"

const km_format_entry some_entry = {
    .packed_length = 0x01234,
    .raw_length = 0x10000,
    .flags = 0,
    .sum = UINT64_C(0x1122334455667788),
    .hash = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
};

const km_format_facts some_facts = {
    .id = "0123456789abcde",
    .since = "ABCDEFGHIJKLMNO",
    .total = 0x12345678,
    .made_ns = UINT64_C(1700000000123456789),
    .seed = UINT64_C(0xfedcba9876543210),
    .chunk_shift = 16,
    .hash_kind = KM_FORMAT_HASH_XXH3_128,
    .source = KM_FORMAT_SEGMENT,
    .level = 6,
    .type_version = 7,
    .type = "test.counters",
    .volume = 2049,
    .number = 77,
};

const km_format_footer some_footer = {
    .chunk_shift = 16,
    .hash_kind = KM_FORMAT_HASH_XXH3_128,
    .total = 0x12345678,
    .chunks = 0x1235,
    .index_offset = 0x5555555,
    .index_sum = UINT64_C(0xaabbccddeeff0011),
    .id = "0123456789abcde",
};
