/*
 * named_object.h - how objects come to have a name, keep it, and lose it.
 *
 * A named object is a small file on shared memory, and whoever has a handle holds a shared flock(2)
 * on it through a description of its own. The kernel drops that lock when the last process that has
 * the description dies, however it dies. So "does anybody hold it?" is one question to the kernel,
 * asked through a freshly opened description: can this file be locked exclusively? (Never by
 * converting a handle's own lock: that succeeds while a forked child shares it.)
 *
 *   Born whole.   An object is built in an unnamed file, locked, sized and filled, and only then
 *                 linked to its name. Nobody opens a half-made one.
 *   Opened.       A fresh description, exclusive first: got it, so this is an orphan, which is
 *                 unlinked and counts as absent. Else shared; then the name must still lead here.
 *   Closed.       A fresh description, then the handle's is closed, and the fresh one asks: if it
 *                 is nobody's any more, it is unlinked.
 *   Swept.        Whoever creates asks the same of everything in the directory, at most once a
 *                 second, so what a killed process left goes soon.
 *
 * While one has the exclusive lock and the name leads to the locked file, nobody else unlinks it:
 * so what is unlinked is what was asked about. Every lock is tried without waiting and a bounded
 * number of times, since who may merely read an object may lock it. Nobody can lock out a living
 * object: its holders' shared locks are there before its name is.
 *
 * A mapping keeps the description it was made from, and its lock. So what is mapped is mapped
 * through another description (kmw_named_reopen), or a view would keep the name.
 */
#ifndef KMW_NAMED_OBJECT_H
#define KMW_NAMED_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "handle_table.h"
#include "object_name.h"

#define KMW_STATE_OFFSET ((size_t)256)
#define KMW_STATE_SIZE ((size_t)256)
#define KMW_NAME_OFFSET ((size_t)512)

/*
 * The first bytes of an object's file, in the machine's own byte order. Then, at KMW_STATE_OFFSET,
 * what belongs to the kind (a mutex, an event's word); at KMW_NAME_OFFSET the name without its
 * prefix, then `extra`; at data_offset a section's memory. Untrusted when read: kmw_named_open
 * checks every field against the file before anybody uses it.
 */
typedef struct kmw_object_header {
    char magic[8];
    uint32_t layout; /* what programs must have in common to share it */
    uint32_t kind;   /* kmw_kind */
    uint32_t name_length;
    uint32_t extra_length;
    uint64_t data_offset; /* a multiple of the page size */
    uint64_t data_size;   /* bytes of memory there; the file ends with them */
    uint64_t created_ns;  /* CLOCK_REALTIME */
    int32_t creator;      /* its process, as it saw itself */
    uint32_t flags;       /* the kind's own: a section's protection and SEC_* */
    uint64_t exact_size;  /* a section's size, exactly */
} kmw_object_header;

/* An object's hold on its name. All zero but descriptor -1: it has none. */
typedef struct kmw_named {
    int descriptor; /* locked shared; -1: no name */
    int directory;  /* that the file lies in: never closed by keepmap */
    kmw_object_file file;
    dev_t device;
    ino_t inode;
    uid_t owner;
    kmw_object_header header;
} kmw_named;

#define KMW_WRITTEN_DATA ((uint64_t)16 << 10)

/* How the bytes behind the header come to be there; see kmw_birth. */
typedef enum kmw_birth_data {
    KMW_DATA_HOLE,
    KMW_DATA_MISSING,
    KMW_DATA_WRITTEN,
} kmw_birth_data;

/* What is to be made, if the name is not taken. */
typedef struct kmw_birth {
    kmw_kind kind;
    bool for_everybody; /* else for its owner alone */
    uint32_t flags;
    uint64_t data_size;  /* 0: no memory behind the header */
    uint64_t exact_size; /* of a section */
    const void *extra;
    size_t extra_length;
    /*
     * What there is behind the header before prepare is called: a hole of data_size bytes; nothing,
     * so that prepare makes the file as long as it is to be; or, for no more than KMW_WRITTEN_DATA
     * bytes, zeros that are allocated, which cost little beside the header.
     */
    kmw_birth_data data;
    /*
     * Makes the new object complete, before anybody can see it. On failure all is undone. Called at
     * most once; with KMW_DATA_WRITTEN perhaps once more after it has failed, and also where the
     * name turns out to be taken.
     */
    DWORD (*prepare)(kmw_named *draft, void *arg);
    void *arg;
} kmw_birth;

/*
 * A handle's hold on the object `name`, made by this call or (*existed) found. What prepare has
 * made is the caller's to drop if it was found after all. ERROR_INVALID_HANDLE: the name belongs to
 * another kind. ERROR_ACCESS_DENIED: to somebody who keeps it to himself, or to an orphan that
 * cannot be cleared away. ERROR_INVALID_DATA: to what is no object, or one that a different build
 * has made.
 */
DWORD kmw_named_create(const kmw_object_name *name, const kmw_birth *birth, kmw_named *named,
                       bool *existed);

/* For a prepare that learns the size itself. */
DWORD kmw_named_set_exact_size(kmw_named *draft, uint64_t size);

/* ERROR_FILE_NOT_FOUND if there is none; otherwise like kmw_named_create. */
DWORD kmw_named_open(const kmw_object_name *name, kmw_kind kind, kmw_named *named);

/* Gives up this process's hold; the name goes with the last one. Nothing, if it has none. Keeps
 * errno and the last error. */
void kmw_named_close(kmw_named *named);

/*
 * The same for one who has a description from kmw_named_reopen that no other process shares, and
 * asks through that whether anybody is left. What nobody holds may stay locked by it.
 */
void kmw_named_close_through(kmw_named *named, int asker);

/* A description without a lock, to map the object from: open for reading and writing,
 * close-on-exec. -1 and errno. */
int kmw_named_reopen(const kmw_named *named);

/* The `length` bytes behind the name. */
DWORD kmw_named_read_extra(const kmw_named *named, void *to, size_t length);

/* ---- Everything that has a name (object_sweep.c) ---- */

/* One file in a directory of objects. */
typedef struct kmw_listed {
    int descriptor; /* open for reading, not locked */
    bool global;
    uid_t owner;
    dev_t device;
    ino_t inode;
    const kmw_object_header *header;
    const char *name; /* UTF-8 without its prefix */
} kmw_listed;

/* false: enough. */
typedef bool (*kmw_list_function)(const kmw_listed *object, void *arg);

/* Calls `each` for every living object that can be read, and clears orphans away. */
DWORD kmw_named_list(kmw_list_function each, void *arg);

/* Clears orphans away, unless that has been done within the last kmw_sweep_interval_ms. */
void kmw_named_sweep(void);
extern unsigned kmw_sweep_interval_ms; /* 1000; tests set it */

#endif /* KMW_NAMED_OBJECT_H */
