/*
 * list.c - km_list: everything that has a name now, and what segments say of themselves.
 */
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#include "platform.h"
#include "record.h"
#include "size.h"
#include "status.h"

_Static_assert(KM_PLATFORM_TAIL == KM_RECORD_SIZE, "what is fetched is where a record would be");

static int by_name(const void *one, const void *other) {
    const km_platform_object *a = one;
    const km_platform_object *b = other;
    const int names = strcmp(a->name, b->name);
    return names != 0 ? names : (int)a->machine_wide - (int)b->machine_wide;
}

static int by_number(const void *one, const void *other) {
    const uint32_t a = *(const uint32_t *)one;
    const uint32_t b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

/* What the system knows goes before what the record says; the record knows the exact size. */
static void believe_record(const km_record *record, km_object *object) {
    object->described = true;
    object->size = record->size;
    if (object->created_ns == KM_TIME_UNKNOWN) {
        object->created_ns = km_record_created_ns(record);
    }
    if (object->creator == KM_ID_UNKNOWN) {
        object->creator = record->creator;
    }
    if (record->type[0] != '\0') {
        object->type = record->type;
        object->type_version = record->type_version;
    }
}

static bool show(km_platform_object *found, km_object_function each, void *arg) {
    km_record record;
    km_object object = {
        .struct_size = sizeof object,
        .kind = found->kind,
        .name = found->name,
        .machine_wide = found->machine_wide,
        .holders_complete = found->holders_complete,
        .size = found->size,
        .created_ns = found->created_ns,
        .creator = found->creator,
        .owner = found->owner,
        .holder_count = found->holder_count,
        .holders = found->holders,
    };
    if (found->has_tail) {
        memcpy(&record, found->tail, sizeof record);
        if (km_record_judge(&record, found->section_size) == KM_RECORD_WHOLE) {
            believe_record(&record, &object);
        }
    }
    if (found->holder_count > 1) {
        qsort(found->holders, found->holder_count, sizeof *found->holders, by_number);
    }
    return each(&object, arg);
}

km_status km_list(km_object_function each, void *arg) {
    km_platform_object *objects = NULL;
    size_t count = 0;
    if (each == NULL) {
        return km_fail(KM_E_INVALID, "km_list needs a function to call");
    }
    const DWORD error = km_platform_objects(&objects, &count);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot list the named objects");
    }
    if (count > 1) {
        qsort(objects, count, sizeof *objects, by_name);
    }
    for (size_t i = 0; i < count && show(&objects[i], each, arg); i++) {
    }
    km_platform_objects_free(objects, count);
    return KM_OK;
}
