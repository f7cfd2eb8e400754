/*
 * codec_isal.c - deflate by ISA-L, Intel's library of fast loops.
 */
#include "codec.h"

#include <stdlib.h>

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

/* Its own levels are 1 to 3. */
#define HIGHEST 3

typedef struct packer {
    struct isal_zstream stream;
    uint8_t *tables; /* what the level needs besides */
    uint32_t tables_size;
    uint32_t level;
} packer;

static const uint32_t tables_sizes[HIGHEST + 1] = {
    ISAL_DEF_LVL0_DEFAULT,
    ISAL_DEF_LVL1_DEFAULT,
    ISAL_DEF_LVL2_DEFAULT,
    ISAL_DEF_LVL3_DEFAULT,
};

static km_codec_result pack_begin(int level, void **state) {
    packer *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    made->level = (uint32_t)(level < HIGHEST ? level : HIGHEST);
    made->tables_size = tables_sizes[made->level];
    /* ISA-L looks at entries it has not made, before it finds that they are of no use. */
    made->tables = calloc(1, made->tables_size);
    if (made->tables == NULL) {
        free(made);
        return KM_CODEC_NO_MEMORY;
    }
    *state = made;
    return KM_CODEC_OK;
}

static km_codec_result pack(void *state, const void *raw, size_t raw_length, void *packed,
                            size_t room, size_t *packed_length) {
    packer *self = state;
    struct isal_zstream *stream = &self->stream;
    isal_deflate_init(stream);
    stream->level = self->level;
    stream->level_buf = self->tables;
    stream->level_buf_size = self->tables_size;
    stream->end_of_stream = 1;
    stream->next_in = (uint8_t *)raw; /* only read, whatever its type says */
    stream->avail_in = (uint32_t)raw_length;
    stream->next_out = packed;
    stream->avail_out = (uint32_t)room;
    if (isal_deflate(stream) != COMP_OK || stream->internal_state.state != ZSTATE_END) {
        return KM_CODEC_NO_ROOM;
    }
    *packed_length = room - stream->avail_out;
    return KM_CODEC_OK;
}

static void pack_end(void *state) {
    packer *self = state;
    if (self != NULL) {
        free(self->tables);
        free(self);
    }
}

static km_codec_result unpack_begin(void **state) {
    struct inflate_state *made = malloc(sizeof *made);
    if (made == NULL) {
        return KM_CODEC_NO_MEMORY;
    }
    *state = made;
    return KM_CODEC_OK;
}

static km_codec_result unpack(void *state, const void *packed, size_t packed_length, void *raw,
                              size_t raw_length) {
    struct inflate_state *stream = state;
    isal_inflate_init(stream);
    stream->next_in = (uint8_t *)packed; /* only read, whatever its type says */
    stream->avail_in = (uint32_t)packed_length;
    stream->next_out = raw;
    stream->avail_out = (uint32_t)raw_length;
    int result = isal_inflate_stateless(stream);
    bool exact = result == ISAL_DECOMP_OK && stream->block_state == ISAL_BLOCK_FINISH &&
                 stream->avail_in == 0 && stream->avail_out == 0;
    return exact ? KM_CODEC_OK : KM_CODEC_DAMAGED;
}

static void unpack_end(void *state) {
    free(state);
}

static uint32_t sum(uint32_t crc, const void *bytes, size_t length) {
    return crc32_gzip_refl(crc, bytes, length);
}

const km_codec km_codec_isal = {
    .name = "ISA-L",
    .pack_begin = pack_begin,
    .pack = pack,
    .pack_end = pack_end,
    .unpack_begin = unpack_begin,
    .unpack = unpack,
    .unpack_end = unpack_end,
    .crc32 = sum,
};
