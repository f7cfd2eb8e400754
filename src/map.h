/*
 * map.h - what the core knows about an opened file or segment, and about a view of it.
 *
 * A km_file, which may stand for a segment (segment.h), is shared by the map that opened it and by
 * the windows made from it; a km_map is one view. Threads: fields marked "fixed" never change after
 * the open; atomic ones may be used by calls that run side by side; the rest belong to km_open,
 * km_resize and km_close, which the caller keeps apart from everything else (keepmap.h, "Threads").
 */
#ifndef KM_MAP_H
#define KM_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"

typedef struct km_segment_state km_segment_state;
typedef struct km_segment_lock km_segment_lock;
typedef struct km_contents km_contents;
typedef struct km_lazy_view km_lazy_view;
typedef struct km_changes km_changes;

typedef struct km_file {
    atomic_uint references;   /* maps that use it */
    _Atomic uint64_t windows; /* that were ever made of it */
    HANDLE handle; /* fixed; INVALID_HANDLE_VALUE until opened. A segment's: its section */
    km_segment_state *segment;  /* fixed; NULL: a file */
    km_contents *contents;      /* fixed; NULL: no snapshot's; it has no handle then */
    char *path;                 /* fixed: as given */
    unsigned forks;             /* fixed: km_platform_forks when it was opened */
    WCHAR *native_path;         /* fixed: as CreateFileW takes it */
    km_access access;           /* fixed */
    uint32_t flags;             /* fixed: KM_OPEN_* */
    _Atomic uint64_t expected;  /* options.size, then what km_resize made of the file */
    atomic_bool poisoned;       /* a sync has failed: its stores may be lost */
    atomic_bool entry_unsynced; /* made by us, directory entry not yet durable */
} km_file;

typedef enum km_lock_state {
    KM_UNLOCKED,
    KM_LOCK_CHANGING, /* one thread is at it */
    KM_LOCKED,
    KM_LOCK_SNAPSHOT, /* a snapshot has it, or is about to: the program has not */
} km_lock_state;

struct km_map {
    km_file *file;
    /* Over the file's first section_size bytes; NULL: windows, empty maps, segments. */
    HANDLE section;
    uint64_t section_size;
    void *view;         /* the system's view: 64 KiB aligned; NULL if the map is empty */
    void *data;         /* view + (offset - its aligned part) */
    uint64_t offset;    /* of data in the file */
    uint64_t size;      /* bytes at data */
    km_lazy_view *lazy; /* what fills the view when it is touched; NULL: it is filled */
    bool opened;        /* by km_open, not km_window: it may lock */
    bool window;        /* made by km_window, or by km_open with an offset or a length */
    bool created;
    km_reservation reservation; /* .base NULL: none */
    atomic_int lock;            /* km_lock_state */
    DWORD locker;               /* the process that locked it; while KM_LOCKED */
    km_segment_lock *companion; /* what a segment's lock lies on; NULL until it is first locked */
    uint64_t mark;              /* while KM_LOCKED: this map's in the segment; 0: none */
    uint64_t found;             /* while KM_LOCKED with a mark: the dead holder's before it, or 0 */
    _Atomic uint64_t readers;   /* snapshots that share a lock of their own (snapshot_lock.c) */
    _Atomic(km_changes *) changes; /* since a snapshot that tracks; NULL: unknown */
};

/* Win32's name for what an access needs. */
DWORD km_section_protection(km_access access);
DWORD km_view_access(km_access access);

/*
 * A map of a file, neither opened nor mapped yet; takes `native_path` over when it succeeds.
 * km_close undoes it, however far it has got.
 */
km_status km_map_new(km_map **map, const char *path, WCHAR *native_path, const km_options *options);

/* One more map of the same file, nothing mapped yet. */
km_status km_map_new_window(km_map **window, const km_map *map);

/* For sentences: "file" or "segment". */
const char *km_file_noun(const km_file *file);

/* The file's size now; a segment's, less what somebody has cut off its memory. */
DWORD km_file_size(const km_file *file, uint64_t *size);

/*
 * Makes a section over the file's first `size` bytes, and the file that long if it is shorter
 * (KM_WRITE; allocated unless KM_OPEN_SPARSE). Size 0: as long as the file is.
 */
DWORD km_file_section(const km_file *file, uint64_t size, HANDLE *section);

/*
 * Maps `length` bytes of `section` from `offset` on, and sets view, data, offset and size. In the
 * map's reservation if it has one; else at `base`, or anywhere if that is NULL. Length 0: no view.
 */
DWORD km_map_view(km_map *map, HANDLE section, uint64_t offset, uint64_t length, void *base);

/* Unmaps the view and closes the section; the map is empty then. The reservation stays. */
DWORD km_map_drop(km_map *map);

/*
 * The same for good: view, section and reservation are let go of whatever happens. An error says
 * that the system would not unmap a view, which stays then, out of our hands.
 */
DWORD km_map_discard(km_map *map);

/*
 * Takes length 0 for "to the end of the map". KM_E_INVALID, in a sentence that begins with "cannot
 * `verb`", if the range is not inside the map.
 */
km_status km_map_range(const km_map *map, uint64_t offset, uint64_t *length, const char *verb);

/*
 * For snapshots: the map's lock, shared, which is no business of km_lock and km_unlock. What
 * map->lock was; only if that is KM_UNLOCKED anything has been done, and *status says what came of
 * it.
 */
km_lock_state km_lock_for_snapshot(km_map *map, uint32_t timeout_ms, km_status *status);

/* Gives it back, also after KM_E_OWNER_DIED. */
void km_unlock_for_snapshot(km_map *map);

/* For km_close: gives the lock back, if the map holds one, without a word on what it protects. */
void km_lock_drop(km_map *map);

/*
 * The failure to map [offset, offset + length): KM_E_TRUNCATED if the file has become too short for
 * it, else what the system said.
 */
km_status km_fail_mapping(const km_file *file, DWORD error, uint64_t offset, uint64_t length);

/* The failure to make the file longer. */
km_status km_fail_growing(const km_file *file, DWORD error, uint64_t from, uint64_t to);

#endif /* KM_MAP_H */
