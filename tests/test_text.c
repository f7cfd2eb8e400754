/*
 * test_text.c - UTF-8 and UTF-16, FormatMessage, the system's facts, and errors among threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include <keepmap/win32.h>

#ifdef _WIN32
#define ON_WINDOWS true
#else
#define ON_WINDOWS false
#endif

/* Wine swallows what follows a sequence that the end of the text cuts short. Windows' own count is
 * not known for that row; ours is the Unicode Standard's. */
#define UNLIKE_WINE ON_WINDOWS

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- Well-formed text ---- */

static const struct {
    const char *utf8;
    WCHAR utf16[4];
    int units;
} pairs[] = {
    {"a", {'a'}, 1},
    {"\x7F", {0x7F}, 1},
    {"\xC2\x80", {0x80}, 1},
    {"\xDF\xBF", {0x7FF}, 1},
    {"\xE0\xA0\x80", {0x800}, 1},
    {"\xED\x9F\xBF", {0xD7FF}, 1},
    {"\xEE\x80\x80", {0xE000}, 1},
    {"\xEF\xBF\xBF", {0xFFFF}, 1},
    {"\xF0\x90\x80\x80", {0xD800, 0xDC00}, 2},
    {"\xF4\x8F\xBF\xBF", {0xDBFF, 0xDFFF}, 2},
};

static void every_boundary_converts_both_ways(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        int bytes = (int)strlen(pairs[i].utf8);
        WCHAR wide[8] = {0};
        char narrow[8] = {0};
        assert_int_equal(
            MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, pairs[i].utf8, bytes, wide, 8),
            pairs[i].units);
        assert_memory_equal(wide, pairs[i].utf16, (size_t)pairs[i].units * sizeof(WCHAR));
        assert_int_equal(WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, pairs[i].utf16,
                                             pairs[i].units, narrow, 8, NULL, NULL),
                         bytes);
        assert_memory_equal(narrow, pairs[i].utf8, (size_t)bytes);
    }
}

static void every_code_point_comes_back(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code += code < 0x3000 ? 1 : 61) {
        if (code >= 0xD800 && code <= 0xDFFF) {
            continue;
        }
        WCHAR wide[2] = {(WCHAR)code, 0};
        int units = 1;
        if (code > 0xFFFF) {
            wide[0] = (WCHAR)(0xD800 + ((code - 0x10000) >> 10));
            wide[1] = (WCHAR)(0xDC00 + (code & 0x3FF));
            units = 2;
        }
        char narrow[4];
        WCHAR again[2] = {0};
        int bytes =
            WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, units, narrow, 4, NULL, NULL);
        assert_int_equal(bytes, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        assert_int_equal(
            MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, narrow, bytes, again, 2), units);
        assert_memory_equal(again, wide, (size_t)units * sizeof(WCHAR));
    }
}

/* ---- Ill-formed text ---- */

#define R 0xFFFD

static const struct {
    const char *utf8;
    WCHAR utf16[8];
    int units;
    bool unlike_wine;
} ill_formed[] = {
    {"\x80\xBF", {R, R}, 2, false},
    {"a\xFF"
     "b",
     {'a', R, 'b'},
     3,
     false},
    {"\xC0\xAF", {R, R}, 2, false},
    {"\xC1\x80", {R, R}, 2, false},
    {"\xE0", {R}, 1, false},
    {"\xE0\xA0", {R}, 1, false},
    {"\xE0\x80\x80", {R, R}, 2, false},
    {"\xE2\x82", {R}, 1, false},
    {"\xE2\x82"
     "a",
     {R, 'a'},
     2,
     false},
    {"\xED\xA0\x80", {R, R}, 2, false},
    {"\xED\xA0\x80\xED\xB0\x80", {R, R, R, R}, 4, false},
    {"\xF0\x80\x80\x80", {R, R, R}, 3, false},
    {"\xF0\x8F\xBF\xBF", {R, R, R}, 3, false},
    {"\xF0\x9F\x98", {R}, 1, false},
    {"\xF0\x9F\x98"
     "A",
     {R, 'A'},
     2,
     false},
    {"\xF4\x90\x80\x80", {R, R, R}, 3, false},
    {"\xF5\x80\x80\x80", {R, R, R, R}, 4, false},
    {"\xF8\x88\x80\x80\x80", {R, R, R, R, R}, 5, false},
    {"\xF1\x80"
     "A",
     {R, 'A'},
     2,
     true},
};

static void ill_formed_utf8_becomes_replacement_characters(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ill_formed); i++) {
        if (ill_formed[i].unlike_wine && UNLIKE_WINE) {
            continue;
        }
        int bytes = (int)strlen(ill_formed[i].utf8);
        WCHAR wide[8] = {0};
        assert_int_equal(MultiByteToWideChar(CP_UTF8, 0, ill_formed[i].utf8, bytes, wide, 8),
                         ill_formed[i].units);
        assert_memory_equal(wide, ill_formed[i].utf16, (size_t)ill_formed[i].units * sizeof(WCHAR));
    }
}

static void ill_formed_utf8_is_an_error_if_asked(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ill_formed); i++) {
        SetLastError(0);
        assert_int_equal(
            MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, ill_formed[i].utf8, -1, NULL, 0), 0);
        assert_int_equal(GetLastError(), ERROR_NO_UNICODE_TRANSLATION);
    }
}

static void unpaired_surrogates_become_replacement_characters(void **state) {
    (void)state;
    const WCHAR text[] = {'a', 0xD800, 'b', 0xDC00, 0xD83D, 0xDE00, 0xD801};
    const char expected[] = "a\xEF\xBF\xBD"
                            "b\xEF\xBF\xBD\xF0\x9F\x98\x80\xEF\xBF\xBD";
    char narrow[32];
    assert_int_equal(WideCharToMultiByte(CP_UTF8, 0, text, 7, narrow, 32, NULL, NULL), 15);
    assert_memory_equal(narrow, expected, 15);
    SetLastError(0);
    assert_int_equal(
        WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, 7, narrow, 32, NULL, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_NO_UNICODE_TRANSLATION);
}

/* ---- Lengths and arguments ---- */

static void a_length_of_minus_one_includes_the_terminator(void **state) {
    (void)state;
    const WCHAR ab[] = {'a', 'b', 0};
    WCHAR wide[4] = {1, 1, 1, 1};
    char narrow[4] = {1, 1, 1, 1};
    assert_int_equal(MultiByteToWideChar(CP_UTF8, 0, "ab", -1, NULL, 0), 3);
    assert_int_equal(MultiByteToWideChar(CP_UTF8, 0, "ab", -1, wide, 4), 3);
    assert_int_equal(wide[2], 0);
    assert_int_equal(WideCharToMultiByte(CP_UTF8, 0, ab, -1, NULL, 0, NULL, NULL), 3);
    assert_int_equal(WideCharToMultiByte(CP_UTF8, 0, ab, -1, narrow, 4, NULL, NULL), 3);
    assert_string_equal(narrow, "ab");
}

static void zeros_inside_a_counted_text_are_characters(void **state) {
    (void)state;
    WCHAR wide[4];
    assert_int_equal(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, "a\0b", 4, wide, 4), 4);
    assert_int_equal(wide[1], 0);
    assert_int_equal(wide[2], 'b');
}

static void to_wide_fails(DWORD expected, UINT page, DWORD flags, const char *from, int from_length,
                          WCHAR *to, int to_length) {
    SetLastError(0);
    assert_int_equal(MultiByteToWideChar(page, flags, from, from_length, to, to_length), 0);
    assert_int_equal(GetLastError(), expected);
}

static void to_utf8_fails(DWORD expected, DWORD flags, const WCHAR *from, int from_length, char *to,
                          int to_length) {
    SetLastError(0);
    assert_int_equal(
        WideCharToMultiByte(CP_UTF8, flags, from, from_length, to, to_length, NULL, NULL), 0);
    assert_int_equal(GetLastError(), expected);
}

static void wrong_arguments_of_conversions_have_their_errors(void **state) {
    (void)state;
    const WCHAR ab[] = {'a', 'b', 0};
    WCHAR wide[4];
    char narrow[4];
    to_wide_fails(ERROR_INVALID_PARAMETER, 12345, 0, "a", -1, wide, 4);
    to_wide_fails(ERROR_INVALID_PARAMETER, CP_UTF8, 0, NULL, -1, wide, 4);
    to_wide_fails(ERROR_INVALID_PARAMETER, CP_UTF8, 0, "a", 0, wide, 4);
    to_wide_fails(ERROR_INVALID_PARAMETER, CP_UTF8, 0, "a", -1, wide, -1);
    to_wide_fails(ERROR_INVALID_PARAMETER, CP_UTF8, 0, "a", -1, NULL, 4);
    to_wide_fails(ERROR_INVALID_FLAGS, CP_UTF8, 0x10, "a", -1, wide, 4);
    to_wide_fails(ERROR_INSUFFICIENT_BUFFER, CP_UTF8, 0, "abc", -1, wide, 3);
    to_utf8_fails(ERROR_INVALID_PARAMETER, 0, NULL, -1, narrow, 4);
    to_utf8_fails(ERROR_INVALID_PARAMETER, 0, ab, 0, narrow, 4);
    to_utf8_fails(ERROR_INVALID_PARAMETER, 0, ab, -1, NULL, 4);
    to_utf8_fails(ERROR_INVALID_FLAGS, 1, ab, -1, narrow, 4);
    to_utf8_fails(ERROR_INSUFFICIENT_BUFFER, 0, ab, -1, narrow, 2);
}

/* Wine takes it; Microsoft documents that it fails. */
static void a_substitute_is_refused_for_utf8(void **state) {
    (void)state;
    if (ON_WINDOWS) {
        skip();
    }
    const WCHAR a[] = {'a', 0};
    char narrow[4];
    BOOL substituted = 7;
    SetLastError(0);
    assert_int_equal(WideCharToMultiByte(CP_UTF8, 0, a, -1, narrow, 4, "?", NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_int_equal(WideCharToMultiByte(CP_UTF8, 0, a, -1, narrow, 4, NULL, &substituted), 0);
    assert_int_equal(substituted, 7);
}

/* ---- FormatMessage ---- */

static const DWORD of_system = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
static const DWORD of_string = FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_IGNORE_INSERTS;

static void a_system_message_ends_its_line(void **state) {
    (void)state;
    char text[256];
    DWORD length =
        FormatMessageA(of_system, NULL, ERROR_FILE_NOT_FOUND, 0, text, sizeof text, NULL);
    assert_true(length > 4);
    assert_int_equal(strlen(text), length);
    assert_string_equal(text + length - 2, "\r\n");
}

static void a_width_mask_makes_it_one_line(void **state) {
    (void)state;
    char text[256];
    DWORD length = FormatMessageA(of_system | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL,
                                  ERROR_FILE_NOT_FOUND, 0, text, sizeof text, NULL);
    assert_true(length > 4);
    assert_null(strpbrk(text, "\r\n"));
    assert_int_equal(text[length - 1], ' ');
    const char *lines = "a\rb\r\nc\nd";
    assert_int_equal(FormatMessageA(of_string | FORMAT_MESSAGE_MAX_WIDTH_MASK, lines, 0, 0, text,
                                    sizeof text, NULL),
                     7);
    assert_string_equal(text, "a b c d");
}

static void every_code_in_use_has_a_message(void **state) {
    (void)state;
    const DWORD codes[] = {
        ERROR_SUCCESS,          ERROR_PATH_NOT_FOUND,      ERROR_ACCESS_DENIED,
        ERROR_INVALID_HANDLE,   ERROR_NOT_ENOUGH_MEMORY,   ERROR_SHARING_VIOLATION,
        ERROR_LOCK_VIOLATION,   ERROR_FILE_EXISTS,         ERROR_INVALID_PARAMETER,
        ERROR_DISK_FULL,        ERROR_ALREADY_EXISTS,      ERROR_INVALID_ADDRESS,
        ERROR_FILE_INVALID,     ERROR_MAPPED_ALIGNMENT,    ERROR_USER_MAPPED_FILE,
        ERROR_COMMITMENT_LIMIT, ERROR_FILENAME_EXCED_RANGE};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        char text[256];
        if (FormatMessageA(of_system, NULL, codes[i], 0, text, sizeof text, NULL) == 0) {
            fail_msg("no message for %lu", (unsigned long)codes[i]);
        }
    }
}

static void an_allocated_message_is_freed_by_local_free(void **state) {
    (void)state;
    char *text = NULL;
    WCHAR *wide = NULL;
    DWORD flags = of_system | FORMAT_MESSAGE_ALLOCATE_BUFFER;
    DWORD length = FormatMessageA(flags, NULL, ERROR_DISK_FULL, 0, (LPSTR)(void *)&text, 0, NULL);
    assert_non_null(text);
    assert_int_equal(strlen(text), length);
    assert_null(LocalFree(text));
    assert_int_equal(
        FormatMessageW(flags, NULL, ERROR_DISK_FULL, 0, (LPWSTR)(void *)&wide, 1000, NULL), length);
    assert_int_equal(wide[length], 0);
    wide[999] = 'x'; /* the size asked for is there */
    assert_null(LocalFree(wide));
    assert_null(LocalFree(NULL));
}

static void a_wide_message_is_the_narrow_one(void **state) {
    (void)state;
    char text[256];
    WCHAR wide[256];
    char converted[256];
    DWORD length = FormatMessageA(of_system, NULL, ERROR_ACCESS_DENIED, 0, text, sizeof text, NULL);
    assert_int_equal(FormatMessageW(of_system, NULL, ERROR_ACCESS_DENIED, 0, wide, 256, NULL),
                     length);
    assert_true(WideCharToMultiByte(CP_UTF8, 0, wide, -1, converted, 256, NULL, NULL) > 0);
    assert_string_equal(converted, text);
}

static void inserts_stay_as_they_are(void **state) {
    (void)state;
    char text[64];
    assert_int_equal(FormatMessageA(of_string, "%1 of %2", 0, 0, text, sizeof text, NULL), 8);
    assert_string_equal(text, "%1 of %2");
}

static void wrong_arguments_of_format_message_have_their_errors(void **state) {
    (void)state;
    char text[64] = "kept";
    char *allocated = NULL;
    SetLastError(0);
    assert_int_equal(FormatMessageA(of_system, NULL, 0xDEADBEEF, 0, text, sizeof text, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_MR_MID_NOT_FOUND);
    assert_int_equal(FormatMessageA(of_system | FORMAT_MESSAGE_ALLOCATE_BUFFER, NULL, 0xDEADBEEF, 0,
                                    (LPSTR)(void *)&allocated, 0, NULL),
                     0);
    assert_null(allocated);
    assert_int_equal(FormatMessageA(of_string, "abc", 0, 0, text, 3, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INSUFFICIENT_BUFFER);
    assert_int_equal(FormatMessageA(of_system, NULL, ERROR_FILE_NOT_FOUND, 0, text, 0, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INSUFFICIENT_BUFFER);
    assert_int_equal(FormatMessageA(FORMAT_MESSAGE_IGNORE_INSERTS, NULL, 2, 0, text, 64, NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_string_equal(text, "kept");
    assert_int_equal(FormatMessageA(of_string, "abc", 0, 0, text, 4, NULL), 3);
}

/* ---- The system ---- */

static void the_system_has_pages_and_a_granularity_of_64_k(void **state) {
    (void)state;
    SYSTEM_INFO facts;
    SYSTEM_INFO native;
    GetSystemInfo(&facts);
    GetNativeSystemInfo(&native);
    assert_true(facts.dwPageSize >= 4096);
    assert_int_equal(facts.dwPageSize & (facts.dwPageSize - 1), 0);
    assert_int_equal(facts.dwAllocationGranularity, 65536);
    assert_int_equal(native.dwAllocationGranularity, 65536);
    assert_true(facts.dwNumberOfProcessors >= 1);
    assert_true(facts.dwActiveProcessorMask & 1);
    uintptr_t here = (uintptr_t)&facts;
    assert_true((uintptr_t)facts.lpMinimumApplicationAddress < here);
    assert_true((uintptr_t)facts.lpMaximumApplicationAddress > here);
}

static void sleep_takes_at_least_its_time(void **state) {
    (void)state;
    ULONGLONG before = GetTickCount64();
    Sleep(100);
    ULONGLONG after = GetTickCount64();
    assert_true(after - before >= 80); /* Windows' clock ticks in steps of 16 ms */
    assert_true(GetCurrentProcessId() != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_boundary_converts_both_ways),
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(ill_formed_utf8_becomes_replacement_characters),
        cmocka_unit_test(ill_formed_utf8_is_an_error_if_asked),
        cmocka_unit_test(unpaired_surrogates_become_replacement_characters),
        cmocka_unit_test(a_length_of_minus_one_includes_the_terminator),
        cmocka_unit_test(zeros_inside_a_counted_text_are_characters),
        cmocka_unit_test(wrong_arguments_of_conversions_have_their_errors),
        cmocka_unit_test(a_substitute_is_refused_for_utf8),
        cmocka_unit_test(a_system_message_ends_its_line),
        cmocka_unit_test(a_width_mask_makes_it_one_line),
        cmocka_unit_test(every_code_in_use_has_a_message),
        cmocka_unit_test(an_allocated_message_is_freed_by_local_free),
        cmocka_unit_test(a_wide_message_is_the_narrow_one),
        cmocka_unit_test(inserts_stay_as_they_are),
        cmocka_unit_test(wrong_arguments_of_format_message_have_their_errors),
        cmocka_unit_test(the_system_has_pages_and_a_granularity_of_64_k),
        cmocka_unit_test(sleep_takes_at_least_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
