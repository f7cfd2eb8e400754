/*
 * test_object_name.c - which names of objects are valid, which are the same, and where they lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "posix/object_directory.h"

static kmw_object_name named(const char *text) {
    kmw_object_name name;
    assert_int_equal(kmw_object_name_from_utf8(text, &name), ERROR_SUCCESS);
    if (name.text != NULL) {
        name.text = strdup(name.text); /* it pointed into itself */
    }
    return name;
}

static DWORD refusal(const char *text) {
    kmw_object_name name;
    return kmw_object_name_from_utf8(text, &name);
}

static void null_and_the_empty_string_are_no_name(void **state) {
    (void)state;
    kmw_object_name name;
    assert_int_equal(kmw_object_name_from_utf8(NULL, &name), ERROR_SUCCESS);
    assert_null(name.text);
    assert_int_equal(kmw_object_name_from_utf8("", &name), ERROR_SUCCESS);
    assert_null(name.text);
    assert_int_equal(kmw_object_name_from_utf16(u"", KMW_NAME_LIMIT, &name), ERROR_SUCCESS);
    assert_null(name.text);
    assert_int_equal(kmw_object_name_to_open(NULL, false), ERROR_INVALID_PARAMETER);
    assert_int_equal(kmw_object_name_to_open("", true), ERROR_INVALID_HANDLE);
    assert_int_equal(kmw_object_name_to_open("x", false), ERROR_SUCCESS);
}

static void check_same(const char *one, const char *other, bool same) {
    kmw_path paths[2];
    kmw_object_name first = named(one);
    kmw_object_name second = named(other);
    assert_int_equal(kmw_object_path(&first, true, &paths[0]), ERROR_SUCCESS);
    assert_int_equal(kmw_object_path(&second, true, &paths[1]), ERROR_SUCCESS);
    const bool met = strcmp(paths[0].text, paths[1].text) == 0;
    if (met != same) {
        fail_msg("\"%s\" lies at %s, \"%s\" at %s", one, paths[0].text, other, paths[1].text);
    }
    assert_true(met == (first.global == second.global && strcmp(first.text, second.text) == 0));
    free(first.text);
    free(second.text);
}

static void a_bare_name_is_a_local_one_and_global_is_another(void **state) {
    (void)state;
    check_same("x", "Local\\x", true);
    check_same("x", "Session\\1\\x", true);
    check_same("x", "Session\\42\\x", true);
    check_same("x", "Global\\x", false);
    check_same("Foo", "FOO", false);
    check_same("Global\\Foo", "Global\\FOO", false);
    check_same("x ", "x", false);
    check_same("a/b", "a:b", false);
    check_same("LocalThing", "Local\\LocalThing", true);
}

static void backslashes_other_than_a_prefix_s_are_refused(void **state) {
    (void)state;
    assert_int_equal(refusal("a\\b"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("x\\"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("Local\\a\\b"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("Global\\a\\b"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("C:\\x"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("local\\x"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("GLOBAL\\x"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("Session\\x"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("Session\\1\\a\\b"), ERROR_PATH_NOT_FOUND);
    assert_int_equal(refusal("\\x"), ERROR_BAD_PATHNAME);
    assert_int_equal(refusal("\\"), ERROR_BAD_PATHNAME);
}

static void prefixes_without_a_name_are_refused(void **state) {
    (void)state;
    assert_int_equal(refusal("Local\\"), ERROR_INVALID_NAME);
    assert_int_equal(refusal("Global\\"), ERROR_INVALID_NAME);
    assert_int_equal(refusal("Session\\1\\"), ERROR_INVALID_NAME);
    assert_int_equal(refusal("Local"), ERROR_INVALID_HANDLE);
    assert_int_equal(refusal("Global"), ERROR_INVALID_HANDLE);
}

static void other_characters_are_ordinary(void **state) {
    (void)state;
    static const char *const names[] = {"/",
                                        ":",
                                        "*",
                                        "?",
                                        ".",
                                        "..",
                                        " ",
                                        "NUL",
                                        "../../etc/passwd",
                                        "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                                        "\n",
                                        "%s%n"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        kmw_path path;
        kmw_object_name name = named(names[i]);
        assert_string_equal(name.text, names[i]);
        assert_int_equal(kmw_object_path(&name, true, &path), ERROR_SUCCESS);
        assert_int_equal(strlen(strrchr(path.text, '/') + 1), KMW_HASH_DIGITS);
        free(name.text);
    }
}

static void a_name_may_have_259_units(void **state) {
    (void)state;
    char text[800];
    WCHAR wide[300];
    kmw_object_name name;
    memset(text, 'n', sizeof text);
    text[259] = '\0';
    assert_int_equal(refusal(text), ERROR_SUCCESS);
    text[259] = 'n';
    text[260] = '\0';
    assert_int_equal(refusal(text), ERROR_FILENAME_EXCED_RANGE);
    /* Units, not bytes: the euro sign is one of the first and three of the second. */
    for (size_t i = 0; i < 260; ++i) {
        memcpy(&text[3 * i], "\xE2\x82\xAC", 3);
    }
    text[777] = '\0';
    assert_int_equal(refusal(text), ERROR_SUCCESS);
    for (size_t i = 0; i < 260; ++i) {
        wide[i] = 0x20AC;
    }
    wide[259] = 0;
    assert_int_equal(kmw_object_name_from_utf16(wide, KMW_NAME_LIMIT, &name), ERROR_SUCCESS);
    assert_string_equal(name.text, text);
    kmw_object_name_free(&name);
    wide[259] = 'n';
    wide[260] = 0;
    assert_int_equal(kmw_object_name_from_utf16(wide, KMW_NAME_LIMIT, &name),
                     ERROR_FILENAME_EXCED_RANGE);
}

static void a_section_s_wide_name_may_have_32767_units(void **state) {
    (void)state;
    kmw_object_name name;
    WCHAR *wide = malloc((KMW_SECTION_NAME_LIMIT_W + 2) * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i <= KMW_SECTION_NAME_LIMIT_W; ++i) {
        wide[i] = 'w';
    }
    wide[KMW_SECTION_NAME_LIMIT_W] = 0;
    assert_int_equal(kmw_object_name_from_utf16(wide, KMW_SECTION_NAME_LIMIT_W, &name),
                     ERROR_SUCCESS);
    assert_int_equal(name.length, KMW_SECTION_NAME_LIMIT_W);
    kmw_object_name_free(&name);
    wide[KMW_SECTION_NAME_LIMIT_W] = 'w';
    wide[KMW_SECTION_NAME_LIMIT_W + 1] = 0;
    assert_int_equal(kmw_object_name_from_utf16(wide, KMW_SECTION_NAME_LIMIT_W, &name),
                     ERROR_FILENAME_EXCED_RANGE);
    free(wide);
}

static void what_is_no_text_is_no_name(void **state) {
    (void)state;
    kmw_object_name name;
    const WCHAR half[] = {0xD83D, 0};
    assert_int_equal(refusal("\xFF"), ERROR_NO_UNICODE_TRANSLATION);
    assert_int_equal(kmw_object_name_from_utf16(half, KMW_NAME_LIMIT, &name),
                     ERROR_NO_UNICODE_TRANSLATION);
}

static void the_user_s_directory_is_his_alone(void **state) {
    (void)state;
    int directory;
    kmw_path path;
    struct stat facts;
    assert_int_equal(kmw_object_directory(false, true, &directory), ERROR_SUCCESS);
    assert_int_equal(kmw_object_directory_path(false, &path), ERROR_SUCCESS);
    assert_int_equal(lstat(path.text, &facts), 0);
    assert_true(S_ISDIR(facts.st_mode));
    assert_int_equal(facts.st_mode & 0777, 0700);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_and_the_empty_string_are_no_name),
        cmocka_unit_test(a_bare_name_is_a_local_one_and_global_is_another),
        cmocka_unit_test(backslashes_other_than_a_prefix_s_are_refused),
        cmocka_unit_test(prefixes_without_a_name_are_refused),
        cmocka_unit_test(other_characters_are_ordinary),
        cmocka_unit_test(a_name_may_have_259_units),
        cmocka_unit_test(a_section_s_wide_name_may_have_32767_units),
        cmocka_unit_test(what_is_no_text_is_no_name),
        cmocka_unit_test(the_user_s_directory_is_his_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
