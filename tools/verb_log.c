/*
 * verb_log.c - the verb log: the snapshots in a folder, in the order in which they were made.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "console.h"
#include "progress.h"

#define NONE SIZE_MAX

/* One snapshot; those of which not even the facts can be read are listed too, at the end, and so
 * are files that cannot be read at all: they may be snapshots. */
typedef struct logged {
    char *name;
    char *path;
    bool known;       /* the facts are there */
    km_status status; /* of reading them, and of comparing it */
    char *sentence;   /* if that is not KM_OK; NULL also if there was no memory for it */
    km_snapshot_facts facts;
    size_t before; /* the entry that it is compared with, or NONE */
    bool compared;
    uint64_t changed;
} logged;

typedef struct log_list {
    const char *directory;
    logged *entries;
    size_t count;
    size_t room;
} log_list;

static char *path_of(const char *directory, const char *name) {
    const size_t length = strlen(directory);
    const bool ends = length > 0 && directory[length - 1] == '/';
    const size_t size = length + strlen(name) + 2;
    char *path = malloc(size);
    if (path) {
        (void)snprintf(path, size, "%s%s%s", directory, ends ? "" : "/", name);
    }
    return path;
}

static char *copy_of(const char *text) {
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static bool make_room(log_list *list) {
    if (list->count < list->room) {
        return true;
    }
    const size_t room = list->room ? list->room * 2 : 32;
    logged *entries = realloc(list->entries, room * sizeof *entries);
    if (!entries) {
        return false;
    }
    list->entries = entries;
    list->room = room;
    return true;
}

static void free_entry(logged *entry) {
    free(entry->name);
    free(entry->path);
    free(entry->sentence);
}

static void note(logged *entry, km_status status) {
    entry->status = status;
    entry->sentence = status == KM_OK ? NULL : copy_of(km_error_message());
}

/* A console_entry; what neither begins nor ends as a snapshot is passed over. */
static bool add(const char *name, void *arg) {
    log_list *list = arg;
    km_snapshot_facts facts = {.struct_size = sizeof facts};
    char *path = path_of(list->directory, name);
    if (!path) {
        return false;
    }
    const km_status status = km_inspect(path, &facts);
    if ((status == KM_E_CORRUPT || status == KM_E_NOT_FOUND) && !km_is_snapshot(path)) {
        free(path);
        return true;
    }
    logged entry = {.name = copy_of(name),
                    .path = path,
                    .known = status == KM_OK,
                    .facts = facts,
                    .before = NONE};
    note(&entry, status);
    if (!entry.name || !make_room(list)) {
        free_entry(&entry);
        return false;
    }
    list->entries[list->count++] = entry;
    return true;
}

static void free_list(log_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free_entry(&list->entries[i]);
    }
    free(list->entries);
}

static int by_time(const void *one, const void *other) {
    const logged *a = one;
    const logged *b = other;
    if (a->known != b->known) {
        return a->known ? -1 : 1;
    }
    if (a->known && a->facts.made_ns != b->facts.made_ns) {
        return a->facts.made_ns < b->facts.made_ns ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

/* ---- Which one was before ------------------------------------------------------------------ */

static bool is_made_since(const logged *entry, const logged *other) {
    static const uint8_t none[KM_ID_SIZE];
    return memcmp(entry->facts.since_id, none, KM_ID_SIZE) != 0 &&
           memcmp(entry->facts.since_id, other->facts.id, KM_ID_SIZE) == 0;
}

/* As far as can be told: a file that was replaced is another file; segments have no number. */
static bool has_same_source(const logged *entry, const logged *other) {
    const km_snapshot_facts *a = &entry->facts;
    const km_snapshot_facts *b = &other->facts;
    if (a->source != b->source) {
        return false;
    }
    if (a->source == KM_SOURCE_SEGMENT) {
        return a->type[0] && strcmp(a->type, b->type) == 0;
    }
    return a->source_number != 0 && a->source_number == b->source_number &&
           a->source_volume == b->source_volume;
}

/* The one it was made since; else the last of the same source; else the last of all. */
static size_t find_before(const log_list *list, size_t index) {
    const logged *entry = &list->entries[index];
    for (size_t i = list->count; i-- > 0;) { /* behind it too: a clock may have been set back */
        if (i != index && list->entries[i].known && is_made_since(entry, &list->entries[i])) {
            return i;
        }
    }
    for (size_t i = index; i-- > 0;) {
        if (has_same_source(entry, &list->entries[i])) {
            return i;
        }
    }
    return index > 0 ? index - 1 : NONE;
}

/* A diff by chunks; of snapshots made since one another it unpacks nothing. KM_E_CANCELLED ends. */
static km_status compare(const logged *before, logged *entry, progress *bar) {
    km_diff_report report = {0};
    const km_diff_options options = {
        .flags = KM_DIFF_CHUNKS, .progress = progress_step, .progress_arg = bar, .report = &report};
    const km_status status = km_diff(before->path, entry->path, &options);
    note(entry, status);
    if (status == KM_OK) {
        entry->compared = true;
        entry->changed =
            report.changed + (report.b_size > report.a_size ? report.b_size - report.a_size
                                                            : report.a_size - report.b_size);
    }
    return status;
}

static bool compare_all(log_list *list, bool shown) {
    km_status status = KM_OK;
    progress bar;
    progress_start(&bar, "comparing", shown);
    for (size_t i = 0; i < list->count && list->entries[i].known; i++) {
        logged *entry = &list->entries[i];
        entry->before = find_before(list, i);
        status =
            entry->before == NONE ? KM_OK : compare(&list->entries[entry->before], entry, &bar);
        if (status == KM_E_CANCELLED) {
            break;
        }
    }
    progress_end(&bar);
    return status != KM_E_CANCELLED;
}

/* "2.69"; of an empty image there is none. */
static const char *ratio_text(char text[SIZE_TEXT], const km_snapshot_facts *facts) {
    if (facts->size == 0 || facts->packed_size == 0) {
        return "-";
    }
    (void)snprintf(text, SIZE_TEXT, "%.2f", (double)facts->size / (double)facts->packed_size);
    return text;
}

static void print_known(const logged *entry) {
    char made[SIZE_TEXT];
    char size[SIZE_TEXT];
    char packed[SIZE_TEXT];
    char changed[SIZE_TEXT];
    char ratio[SIZE_TEXT];
    printf("%-20s  %10s  %10s  %6s  %10s  ", time_text(made, entry->facts.made_ns),
           size_rounded(size, entry->facts.size), size_rounded(packed, entry->facts.packed_size),
           ratio_text(ratio, &entry->facts),
           entry->compared          ? size_rounded(changed, entry->changed)
           : entry->status == KM_OK ? "-"
                                    : "?");
}

static void print_list(const log_list *list) {
    if (list->count > 0) {
        printf("%-20s  %10s  %10s  %6s  %10s  %s\n", "MADE", "SIZE", "PACKED", "RATIO", "CHANGED",
               "NAME");
    }
    for (size_t i = 0; i < list->count; i++) {
        const logged *entry = &list->entries[i];
        if (entry->known) {
            print_known(entry);
        } else {
            printf("%-20s  %10s  %10s  %6s  %10s  ", "?", "?", "?", "?", "?");
        }
        text_safe(entry->name);
        if (entry->before != NONE && entry->before + 1 != i) {
            (void)fputs(" after ", stdout);
            text_safe(list->entries[entry->before].name);
        }
        if (entry->status != KM_OK) {
            (void)fputs(": ", stdout);
            text_safe(entry->sentence ? entry->sentence : km_strerror(entry->status));
        }
        (void)putchar('\n');
    }
}

static void print_json(const output *out, const log_list *list) {
    json_begin(out);
    json_text("directory", list->directory);
    json_list_begin("snapshots");
    for (size_t i = 0; i < list->count; i++) {
        const logged *entry = &list->entries[i];
        const bool known = entry->known;
        json_item_begin(i == 0, "name", entry->name);
        json_text("status", km_strerror(entry->status));
        json_text_or_null("message", entry->sentence);
        json_bytes("made_ns", known ? entry->facts.made_ns : KM_SIZE_UNKNOWN);
        json_bytes("size", known ? entry->facts.size : KM_SIZE_UNKNOWN);
        json_bytes("packed_size", known ? entry->facts.packed_size : KM_SIZE_UNKNOWN);
        json_text_or_null("before",
                          entry->before == NONE ? NULL : list->entries[entry->before].name);
        json_bytes("changed", entry->compared ? entry->changed : KM_SIZE_UNKNOWN);
        json_item_end();
    }
    json_list_end();
    json_end();
}

int verb_log(output *out, const arguments *given) {
    log_list list = {.directory = given->operands[0]};
    const int error = console_list(list.directory, add, &list);
    if (error != 0) {
        free_list(&list);
        return output_failed(out,
                             error == ENOENT    ? KM_E_NOT_FOUND
                             : error == ENOTDIR ? KM_E_INVALID
                             : error == EACCES  ? KM_E_ACCESS
                             : error == ENOMEM  ? KM_E_NO_MEMORY
                                                : KM_E_IO,
                             "cannot list \"%s\": %s", given->operands[0], strerror(error));
    }
    if (list.count > 0) {
        qsort(list.entries, list.count, sizeof *list.entries, by_time);
    }
    int exit_status = EXIT_FINE;
    if (!compare_all(&list, !out->json)) {
        exit_status = output_refused(out, KM_E_CANCELLED);
    } else if (out->json) {
        print_json(out, &list);
    } else {
        print_list(&list);
    }
    free_list(&list);
    return exit_status == EXIT_FINE ? output_end(out, EXIT_FINE) : exit_status;
}
