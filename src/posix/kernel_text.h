/*
 * kernel_text.h - reads the small text files in which the kernel tells about itself.
 *
 * Nothing is allocated and nothing is believed: a file may be missing, cut short or nonsense, and a
 * bounded part of it is read. What cannot be read is unknown, which the caller must expect.
 */
#ifndef KMW_KERNEL_TEXT_H
#define KMW_KERNEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file being read line by line. */
typedef struct kmw_lines {
    int descriptor;
    unsigned reads_left;
    size_t start, end; /* what of `text` is not yet handed out */
    char text[4096];
} kmw_lines;

/* false: there is no such file to be read. */
bool kmw_lines_open(kmw_lines *lines, const char *path);
/* The next line without its end, valid until the next call; NULL: no more. Lines that are longer
 * than the buffer are left out. */
char *kmw_lines_next(kmw_lines *lines);
void kmw_lines_close(kmw_lines *lines);

/* Decimal digits, then the end of the text or white space. false: something else, or too large. */
bool kmw_number_of(const char *text, uint64_t *number);

/* The number that is a file's first line; false also for words such as "max". */
bool kmw_number_in(const char *path, uint64_t *number);

/* One line's key and where its number goes; `found` says whether it was there. */
typedef struct kmw_key {
    const char *name; /* all before the number but white space: "MemAvailable:" */
    uint64_t value;
    bool found;
} kmw_key;

/* Looks for `count` keys in a file of lines "key number ...". */
void kmw_keys_in(const char *path, kmw_key *keys, size_t count);

#endif /* KMW_KERNEL_TEXT_H */
