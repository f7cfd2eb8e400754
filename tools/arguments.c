/*
 * arguments.c - the command line after the verb: options, sizes, operands.
 */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include <keepmap.h>

typedef enum value_kind { NO_VALUE, SIZE, NUMBER, TEXT } value_kind;

struct option {
    unsigned bit;
    value_kind kind;
    const char *name;  /* without the dashes */
    const char *value; /* what stands for its value in help */
    const char *help;
};

static const struct option known[] = {
    {OPTION_SIZE, SIZE, "size", "N", "the size in bytes; k M G T are powers of 1024"},
    {OPTION_OFFSET, SIZE, "offset", "N", "begin at this byte (default 0)"},
    {OPTION_LENGTH, SIZE, "length", "N", "this many bytes (default: to the end)"},
    {OPTION_SPARSE, NO_VALUE, "sparse", NULL, "do not allocate disk for what is added"},
    {OPTION_FORCE, NO_VALUE, "force", NULL, "replace an existing target"},
    {OPTION_HEX, NO_VALUE, "hex", NULL, "offsets, hexadecimal bytes and text"},
    {OPTION_SEGMENT, TEXT, "segment", "NAME", "the segment of that name, instead of a file"},
    {OPTION_MACHINE_WIDE, NO_VALUE, "machine-wide", NULL, "the name is one for all users"},
    {OPTION_EVERYBODY, NO_VALUE, "everybody", NULL, "other users may read and write it"},
    {OPTION_FROM, TEXT, "from", "FILE", "filled with this file's bytes"},
    {OPTION_HOLD, TEXT, "hold", "SECONDS", "let go after that time; \"input\": when input ends"},
    {OPTION_TYPE, TEXT, "type", "TAG", "what its bytes are: who opens it may ask for that"},
    {OPTION_TYPE_VERSION, NUMBER, "type-version", "N", "the version of that type (default 0)"},
    {OPTION_INTERVAL, NUMBER, "interval", "MS", "milliseconds between two looks (default 500)"},
    {OPTION_COUNT, NUMBER, "count", "N", "end after so many looks (default: never)"},
    {OPTION_SINCE, TEXT, "since", "OLD", "take over from this snapshot what has not changed"},
    {OPTION_COMPARE, NO_VALUE, "compare", NULL, "compare what looks unchanged byte by byte"},
    {OPTION_LEVEL, NUMBER, "level", "N", "1 (fast, default) to 9 (small); 0: not compressed"},
    {OPTION_CHUNK_SIZE, SIZE, "chunk-size", "N", "a power of two, 64k to 16M (default 256k)"},
    {OPTION_THREADS, NUMBER, "threads", "N", "how many work (default: as many as processors)"},
    {OPTION_NO_LOCK, NO_VALUE, "no-lock", NULL, "do not wait for writers who lock"},
    {OPTION_TIMEOUT, NUMBER, "timeout", "SECONDS", "how long to wait for them (default: for ever)"},
    {OPTION_NO_SYNC, NO_VALUE, "no-sync", NULL, "do not wait until it is on the disk"},
    {OPTION_IN_PLACE, NO_VALUE, "in-place", NULL, "write only what differs, into the target"},
    {OPTION_QUICK, NO_VALUE, "quick", NULL, "check the packed bytes' sums alone"},
    {OPTION_PLAIN, NO_VALUE, "plain", NULL, "take a snapshot for the plain file that it is"},
    {OPTION_UNIT, SIZE, "unit", "N", "compare in pieces of this size (default 4k)"},
    {OPTION_JSON, NO_VALUE, "json", NULL, "one JSON object instead of text"},
    {OPTION_HELP, NO_VALUE, "help", NULL, "this text"},
};

#define OPTIONS_KNOWN (sizeof known / sizeof known[0])

/* The option that `word` begins with, and *value behind its '=', NULL if there is none. */
static const struct option *option_find(const char *word, unsigned allowed, const char **value) {
    const char *name = word + strlen("--");
    size_t length = strcspn(name, "=");
    for (size_t i = 0; i < OPTIONS_KNOWN; i++) {
        const struct option *candidate = &known[i];
        if (!(candidate->bit & allowed) || strlen(candidate->name) != length ||
            memcmp(candidate->name, name, length) != 0) {
            continue;
        }
        *value = name[length] == '=' ? name + length + 1 : NULL;
        return candidate;
    }
    return NULL;
}

/* Where the value of an option of that kind goes. */

static uint64_t *size_of(arguments *result, unsigned bit) {
    switch (bit) {
    case OPTION_SIZE:
        return &result->size;
    case OPTION_OFFSET:
        return &result->offset;
    case OPTION_CHUNK_SIZE:
        return &result->chunk_size;
    case OPTION_UNIT:
        return &result->unit;
    default:
        return &result->length;
    }
}

static uint32_t *number_of(arguments *result, unsigned bit) {
    switch (bit) {
    case OPTION_TYPE_VERSION:
        return &result->type_version;
    case OPTION_INTERVAL:
        return &result->interval;
    case OPTION_LEVEL:
        return &result->level;
    case OPTION_THREADS:
        return &result->threads;
    case OPTION_TIMEOUT:
        return &result->timeout;
    default:
        return &result->count;
    }
}

static const char **text_of(arguments *result, unsigned bit) {
    switch (bit) {
    case OPTION_SEGMENT:
        return &result->segment;
    case OPTION_FROM:
        return &result->from;
    case OPTION_HOLD:
        return &result->hold;
    case OPTION_SINCE:
        return &result->since;
    default:
        return &result->type;
    }
}

static bool take_size(uint64_t *size, const struct option *one, const char *value, char *problem,
                      size_t problem_size) {
    if (!size_read(value, size)) {
        (void)snprintf(problem, problem_size,
                       "--%s %.200s: not a number of bytes (such as 4096, 64k, 1G) below 2^64",
                       one->name, value);
        return false;
    }
    /* To the library that size means that none is known: any file would pass a check. */
    if (one->bit == OPTION_SIZE && *size == KM_SIZE_UNKNOWN) {
        (void)snprintf(problem, problem_size, "--size %.200s: no file has 2^64 - 1 bytes", value);
        return false;
    }
    return true;
}

static bool take_value(arguments *result, const struct option *one, const char *value,
                       char *problem, size_t problem_size) {
    if (one->kind == SIZE) {
        return take_size(size_of(result, one->bit), one, value, problem, problem_size);
    }
    if (one->kind == TEXT) {
        *text_of(result, one->bit) = value;
        return true;
    }
    if (!number_read(value, number_of(result, one->bit))) {
        (void)snprintf(problem, problem_size, "--%s %.200s: not a whole number below 2^32",
                       one->name, value);
        return false;
    }
    return true;
}

bool arguments_read(arguments *result, char **words, unsigned allowed, char *problem,
                    size_t problem_size) {
    bool only_operands = false;
    for (; *words; words++) {
        const char *word = *words;
        if (only_operands || word[0] != '-' || word[1] == '\0') {
            if (result->operand_count < OPERANDS_AT_MOST) {
                result->operands[result->operand_count] = word;
            }
            result->operand_count++;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (strcmp(word, "-h") == 0) {
            word = "--help";
        }

        const char *value = NULL;
        const struct option *found =
            strncmp(word, "--", 2) == 0 ? option_find(word, allowed, &value) : NULL;
        if (!found) {
            (void)snprintf(problem, problem_size, "no such option: %.200s", word);
            return false;
        }
        if (found->kind == NO_VALUE && value) {
            (void)snprintf(problem, problem_size, "--%s takes no value", found->name);
            return false;
        }
        if (found->kind != NO_VALUE) {
            if (!value && !*++words) {
                (void)snprintf(problem, problem_size, "--%s needs a value", found->name);
                return false;
            }
            if (!take_value(result, found, value ? value : *words, problem, problem_size)) {
                return false;
            }
        }
        result->given |= found->bit;
    }
    return true;
}

/* The power of two that a unit stands for, -1 if it is none. */
static int unit_shift(const char *unit) {
    static const char letters[] = "kmgt";
    if (*unit == '\0') {
        return 0;
    }
    char lower = (char)(*unit >= 'A' && *unit <= 'Z' ? *unit - 'A' + 'a' : *unit);
    const char *letter = strchr(letters, lower);
    if (!letter || (unit[1] != '\0' && strcmp(unit + 1, "iB") != 0)) {
        return -1;
    }
    return 10 * (int)(letter - letters + 1);
}

bool size_read(const char *text, uint64_t *size) {
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    int shift = unit_shift(at);
    if (at == text || shift < 0 || number > UINT64_MAX >> shift) {
        return false;
    }
    *size = number << shift;
    return true;
}

bool number_read(const char *text, uint32_t *number) {
    uint64_t value = 0;
    if (text[strspn(text, "0123456789")] != '\0' || !size_read(text, &value) ||
        value > UINT32_MAX) {
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

void options_usage(char *text, size_t text_size, unsigned options, unsigned required) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < OPTIONS_KNOWN; i++) {
        const struct option *one = &known[i];
        if (!(one->bit & options)) {
            continue;
        }
        bool optional = !(one->bit & required);
        int wrote =
            snprintf(text + used, text_size - used, " %s--%s%s%s%s", optional ? "[" : "", one->name,
                     one->value ? " " : "", one->value ? one->value : "", optional ? "]" : "");
        if (wrote < 0 || (size_t)wrote >= text_size - used) {
            return; /* text is cut at its end, not lost */
        }
        used += (size_t)wrote;
    }
}

void options_help(unsigned options) {
    for (size_t i = 0; i < OPTIONS_KNOWN; i++) {
        if (known[i].bit & options) {
            char words[32];
            (void)snprintf(words, sizeof words, "--%s %s", known[i].name,
                           known[i].value ? known[i].value : "");
            printf("  %-18s %s\n", words, known[i].help);
        }
    }
}
