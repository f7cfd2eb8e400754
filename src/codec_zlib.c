/*
 * codec_zlib.c - deflate by zlib.
 */
#include "codec.h"

#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

/* A negative number of window bits is zlib's word for deflate without a wrapper. */
#define RAW_DEFLATE (-MAX_WBITS)
#define USUAL_MEMORY 8

/* zlib refuses a null pointer even where there is nothing to read or to write. */
static const Bytef nothing_to_read;

/* zlib's memory comes from the allocator of everything else here. */
static voidpf take(voidpf unused, uInt items, uInt size) {
    (void)unused;
    return calloc(items, size);
}

static void give_back(voidpf unused, voidpf memory) {
    (void)unused;
    free(memory);
}

static z_stream *new_stream(void) {
    z_stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->zalloc = take;
        stream->zfree = give_back;
    }
    return stream;
}

static km_codec_result pack_begin(int level, void **state) {
    z_stream *stream = new_stream();
    if (stream == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    if (deflateInit2(stream, level, Z_DEFLATED, RAW_DEFLATE, USUAL_MEMORY, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(stream);
        return KM_CODEC_NO_MEMORY;
    }
    *state = stream;
    return KM_CODEC_OK;
}

static km_codec_result pack(void *state, const void *raw, size_t raw_length, void *packed,
                            size_t room, size_t *packed_length) {
    z_stream *stream = state;
    if (room == 0 || deflateReset(stream) != Z_OK) {
        return KM_CODEC_NO_ROOM;
    }
    stream->next_in = raw_length > 0 ? raw : &nothing_to_read;
    stream->avail_in = (uInt)raw_length;
    stream->next_out = packed;
    stream->avail_out = (uInt)room;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END) {
        return KM_CODEC_NO_ROOM;
    }
    *packed_length = room - stream->avail_out;
    return KM_CODEC_OK;
}

static void pack_end(void *state) {
    if (state != NULL) {
        deflateEnd(state);
        free(state);
    }
}

static km_codec_result unpack_begin(void **state) {
    z_stream *stream = new_stream();
    if (stream == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    if (inflateInit2(stream, RAW_DEFLATE) != Z_OK) {
        free(stream);
        return KM_CODEC_NO_MEMORY;
    }
    *state = stream;
    return KM_CODEC_OK;
}

static km_codec_result unpack(void *state, const void *packed, size_t packed_length, void *raw,
                              size_t raw_length) {
    z_stream *stream = state;
    Bytef nothing_to_write;
    if (packed_length == 0 || inflateReset(stream) != Z_OK) {
        return KM_CODEC_DAMAGED;
    }
    stream->next_in = packed;
    stream->avail_in = (uInt)packed_length;
    stream->next_out = raw_length > 0 ? raw : &nothing_to_write;
    stream->avail_out = (uInt)raw_length;
    int result = inflate(stream, Z_FINISH);
    if (result == Z_MEM_ERROR) {
        return KM_CODEC_NO_MEMORY;
    }
    bool exact = result == Z_STREAM_END && stream->avail_in == 0 && stream->avail_out == 0;
    return exact ? KM_CODEC_OK : KM_CODEC_DAMAGED;
}

static void unpack_end(void *state) {
    if (state != NULL) {
        inflateEnd(state);
        free(state);
    }
}

static uint32_t sum(uint32_t crc, const void *bytes, size_t length) {
    /* A null pointer would ask zlib for the sum to begin with. */
    return length > 0 ? (uint32_t)crc32_z(crc, bytes, length) : crc;
}

const km_codec km_codec_zlib = {
    .name = "zlib",
    .pack_begin = pack_begin,
    .pack = pack,
    .pack_end = pack_end,
    .unpack_begin = unpack_begin,
    .unpack = unpack,
    .unpack_end = unpack_end,
    .crc32 = sum,
};
