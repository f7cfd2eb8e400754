/*
 * append.c - bytes appended to a new file in order, and fast.
 *
 * Three pieces: one is filled by the caller while the thread writes the others. The monitor guards
 * `full`, `error`, `written` and `stop`; a piece belongs to the thread while it is full, else to
 * the caller. Pieces begin at multiples of their size in the file, which is what writing past the
 * cache asks for.
 *
 * Past the cache a piece is one write, the larger the better (measured, 512 MiB: 0.69 s with pieces
 * of 1 MiB, 0.43 with these). Through it a write takes pages for as much as it is long in one, and
 * large ones are those that the guest of a virtual machine has given back to its host, which gives
 * them again at a tenth of a copy's speed (0.8 s with steps of 1 MiB, 0.35 with these).
 */
#include "append.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "platform.h"

#define PIECES 3u
#define PIECE_PAST_CACHE ((size_t)4 << 20)
#define PIECE_THROUGH_CACHE ((size_t)1 << 20)
#define STEP_THROUGH_CACHE ((size_t)256 << 10)

struct km_append {
    const km_io *io;
    HANDLE file;
    uint8_t *pieces; /* one behind the other */
    size_t piece_size;
    bool large;        /* the memory is large pages */
    unsigned filling;  /* the piece that is */
    size_t filled;     /* bytes of it */
    uint64_t offset;   /* of it in the file */
    unsigned writing;  /* the thread's next piece */
    bool threaded;     /* it has been started */
    bool tried_thread; /* or could not be */
    bool bypassing;    /* the cache */
    bool tried_bypass;
    km_thread thread;
    km_monitor *monitor; /* NULL until the thread is wanted */
    unsigned full;       /* pieces that wait to be written */
    DWORD error;
    uint64_t written;
    bool stop;
};

static uint8_t *piece_of(const km_append *append, unsigned piece) {
    return append->pieces + piece * append->piece_size;
}

static void free_all(km_append *append) {
    if (append->large) {
        km_buffer_free_large(append->pieces, PIECES * append->piece_size);
    } else {
        km_buffer_free(append->pieces);
    }
    free(append);
}

DWORD km_append_begin(km_append **append, const km_io *io, HANDLE file, bool bypass) {
    km_append *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    made->io = io;
    made->file = file;
    made->tried_bypass = !bypass;
    made->large = bypass;
    made->piece_size = bypass ? PIECE_PAST_CACHE : PIECE_THROUGH_CACHE;
    made->pieces = bypass ? km_buffer_make_large(PIECES * made->piece_size)
                          : km_buffer_make(PIECES * made->piece_size);
    if (made->pieces == NULL) {
        free_all(made);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *append = made;
    return ERROR_SUCCESS;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void set_bypass(km_append *append, bool wanted) {
    if (append->bypassing != wanted) {
        append->bypassing =
            km_platform_bypass_cache(append->file, wanted) == ERROR_SUCCESS && wanted;
    }
}

/* `length` bytes, whose place in the file is `at`; *done: how many were written. */
static DWORD write_steps(const km_append *append, const uint8_t *bytes, size_t length, uint64_t at,
                         size_t *done) {
    const size_t longest = append->bypassing ? append->piece_size : STEP_THROUGH_CACHE;
    DWORD error = ERROR_SUCCESS;
    *done = 0;
    while (error == ERROR_SUCCESS && *done < length) {
        const size_t step = length - *done < longest ? length - *done : longest;
        error = append->io->write_at(append->file, at + *done, bytes + *done, (uint32_t)step);
        *done += error == ERROR_SUCCESS ? step : 0;
    }
    return error;
}

/* A whole piece, whose place in the file is where the last one ended. */
static DWORD write_piece(km_append *append, unsigned piece, uint64_t at, size_t *done) {
    const uint8_t *bytes = piece_of(append, piece);
    if (!append->tried_bypass) {
        append->tried_bypass = true;
        set_bypass(append, true);
    }
    DWORD error = write_steps(append, bytes, append->piece_size, at, done);
    if (error == ERROR_INVALID_PARAMETER && append->bypassing) {
        set_bypass(append, false); /* this file system wants it otherwise than all others */
        error = write_steps(append, bytes, append->piece_size, at, done);
    }
    return error;
}

static void write_full_pieces(void *arg) {
    km_append *append = arg;
    km_platform_monitor_enter(append->monitor);
    for (;;) {
        if (append->full == 0) {
            if (append->stop) {
                break;
            }
            km_platform_monitor_wait(append->monitor, KM_WAIT_FOREVER);
            continue;
        }
        const uint64_t at = append->written;
        if (append->error == ERROR_SUCCESS) {
            size_t done = 0;
            km_platform_monitor_leave(append->monitor);
            const DWORD error = write_piece(append, append->writing, at, &done);
            km_platform_monitor_enter(append->monitor);
            /* Never after an error: it may be read without the monitor then. */
            append->written += done;
            if (error != ERROR_SUCCESS) {
                append->error = error; /* and one that was set meanwhile stays */
            }
        }
        append->writing = (append->writing + 1) % PIECES;
        append->full--;
        km_platform_monitor_notify(append->monitor);
    }
    km_platform_monitor_leave(append->monitor);
}

/* ---- The thread ---------------------------------------------------------------------------- */

static void start_thread(km_append *append) {
    append->tried_thread = true;
    if (km_platform_monitor_make(&append->monitor) == ERROR_SUCCESS) {
        append->threaded =
            km_platform_thread_start(&append->thread, write_full_pieces, append) == ERROR_SUCCESS;
    }
}

static void end_thread(km_append *append) {
    if (append->threaded) {
        km_platform_monitor_enter(append->monitor);
        append->stop = true;
        km_platform_monitor_notify(append->monitor);
        km_platform_monitor_leave(append->monitor);
        km_platform_thread_join(&append->thread);
        append->threaded = false;
    }
}

/* Gives the piece that is full now to the thread, and waits until there is another to fill. */
static DWORD pass_on(km_append *append) {
    km_platform_monitor_enter(append->monitor);
    append->full++;
    km_platform_monitor_notify(append->monitor);
    while (append->full == PIECES) {
        km_platform_monitor_wait(append->monitor, KM_WAIT_FOREVER);
    }
    const DWORD error = append->error;
    km_platform_monitor_leave(append->monitor);
    return error;
}

static DWORD write_now(km_append *append) {
    if (append->error == ERROR_SUCCESS) {
        size_t done = 0;
        append->error = write_piece(append, append->filling, append->offset, &done);
        append->written += done;
    }
    return append->error;
}

static DWORD finish_piece(km_append *append) {
    if (!append->tried_thread) {
        start_thread(append);
    }
    const DWORD error = append->threaded ? pass_on(append) : write_now(append);
    if (append->threaded) {
        append->filling = (append->filling + 1) % PIECES;
    }
    append->filled = 0;
    append->offset += append->piece_size;
    return error;
}

/* ---- The calls ----------------------------------------------------------------------------- */

DWORD km_append_give(km_append *append, const void *bytes, size_t length) {
    const uint8_t *rest = bytes;
    DWORD error = ERROR_SUCCESS;
    while (error == ERROR_SUCCESS && length > 0) {
        const size_t room = append->piece_size - append->filled;
        const size_t step = length < room ? length : room;
        memcpy(piece_of(append, append->filling) + append->filled, rest, step);
        append->filled += step;
        rest += step;
        length -= step;
        if (append->filled == append->piece_size) {
            error = finish_piece(append);
        }
    }
    return error;
}

DWORD km_append_end(km_append *append) {
    end_thread(append);
    set_bypass(append, false); /* what is left is no whole piece */
    if (append->error == ERROR_SUCCESS && append->filled > 0) {
        size_t done = 0;
        append->error = write_steps(append, piece_of(append, append->filling), append->filled,
                                    append->offset, &done);
        append->written += done;
        append->filled = 0;
    }
    return append->error;
}

uint64_t km_append_written(const km_append *append) {
    return append->written;
}

void km_append_free(km_append *append) {
    if (append == NULL) {
        return;
    }
    if (append->threaded) {
        km_platform_monitor_enter(append->monitor);
        append->error = append->error == ERROR_SUCCESS ? ERROR_OPERATION_ABORTED : append->error;
        km_platform_monitor_leave(append->monitor);
    }
    end_thread(append);
    set_bypass(append, false);
    km_platform_monitor_free(append->monitor);
    free_all(append);
}
