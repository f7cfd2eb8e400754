/*
 * salvage_subject.h - snapshots to damage, and what km_salvage makes of them.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_SALVAGE_SUBJECT_H
#define TESTS_SALVAGE_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_format.h"
#include "support/snapshot_builder.h"

/* The smallest chunks there are. */
#define SUBJECT_CHUNK ((size_t)1 << KM_CHUNK_SHIFT_MIN)
#define SUBJECT_MEMBERS 32
#define OUTCOME_RANGES 64

/* ---- Snapshots to damage ---- */

typedef struct subject {
    unsigned char *image;
    size_t size;
    unsigned char *bytes;
    size_t length;
    snapshot_member members[SUBJECT_MEMBERS]; /* as they were before any damage */
    size_t count;                             /* of them */
    size_t chunks;
} subject;

/* A snapshot of the image, which is malloc'ed and the subject's from now on. */
subject subject_of(unsigned char *image, size_t size, const snapshot_plan *plan);

/* A few hundred bytes, in every build: two chunks of zeros and a short one of other bytes. */
subject subject_small(const snapshot_plan *plan);

/* `chunks` chunks, by turns noise, text and zeros, and a short last one. */
subject subject_mixed(size_t chunks, const snapshot_plan *plan);

void subject_drop(subject *what);

/* Cuts bytes out, or puts bytes in. */
void subject_cut_out(subject *what, size_t offset, size_t length);
void subject_put_in(subject *what, size_t offset, const void *bytes, size_t length);

/* The data members from `first` on, the last one first. */
void subject_turn_around(subject *what, size_t first);

void subject_spoil_head(subject *what, size_t member);
void subject_spoil_body(subject *what, size_t member);

/* Is there a chunk that is not in `lost`? */
bool subject_any_left(const subject *what, const bool *lost);

/* ---- Salvaging ---- */

typedef struct salvage_outcome {
    km_status status;
    km_salvage_report report;
    uint64_t offsets[OUTCOME_RANGES]; /* of what is lost */
    uint64_t lengths[OUTCOME_RANGES];
    size_t count;
} salvage_outcome;

/* From the file "damaged", written for it, to the file "salvaged". */
salvage_outcome salvage_bytes(const unsigned char *bytes, size_t length);

/* Is the target the image, `size` bytes of it, but for zeros in the chunks that are lost, and have
 * just these been told? */
void salvage_check_target(const subject *what, const salvage_outcome *got, const bool *lost,
                          uint64_t size);

/* Salvages: the chunks in `lost`, and no others, must be lost. */
salvage_outcome salvage_check(const subject *what, const bool *lost);

#endif /* TESTS_SALVAGE_SUBJECT_H */
