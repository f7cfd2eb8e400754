/*
 * fuzz_salvage.c - km_salvage of anything. What it calls recovered, with an index found and the
 * seed of its hashes known, has the hash that an index in the file says; of a good snapshot nothing
 * is lost.
 *
 * Options: 1 bit 0 it is cancelled at the first range lost.
 */
#include <string.h>

#include "checksum.h"
#include "fuzz.h"
#include "input.h"
#include "salvage_plan.h"
#include "salvage_scan.h"
#include "snapshot_format.h"

#define TARGET_MOST ((uint64_t)64 << 20)
#define INDEX_END 10u /* bytes of an index member behind its head */

typedef struct lost_ranges {
    bool enough;
    uint64_t end;   /* of the last one */
    uint64_t bytes; /* in all */
    uint8_t *map;   /* a bit for each of the first TARGET_MOST bytes' KiB: lost, at least in part */
} lost_ranges;

#define MAP_SIZE ((size_t)(TARGET_MOST >> 10))

static bool note_lost(km_range_kind kind, uint64_t offset, uint64_t length, void *arg) {
    lost_ranges *lost = arg;
    fuzz_check(kind == KM_RANGE_LOST && length > 0);
    fuzz_check(lost->bytes == 0 || offset > lost->end);
    lost->end = offset + length;
    lost->bytes += length;
    for (uint64_t at = offset >> 10; at <= (lost->end - 1) >> 10 && at < MAP_SIZE; at++) {
        lost->map[at] = 1;
    }
    return !lost->enough;
}

/* ---- What the file says ---------------------------------------------------------------------- */

/* Does some index member, wherever in the file, have an entry for `chunk` that says so? */
static bool index_says(const fuzz_input *input, uint64_t chunk, size_t length,
                       const uint8_t hash[KM_HASH_SIZE]) {
    for (size_t at = 0; input->length - at >= KM_FORMAT_PREFIX_SIZE; at++) {
        const uint8_t *member = input->snapshot + at;
        km_member_kind kind = KM_MEMBER_DATA;
        size_t head_size = 0;
        uint64_t first = 0;
        uint32_t count = 0;
        const uint8_t *entries = NULL;
        km_format_entry entry;
        if (km_format_kind(member, &kind, &head_size) && kind == KM_MEMBER_INDEX &&
            head_size + INDEX_END <= input->length - at &&
            km_format_index_read(member, head_size + INDEX_END, &first, &count, &entries) &&
            chunk >= first && chunk - first < count &&
            km_format_entry_read(entries + (size_t)(chunk - first) * KM_FORMAT_ENTRY_SIZE,
                                 &entry) &&
            entry.raw_length == length && memcmp(entry.hash, hash, KM_HASH_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void expect_chunks(const fuzz_input *input, const km_plan *plan, const lost_ranges *lost,
                          const char *target) {
    const uint64_t *seed = km_plan_seed(plan);
    const size_t chunk_size = (size_t)1 << plan->chunk_shift;
    size_t length = 0;
    uint8_t *bytes = fuzz_file_read(target, &length);
    for (size_t at = 0; seed != NULL && at < length; at += chunk_size) {
        const size_t here = length - at < chunk_size ? length - at : chunk_size;
        uint8_t hash[KM_HASH_SIZE];
        if (memchr(lost->map + (at >> 10), 1, (here + 1023) >> 10) == NULL) {
            km_hash(bytes + at, here, *seed, hash);
            fuzz_check(index_says(input, at / chunk_size, here, hash));
        }
    }
    free(bytes);
}

/* The seed is that of the snapshot which was chosen: the same choice once more. */
static void expect_hashes(const fuzz_input *input, const lost_ranges *lost, const char *snapshot,
                          const char *target) {
    km_plan *plan = fuzz_allocate(sizeof *plan);
    km_input file;
    km_scan scan;
    km_scan_member member;
    km_scan_result result = KM_SCAN_PAUSE;
    memset(plan, 0, sizeof *plan);
    fuzz_check(km_input_open(&file, snapshot, FILE_SHARE_READ, "fuzzing") == KM_OK);
    km_scan_begin(&scan, &file);
    while (result != KM_SCAN_END) {
        fuzz_check(km_scan_next(&scan, &member, &result) == KM_OK);
        fuzz_check(result != KM_SCAN_MEMBER || km_plan_add(plan, &member) == KM_OK);
    }
    km_scan_end(&scan);
    km_input_close(&file);
    fuzz_check(km_plan_decide(plan, snapshot) == KM_OK);
    expect_chunks(input, plan, lost, target);
    km_plan_free(plan);
    free(plan);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void expect_all(const km_salvage_report *report, const fuzz_sink *image,
                       const char *target) {
    size_t length = 0;
    uint8_t *bytes = fuzz_file_read(target, &length);
    fuzz_check(report->size_known && report->index_found && report->lost_chunks == 0);
    fuzz_check(length == image->length);
    fuzz_check(length == 0 || memcmp(bytes, image->bytes, length) == 0);
    free(bytes);
}

static void try_salvage(const fuzz_input *input, const char *snapshot, const char *target) {
    fuzz_sink image = {0};
    const bool good = fuzz_image(snapshot, &image) == KM_OK;
    lost_ranges lost = {.enough = (input->options[1] & 1u) != 0, .map = fuzz_allocate(MAP_SIZE)};
    memset(lost.map, 0, MAP_SIZE);
    km_salvage_report report = {.struct_size = sizeof report};
    const km_salvage_options options = {
        .flags = KM_RESTORE_NO_SYNC, .lost = note_lost, .lost_arg = &lost, .report = &report};
    const km_status status = km_salvage(snapshot, target, &options);
    fuzz_check(status == KM_OK || !good);
    fuzz_check(fuzz_file_exists(target) == (status == KM_OK));
    if (status == KM_OK) {
        fuzz_check(report.recovered + report.lost == report.size && report.lost == lost.bytes);
        fuzz_check(!lost.enough || lost.bytes == 0);
        if (good) {
            expect_all(&report, &image, target);
        } else if (report.index_found && report.size <= TARGET_MOST) {
            expect_hashes(input, &lost, snapshot, target);
        }
    } else {
        fuzz_check(status == KM_E_CORRUPT || status == KM_E_CANCELLED || status == KM_E_TOO_LARGE ||
                   status == KM_E_NO_SPACE);
    }
    fuzz_file_remove(target);
    free(lost.map);
    free(image.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_snapshot_file(data, size, try_salvage);
}
