/*
 * fuzz_open.c - km_open_snapshot, lazy and all at once, and km_read of every part.
 *
 * Options: 1 bit 0 KM_PRIVATE, 1 KM_OPEN_SEQUENTIAL, 2 a window, 3 backwards, 4 a copy; 2 and 3 the
 * offset and 4 and 5 the length (in steps of 37 bytes); 6 the pieces that are read (in steps of 700
 * bytes).
 */
#include <string.h>

#include "fuzz.h"

#define STEP 37u
#define PIECE_STEP 700u
#define PIECES_MOST 100u

typedef struct trial {
    const uint8_t *options;
    const char *snapshot;
    const char *target;
    bool good;       /* it verifies */
    fuzz_sink image; /* then this is what it holds */
    uint64_t offset; /* of the map, in the image */
} trial;

static bool is_wanted(const trial *at, unsigned bit) {
    return (at->options[1] >> bit & 1u) != 0;
}

/* One piece: it is the image's, or it is damaged. */
static bool read_piece(const trial *at, const km_map *map, uint64_t image_offset, uint64_t offset,
                       uint8_t *to, size_t length) {
    const km_status status = km_read(map, offset, to, length);
    fuzz_check(status == KM_OK || (!at->good && status == KM_E_CORRUPT));
    if (at->good) {
        fuzz_check(image_offset + offset + length <= at->image.length);
        fuzz_check(memcmp(to, at->image.bytes + image_offset + offset, length) == 0);
    }
    return status == KM_OK;
}

/* Pieces from all over the map; each has the same answer whenever it is asked for. */
static void read_all(const trial *at, const km_map *map, uint64_t image_offset) {
    const uint64_t size = km_size(map);
    const size_t piece = 1 + PIECE_STEP * (size_t)at->options[6];
    const uint64_t wanted = size / piece + 1;
    const uint64_t pieces = wanted < PIECES_MOST ? wanted : PIECES_MOST;
    const uint64_t step = wanted < PIECES_MOST ? piece : size / PIECES_MOST;
    uint8_t *bytes = fuzz_allocate(piece);
    for (uint64_t i = 0; i < pieces; i++) {
        const uint64_t offset = (is_wanted(at, 3) ? pieces - 1 - i : i) * step;
        const uint64_t left = size - offset;
        const size_t length = left < piece ? (size_t)left : piece;
        if (length > 0) {
            const bool first = read_piece(at, map, image_offset, offset, bytes, length);
            const bool second = read_piece(at, map, image_offset, offset, bytes, length);
            fuzz_check(first == second);
        }
    }
    free(bytes);
}

/* Of the image, wherever in it the map is. */
static void try_window(const trial *at, km_map *map) {
    const uint64_t offset = km_size(map) / 3;
    const uint64_t length = km_size(map) - offset - km_size(map) / 5;
    km_map *window = NULL;
    if (length == 0) {
        return;
    }
    const km_status status = km_window(&window, map, offset, length);
    fuzz_check(status == KM_OK || (!at->good && status == KM_E_CORRUPT));
    if (status == KM_OK) {
        read_all(at, window, offset);
        fuzz_check(km_close(window) == KM_OK);
    }
}

/* What was stored is read back; nobody else sees it. */
static void try_store(const trial *at, km_map *map) {
    static const char word[] = "stored";
    char back[sizeof word];
    const uint64_t offset = km_size(map) / 2;
    if (km_size(map) - offset < sizeof word) {
        return;
    }
    const km_status status = km_write(map, offset, word, sizeof word);
    fuzz_check(status == KM_OK || (!at->good && status == KM_E_CORRUPT));
    if (status == KM_OK) {
        fuzz_check(km_read(map, offset, back, sizeof word) == KM_OK);
        fuzz_check(memcmp(word, back, sizeof word) == 0);
    }
}

static void try_copy(const trial *at, km_map *map) {
    const km_status status = km_copy(map, at->target, NULL);
    fuzz_check(status == KM_OK || (!at->good && status == KM_E_CORRUPT));
    fuzz_check(fuzz_file_exists(at->target) == (status == KM_OK));
    fuzz_file_remove(at->target);
}

static void try_map(const trial *at) {
    km_map *map = NULL;
    const km_options options = {
        .access = is_wanted(at, 0) ? KM_PRIVATE : KM_READ,
        .flags = is_wanted(at, 1) ? KM_OPEN_SEQUENTIAL : 0,
        .offset = at->offset,
        .length = STEP * fuzz_get(at->options + 4, 2),
    };
    const km_status status = km_open_snapshot(&map, at->snapshot, &options);
    if (status != KM_OK) {
        fuzz_check(status == KM_E_CORRUPT || status == KM_E_TRUNCATED || status == KM_E_NO_MEMORY);
        fuzz_check(!at->good || status == KM_E_TRUNCATED);
        return;
    }
    read_all(at, map, at->offset);
    if (is_wanted(at, 2)) {
        try_window(at, map);
    }
    if (is_wanted(at, 4)) {
        try_copy(at, map);
    }
    if (options.access == KM_PRIVATE) {
        try_store(at, map);
    }
    fuzz_check(km_close(map) == KM_OK);
}

static void try_snapshot(const fuzz_input *input, const char *snapshot, const char *target) {
    trial at = {.options = input->options,
                .snapshot = snapshot,
                .target = target,
                .offset = STEP * fuzz_get(input->options + 2, 2)};
    at.good = fuzz_image(snapshot, &at.image) == KM_OK;
    try_map(&at);
    free(at.image.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_snapshot);
}
