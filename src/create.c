/*
 * create.c - making the file that km_open was asked for.
 *
 * It is laid out, mapped and initialised as a draft, and only then gets its name: nobody sees half
 * of it. Everything that can fail for want of memory or disk happens before.
 */
#include "open.h"

#include <stdlib.h>

#include "publish.h"
#include "same_file.h"
#include "size.h"
#include "status.h"

km_status km_open_initialise(km_map *map, HANDLE section, const km_options *options) {
    if (options->init == NULL) {
        return KM_OK;
    }
    void *data = map->data;
    if (map->window && options->size > 0) {
        if (!km_size_addressable(options->size)) {
            return km_fail_mapping(map->file, ERROR_NOT_ENOUGH_MEMORY, 0, options->size);
        }
        data = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, (SIZE_T)options->size);
        if (data == NULL) {
            return km_fail_mapping(map->file, GetLastError(), 0, options->size);
        }
    }
    km_status status = options->init(data, options->size, options->init_arg);
    if (status != KM_OK) {
        status = km_fail(status, "cannot make \"%s\": its init function returned %s",
                         map->file->path, km_strerror(status));
    }
    if (data != NULL && data != map->data) {
        UnmapViewOfFile(data);
    }
    return status;
}

/*
 * The draft's handle may delete, so it keeps out every program that does not share deletion, as
 * most do not: an ordinary one takes its place. Where none can be had (its permissions forbid it,
 * the name leads elsewhere already) the draft's own will do.
 */
static void settle_handle(km_file *file) {
    HANDLE ordinary = CreateFileW(file->native_path, GENERIC_READ | GENERIC_WRITE,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                  OPEN_EXISTING, km_open_file_flags(file->flags), NULL);
    if (ordinary == INVALID_HANDLE_VALUE) {
        return;
    }
    if (!km_same_file(ordinary, file->handle)) {
        CloseHandle(ordinary);
        return;
    }
    CloseHandle(file->handle);
    file->handle = ordinary;
}

/* The view was made through the draft's handle, which knew nothing of the flags. */
static void pass_on_advice(const km_map *map, uint32_t flags) {
    if (map->view == NULL || (flags & (KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL)) == 0) {
        return;
    }
    uint64_t length = (uint64_t)((char *)map->data - (char *)map->view) + map->size;
    km_advice advice = (flags & KM_OPEN_RANDOM) != 0 ? KM_ADVICE_RANDOM : KM_ADVICE_SEQUENTIAL;
    (void)km_platform_advise(map->view, length, advice, false); /* speed only */
}

/* On success file->handle is the published file's. On failure the draft is still there. */
static km_status make_draft(km_map *map, const km_options *options, km_draft *draft, bool *taken) {
    km_file *file = map->file;
    file->handle = draft->file;
    km_status status = km_open_lay_out(map, options, 0, options->size);
    if (status != KM_OK) {
        return status;
    }
    pass_on_advice(map, options->flags);
    status = km_open_initialise(map, map->section, options);
    if (status != KM_OK) {
        return status;
    }
    status = km_draft_publish(draft, false, &file->handle);
    *taken = status == KM_E_EXISTS;
    return status;
}

km_status km_open_create(km_map *map, const km_options *options, bool *taken) {
    km_file *file = map->file;
    const bool sole = (options->flags & KM_OPEN_SOLE) != 0;
    km_status status = km_open_check_window(file, options, options->size);
    if (status != KM_OK) {
        return status;
    }
    /* Where the name will really stand, also after a change of directory: km_flush makes it
     * durable. */
    WCHAR *resolved = NULL;
    DWORD error = km_platform_resolve(file->native_path, &resolved);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot make \"%s\"", file->path);
    }
    km_draft draft;
    status = km_draft_begin(
        &draft, &km_io_default, file->path, options->permissions,
        sole ? FILE_SHARE_DELETE : FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, false);
    if (status != KM_OK) {
        *taken = status == KM_E_EXISTS;
        free(resolved);
        return status;
    }
    status = make_draft(map, options, &draft, taken);
    if (status != KM_OK) {
        (void)km_map_discard(map); /* what failed first is what there is to tell */
        file->handle = INVALID_HANDLE_VALUE;
        km_draft_abandon(&draft);
        free(resolved);
        return status;
    }
    km_draft_abandon(&draft);

    free(file->native_path);
    file->native_path = resolved;
    map->created = true;
    atomic_store(&file->entry_unsynced, true);
    if (!sole) {
        settle_handle(file);
    }
    return KM_OK;
}
