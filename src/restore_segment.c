/*
 * restore_segment.c - a new segment filled from a snapshot before anybody else can open it.
 */
#include "restore.h"

#include <inttypes.h>
#include <string.h>

#include "map.h"
#include "options.h"
#include "size.h"
#include "status.h"

/* What goes into the segment, and why it did not: km_segment tells of a failed init in a sentence
 * of its own. */
typedef struct filling {
    km_reader *reader;
    km_status status;
    km_failure failure;
} filling;

static km_status fill(void *data, uint64_t size, void *arg) {
    filling *with = arg;
    with->status = km_restore_reader(with->reader, 0, data, size, km_pool_threads(0));
    if (with->status != KM_OK) {
        km_failure_keep(&with->failure);
    }
    return with->status;
}

/*
 * A segment is made by who may write it. Whoever asks for another access gets a second map of it,
 * and the first is closed: it is never without a holder.
 */
static km_status reopen(km_map **map, const char *name, const km_options *options) {
    km_options again = *options;
    km_map *first = *map;
    again.flags &= ~(uint32_t)(KM_OPEN_NEW | KM_OPEN_CREATE);
    const km_status status = km_segment(map, name, &again);
    (void)km_close(first);
    if (status == KM_OK) {
        (*map)->created = true;
    }
    return status;
}

static km_status make(km_map **map, const char *name, const km_options *options, filling *with) {
    km_options making = *options;
    km_map *made = NULL;
    making.flags &= ~(uint32_t)KM_OPEN_CREATE;
    making.flags |= KM_OPEN_NEW;
    making.access = name != NULL ? KM_WRITE : options->access;
    making.init = fill;
    making.init_arg = with;
    km_status status = km_segment(&made, name, &making);
    if (status != KM_OK && with->status != KM_OK) {
        km_failure_restore(&with->failure);
        return with->status;
    }
    if (status == KM_OK && making.access != options->access) {
        status = reopen(&made, name, options);
    }
    if (status == KM_OK) {
        *map = made;
    }
    return status;
}

static km_status check_options(const km_map *const *map, const km_options *options) {
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "there is no place for the map: it is NULL");
    }
    if (options->size != 0 || options->init != NULL || options->init_arg != NULL) {
        return km_fail(KM_E_INVALID, "km_restore_segment: size and init of the km_options have to "
                                     "be 0: they follow from the snapshot");
    }
    return KM_OK;
}

km_status km_restore_segment(km_map **map, const char *snapshot, const char *name,
                             const km_options *options) {
    km_options wanted;
    filling with = {.status = KM_OK};
    km_status status = km_struct_read(options, sizeof wanted, sizeof wanted, &wanted, "km_options");
    if (status == KM_OK) {
        status = check_options((const km_map *const *)map, &wanted);
    }
    if (status == KM_OK) {
        status = km_reader_open(&with.reader, snapshot);
    }
    if (status != KM_OK) {
        return status;
    }
    const km_format_facts *facts = &with.reader->facts;
    if (wanted.type == NULL && wanted.type_version == 0 && facts->type[0] != '\0') {
        wanted.type = facts->type;
        wanted.type_version = facts->type_version;
    }
    wanted.size = facts->total;
    if (wanted.size > 0) {
        status = make(map, name, &wanted, &with);
    } else {
        status = km_fail(KM_E_INVALID,
                         "cannot make a segment of \"%s\": its image is empty, and no segment is",
                         with.reader->path);
    }
    km_reader_close(with.reader);
    return status;
}
