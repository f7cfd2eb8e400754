/*
 * codec.h - packing a chunk into deflate (RFC 1951) and back: the libraries that can, as one table.
 *
 * zlib is the one that is everywhere; ISA-L (fast) and libdeflate are used where they were present
 * at build time. Which of them serves a level, or unpacks, is chosen here, by measurement; the
 * bytes are deflate whichever it was. Without any of them chunks are only stored (stored.h).
 */
#ifndef KM_CODEC_H
#define KM_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

typedef enum km_codec_result {
    KM_CODEC_OK = 0,
    KM_CODEC_NO_ROOM, /* packing: more than `room` bytes; store the chunk instead */
    KM_CODEC_DAMAGED, /* unpacking: no deflate stream of exactly this length and result */
    KM_CODEC_NO_MEMORY,
    KM_CODEC_ABSENT, /* no library for it was built in */
} km_codec_result;

#define KM_CODEC_LEVEL_MAX 9
/* No raw or packed length given to a codec is over this; chunks have at most 2^24 bytes. */
#define KM_CODEC_LENGTH_MAX ((size_t)1 << 30)

/*
 * One library. State is made once for each thread, serves any number of chunks, whatever became of
 * the one before, and is used by one thread at a time.
 */
typedef struct km_codec {
    const char *name; /* "zlib", "ISA-L", "libdeflate" */
    /* Levels 1 to 9, of which a library with fewer makes its nearest. *state stays NULL after a
     * failure. */
    km_codec_result (*pack_begin)(int level, void **state);
    /* One whole deflate stream, final block included, of at most `room` bytes. */
    km_codec_result (*pack)(void *state, const void *raw, size_t raw_length, void *packed,
                            size_t room, size_t *packed_length);
    void (*pack_end)(void *state); /* NULL is fine */
    km_codec_result (*unpack_begin)(void **state);
    /* KM_CODEC_OK only if the stream ends with the last packed byte and gave raw_length bytes.
     * Hostile input is expected; what it writes stays inside raw_length bytes. */
    km_codec_result (*unpack)(void *state, const void *packed, size_t packed_length, void *raw,
                              size_t raw_length);
    void (*unpack_end)(void *state); /* NULL is fine */
    /* Its km_crc32. */
    uint32_t (*crc32)(uint32_t crc, const void *bytes, size_t length);
} km_codec;

/* Those that were built in; NULL-terminated, the one that is always right (zlib) first. */
const km_codec *const *km_codecs(void);

/* Which packs at `level` (1 to 9) and which unpacks; NULL if none was built in. */
const km_codec *km_codec_for_level(int level);
const km_codec *km_codec_for_unpacking(void);

/* The level for `level` KM_SNAPSHOT_LEVEL_DEFAULT: 1, or 0 where nothing packs. */
int km_codec_default_level(void);

/* CRC-32 as gzip has it (RFC 1952, section 8), by the fastest way there is; `crc` 0 to begin. */
uint32_t km_crc32(uint32_t crc, const void *bytes, size_t length);

/* The same without any library. */
uint32_t km_crc32_plain(uint32_t crc, const void *bytes, size_t length);

/* Each is there if its library was built in: ask km_codecs(). */
extern const km_codec km_codec_zlib;
extern const km_codec km_codec_isal;
extern const km_codec km_codec_libdeflate;

#endif /* KM_CODEC_H */
