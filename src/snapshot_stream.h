/*
 * snapshot_stream.h - a snapshot that arrives in a stream: member after member, and at the end
 * everything that could not be known before.
 *
 * One thread at a time calls it, but for km_stream_hashed. It keeps 56 bytes for each chunk that
 * has come: nothing is allocated on what the stream promises. After a failure there is only
 * km_stream_end.
 */
#ifndef KM_SNAPSHOT_STREAM_H
#define KM_SNAPSHOT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "snapshot_format.h"

typedef struct km_stream km_stream;

/*
 * Reads the facts, with the first member's head. KM_E_CORRUPT if it does not begin as a snapshot.
 * What `read` fails with comes back as it is, from here and from km_stream_next.
 */
km_status km_stream_begin(km_read_function read, void *arg, km_stream **stream);
void km_stream_end(km_stream *stream); /* NULL is fine */

const km_format_facts *km_stream_facts(const km_stream *stream);

/*
 * The next data member, in order: its packed bytes are read to `packed`, which has room for
 * km_format_packed_most(chunk size), and their sum is checked. The entry's hash is zeros. *end:
 * there are no more; index, footer and the end of the stream have then been read and checked
 * against all members that came, and km_stream_footer tells.
 */
km_status km_stream_next(km_stream *stream, uint64_t *chunk, km_format_entry *entry, void *packed,
                         bool *end);

/*
 * For each chunk what its raw bytes hash to, before km_stream_check_hashes asks. May be called by
 * other threads while km_stream_next runs, and in any order, but once for a chunk, and for one that
 * has come; a chunk that nobody told the hash of is not compared.
 */
void km_stream_hashed(km_stream *stream, uint64_t chunk, const uint8_t hash[KM_HASH_SIZE]);

/* After *end alone, all hashes having been told. KM_E_CORRUPT, naming the first chunk whose hash is
 * not the index's. */
km_status km_stream_check_hashes(const km_stream *stream);

/* After *end alone. */
const km_format_footer *km_stream_footer(const km_stream *stream);

#endif /* KM_SNAPSHOT_STREAM_H */
