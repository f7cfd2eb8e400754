/*
 * arguments.h - the command line after the verb: options, sizes, operands.
 */
#ifndef TOOLS_ARGUMENTS_H
#define TOOLS_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_HELP 0x0001u
#define OPTION_JSON 0x0002u
#define OPTION_SIZE 0x0004u
#define OPTION_OFFSET 0x0008u
#define OPTION_LENGTH 0x0010u
#define OPTION_SPARSE 0x0020u
#define OPTION_FORCE 0x0040u
#define OPTION_HEX 0x0080u
#define OPTION_SEGMENT 0x0100u
#define OPTION_MACHINE_WIDE 0x0200u
#define OPTION_FROM 0x0400u
#define OPTION_HOLD 0x0800u
#define OPTION_TYPE 0x1000u
#define OPTION_TYPE_VERSION 0x2000u
#define OPTION_INTERVAL 0x4000u
#define OPTION_COUNT 0x8000u
#define OPTION_EVERYBODY 0x10000u
#define OPTION_SINCE 0x20000u
#define OPTION_LEVEL 0x40000u
#define OPTION_THREADS 0x80000u
#define OPTION_CHUNK_SIZE 0x100000u
#define OPTION_COMPARE 0x200000u
#define OPTION_NO_LOCK 0x400000u
#define OPTION_NO_SYNC 0x800000u
#define OPTION_IN_PLACE 0x1000000u
#define OPTION_QUICK 0x2000000u
#define OPTION_PLAIN 0x4000000u
#define OPTION_UNIT 0x8000000u
#define OPTION_TIMEOUT 0x10000000u
#define OPTIONS_OF_ALL (OPTION_HELP | OPTION_JSON)

#define OPERANDS_AT_MOST 2

typedef struct arguments {
    unsigned given; /* OPTION_* */
    uint64_t size;
    uint64_t offset;
    uint64_t length;
    uint64_t chunk_size;
    uint64_t unit;
    uint32_t type_version;
    uint32_t interval; /* milliseconds */
    uint32_t count;    /* looks */
    uint32_t level;
    uint32_t threads;
    uint32_t timeout;    /* seconds */
    const char *segment; /* of these, NULL: not given */
    const char *from;
    const char *hold;
    const char *type;
    const char *since;
    const char *operands[OPERANDS_AT_MOST];
    int operand_count; /* may be larger: only the first are kept */
} arguments;

/*
 * Reads words up to a NULL. Options are --name, --name VALUE or --name=VALUE, anywhere before a
 * "--"; a lone "-" is an operand. An option outside `allowed`, a value missing, unasked for or
 * malformed, a size of 2^64 - 1, a number of 2^32 or more: false, with the reason in `problem`.
 */
bool arguments_read(arguments *result, char **words, unsigned allowed, char *problem,
                    size_t problem_size);

/*
 * Bytes: a decimal number, alone or with one of k M G T (also K, KiB, MiB, GiB, TiB; powers of
 * 1024) behind it. false: anything else, or more than 64 bits hold.
 */
bool size_read(const char *text, uint64_t *size);

/* A decimal number below 2^32. */
bool number_read(const char *text, uint32_t *number);

/* Writes the options in `options` as they stand in a usage line, optional ones in brackets. */
void options_usage(char *text, size_t text_size, unsigned options, unsigned required);

/* Prints a line on each option in `options`. */
void options_help(unsigned options);

#endif /* TOOLS_ARGUMENTS_H */
