/*
 * test_snapshot_tools.c - a snapshot is a gzip file: other people's programs read every kind to the
 * exact bytes. A test for each program, skipped where that is not installed; gzip's are always
 * there.
 *
 * Not under valgrind: so much packing takes it minutes.
 * With other codecs: whatever packs, anybody reads it; where nothing does, all kinds are stored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include <keepmap.h>

#include "support/foreign_gunzip_posix.h"
#include "support/round_trip.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/unique.h"

#define KIB ((size_t)1024)
#define CHUNK (64 * KIB)
#define ENTRIES 454 /* of an index member */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- The kinds of snapshots: each ORIGINAL and its SNAPSHOT are files ---- */

typedef struct kind {
    const char *name;
    const char *original;
    const char *snapshot;
    bool made; /* else nothing here can pack it */
} kind;

#define KIND(name)                                                                                 \
    { name, name, name ".gz", false }
static const kind no_kinds[] = {
    KIND("default"), KIND("smallest"), KIND("stored"),  KIND("zeros"),  KIND("empty"), KIND("byte"),
    KIND("sparse"),  KIND("since"),    KIND("segment"), KIND("stream"), KIND("large"),
};
static kind kinds[COUNT(no_kinds)];

static kind *kind_of(const char *name) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    fail_msg("there is no kind '%s'", name);
    return NULL;
}

/* Text, zeros and noise in turn, and some more. */
static void fill(unsigned char *zeros, size_t size) {
    const size_t piece = 50 * KIB + 1;
    for (size_t at = 0; at < size; at += piece) {
        const size_t length = size - at < piece ? size - at : piece;
        if (at / piece % 3 == 0) {
            snapshot_text(zeros + at, length, (unsigned)at);
        } else if (at / piece % 3 == 2) {
            snapshot_noise(zeros + at, length, (unsigned)at);
        }
    }
}

static void write_original(const kind *one, size_t size, bool filled) {
    unsigned char *bytes = calloc(1, size + 1);
    assert_non_null(bytes);
    if (filled) {
        fill(bytes, size);
    }
    scratch_write(one->original, bytes, size);
    free(bytes);
}

static void snapshot_file(kind *one, km_snapshot_options options) {
    km_map *map = NULL;
    options.flags |= KM_SNAPSHOT_NO_SYNC;
    options.chunk_size = options.chunk_size > 0 ? options.chunk_size : CHUNK;
    assert_int_equal(km_open(&map, one->original, NULL), KM_OK);
    const km_status status = km_snapshot(map, one->snapshot, &options);
    one->made = trip_can_pack(options.level);
    assert_int_equal(status, one->made ? KM_OK : KM_E_UNSUPPORTED);
    assert_int_equal(scratch_size(one->snapshot) >= 0, one->made);
    assert_int_equal(km_close(map), KM_OK);
}

static void make_file(const char *name, size_t size, bool filled, km_snapshot_options options) {
    kind *one = kind_of(name);
    write_original(one, size, filled);
    snapshot_file(one, options);
}

/* More chunks than one index member has entries; here and there is something. */
static void make_sparse(void) {
    kind *one = kind_of("sparse");
    const off_t size = (ENTRIES + 3) * (off_t)CHUNK + 5;
    int file = open(one->original, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0 && ftruncate(file, size) == 0);
    assert_int_equal(pwrite(file, "some", 4, 3 * (off_t)CHUNK - 2), 4);
    assert_int_equal(pwrite(file, "more", 4, (ENTRIES - 1) * (off_t)CHUNK + 17), 4);
    assert_int_equal(pwrite(file, "the end", 7, size - 7), 7);
    assert_int_equal(close(file), 0);
    km_snapshot_report report = {0};
    snapshot_file(one, (km_snapshot_options){.report = &report});
    assert_int_equal(report.chunks, ENTRIES + 4);
}

static void make_since(void) {
    kind *one = kind_of("since");
    km_snapshot_report report = {0};
    write_original(one, 10 * CHUNK + 11, true);
    FILE *file = fopen(one->original, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4 * (long)CHUNK + 1, SEEK_SET), 0);
    assert_true(fputs("another", file) >= 0);
    assert_int_equal(fclose(file), 0);
    snapshot_file(one,
                  (km_snapshot_options){.since = kind_of("default")->snapshot, .report = &report});
    assert_int_equal(report.reused_chunks, report.chunks - 1);
}

static km_status fill_segment(void *data, uint64_t size, void *arg) {
    (void)arg;
    fill(data, (size_t)size);
    return KM_OK;
}

static void make_segment(void) {
    kind *one = kind_of("segment");
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW,
                                .size = 3 * CHUNK + 1,
                                .init = fill_segment,
                                .type = "a type",
                                .type_version = 3};
    write_original(one, 3 * CHUNK + 1, true);
    assert_int_equal(km_segment(&map, unique_name("tools"), &options), KM_OK);
    const km_snapshot_options how = {.chunk_size = CHUNK, .flags = KM_SNAPSHOT_NO_SYNC};
    assert_int_equal(km_snapshot(map, one->snapshot, &how), KM_OK);
    assert_int_equal(km_close(map), KM_OK);
    one->made = true;
}

static km_status read_some(void *to, size_t length, size_t *done, void *arg) {
    *done = fread(to, 1, length < 10007 ? length : 10007, arg);
    return KM_OK;
}

static km_status write_all(const void *from, size_t length, void *arg) {
    return fwrite(from, 1, length, arg) == length ? KM_OK : KM_E_IO;
}

static void make_stream(void) {
    kind *one = kind_of("stream");
    write_original(one, 5 * CHUNK + 1, true);
    FILE *from = fopen(one->original, "rb");
    FILE *to = fopen(one->snapshot, "wb");
    assert_true(from != NULL && to != NULL);
    const km_snapshot_options options = {.chunk_size = CHUNK,
                                         .read = read_some,
                                         .read_arg = from,
                                         .write = write_all,
                                         .write_arg = to};
    assert_int_equal(km_snapshot(NULL, NULL, &options), KM_OK);
    assert_int_equal(fclose(from), 0);
    assert_int_equal(fclose(to), 0);
    one->made = true;
}

static int make_all(void **state) {
    (void)state;
    memcpy(kinds, no_kinds, sizeof kinds);
    make_file("default", 10 * CHUNK + 11, true, (km_snapshot_options){0});
    make_file("smallest", 10 * CHUNK + 11, true, (km_snapshot_options){.level = 9});
    make_file("stored", 10 * CHUNK + 11, true, (km_snapshot_options){.level = KM_LEVEL_STORED});
    make_file("zeros", 4 * CHUNK + 100, false, (km_snapshot_options){0});
    make_file("empty", 0, false, (km_snapshot_options){0});
    make_file("byte", 1, true, (km_snapshot_options){0});
    make_file("large", 20 << 20, true, (km_snapshot_options){.chunk_size = 16 << 20});
    make_sparse();
    make_since();
    make_segment();
    make_stream();
    return 0;
}

/* ---- Who reads them ---- */

static void reads_every_kind(void **state) {
    const foreign_gunzip *program = *state;
    if (!foreign_gunzip_is_there(program)) {
        print_message("%s is not there, or cannot read gzip files\n", program->name);
        skip();
    }
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (!kinds[i].made) {
            print_message("'%s' cannot be packed by this build\n", kinds[i].name);
            continue;
        }
        const char *wrong = foreign_gunzip_reads(program, kinds[i].snapshot, kinds[i].original);
        if (wrong != NULL) {
            fail_msg("%s of the kind '%s': %s", program->name, kinds[i].name, wrong);
        }
    }
}

/* That the tests above can fail. */
static void other_bytes_and_other_files_are_noticed(void **state) {
    (void)state;
    const foreign_gunzip *program = &foreign_gunzips[0];
    const char *snapshot = kind_of("stored")->snapshot;
    assert_true(foreign_gunzip_is_there(program));
    assert_non_null(foreign_gunzip_reads(program, snapshot, kind_of("since")->original));
    assert_non_null(foreign_gunzip_reads(program, snapshot, kind_of("byte")->original));
    assert_non_null(foreign_gunzip_reads(program, kind_of("byte")->snapshot, snapshot));
    assert_non_null(foreign_gunzip_reads(program, "absent.gz", kind_of("empty")->original));
    const foreign_gunzip absent = {.probe = "command -v keepmap-is-no-gunzip"};
    assert_false(foreign_gunzip_is_there(&absent));
}

int main(void) {
    struct CMUnitTest tests[16] = {cmocka_unit_test(other_bytes_and_other_files_are_noticed)};
    char names[16][64];
    size_t count = 1;
    for (size_t i = 0; i < foreign_gunzip_count && count < COUNT(tests); i++, count++) {
        (void)snprintf(names[count], sizeof names[count], "%s reads every kind",
                       foreign_gunzips[i].name);
        tests[count] = (struct CMUnitTest){.name = names[count],
                                           .test_func = reads_every_kind,
                                           .initial_state = (void *)&foreign_gunzips[i]};
    }
    return _cmocka_run_group_tests("tools", tests, count, make_all, NULL);
}
