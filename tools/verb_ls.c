/*
 * verb_ls.c - the verb ls: the named objects there are, as a table or as JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

#define UNKNOWN "?"
#define NOTHING "-"

enum { KIND, SIZE, AGE, TYPE, HOLDERS, NAME, COLUMNS };

typedef struct row {
    char *cells[COLUMNS];
} row;

/* All rows are there before the first is printed: a column is as wide as what stands in it. */
typedef struct table {
    row *rows;
    size_t count;
    uint64_t now_ns;
    bool full; /* no memory for more */
} table;

static const char *kind_name(km_object_kind kind) {
    switch (kind) {
    case KM_OBJECT_SECTION:
        return "section";
    case KM_OBJECT_EVENT:
        return "event";
    case KM_OBJECT_MUTEX:
        return "mutex";
    case KM_OBJECT_SEMAPHORE:
        return "semaphore";
    }
    return UNKNOWN;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

typedef struct json_list {
    const output *out;
    bool begun;
} json_list;

static void begin_list(json_list *list) {
    json_begin(list->out);
    (void)fputs(",\"objects\":[", stdout);
    list->begun = true;
}

static uint64_t number_or_unknown(uint32_t number) {
    return number == KM_ID_UNKNOWN ? KM_SIZE_UNKNOWN : number;
}

/* km_list calls only once it cannot fail any more: so this is printed, or a failure, never both. */
static bool print_object(const km_object *object, void *arg) {
    json_list *list = arg;
    if (list->begun) {
        (void)fputs(",", stdout);
    } else {
        begin_list(list);
    }
    printf("{\"kind\":\"%s\"", kind_name(object->kind));
    json_text("name", object->name);
    json_bool("machine_wide", object->machine_wide);
    json_bool("described", object->described);
    json_bytes("size", object->size);
    json_bytes("created_ns", object->created_ns);
    json_bytes("creator", number_or_unknown(object->creator));
    json_bytes("owner", number_or_unknown(object->owner));
    json_text_or_null("type", object->type);
    json_bytes("type_version", object->type ? object->type_version : KM_SIZE_UNKNOWN);
    json_numbers("holders", object->holders, object->holder_count);
    json_bool("holders_complete", object->holders_complete);
    (void)fputs("}", stdout);
    return true;
}

static int ls_json(output *out) {
    json_list list = {.out = out};
    km_status status = km_list(print_object, &list);
    if (status != KM_OK) {
        return output_refused(out, status);
    }
    if (!list.begun) {
        begin_list(&list);
    }
    (void)fputs("]", stdout);
    json_end();
    return output_end(out, EXIT_FINE);
}

/* ---- The table ------------------------------------------------------------------------------- */

static char *size_cell(const km_object *object) {
    char text[SIZE_TEXT];
    if (object->kind != KM_OBJECT_SECTION) {
        return strdup(NOTHING);
    }
    if (object->size == KM_SIZE_UNKNOWN) {
        return strdup(UNKNOWN);
    }
    (void)snprintf(text, sizeof text, "%" PRIu64, object->size);
    return strdup(text);
}

/* "3.2 s" would be out of date before it is read: whole units, the largest that is not 0. */
static char *age_cell(uint64_t created_ns, uint64_t now_ns) {
    static const struct {
        uint64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    char text[SIZE_TEXT];
    if (created_ns == KM_TIME_UNKNOWN) {
        return strdup(UNKNOWN);
    }
    /* A clock that was set back makes nothing younger than new. */
    const uint64_t seconds = now_ns > created_ns ? (now_ns - created_ns) / 1000000000 : 0;
    size_t unit = 0;
    while (units[unit].seconds > 1 && seconds < units[unit].seconds) {
        unit++;
    }
    (void)snprintf(text, sizeof text, "%" PRIu64 "%c", seconds / units[unit].seconds,
                   units[unit].letter);
    return strdup(text);
}

static char *type_cell(const km_object *object) {
    char text[KM_TYPE_SIZE + 16];
    if (!object->type) {
        const bool known = object->described || object->kind != KM_OBJECT_SECTION;
        return strdup(known ? NOTHING : UNKNOWN);
    }
    (void)snprintf(text, sizeof text, "%s/%" PRIu32, object->type, object->type_version);
    return strdup(text);
}

static char *holders_cell(const km_object *object) {
    const size_t size = (size_t)object->holder_count * 11 + sizeof UNKNOWN; /* "4294967295," */
    char *text = calloc(size, 1);
    size_t used = 0;
    for (uint32_t i = 0; text && i < object->holder_count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu32, i ? "," : "",
                                 object->holders[i]);
    }
    if (text && !object->holders_complete) {
        (void)snprintf(text + used, size - used, "%s" UNKNOWN, used ? "," : "");
    }
    return text;
}

static char *name_cell(const km_object *object) {
    const char *prefix = object->machine_wide ? "Global\\" : "";
    const size_t size = strlen(prefix) + strlen(object->name) + 1;
    char *text = malloc(size);
    if (text) {
        (void)snprintf(text, size, "%s%s", prefix, object->name);
    }
    return text;
}

static void free_row(row *one) {
    for (size_t i = 0; i < COLUMNS; i++) {
        free(one->cells[i]);
    }
}

static bool add_row(table *all, row added) {
    row *rows = realloc(all->rows, (all->count + 1) * sizeof *rows);
    bool whole = rows != NULL;
    all->rows = rows ? rows : all->rows;
    for (size_t i = 0; i < COLUMNS; i++) {
        whole = whole && added.cells[i];
    }
    if (!whole) {
        free_row(&added);
        all->full = true;
        return false;
    }
    all->rows[all->count++] = added;
    return true;
}

static bool add_object(const km_object *object, void *arg) {
    table *all = arg;
    return add_row(all, (row){{
                            [KIND] = strdup(kind_name(object->kind)),
                            [SIZE] = size_cell(object),
                            [AGE] = age_cell(object->created_ns, all->now_ns),
                            [TYPE] = type_cell(object),
                            [HOLDERS] = holders_cell(object),
                            [NAME] = name_cell(object),
                        }});
}

static void print_row(const row *one, const unsigned *widths) {
    for (size_t i = 0; i < COLUMNS; i++) {
        const int padding = (int)(widths[i] - text_safe_width(one->cells[i]));
        const bool numbers = i == SIZE || i == AGE;
        printf("%*s", numbers ? padding : 0, "");
        text_safe(one->cells[i]);
        printf("%*s", numbers || i == NAME ? 0 : padding, "");
        (void)fputs(i == NAME ? "\n" : "  ", stdout);
    }
}

static void print_table(const table *all) {
    unsigned widths[COLUMNS] = {0};
    for (size_t i = 0; i < all->count; i++) {
        for (size_t column = 0; column < COLUMNS; column++) {
            const unsigned width = text_safe_width(all->rows[i].cells[column]);
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (size_t i = 0; i < all->count; i++) {
        print_row(&all->rows[i], widths);
    }
}

static bool add_headings(table *all) {
    return add_row(all, (row){{
                            [KIND] = strdup("KIND"),
                            [SIZE] = strdup("SIZE"),
                            [AGE] = strdup("AGE"),
                            [TYPE] = strdup("TYPE"),
                            [HOLDERS] = strdup("HOLDERS"),
                            [NAME] = strdup("NAME"),
                        }});
}

static int ls_text(output *out) {
    table all = {.now_ns = (uint64_t)time(NULL) * 1000000000};
    int exit_status = EXIT_FINE;
    km_status status = add_headings(&all) ? km_list(add_object, &all) : KM_OK;
    if (status != KM_OK) {
        exit_status = output_refused(out, status);
    } else if (all.full) {
        exit_status = output_failed(out, KM_E_NO_MEMORY, "no memory for the list");
    } else {
        print_table(&all);
        exit_status = output_end(out, EXIT_FINE);
    }
    for (size_t i = 0; i < all.count; i++) {
        free_row(&all.rows[i]);
    }
    free(all.rows);
    return exit_status;
}

int verb_ls(output *out, const arguments *given) {
    (void)given;
    return out->json ? ls_json(out) : ls_text(out);
}
