/*
 * map_reader.h - the bytes that a map shows, taken out of it: an error, never a signal.
 *
 * km_copy and km_snapshot read them here. A map of a file is read from the file, which knows all
 * that has been stored through it; a private map, a segment and a snapshot's contents are read from
 * their memory, which alone knows.
 */
#ifndef KM_MAP_READER_H
#define KM_MAP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "map.h"

typedef struct km_map_reader {
    const km_map *map;
    const char *verb;   /* for sentences: "copy" or "snapshot" */
    const char *target; /* for sentences: where it goes to; NULL: a stream */
} km_map_reader;

/* Is it read from memory? */
bool km_map_reader_is_memory(const km_map_reader *reader);

/* "cannot VERB ... to ...: DOING failed after `done` of all bytes: ...". */
km_status km_map_reader_fail(const km_map_reader *reader, DWORD error, const char *doing,
                             uint64_t done);

/* KM_E_TRUNCATED: the file or segment ends at `size` now. */
km_status km_map_reader_fail_truncated(const km_map_reader *reader, uint64_t size);

/*
 * KM_E_TRUNCATED if the file or segment no longer has all that the map shows. To be asked when all
 * is read: a file cut short looks like one that ends in a hole, and in its last page memory reads
 * as zeros.
 */
km_status km_map_reader_check_size(const km_map_reader *reader);

/* Reads all of `length` bytes from `offset` of the map. From all threads at once. Pages of a plain
 * SEC_RESERVE section that were never committed hold nothing and read as zeros. */
km_status km_map_reader_read(const km_map_reader *reader, uint64_t offset, void *to,
                             uint32_t length);

/* KM_E_BUSY if `path` is the mapped file itself, by whatever name; that needs no sharing modes. */
km_status km_map_reader_refuse_itself(const km_map_reader *reader, const char *path);

#endif /* KM_MAP_READER_H */
