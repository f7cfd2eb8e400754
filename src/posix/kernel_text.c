/*
 * kernel_text.c - reads the small text files in which the kernel tells about itself.
 */
#include "kernel_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Of a file's length: a machine of many containers has some thousand mounts. */
enum { MOST_READS = 256 };

bool kmw_lines_open(kmw_lines *lines, const char *path) {
    lines->start = lines->end = 0;
    lines->reads_left = MOST_READS;
    lines->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return lines->descriptor >= 0;
}

void kmw_lines_close(kmw_lines *lines) {
    close(lines->descriptor);
}

/* More text behind what is there; false: the end, or as good as. */
static bool read_more(kmw_lines *lines) {
    memmove(lines->text, lines->text + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    ssize_t got = -1;
    while (got < 0 && lines->reads_left > 0) {
        --lines->reads_left;
        /* One byte stays free: the last line may lack its end. */
        got =
            read(lines->descriptor, lines->text + lines->end, sizeof lines->text - 1 - lines->end);
        if (got < 0 && errno != EINTR) {
            return false;
        }
    }
    if (got <= 0) {
        return false;
    }
    lines->end += (size_t)got;
    return true;
}

static char *hand_out(kmw_lines *lines, size_t length, size_t separator) {
    char *line = lines->text + lines->start;
    line[length] = '\0';
    lines->start += length + separator;
    return line;
}

char *kmw_lines_next(kmw_lines *lines) {
    bool too_long = false;
    for (;;) {
        const size_t there = lines->end - lines->start;
        const char *end = memchr(lines->text + lines->start, '\n', there);
        if (end != NULL) {
            char *line = hand_out(lines, (size_t)(end - (lines->text + lines->start)), 1);
            if (!too_long) {
                return line;
            }
            too_long = false;
            continue;
        }
        if (there == sizeof lines->text - 1) {
            lines->start = lines->end;
            too_long = true;
        }
        if (!read_more(lines)) {
            const size_t rest = lines->end - lines->start;
            return rest > 0 && !too_long ? hand_out(lines, rest, 0) : NULL;
        }
    }
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n';
}

bool kmw_number_of(const char *text, uint64_t *number) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; ++at) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (at == text || (*at != '\0' && !is_space(*at))) {
        return false;
    }
    *number = value;
    return true;
}

bool kmw_number_in(const char *path, uint64_t *number) {
    kmw_lines lines;
    if (!kmw_lines_open(&lines, path)) {
        return false;
    }
    const char *line = kmw_lines_next(&lines);
    const bool good = line != NULL && kmw_number_of(line, number);
    kmw_lines_close(&lines);
    return good;
}

static void take_line(const char *line, kmw_key *keys, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        const size_t length = strlen(keys[i].name);
        if (keys[i].found || strncmp(line, keys[i].name, length) != 0 || !is_space(line[length])) {
            continue;
        }
        const char *number = line + length;
        while (is_space(*number)) {
            ++number;
        }
        keys[i].found = kmw_number_of(number, &keys[i].value);
        return;
    }
}

void kmw_keys_in(const char *path, kmw_key *keys, size_t count) {
    kmw_lines lines;
    for (size_t i = 0; i < count; ++i) {
        keys[i].found = false;
    }
    if (!kmw_lines_open(&lines, path)) {
        return;
    }
    for (const char *line = kmw_lines_next(&lines); line != NULL; line = kmw_lines_next(&lines)) {
        take_line(line, keys, count);
    }
    kmw_lines_close(&lines);
}
