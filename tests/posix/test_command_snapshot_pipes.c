/*
 * test_command_snapshot_pipes.c - the keepmap command's snapshots in pipes, read by other programs,
 * interrupted, and killed.
 *
 * A program that is not there is passed over, with a word.
 * Not under valgrind: it looks at which signals the command catches, and valgrind catches them all.
 * Not under tsan: its runtime holds a signal back now and then that ought to end a poll.
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
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

#include <keepmap.h>

#include "checksum.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/tool.h"
#include "support/tool_snapshot.h"
#include "support/unique.h"

/* ---- Shells ---------------------------------------------------------------------------------- */

/* The exit status of a command line in which $K is the command. */
static int shell(const char *line) {
    assert_int_equal(setenv("K", tool_path(), 1), 0);
    const int status = system(line); /* NOLINT(cert-env33-c,concurrency-mt-unsafe): a test */
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool has(const char *program) {
    char line[128];
    (void)snprintf(line, sizeof line, "command -v %s >/dev/null", program);
    return shell(line) == 0;
}

/* Data that packs, data that does not, zeros, and of every kind that comes next to another. */
static void make_mixed(const char *name) {
    char line[256];
    scratch_file("packs", 200000, 1);
    tool_fine(TOOL("create", "zeros", "--size", "300000"));
    (void)snprintf(line, sizeof line,
                   "{ cat packs zeros; head -c 200001 \"$K\"; cat zeros packs; } > %s && "
                   "rm packs zeros",
                   name);
    assert_int_equal(shell(line), 0);
}

static void a_pipe_of_three_commands_hands_on_every_byte(void **state) {
    (void)state;
    make_mixed("mixed");
    assert_int_equal(shell("cat mixed | \"$K\" snapshot - - | \"$K\" restore - - | cmp - mixed"),
                     0);
    assert_int_equal(shell("cat mixed | \"$K\" snapshot - - | \"$K\" verify - > said"), 0);
    static const char said[] = "standard input: every bit is as it was written\n";
    assert_true(scratch_equals("said", said, sizeof said - 1));
    assert_int_equal(shell("\"$K\" snapshot mixed - | \"$K\" restore - piped > said"), 0);
    assert_true(scratch_same("mixed", "piped"));
}

/* ---- Other programs -------------------------------------------------------------------------- */

/* One snapshot of each kind: name and how it is made of "data". */
static const struct {
    const char *name, *how;
} kinds[] = {
    {"default.gz", "\"$K\" snapshot data default.gz"},
    {"stored.gz", "\"$K\" snapshot data stored.gz --level 0 --chunk-size 64k"},
    {"small.gz", "\"$K\" snapshot data small.gz --chunk-size 64k"},
    {"large.gz", "\"$K\" snapshot data large.gz --chunk-size 16M"},
    {"stream.gz", "\"$K\" snapshot - - < data > stream.gz"},
    {"since.gz", "\"$K\" snapshot data since.gz --since default.gz --level 0"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* Makes one of each kind, of "data", which is there. */
static void make_kinds(void) {
    char line[256];
    for (size_t i = 0; i < KINDS; i++) {
        (void)snprintf(line, sizeof line, "rm -f %s; { %s; } > said", kinds[i].name, kinds[i].how);
        assert_int_equal(shell(line), 0);
    }
}

static const struct {
    const char *program, *reads; /* from standard input to standard output */
} readers[] = {
    {"gunzip", "gunzip"},
    {"zcat", "zcat"},
    {"pigz", "pigz -d"},
    {"python3", "python3 -c 'import gzip, shutil, sys; "
                "shutil.copyfileobj(gzip.open(sys.stdin.buffer), sys.stdout.buffer)'"},
};
#define READERS (sizeof readers / sizeof readers[0])

static void all_read(const char *snapshot, const char *file) {
    char line[512];
    for (size_t i = 0; i < READERS; i++) {
        if (!has(readers[i].program)) {
            print_message("%s is not here\n", readers[i].program);
            continue;
        }
        (void)snprintf(line, sizeof line, "%s < %s > read-back 2> complaints", readers[i].reads,
                       snapshot);
        if (shell(line) != 0 || scratch_size("complaints") != 0 ||
            !scratch_same("read-back", file)) {
            fail_msg("%s does not read %s", readers[i].program, snapshot);
        }
    }
}

static void other_programs_read_every_kind(void **state) {
    (void)state;
    make_mixed("data");
    make_kinds();
    for (size_t i = 0; i < KINDS; i++) {
        all_read(kinds[i].name, "data");
    }
}

static void other_programs_read_the_empty_one_and_the_shortest(void **state) {
    (void)state;
    for (unsigned size = 0; size <= 1; size++) {
        scratch_file("data", size, 3);
        make_kinds();
        for (size_t i = 0; i < KINDS; i++) {
            all_read(kinds[i].name, "data");
        }
    }
}

/* 454 chunks have room in an index member. */
static void other_programs_read_one_with_several_index_members(void **state) {
    (void)state;
    tool_fine(TOOL("create", "many", "--size", "40M", "--sparse"));
    tool_fine(TOOL("snapshot", "many", "many.gz", "--chunk-size", "64k"));
    const tool_result *result = tool_fine(TOOL("info", "many.gz"));
    tool_says(result, "640 of 65536 bytes");
    all_read("many.gz", "many");
    scratch_remove("read-back");
    scratch_remove("many");
}

/* ---- Interruptions --------------------------------------------------------------------------- */

/* Starts it with these standard streams; -1: /dev/null. */
static pid_t start(int in, int out, int err, const char *const *words) {
    const char *all[12] = {tool_path()};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i + 2 < sizeof all / sizeof all[0]);
        all[i + 1] = words[i];
    }
    const pid_t id = fork();
    assert_true(id >= 0);
    if (id > 0) {
        return id;
    }
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(in < 0 ? null : in, STDIN_FILENO) >= 0 &&
        dup2(out < 0 ? null : out, STDOUT_FILENO) >= 0 &&
        dup2(err < 0 ? null : err, STDERR_FILENO) >= 0) {
        (void)signal(SIGINT, SIG_DFL);
        (void)execv(all[0], (char *const *)all);
    }
    _exit(127);
}

/* The exit status, 128 and the signal's number if one ended it. */
static int finish(pid_t id) {
    int status = 0;
    assert_true(waitpid(id, &status, 0) == id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool catches(pid_t id, int signal_number) {
    char path[64];
    char line[256];
    unsigned long long caught = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)id);
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, "SigCgt:", 7) == 0) {
            caught = strtoull(line + 7, NULL, 16);
        }
    }
    (void)fclose(status);
    return caught >> (signal_number - 1) & 1;
}

static void wait_until_it_catches(pid_t id, int signal_number) {
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int tries = 0; !catches(id, signal_number); tries++) {
        assert_true(tries < 20000);
        (void)nanosleep(&pause, NULL);
    }
}

/* A pipe whose writer stays open and silent keeps the command reading. */
static void interrupted_while_it_reads(int signal_number, const char *const *words) {
    int ends[2];
    const size_t before = scratch_entries();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const pid_t id = start(ends[0], -1, -1, words);
    wait_until_it_catches(id, signal_number);
    assert_int_equal(kill(id, signal_number), 0);
    assert_int_equal(finish(id), 128 + signal_number);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(scratch_entries(), before);
}

static void reading_a_silent_pipe_ends_by_the_signal_and_leaves_nothing(void **state) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        interrupted_while_it_reads(signals[i], TOOL_WORDS("snapshot", "-", "never.gz"));
        interrupted_while_it_reads(signals[i], TOOL_WORDS("restore", "-", "never"));
        interrupted_while_it_reads(signals[i], TOOL_WORDS("verify", "-"));
    }
}

static void waiting_for_a_lock_ends_by_the_signal_and_leaves_nothing(void **state) {
    (void)state;
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE};
    scratch_file("locked", 1000, 1);
    assert_int_equal(km_open(&map, "locked", &options), KM_OK);
    assert_int_equal(km_lock(map, KM_LOCK_EXCLUSIVE, 0), KM_OK);
    const size_t before = scratch_entries();
    const pid_t id =
        start(-1, -1, -1, TOOL_WORDS("snapshot", "locked", "never.gz", "--timeout", "60"));
    wait_until_it_catches(id, SIGINT);
    assert_int_equal(kill(id, SIGINT), 0);
    assert_int_equal(finish(id), 128 + SIGINT);
    km_close(map);
    assert_int_equal(scratch_entries(), before);
}

/* Waits until the pipe has so much in it. */
static void wait_until_it_has(int end, int wanted) {
    const struct timespec pause = {.tv_nsec = 2000000};
    int has_now = -1;
    for (int tries = 0; has_now != wanted; tries++) {
        assert_true(tries < 20000);
        (void)nanosleep(&pause, NULL);
        assert_int_equal(ioctl(end, FIONREAD, &has_now), 0);
    }
}

/* A reader that reads nothing keeps it writing: more than this pipe takes. */
static void what_is_told_at_length_can_be_interrupted(void **state) {
    (void)state;
    int ends[2];
    tool_fine(TOOL("create", "long a", "--size", "200000"));
    assert_int_equal(shell("yes | tr '\\n' '\\0' | head -c 200000 > 'long b'"), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const int room = fcntl(ends[0], F_SETPIPE_SZ, 4096);
    assert_true(room > 0);
    const pid_t id = start(-1, ends[1], -1, TOOL_WORDS("diff", "long a", "long b", "--unit", "1"));
    wait_until_it_has(ends[0], room);
    assert_int_equal(kill(id, SIGINT), 0);
    const struct timespec pause = {.tv_nsec = 10000000};
    int status = 0;
    pid_t ended = 0;
    for (int tries = 0; ended == 0 && tries < 2000; tries++) {
        ended = waitpid(id, &status, WNOHANG);
        (void)nanosleep(&pause, NULL);
    }
    if (ended == 0) {
        (void)kill(id, SIGKILL);
        (void)finish(id);
    }
    assert_int_equal(ended, id);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* A first member with a damaged chunk, which shows only when it is unpacked, and that takes time.
 */
static unsigned char *damaged_member(size_t *length) {
    static unsigned char image[((size_t)1 << 24) + 1];
    const snapshot_plan plan = {.chunk_shift = 24};
    snapshot_member members[8];
    size_t size = 0;
    snapshot_noise(image, sizeof image, 3);
    unsigned char *snapshot = snapshot_build(image, sizeof image, &plan, &size);
    const size_t count = snapshot_members(snapshot, size, members, 8);
    unsigned char *packed = snapshot + KM_FORMAT_FIRST_HEAD_SIZE;
    packed[99] ^= 1;
    snapshot_put(snapshot + 36, 8,
                 km_checksum(packed, members[0].length - KM_FORMAT_FIRST_HEAD_SIZE));
    snapshot_seal(snapshot, members, count);
    *length = members[0].length;
    return snapshot;
}

/* Another thread waits for the stream by then, or would have next. */
static void damage_is_told_although_the_stream_is_interrupted_behind_it(void **state) {
    (void)state;
    int ends[2];
    size_t length = 0;
    size_t err_size = 0;
    unsigned char *bytes = damaged_member(&length);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const int err = open("torn-err", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const pid_t id = start(ends[0], -1, err, TOOL_WORDS("restore", "-", "never", "--threads", "2"));
    wait_until_it_catches(id, SIGINT);
    for (size_t at = 0; at < length;) {
        const ssize_t wrote = write(ends[1], bytes + at, length - at);
        assert_true(wrote > 0);
        at += (size_t)wrote;
    }
    wait_until_it_has(ends[0], 0);
    assert_int_equal(kill(id, SIGINT), 0);
    const int status = finish(id);
    assert_true(status == TOOL_REFUSED || status == 128 + SIGINT);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(err);
    free(bytes);
    char *said = tool_load("torn-err", &err_size);
    if (!strstr(said, "cannot read chunk 0 of the stream")) {
        fail_msg("%s", said);
    }
    free(said);
    assert_int_equal(scratch_size("never"), -1);
}

/* A stopped terminal keeps the command in the drawing of its bar. */
static void interrupted_while_it_works(const char *const *words, const char *says) {
    int master = -1;
    int slave = -1;
    char text[4096];
    size_t used = 0;
    const size_t before = scratch_entries();
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    assert_int_equal(fcntl(master, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(slave, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(tcflow(slave, TCOOFF), 0);
    const pid_t id = start(-1, -1, slave, words);
    wait_until_it_catches(id, SIGINT);
    assert_int_equal(kill(id, SIGINT), 0);
    assert_int_equal(tcflow(slave, TCOON), 0);
    assert_int_equal(finish(id), 128 + SIGINT);
    (void)close(slave);
    for (ssize_t got = 0; (got = read(master, text + used, sizeof text - 1 - used)) > 0;) {
        used += (size_t)got;
    }
    (void)close(master);
    text[used] = '\0';
    assert_non_null(strstr(text, says));
    assert_int_equal(scratch_entries(), before);
}

static void an_interruption_takes_back_what_was_done(void **state) {
    (void)state;
    tool_snapshot("worked", 64 * TOOL_CHUNK, 4, "worked.gz");
    interrupted_while_it_works(TOOL_WORDS("snapshot", "worked", "never.gz"), "keepmap snapshot: ");
    interrupted_while_it_works(TOOL_WORDS("restore", "worked.gz", "never"), "keepmap restore: ");
    interrupted_while_it_works(TOOL_WORDS("verify", "worked.gz"), "keepmap verify: ");
    interrupted_while_it_works(TOOL_WORDS("diff", "worked.gz", "worked"), "keepmap diff: ");
    interrupted_while_it_works(TOOL_WORDS("salvage", "worked.gz", "never"), "keepmap salvage: ");
}

/* ---- Killed ---------------------------------------------------------------------------------- */

/* Feeds it the file's first bytes, waits until it has taken them, and kills it. */
static void killed_in_the_middle(const char *file, size_t length, const char *const *words,
                                 const char *target) {
    int ends[2];
    size_t size = 0;
    char *bytes = tool_load(file, &size);
    assert_true(length < size);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const pid_t id = start(ends[0], -1, -1, words);
    (void)close(ends[0]);
    for (size_t at = 0; at < length;) {
        const ssize_t wrote = write(ends[1], bytes + at, length - at);
        assert_true(wrote > 0);
        at += (size_t)wrote;
    }
    assert_int_equal(kill(id, SIGKILL), 0);
    assert_int_equal(finish(id), 128 + SIGKILL);
    (void)close(ends[1]);
    free(bytes);
    assert_int_equal(scratch_size(target), -1);
}

static void killed_in_the_middle_there_is_no_target(void **state) {
    (void)state;
    tool_snapshot("killed", 64 * TOOL_CHUNK, 5, "killed.gz");
    killed_in_the_middle("killed", (size_t)40 * TOOL_CHUNK, TOOL_WORDS("snapshot", "-", "dead.gz"),
                         "dead.gz");
    killed_in_the_middle("killed.gz", (size_t)40 * TOOL_CHUNK, TOOL_WORDS("restore", "-", "dead"),
                         "dead");
}

/* ---- Standard output ------------------------------------------------------------------------- */

/* Reads one byte of what it writes, and closes the pipe. */
static void has_enough(const char *const *words) {
    int ends[2];
    char first = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const int err = open("err", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const pid_t id = start(-1, ends[1], err, words);
    (void)close(ends[1]);
    (void)close(err);
    assert_int_equal(read(ends[0], &first, 1), 1);
    (void)close(ends[0]);
    assert_int_equal(finish(id), TOOL_FINE);
    assert_int_equal(scratch_size("err"), 0);
}

static void a_reader_that_has_enough_is_no_error(void **state) {
    (void)state;
    tool_snapshot("enough", 64 * TOOL_CHUNK, 6, "enough.gz");
    has_enough(TOOL_WORDS("snapshot", "enough", "-", "--level", "0"));
    has_enough(TOOL_WORDS("restore", "enough.gz", "-"));
    has_enough(TOOL_WORDS("cat", "enough.gz"));
}

static void a_full_disk_under_standard_output_is_an_error(void **state) {
    (void)state;
    tool_snapshot("full", 4 * TOOL_CHUNK, 7, "full.gz");
    static const char *const lines[][6] = {{"snapshot", "full", "-", "--level", "0"},
                                           {"restore", "full.gz", "-"},
                                           {"verify", "full.gz"}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const tool_result *result = tool_run_to("/dev/full", lines[i]);
        assert_int_equal(result->exit_status, TOOL_REFUSED);
        assert_non_null(
            strstr(result->err, "cannot write to standard output: No space left on device"));
    }
}

static void standard_streams_that_are_closed_are_errors(void **state) {
    (void)state;
    tool_snapshot("closed", 4 * TOOL_CHUNK, 8, "closed.gz");
    assert_int_equal(shell("\"$K\" verify - <&- 2> complaints"), TOOL_REFUSED);
    assert_int_equal(shell("\"$K\" snapshot - never.gz <&- 2> complaints"), TOOL_REFUSED);
    assert_int_equal(shell("\"$K\" restore closed.gz - >&- 2> complaints"), TOOL_REFUSED);
    assert_true(scratch_size("complaints") > 0);
    assert_int_equal(scratch_size("never.gz"), -1);
    tool_fine(TOOL("verify", "closed.gz"));
}

/* ---- Bars ------------------------------------------------------------------------------------ */

/* What a terminal of 80 columns shows as standard error; standard input is the file. */
static const char *shown(const char *in_path, const char *const *words) {
    static char text[8192];
    size_t used = 0;
    int master = -1;
    int slave = -1;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    const int in = open(in_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fcntl(master, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(slave, F_SETFD, FD_CLOEXEC), 0);
    const pid_t id = start(in, -1, slave, words);
    assert_int_equal(finish(id), TOOL_FINE);
    (void)close(in);
    (void)close(slave);
    for (ssize_t got = 0; (got = read(master, text + used, sizeof text - 1 - used)) > 0;) {
        used += (size_t)got;
    }
    (void)close(master);
    text[used] = '\0';
    return text;
}

static void a_bar_shows_and_of_a_stream_how_much_is_done(void **state) {
    (void)state;
    tool_snapshot("bars", 8 * TOOL_CHUNK, 9, "bars.gz");
    const char *text = shown("/dev/null", TOOL_WORDS("snapshot", "bars", "bar.gz"));
    assert_non_null(strstr(text, " of 512.0 KiB  ["));
    assert_string_equal(text + strlen(text) - 2, " \r");
    text = shown("bars", TOOL_WORDS("snapshot", "-", "bar.gz", "--force"));
    assert_int_equal(strncmp(text, "\rpacking  ", 10), 0);
    assert_null(strchr(text, '%'));
    assert_string_equal(text + strlen(text) - 2, " \r");
    assert_string_equal(shown("bars", TOOL_WORDS("snapshot", "-", "-")), "");
    assert_string_equal(shown("bars.gz", TOOL_WORDS("verify", "-", "--json")), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_of_three_commands_hands_on_every_byte),
        cmocka_unit_test(other_programs_read_every_kind),
        cmocka_unit_test(other_programs_read_the_empty_one_and_the_shortest),
        cmocka_unit_test(other_programs_read_one_with_several_index_members),
        cmocka_unit_test(reading_a_silent_pipe_ends_by_the_signal_and_leaves_nothing),
        cmocka_unit_test(waiting_for_a_lock_ends_by_the_signal_and_leaves_nothing),
        cmocka_unit_test(what_is_told_at_length_can_be_interrupted),
        cmocka_unit_test(damage_is_told_although_the_stream_is_interrupted_behind_it),
        cmocka_unit_test(an_interruption_takes_back_what_was_done),
        cmocka_unit_test(killed_in_the_middle_there_is_no_target),
        cmocka_unit_test(a_reader_that_has_enough_is_no_error),
        cmocka_unit_test(a_full_disk_under_standard_output_is_an_error),
        cmocka_unit_test(standard_streams_that_are_closed_are_errors),
        cmocka_unit_test(a_bar_shows_and_of_a_stream_how_much_is_done),
    };
    return cmocka_run_group_tests_name("command_snapshot_pipes", tests, NULL, NULL);
}
