/*
 * snapshot_reader.h - a snapshot in a file: footer, index and facts checked at the open, chunks at
 * random.
 *
 * The file is open with all sharing. It can be replaced meanwhile, but on Windows, where who wants
 * to do that closes the reader first.
 * The file is untrusted, and may change or shrink while it is read: every length is checked against
 * what is there, nothing is allocated on its word alone. All calls but open and close may come from
 * all threads at once.
 */
#ifndef KM_SNAPSHOT_READER_H
#define KM_SNAPSHOT_READER_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "chunk.h"
#include "input.h"
#include "snapshot_format.h"

typedef struct km_reader {
    char *path; /* as given; for sentences */
    km_input input;
    km_format_facts facts;  /* total is known here: the footer's */
    bool total_from_footer; /* the facts did not know it */
    km_format_footer footer;
    uint8_t *entries;  /* as in the index members, one after another: see km_reader_entry */
    uint64_t *offsets; /* of the data members, and behind them of the index */
} km_reader;

/*
 * KM_E_NOT_FOUND, KM_E_ACCESS...; KM_E_CORRUPT with a sentence that says what is wrong, and where:
 * "...: it does not end as a snapshot does (cut short, or none)". The reader's memory is moved
 * nowhere: *reader is malloc'ed.
 */
km_status km_reader_open(km_reader **reader, const char *path);
void km_reader_close(km_reader *reader); /* NULL is fine */

/* The entry of a chunk, which is one of footer.chunks. */
void km_reader_entry(const km_reader *reader, uint64_t chunk, km_format_entry *entry);

/* Buffers that a chunk of this snapshot needs: the head and the packed bytes; the raw ones. */
size_t km_reader_member_room(const km_reader *reader);
size_t km_reader_raw_room(const km_reader *reader);

/*
 * Reads data member `chunk` whole into `member` (km_reader_member_room bytes), and checks its head
 * and the sum of its packed bytes. *packed points at these, in `member`. KM_E_CORRUPT names the
 * chunk and its range of the image.
 */
km_status km_reader_member(const km_reader *reader, uint64_t chunk, void *member,
                           const uint8_t **packed);

/* The same, then unpacked and checked: entry's raw_length bytes at `raw`. Zeros too. */
km_status km_reader_chunk(const km_reader *reader, km_unpacker *unpacker, uint64_t chunk,
                          void *member, void *raw);

/* KM_E_CORRUPT, KM_E_UNSUPPORTED or KM_E_NO_MEMORY, for a chunk in that state; the sentence names
 * it. `path` NULL: it came in a stream. */
km_status km_fail_chunk(const char *path, uint64_t chunk, uint8_t chunk_shift, uint32_t raw_length,
                        km_chunk_state state);

/*
 * Does it look like a snapshot: does it begin with a data member, or end with a footer that is one
 * of a file so long? Needs no whole one. What cannot be read is an error, not a plain file.
 */
km_status km_input_looks_like_snapshot(const km_input *input, bool *does);

/* The same of a file by name; false as well if it cannot be read. */
bool km_reader_looks_like_one(const char *path);

#endif /* KM_SNAPSHOT_READER_H */
