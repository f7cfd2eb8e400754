/*
 * fuzz_restore.c - km_restore and km_restore_memory, every way from and to: all say the same, and
 * leave nothing half made.
 *
 * Options: 1 bit 0 two threads, bit 1 to a file, 2 a range to a file, 3 from a stream to a file,
 * 4 from a stream to a stream, 5 to memory, 6 in place; 2 and 3 the range's offset, 4 and 5 its
 * length (both in steps of 37 bytes), 6 the stream's pieces (in steps of 8 bytes).
 */
#include <string.h>

#include "fuzz.h"

#define STEP 37u

typedef struct trial {
    const fuzz_input *input;
    const char *snapshot;
    const char *target;
    uint32_t threads;
    km_status whole; /* what the first way said */
    fuzz_sink image; /* and gave */
} trial;

static bool is_wanted(const trial *at, unsigned bit) {
    return (at->input->options[1] >> bit & 1u) != 0;
}

static fuzz_source stream_of(const trial *at) {
    return (fuzz_source){.bytes = at->input->snapshot,
                         .length = at->input->length,
                         .piece = (size_t)8 * at->input->options[6]};
}

static void expect_image(const trial *at, const uint8_t *bytes, size_t length, uint64_t offset) {
    fuzz_check(offset + length <= at->image.length);
    fuzz_check(length == 0 || memcmp(bytes, at->image.bytes + offset, length) == 0);
}

/* The file has the range; or it is not there, and the call has failed. */
static void expect_file(const trial *at, km_status status, uint64_t offset, uint64_t length) {
    fuzz_check(fuzz_file_exists(at->target) == (status == KM_OK));
    if (status == KM_OK) {
        size_t there = 0;
        uint8_t *bytes = fuzz_file_read(at->target, &there);
        fuzz_check(there == length);
        expect_image(at, bytes, there, offset);
        free(bytes);
        fuzz_file_remove(at->target);
    }
}

static void to_file(const trial *at) {
    const km_restore_options options = {.threads = at->threads, .flags = KM_RESTORE_NO_SYNC};
    const km_status status = km_restore(at->snapshot, at->target, &options);
    fuzz_check(status == at->whole);
    expect_file(at, status, 0, at->image.length);
}

static void range_to_file(const trial *at) {
    const uint64_t offset = STEP * fuzz_get(at->input->options + 2, 2);
    const uint64_t length = STEP * fuzz_get(at->input->options + 4, 2);
    const km_restore_options options = {
        .threads = at->threads, .flags = KM_RESTORE_NO_SYNC, .offset = offset, .length = length};
    const km_status status = km_restore(at->snapshot, at->target, &options);
    if (at->whole == KM_OK) {
        const bool inside = offset <= at->image.length && length <= at->image.length - offset;
        fuzz_check(status == (inside ? KM_OK : KM_E_TRUNCATED));
        expect_file(at, status, offset, length != 0 ? length : at->image.length - offset);
    } else {
        fuzz_check(status == KM_OK || status == KM_E_CORRUPT || status == KM_E_TRUNCATED);
        fuzz_check(fuzz_file_exists(at->target) == (status == KM_OK));
        fuzz_file_remove(at->target);
    }
}

static void stream_to_file(const trial *at) {
    fuzz_source source = stream_of(at);
    const km_restore_options options = {.threads = at->threads,
                                        .flags = KM_RESTORE_NO_SYNC,
                                        .read = fuzz_source_read,
                                        .read_arg = &source};
    const km_status status = km_restore(NULL, at->target, &options);
    fuzz_check(status == at->whole);
    expect_file(at, status, 0, at->image.length);
}

static void stream_to_stream(const trial *at) {
    fuzz_source source = stream_of(at);
    fuzz_sink sink = {0};
    const km_restore_options options = {.threads = at->threads,
                                        .read = fuzz_source_read,
                                        .read_arg = &source,
                                        .write = fuzz_sink_write,
                                        .write_arg = &sink};
    const km_status status = km_restore(NULL, NULL, &options);
    fuzz_check(status == at->whole);
    if (status == KM_OK) {
        fuzz_check(sink.length == at->image.length);
        expect_image(at, sink.bytes, sink.length, 0);
    }
    free(sink.bytes);
}

static void to_memory(const trial *at) {
    const uint64_t offset = STEP * fuzz_get(at->input->options + 2, 2);
    const uint64_t length = STEP * fuzz_get(at->input->options + 4, 2);
    const km_restore_options options = {.threads = at->threads, .offset = offset, .length = length};
    uint8_t *bytes = fuzz_allocate((size_t)length);
    const km_status status = km_restore_memory(at->snapshot, bytes, length, &options);
    if (status == KM_OK && at->whole == KM_OK) {
        expect_image(at, bytes, (size_t)length, offset);
    }
    const bool inside = offset <= at->image.length && length <= at->image.length - offset;
    fuzz_check(status == KM_OK || at->whole != KM_OK || !inside || length == 0);
    free(bytes);
}

/* A file that begins as the image does. */
static void in_place(const trial *at) {
    static const uint8_t end[100] = "longer, perhaps";
    const km_restore_options options = {.threads = at->threads,
                                        .flags = KM_RESTORE_NO_SYNC | KM_RESTORE_IN_PLACE};
    const size_t same = at->image.length / 2 < 5000 ? at->image.length / 2 : 5000;
    const size_t length = same + sizeof end;
    uint8_t *before = fuzz_allocate(length);
    if (same > 0) {
        memcpy(before, at->image.bytes, same);
    }
    memcpy(before + same, end, sizeof end);
    fuzz_file_write(at->target, before, length);
    const km_status status = km_restore(at->snapshot, at->target, &options);
    fuzz_check(status == at->whole);
    if (status == KM_OK) {
        expect_file(at, status, 0, at->image.length);
    } else {
        size_t there = 0;
        uint8_t *after = fuzz_file_read(at->target, &there);
        fuzz_check(there == length && memcmp(before, after, length) == 0);
        free(after);
        fuzz_file_remove(at->target);
    }
    free(before);
}

static void try_ways(trial *at) {
    static void (*const ways[])(const trial *) = {to_file,          range_to_file, stream_to_file,
                                                  stream_to_stream, to_memory,     in_place};
    const km_restore_options options = {
        .threads = at->threads, .write = fuzz_sink_write, .write_arg = &at->image};
    at->whole = km_restore(at->snapshot, NULL, &options);
    if (at->whole == KM_E_NO_SPACE) {
        return; /* too large to be looked at */
    }
    fuzz_check(at->whole == KM_OK || at->whole == KM_E_CORRUPT);
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (is_wanted(at, i + 1)) {
            ways[i](at);
        }
    }
}

static void try_snapshot(const fuzz_input *input, const char *snapshot, const char *target) {
    trial at = {.input = input,
                .snapshot = snapshot,
                .target = target,
                .threads = 1 + (input->options[1] & 1u)};
    try_ways(&at);
    free(at.image.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_snapshot);
}
