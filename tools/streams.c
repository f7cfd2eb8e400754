/*
 * streams.c - standard input and output as the streams that the library reads and writes.
 */
#include "streams.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "console.h"

bool is_stream(const char *operand) {
    return strcmp(operand, "-") == 0;
}

const char *input_name(const char *operand) {
    return is_stream(operand) ? "standard input" : operand;
}

km_status stream_read(void *to, size_t length, size_t *done, void *arg) {
    stream_state *state = arg;
    size_t have = 0;
    const int error = console_read(to, length, &have);
    if (error == 0) {
        *done = have;
        return KM_OK;
    }
    if (error == EINTR && console_interrupted()) {
        state->interrupted = true;
        return KM_E_CANCELLED;
    }
    state->error = error;
    return KM_E_IO;
}

km_status stream_write(const void *from, size_t length, void *arg) {
    stream_state *state = arg;
    errno = 0;
    if (fwrite(from, 1, length, stdout) == length) {
        return KM_OK;
    }
    state->error = errno != 0 ? errno : EIO;
    state->is_output = true;
    return KM_E_IO;
}

int stream_refused(output *out, km_status status, const stream_state *state) {
    /* A stream may end badly while the library finds something worse in what came before. */
    const bool by_stream = status == KM_E_IO && state->error != 0;
    if (status == KM_E_CANCELLED && state->interrupted) {
        return output_failed(out, KM_E_CANCELLED, "interrupted while reading standard input");
    }
    if (by_stream && state->error == EPIPE && state->is_output) {
        out->write_error = EPIPE; /* the reader has had what it wanted */
        return output_end(out, EXIT_FINE);
    }
    if (by_stream) {
        return output_failed(out, state->error == ENOSPC ? KM_E_NO_SPACE : KM_E_IO, "cannot %s: %s",
                             state->is_output ? "write to standard output" : "read standard input",
                             strerror(state->error));
    }
    return output_refused(out, status);
}
