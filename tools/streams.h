/*
 * streams.h - standard input and output as the streams that the library reads and writes.
 */
#ifndef TOOLS_STREAMS_H
#define TOOLS_STREAMS_H

#include <stdbool.h>
#include <stddef.h>

#include <keepmap.h>

#include "output.h"

/* "-": standard input, or output. */
bool is_stream(const char *operand);

/* What to call a source in text for people. */
const char *input_name(const char *operand);

/* What went wrong with one of them; the library knows only that something did. */
typedef struct stream_state {
    int error;      /* errno of the first failure; 0: none */
    bool is_output; /* of that failure */
    bool interrupted;
} stream_state;

/* A km_read_function and a km_write_function; `arg` is a stream_state. */
km_status stream_read(void *to, size_t length, size_t *done, void *arg);
km_status stream_write(const void *from, size_t length, void *arg);

/* The end of a run that used streams and failed: theirs, or the library's. */
int stream_refused(output *out, km_status status, const stream_state *state);

#endif /* TOOLS_STREAMS_H */
