/*
 * sync_object.h - what events, mutexes and semaphores have in common: being created, opened, looked
 * at, taken and given back.
 */
#ifndef KMW_SYNC_OBJECT_H
#define KMW_SYNC_OBJECT_H

#include <stdbool.h>
#include <time.h>

#include <keepmap/win32.h>

#include "handle_table.h"
#include "named_object.h"
#include "sync_page.h"

/* What came of trying to take an object. */
typedef enum kmw_taking {
    KMW_NOT_SIGNALED,
    KMW_TAKEN,
    KMW_TAKEN_ABANDONED, /* a mutex, and its owner had ended without releasing it */
    KMW_TAKE_FAILED,     /* the last error says why */
} kmw_taking;

/* What a new object starts as. */
typedef struct kmw_sync_start {
    unsigned word;
    uint32_t limit;
    bool owned; /* a mutex, by the caller */
} kmw_sync_start;

typedef struct kmw_sync_class {
    kmw_class class;
    /* Rights: all there are, and what the generic ones stand for. */
    DWORD all, read, write, execute;

    /* Makes a page of zeros an object. NULL: word and limit are all there is to it. */
    DWORD (*start)(kmw_sync_page *page, const kmw_sync_start *start);
    /* Is this an object of the kind, as far as can be seen? Somebody else may have made it. */
    bool (*is_sound)(const kmw_sync_page *page);

    /* Would a waiter that has waited since the word was `since` get it? */
    bool (*is_signaled)(kmw_sync_page *page, unsigned since);
    /* *found: what the word was, if that is where it was taken from. */
    kmw_taking (*take)(kmw_sync_page *page, unsigned since, unsigned *found);
    /* Undoes a take that found the word as `found`, and wakes whom that concerns. */
    void (*put_back)(kmw_sync_page *page, kmw_taking taking, unsigned found);
    /* Takes or waits until `until`; NULL: by sleeping on the word. */
    kmw_taking (*wait)(kmw_sync_page *page, const struct timespec *until);
    /* What SignalObjectAndWait does; fails with the last error. */
    BOOL (*signal)(kmw_sync_page *page, DWORD access);
    /* The last that this process has of an object is going. NULL: nothing to do. */
    void (*part)(kmw_sync_page *page);
} kmw_sync_class;

typedef struct kmw_sync_object {
    kmw_object object;
    kmw_named named;
    kmw_sync_page *page;
} kmw_sync_object;

extern const kmw_sync_class kmw_event_class;
extern const kmw_sync_class kmw_mutex_class;
extern const kmw_sync_class kmw_semaphore_class;

/* The class of an object of these three kinds; NULL for others. */
const kmw_sync_class *kmw_sync_class_of(const kmw_object *object);

/* The whole of Create* and Open*, but for checking the arguments that are the kind's own. */
HANDLE kmw_sync_create_a(const kmw_sync_class *class, const SECURITY_ATTRIBUTES *security,
                         const kmw_sync_start *start, LPCSTR name);
HANDLE kmw_sync_create_w(const kmw_sync_class *class, const SECURITY_ATTRIBUTES *security,
                         const kmw_sync_start *start, LPCWSTR name);
HANDLE kmw_sync_open_a(const kmw_sync_class *class, DWORD access, BOOL inherit, LPCSTR name);
HANDLE kmw_sync_open_w(const kmw_sync_class *class, DWORD access, BOOL inherit, LPCWSTR name);

/* Begins to use a handle to an object of the class with these rights, like kmw_use_begin. */
kmw_use kmw_sync_use(HANDLE handle, const kmw_sync_class *class, DWORD rights);
kmw_sync_page *kmw_sync_page_in(kmw_use use);

/* Specific rights for what was asked. MAXIMUM_ALLOWED is everything. */
DWORD kmw_sync_rights(const kmw_sync_class *class, DWORD asked);

/* For the classes: destroys an object, and gives up its name with its last handle. */
void kmw_sync_object_destroy(kmw_object *object);
void kmw_sync_object_last_handle(kmw_object *object);

#endif /* KMW_SYNC_OBJECT_H */
