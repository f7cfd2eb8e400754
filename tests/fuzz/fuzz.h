/*
 * fuzz.h - what the fuzz targets have in common.
 *
 * An input is FUZZ_OPTIONS bytes that choose what is done, the first one how the rest is repaired,
 * and a snapshot, or what has become of one. What a target demands besides not crashing, it says
 * with fuzz_check.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <keepmap.h>

#define FUZZ_OPTIONS 8u

typedef struct fuzz_input {
    const uint8_t *options;
    uint8_t *snapshot; /* repaired */
    size_t length;
} fuzz_input;

/* false: too short to be one. */
bool fuzz_input_begin(fuzz_input *input, const uint8_t *data, size_t size);
void fuzz_input_end(fuzz_input *input);

/* Ends the process, with what did not hold, unless `holds`. */
#define fuzz_check(holds) ((holds) ? (void)0 : fuzz_fail(#holds, __FILE__, __LINE__))
_Noreturn void fuzz_fail(const char *what, const char *file, int line);

void *fuzz_allocate(size_t size); /* never NULL */

/* Little-endian numbers. */
void fuzz_put(uint8_t *at, size_t size, uint64_t value);
uint64_t fuzz_get(const uint8_t *at, size_t size);

/* ---- Files: in a directory of this process's own, which is $FUZZ_SCRATCH's ---- */

#define FUZZ_PATH 256u

void fuzz_path(const char *name, char path[FUZZ_PATH]);
void fuzz_file_write(const char *path, const void *bytes, size_t length);
/* malloc'ed. */
uint8_t *fuzz_file_read(const char *path, size_t *length);
bool fuzz_file_exists(const char *path);
void fuzz_file_remove(const char *path);
/* Nothing lies there: whatever was made halfway has been cleared away. */
void fuzz_expect_no_files(void);

/*
 * A whole target: tries the snapshot, put into a file, and sees that every file is removed but that
 * one. `target` is where a file may be made. Returns 0.
 */
typedef void fuzz_try(const fuzz_input *input, const char *snapshot, const char *target);
int fuzz_snapshot_file(const uint8_t *data, size_t size, fuzz_try *try_snapshot);

/* ---- Streams ---- */

/* For km_read_function: pieces of uneven length, the first bytes being `piece` long. */
typedef struct fuzz_source {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    size_t piece;   /* 0: as much as is asked for */
    size_t fail_at; /* fails with KM_E_IO there; 0: it does not */
} fuzz_source;

km_status fuzz_source_read(void *to, size_t length, size_t *done, void *arg);

/* For km_write_function: all that was written. One that would grow too long is KM_E_NO_SPACE. */
typedef struct fuzz_sink {
    uint8_t *bytes; /* to be freed */
    size_t length;
    size_t room;
} fuzz_sink;

km_status fuzz_sink_write(const void *from, size_t length, void *arg);

/* The snapshot in the file, restored: all of its image, if KM_OK. */
km_status fuzz_image(const char *snapshot, fuzz_sink *image);

/* ---- libFuzzer ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

#endif /* TESTS_FUZZ_H */
