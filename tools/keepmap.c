/*
 * keepmap.c - the command: its verbs, its help, and which of them is meant.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "console.h"

static const verb verbs[] = {
    {"create", "FILE", 1, 0, OPTION_SIZE | OPTION_SPARSE, OPTION_SIZE, "makes a new file of zeros",
     "The file appears whole and durable, its disk allocated unless --sparse, or not at all.\n"
     "A file that exists is left alone.\n",
     verb_create},
    {"info", "FILE", 1, 0, OPTION_SEGMENT | OPTION_MACHINE_WIDE | OPTION_PLAIN, 0,
     "shows the sizes of a file, segment or snapshot",
     "What it has, what is allocated of that, and what disk and address space could take. Of a\n"
     "segment also its type, and when it was made by which process; of a snapshot what it says of\n"
     "itself (--plain: the sizes of its file).\n",
     verb_info},
    {"check", "FILE", 1, 0, OPTION_SIZE, 0,
     "is the file as long as it must be, and is there room for it?",
     "Room to map it, and on the disk for its holes. Without --size any length will do. Exit\n"
     "status 1: no.\n",
     verb_check},
    {"fits", "PATH", 1, 0, OPTION_SIZE, OPTION_SIZE, "would a file of that size fit?",
     "On the disk, into the largest file and into the address space. PATH is a file, which need\n"
     "not exist, or a directory. Exit status 1: no.\n",
     verb_fits},
    {"resize", "FILE", 1, 0, OPTION_SIZE | OPTION_SPARSE, OPTION_SIZE, "grows or shrinks a file",
     "New bytes are zero. A file that somebody has mapped does not shrink.\n", verb_resize},
    {"flush", "FILE", 1, 0, 0, 0, "makes a file's contents durable",
     "Everything that anybody has stored into it, through a map or otherwise.\n", verb_flush},
    {"cat", "FILE", 1, 0, OPTION_OFFSET | OPTION_LENGTH | OPTION_HEX | OPTION_PLAIN, 0,
     "writes a file's bytes, or what a snapshot holds",
     "A range that the file does not have is an error, and so is a file cut short meanwhile.\n"
     "With --json the bytes are the member \"hex\", two digits each.\n",
     verb_cat},
    {"copy", "SOURCE TARGET", 2, 0, OPTION_FORCE | OPTION_SEGMENT | OPTION_MACHINE_WIDE, 0,
     "makes a plain copy of a file or segment",
     "The copy appears whole and durable, or not at all. Holes stay holes; blocks are shared\n"
     "where the file system can. Ctrl-C leaves nothing behind.\n",
     verb_copy},
    {"snapshot", "SOURCE SNAPSHOT", 2, 0,
     OPTION_SEGMENT | OPTION_MACHINE_WIDE | OPTION_SINCE | OPTION_COMPARE | OPTION_LEVEL |
         OPTION_CHUNK_SIZE | OPTION_THREADS | OPTION_NO_LOCK | OPTION_TIMEOUT | OPTION_NO_SYNC |
         OPTION_FORCE,
     0, "packs a file or segment into a checked .gz",
     "A gzip file: gunzip restores the exact bytes. Packed in parallel; with --since what has not\n"
     "changed is taken over, and the result is whole all the same. Taken under the shared lock of\n"
     "keepmap's writers. - is standard input, or output. It appears whole and durable, or not at\n"
     "all.\n",
     verb_snapshot},
    {"restore", "SNAPSHOT TARGET", 2, 1,
     OPTION_SEGMENT | OPTION_MACHINE_WIDE | OPTION_EVERYBODY | OPTION_HOLD | OPTION_OFFSET |
         OPTION_LENGTH | OPTION_IN_PLACE | OPTION_THREADS | OPTION_NO_SYNC | OPTION_FORCE,
     0, "brings back what a snapshot holds",
     "Into a file, which appears whole and durable, or not at all; or into a new segment, which "
     "is\n"
     "held as the verb segment does. --offset and --length: that part alone. --in-place needs no\n"
     "room for a second file, but is not atomic: what it leaves when it is stopped, it repairs\n"
     "when it is run again. - is standard input, or output.\n",
     verb_restore},
    {"verify", "SNAPSHOT", 1, 0, OPTION_QUICK | OPTION_THREADS, 0,
     "is every bit of a snapshot as it was written?",
     "Reads, unpacks and compares everything. - is standard input. Exit status 1: no.\n",
     verb_verify},
    {"salvage", "SNAPSHOT TARGET", 2, 0, OPTION_NO_SYNC | OPTION_FORCE, 0,
     "recovers what is undamaged in a damaged snapshot",
     "Needs neither its beginning nor its end. What is lost is zeros in the target, and listed.\n"
     "Exit status 1: something is lost, or may be.\n",
     verb_salvage},
    {"diff", "A B", 2, 0, OPTION_UNIT | OPTION_PLAIN | OPTION_THREADS, 0,
     "where do two files, or two snapshots, differ?",
     "Each may be a file or a snapshot, of which what it holds is compared (--plain: the file\n"
     "itself). Exit status 1: they differ.\n",
     verb_diff},
    {"log", "DIRECTORY", 1, 0, 0, 0, "lists the snapshots in a folder",
     "When each was made, its size and ratio, and how much had changed since the one before, in\n"
     "whole chunks. Files that neither begin nor end as a snapshot does are passed over. Behind\n"
     "a name stands what could not be read or compared.\n",
     verb_log},
    {"segment", "NAME", 1, 0,
     OPTION_FROM | OPTION_SIZE | OPTION_TYPE | OPTION_TYPE_VERSION | OPTION_MACHINE_WIDE |
         OPTION_EVERYBODY | OPTION_HOLD,
     0, "makes a segment and keeps it alive",
     "Of --size bytes, of as many as --from's file has, or of both: then the rest is zeros. It\n"
     "prints \"ready\" when others can open it, and holds it until Ctrl-C, or what --hold says; "
     "it\n"
     "lives on while others hold it. What ended by Ctrl-C has ended well.\n",
     verb_segment},
    {"watch", "NAME", 1, 0,
     OPTION_INTERVAL | OPTION_COUNT | OPTION_OFFSET | OPTION_LENGTH | OPTION_MACHINE_WIDE, 0,
     "shows a segment's bytes changing",
     "On a terminal all of them, as far as it has room, those changed since the last look marked.\n"
     "Elsewhere a line for each range that has changed: offset, length, bytes. It holds the "
     "segment\n"
     "only while looking, and ends with it, or by Ctrl-C.\n",
     verb_watch},
    {"ls", "", 0, 0, 0, 0, "lists the named objects there are, and who holds them",
     "Sections, events, mutexes and semaphores of this user, and the machine-wide ones (Global\\)\n"
     "that may be read. ? is what is not known, - what there is not. Holders are processes; of\n"
     "other users' they may not all be seen: then a ? is behind them.\n",
     verb_ls},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

/* The operand at `place`, of those in `operands`, which blanks separate. */
static const char *operand_at(const char *operands, int place, size_t *length) {
    for (; place > 0; place--) {
        operands += strcspn(operands, " ");
        operands += *operands == ' ';
    }
    *length = strcspn(operands, " ");
    return operands;
}

static void usage_line(FILE *stream, const verb *one) {
    char options[512];
    const bool segment = one->options & OPTION_SEGMENT;
    options_usage(options, sizeof options, one->options & ~OPTION_SEGMENT, one->required);
    (void)fprintf(stream, "keepmap %s", one->name);
    for (int i = 0; i < one->operand_count; i++) {
        size_t length = 0;
        const char *operand = operand_at(one->operands, i, &length);
        (void)fprintf(stream, " %.*s%s", (int)length, operand,
                      segment && i == one->segment_operand ? "|--segment NAME" : "");
    }
    (void)fprintf(stream, "%s [--json]\n", options);
}

static void help(FILE *stream) {
    (void)fputs("keepmap: memory-mapped files that last, named shared memory, and snapshots\n\n",
                stream);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        (void)fprintf(stream, "  keepmap %-8s %-15s %s\n", verbs[i].name, verbs[i].operands,
                      verbs[i].summary);
    }
    (void)fputs("  keepmap VERB --help              its options, and more about it\n"
                "  keepmap --version                the version of the library\n"
                "\n"
                "Sizes are bytes; k M G T behind them are powers of 1024. -- ends the options.\n"
                "--json: results, and failures, as one JSON object each.\n"
                "Exit status: 0 fine, 1 a check failed, 2 misuse, 3 it could not be done.\n",
                stream);
}

static void verb_help(const verb *one) {
    (void)fputs("usage: ", stdout);
    usage_line(stdout, one);
    printf("\n%s: %s\n%s\n", one->name, one->summary, one->details);
    options_help(one->options | OPTIONS_OF_ALL);
}

static const verb *verb_find(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* Known before the words are read, so that a complaint about them is JSON too. */
static bool wants_json(char **words) {
    for (char **at = words; *at && strcmp(*at, "--") != 0; at++) {
        if (strcmp(*at, "--json") == 0) {
            return true;
        }
    }
    return false;
}

/* --segment takes the place of one of them. false: complained of. */
static bool has_operands(output *out, const verb *one, const arguments *given) {
    const bool segment = given->given & OPTION_SEGMENT;
    const int count = one->operand_count - segment;
    char wanted[64] = "nothing";
    size_t used = 0;
    if (given->operand_count == count) {
        return true;
    }
    for (int i = 0; i < one->operand_count; i++) {
        size_t length = 0;
        const char *operand = operand_at(one->operands, i, &length);
        if (segment && i == one->segment_operand) {
            continue;
        }
        const int wrote = snprintf(wanted + used, sizeof wanted - used, "%s%.*s", used ? " " : "",
                                   (int)length, operand);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    (void)output_misused(out, "%s %s wanted, %d given: see keepmap %s --help", wanted,
                         count > 1 ? "are" : "is", given->operand_count, one->name);
    return false;
}

static int run_verb(output *out, const verb *one, char **words) {
    char problem[512];
    arguments given = {.given = 0};
    if (!arguments_read(&given, words, one->options | OPTIONS_OF_ALL, problem, sizeof problem)) {
        return output_misused(out, "%s", problem);
    }
    if (given.given & OPTION_HELP) {
        verb_help(one);
        return output_end(out, EXIT_FINE);
    }
    if (!has_operands(out, one, &given)) {
        return EXIT_MISUSE;
    }
    unsigned missing = one->required & ~given.given;
    if (missing) {
        char options[128];
        options_usage(options, sizeof options, missing, missing);
        return output_misused(out, "%s needs%s", one->name, options);
    }
    return one->run(out, &given);
}

static int show_version(output *out) {
    if (out->json) {
        json_begin(out);
        json_text("version", km_version());
        json_end();
    } else {
        printf("keepmap %s\n", km_version());
    }
    return output_end(out, EXIT_FINE);
}

static int run(output *out, char **words) {
    char **at = *words ? words + 1 : words; /* behind the command's own name */
    while (*at && strcmp(*at, "--json") == 0) {
        at++;
    }
    if (!*at) {
        if (!out->json) {
            help(stderr);
        } else {
            (void)output_misused(out, "a verb is wanted");
        }
        return EXIT_MISUSE;
    }
    const char *word = *at;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help(stdout);
        return output_end(out, EXIT_FINE);
    }
    if (strcmp(word, "--version") == 0) {
        return show_version(out);
    }
    const verb *one = verb_find(word);
    if (!one) {
        return output_misused(out, "no such %s: %s; see keepmap --help",
                              word[0] == '-' ? "option" : "verb", word);
    }
    out->verb = one->name;
    return run_verb(out, one, at + 1);
}

int main(int argc, char **argv) {
    (void)argc;
    output out = {.verb = ""};
    char **words = console_start(argv);
    if (!words) {
        return output_failed(&out, KM_E_IO, "cannot set up the standard streams and arguments");
    }
    out.json = wants_json(words);
    int exit_status = run(&out, words);
    if (exit_status == EXIT_REFUSED) {
        console_obey_interrupt();
    }
    return exit_status;
}
