/*
 * view.h - mapped views of sections, and the registry in which every call finds them.
 */
#ifndef KMW_VIEW_H
#define KMW_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "section.h"

/* Views begin at multiples of this, in memory and in the section: Windows' granularity. */
#define KMW_GRANULARITY ((size_t)65536)

/* Pages of a view that are alike. A run ends where the next begins, the last one with the view. */
typedef struct kmw_page_run {
    size_t first;     /* page number in the view */
    DWORD protection; /* PAGE_* */
    bool detached;    /* mapped so that stores stay private, whatever the protection is now */
} kmw_page_run;

typedef struct kmw_view {
    char *base;
    size_t length;        /* bytes asked for */
    size_t mapped;        /* rounded up to pages */
    uint64_t offset;      /* into the section */
    DWORD protection;     /* PAGE_* it was mapped with */
    kmw_section *section; /* referenced */
    kmw_page_run *runs;   /* once VirtualProtect has been used; else NULL: all as `protection` */
    size_t run_count;
    size_t reserved; /* bytes of address space that stay ours when it is unmapped; 0: none */
} kmw_view;

size_t kmw_page_size(void);
size_t kmw_page_align_up(size_t length); /* `length` at most SIZE_MAX - page size */

/* ---- The registry (view_registry.c) ---- */

/*
 * One mutex guards the registry, every field of every view in it, and the mapping and unmapping of
 * views, so that an address found in it stays that view's while the mutex is held. It is a leaf
 * but for malloc: no handle is used, no object released and no file waited for inside. A fork
 * waits for it, and finds it free in the child.
 */
void kmw_views_lock(void);
void kmw_views_unlock(void);

/* With the mutex held: the view whose pages include `address`, or NULL. */
kmw_view *kmw_views_find(const void *address);
bool kmw_views_make_room(void);        /* for one more; false: no memory */
void kmw_views_insert(kmw_view *view); /* room has been made */
void kmw_views_remove(kmw_view *view);

/* ---- Placement (view_placement.c); the registry's mutex is held ---- */

/* mmap at an address of the system's choice, but a multiple of KMW_GRANULARITY. MAP_FAILED, errno.
 */
void *kmw_place_view(size_t length, int protection, int flags, int descriptor, uint64_t offset);
/* mmap exactly there, never over anything: MAP_FAILED with errno EEXIST if it is taken. */
void *kmw_place_view_at(void *address, size_t length, int protection, int flags, int descriptor,
                        uint64_t offset);
/* Address space without memory, likewise aligned. */
void *kmw_place_reservation(size_t length);
/* What lies there becomes part of a reservation. false, errno: it stays as it was. */
bool kmw_place_reserved_again(void *address, size_t length);
/* The next view is likely to fit where this one was. */
void kmw_place_freed(const char *base, size_t length);

/* ---- Views (view.c) ---- */

/*
 * A view of `length` bytes (0: to the end) of the section. `address` NULL: anywhere; with
 * `reserved` not 0: the start of a reservation of so many bytes that holds no view; else exactly
 * there. NULL, with the last error set, on failure.
 */
void *kmw_view_map(HANDLE section, DWORD access, uint64_t offset, uint64_t length, void *address,
                   size_t reserved);

/* How a view of this protection is mapped: MAP_SHARED or MAP_PRIVATE. */
int kmw_view_mmap_flags(DWORD protection);
/* Where byte `at` of the view lies in what the section's descriptor leads to. */
uint64_t kmw_view_position(const kmw_view *view, size_t at);
/* Tells the system of the section's advice for pages newly mapped. */
void kmw_view_advise(const kmw_view *view, char *from, size_t length);
/* Unmaps, takes it out of the registry; the mutex is held. ERROR_SUCCESS, or it stays as it was. */
DWORD kmw_view_take_down(kmw_view *view);
/* Frees what is left of a view taken down; the mutex is not held. */
void kmw_view_free(kmw_view *view);

/* ---- Protection (view_protection.c); the registry's mutex is held ---- */

/* The run that `page` belongs to, and the page number at which it ends. */
kmw_page_run kmw_view_run(const kmw_view *view, size_t page, size_t *end);
/*
 * What VirtualQuery says of `page`, and up to which page, at most `limit`, that holds: a page of a
 * copy-on-write view that has been stored to is an ordinary writable one, where the system tells.
 */
DWORD kmw_view_page_protection(const kmw_view *view, size_t page, size_t limit, size_t *end);

#endif /* KMW_VIEW_H */
