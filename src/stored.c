/*
 * stored.c - the stored form of a chunk: deflate's blocks of type 00.
 */
#include "stored.h"

#include <string.h>

#define BLOCK_MAX 65535u /* what a block's 16 bits of length can say */
#define HEADER 5u        /* final bit, type 00 and padding: one byte; length; its complement */

static size_t blocks_of(size_t raw_length) {
    return raw_length == 0 ? 1 : raw_length / BLOCK_MAX + (raw_length % BLOCK_MAX != 0);
}

size_t km_stored_length(size_t raw_length) {
    return raw_length + blocks_of(raw_length) * HEADER;
}

static void make_header(uint8_t header[HEADER], size_t block, bool final) {
    header[0] = final ? 1 : 0;
    header[1] = (uint8_t)block;
    header[2] = (uint8_t)(block >> 8);
    header[3] = (uint8_t)~block;
    header[4] = (uint8_t)(~block >> 8);
}

void km_stored_pack(const void *raw, size_t raw_length, void *packed) {
    const uint8_t *from = raw;
    uint8_t *to = packed;
    size_t left = raw_length;
    do {
        size_t block = left < BLOCK_MAX ? left : BLOCK_MAX;
        make_header(to, block, block == left);
        if (block > 0) {
            memcpy(to + HEADER, from, block);
            from += block;
        }
        to += HEADER + block;
        left -= block;
    } while (left > 0);
}

bool km_stored_unpack(const void *packed, size_t packed_length, void *raw, size_t raw_length) {
    /* The lengths first: without them a sum could overflow, or a block reach beyond its end. */
    if (packed_length < raw_length || packed_length != km_stored_length(raw_length)) {
        return false;
    }
    const uint8_t *from = packed;
    uint8_t *to = raw;
    size_t left = raw_length;
    do {
        size_t block = left < BLOCK_MAX ? left : BLOCK_MAX;
        uint8_t header[HEADER];
        make_header(header, block, block == left);
        if (memcmp(from, header, HEADER) != 0) {
            return false;
        }
        if (block > 0) {
            memcpy(to, from + HEADER, block);
            to += block;
        }
        from += HEADER + block;
        left -= block;
    } while (left > 0);
    return true;
}
