/*
 * segment.c - km_segment: the options and the name, and the mapping of a segment found or made.
 *
 * How makers and openers keep out of each other's way is told in segment_open.c.
 */
#include "segment.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "options.h"
#include "size.h"
#include "status.h"

#define KNOWN_FLAGS                                                                                \
    (KM_OPEN_CREATE | KM_OPEN_NEW | KM_OPEN_EXACT | KM_OPEN_SOLE | KM_OPEN_SPARSE |                \
     KM_OPEN_RANDOM | KM_OPEN_SEQUENTIAL | KM_OPEN_MACHINE_WIDE)

/* With the longest prefix and KM_SEGMENT_SUFFIX it is still within the 259 units that every system
 * takes for the name of a mutex. */
#define LONGEST_NAME 240

/* What sentences call a segment that has no name. */
#define NO_NAME "(anonymous segment)"

#define OTHERS_PERMISSIONS 077u

static uint64_t page_size(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwPageSize;
}

/* ---- Opening what is there ------------------------------------------------------------------- */

static km_status check_type(const km_file *file, const km_options *options) {
    const km_segment_state *state = file->segment;
    if (options->type == NULL) {
        return KM_OK;
    }
    if (!state->described || state->record.type[0] == '\0') {
        return km_fail(KM_E_MISMATCH,
                       "cannot open the segment \"%s\" as \"%s\" version %" PRIu32 ": it %s",
                       file->path, options->type, options->type_version,
                       state->described ? "has no type" : "is a plain section, without a type");
    }
    if (strcmp(options->type, state->record.type) != 0 ||
        options->type_version != state->record.type_version) {
        return km_fail(KM_E_MISMATCH,
                       "cannot open the segment \"%s\" as \"%s\" version %" PRIu32
                       ": it is \"%s\" version %" PRIu32,
                       file->path, options->type, options->type_version, state->record.type,
                       state->record.type_version);
    }
    return KM_OK;
}

static km_status check_size(const km_file *file, const km_options *options) {
    const uint64_t size = file->segment->size;
    if ((options->flags & KM_OPEN_EXACT) != 0 && size != options->size) {
        return km_fail(KM_E_MISMATCH,
                       "cannot open \"%s\" as a segment of exactly %" PRIu64
                       " bytes: it has %" PRIu64,
                       file->path, options->size, size);
    }
    if (size < options->size) {
        return km_fail(KM_E_TRUNCATED,
                       "cannot open \"%s\" as a segment of at least %" PRIu64
                       " bytes: it has %" PRIu64,
                       file->path, options->size, size);
    }
    return km_open_check_window(file, options, size);
}

static km_status view_data(km_map *map, const km_options *options) {
    const uint64_t size = map->file->segment->size;
    const uint64_t length = options->length != 0 ? options->length : size - options->offset;
    const DWORD error = km_map_view(map, map->file->handle, options->offset, length, NULL);
    return error == ERROR_SUCCESS ? KM_OK
                                  : km_fail_mapping(map->file, error, options->offset, length);
}

km_status km_segment_adopt(km_map *map, const km_options *options, const km_sight *sight) {
    km_file *file = map->file;
    km_segment_state *state = file->segment;
    file->handle = sight->section;
    state->described = sight->verdict == KM_RECORD_WHOLE;
    state->section_size = sight->section_size;
    state->size = state->described ? sight->record.size : sight->section_size;
    state->record = state->described ? sight->record : (km_record){0};
    km_status status = check_type(file, options);
    if (status == KM_OK) {
        status = check_size(file, options);
    }
    return status == KM_OK ? view_data(map, options) : status;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static uint32_t next_serial(void) {
    static atomic_uint last;
    return (uint32_t)atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static void describe(km_segment_state *state, const km_options *options) {
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    km_record *record = &state->record;
    *record = (km_record){
        .size = options->size,
        .section_size = state->section_size,
        .type_version = options->type_version,
        .flags = (options->permissions & OTHERS_PERMISSIONS) != 0 ? KM_RECORD_EVERYBODY : 0,
        .creator = GetCurrentProcessId(),
        .serial = next_serial(),
        .created = km_size_join(now.dwHighDateTime, now.dwLowDateTime),
    };
    if (options->type != NULL) {
        memcpy(record->type, options->type, strlen(options->type));
    }
    km_record_seal(record);
    state->size = options->size;
    state->described = true;
}

static km_status fail_making(const km_file *file, DWORD error, const km_options *options) {
    if (error == ERROR_INVALID_HANDLE) {
        return km_fail_system_as(KM_E_INVALID, error,
                                 "cannot make the segment \"%s\": an object of another kind has "
                                 "its name",
                                 file->path);
    }
    const km_status status = km_status_of_error(error);
    uint64_t available = 0;
    const char *limit = NULL;
    if (error == ERROR_COMMITMENT_LIMIT && km_platform_refused_memory(&available, &limit)) {
        return km_fail_system_as(status, error,
                                 "cannot make the segment \"%s\" with %" PRIu64 " bytes: %" PRIu64
                                 " may be had (%s)",
                                 file->path, options->size, available, limit);
    }
    return km_fail_system(error, "cannot make the segment \"%s\" with %" PRIu64 " bytes",
                          file->path, options->size);
}

/* The section, which is ours to close if this fails; *taken: there was one. */
static DWORD make_section(const km_file *file, const km_options *options, HANDLE *section,
                          bool *taken) {
    km_everybody storage;
    SECURITY_ATTRIBUTES *security =
        km_segment_security((options->permissions & OTHERS_PERMISSIONS) != 0, &storage);
    const uint64_t size = file->segment->section_size;
    HANDLE made = CreateFileMappingW(INVALID_HANDLE_VALUE, security, PAGE_READWRITE | SEC_COMMIT,
                                     km_size_high(size), km_size_low(size), file->native_path);
    const DWORD error = GetLastError();
    if (made == NULL) {
        return error;
    }
    *taken = error == ERROR_ALREADY_EXISTS;
    if (*taken) {
        CloseHandle(made);
    } else {
        *section = made;
    }
    return ERROR_SUCCESS;
}

/* All that the new section holds; that it is ready comes last. */
static km_status fill(km_map *map, const km_options *options) {
    km_file *file = map->file;
    void *end = NULL;
    uint64_t length = 0;
    describe(file->segment, options);
    DWORD error = km_segment_view_end(file, FILE_MAP_WRITE, &end, &length);
    if (error == ERROR_SUCCESS) {
        error = km_segment_write_record(end, length, &file->segment->record);
    }
    km_status status = KM_OK;
    if (error != ERROR_SUCCESS) {
        status = fail_making(file, error, options);
        goto cleanup;
    }
    status = view_data(map, options);
    if (status == KM_OK) {
        status = km_open_initialise(map, file->handle, options);
    }
    if (status == KM_OK) {
        error = km_segment_write_ready(end, length);
        status = error == ERROR_SUCCESS ? KM_OK : fail_making(file, error, options);
        file->segment->record.ready = KM_RECORD_READY;
    }

cleanup:
    if (end != NULL) {
        UnmapViewOfFile(end);
    }
    return status;
}

km_status km_segment_make(km_map *map, const km_options *options, bool *taken) {
    km_file *file = map->file;
    HANDLE section = NULL;
    *taken = false;
    if (!km_record_section_size(options->size, page_size(), &file->segment->section_size) ||
        !km_size_addressable(options->size)) {
        return km_fail(KM_E_TOO_LARGE,
                       "\"%s\" cannot have %" PRIu64
                       " bytes: that is more than any segment can have",
                       file->path, options->size);
    }
    km_status status = km_open_check_window(file, options, options->size);
    if (status != KM_OK) {
        return status;
    }
    const DWORD error = make_section(file, options, &section, taken);
    if (error != ERROR_SUCCESS) {
        return fail_making(file, error, options);
    }
    if (*taken) {
        return KM_OK;
    }
    file->handle = section;
    status = fill(map, options);
    if (status != KM_OK) {
        (void)km_map_discard(map); /* what failed first is what there is to tell */
        CloseHandle(section);
        file->handle = INVALID_HANDLE_VALUE;
        return status;
    }
    map->created = true;
    return KM_OK;
}

/* ---- km_segment ------------------------------------------------------------------------------ */

static km_status check_type_option(const km_options *options) {
    if (options->type == NULL) {
        return options->type_version == 0
                   ? KM_OK
                   : km_fail(KM_E_INVALID, "km_options.type_version needs a km_options.type");
    }
    const size_t length = strnlen(options->type, KM_TYPE_SIZE);
    if (length == 0 || length == KM_TYPE_SIZE) {
        return km_fail(KM_E_INVALID, "km_options.type has to have 1 to %d bytes", KM_TYPE_SIZE - 1);
    }
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, options->type, -1, NULL, 0) == 0) {
        return km_fail_system_as(KM_E_INVALID, GetLastError(), "km_options.type is not UTF-8");
    }
    return km_record_is_type(options->type)
               ? KM_OK
               : km_fail(KM_E_INVALID, "km_options.type has characters that cannot be shown");
}

static km_status check_options(const char *name, const km_options *options) {
    const bool makes = name == NULL || (options->flags & (KM_OPEN_CREATE | KM_OPEN_NEW)) != 0;
    if (options->reserve != 0) {
        return km_fail(KM_E_INVALID, "km_options.reserve is for files: no segment grows");
    }
    if ((options->flags & (KM_OPEN_SOLE | KM_OPEN_SPARSE)) != 0) {
        return km_fail(KM_E_UNSUPPORTED, "%s is for files: a segment %s",
                       (options->flags & KM_OPEN_SOLE) != 0 ? "KM_OPEN_SOLE" : "KM_OPEN_SPARSE",
                       (options->flags & KM_OPEN_SOLE) != 0 ? "is there to be shared"
                                                            : "has all its memory from the start");
    }
    if (name == NULL && options->access != KM_WRITE) {
        return km_fail(KM_E_INVALID, "an anonymous segment is always a new one: it needs KM_WRITE");
    }
    if (name == NULL && (options->flags & KM_OPEN_MACHINE_WIDE) != 0) {
        return km_fail(KM_E_INVALID, "KM_OPEN_MACHINE_WIDE needs a name");
    }
    if (makes && options->size == 0) {
        return km_fail(KM_E_INVALID, "a segment that is made needs a km_options.size");
    }
    return check_type_option(options);
}

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text);
    const size_t tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The name as Win32 knows it. */
static km_status native_name(const char *name, bool machine_wide, WCHAR **native) {
    enum { MOST_BYTES = LONGEST_NAME * 3 };
    const char *prefix = machine_wide ? "Global\\" : "Local\\";
    const char *wrong = NULL;
    if (name[0] == '\0') {
        wrong = "it is empty";
    } else if (strchr(name, '\\') != NULL) {
        wrong = "it has a backslash";
    } else if (ends_with(name, KM_SEGMENT_SUFFIX)) {
        wrong = "it ends in \"" KM_SEGMENT_SUFFIX "\"";
    } else if (strnlen(name, MOST_BYTES + 1) > MOST_BYTES ||
               MultiByteToWideChar(CP_UTF8, 0, name, -1, NULL, 0) > LONGEST_NAME + 1) {
        wrong = "it is longer than 240 units";
    }
    if (wrong != NULL) {
        return km_fail(KM_E_INVALID, "\"%s\" cannot be the name of a segment: %s", name, wrong);
    }
    const DWORD error = km_segment_text(prefix, name, "", native);
    if (error == ERROR_NO_UNICODE_TRANSLATION) {
        return km_fail_system_as(KM_E_INVALID, error, "the segment's name \"%s\" is not UTF-8",
                                 name);
    }
    return error == ERROR_SUCCESS ? KM_OK
                                  : km_fail_system(error, "no memory for a segment \"%s\"", name);
}

/* A map of the segment, neither opened nor mapped yet; NULL, and *status, if there is none. */
static km_map *new_segment(const char *name, const km_options *options, km_status *status) {
    const char *title = name != NULL ? name : NO_NAME;
    WCHAR *native = NULL;
    km_map *made = NULL;
    km_segment_state *state = NULL;
    *status = KM_OK;
    if (name != NULL) {
        *status = native_name(name, (options->flags & KM_OPEN_MACHINE_WIDE) != 0, &native);
    }
    if (*status != KM_OK) {
        return NULL;
    }
    state = calloc(1, sizeof *state);
    if (state == NULL) {
        *status = km_fail(KM_E_NO_MEMORY, "no memory for a map of \"%s\"", title);
        goto failed;
    }
    *status = km_map_new(&made, title, native, options);
    if (*status != KM_OK) {
        goto failed;
    }
    made->file->segment = state;
    return made;

failed:
    free(native);
    free(state);
    return NULL;
}

km_status km_segment(km_map **map, const char *name, const km_options *options) {
    km_options known;
    km_status status = km_open_read_options(options, KNOWN_FLAGS, &known);
    if (status == KM_OK) {
        status = check_options(name, &known);
    }
    if (status != KM_OK) {
        return status;
    }
    if (map == NULL) {
        return km_fail(KM_E_INVALID, "there is no place for the map: it is NULL");
    }
    km_map *opened = new_segment(name, &known, &status);
    if (opened == NULL) {
        return status;
    }
    bool taken = false;
    status =
        name != NULL ? km_segment_open(opened, &known) : km_segment_make(opened, &known, &taken);
    if (status != KM_OK) {
        (void)km_close(opened);
        return status;
    }
    *map = opened;
    return KM_OK;
}
