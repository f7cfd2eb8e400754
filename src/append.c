/*
 * append.c - bytes appended to a new file in order, and fast.
 *
 * Two pieces: one is filled by the caller while the thread writes the other. The monitor guards
 * `full`, `error`, `written` and `stop`; a piece belongs to the thread while it is full, else to
 * the caller. Pieces begin at multiples of their size in the file, which is what writing past the
 * cache asks for.
 */
#include "append.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

#define PIECE_SIZE ((size_t)1 << 20)
#define PIECES 2u
/* No system asks for more of memory that is written past its cache. */
#define ALIGNMENT ((size_t)4096)

struct km_append {
    const km_io *io;
    HANDLE file;
    uint8_t *memory;
    uint8_t *pieces[PIECES];
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

DWORD km_append_begin(km_append **append, const km_io *io, HANDLE file, bool bypass) {
    km_append *made = calloc(1, sizeof *made);
    uint8_t *memory = malloc(PIECES * PIECE_SIZE + ALIGNMENT);
    if (made == NULL || memory == NULL) {
        free(made);
        free(memory);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    made->io = io;
    made->file = file;
    made->tried_bypass = !bypass;
    made->memory = memory;
    const size_t lead = ALIGNMENT - (uintptr_t)memory % ALIGNMENT;
    for (unsigned i = 0; i < PIECES; i++) {
        made->pieces[i] = memory + lead + i * PIECE_SIZE;
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

/* A whole piece, whose place in the file is where the last one ended. */
static DWORD write_piece(km_append *append, const uint8_t *piece, uint64_t at) {
    if (!append->tried_bypass) {
        append->tried_bypass = true;
        set_bypass(append, true);
    }
    DWORD error = append->io->write_at(append->file, at, piece, (uint32_t)PIECE_SIZE);
    if (error == ERROR_INVALID_PARAMETER && append->bypassing) {
        set_bypass(append, false); /* this file system wants it otherwise than all others */
        error = append->io->write_at(append->file, at, piece, (uint32_t)PIECE_SIZE);
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
        DWORD error = append->error;
        if (error == ERROR_SUCCESS) {
            km_platform_monitor_leave(append->monitor);
            error = write_piece(append, append->pieces[append->writing], at);
            km_platform_monitor_enter(append->monitor);
        }
        if (error == ERROR_SUCCESS) {
            append->written += PIECE_SIZE;
        } else {
            append->error = error;
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
        append->error = write_piece(append, append->pieces[append->filling], append->offset);
        append->written += append->error == ERROR_SUCCESS ? PIECE_SIZE : 0;
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
    append->offset += PIECE_SIZE;
    return error;
}

/* ---- The calls ----------------------------------------------------------------------------- */

DWORD km_append_give(km_append *append, const void *bytes, size_t length) {
    const uint8_t *rest = bytes;
    DWORD error = ERROR_SUCCESS;
    while (error == ERROR_SUCCESS && length > 0) {
        const size_t room = PIECE_SIZE - append->filled;
        const size_t step = length < room ? length : room;
        memcpy(append->pieces[append->filling] + append->filled, rest, step);
        append->filled += step;
        rest += step;
        length -= step;
        if (append->filled == PIECE_SIZE) {
            error = finish_piece(append);
        }
    }
    return error;
}

DWORD km_append_end(km_append *append) {
    end_thread(append);
    set_bypass(append, false); /* what is left is no whole piece */
    if (append->error == ERROR_SUCCESS && append->filled > 0) {
        append->error =
            append->io->write_at(append->file, append->offset, append->pieces[append->filling],
                                 (uint32_t)append->filled);
        append->written += append->error == ERROR_SUCCESS ? append->filled : 0;
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
    free(append->memory);
    free(append);
}
