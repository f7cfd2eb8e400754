/*
 * codec.c - which library serves what. The choices are those of tests/bench/bench_codec.c.
 */
#include "codec.h"

static const km_codec *const built_in[] = {
#if KM_WITH_ZLIB
    &km_codec_zlib,
#endif
#if KM_WITH_LIBDEFLATE
    &km_codec_libdeflate,
#endif
#if KM_WITH_ISAL
    &km_codec_isal,
#endif
    NULL,
};

/* ISA-L is by far the fastest to pack and to sum; libdeflate packs better and unpacks fastest. */
#if KM_WITH_ISAL
static const km_codec *const fast = &km_codec_isal;
#elif KM_WITH_LIBDEFLATE
static const km_codec *const fast = &km_codec_libdeflate;
#elif KM_WITH_ZLIB
static const km_codec *const fast = &km_codec_zlib;
#else
static const km_codec *const fast = NULL;
#endif

#if KM_WITH_LIBDEFLATE
#define STRONG (&km_codec_libdeflate)
#define UNPACKER (&km_codec_libdeflate)
#elif KM_WITH_ZLIB
#define STRONG (&km_codec_zlib)
#define UNPACKER fast
#else
#define STRONG fast
#define UNPACKER fast
#endif

#define FAST_LEVELS 2 /* the levels from 1 up that the fast one serves */

const km_codec *const *km_codecs(void) {
    return built_in;
}

const km_codec *km_codec_for_level(int level) {
    return level <= FAST_LEVELS ? fast : STRONG;
}

const km_codec *km_codec_for_unpacking(void) {
    return UNPACKER;
}

int km_codec_default_level(void) {
    return fast != NULL ? 1 : 0;
}

uint32_t km_crc32(uint32_t crc, const void *bytes, size_t length) {
    return fast != NULL ? fast->crc32(crc, bytes, length) : km_crc32_plain(crc, bytes, length);
}
