/*
 * image.c - the bytes of an image, piece by piece: of a plain file, or out of a snapshot.
 */
#include "image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "status.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

km_status km_image_open(km_image *image, const char *path, bool plain) {
    km_image opened = {.path = path};
    bool is_snapshot = false;
    km_status status = km_input_open(&opened.input, path, SHARE_ALL, "for comparing");
    if (status != KM_OK) {
        return status;
    }
    opened.size = opened.input.size;
    status = plain ? KM_OK : km_input_looks_like_snapshot(&opened.input, &is_snapshot);
    if (status == KM_OK && is_snapshot) {
        km_input_close(&opened.input);
        status = km_reader_open(&opened.reader, path);
        opened.size = status == KM_OK ? opened.reader->footer.total : 0;
    }
    if (status != KM_OK) {
        km_image_close(&opened);
        return status;
    }
    *image = opened;
    return KM_OK;
}

void km_image_close(km_image *image) {
    if (image->path == NULL) {
        return;
    }
    km_reader_close(image->reader);
    image->reader = NULL;
    km_input_close(&image->input);
}

static km_status fail_truncated(const km_image *image, uint64_t size) {
    return km_fail(KM_E_TRUNCATED,
                   "\"%s\" was cut short to %" PRIu64 " of %" PRIu64 " bytes while it was compared",
                   image->path, size, image->size);
}

km_status km_image_check(const km_image *image) {
    LARGE_INTEGER size;
    if (image->reader != NULL) {
        return KM_OK; /* its chunks are checked one by one */
    }
    if (!GetFileSizeEx(image->input.file, &size)) {
        return km_fail_system(GetLastError(), "cannot find out the size of \"%s\"", image->path);
    }
    return (uint64_t)size.QuadPart >= image->size ? KM_OK
                                                  : fail_truncated(image, (uint64_t)size.QuadPart);
}

uint32_t km_image_chunk_size(const km_image *image) {
    return image->reader == NULL ? 0 : (uint32_t)1 << image->reader->footer.chunk_shift;
}

/* ---- Holes --------------------------------------------------------------------------------- */

static bool chunks_are_zeros(const km_reader *reader, uint64_t offset, uint64_t length) {
    const uint8_t shift = reader->footer.chunk_shift;
    for (uint64_t chunk = offset >> shift; chunk <= (offset + length - 1) >> shift; chunk++) {
        km_format_entry entry;
        km_reader_entry(reader, chunk, &entry);
        if ((entry.flags & KM_CHUNK_ZEROS) == 0) {
            return false;
        }
    }
    return true;
}

km_status km_image_is_hole(km_image *image, uint64_t offset, uint64_t length, bool *is_hole) {
    if (image->reader != NULL) {
        *is_hole = chunks_are_zeros(image->reader, offset, length);
        return KM_OK;
    }
    if (offset >= image->data_end) {
        const DWORD error = km_platform_next_data(image->input.file, offset, image->size,
                                                  &image->data_start, &image->data_end);
        if (error != ERROR_SUCCESS) {
            return km_fail_system(error, "cannot look for holes in \"%s\"", image->path);
        }
    }
    *is_hole = image->data_start >= offset + length;
    return KM_OK;
}

uint64_t km_image_next_data(const km_image *image, uint64_t offset) {
    return image->reader == NULL && image->data_start > offset ? image->data_start : offset;
}

/* ---- Bytes --------------------------------------------------------------------------------- */

km_status km_image_space_make(const km_image *image, km_image_space *space) {
    km_image_space made = {.member = NULL};
    if (image->reader != NULL) {
        const size_t room = km_reader_member_room(image->reader);
        const km_status status = km_unpacker_make(&made.unpacker);
        if (status != KM_OK) {
            return status;
        }
        made.member = malloc(room);
        if (made.member == NULL) {
            km_unpacker_free(made.unpacker);
            return km_fail(KM_E_NO_MEMORY, "no memory to read chunks of \"%s\": %zu bytes wanted",
                           image->path, room);
        }
    }
    *space = made;
    return KM_OK;
}

void km_image_space_free(km_image_space *space) {
    km_unpacker_free(space->unpacker);
    free(space->member);
    *space = (km_image_space){.member = NULL};
}

static km_status read_chunks(const km_reader *reader, const km_image_space *space, uint64_t offset,
                             uint32_t length, uint8_t *to) {
    const uint8_t shift = reader->footer.chunk_shift;
    const uint64_t first = offset >> shift;
    for (uint64_t chunk = first; length > 0 && chunk <= (offset + length - 1) >> shift; chunk++) {
        km_format_entry entry;
        uint8_t *at = to + (size_t)((chunk - first) << shift);
        km_reader_entry(reader, chunk, &entry);
        if ((entry.flags & KM_CHUNK_ZEROS) != 0) {
            memset(at, 0, entry.raw_length);
            continue;
        }
        const km_status status = km_reader_chunk(reader, space->unpacker, chunk, space->member, at);
        if (status != KM_OK) {
            return status;
        }
    }
    return KM_OK;
}

km_status km_image_read(const km_image *image, const km_image_space *space, uint64_t offset,
                        uint32_t length, uint8_t *to) {
    size_t got = 0;
    if (image->reader != NULL) {
        return read_chunks(image->reader, space, offset, length, to);
    }
    const km_status status = km_input_read(&image->input, offset, to, length, &got);
    return status != KM_OK || got == length ? status : fail_truncated(image, offset + got);
}
