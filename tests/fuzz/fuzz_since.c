/*
 * fuzz_since.c - km_snapshot of an image since what may be no snapshot. One that is compared, or
 * was good before, makes a good one.
 *
 * Options: 1 bit 0 two threads, bit 1 KM_SNAPSHOT_COMPARE, bit 2 to a file; 2 and 3 what of the
 * image is changed (in steps of 37 bytes), 4 and 5 how much longer it is.
 */
#include <string.h>

#include "fuzz.h"

#define STEP 37u
#define IMAGE_MOST ((size_t)4 << 20)

/* The image of the snapshot, if it has one, with some change. */
static fuzz_sink make_image(const fuzz_input *input, const char *snapshot, bool *good) {
    fuzz_sink image = {0};
    *good = fuzz_image(snapshot, &image) == KM_OK;
    if (image.length > IMAGE_MOST) {
        image.length = IMAGE_MOST;
    }
    for (uint64_t more = fuzz_get(input->options + 4, 2); more > 0; more--) {
        const uint8_t byte = (uint8_t)(more * more >> 7);
        fuzz_check(fuzz_sink_write(&byte, 1, &image) == KM_OK);
    }
    const uint64_t changed = STEP * fuzz_get(input->options + 2, 2);
    if (changed < image.length) {
        image.bytes[changed] ^= 1u;
    }
    return image;
}

static void expect_snapshot_of(const fuzz_sink *image, const uint8_t *snapshot, size_t length) {
    fuzz_sink restored = {0};
    fuzz_source source = {.bytes = snapshot, .length = length};
    const km_restore_options options = {.threads = 1,
                                        .read = fuzz_source_read,
                                        .read_arg = &source,
                                        .write = fuzz_sink_write,
                                        .write_arg = &restored};
    fuzz_check(km_restore(NULL, NULL, &options) == KM_OK);
    fuzz_check(restored.length == image->length);
    fuzz_check(image->length == 0 || memcmp(restored.bytes, image->bytes, image->length) == 0);
    free(restored.bytes);
}

static void check_report(const km_snapshot_report *report, const fuzz_sink *image, size_t length) {
    fuzz_check(report->size == image->length && report->packed_size == length);
    fuzz_check(report->zero_chunks <= report->chunks && report->reused_chunks <= report->chunks);
    fuzz_check(report->unread_chunks == 0);
}

static void try_since(const fuzz_input *input, const char *since, const char *target) {
    bool good = false;
    fuzz_sink image = make_image(input, since, &good);
    fuzz_source source = {.bytes = image.bytes, .length = image.length, .piece = 3000};
    fuzz_sink made = {0};
    const bool compare = (input->options[1] & 2u) != 0;
    const bool to_file = (input->options[1] & 4u) != 0;
    km_snapshot_report report = {.struct_size = sizeof report};
    const km_snapshot_options options = {
        .flags = (to_file ? KM_SNAPSHOT_NO_SYNC : 0) | (compare ? KM_SNAPSHOT_COMPARE : 0),
        .threads = 1 + (input->options[1] & 1u),
        .since = since,
        .read = fuzz_source_read,
        .read_arg = &source,
        .write = to_file ? NULL : fuzz_sink_write,
        .write_arg = to_file ? NULL : &made,
        .report = &report,
    };
    const km_status status = km_snapshot(NULL, to_file ? target : NULL, &options);
    fuzz_check(status == KM_OK || status == KM_E_CORRUPT);
    fuzz_check(status == KM_OK || !good);
    fuzz_check(!to_file || fuzz_file_exists(target) == (status == KM_OK));
    if (status == KM_OK) {
        if (to_file) {
            made.bytes = fuzz_file_read(target, &made.length);
        }
        check_report(&report, &image, made.length);
        if (compare || good) {
            expect_snapshot_of(&image, made.bytes, made.length);
        }
    }
    fuzz_file_remove(target);
    free(made.bytes);
    free(image.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_since);
}
