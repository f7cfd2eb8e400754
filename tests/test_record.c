/*
 * test_record.c - the record of a segment: its bytes as documented, and that nothing in it is
 * believed which the section contradicts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "record.h"

#define PAGE ((uint64_t)4096)

static km_record sealed(uint64_t size, uint64_t section_size) {
    km_record record = {
        .size = size,
        .section_size = section_size,
        .type = "test.counters",
        .type_version = 7,
        .creator = 1234,
        .serial = 5,
        .created = 134000000000000000ULL,
    };
    km_record_seal(&record);
    return record;
}

static void a_section_has_room_for_the_record_behind_the_bytes(void **state) {
    (void)state;
    static const struct {
        uint64_t size, expected;
    } rows[] = {
        {1, PAGE},
        {PAGE - KM_RECORD_SIZE, PAGE},
        {PAGE - KM_RECORD_SIZE + 1, 2 * PAGE},
        {PAGE, 2 * PAGE},
        {((uint64_t)1 << 40) - KM_RECORD_SIZE, (uint64_t)1 << 40},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t section_size = 0;
        assert_true(km_record_section_size(rows[i].size, PAGE, &section_size));
        assert_int_equal(section_size, rows[i].expected);
    }
}

static void sizes_beyond_any_section_are_refused(void **state) {
    (void)state;
    const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - KM_RECORD_SIZE, (uint64_t)INT64_MAX,
                              (uint64_t)INT64_MAX - PAGE + 2};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t section_size = 99;
        assert_false(km_record_section_size(sizes[i], PAGE, &section_size));
        assert_int_equal(section_size, 99);
    }
}

/* Programs of other versions have to find the same bytes in the same places. */
static void the_bytes_are_where_the_description_says(void **state) {
    (void)state;
    const km_record record = sealed(5000, 2 * PAGE);
    const unsigned char *bytes = (const unsigned char *)&record;
    uint32_t word = 0;
    uint64_t number = 0;
    assert_int_equal(sizeof record, 128);
    assert_memory_equal(bytes, "keepmap\x1A", 8);
    memcpy(&word, bytes + 8, sizeof word);
    assert_int_equal(word, 1);
    memcpy(&word, bytes + 12, sizeof word);
    assert_int_equal(word, 0);
    memcpy(&number, bytes + 16, sizeof number);
    assert_int_equal(number, 5000);
    memcpy(&number, bytes + 24, sizeof number);
    assert_int_equal(number, 2 * PAGE);
    assert_string_equal((const char *)bytes + 32, "test.counters");
    memcpy(&word, bytes + 64, sizeof word);
    assert_int_equal(word, 7);
    memcpy(&word, bytes + 72, sizeof word);
    assert_int_equal(word, 1234);
    memcpy(&word, bytes + 76, sizeof word);
    assert_int_equal(word, 5);
    memcpy(&number, bytes + 80, sizeof number);
    assert_int_equal(number, 134000000000000000ULL);
    memcpy(&number, bytes + 88, sizeof number);
    assert_int_equal(number, 0);
}

static void a_sealed_record_is_unready_until_it_says_ready(void **state) {
    (void)state;
    km_record record = sealed(100, PAGE);
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_UNREADY);
    record.ready = KM_RECORD_READY;
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_WHOLE);
    record.mark = UINT64_MAX; /* comes and goes, and proves nothing */
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_WHOLE);
    record.ready = 17;
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_NONE);
}

static void a_section_that_contradicts_its_record_has_none(void **state) {
    (void)state;
    km_record record = sealed(100, PAGE);
    record.ready = KM_RECORD_READY;
    assert_int_equal(km_record_judge(&record, 2 * PAGE), KM_RECORD_NONE);
    assert_int_equal(km_record_judge(&record, 0), KM_RECORD_NONE);
    assert_int_equal(km_record_judge(&record, KM_RECORD_SIZE - 1), KM_RECORD_NONE);
}

/* Sealed by somebody who knows how, with sizes that would lead past the end. */
static void wild_sizes_are_not_believed_even_if_sealed(void **state) {
    (void)state;
    const uint64_t sizes[] = {PAGE - KM_RECORD_SIZE + 1, PAGE, UINT64_MAX, UINT64_MAX - 127,
                              (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        km_record record = sealed(sizes[i], PAGE);
        record.ready = KM_RECORD_READY;
        assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_NONE);
    }
    km_record record = sealed(100, UINT64_MAX);
    record.ready = KM_RECORD_READY;
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_NONE);
}

static void a_type_without_an_end_is_not_believed(void **state) {
    (void)state;
    km_record record = {.size = 100, .section_size = PAGE};
    memset(record.type, 'x', sizeof record.type);
    km_record_seal(&record);
    record.ready = KM_RECORD_READY;
    assert_int_equal(km_record_judge(&record, PAGE), KM_RECORD_NONE);
}

/* Whoever may write the record could otherwise write to the screens of those who list it. */
static void a_type_that_cannot_be_shown_is_not_believed(void **state) {
    (void)state;
    /* U+202E, in a form that leaves this file's own text in order. */
    static const char right_to_left[] = {'\xE2', '\x80', '\xAE', 't', 'x', 't', '\0'};
    static const struct {
        const char *type;
        km_record_verdict expected;
    } rows[] = {
        {"plain", KM_RECORD_WHOLE},
        {"", KM_RECORD_WHOLE},
        {"Z\xC3\xA4hler \xF0\x9F\x98\x80", KM_RECORD_WHOLE},
        {"\033[2J", KM_RECORD_NONE},
        {"two\nlines", KM_RECORD_NONE},
        {"\x7F", KM_RECORD_NONE},
        {"\xC2\x9B"
         "2J",
         KM_RECORD_NONE}, /* U+009B */
        {right_to_left, KM_RECORD_NONE},
        {"\xE2\x80\xA8", KM_RECORD_NONE}, /* U+2028 */
        {"\xFF", KM_RECORD_NONE},
        {"\xC3", KM_RECORD_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        km_record record = {.size = 100, .section_size = PAGE};
        memcpy(record.type, rows[i].type, strlen(rows[i].type));
        km_record_seal(&record);
        record.ready = KM_RECORD_READY;
        assert_int_equal(km_record_judge(&record, PAGE), rows[i].expected);
    }
}

static void a_time_that_no_clock_can_have_said_is_unknown(void **state) {
    (void)state;
    const uint64_t of_1970 = 116444736000000000ULL;
    const uint64_t last = of_1970 + UINT64_MAX / 100 - 1;
    assert_true(km_record_created_ns(&(km_record){.created = of_1970}) == 0);
    assert_true(km_record_created_ns(&(km_record){.created = of_1970 + 7}) == 700);
    assert_true(km_record_created_ns(&(km_record){.created = last}) == (last - of_1970) * 100);
    assert_true(km_record_created_ns(&(km_record){.created = last + 1}) == KM_TIME_UNKNOWN);
    assert_true(km_record_created_ns(&(km_record){.created = of_1970 - 1}) == KM_TIME_UNKNOWN);
    assert_true(km_record_created_ns(&(km_record){.created = UINT64_MAX}) == KM_TIME_UNKNOWN);
}

static void every_byte_but_the_mark_is_checked(void **state) {
    (void)state;
    for (size_t i = 0; i < KM_RECORD_SIZE; i++) {
        km_record record = sealed(100, PAGE);
        record.ready = KM_RECORD_READY;
        ((unsigned char *)&record)[i] ^= 1;
        const bool is_mark = i >= offsetof(km_record, mark) && i < offsetof(km_record, unused);
        const km_record_verdict verdict = km_record_judge(&record, PAGE);
        assert_int_equal(verdict, is_mark ? KM_RECORD_WHOLE : KM_RECORD_NONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_has_room_for_the_record_behind_the_bytes),
        cmocka_unit_test(sizes_beyond_any_section_are_refused),
        cmocka_unit_test(the_bytes_are_where_the_description_says),
        cmocka_unit_test(a_sealed_record_is_unready_until_it_says_ready),
        cmocka_unit_test(a_section_that_contradicts_its_record_has_none),
        cmocka_unit_test(wild_sizes_are_not_believed_even_if_sealed),
        cmocka_unit_test(a_type_without_an_end_is_not_believed),
        cmocka_unit_test(a_type_that_cannot_be_shown_is_not_believed),
        cmocka_unit_test(a_time_that_no_clock_can_have_said_is_unknown),
        cmocka_unit_test(every_byte_but_the_mark_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
