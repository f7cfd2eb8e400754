/*
 * handle_table.h - the handles of the Win32 calls on POSIX, and the objects behind them.
 *
 * A HANDLE names a slot and the slot's generation, so that a wrong, stale or twice-closed handle is
 * seen as such. Its values are multiples of 4, fit into 31 bits, are never 0, and the low two bits
 * are ignored by every call (Windows' rule). Finding a valid handle takes no lock: slots live in
 * blocks that are never freed, and each has one atomic word (generation, open, users).
 *
 * An object is counted twice. `handles` are the handles to it in this process: when the last is
 * closed, and the last call that was using it has returned, class->last_handle runs once (a file
 * gives up its descriptor there). `references` are handles and whatever else needs it to exist (a
 * section its file, a view its section): at 0, class->destroy frees it.
 */
#ifndef KMW_HANDLE_TABLE_H
#define KMW_HANDLE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <keepmap/win32.h>

/* The values stand in the files of named objects: they never change. */
typedef enum kmw_kind {
    KMW_ANY = 0, /* only as a question: whatever kind it is */
    KMW_FILE = 1,
    KMW_SECTION = 2,
    KMW_EVENT = 3,
    KMW_MUTEX = 4,
    KMW_SEMAPHORE = 5,
} kmw_kind;

typedef struct kmw_object kmw_object;

typedef struct kmw_class {
    kmw_kind kind;
    void (*last_handle)(kmw_object *object); /* NULL: nothing to do */
    void (*destroy)(kmw_object *object);     /* frees the object itself too */
} kmw_class;

/* First member of every object. */
struct kmw_object {
    const kmw_class *class;
    atomic_uint references;
    atomic_uint handles;
};

/* One reference (the maker's own), no handle. */
void kmw_object_init(kmw_object *object, const kmw_class *class);
void kmw_object_reference(kmw_object *object);
void kmw_object_release(kmw_object *object);

/*
 * A new handle to `object` with `access` (specific rights, no generic ones). It takes a reference
 * of its own. NULL, with the last error set (ERROR_NOT_ENOUGH_MEMORY, ERROR_TOO_MANY_OPEN_FILES),
 * if none could be made; the object is untouched then.
 */
HANDLE kmw_handle_open(kmw_object *object, DWORD access, bool inherit);

/* A handle while a call is using it: neither the slot nor the object can go meanwhile. */
typedef struct kmw_use {
    kmw_object *object; /* NULL: no such handle */
    DWORD access;
    unsigned slot;
    unsigned generation; /* of forks: one begun in a parent has ended here */
} kmw_use;

/*
 * Begins to use a handle of `kind`. If it is none, .object is NULL and the last error is
 * ERROR_INVALID_HANDLE. Each success is paired with kmw_use_end, which keeps the last error.
 */
kmw_use kmw_use_begin(HANDLE handle, kmw_kind kind);
void kmw_use_end(kmw_use use);

/*
 * CloseHandle for a handle that names a slot, protected ones included if `forced`. FALSE and
 * ERROR_INVALID_HANDLE if there is none, or if it is protected. Keeps the last error otherwise.
 */
BOOL kmw_handle_close(HANDLE handle, bool forced);

/*
 * Sets those of the handle's HANDLE_FLAG_* that are in `mask` to what they are in `flags`; *now is
 * what they all are then. False, and the last error ERROR_INVALID_HANDLE, if there is no such
 * handle.
 */
bool kmw_handle_flags(HANDLE handle, DWORD mask, DWORD flags, DWORD *now);

/* GetCurrentProcess(), and what counts as it: (HANDLE)-1. */
bool kmw_is_current_process(HANDLE process);

#endif /* KMW_HANDLE_TABLE_H */
