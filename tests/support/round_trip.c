/*
 * round_trip.c - the ways into a snapshot and out of it.
 */
#include "round_trip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/unique.h"

#define BACK "trip-back"
#define PAGE ((size_t)4096)

bool trip_can_pack(int32_t level) {
    return level <= 0 || km_codec_for_level(level) != NULL;
}

static void expect(const trip *one, bool so, const char *step) {
    if (!so) {
        fail_msg("%s: %zu bytes, chunks of %u, level %d, %u threads there and %u back, by way of "
                 "%s: %s (the last failure: %s)",
                 one->what, one->size, one->chunk_size, one->level, one->there, one->back, one->way,
                 step, km_error_message());
    }
}

static bool is_part(const trip *one, size_t offset, const void *bytes, size_t length) {
    return offset <= one->size && length <= one->size - offset &&
           (length == 0 || memcmp(one->bytes + offset, bytes, length) == 0);
}

/* ---- Streams ------------------------------------------------------------------------------- */

/* Takes the bytes of an original as they come; none may differ. */
typedef struct outlet {
    const trip *of;
    size_t at;
    bool same;
} outlet;

static km_status compare_written(const void *from, size_t length, void *arg) {
    outlet *to = arg;
    to->same = to->same && is_part(to->of, to->at, from, length);
    to->at += length;
    return KM_OK;
}

static km_status write_to_file(const void *from, size_t length, void *arg) {
    return fwrite(from, 1, length, arg) == length ? KM_OK : KM_E_IO;
}

/* In pieces that fit nothing. */
static km_status read_from_file(void *to, size_t length, size_t *done, void *arg) {
    enum { PIECE = 70001 };
    *done = fread(to, 1, length < PIECE ? length : PIECE, arg);
    return ferror((FILE *)arg) == 0 ? KM_OK : KM_E_IO;
}

static FILE *open_stream(const trip *one, const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    expect(one, file != NULL, "a stream cannot be opened");
    return file;
}

/* ---- There --------------------------------------------------------------------------------- */

static km_snapshot_options there_options(const trip *one) {
    return (km_snapshot_options){.level = one->level,
                                 .threads = one->there,
                                 .chunk_size = one->chunk_size,
                                 .flags = KM_SNAPSHOT_REPLACE | KM_SNAPSHOT_NO_SYNC};
}

static void take(const trip *one, km_map *map, bool to_stream, km_snapshot_options options) {
    km_snapshot_report report = {0};
    FILE *file = to_stream ? open_stream(one, one->snapshot, "wb") : NULL;
    if (to_stream) {
        options.flags = 0;
        options.write = write_to_file;
        options.write_arg = file;
    }
    options.report = &report;
    km_status status = km_snapshot(map, to_stream ? NULL : one->snapshot, &options);
    bool closed = file == NULL || fclose(file) == 0;
    expect(one, status == KM_OK && closed, "no snapshot");
    expect(one, report.size == one->size, "the report has another size");
    expect(one, (int64_t)report.packed_size == scratch_size(one->snapshot),
           "the report has another packed size");
}

static void take_file(const trip *one, bool to_stream) {
    km_map *map = NULL;
    expect(one, km_open(&map, one->path, NULL) == KM_OK, "the original cannot be mapped");
    take(one, map, to_stream, there_options(one));
    expect(one, km_close(map) == KM_OK, "the original cannot be closed");
}

static void from_file(const trip *one) {
    take_file(one, false);
}

static void from_file_to_stream(const trip *one) {
    take_file(one, true);
}

static void take_stream(const trip *one, bool to_stream) {
    km_snapshot_options options = there_options(one);
    options.read = read_from_file;
    options.read_arg = open_stream(one, one->path, "rb");
    take(one, NULL, to_stream, options);
    fclose(options.read_arg);
}

static void from_stream(const trip *one) {
    take_stream(one, false);
}

static void from_stream_to_stream(const trip *one) {
    take_stream(one, true);
}

static km_status fill_segment(void *data, uint64_t size, void *arg) {
    memcpy(data, ((const trip *)arg)->bytes, (size_t)size);
    return KM_OK;
}

static void from_segment(const trip *one) {
    km_map *map = NULL;
    trip filling = *one;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW,
                                .size = one->size,
                                .init = fill_segment,
                                .init_arg = &filling};
    expect(one, km_segment(&map, unique_name("trip-there"), &options) == KM_OK, "no segment");
    take(one, map, false, there_options(one));
    expect(one, km_close(map) == KM_OK, "the segment cannot be closed");
}

typedef struct way_there {
    const char *name;
    const char *snapshot;
    void (*go)(const trip *one);
} way_there;

static const way_there ways_there[] = {
    {"a file", "trip-0.gz", from_file},
    {"a file and a stream", "trip-1.gz", from_file_to_stream},
    {"a stream", "trip-2.gz", from_stream},
    {"a stream and a stream", "trip-3.gz", from_stream_to_stream},
    {"a segment", "trip-4.gz", from_segment},
};
const size_t trip_ways_there = sizeof ways_there / sizeof ways_there[0];

const char *trip_there(trip *one, size_t way) {
    if (one->size == 0 && ways_there[way].go == from_segment) {
        return NULL;
    }
    one->way = ways_there[way].name;
    one->snapshot = ways_there[way].snapshot;
    ways_there[way].go(one);
    return one->snapshot;
}

/* ---- Back: restored whole ------------------------------------------------------------------ */

static km_restore_options back_options(const trip *one) {
    return (km_restore_options){.flags = KM_RESTORE_NO_SYNC, .threads = one->back};
}

static void restore(const trip *one, const char *path, const km_restore_options *options) {
    expect(one, km_restore(one->snapshot, path, options) == KM_OK, "not restored");
}

static void is_back(const trip *one) {
    expect(one, scratch_equals(BACK, one->bytes, one->size), "the restored file differs");
    scratch_remove(BACK);
}

static void to_a_new_file(const trip *one) {
    const km_restore_options options = back_options(one);
    restore(one, BACK, &options);
    is_back(one);
}

static void over_another_file(const trip *one) {
    km_restore_options options = back_options(one);
    options.flags |= KM_RESTORE_REPLACE;
    scratch_file(BACK, one->size / 2 + 100, 3);
    restore(one, BACK, &options);
    is_back(one);
}

static void to_a_stream(const trip *one) {
    outlet to = {.of = one, .same = true};
    const km_restore_options options = {
        .threads = one->back, .write = compare_written, .write_arg = &to};
    restore(one, NULL, &options);
    expect(one, to.same && to.at == one->size, "the stream differs");
}

static void from_a_stream_to_a_file(const trip *one) {
    km_restore_options options = back_options(one);
    FILE *file = open_stream(one, one->snapshot, "rb");
    options.read = read_from_file;
    options.read_arg = file;
    expect(one, km_restore(NULL, BACK, &options) == KM_OK, "not restored from a stream");
    fclose(file);
    is_back(one);
}

static void from_a_stream_to_a_stream(const trip *one) {
    outlet to = {.of = one, .same = true};
    FILE *file = open_stream(one, one->snapshot, "rb");
    const km_restore_options options = {.threads = one->back,
                                        .read = read_from_file,
                                        .read_arg = file,
                                        .write = compare_written,
                                        .write_arg = &to};
    expect(one, km_restore(NULL, NULL, &options) == KM_OK, "not restored from stream to stream");
    fclose(file);
    expect(one, to.same && to.at == one->size, "the stream differs");
}

static void to_a_segment(const trip *one) {
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE};
    km_status status = km_restore_segment(&map, one->snapshot, unique_name("trip-back"), &options);
    if (one->size == 0) {
        expect(one, status == KM_E_INVALID && map == NULL, "an empty segment was made");
        return;
    }
    expect(one, status == KM_OK, "no segment restored");
    expect(one, km_size(map) == one->size && is_part(one, 0, km_data(map), one->size),
           "the segment differs");
    expect(one, km_close(map) == KM_OK, "the segment cannot be closed");
}

/* One chunk's bytes are wrong, and the length; what is equal need not be written again. */
static void in_place(const trip *one) {
    uint64_t written = 0;
    km_restore_options options = {.flags = KM_RESTORE_IN_PLACE | KM_RESTORE_NO_SYNC,
                                  .threads = one->back,
                                  .written = &written};
    scratch_write(BACK, one->bytes, one->size);
    FILE *file = open_stream(one, BACK, "r+b");
    fseek(file, (long)(one->size / 2), SEEK_SET);
    fputs("wrong, and longer than it was", file);
    fclose(file);
    restore(one, BACK, &options);
    expect(one, scratch_equals(BACK, one->bytes, one->size), "not mended in place");

    scratch_write(BACK, one->bytes, one->size / 3);
    restore(one, BACK, &options);
    expect(one, scratch_equals(BACK, one->bytes, one->size), "not completed in place");

    restore(one, BACK, &options);
    expect(one, written == 0, "what was equal has been written");
    is_back(one);
}

/* ---- Back: parts --------------------------------------------------------------------------- */

static void to_memory(const trip *one, size_t offset, size_t length) {
    const km_restore_options options = {
        .threads = one->back, .offset = offset, .length = length < one->size ? length : 0};
    unsigned char *memory = malloc(length + 1);
    assert_non_null(memory);
    memory[length] = 0x5a;
    expect(one, km_restore_memory(one->snapshot, memory, length, &options) == KM_OK,
           "not restored to memory");
    expect(one, is_part(one, offset, memory, length) && memory[length] == 0x5a,
           "the memory differs");
    free(memory);
}

static void whole_to_memory(const trip *one) {
    to_memory(one, 0, one->size);
}

static void part_to_file(const trip *one, size_t offset, size_t length) {
    km_restore_options options = back_options(one);
    options.offset = offset;
    options.length = length;
    restore(one, BACK, &options);
    expect(one, scratch_equals(BACK, one->bytes + offset, length), "a part's file differs");
    scratch_remove(BACK);
}

static void part_to_view(const trip *one, size_t offset, size_t length) {
    km_map *map = NULL;
    const km_options options = {.offset = offset, .length = length};
    expect(one, km_open_snapshot(&map, one->snapshot, &options) == KM_OK, "a part does not open");
    expect(one, km_size(map) == length && is_part(one, offset, km_data(map), length),
           "the view of a part differs");
    expect(one, km_close(map) == KM_OK, "the view of a part cannot be closed");
}

static void in_parts(const trip *one) {
    const size_t chunk = one->chunk_size;
    const size_t ranges[][2] = {{0, 1},         {one->size / 3, one->size / 3},
                                {chunk - 1, 2}, {chunk, one->size},
                                {1, chunk},     {one->size - 1, 1}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const size_t offset = ranges[i][0];
        if (offset >= one->size) {
            continue;
        }
        size_t length = ranges[i][1] > 0 ? ranges[i][1] : 1;
        length = length < one->size - offset ? length : one->size - offset;
        part_to_file(one, offset, length);
        part_to_view(one, offset, length);
        if (length < one->size) {
            to_memory(one, offset, length);
        }
    }
}

/* ---- Back: mapped -------------------------------------------------------------------------- */

static km_map *open_it(const trip *one, const km_options *options) {
    km_map *map = NULL;
    expect(one, km_open_snapshot(&map, one->snapshot, options) == KM_OK, "it does not open");
    expect(one, km_size(map) == one->size, "its view has another size");
    return map;
}

static void close_it(const trip *one, km_map *map) {
    expect(one, km_close(map) == KM_OK, "its view cannot be closed");
}

/* Single bytes first, from the end and here and there, then all. */
static void mapped_as_touched(const trip *one) {
    const km_options options = {.flags = KM_OPEN_RANDOM};
    km_map *map = open_it(one, &options);
    const volatile unsigned char *bytes = km_data(map);
    size_t at = one->size;
    for (unsigned i = 0; i < 20 && one->size > 0; i++) {
        at = (at + one->size - 1) % one->size;
        expect(one, bytes[at] == one->bytes[at], "a byte touched alone differs");
        at = (at + (size_t)i * 0x9e3779b1u) % one->size;
    }
    expect(one, is_part(one, 0, km_data(map), one->size), "the view differs");
    close_it(one, map);
}

static void mapped_as_a_whole(const trip *one) {
    const km_options options = {
        .flags = KM_OPEN_SEQUENTIAL | KM_OPEN_EXACT, .access = KM_READ, .size = one->size};
    km_map *map = open_it(one, &options);
    expect(one, is_part(one, 0, km_data(map), one->size), "the view differs");
    close_it(one, map);
}

static void mapped_to_be_changed(const trip *one) {
    const km_options options = {.access = KM_PRIVATE};
    km_map *map = open_it(one, &options);
    unsigned char *bytes = km_data(map);
    for (size_t at = 0; at < one->size; at += one->size / 7 + 1) {
        bytes[at] ^= 0xff;
    }
    for (size_t at = 0; at < one->size; at += one->size / 7 + 1) {
        bytes[at] ^= 0xff;
    }
    expect(one, is_part(one, 0, bytes, one->size), "the private view differs");
    close_it(one, map);
}

static void by_reading_a_map(const trip *one) {
    km_map *map = open_it(one, NULL);
    unsigned char piece[3 * PAGE + 1];
    for (size_t at = 0; at < one->size; at += one->size < 64 * PAGE ? sizeof piece : 11 * PAGE) {
        const size_t left = one->size - at;
        const size_t length = left < sizeof piece ? left : sizeof piece;
        expect(one, km_read(map, at, piece, length) == KM_OK, "it cannot be read from a map");
        expect(one, is_part(one, at, piece, length), "what is read from a map differs");
    }
    close_it(one, map);
}

/* ---- Back: what keepmap itself says of it -------------------------------------------------- */

static void found_good(const trip *one) {
    FILE *file = open_stream(one, one->snapshot, "rb");
    const km_verify_options whole = {.threads = one->back};
    const km_verify_options quick = {.threads = one->back, .flags = KM_VERIFY_QUICK};
    const km_verify_options stream = {
        .threads = one->back, .read = read_from_file, .read_arg = file};
    expect(one, km_verify(one->snapshot, &whole) == KM_OK, "not verified");
    expect(one, km_verify(one->snapshot, &quick) == KM_OK, "not verified quickly");
    expect(one, km_verify(NULL, &stream) == KM_OK, "not verified as a stream");
    fclose(file);
    km_snapshot_facts facts = {0};
    expect(one, km_inspect(one->snapshot, &facts) == KM_OK && facts.size == one->size,
           "its facts have another size");
    expect(one, (int64_t)facts.packed_size == scratch_size(one->snapshot),
           "its facts have another packed size");
}

static void found_equal(const trip *one) {
    km_diff_report report = {0};
    const km_diff_options options = {.threads = one->back, .report = &report, .unit = 1};
    expect(one, km_diff(one->path, one->snapshot, &options) == KM_OK, "not compared");
    expect(one, report.ranges == 0 && report.b_is_snapshot && report.b_size == one->size,
           "said to differ from the original");
    expect(one, km_diff(one->snapshot, one->snapshot, &options) == KM_OK, "not compared");
    expect(one, report.ranges == 0 && report.a_is_snapshot, "said to differ from itself");
}

/* Nothing is lost of what is whole. */
static void salvaged(const trip *one) {
    km_salvage_report report = {0};
    const km_salvage_options options = {.flags = KM_RESTORE_NO_SYNC, .report = &report};
    km_status status = km_salvage(one->snapshot, BACK, &options);
    expect(one, status == KM_OK, "not salvaged");
    expect(one, report.lost == 0 && report.recovered == one->size, "salvage has lost something");
    is_back(one);
}

static void (*const ways_back[])(const trip *one) = {
    to_a_new_file,
    over_another_file,
    to_a_stream,
    from_a_stream_to_a_file,
    from_a_stream_to_a_stream,
    to_a_segment,
    in_place,
    whole_to_memory,
    in_parts,
    mapped_as_touched,
    mapped_as_a_whole,
    mapped_to_be_changed,
    by_reading_a_map,
    found_good,
    found_equal,
    salvaged,
};
const size_t trip_ways_back = sizeof ways_back / sizeof ways_back[0];

void trip_back(trip *one, size_t way) {
    ways_back[way](one);
}

void trip_back_every_way(trip *one) {
    for (size_t way = 0; way < trip_ways_back; way++) {
        trip_back(one, way);
    }
}

void trip_every_way(trip *one) {
    for (size_t way = 0; way < trip_ways_there; way++) {
        if (trip_there(one, way) != NULL) {
            trip_back_every_way(one);
        }
    }
}
