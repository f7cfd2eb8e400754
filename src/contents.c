/*
 * contents.c - maps of a snapshot's contents, filled at once or when they are touched.
 */
#include "contents.h"

#include <inttypes.h>
#include <stdlib.h>

#include "chunk.h"
#include "platform.h"
#include "restore.h"
#include "size.h"
#include "snapshot_reader.h"
#include "status.h"

/* What is unpacked sooner than a thread is started and its first chunk asked for. */
#define NOT_WORTH_WAITING ((uint64_t)1 << 20)

struct km_contents {
    km_reader *reader;
};

/* One map's lazy memory and what fills it, which is used by one thread at a time. */
struct km_lazy_view {
    km_lazy_memory *memory; /* whole chunks, the last one as long as it is */
    const km_reader *reader;
    km_unpacker *unpacker;
    void *member;
    uint64_t first_chunk;
    DWORD process; /* whose memory it is: a child made by fork has not got it */
};

km_status km_contents_open(const char *path, km_contents **contents) {
    km_contents *made = malloc(sizeof *made);
    if (made == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory for a map of \"%s\"", path);
    }
    *made = (km_contents){.reader = NULL};
    km_status status = km_reader_open(&made->reader, path);
    if (status != KM_OK) {
        free(made);
        return status;
    }
    *contents = made;
    return KM_OK;
}

void km_contents_close(km_contents *contents) {
    if (contents != NULL) {
        km_reader_close(contents->reader);
        free(contents);
    }
}

uint64_t km_contents_size(const km_contents *contents) {
    return contents->reader->footer.total;
}

static uint64_t chunk_size(const km_reader *reader) {
    return (uint64_t)1 << reader->footer.chunk_shift;
}

/* ---- Filled when it is touched -------------------------------------------------------------- */

static bool fill_chunk(void *arg, uint64_t chunk, void *to, size_t chunk_length) {
    const km_lazy_view *lazy = arg;
    const uint64_t number = lazy->first_chunk + chunk;
    km_format_entry entry;
    km_reader_entry(lazy->reader, number, &entry);
    /* The memory was cut into the very chunks of the snapshot. */
    return entry.raw_length == chunk_length &&
           km_reader_chunk(lazy->reader, lazy->unpacker, number, lazy->member, to) == KM_OK;
}

static void lazy_free(km_lazy_view *lazy) {
    if (lazy->memory != NULL) {
        km_platform_lazy_free(lazy->memory);
    }
    km_unpacker_free(lazy->unpacker);
    free(lazy->member);
    free(lazy);
}

static km_status lazy_make(const km_reader *reader, uint64_t first_chunk, km_lazy_view **lazy) {
    km_lazy_view *made = malloc(sizeof *made);
    void *member = malloc(km_reader_member_room(reader));
    if (made == NULL || member == NULL) {
        free(made);
        free(member);
        return km_fail(KM_E_NO_MEMORY, "no memory to unpack \"%s\"", reader->path);
    }
    *made = (km_lazy_view){.reader = reader,
                           .member = member,
                           .first_chunk = first_chunk,
                           .process = GetCurrentProcessId()};
    km_status status = km_unpacker_make(&made->unpacker);
    if (status != KM_OK) {
        lazy_free(made);
        return status;
    }
    *lazy = made;
    return KM_OK;
}

/* *mapped stays false where the system has no such memory. */
static km_status view_lazily(km_map *map, uint64_t offset, uint64_t length, bool *mapped) {
    const km_reader *reader = map->file->contents->reader;
    const uint64_t start = km_size_align_down(offset, chunk_size(reader));
    uint64_t end = 0;
    if (!km_size_align_up(offset + length, chunk_size(reader), &end) ||
        end > reader->footer.total) {
        end = reader->footer.total;
    }
    km_lazy_view *lazy = NULL;
    km_status status = lazy_make(reader, start >> reader->footer.chunk_shift, &lazy);
    if (lazy == NULL) {
        return status;
    }
    void *base = NULL;
    const DWORD error = km_platform_lazy_make(end - start, (uint32_t)chunk_size(reader),
                                              map->file->access == KM_PRIVATE, fill_chunk, lazy,
                                              &lazy->memory, &base);
    if (error != ERROR_SUCCESS) {
        lazy_free(lazy);
        return error == ERROR_NOT_SUPPORTED ? KM_OK
                                            : km_fail_mapping(map->file, error, offset, length);
    }
    map->lazy = lazy;
    map->view = base;
    map->data = (char *)base + (offset - start);
    map->offset = offset;
    map->size = length;
    *mapped = true;
    return KM_OK;
}

void km_contents_drop(km_map *map) {
    if (map->lazy != NULL) {
        lazy_free(map->lazy);
        map->lazy = NULL;
        map->view = NULL;
    }
}

/* The chunk that could not be had, in a sentence of this thread's. */
static km_status explain(const km_reader *reader, uint64_t first, uint64_t last) {
    void *member = malloc(km_reader_member_room(reader));
    void *raw = malloc(km_reader_raw_room(reader));
    km_unpacker *unpacker = NULL;
    km_status status = member != NULL && raw != NULL
                           ? km_unpacker_make(&unpacker)
                           : km_fail(KM_E_NO_MEMORY, "no memory to unpack \"%s\"", reader->path);
    for (uint64_t chunk = first; status == KM_OK && chunk <= last; chunk++) {
        status = km_reader_chunk(reader, unpacker, chunk, member, raw);
    }
    if (status == KM_OK) { /* it can be had now, but touching it goes on to fail */
        status = km_fail(KM_E_IO,
                         "a chunk of \"%s\" among %" PRIu64 " to %" PRIu64
                         " could not be unpacked when it was first touched",
                         reader->path, first, last);
    }
    km_unpacker_free(unpacker);
    free(member);
    free(raw);
    return status;
}

km_status km_contents_need(const km_map *map, uint64_t offset, uint64_t length) {
    const km_lazy_view *lazy = map->lazy;
    if (lazy == NULL || length == 0) {
        return KM_OK;
    }
    const uint64_t lead = (uint64_t)((const char *)map->data - (const char *)map->view);
    if (km_platform_lazy_fill(lazy->memory, lead + offset, length)) {
        return KM_OK;
    }
    if (lazy->process != GetCurrentProcessId()) {
        return km_fail(KM_E_INVALID,
                       "\"%s\" is mapped by the process that this one was forked from: what it "
                       "holds is there only",
                       lazy->reader->path);
    }
    const uint8_t shift = lazy->reader->footer.chunk_shift;
    return explain(lazy->reader, lazy->first_chunk + ((lead + offset) >> shift),
                   lazy->first_chunk + ((lead + offset + length - 1) >> shift));
}

/* ---- Filled at once ------------------------------------------------------------------------- */

static km_status unpack_into(const km_map *map, HANDLE section, uint64_t offset, uint64_t length) {
    void *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, (SIZE_T)length);
    if (view == NULL) {
        return km_fail_mapping(map->file, GetLastError(), offset, length);
    }
    const km_status status =
        km_restore_reader(map->file->contents->reader, offset, view, length, km_pool_threads(0));
    UnmapViewOfFile(view);
    return status;
}

/* The section lives as long as the view: its handle is not needed any more. */
static km_status view_at_once(km_map *map, uint64_t offset, uint64_t length) {
    if (!km_size_addressable(length)) {
        return km_fail_mapping(map->file, ERROR_NOT_ENOUGH_MEMORY, offset, length);
    }
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                        km_size_high(length), km_size_low(length), NULL);
    if (section == NULL) {
        return km_fail_mapping(map->file, GetLastError(), offset, length);
    }
    km_status status = unpack_into(map, section, offset, length);
    if (status == KM_OK) {
        const DWORD error = km_map_view(map, section, 0, length, NULL);
        map->offset = offset;
        status = error == ERROR_SUCCESS ? KM_OK : km_fail_mapping(map->file, error, offset, length);
    }
    CloseHandle(section);
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------ */

km_status km_contents_view(km_map *map, uint64_t offset, uint64_t length) {
    bool mapped = false;
    km_status status = KM_OK;
    if (length > NOT_WORTH_WAITING && (map->file->flags & KM_OPEN_SEQUENTIAL) == 0) {
        status = view_lazily(map, offset, length, &mapped);
    }
    if (status != KM_OK || mapped) {
        return status;
    }
    return view_at_once(map, offset, length);
}

km_status km_contents_ask(const km_map *map, km_size_report *facts) {
    const km_reader *reader = map->file->contents->reader;
    LARGE_INTEGER now;
    DWORD error = GetFileSizeEx(reader->input.file, &now) ? ERROR_SUCCESS : GetLastError();
    if (error == ERROR_SUCCESS) {
        error = km_platform_allocated(reader->input.file, &facts->allocated);
    }
    if (error == ERROR_SUCCESS) {
        error = km_platform_disk_free(reader->input.file, &facts->disk_free);
    }
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "cannot learn the sizes of \"%s\"", reader->path);
    }
    facts->declared = reader->footer.total;
    facts->actual = reader->footer.total;
    facts->mapped = map->size;
    facts->expected = (map->file->flags & KM_OPEN_EXACT) != 0 ? atomic_load(&map->file->expected)
                                                              : KM_SIZE_UNKNOWN;
    if ((uint64_t)now.QuadPart != reader->input.size) {
        facts->findings |= KM_SIZE_MISMATCH;
        if ((uint64_t)now.QuadPart < reader->input.size) {
            facts->findings |= KM_SIZE_TRUNCATED;
        }
    }
    return KM_OK;
}

km_status km_contents_judge(const km_map *map, const km_size_report *facts) {
    if ((facts->findings & KM_SIZE_MISMATCH) == 0) {
        return KM_OK;
    }
    const bool is_shorter = (facts->findings & KM_SIZE_TRUNCATED) != 0;
    return km_fail(is_shorter ? KM_E_TRUNCATED : KM_E_MISMATCH,
                   "the snapshot \"%s\" has become %s than the %" PRIu64
                   " bytes that it had when it was opened",
                   map->file->path, is_shorter ? "shorter" : "longer",
                   map->file->contents->reader->input.size);
}
