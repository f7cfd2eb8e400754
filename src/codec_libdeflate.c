/*
 * codec_libdeflate.c - deflate by libdeflate, which works on whole chunks in memory.
 */
#include "codec.h"

#include <libdeflate.h>

/* Its own levels, 1 to 12: 8, 9 and 11 cost much and gain next to nothing. */
#if KM_WITH_ISAL
/* ISA-L serves the first two; between them and 2, which takes twice the time, is room for 1. */
static const int levels[KM_CODEC_LEVEL_MAX + 1] = {0, 1, 1, 1, 4, 5, 6, 7, 10, 12};
#else
static const int levels[KM_CODEC_LEVEL_MAX + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 12};
#endif

static km_codec_result pack_begin(int level, void **state) {
    void *compressor = libdeflate_alloc_compressor(levels[level]);
    if (compressor == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    *state = compressor;
    return KM_CODEC_OK;
}

static km_codec_result pack(void *state, const void *raw, size_t raw_length, void *packed,
                            size_t room, size_t *packed_length) {
    size_t length = libdeflate_deflate_compress(state, raw, raw_length, packed, room);
    if (length == 0) {
        return KM_CODEC_NO_ROOM;
    }
    *packed_length = length;
    return KM_CODEC_OK;
}

static void pack_end(void *state) {
    libdeflate_free_compressor(state);
}

static km_codec_result unpack_begin(void **state) {
    void *decompressor = libdeflate_alloc_decompressor();
    if (decompressor == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    *state = decompressor;
    return KM_CODEC_OK;
}

static km_codec_result unpack(void *state, const void *packed, size_t packed_length, void *raw,
                              size_t raw_length) {
    /* Where nobody asks how much came out, anything but raw_length bytes is an error. */
    size_t taken = 0;
    enum libdeflate_result result = libdeflate_deflate_decompress_ex(state, packed, packed_length,
                                                                     raw, raw_length, &taken, NULL);
    return result == LIBDEFLATE_SUCCESS && taken == packed_length ? KM_CODEC_OK : KM_CODEC_DAMAGED;
}

static void unpack_end(void *state) {
    libdeflate_free_decompressor(state);
}

static uint32_t sum(uint32_t crc, const void *bytes, size_t length) {
    /* A null pointer would ask libdeflate for the sum to begin with. */
    return length > 0 ? libdeflate_crc32(crc, bytes, length) : crc;
}

const km_codec km_codec_libdeflate = {
    .name = "libdeflate",
    .pack_begin = pack_begin,
    .pack = pack,
    .pack_end = pack_end,
    .unpack_begin = unpack_begin,
    .unpack = unpack,
    .unpack_end = unpack_end,
    .crc32 = sum,
};
