/*
 * snapshot_taken.h - snapshots that km_snapshot has made, looked at through the reader.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_SNAPSHOT_TAKEN_H
#define TESTS_SNAPSHOT_TAKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_reader.h"
#include "support/restore_image.h"

/* Writes the image to the file, and maps it. */
km_map *taken_map(const image *one, const char *path, const km_options *options);

/* Makes a snapshot, which has to work; options NULL: the smallest chunks. The report has been
 * compared with the file. */
km_snapshot_report taken(km_map *map, const char *path, const km_snapshot_options *options);

/* Reads all of it and compares: every chunk, every check, every byte. */
void taken_holds(const char *path, const void *bytes, size_t size);

/* Its facts and footer; the reader is closed already. */
km_reader taken_facts(const char *path);

/* Are the packed bytes of this chunk the same in both? */
bool taken_same_chunk(const char *one, const char *other, uint64_t chunk);

/* It fails with `expected` and a sentence, and the directory has as many entries as before. */
void taken_not(km_status expected, km_map *map, const char *path,
               const km_snapshot_options *options);

/* Notes the calls of a progress function. */
typedef struct taken_progress {
    unsigned calls;
    unsigned stop_at; /* the call that says stop; 0: none */
    bool out_of_order;
    uint64_t first, last, total;
} taken_progress;
bool taken_note(uint64_t done, uint64_t total, void *arg);

#endif /* TESTS_SNAPSHOT_TAKEN_H */
