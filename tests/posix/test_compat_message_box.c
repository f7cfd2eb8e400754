/*
 * test_compat_message_box.c - MessageBox says its text on standard error, and answers by itself.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/compat/winuser.h>

/* Runs it with standard error in a file, and says what came there. */
static const char *said(int (*box)(void), int *result) {
    static char text[256];
    (void)fflush(stderr);
    int kept = dup(STDERR_FILENO);
    int file = open("said", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(kept >= 0 && file >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    *result = box();
    (void)fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    ssize_t got = pread(file, text, sizeof text - 1, 0);
    assert_true(got >= 0);
    text[got] = '\0';
    (void)close(file);
    (void)close(kept);
    return text;
}

static int plain_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_OK | MB_ICONERROR);
}

static int untitled_box(void) {
    return MessageBoxA(NULL, NULL, NULL, MB_YESNO);
}

static int second_yesno_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_YESNO | MB_ICONQUESTION | MB_DEFBUTTON2);
}

static int third_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_YESNOCANCEL | MB_DEFBUTTON3);
}

static int missing_button_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_OKCANCEL | MB_DEFBUTTON4);
}

static int retrying_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_ABORTRETRYIGNORE | MB_DEFBUTTON2);
}

static int ignoring_box(void) {
    return MessageBoxA(NULL, "text", "title", MB_ABORTRETRYIGNORE | MB_DEFBUTTON3);
}

static int wide_box(void) {
    return MessageBoxW(NULL, u"t\u00E9xt", u"title", MB_RETRYCANCEL);
}

static int broken_box(void) {
    static const WCHAR half[] = {0xD800, 0};
    return MessageBoxW(NULL, half, u"title", MB_OK);
}

static int unknown_box(void) {
    return MessageBoxA(NULL, "text", "title", 0xFu);
}

static void a_message_box_is_a_line_on_standard_error(void **state) {
    (void)state;
    int result = 0;
    assert_string_equal(said(plain_box, &result), "title: text\n");
    assert_int_equal(result, IDOK);
    assert_string_equal(said(untitled_box, &result), "Error: \n");
    assert_int_equal(result, IDYES);
    assert_string_equal(said(wide_box, &result), "title: t\xC3\xA9xt\n");
    assert_int_equal(result, IDCANCEL); /* an answer that ends the loop around it */
}

static void a_message_box_answers_its_default_button(void **state) {
    (void)state;
    int result = 0;
    assert_string_equal(said(second_yesno_box, &result), "title: text\n");
    assert_int_equal(result, IDNO);
    said(third_box, &result);
    assert_int_equal(result, IDCANCEL);
    said(missing_button_box, &result);
    assert_int_equal(result, IDOK);
    said(ignoring_box, &result);
    assert_int_equal(result, IDIGNORE);
    said(retrying_box, &result);
    assert_int_equal(result, IDABORT); /* and not for ever */
}

static void a_message_box_that_cannot_be_shown_is_an_error(void **state) {
    (void)state;
    int result = 1;
    assert_string_equal(said(broken_box, &result), "");
    assert_int_equal(result, 0);
    assert_int_equal(GetLastError(), ERROR_NO_UNICODE_TRANSLATION);
    result = 1;
    assert_string_equal(said(unknown_box, &result), "");
    assert_int_equal(result, 0);
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_box_is_a_line_on_standard_error),
        cmocka_unit_test(a_message_box_answers_its_default_button),
        cmocka_unit_test(a_message_box_that_cannot_be_shown_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
