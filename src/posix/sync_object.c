/*
 * sync_object.c - creating, opening and letting go events, mutexes and semaphores.
 */
#include "sync_object.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "fork_gate.h"
#include "last_error.h"
#include "security.h"

#define GENERIC_RIGHTS (GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL)

static const kmw_named no_name = {.descriptor = -1};

const kmw_sync_class *kmw_sync_class_of(const kmw_object *object) {
    switch (object->class->kind) {
    case KMW_EVENT:
        return &kmw_event_class;
    case KMW_MUTEX:
        return &kmw_mutex_class;
    case KMW_SEMAPHORE:
        return &kmw_semaphore_class;
    default:
        return NULL;
    }
}

kmw_use kmw_sync_use(HANDLE handle, const kmw_sync_class *class, DWORD rights) {
    kmw_use use = kmw_use_begin(handle, class->class.kind);
    if (use.object != NULL && (use.access & rights) != rights) {
        kmw_use_end(use);
        kmw_fail(ERROR_ACCESS_DENIED);
        return (kmw_use){0};
    }
    return use;
}

kmw_sync_page *kmw_sync_page_in(kmw_use use) {
    return ((kmw_sync_object *)use.object)->page;
}

DWORD kmw_sync_rights(const kmw_sync_class *class, DWORD asked) {
    if (asked & MAXIMUM_ALLOWED) {
        return class->all;
    }
    DWORD rights = asked & ~GENERIC_RIGHTS;
    rights |= asked & GENERIC_READ ? class->read : 0;
    rights |= asked & GENERIC_WRITE ? class->write : 0;
    rights |= asked & GENERIC_EXECUTE ? class->execute : 0;
    rights |= asked & GENERIC_ALL ? class->all : 0;
    return rights;
}

/* ---- Objects ---- */

/* The name goes with the last handle, though somebody may own the mutex. */
void kmw_sync_object_last_handle(kmw_object *object) {
    kmw_named_close(&((kmw_sync_object *)object)->named);
}

void kmw_sync_object_destroy(kmw_object *object) {
    kmw_sync_object *sync = (kmw_sync_object *)object;
    const kmw_sync_class *class = kmw_sync_class_of(object);
    kmw_named_close(&sync->named);
    if (class->part != NULL) {
        class->part(sync->page);
    }
    kmw_sync_page_leave(sync->page);
    free(sync);
}

/* The handle to a new object over `page`. Page and name are the object's, or gone. */
static HANDLE open_handle(const kmw_sync_class *class, kmw_sync_page *page, const kmw_named *named,
                          DWORD access, bool inherit) {
    kmw_sync_object *sync = malloc(sizeof *sync);
    if (sync == NULL) {
        kmw_named unused = *named;
        kmw_named_close(&unused);
        kmw_sync_page_leave(page);
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    kmw_object_init(&sync->object, &class->class);
    sync->named = *named;
    sync->page = page;
    HANDLE handle = kmw_handle_open(&sync->object, access, inherit);
    kmw_object_release(&sync->object);
    return handle;
}

/* The same for an object just made: if its maker cannot have it, nobody owns it. */
static HANDLE open_newborn(const kmw_sync_class *class, kmw_sync_page *page,
                           const kmw_sync_start *start, const kmw_named *named, bool inherit) {
    kmw_sync_page_reference(page);
    HANDLE handle = open_handle(class, page, named, class->all, inherit);
    if (handle == NULL && start->owned) {
        class->put_back(page, KMW_TAKEN, 0);
    }
    kmw_sync_page_release(page);
    return handle;
}

/* ---- Creating ---- */

static DWORD start_page(const kmw_sync_class *class, kmw_sync_page *page,
                        const kmw_sync_start *start) {
    atomic_init(&page->state->word, start->word);
    page->state->limit = start->limit;
    page->limit = start->limit;
    return class->start != NULL ? class->start(page, start) : ERROR_SUCCESS;
}

/* Takes back what start_page did for an object that is not to be. */
static void drop_page(const kmw_sync_class *class, kmw_sync_page *page,
                      const kmw_sync_start *start) {
    if (start->owned) {
        class->put_back(page, KMW_TAKEN, 0);
    }
    kmw_sync_page_release(page);
}

static HANDLE create_unnamed(const kmw_sync_class *class, const kmw_sync_start *start,
                             bool inherit) {
    kmw_sync_page *page = kmw_sync_page_new();
    DWORD error = page == NULL ? kmw_error_of_errno(errno) : start_page(class, page, start);
    if (error != ERROR_SUCCESS) {
        if (page != NULL) {
            kmw_sync_page_release(page);
        }
        SetLastError(error);
        return NULL;
    }
    return open_newborn(class, page, start, &no_name, inherit);
}

typedef struct newborn {
    const kmw_sync_class *class;
    const kmw_sync_start *start;
    kmw_sync_page *page; /* once it has been prepared */
} newborn;

static DWORD prepare(kmw_named *draft, void *arg) {
    newborn *born = arg;
    kmw_sync_page *page = kmw_sync_page_of(draft);
    if (page == NULL) {
        return kmw_error_of_errno(errno);
    }
    DWORD error = start_page(born->class, page, born->start);
    if (error != ERROR_SUCCESS) {
        kmw_sync_page_release(page);
        return error;
    }
    born->page = page;
    return ERROR_SUCCESS;
}

/* The page of an object that others have made. */
static DWORD adopt(const kmw_sync_class *class, const kmw_named *named, kmw_sync_page **adopted) {
    kmw_sync_page *page = kmw_sync_page_of(named);
    if (page == NULL) {
        return kmw_error_of_errno(errno);
    }
    if (!class->is_sound(page)) {
        kmw_sync_page_release(page);
        return ERROR_INVALID_DATA;
    }
    *adopted = page;
    return ERROR_SUCCESS;
}

static HANDLE create_named(const kmw_sync_class *class, const kmw_sync_start *start,
                           const kmw_object_name *name, bool everybody, bool inherit) {
    newborn born = {.class = class, .start = start};
    const kmw_birth birth = {
        .kind = class->class.kind, .for_everybody = everybody, .prepare = prepare, .arg = &born};
    kmw_named named = no_name;
    bool existed = false;
    DWORD error = kmw_named_create(name, &birth, &named, &existed);
    kmw_sync_page *page = born.page;
    if (page != NULL && (existed || error != ERROR_SUCCESS)) {
        drop_page(class, page, start);
    }
    if (error == ERROR_SUCCESS && existed) {
        error = adopt(class, &named, &page);
        if (error != ERROR_SUCCESS) {
            kmw_named_close(&named);
        }
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    HANDLE handle = existed ? open_handle(class, page, &named, class->all, inherit)
                            : open_newborn(class, page, start, &named, inherit);
    if (handle != NULL) {
        SetLastError(existed ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    }
    return handle;
}

/* `named` is the outcome of parsing the name, which is freed here. */
static HANDLE create(const kmw_sync_class *class, const SECURITY_ATTRIBUTES *security,
                     const kmw_sync_start *start, DWORD parsed, kmw_object_name *name) {
    if (parsed != ERROR_SUCCESS) {
        SetLastError(parsed);
        return NULL;
    }
    bool everybody = false;
    bool inherit = false;
    HANDLE handle = NULL;
    DWORD error = kmw_security_read(security, &everybody, &inherit);
    kmw_fork_gate_close();
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
    } else if (name->text != NULL) {
        handle = create_named(class, start, name, everybody, inherit);
    } else {
        handle = create_unnamed(class, start, inherit);
        if (handle != NULL) {
            SetLastError(ERROR_SUCCESS);
        }
    }
    kmw_fork_gate_open();
    kmw_object_name_free(name);
    return handle;
}

HANDLE kmw_sync_create_a(const kmw_sync_class *class, const SECURITY_ATTRIBUTES *security,
                         const kmw_sync_start *start, LPCSTR name) {
    kmw_object_name parts;
    const DWORD parsed = kmw_object_name_from_utf8(name, &parts);
    return create(class, security, start, parsed, &parts);
}

HANDLE kmw_sync_create_w(const kmw_sync_class *class, const SECURITY_ATTRIBUTES *security,
                         const kmw_sync_start *start, LPCWSTR name) {
    kmw_object_name parts;
    const DWORD parsed = kmw_object_name_from_utf16(name, KMW_NAME_LIMIT, &parts);
    return create(class, security, start, parsed, &parts);
}

/* ---- Opening ---- */

static DWORD open_object(const kmw_sync_class *class, DWORD access, const kmw_object_name *name,
                         bool inherit, HANDLE *handle) {
    const DWORD rights = kmw_sync_rights(class, access);
    kmw_named named = no_name;
    kmw_sync_page *page = NULL;
    DWORD error = kmw_named_open(name, class->class.kind, &named);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = rights == 0 || (rights & ~class->all) != 0 ? ERROR_ACCESS_DENIED
                                                       : adopt(class, &named, &page);
    if (error != ERROR_SUCCESS) {
        kmw_named_close(&named);
        return error;
    }
    *handle = open_handle(class, page, &named, rights, inherit);
    return *handle != NULL ? ERROR_SUCCESS : GetLastError();
}

/* `parsed` is the outcome of parsing the name, which is freed here. */
static HANDLE open_parsed(const kmw_sync_class *class, DWORD access, BOOL inherit, DWORD parsed,
                          kmw_object_name *name) {
    HANDLE handle = NULL;
    DWORD error = parsed;
    if (parsed == ERROR_SUCCESS) {
        kmw_fork_gate_close();
        error = open_object(class, access, name, inherit != FALSE, &handle);
        kmw_fork_gate_open();
        kmw_object_name_free(name);
    }
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
    }
    return handle;
}

HANDLE kmw_sync_open_a(const kmw_sync_class *class, DWORD access, BOOL inherit, LPCSTR name) {
    kmw_object_name parts;
    DWORD error = kmw_object_name_to_open(name, name != NULL && name[0] == '\0');
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf8(name, &parts);
    }
    return open_parsed(class, access, inherit, error, &parts);
}

HANDLE kmw_sync_open_w(const kmw_sync_class *class, DWORD access, BOOL inherit, LPCWSTR name) {
    kmw_object_name parts;
    DWORD error = kmw_object_name_to_open(name, name != NULL && name[0] == 0);
    if (error == ERROR_SUCCESS) {
        error = kmw_object_name_from_utf16(name, KMW_NAME_LIMIT, &parts);
    }
    return open_parsed(class, access, inherit, error, &parts);
}
