/*
 * test_console_keys.c - _getch and its kin on a terminal and elsewhere, and MessageBox. A child
 * process does what is asked with its standard input on a pseudo-terminal or a pipe, and writes
 * what it got to a pipe.
 *
 * Not under valgrind: it looks at which signal ends a process, and valgrind catches them all.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/compat/conio.h>
#include <keepmap/compat/winuser.h>

enum { PATIENCE_MS = 60000 };

/* A child that runs a function, the ways to it, and what it answers. */
typedef struct keyboard {
    pid_t child;
    int keys;    /* what is written here is typed */
    int answers; /* what the child says */
    int screen;  /* what the child prints; on a terminal the same as `keys` */
    int line;    /* the terminal itself, to look at how it is set; -1: none */
} keyboard;

static int answers_to; /* the child's end */

static void answer(int value) {
    int32_t sent = value;
    if (write(answers_to, &sent, sizeof sent) != sizeof sent) {
        _exit(99);
    }
}

/* The parent's side: the next answer, which must come. */
static int answered(const keyboard *k) {
    struct pollfd one = {.fd = k->answers, .events = POLLIN};
    int32_t got = 0;
    assert_int_equal(poll(&one, 1, PATIENCE_MS), 1);
    assert_int_equal(read(k->answers, &got, sizeof got), sizeof got);
    return got;
}

static void run_child(int in, int out, int answers, bool terminal, void (*run)(void)) {
    answers_to = answers;
    if (terminal && (setsid() < 0 || ioctl(in, TIOCSCTTY, 0) != 0)) {
        _exit(98);
    }
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) {
        _exit(97);
    }
    (void)alarm(PATIENCE_MS / 1000);
    run();
    _exit(0);
}

static keyboard start(bool terminal, void (*run)(void)) {
    keyboard k = {.line = -1};
    int in[2];
    int out[2];
    int answers[2];
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    if (terminal) {
        assert_int_equal(openpty(&in[1], &in[0], NULL, NULL, NULL), 0);
        out[0] = in[1];
        out[1] = in[0];
    } else {
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    }
    k.child = fork();
    assert_true(k.child >= 0);
    if (k.child == 0) {
        (void)close(in[1]); /* or the end of the input would never be seen */
        run_child(in[0], out[1], answers[1], terminal, run);
    }
    k.keys = in[1];
    k.screen = out[0];
    k.answers = answers[0];
    k.line = terminal ? in[0] : -1;
    (void)close(answers[1]);
    if (!terminal) {
        (void)close(in[0]);
        (void)close(out[1]);
    }
    return k;
}

static void type(const keyboard *k, const char *text) {
    assert_int_equal(write(k->keys, text, strlen(text)), strlen(text));
}

/* Everything printed so far must begin with this; reads just so much. */
static void assert_printed(const keyboard *k, const char *text) {
    char printed[64];
    size_t length = strlen(text);
    size_t used = 0;
    struct pollfd one = {.fd = k->screen, .events = POLLIN};
    while (used < length) {
        assert_int_equal(poll(&one, 1, PATIENCE_MS), 1);
        ssize_t got = read(k->screen, printed + used, length - used);
        assert_true(got > 0);
        used += (size_t)got;
    }
    assert_memory_equal(printed, text, length);
}

static bool nothing_printed(const keyboard *k) {
    struct pollfd one = {.fd = k->screen, .events = POLLIN};
    return poll(&one, 1, 0) == 0;
}

/* The exit status, or 128 and the signal that ended it. */
static int end(keyboard *k) {
    int status = 0;
    assert_true(waitpid(k->child, &status, 0) == k->child);
    if (k->screen != k->keys) {
        (void)close(k->screen);
    }
    if (k->keys >= 0) {
        (void)close(k->keys);
    }
    if (k->line >= 0) {
        (void)close(k->line);
    }
    (void)close(k->answers);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* How the terminal is set: line by line, with echo, with signal keys. */
static bool line_by_line(int terminal) {
    struct termios now;
    assert_int_equal(tcgetattr(terminal, &now), 0);
    tcflag_t all = ICANON | ECHO | ISIG;
    return (now.c_lflag & all) == all && (now.c_iflag & ICRNL) != 0;
}

/* The child has reached the point where it waits for a key once the terminal says so. */
static void wait_until_keys_are_single(const keyboard *k) {
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (!line_by_line(k->line)) {
            return;
        }
        nanosleep(&moment, NULL);
    }
    fail_msg("the child does not wait for a key");
}

/* ---- On a terminal ---- */

static void get_two(void) {
    answer(_getch());
    answer(_getch());
}

static void a_key_comes_as_it_is_pressed_and_is_not_shown(void **state) {
    (void)state;
    keyboard k = start(true, get_two);
    wait_until_keys_are_single(&k);
    type(&k, "q"); /* and no Enter */
    assert_int_equal(answered(&k), 'q');
    wait_until_keys_are_single(&k);
    type(&k, "\r");
    assert_int_equal(answered(&k), '\r');
    assert_true(nothing_printed(&k));
    assert_true(line_by_line(k.line));
    assert_int_equal(end(&k), 0);
}

static void get_and_show(void) {
    answer(_getche());
}

static void getche_shows_the_key(void **state) {
    (void)state;
    keyboard k = start(true, get_and_show);
    wait_until_keys_are_single(&k);
    type(&k, "x");
    assert_int_equal(answered(&k), 'x');
    assert_printed(&k, "x");
    assert_int_equal(end(&k), 0);
}

static void an_interrupt_finds_the_terminal_put_right(void **state) {
    (void)state;
    static const struct {
        const char *key;
        int signal_number;
    } ends[] = {{"\003", SIGINT}, {"\034", SIGQUIT}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        keyboard k = start(true, get_two);
        wait_until_keys_are_single(&k);
        type(&k, ends[i].key);
        siginfo_t dead;
        assert_int_equal(waitid(P_PID, (id_t)k.child, &dead, WEXITED | WNOWAIT), 0);
        assert_true(line_by_line(k.line));
        assert_int_equal(end(&k), 128 + ends[i].signal_number);
    }
}

/* Nobody is there to let it go on, so the system does not stop it. But the key is none. */
static void the_stop_key_is_no_key(void **state) {
    (void)state;
    keyboard k = start(true, get_two);
    wait_until_keys_are_single(&k);
    type(&k, "\032a\032\032b");
    assert_int_equal(answered(&k), 'a');
    assert_int_equal(answered(&k), 'b');
    assert_int_equal(end(&k), 0);
}

static void poll_then_get(void) {
    answer(_kbhit());
    int there = 0;
    while (!there) {
        there = _kbhit();
    }
    answer(_getch());
    answer(_kbhit());
}

static void kbhit_sees_a_key_without_enter(void **state) {
    (void)state;
    keyboard k = start(true, poll_then_get);
    assert_int_equal(answered(&k), 0);
    type(&k, "k");
    assert_int_equal(answered(&k), 'k');
    assert_int_equal(answered(&k), 0);
    assert_true(line_by_line(k.line));
    assert_int_equal(end(&k), 0);
}

/* ---- Elsewhere ---- */

static void get_until_the_end(void) {
    int key = 0;
    do {
        key = _getch();
        answer(key);
    } while (key != EOF);
}

static void a_pipe_gives_its_characters_and_then_the_end(void **state) {
    (void)state;
    keyboard k = start(false, get_until_the_end);
    type(&k, "a\n\xC3");
    assert_int_equal(close(k.keys), 0);
    k.keys = -1;
    assert_int_equal(answered(&k), 'a');
    assert_int_equal(answered(&k), '\r');
    assert_int_equal(answered(&k), 0xC3);
    assert_int_equal(answered(&k), EOF);
    assert_int_equal(end(&k), 0);
}

static void line_then_key(void) {
    char line[16];
    answer(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "line\n") == 0);
    answer(_kbhit() != 0);
    answer(_getch());
}

static void keys_follow_what_stdio_has_read(void **state) {
    (void)state;
    keyboard k = start(false, line_then_key);
    type(&k, "line\nk");
    assert_int_equal(answered(&k), 1);
    assert_int_equal(answered(&k), 1);
    assert_int_equal(answered(&k), 'k');
    assert_int_equal(end(&k), 0);
}

static void poll_a_pipe(void) {
    answer(_kbhit() != 0);
    while (!_kbhit()) {
    }
    answer(_getch());
    while (!_kbhit()) {
    }
    answer(_getch());
}

static void kbhit_waits_for_nothing_and_sees_the_end(void **state) {
    (void)state;
    keyboard k = start(false, poll_a_pipe);
    assert_int_equal(answered(&k), 0);
    type(&k, "p");
    assert_int_equal(answered(&k), 'p');
    assert_int_equal(close(k.keys), 0);
    k.keys = -1;
    assert_int_equal(answered(&k), EOF);
    assert_int_equal(end(&k), 0);
}

static void put_back_and_print(void) {
    answer(_ungetch('u'));
    answer(_ungetch('v'));
    answer(_ungetch(EOF));
    answer(_kbhit() != 0);
    answer(_getch());
    answer(_putch('!'));
    answer(_cputs("text"));
}

static void one_key_can_be_put_back_and_output_goes_out_at_once(void **state) {
    (void)state;
    keyboard k = start(false, put_back_and_print);
    assert_int_equal(answered(&k), 'u');
    assert_int_equal(answered(&k), EOF);
    assert_int_equal(answered(&k), EOF);
    assert_int_equal(answered(&k), 1);
    assert_int_equal(answered(&k), 'u');
    assert_int_equal(answered(&k), '!');
    assert_int_equal(answered(&k), 0);
    assert_printed(&k, "!text");
    assert_int_equal(end(&k), 0);
}

/* ---- MessageBox ---- */

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
        cmocka_unit_test(a_key_comes_as_it_is_pressed_and_is_not_shown),
        cmocka_unit_test(getche_shows_the_key),
        cmocka_unit_test(an_interrupt_finds_the_terminal_put_right),
        cmocka_unit_test(the_stop_key_is_no_key),
        cmocka_unit_test(kbhit_sees_a_key_without_enter),
        cmocka_unit_test(a_pipe_gives_its_characters_and_then_the_end),
        cmocka_unit_test(keys_follow_what_stdio_has_read),
        cmocka_unit_test(kbhit_waits_for_nothing_and_sees_the_end),
        cmocka_unit_test(one_key_can_be_put_back_and_output_goes_out_at_once),
        cmocka_unit_test(a_message_box_is_a_line_on_standard_error),
        cmocka_unit_test(a_message_box_that_cannot_be_shown_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
