/*
 * verb_watch.c - the verb watch: a segment's bytes, as they change.
 *
 * Each look opens the segment, copies its bytes and lets go: so it dies with its users as if nobody
 * watched, and a segment made anew under the name is seen. On a terminal the bytes stand in rows;
 * elsewhere each changed range is a line, or an element of the JSON object's member "changes".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "console.h"

#define DEFAULT_INTERVAL_MS 500
#define MOST_IN_ROW 16
#define HEADING_ROWS 1
#define FOOTING_ROWS 1

/* Another screen than the one the shell writes on, without a cursor; and back. */
#define SCREEN_BEGIN "\033[?1049h\033[?25l"
#define SCREEN_END "\033[?25h\033[?1049l"
#define GO_HOME "\033[H"
#define REST_OF_LINE "\033[K"
#define REST_OF_SCREEN "\033[J"
#define MARKED "\033[7m"
#define UNMARKED "\033[m"

typedef struct watch {
    output *out;
    const arguments *given;
    bool screen;
    unsigned columns; /* of the screen */
    unsigned rows;
    uint64_t size;   /* of the segment, at the last look */
    uint64_t length; /* watched, from given->offset on */
    uint64_t shown;  /* of those, which are looked at: on a screen, as many as fit */
    unsigned char *now;
    unsigned char *before;
    uint64_t room;  /* bytes there is memory for, in each of the two */
    uint64_t valid; /* bytes that `before` has: 0 at first, and after the size changed */
    uint64_t looks;
    bool any_change; /* has been printed */
} watch;

/* Before anything is said that is to stay. */
static void leave_screen(watch *job) {
    if (job->screen) {
        (void)fputs(SCREEN_END, stdout);
        (void)fflush(stdout);
        job->screen = false;
    }
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* Bytes in a row, a power of two: "OFFSET  00 00 ... |....|" is to leave the last column free. */
static unsigned row_bytes(const watch *job) {
    unsigned bytes = MOST_IN_ROW;
    while (bytes > 1 && 8 + 2 + 4 * bytes + 4 >= job->columns) {
        bytes /= 2;
    }
    return bytes;
}

static unsigned data_rows(const watch *job) {
    const unsigned others = HEADING_ROWS + FOOTING_ROWS;
    return job->rows > others ? job->rows - others : 1;
}

/* What of [offset, offset + length) there is to look at. KM_OK, or refused in *exit_status. */
static bool measure(watch *job, uint64_t size, int *exit_status) {
    const arguments *given = job->given;
    const uint64_t rest = given->offset <= size ? size - given->offset : 0;
    const uint64_t length = given->given & OPTION_LENGTH ? given->length : rest;
    if (given->offset > size || length > rest) {
        leave_screen(job);
        *exit_status = output_failed(job->out, KM_E_TRUNCATED,
                                     "\"%s\" has %" PRIu64 " bytes: too few for %" PRIu64
                                     " bytes from byte %" PRIu64,
                                     given->operands[0], size, length, given->offset);
        return false;
    }
    uint64_t shown = length;
    if (job->screen && console_screen(&job->columns, &job->rows)) {
        const uint64_t most = (uint64_t)row_bytes(job) * data_rows(job);
        shown = length < most ? length : most;
    }
    if (size != job->size || shown != job->shown) {
        job->valid = 0;
    }
    job->size = size;
    job->length = length;
    job->shown = shown;
    return true;
}

static bool make_room(watch *job, int *exit_status) {
    if (job->shown <= job->room) {
        return true;
    }
    const bool possible = job->shown <= SIZE_MAX;
    unsigned char *now = possible ? realloc(job->now, (size_t)job->shown) : NULL;
    job->now = now ? now : job->now;
    unsigned char *before = now ? realloc(job->before, (size_t)job->shown) : NULL;
    job->before = before ? before : job->before;
    if (!before) {
        leave_screen(job);
        *exit_status = output_failed(job->out, KM_E_NO_MEMORY,
                                     "no memory for twice %" PRIu64 " bytes: --length", job->shown);
        return false;
    }
    job->room = job->shown;
    return true;
}

/* false: there is nothing more to see, for which *exit_status is the reason. */
static bool look(watch *job, bool *gone, int *exit_status) {
    const km_options options = {
        .flags = job->given->given & OPTION_MACHINE_WIDE ? KM_OPEN_MACHINE_WIDE : 0};
    km_map *map = NULL;
    console_last_words(job->screen ? SCREEN_END : ""); /* its maker may be at it without end */
    km_status status = km_segment(&map, job->given->operands[0], &options);
    console_last_words(NULL);
    if (status == KM_E_NOT_FOUND && job->looks > 0) {
        *gone = true;
        return false;
    }
    if (status != KM_OK) {
        leave_screen(job);
        *exit_status = output_refused(job->out, status);
        return false;
    }
    const bool fits = measure(job, km_size(map), exit_status) && make_room(job, exit_status);
    if (fits && job->shown > 0) { /* to the library, a length of 0 means to the end */
        status = km_read(map, job->given->offset, job->now, job->shown);
        if (status != KM_OK) {
            leave_screen(job);
            *exit_status = output_refused(job->out, status);
        }
    }
    (void)km_close(map);
    job->looks++;
    return fits && status == KM_OK;
}

static void remember(watch *job) {
    unsigned char *swapped = job->before;
    job->before = job->now;
    job->now = swapped;
    job->valid = job->shown;
}

static bool is_changed(const watch *job, uint64_t at) {
    return job->valid > at && job->now[at] != job->before[at];
}

/* ---- Ranges, one a line or one an element ---------------------------------------------------- */

static void print_bytes(const watch *job, uint64_t start, uint64_t end) {
    static const char digits[] = "0123456789abcdef";
    for (uint64_t at = start; at < end; at++) {
        (void)putchar(digits[job->now[at] >> 4]);
        (void)putchar(digits[job->now[at] & 15]);
    }
}

static void print_range(watch *job, uint64_t start, uint64_t end) {
    const uint64_t offset = job->given->offset + start;
    if (job->out->json) {
        printf("%s{\"look\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"hex\":\"",
               job->any_change ? "," : "", job->looks, offset);
        print_bytes(job, start, end);
        (void)fputs("\"}", stdout);
    } else {
        printf("%08" PRIx64 " %" PRIu64 " ", offset, end - start);
        print_bytes(job, start, end);
        (void)fputc('\n', stdout);
    }
    job->any_change = true;
}

static void print_ranges(watch *job) {
    for (uint64_t at = 0; at < job->shown;) {
        uint64_t end = at;
        while (end < job->shown && is_changed(job, end)) {
            end++;
        }
        if (end > at) {
            print_range(job, at, end);
        }
        at = end + 1;
    }
}

static void print_beginning(const watch *job) {
    const char *name = job->given->operands[0];
    if (job->out->json) {
        json_begin(job->out);
        json_text("segment", name);
        json_bytes("offset", job->given->offset);
        json_bytes("length", job->length);
        (void)fputs(",\"changes\":[", stdout);
    } else {
        (void)fputs("watching: ", stdout);
        text_safe(name);
        printf(", %" PRIu64 " bytes from byte %" PRIu64 "\n", job->length, job->given->offset);
    }
}

static void print_end(const watch *job, bool gone) {
    if (job->out->json) {
        (void)fputs("]", stdout);
        json_bytes("looks", job->looks);
        json_bool("gone", gone);
        json_end();
    } else if (gone) {
        (void)fputs("gone: ", stdout);
        text_safe(job->given->operands[0]);
        (void)fputc('\n', stdout);
    }
}

/* ---- The screen ------------------------------------------------------------------------------ */

/* A line of text, cut before the screen's last column. */
static void draw_text(const watch *job, const char *text) {
    const unsigned room = job->columns > 1 ? job->columns - 1 : 1;
    printf("%.*s" REST_OF_LINE, (int)room, text);
}

static void draw_row(const watch *job, uint64_t start, unsigned bytes) {
    printf("%08" PRIx64 " ", job->given->offset + start);
    for (unsigned i = 0; i < bytes; i++) {
        const uint64_t at = start + i;
        if (at >= job->shown) {
            (void)fputs("   ", stdout);
            continue;
        }
        const bool marked = is_changed(job, at);
        printf(" %s%02x%s", marked ? MARKED : "", job->now[at], marked ? UNMARKED : "");
    }
    (void)fputs("  |", stdout);
    for (unsigned i = 0; i < bytes && start + i < job->shown; i++) {
        const unsigned char byte = job->now[start + i];
        const bool marked = is_changed(job, start + i);
        printf("%s%c%s", marked ? MARKED : "", byte >= 0x20 && byte < 0x7F ? byte : '.',
               marked ? UNMARKED : "");
    }
    (void)fputs("|" REST_OF_LINE "\r\n", stdout);
}

static void draw(const watch *job, uint32_t interval) {
    char text[256];
    const unsigned bytes = row_bytes(job);
    (void)fputs(GO_HOME, stdout);
    (void)snprintf(text, sizeof text, "%" PRIu64 " bytes, every %" PRIu32 " ms, Ctrl-C ends",
                   job->size, interval);
    draw_text(job, text);
    (void)fputs("\r\n", stdout);
    for (uint64_t at = 0; at < job->shown; at += bytes) {
        draw_row(job, at, bytes);
    }
    text[0] = '\0';
    if (job->shown < job->length) {
        (void)snprintf(text, sizeof text, "not shown: %" PRIu64 " bytes from %08" PRIx64 " on",
                       job->length - job->shown, job->given->offset + job->shown);
    }
    draw_text(job, text);
    (void)fputs(REST_OF_SCREEN, stdout);
}

/* ---- The verb -------------------------------------------------------------------------------- */

static int watch_on(watch *job, uint32_t interval) {
    bool gone = false;
    int exit_status = EXIT_FINE;
    while (look(job, &gone, &exit_status)) {
        if (job->looks == 1 && !job->screen) {
            print_beginning(job);
        }
        if (job->screen) {
            draw(job, interval);
        } else {
            print_ranges(job);
        }
        remember(job);
        (void)fflush(stdout);
        if (!output_takes_more(job->out) || job->looks == job->given->count ||
            console_wait(interval, false) != CONSOLE_TIME) {
            break;
        }
    }
    leave_screen(job);
    if (exit_status == EXIT_FINE) {
        print_end(job, gone);
        exit_status = output_end(job->out, EXIT_FINE);
    }
    return exit_status;
}

int verb_watch(output *out, const arguments *given) {
    static char screen_buffer[1 << 16];
    watch job = {.out = out, .given = given};
    const uint32_t interval =
        given->given & OPTION_INTERVAL ? given->interval : DEFAULT_INTERVAL_MS;
    if (given->given & OPTION_COUNT && given->count == 0) {
        return output_misused(out, "--count 0: no look at all");
    }
    console_catch_interrupt();
    job.screen = !out->json && console_screen(&job.columns, &job.rows);
    if (job.screen) { /* each picture in one piece */
        (void)setvbuf(stdout, screen_buffer, _IOFBF, sizeof screen_buffer);
        (void)fputs(SCREEN_BEGIN, stdout);
        (void)fflush(stdout);
    }
    const int exit_status = watch_on(&job, interval);
    free(job.now);
    free(job.before);
    return exit_status;
}
