/*
 * map_reader.c - the bytes that a map shows, taken out of it: an error, never a signal.
 */
#include "map_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "contents.h"
#include "input.h"
#include "path.h"
#include "same_file.h"
#include "size.h"
#include "status.h"

bool km_map_reader_is_memory(const km_map_reader *reader) {
    const km_file *file = reader->map->file;
    return file->access == KM_PRIVATE || file->segment != NULL || file->contents != NULL;
}

/* ---- Sentences ----------------------------------------------------------------------------- */

/* The target as a sentence has it, in quotes if it has a name. */
typedef struct target_text {
    const char *before, *name, *after;
} target_text;

static target_text target_of(const km_map_reader *reader) {
    if (reader->target == NULL) {
        return (target_text){"", "a stream", ""};
    }
    return (target_text){"\"", reader->target, "\""};
}

km_status km_map_reader_fail(const km_map_reader *reader, DWORD error, const char *doing,
                             uint64_t done) {
    const target_text to = target_of(reader);
    return km_fail_system(
        error, "cannot %s \"%s\" to %s%s%s: %s failed after %" PRIu64 " of %" PRIu64 " bytes",
        reader->verb, reader->map->file->path, to.before, to.name, to.after, doing, done,
        reader->map->size);
}

km_status km_map_reader_fail_truncated(const km_map_reader *reader, uint64_t size) {
    const target_text to = target_of(reader);
    return km_fail(KM_E_TRUNCATED,
                   "cannot %s \"%s\" to %s%s%s: the %s was cut short to %" PRIu64
                   " bytes; the map needs %" PRIu64,
                   reader->verb, reader->map->file->path, to.before, to.name, to.after,
                   km_file_noun(reader->map->file), size, reader->map->offset + reader->map->size);
}

/* ---- The size ------------------------------------------------------------------------------ */

km_status km_map_reader_check_size(const km_map_reader *reader) {
    uint64_t size = 0;
    const DWORD error = km_file_size(reader->map->file, &size);
    if (error != ERROR_SUCCESS) {
        return km_map_reader_fail(reader, error, "asking for the size", 0);
    }
    return km_size_inside(reader->map->offset, reader->map->size, size)
               ? KM_OK
               : km_map_reader_fail_truncated(reader, size);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static km_status read_file(const km_map_reader *reader, uint64_t offset, char *to,
                           uint32_t length) {
    const uint64_t from = reader->map->offset + offset;
    size_t have = 0;
    const DWORD error = km_read_at(reader->map->file->handle, from, to, length, &have);
    if (error != ERROR_SUCCESS) {
        return km_map_reader_fail(reader, error, "reading", offset + have);
    }
    return have == length ? KM_OK : km_map_reader_fail_truncated(reader, from + have);
}

static km_status read_memory(const km_map_reader *reader, uint64_t offset, char *to,
                             uint32_t length) {
    const char *from = (const char *)reader->map->data + offset;
    SIZE_T have = 0;
    if (ReadProcessMemory(GetCurrentProcess(), from, to, length, &have) && have == length) {
        return KM_OK;
    }
    const DWORD error = GetLastError();
    km_status status = km_map_reader_check_size(reader); /* the usual reason of unreadable pages */
    return status != KM_OK ? status
                           : km_map_reader_fail(reader, error, "reading the memory", offset);
}

/*
 * How many bytes from `offset` on, `step` at most, are alike: usable, or (*usable false) reserved
 * by a plain SEC_RESERVE section and never committed.
 */
static uint32_t usable_step(const km_map_reader *reader, uint64_t offset, uint32_t step,
                            bool *usable) {
    MEMORY_BASIC_INFORMATION region;
    const char *from = (const char *)reader->map->data + offset;
    *usable = true;
    if (reader->map->file->segment == NULL || VirtualQuery(from, &region, sizeof region) == 0) {
        return step;
    }
    *usable = region.State == MEM_COMMIT;
    const uint64_t alike = (uint64_t)((const char *)region.BaseAddress + region.RegionSize - from);
    return alike < step ? (uint32_t)alike : step;
}

km_status km_map_reader_read(const km_map_reader *reader, uint64_t offset, void *to,
                             uint32_t length) {
    if (!km_map_reader_is_memory(reader)) {
        return read_file(reader, offset, to, length);
    }
    km_status status = km_contents_need(reader->map, offset, length);
    for (uint32_t done = 0; status == KM_OK && done < length;) {
        bool usable = true;
        const uint32_t step = usable_step(reader, offset + done, length - done, &usable);
        if (usable) {
            status = read_memory(reader, offset + done, (char *)to + done, step);
        } else {
            memset((char *)to + done, 0, step);
        }
        done += step;
    }
    return status;
}

/* ---- The target ---------------------------------------------------------------------------- */

km_status km_map_reader_refuse_itself(const km_map_reader *reader, const char *path) {
    const km_file *file = reader->map->file;
    WCHAR *native = NULL;
    if (file->segment != NULL || file->contents != NULL) {
        return KM_OK;
    }
    km_status status = km_path_to_native(path, &native);
    if (status != KM_OK) {
        return status;
    }
    /* If it leads nowhere there is none, or the draft finds out what is wrong with it. */
    if (km_path_leads_to(native, file->handle)) {
        status = km_fail(KM_E_BUSY, "cannot replace \"%s\" by a %s of itself: it is mapped", path,
                         reader->verb);
    }
    free(native);
    return status;
}
