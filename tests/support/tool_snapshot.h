/*
 * tool_snapshot.h - snapshots that the command has made, and damage to them.
 *
 * Failures fail the current test.
 */
#ifndef TESTS_TOOL_SNAPSHOT_H
#define TESTS_TOOL_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#define TOOL_CHUNK UINT64_C(65536)

/* Makes a new file of `size` bytes by scratch_file, and a snapshot of it in chunks of TOOL_CHUNK
 * that are not compressed: any build can. */
void tool_snapshot(const char *file, uint64_t size, unsigned seed, const char *snapshot);

/* Where such a snapshot has the packed bytes of a chunk, those before which are all full. */
long tool_body(unsigned chunk);

/* Changes the byte at `offset` by exclusive or. */
void tool_change(const char *name, long offset, unsigned char bits);

/* Writes the first `size` bytes of a file to another. */
void tool_cut(const char *name, const char *target, size_t size);

#endif /* TESTS_TOOL_SNAPSHOT_H */
