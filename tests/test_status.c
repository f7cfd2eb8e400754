/*
 * test_status.c - statuses, sentences, and structs of options of other versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "options.h"
#include "path.h"
#include "status.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

/* ---- Statuses ---- */

static void every_status_has_its_name_and_a_meaning(void **state) {
    (void)state;
#define CHECK(name, value, meaning)                                                                \
    assert_int_equal(name, value);                                                                 \
    assert_string_equal(km_strerror(name), #name);                                                 \
    assert_string_equal(km_status_meaning(name), meaning);
    KM_STATUS_LIST(CHECK)
#undef CHECK
}

static void a_number_that_is_no_status_has_a_name_too(void **state) {
    (void)state;
    assert_string_equal(km_strerror((km_status)17), "KM_E_?");
    assert_string_equal(km_strerror((km_status)1000000), "KM_E_?");
    assert_non_null(km_status_meaning((km_status)17));
}

static void the_version_is_the_header_s(void **state) {
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", KM_VERSION_MAJOR, KM_VERSION_MINOR, KM_VERSION_PATCH);
    assert_string_equal(km_version(), text);
    assert_string_equal(KM_VERSION_TEXT, text);
}

static void win32_errors_become_statuses(void **state) {
    (void)state;
    static const struct {
        DWORD error;
        km_status status;
    } rows[] = {
        {0, KM_OK},
        {2, KM_E_NOT_FOUND},
        {3, KM_E_NOT_FOUND},
        {5, KM_E_ACCESS},
        {19, KM_E_ACCESS},
        {1314, KM_E_ACCESS},
        {32, KM_E_BUSY},
        {33, KM_E_BUSY},
        {1224, KM_E_BUSY},
        {80, KM_E_EXISTS},
        {183, KM_E_EXISTS},
        {258, KM_E_TIMEOUT},
        {112, KM_E_NO_SPACE},
        {39, KM_E_NO_SPACE},
        {1295, KM_E_NO_SPACE},
        {8, KM_E_NO_MEMORY},
        {14, KM_E_NO_MEMORY},
        {1455, KM_E_NO_MEMORY},
        {1450, KM_E_NO_MEMORY},
        {4, KM_E_NO_MEMORY},
        {487, KM_E_NO_MEMORY},
        {223, KM_E_TOO_LARGE},
        {206, KM_E_INVALID},
        {123, KM_E_INVALID},
        {1113, KM_E_INVALID},
        {87, KM_E_INVALID},
        {38, KM_E_TRUNCATED},
        {50, KM_E_UNSUPPORTED},
        {120, KM_E_UNSUPPORTED},
        {1117, KM_E_IO},
        {31, KM_E_IO},
        {0xFFFFFFFFu, KM_E_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(km_status_of_error(rows[i].error), rows[i].status);
    }
}

/* ---- Sentences ---- */

static void before_the_first_failure_there_is_no_sentence(void **state) {
    (void)state;
    assert_string_equal(km_error_message(), "");
    assert_int_equal(km_system_error(), 0);
}

static void a_failure_found_by_keepmap_has_no_system_error(void **state) {
    (void)state;
    (void)km_fail_system(ERROR_ACCESS_DENIED, "before");
    assert_int_equal(km_fail(KM_E_MISMATCH, "\"%s\" has %d legs", "bird", 3), KM_E_MISMATCH);
    assert_string_equal(km_error_message(), "\"bird\" has 3 legs");
    assert_int_equal(km_system_error(), 0);
}

/* "cannot: TEXT (5)", where TEXT is the system's, without its full stop and line end. */
static void a_failed_system_call_ends_with_the_system_s_words_and_number(void **state) {
    (void)state;
    assert_int_equal(km_fail_system(ERROR_ACCESS_DENIED, "cannot"), KM_E_ACCESS);
    assert_int_equal(km_system_error(), 5);
    const char *sentence = km_error_message();
    size_t length = strlen(sentence);
    assert_memory_equal(sentence, "cannot: ", 8);
    assert_true(length > 14);
    assert_string_equal(sentence + length - 4, " (5)");
    assert_true(sentence[length - 5] > ' ' && sentence[length - 5] != '.');
    assert_null(strchr(sentence, '\n'));
    assert_null(strchr(sentence, '\r'));
}

static void an_error_without_words_is_named_by_its_number(void **state) {
    (void)state;
    assert_int_equal(km_fail_system(0x2FFFFFFF, "cannot"), KM_E_IO);
    assert_string_equal(km_error_message(), "cannot: system error 805306367");
}

static void a_caller_who_knows_better_chooses_the_status(void **state) {
    (void)state;
    assert_int_equal(km_fail_system_as(KM_E_BUSY, ERROR_ACCESS_DENIED, "cannot"), KM_E_BUSY);
    assert_int_equal(km_system_error(), 5);
}

/* Is it well-formed UTF-8, as far as the number of continuing bytes goes? */
static bool is_utf8(const char *text) {
    size_t owed = 0;
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        bool continues = (byte & 0xC0u) == 0x80u;
        if (continues != (owed > 0)) {
            return false;
        }
        owed = continues ? owed - 1 : byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
    }
    return owed == 0;
}

/* Paths of 1, 2, 3 and 4 byte characters, longer and longer: cut nowhere, or between characters. */
static void a_long_sentence_loses_its_middle_and_no_half_characters(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    static char path[40000];
    (void)km_fail_system(ERROR_ACCESS_DENIED, "cannot open \"\"");
    const size_t other_words = strlen(km_error_message());
    for (size_t c = 0; c < 4; c++) {
        size_t width = strlen(characters[c]);
        for (size_t length = 0; length + width < sizeof path; length += length < 1200 ? 1 : 997) {
            size_t used = 0;
            for (; used + width <= length; used += width) {
                memcpy(path + used, characters[c], width);
            }
            path[used] = '\0';
            (void)km_fail_system(ERROR_ACCESS_DENIED, "cannot open \"%s\"", path);
            const char *sentence = km_error_message();
            size_t sentence_length = strlen(sentence);
            assert_true(sentence_length < 1024);
            assert_memory_equal(sentence, "cannot open \"", 13);
            assert_string_equal(sentence + sentence_length - 4, " (5)");
            assert_true(is_utf8(sentence));
            assert_int_equal(strstr(sentence, "[...]") != NULL, other_words + used > 1023);
        }
    }
}

static void the_reason_survives_a_path_that_is_too_long_to_show(void **state) {
    (void)state;
    static char path[4000];
    memset(path, 'p', sizeof path - 1);
    (void)km_fail(KM_E_INVALID, "cannot open \"%s\": it is a directory", path);
    const char *sentence = km_error_message();
    assert_string_equal(sentence + strlen(sentence) - strlen("p\": it is a directory"),
                        "p\": it is a directory");
}

#if defined(_WIN32)
static DWORD WINAPI fail_elsewhere(void *arg) {
    *(bool *)arg = km_error_message()[0] == '\0';
    (void)km_fail_system(ERROR_FILE_NOT_FOUND, "theirs");
    return 0;
}

static void run_thread(void *arg) {
    HANDLE thread = CreateThread(NULL, 0, fail_elsewhere, arg, 0, NULL);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, INFINITE), 0);
    CloseHandle(thread);
}
#else
static void *fail_elsewhere(void *arg) {
    *(bool *)arg = km_error_message()[0] == '\0';
    (void)km_fail_system(ERROR_FILE_NOT_FOUND, "theirs");
    return NULL;
}

static void run_thread(void *arg) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}
#endif

static void each_thread_has_a_sentence_of_its_own(void **state) {
    (void)state;
    bool began_empty = false;
    (void)km_fail_system_as(KM_E_IO, ERROR_ACCESS_DENIED, "ours");
    run_thread(&began_empty);
    assert_true(began_empty);
    assert_memory_equal(km_error_message(), "ours", 4);
    assert_int_equal(km_system_error(), 5);
}

/* ---- Structs of other versions ---- */

typedef struct first_version {
    uint32_t struct_size;
    uint32_t flags;
} first_version;

typedef struct our_version {
    uint32_t struct_size;
    uint32_t flags;
    uint64_t added;
} our_version;

typedef struct later_version {
    uint32_t struct_size;
    uint32_t flags;
    uint64_t added;
    uint64_t unknown_to_us;
} later_version;

static km_status read_struct(const void *from, our_version *to) {
    return km_struct_read(from, sizeof(first_version), sizeof *to, to, "km_thing");
}

static void no_struct_and_one_of_zeros_are_the_defaults(void **state) {
    (void)state;
    our_version zeros = {0};
    our_version read = {1, 2, 3};
    assert_int_equal(read_struct(NULL, &read), KM_OK);
    assert_int_equal(read.flags, 0);
    assert_int_equal(read.added, 0);
    read = (our_version){1, 2, 3};
    assert_int_equal(read_struct(&zeros, &read), KM_OK);
    assert_int_equal(read.flags, 0);
    assert_int_equal(read.added, 0);
    assert_int_equal(read.struct_size, sizeof(first_version));
}

static void an_older_struct_is_read_no_further_than_it_goes(void **state) {
    (void)state;
    our_version read = {0};
    our_version old = {sizeof(first_version), 7, 99}; /* 99 lies behind the old struct's end */
    assert_int_equal(read_struct(&old, &read), KM_OK);
    assert_int_equal(read.flags, 7);
    assert_int_equal(read.added, 0);
    old.struct_size = 0; /* the first version as well */
    assert_int_equal(read_struct(&old, &read), KM_OK);
    assert_int_equal(read.flags, 7);
    assert_int_equal(read.added, 0);
}

static void a_later_struct_is_read_if_it_uses_nothing_later(void **state) {
    (void)state;
    our_version read = {0};
    later_version later = {sizeof later, 7, 99, 0};
    assert_int_equal(read_struct(&later, &read), KM_OK);
    assert_int_equal(read.flags, 7);
    assert_int_equal(read.added, 99);
    assert_int_equal(read.struct_size, sizeof later);
}

static void a_later_struct_that_asks_for_more_is_refused(void **state) {
    (void)state;
    our_version read = {1, 2, 3};
    later_version later = {sizeof later, 7, 99, (uint64_t)1 << 63};
    assert_int_equal(read_struct(&later, &read), KM_E_INVALID);
    assert_int_equal(read.added, 3);
    assert_non_null(strstr(km_error_message(), "km_thing"));
}

static void a_struct_size_that_cannot_be_is_refused(void **state) {
    (void)state;
    our_version read = {1, 2, 3};
    for (uint32_t size = 1; size < sizeof(first_version); size++) {
        our_version wrong = {size, 7, 99};
        assert_int_equal(read_struct(&wrong, &read), KM_E_INVALID);
    }
    our_version garbage = {0xCCCCCCCCu, 7, 99};
    assert_int_equal(read_struct(&garbage, &read), KM_E_INVALID);
    assert_int_equal(read.flags, 2);
}

static void an_unknown_flag_is_refused_by_its_number(void **state) {
    (void)state;
    assert_int_equal(km_flags_check(0x5, 0x7, "things"), KM_OK);
    assert_int_equal(km_flags_check(0x80000005u, 0x7, "things"), KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "0x80000000"));
}

/* ---- Paths ---- */

static void a_path_that_is_none_is_refused(void **state) {
    (void)state;
    static char endless[200000];
    memset(endless, 'e', sizeof endless - 1);
    const char *const paths[] = {
        NULL, "", "caf\xE9", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\xE2\x82", endless};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        WCHAR *native = NULL;
        assert_int_equal(km_path_to_native(paths[i], &native), KM_E_INVALID);
        assert_null(native);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_failure_there_is_no_sentence),
        cmocka_unit_test(every_status_has_its_name_and_a_meaning),
        cmocka_unit_test(a_number_that_is_no_status_has_a_name_too),
        cmocka_unit_test(the_version_is_the_header_s),
        cmocka_unit_test(win32_errors_become_statuses),
        cmocka_unit_test(a_failure_found_by_keepmap_has_no_system_error),
        cmocka_unit_test(a_failed_system_call_ends_with_the_system_s_words_and_number),
        cmocka_unit_test(an_error_without_words_is_named_by_its_number),
        cmocka_unit_test(a_caller_who_knows_better_chooses_the_status),
        cmocka_unit_test(a_long_sentence_loses_its_middle_and_no_half_characters),
        cmocka_unit_test(the_reason_survives_a_path_that_is_too_long_to_show),
        cmocka_unit_test(each_thread_has_a_sentence_of_its_own),
        cmocka_unit_test(no_struct_and_one_of_zeros_are_the_defaults),
        cmocka_unit_test(an_older_struct_is_read_no_further_than_it_goes),
        cmocka_unit_test(a_later_struct_is_read_if_it_uses_nothing_later),
        cmocka_unit_test(a_later_struct_that_asks_for_more_is_refused),
        cmocka_unit_test(a_struct_size_that_cannot_be_is_refused),
        cmocka_unit_test(an_unknown_flag_is_refused_by_its_number),
        cmocka_unit_test(a_path_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
