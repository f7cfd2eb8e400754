/*
 * fuzz_chunk.c - km_unpack of any entry and packed bytes, and every codec on the same bytes.
 *
 * Options: 0 bits 0 and 1 the chunk's flags, bit 2 the CRC-32 is made right, bit 3 the hash too,
 * bit 4 no hash is asked for; 1 to 3 the raw length, of which
 * more bits than RAW_MOST has would only take time; 4 to 7 the seed. The rest is the body.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checksum.h"
#include "chunk.h"
#include "codec.h"
#include "fuzz.h"
#include "stored.h"

#define RAW_MOST 0x3ffffu
#define MAKE_CRC 4u
#define MAKE_HASH 8u
#define NO_HASH 16u

/* Memory with no other behind it: the libraries were not compiled with a sanitizer. */
typedef struct guarded {
    uint8_t *bytes;
    void *whole;
    size_t whole_length;
} guarded;

static guarded guard(size_t length) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (length + page - 1) / page * page;
    guarded made = {.whole_length = room + page};
    made.whole =
        mmap(NULL, made.whole_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fuzz_check(made.whole != MAP_FAILED);
    fuzz_check(mprotect((uint8_t *)made.whole + room, page, PROT_NONE) == 0);
    made.bytes = (uint8_t *)made.whole + room - length;
    return made;
}

static void unguard(const guarded *memory) {
    fuzz_check(munmap(memory->whole, memory->whole_length) == 0);
}

static bool unpack_with(const km_codec *codec, const uint8_t *body, size_t length, uint8_t *raw,
                        uint32_t raw_length) {
    void *state = NULL;
    fuzz_check(codec->unpack_begin(&state) == KM_CODEC_OK);
    const km_codec_result result = codec->unpack(state, body, length, raw, raw_length);
    fuzz_check(result == KM_CODEC_OK || result == KM_CODEC_DAMAGED);
    codec->unpack_end(state);
    return result == KM_CODEC_OK;
}

/* What the first one unpacks, which is always right, the others unpack too. They are a little more
 * lenient (libdeflate, where a code has but one symbol); whoever unpacks it, the bytes at *raw are
 * the same. */
static bool unpack_with_all(const uint8_t *body, size_t length, uint8_t *raw, uint32_t raw_length) {
    const km_codec *const *codecs = km_codecs();
    bool first_is_good = false;
    bool good = false;
    const guarded packed = guard(length);
    memcpy(packed.bytes, body, length);
    for (size_t i = 0; codecs[i] != NULL; i++) {
        const guarded other = guard(raw_length);
        const bool this_is_good =
            unpack_with(codecs[i], packed.bytes, length, other.bytes, raw_length);
        first_is_good = i == 0 ? this_is_good : first_is_good;
        fuzz_check(this_is_good || !first_is_good);
        if (this_is_good) {
            fuzz_check(!good || memcmp(raw, other.bytes, raw_length) == 0);
            memcpy(raw, other.bytes, raw_length);
            good = true;
        }
        unguard(&other);
    }
    unguard(&packed);
    return good;
}

/* Unpacks it in the one way that there is; false: no way. */
static bool expected(const km_format_entry *entry, const uint8_t *body, uint8_t *raw) {
    const size_t length = entry->packed_length - KM_FORMAT_TRAILER_SIZE;
    if (entry->flags == KM_CHUNK_STORED) {
        return km_stored_unpack(body, length, raw, entry->raw_length);
    }
    if (entry->flags == KM_CHUNK_ZEROS) {
        memset(raw, 0, entry->raw_length);
        return true;
    }
    return unpack_with_all(body, length, raw, entry->raw_length);
}

static void try_chunk(const uint8_t *options, const uint8_t *body, size_t length) {
    const uint64_t seed = fuzz_get(options + 4, 4);
    km_format_entry entry = {
        .raw_length = (uint32_t)fuzz_get(options + 1, 3) & RAW_MOST,
        .packed_length = (uint32_t)length + KM_FORMAT_TRAILER_SIZE,
        .flags = options[0] & 3u,
    };
    uint8_t bytes[KM_FORMAT_ENTRY_SIZE];
    km_format_entry read;
    km_format_entry_write(&entry, bytes);
    if (!km_format_entry_read(bytes, &read)) {
        return;
    }
    uint8_t *packed = fuzz_allocate(entry.packed_length);
    uint8_t *raw = fuzz_allocate(entry.raw_length);
    uint8_t *unpacked = fuzz_allocate(entry.raw_length);
    memcpy(packed, body, length);
    km_format_trailer_write(0, entry.raw_length, packed + length);
    const bool good = expected(&entry, packed, raw);
    const bool make_crc = (options[0] & MAKE_CRC) != 0;
    const bool make_hash = (options[0] & MAKE_HASH) != 0;
    if (good && make_crc) {
        km_format_trailer_write(km_crc32_plain(0, raw, entry.raw_length), entry.raw_length,
                                packed + length);
    }
    if (good && make_hash) {
        km_hash(raw, entry.raw_length, seed, entry.hash);
    }
    entry.sum = km_checksum(packed, entry.packed_length);
    km_unpacker *unpacker = NULL;
    fuzz_check(km_unpacker_make(&unpacker) == KM_OK);
    const bool ask = (options[0] & NO_HASH) == 0;
    const km_chunk_state state = km_unpack(unpacker, &entry, packed, unpacked, ask ? &seed : NULL);
    km_unpacker_free(unpacker);
    fuzz_check(state != KM_CHUNK_BAD_SUM && state != KM_CHUNK_NO_MEMORY);
    if (state == KM_CHUNK_GOOD) {
        fuzz_check(good && memcmp(raw, unpacked, entry.raw_length) == 0);
    } else if (entry.flags != KM_CHUNK_ZEROS && state != KM_CHUNK_BAD_STREAM) {
        fuzz_check(!make_crc || (ask && !make_hash));
    }
    free(unpacked);
    free(raw);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= FUZZ_OPTIONS) {
        try_chunk(data, data + FUZZ_OPTIONS, size - FUZZ_OPTIONS);
    }
    return 0;
}
