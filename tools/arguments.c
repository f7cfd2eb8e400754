/*
 * arguments.c - the command line after the verb: options, sizes, operands.
 */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include <keepmap.h>

struct option {
    unsigned bit;
    const char *name;  /* without the dashes */
    const char *value; /* what stands for its value in help; NULL: it takes none */
    const char *help;
};

static const struct option known[] = {
    {OPTION_SIZE, "size", "N", "--size N      the size in bytes; k M G T are powers of 1024"},
    {OPTION_OFFSET, "offset", "N", "--offset N    begin at this byte (default 0)"},
    {OPTION_LENGTH, "length", "N", "--length N    this many bytes (default: to the end)"},
    {OPTION_SPARSE, "sparse", NULL, "--sparse      do not allocate disk for what is added"},
    {OPTION_FORCE, "force", NULL, "--force       replace an existing target"},
    {OPTION_HEX, "hex", NULL, "--hex         offsets, hexadecimal bytes and text"},
    {OPTION_JSON, "json", NULL, "--json        one JSON object instead of text"},
    {OPTION_HELP, "help", NULL, "--help        this text"},
};

#define OPTION_COUNT (sizeof known / sizeof known[0])

/* The option that `word` begins with, and *value behind its '=', NULL if there is none. */
static const struct option *option_find(const char *word, unsigned allowed, const char **value) {
    const char *name = word + strlen("--");
    size_t length = strcspn(name, "=");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
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

static uint64_t *option_target(arguments *result, unsigned bit) {
    switch (bit) {
    case OPTION_SIZE:
        return &result->size;
    case OPTION_OFFSET:
        return &result->offset;
    default:
        return &result->length;
    }
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
        if (!found->value && value) {
            (void)snprintf(problem, problem_size, "--%s takes no value", found->name);
            return false;
        }
        if (found->value) {
            if (!value && !*++words) {
                (void)snprintf(problem, problem_size, "--%s needs a value", found->name);
                return false;
            }
            value = value ? value : *words;
            uint64_t *target = option_target(result, found->bit);
            if (!size_read(value, target)) {
                (void)snprintf(
                    problem, problem_size,
                    "--%s %.200s: not a number of bytes (such as 4096, 64k, 1G) below 2^64",
                    found->name, value);
                return false;
            }
            /* To the library that size means that none is known: any file would pass a check. */
            if (found->bit == OPTION_SIZE && *target == KM_SIZE_UNKNOWN) {
                (void)snprintf(problem, problem_size, "--size %.200s: no file has 2^64 - 1 bytes",
                               value);
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

void options_usage(char *text, size_t text_size, unsigned options, unsigned required) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < OPTION_COUNT; i++) {
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
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (known[i].bit & options) {
            printf("  %s\n", known[i].help);
        }
    }
}
