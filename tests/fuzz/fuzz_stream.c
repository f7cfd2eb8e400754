/*
 * fuzz_stream.c - a snapshot that arrives in a stream: km_stream_*, and km_verify of it, which says
 * just what it says of the same bytes in a file.
 *
 * Options: 1 bit 0 two threads, bit 1 the hashes are told; 2 to 4 where the stream fails, 0: it
 * does not; 6 the stream's pieces (in steps of 8 bytes).
 */
#include "chunk.h"
#include "fuzz.h"
#include "snapshot_stream.h"

static fuzz_source stream_of(const fuzz_input *input) {
    return (fuzz_source){.bytes = input->snapshot,
                         .length = input->length,
                         .piece = (size_t)8 * input->options[6],
                         .fail_at = (size_t)fuzz_get(input->options + 2, 3)};
}

/* Its hash, as far as that is possible. */
static void tell_hash(km_stream *stream, km_unpacker *unpacker, uint64_t chunk,
                      const km_format_entry *entry, const uint8_t *packed) {
    uint8_t hash[KM_HASH_SIZE];
    uint8_t *raw = fuzz_allocate(entry->raw_length);
    if (km_unpack(unpacker, entry, packed, raw, NULL) == KM_CHUNK_GOOD) {
        km_hash(raw, entry->raw_length, km_stream_facts(stream)->seed, hash);
        km_stream_hashed(stream, chunk, hash);
    }
    free(raw);
}

static km_status read_members(const fuzz_input *input, km_stream *stream) {
    const uint32_t chunk_size = (uint32_t)1 << km_stream_facts(stream)->chunk_shift;
    uint8_t *packed = fuzz_allocate(km_format_packed_most(chunk_size));
    km_unpacker *unpacker = NULL;
    fuzz_check(km_unpacker_make(&unpacker) == KM_OK);
    uint64_t expected = 0;
    bool end = false;
    km_status status = KM_OK;
    while (status == KM_OK && !end) {
        uint64_t chunk = 0;
        km_format_entry entry;
        status = km_stream_next(stream, &chunk, &entry, packed, &end);
        if (status == KM_OK && !end) {
            fuzz_check(chunk == expected++ && entry.raw_length <= chunk_size);
            if ((input->options[1] & 2u) != 0) {
                tell_hash(stream, unpacker, chunk, &entry, packed);
            }
        }
    }
    if (status == KM_OK) {
        fuzz_check(km_stream_footer(stream)->chunks == expected);
        status = km_stream_check_hashes(stream);
    }
    km_unpacker_free(unpacker);
    free(packed);
    return status;
}

/* Member by member. */
static km_status read_stream(const fuzz_input *input) {
    fuzz_source source = stream_of(input);
    km_stream *stream = NULL;
    km_status status = km_stream_begin(fuzz_source_read, &source, &stream);
    if (status == KM_OK) {
        status = read_members(input, stream);
    }
    km_stream_end(stream);
    return status;
}

static km_status verify(const fuzz_input *input, const char *path, uint32_t flags) {
    fuzz_source source = stream_of(input);
    const km_verify_options options = {.threads = 1 + (input->options[1] & 1u),
                                       .flags = flags,
                                       .read = path == NULL ? fuzz_source_read : NULL,
                                       .read_arg = path == NULL ? &source : NULL};
    return km_verify(path, &options);
}

static void try_stream(const fuzz_input *input, const char *path, const char *target) {
    (void)target;
    const km_status members = read_stream(input);
    const km_status quick = verify(input, NULL, KM_VERIFY_QUICK);
    const km_status whole = verify(input, NULL, 0);
    const size_t fail_at = (size_t)fuzz_get(input->options + 2, 3);
    if (fail_at != 0 && fail_at <= input->length) {
        fuzz_check(whole == KM_E_IO || whole == KM_E_CORRUPT);
        fuzz_check(quick == KM_E_IO || quick == KM_E_CORRUPT);
        fuzz_check(members == KM_E_IO || members == KM_E_CORRUPT);
    } else {
        fuzz_check(whole == verify(input, path, 0));
        fuzz_check(quick == verify(input, path, KM_VERIFY_QUICK));
        fuzz_check(whole != KM_OK || members == KM_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_stream);
}
