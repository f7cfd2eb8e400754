/*
 * platform_objects_posix.c - the named objects in platform.h, on POSIX: their files on shared
 * memory, and who has those open.
 */
#include "platform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "named_object.h"
#include "object_holders.h"

typedef struct collection {
    km_platform_object *objects;
    kmw_holders *files; /* of the same objects */
    size_t count;
    size_t room;
    DWORD error;
} collection;

static bool kind_of(uint32_t kind, km_object_kind *result) {
    switch (kind) {
    case KMW_SECTION:
        *result = KM_OBJECT_SECTION;
        return true;
    case KMW_EVENT:
        *result = KM_OBJECT_EVENT;
        return true;
    case KMW_MUTEX:
        *result = KM_OBJECT_MUTEX;
        return true;
    case KMW_SEMAPHORE:
        *result = KM_OBJECT_SEMAPHORE;
        return true;
    default:
        return false;
    }
}

static bool make_room(collection *all) {
    if (all->count < all->room) {
        return true;
    }
    const size_t room = all->room == 0 ? 16 : 2 * all->room;
    km_platform_object *objects = realloc(all->objects, room * sizeof *objects);
    if (objects == NULL) {
        return false;
    }
    all->objects = objects;
    kmw_holders *files = realloc(all->files, room * sizeof *files);
    if (files == NULL) {
        return false;
    }
    all->files = files;
    all->room = room;
    return true;
}

/* Read, not mapped: whoever owns the file can cut it short at any moment. */
static bool read_tail(const kmw_listed *listed, unsigned char *tail) {
    const kmw_object_header *header = listed->header;
    if (header->kind != KMW_SECTION || header->data_size < KM_PLATFORM_TAIL) {
        return false;
    }
    const uint64_t at = header->data_offset + header->data_size - KM_PLATFORM_TAIL;
    return pread(listed->descriptor, tail, KM_PLATFORM_TAIL, (off_t)at) ==
           (ssize_t)KM_PLATFORM_TAIL;
}

static bool collect(const kmw_listed *listed, void *arg) {
    collection *all = arg;
    const kmw_object_header *header = listed->header;
    km_platform_object object = {
        .machine_wide = listed->global,
        .size = KM_SIZE_UNKNOWN,
        .created_ns = header->created_ns,
        .creator = (uint32_t)header->creator,
        .owner = (uint32_t)listed->owner,
    };
    if (!kind_of(header->kind, &object.kind)) {
        return true;
    }
    if (object.kind == KM_OBJECT_SECTION) {
        object.size = header->exact_size;
        object.section_size = header->data_size;
        object.has_tail = read_tail(listed, object.tail);
    }
    object.name = make_room(all) ? strdup(listed->name) : NULL;
    if (object.name == NULL) {
        all->error = ERROR_NOT_ENOUGH_MEMORY;
        return false;
    }
    all->files[all->count] = (kmw_holders){.device = listed->device, .inode = listed->inode};
    all->objects[all->count++] = object;
    return true;
}

static DWORD find_holders(collection *all) {
    const DWORD error = kmw_find_holders(all->files, all->count);
    for (size_t i = 0; i < all->count; i++) {
        all->objects[i].holders = all->files[i].processes;
        all->objects[i].holder_count = all->files[i].count;
        all->objects[i].holders_complete = all->files[i].complete;
    }
    return error;
}

DWORD km_platform_objects(km_platform_object **objects, size_t *count) {
    collection all = {0};
    DWORD error = kmw_named_list(collect, &all);
    if (error == ERROR_SUCCESS) {
        error = all.error;
    }
    if (error == ERROR_SUCCESS) {
        error = find_holders(&all);
    }
    free(all.files);
    if (error != ERROR_SUCCESS) {
        km_platform_objects_free(all.objects, all.count);
        return error;
    }
    *objects = all.objects;
    *count = all.count;
    return ERROR_SUCCESS;
}

void km_platform_objects_free(km_platform_object *objects, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(objects[i].name);
        free(objects[i].holders);
    }
    free(objects);
}
