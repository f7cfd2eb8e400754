/*
 * zeros.c - the form of a chunk of zeros: one deflate block with codes of its own, in which a match
 * of 258 zeros is two bits, both of them 0. snapshot_format.md ("The form of zeros") has it bit by
 * bit.
 */
#include "stored.h"

#include <string.h>

#define MATCH 258u /* the longest that deflate has */

/* Everything up to and with the literal 0 that the matches repeat: 105 bits. The last byte has
 * only one of them. */
static const uint8_t beginning[] = {
    0xED, 0xC0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x80, 0xA0, 0xFD, 0xA9, 0x17, 0xA9, 0x00,
};
#define BEGINNING_BITS 105u

static void put_bits(uint8_t *to, size_t at, unsigned bits, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        to[(at + i) / 8] |= (uint8_t)((bits >> i & 1u) << (at + i) % 8);
    }
}

size_t km_zeros_pack(size_t raw_length, void *packed) {
    /* Huffman codes go out from their most significant bit: these are read from the right. */
    const unsigned literal = 1, end_of_block = 3, code_bits = 2;
    size_t matches = (raw_length - 1) / MATCH;
    size_t literals = (raw_length - 1) % MATCH;
    size_t bits = BEGINNING_BITS + (matches + literals + 1) * code_bits;
    size_t length = (bits + 7) / 8;

    uint8_t *to = packed;
    memset(to, 0, length);
    memcpy(to, beginning, sizeof beginning);
    size_t at = BEGINNING_BITS + matches * code_bits;
    for (; literals > 0; literals--, at += code_bits) {
        put_bits(to, at, literal, code_bits);
    }
    put_bits(to, at, end_of_block, code_bits);
    return length;
}

bool km_zeros_are(const void *raw, size_t raw_length) {
    /* The first byte is zero and each is what the one before it is: the C library compares faster
     * than a loop. */
    const uint8_t *bytes = raw;
    return raw_length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, raw_length - 1) == 0);
}
