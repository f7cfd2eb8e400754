/*
 * progress.c - a bar on standard error while long work goes on, and its end by Ctrl-C.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#include <keepmap.h>

#include "console.h"
#include "output.h"

#define LINE_AT_MOST 120
#define BAR_AT_MOST 40
#define BAR_AT_LEAST 8
#define REDRAW_MS 100

void progress_start(progress *bar, const char *label, bool wanted) {
    *bar = (progress){.label = label, .columns = wanted ? console_columns() : 0};
    console_catch_interrupt();
}

void progress_none(progress *bar) {
    *bar = (progress){.label = ""};
}

/* One write for the whole line, so that nothing gets between; blanks cover what was longer. */
static void draw(progress *bar, const char *line) {
    char text[LINE_AT_MOST * 2];
    unsigned length = (unsigned)strlen(line);
    unsigned blanks = bar->shown > length ? bar->shown - length : 0;
    (void)snprintf(text, sizeof text, "\r%s%*s", line, (int)blanks, "");
    (void)fputs(text, stderr);
    (void)fflush(stderr);
    bar->shown = length;
}

static void draw_done(progress *bar, uint64_t done) {
    char line[LINE_AT_MOST];
    char text[SIZE_TEXT];
    int length = snprintf(line, sizeof line, "%s  %.20s", bar->label, size_rounded(text, done));
    if (length > 0 && (unsigned)length >= bar->columns) {
        line[bar->columns - 1] = '\0';
    }
    draw(bar, line);
}

static void draw_state(progress *bar, uint64_t done, uint64_t total) {
    char line[LINE_AT_MOST];
    char cells[BAR_AT_MOST + 1] = "";
    char done_text[SIZE_TEXT];
    char total_text[SIZE_TEXT];
    double part = total ? (double)done / (double)total : 1;
    int length =
        snprintf(line, sizeof line, "%s %3d %%  %.20s of %.20s  ", bar->label, (int)(part * 100),
                 size_rounded(done_text, done), size_rounded(total_text, total));
    if (length < 0 || (size_t)length >= sizeof line) {
        return;
    }
    /* The last column stays free: a terminal may begin a new line there. */
    unsigned columns = bar->columns < LINE_AT_MOST ? bar->columns : LINE_AT_MOST;
    unsigned room = columns > (unsigned)length + 3 ? columns - (unsigned)length - 3 : 0;
    if (room >= BAR_AT_LEAST) {
        unsigned width = room < BAR_AT_MOST ? room : BAR_AT_MOST;
        unsigned full = (unsigned)(part * width);
        memset(cells, '.', width);
        memset(cells, '#', full);
        (void)snprintf(line + length, sizeof line - (size_t)length, "[%s]", cells);
    } else if (columns > 0 && (unsigned)length >= columns) {
        line[columns - 1] = '\0';
    }
    draw(bar, line);
}

bool progress_step(uint64_t done, uint64_t total, void *arg) {
    progress *bar = arg;
    uint64_t now = console_milliseconds();
    if (bar->columns && (bar->shown == 0 || now - bar->drawn >= REDRAW_MS)) {
        if (total == KM_SIZE_UNKNOWN) {
            draw_done(bar, done);
        } else {
            draw_state(bar, done, total);
        }
        bar->drawn = now;
    }
    return !console_interrupted();
}

void progress_end(progress *bar) {
    if (bar->shown) {
        draw(bar, "");
        (void)fputc('\r', stderr);
    }
}
