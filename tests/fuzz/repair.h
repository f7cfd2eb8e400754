/*
 * repair.h - makes what a fuzzer has changed agree with itself again, so that it gets behind the
 * sums: a snapshot that lies, with right sums.
 *
 * Deterministic, and happy with any bytes at all.
 */
#ifndef TESTS_FUZZ_REPAIR_H
#define TESTS_FUZZ_REPAIR_H

#include <stddef.h>
#include <stdint.h>

typedef enum fuzz_repair_how {
    FUZZ_AS_IS = 0,
    FUZZ_SUMS = 1, /* the sums alone */
    /* And the members' fixed bytes and lengths, where the index begins, and what it repeats of the
     * heads: all but the numbers of chunks, raw lengths, the total, CRC-32s and hashes. */
    FUZZ_HEADS = 2,
    /* The data members, in their order, become chunks 0, 1...; index and footer are made anew, and
     * CRC-32s and hashes of the bodies that can be unpacked. */
    FUZZ_REBUILD = 3,
} fuzz_repair_how;

/* malloc'ed, never NULL; *made_length bytes. */
uint8_t *fuzz_repair(fuzz_repair_how how, const uint8_t *bytes, size_t length, size_t *made_length);

#endif /* TESTS_FUZZ_REPAIR_H */
