/*
 * fuzz_reader.c - km_reader_open and its calls, km_inspect, km_verify and km_is_snapshot of a file.
 *
 * Options: 1 bit 0 two threads.
 */
#include <string.h>

#include "fuzz.h"
#include "snapshot_reader.h"

#define CHUNKS_MOST 64u

/* false: some chunk is damaged. */
static bool read_chunks(const km_reader *reader) {
    const uint64_t chunks = reader->footer.chunks;
    uint8_t *member = fuzz_allocate(km_reader_member_room(reader));
    uint8_t *raw = fuzz_allocate(km_reader_raw_room(reader));
    km_unpacker *unpacker = NULL;
    fuzz_check(km_unpacker_make(&unpacker) == KM_OK);
    bool good = true;
    for (uint64_t chunk = 0; chunk < chunks && chunk < CHUNKS_MOST; chunk++) {
        const uint8_t *packed = NULL;
        km_format_entry entry;
        km_reader_entry(reader, chunk, &entry);
        const km_status as_packed = km_reader_member(reader, chunk, member, &packed);
        const km_status as_raw = km_reader_chunk(reader, unpacker, chunk, member, raw);
        fuzz_check(as_packed == KM_OK || as_packed == KM_E_CORRUPT);
        fuzz_check(as_raw == KM_OK || as_raw == KM_E_CORRUPT);
        fuzz_check(as_raw != KM_OK || as_packed == KM_OK);
        good = good && as_raw == KM_OK;
    }
    km_unpacker_free(unpacker);
    free(raw);
    free(member);
    return good;
}

static void check_facts(const km_snapshot_facts *facts, const km_reader *reader, size_t length) {
    fuzz_check(facts->size == reader->footer.total && facts->packed_size == length);
    fuzz_check(facts->chunks == reader->footer.chunks);
    fuzz_check(facts->zero_chunks + facts->stored_chunks <= facts->chunks);
    fuzz_check(memchr(facts->type, '\0', sizeof facts->type) != NULL);
}

static void try_file(const fuzz_input *input, const char *path, const char *target) {
    (void)target;
    km_verify_options options = {.threads = 1 + (input->options[1] & 1u)};
    km_snapshot_facts facts = {.struct_size = sizeof facts};
    km_reader *reader = NULL;
    const km_status opened = km_reader_open(&reader, path);
    const km_status inspected = km_inspect(path, &facts);
    const km_status verified = km_verify(path, &options);
    options.flags = KM_VERIFY_QUICK;
    const km_status quick = km_verify(path, &options);
    fuzz_check(opened == KM_OK || opened == KM_E_CORRUPT);
    fuzz_check(inspected == opened);
    fuzz_check(verified == KM_OK || verified == KM_E_CORRUPT);
    fuzz_check(quick == KM_OK || quick == KM_E_CORRUPT);
    fuzz_check(opened == KM_OK || quick != KM_OK);
    fuzz_check(quick == KM_OK || verified != KM_OK);
    if (opened == KM_OK) {
        const bool good = read_chunks(reader);
        fuzz_check(good || verified != KM_OK);
        fuzz_check(!good || verified == KM_OK || reader->footer.chunks > CHUNKS_MOST);
        check_facts(&facts, reader, input->length);
        fuzz_check(km_is_snapshot(path));
    }
    km_reader_close(reader);
    (void)km_is_snapshot(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_file);
}
