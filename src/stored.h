/*
 * stored.h - the two forms of a chunk that need no deflate library: stored, and all zeros.
 *
 * Both are deflate streams (RFC 1951) that every inflate reads, and both are canonical: the raw
 * bytes alone decide each byte of them, so a reader can compare instead of decoding.
 *
 * Stored: blocks of type 00, each of 65,535 bytes but the last, which has the rest (an empty chunk:
 * one empty block); the last has BFINAL set; the padding bits are zero.
 *
 * Zeros: one dynamic block, described in snapshot_format.md; some 270 bytes for 256 KiB.
 */
#ifndef KM_STORED_H
#define KM_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the stored form. Any other form of a chunk is at most as long. */
size_t km_stored_length(size_t raw_length);

/* Writes km_stored_length(raw_length) bytes. */
void km_stored_pack(const void *raw, size_t raw_length, void *packed);

/* false: not the stored form of raw_length bytes. */
bool km_stored_unpack(const void *packed, size_t packed_length, void *raw, size_t raw_length);

#define KM_ZEROS_ROOM 32768u /* enough for a chunk of the largest size */

/* Writes the form of raw_length zeros, 1 to 2^24, to `packed`, which has KM_ZEROS_ROOM bytes; the
 * result is how many were written. */
size_t km_zeros_pack(size_t raw_length, void *packed);

/* Are all of them zero? Speed matters: every chunk is asked. */
bool km_zeros_are(const void *raw, size_t raw_length);

#endif /* KM_STORED_H */
