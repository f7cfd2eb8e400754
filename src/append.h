/*
 * append.h - bytes appended to a new file in order, and fast: gathered in large pieces, which a
 * thread of its own writes while more come; past the system's cache, where it lets us, if asked.
 *
 * What is written once, synced and not read soon has nothing to do in the cache: going through it
 * costs a copy, and takes the place of what is in use. What is not synced is faster through it.
 * Little is written at the end, in the caller's thread, as ever; so is everything where there are
 * no threads.
 *
 * All calls come from one thread at a time. A Win32 error code, ERROR_SUCCESS when it worked; that
 * of a write may be told by a later call. After an error nothing more is written.
 */
#ifndef KM_APPEND_H
#define KM_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap/win32.h>

#include "io.h"

typedef struct km_append km_append;

/*
 * To `file`, which is empty and the caller's, and which nobody else writes to meanwhile. `bypass`:
 * it will be synced at the end, so that the cache would only cost a copy more, and it will be
 * large: what is written past the cache goes in pieces of megabytes, whose memory costs something,
 * too.
 */
DWORD km_append_begin(km_append **append, const km_io *io, HANDLE file, bool bypass);

DWORD km_append_give(km_append *append, const void *bytes, size_t length);

/* Everything given is written when this returns; nothing is synced. */
DWORD km_append_end(km_append *append);

/* Bytes written so far, of those before the first that failed. After km_append_end, or an error. */
uint64_t km_append_written(const km_append *append);

/* Waits for the write that goes on, and drops the rest. NULL is fine. */
void km_append_free(km_append *append);

#endif /* KM_APPEND_H */
