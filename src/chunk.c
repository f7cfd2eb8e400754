/*
 * chunk.c - one chunk made into packed bytes, and back, with everything that is checked on the way.
 *
 * What a chunk of zeros packs to, sums to and hashes to is remembered for the last length that was
 * asked for: in a sparse image nearly every chunk of zeros is as long as the one before.
 */
#include "chunk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "status.h"
#include "stored.h"

/* A chunk of zeros, packed. */
typedef struct zeros_form {
    uint32_t raw_length;    /* 0: nothing is remembered */
    uint32_t packed_length; /* trailer included */
    uint64_t sum;
    uint8_t packed[KM_ZEROS_ROOM + KM_FORMAT_TRAILER_SIZE];
} zeros_form;

struct km_packer {
    const km_codec *codec; /* NULL: chunks are stored */
    void *state;
    zeros_form zeros;
};

struct km_unpacker {
    const km_codec *codec; /* NULL: none was built in */
    void *state;
    zeros_form zeros;
    uint32_t hashed_length; /* zeros_hash is that of so many zeros; 0: of none */
    uint64_t hashed_seed;
    uint8_t zeros_hash[KM_HASH_SIZE];
};

/* `raw`: raw_length zeros. */
static void need_zeros(zeros_form *zeros, const void *raw, uint32_t raw_length) {
    if (zeros->raw_length == raw_length) {
        return;
    }
    const size_t body = km_zeros_pack(raw_length, zeros->packed);
    km_format_trailer_write(km_crc32(0, raw, raw_length), raw_length, zeros->packed + body);
    zeros->packed_length = (uint32_t)body + KM_FORMAT_TRAILER_SIZE;
    zeros->sum = km_checksum(zeros->packed, zeros->packed_length);
    zeros->raw_length = raw_length;
}

/* ---- Packing ------------------------------------------------------------------------------- */

static km_status fail_memory(const char *doing) {
    return km_fail(KM_E_NO_MEMORY, "no memory to %s a snapshot's chunks", doing);
}

static km_status choose_codec(int level, km_packer *packer) {
    packer->codec = km_codec_for_level(level);
    const km_codec_result result =
        packer->codec == NULL ? KM_CODEC_ABSENT : packer->codec->pack_begin(level, &packer->state);
    if (result == KM_CODEC_ABSENT) {
        return km_fail(KM_E_UNSUPPORTED,
                       "cannot pack at level %d: keepmap was built without zlib, and stores only",
                       level);
    }
    return result == KM_CODEC_OK ? KM_OK : fail_memory("pack");
}

km_status km_packer_make(int level, km_packer **packer) {
    km_packer *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail_memory("pack");
    }
    const km_status status = level == 0 ? KM_OK : choose_codec(level, made);
    if (status != KM_OK) {
        free(made);
        return status;
    }
    *packer = made;
    return KM_OK;
}

void km_packer_free(km_packer *packer) {
    if (packer != NULL && packer->codec != NULL) {
        packer->codec->pack_end(packer->state);
    }
    free(packer);
}

/* false: they are not all zeros, or so few that another form is shorter. */
static bool pack_zeros(km_packer *packer, const void *raw, uint32_t raw_length, void *packed,
                       km_format_entry *entry) {
    zeros_form *zeros = &packer->zeros;
    if (raw_length == 0 || !km_zeros_are(raw, raw_length)) {
        return false;
    }
    need_zeros(zeros, raw, raw_length);
    if (zeros->packed_length >= km_format_packed_most(raw_length)) {
        return false;
    }
    memcpy(packed, zeros->packed, zeros->packed_length);
    entry->flags = KM_CHUNK_ZEROS;
    entry->packed_length = zeros->packed_length;
    entry->sum = zeros->sum;
    return true;
}

/* *body: the length of the deflate stream; 0: the stored form is not longer. */
static km_status deflate_chunk(km_packer *packer, const void *raw, uint32_t raw_length,
                               void *packed, size_t *body) {
    *body = 0;
    if (packer->codec == NULL || raw_length == 0) {
        return KM_OK;
    }
    const km_codec_result result = packer->codec->pack(packer->state, raw, raw_length, packed,
                                                       km_stored_length(raw_length) - 1, body);
    if (result == KM_CODEC_OK) {
        return KM_OK;
    }
    *body = 0;
    return result == KM_CODEC_NO_ROOM ? KM_OK : fail_memory("pack");
}

km_status km_pack(km_packer *packer, const void *raw, uint32_t raw_length, void *packed,
                  km_format_entry *entry) {
    if (pack_zeros(packer, raw, raw_length, packed, entry)) {
        entry->raw_length = raw_length;
        return KM_OK;
    }
    size_t body = 0;
    const km_status status = deflate_chunk(packer, raw, raw_length, packed, &body);
    if (status != KM_OK) {
        return status;
    }
    entry->flags = 0;
    if (body == 0) {
        body = km_stored_length(raw_length);
        km_stored_pack(raw, raw_length, packed);
        entry->flags = KM_CHUNK_STORED;
    }
    km_format_trailer_write(km_crc32(0, raw, raw_length), raw_length, (uint8_t *)packed + body);
    entry->raw_length = raw_length;
    entry->packed_length = (uint32_t)body + KM_FORMAT_TRAILER_SIZE;
    entry->sum = km_checksum(packed, entry->packed_length);
    return KM_OK;
}

/* ---- Unpacking ----------------------------------------------------------------------------- */

km_status km_unpacker_make(km_unpacker **unpacker) {
    km_unpacker *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail_memory("unpack");
    }
    made->codec = km_codec_for_unpacking();
    if (made->codec != NULL && made->codec->unpack_begin(&made->state) != KM_CODEC_OK) {
        free(made);
        return fail_memory("unpack");
    }
    *unpacker = made;
    return KM_OK;
}

void km_unpacker_free(km_unpacker *unpacker) {
    if (unpacker != NULL && unpacker->codec != NULL) {
        unpacker->codec->unpack_end(unpacker->state);
    }
    free(unpacker);
}

const char *km_chunk_state_text(km_chunk_state state) {
    switch (state) {
    case KM_CHUNK_GOOD:
        return "it is undamaged";
    case KM_CHUNK_BAD_SUM:
        return "its packed bytes are damaged";
    case KM_CHUNK_BAD_STREAM:
        return "its packed bytes are no deflate stream of its length and form";
    case KM_CHUNK_BAD_CRC:
        return "its bytes contradict their CRC-32 or their length";
    case KM_CHUNK_BAD_HASH:
        return "its bytes are not those of the index";
    case KM_CHUNK_NO_CODEC:
        return "it is compressed, and keepmap was built without zlib";
    case KM_CHUNK_NO_MEMORY:
        return "there is no memory to unpack it";
    }
    return "it is in an unknown state";
}

km_chunk_state km_packed_check(const km_format_entry *entry, const void *packed) {
    return km_checksum(packed, entry->packed_length) == entry->sum ? KM_CHUNK_GOOD
                                                                   : KM_CHUNK_BAD_SUM;
}

/* The form of zeros has its trailer in it: nothing but the hash is left to be looked at. */
static km_chunk_state unpack_zeros(km_unpacker *unpacker, const km_format_entry *entry,
                                   const void *packed, void *raw, const uint64_t *seed) {
    const uint32_t length = entry->raw_length;
    if (unpacker->zeros.raw_length != length) {
        memset(raw, 0, length);
        need_zeros(&unpacker->zeros, raw, length);
    }
    /* Looked at before `raw` is filled: a few bytes that only say so shall not cost 16 MiB each. */
    if (entry->packed_length != unpacker->zeros.packed_length ||
        memcmp(packed, unpacker->zeros.packed, entry->packed_length) != 0) {
        return KM_CHUNK_BAD_STREAM;
    }
    memset(raw, 0, length);
    if (seed == NULL) {
        return KM_CHUNK_GOOD;
    }
    if (unpacker->hashed_length != length || unpacker->hashed_seed != *seed) {
        km_hash(raw, length, *seed, unpacker->zeros_hash);
        unpacker->hashed_length = length;
        unpacker->hashed_seed = *seed;
    }
    return memcmp(unpacker->zeros_hash, entry->hash, KM_HASH_SIZE) == 0 ? KM_CHUNK_GOOD
                                                                        : KM_CHUNK_BAD_HASH;
}

static km_chunk_state unpack_body(km_unpacker *unpacker, const km_format_entry *entry,
                                  const void *packed, void *raw) {
    const size_t body = entry->packed_length - KM_FORMAT_TRAILER_SIZE;
    if (entry->flags == KM_CHUNK_STORED) {
        return km_stored_unpack(packed, body, raw, entry->raw_length) ? KM_CHUNK_GOOD
                                                                      : KM_CHUNK_BAD_STREAM;
    }
    if (unpacker->codec == NULL) {
        return KM_CHUNK_NO_CODEC;
    }
    switch (unpacker->codec->unpack(unpacker->state, packed, body, raw, entry->raw_length)) {
    case KM_CODEC_OK:
        return KM_CHUNK_GOOD;
    case KM_CODEC_NO_MEMORY:
        return KM_CHUNK_NO_MEMORY;
    default:
        return KM_CHUNK_BAD_STREAM;
    }
}

static km_chunk_state check_raw(const km_format_entry *entry, const void *packed, const void *raw,
                                const uint64_t *seed) {
    uint32_t crc = 0;
    uint32_t raw_length = 0;
    km_format_trailer_read((const uint8_t *)packed + entry->packed_length - KM_FORMAT_TRAILER_SIZE,
                           &crc, &raw_length);
    if (raw_length != entry->raw_length || crc != km_crc32(0, raw, raw_length)) {
        return KM_CHUNK_BAD_CRC;
    }
    if (seed == NULL) {
        return KM_CHUNK_GOOD;
    }
    uint8_t hash[KM_HASH_SIZE];
    km_hash(raw, raw_length, *seed, hash);
    return memcmp(hash, entry->hash, KM_HASH_SIZE) == 0 ? KM_CHUNK_GOOD : KM_CHUNK_BAD_HASH;
}

km_chunk_state km_unpack(km_unpacker *unpacker, const km_format_entry *entry, const void *packed,
                         void *raw, const uint64_t *seed) {
    km_chunk_state state = km_packed_check(entry, packed);
    if (state == KM_CHUNK_GOOD && entry->flags == KM_CHUNK_ZEROS) {
        return unpack_zeros(unpacker, entry, packed, raw, seed);
    }
    if (state == KM_CHUNK_GOOD) {
        state = unpack_body(unpacker, entry, packed, raw);
    }
    return state == KM_CHUNK_GOOD ? check_raw(entry, packed, raw, seed) : state;
}
