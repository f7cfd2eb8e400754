/*
 * test_console_keys.c - _getch and its kin on a terminal and elsewhere. A child process does what
 * is asked with its standard input on a pseudo-terminal or a pipe, and writes what it got to a
 * pipe.
 *
 * Not under valgrind: it looks at which signal ends a process, and valgrind catches them all.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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
    (void)fflush(NULL); /* or a child that ends by exit would print it again */
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

static void sleep_a_moment(void) {
    const struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
}

/* The child has reached the point where it waits for a key once the terminal says so. */
static void wait_until_keys_are_single(const keyboard *k) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (!line_by_line(k->line)) {
            return;
        }
        sleep_a_moment();
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
    answer(_getch());
}

static void kbhit_sees_a_key_without_enter(void **state) {
    (void)state;
    keyboard k = start(true, poll_then_get);
    assert_int_equal(answered(&k), 0);
    type(&k, "k");
    assert_int_equal(answered(&k), 'k');
    assert_int_equal(answered(&k), 0);
    type(&k, "l");
    assert_int_equal(answered(&k), 'l');
    assert_true(nothing_printed(&k));
    assert_int_equal(end(&k), 0);
}

/* Until this much has been typed; without looking for a key. */
static void wait_for_typed(int count) {
    int there = 0;
    while (there < count) {
        sleep_a_moment();
        if (ioctl(STDIN_FILENO, FIONREAD, &there) != 0) {
            _exit(96);
        }
    }
}

static void look_typing_going_on_meanwhile(void) {
    answer(_kbhit());
    wait_for_typed(5);
    for (int i = 0; i < 5; i++) {
        answer(_kbhit() != 0 ? _getch() : -2);
        wait_for_typed(4 - i);
    }
    answer(_kbhit());
}

static void what_is_typed_between_two_looks_is_neither_shown_nor_edited(void **state) {
    (void)state;
    keyboard k = start(true, look_typing_going_on_meanwhile);
    assert_int_equal(answered(&k), 0);
    type(&k, "ab\177\r\004");
    static const int keys[] = {'a', 'b', 0177, '\r', 4};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_int_equal(answered(&k), keys[i]);
    }
    assert_int_equal(answered(&k), 0);
    assert_true(nothing_printed(&k));
    assert_int_equal(end(&k), 0);
}

/* Enter has become a newline by then, and Ctrl-D the end of a line without one. */
static void look_only_now(void) {
    answer(0);
    wait_for_typed(3);
    for (int i = 0; i < 3; i++) {
        answer(_kbhit() != 0 ? _getch() : -2);
    }
}

static void enter_typed_before_the_first_look_is_enter(void **state) {
    (void)state;
    keyboard k = start(true, look_only_now);
    assert_int_equal(answered(&k), 0);
    type(&k, "a\rb\r\004");
    assert_int_equal(answered(&k), 'a');
    assert_int_equal(answered(&k), '\r');
    assert_int_equal(answered(&k), 'b');
    assert_int_equal(end(&k), 0);
}

static void look_until_interrupted(void) {
    answer(_kbhit());
    for (;;) {
        sleep_a_moment(); /* not looking: the terminal's own signal keys must do */
    }
}

static void an_interrupt_ends_a_program_that_is_not_looking(void **state) {
    (void)state;
    keyboard k = start(true, look_until_interrupted);
    assert_int_equal(answered(&k), 0);
    type(&k, "\003");
    assert_int_equal(end(&k), 128 + SIGINT);
}

static void look_and_end(void) {
    answer(_kbhit());
    answer(_getch());
    exit(3);
}

static void the_terminal_is_put_right_when_the_program_ends(void **state) {
    (void)state;
    keyboard k = start(true, look_and_end);
    assert_int_equal(answered(&k), 0);
    assert_false(line_by_line(k.line));
    type(&k, "x");
    assert_int_equal(answered(&k), 'x');
    siginfo_t dead;
    assert_int_equal(waitid(P_PID, (id_t)k.child, &dead, WEXITED | WNOWAIT), 0);
    assert_true(line_by_line(k.line));
    assert_int_equal(end(&k), 3);
}

static void *get_one(void *unused) {
    (void)unused;
    answer(_getch());
    return NULL;
}

/* Until a thread of this process waits for a key: the signal keys are off then. */
static pthread_t start_reader(void) {
    pthread_t reader;
    struct termios now;
    if (pthread_create(&reader, NULL, get_one, NULL) != 0) {
        _exit(95);
    }
    do {
        sleep_a_moment();
        (void)tcgetattr(STDIN_FILENO, &now);
    } while ((now.c_lflag & ISIG) != 0);
    return reader;
}

static void end_while_another_reads(void) {
    (void)start_reader();
    exit(4);
}

static void the_terminal_is_put_right_though_a_thread_waits_for_a_key(void **state) {
    (void)state;
    keyboard k = start(true, end_while_another_reads);
    siginfo_t dead;
    assert_int_equal(waitid(P_PID, (id_t)k.child, &dead, WEXITED | WNOWAIT), 0);
    assert_true(line_by_line(k.line));
    assert_int_equal(end(&k), 4);
}

static void look_while_another_reads(void) {
    pthread_t reader = start_reader();
    answer(_kbhit());
    (void)pthread_join(reader, NULL);
}

static void kbhit_does_not_wait_for_who_waits_for_a_key(void **state) {
    (void)state;
    keyboard k = start(true, look_while_another_reads);
    assert_int_equal(answered(&k), 0);
    type(&k, "z");
    assert_int_equal(answered(&k), 'z');
    assert_int_equal(end(&k), 0);
}

static void key_then_line(void) {
    char line[16];
    answer(_getch());
    answer(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "word\n") == 0);
}

static void a_line_after_a_key_is_shown_and_edited(void **state) {
    (void)state;
    keyboard k = start(true, key_then_line);
    wait_until_keys_are_single(&k);
    type(&k, "k");
    assert_int_equal(answered(&k), 'k');
    assert_true(line_by_line(k.line));
    type(&k, "worx\177d\r");
    assert_printed(&k, "worx\b \bd\r\n");
    assert_int_equal(answered(&k), 1);
    assert_int_equal(end(&k), 0);
}

static void look_then_line(void) {
    char line[16];
    answer(_kbhit());
    answer(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "word\n") == 0);
}

static void a_line_can_be_read_after_a_look(void **state) {
    (void)state;
    keyboard k = start(true, look_then_line);
    assert_int_equal(answered(&k), 0);
    type(&k, "word\r");
    assert_int_equal(answered(&k), 1);
    assert_true(nothing_printed(&k));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_as_it_is_pressed_and_is_not_shown),
        cmocka_unit_test(getche_shows_the_key),
        cmocka_unit_test(an_interrupt_finds_the_terminal_put_right),
        cmocka_unit_test(the_stop_key_is_no_key),
        cmocka_unit_test(kbhit_sees_a_key_without_enter),
        cmocka_unit_test(what_is_typed_between_two_looks_is_neither_shown_nor_edited),
        cmocka_unit_test(enter_typed_before_the_first_look_is_enter),
        cmocka_unit_test(an_interrupt_ends_a_program_that_is_not_looking),
        cmocka_unit_test(the_terminal_is_put_right_when_the_program_ends),
        cmocka_unit_test(the_terminal_is_put_right_though_a_thread_waits_for_a_key),
        cmocka_unit_test(kbhit_does_not_wait_for_who_waits_for_a_key),
        cmocka_unit_test(a_line_after_a_key_is_shown_and_edited),
        cmocka_unit_test(a_line_can_be_read_after_a_look),
        cmocka_unit_test(a_pipe_gives_its_characters_and_then_the_end),
        cmocka_unit_test(keys_follow_what_stdio_has_read),
        cmocka_unit_test(kbhit_waits_for_nothing_and_sees_the_end),
        cmocka_unit_test(one_key_can_be_put_back_and_output_goes_out_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
