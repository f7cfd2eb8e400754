/*
 * test_snapshot.c - km_snapshot of a map into a file: what it holds, what it says of itself, what
 * it refuses, and that nothing half-made is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "codec.h"
#include "platform.h"
#include "size.h"
#include "snapshot.h"
#include "support/restore_image.h"
#include "support/scratch.h"
#include "support/snapshot_taken.h"
#include "support/unique.h"

#if defined(_WIN32)
#define W(text) L##text
#else
#define W(text) u##text
#include <unistd.h>
#endif

#define CHUNK IMAGE_CHUNK
#define MIB ((size_t)1 << 20)
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static const km_access accesses[] = {KM_READ, KM_WRITE, KM_PRIVATE};
#define ACCESSES (sizeof accesses / sizeof accesses[0])

static const km_snapshot_options replacing = {.flags = KM_SNAPSHOT_REPLACE, .chunk_size = CHUNK};

/* ---- What it holds ------------------------------------------------------------------------- */

static void every_size_around_a_chunk_boundary_comes_back(void **state) {
    (void)state;
    static const size_t sizes[] = {
        0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK - 1};
    static const int32_t levels[] = {KM_LEVEL_STORED, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        image one = image_make("tzr", sizes[i]);
        for (size_t j = 0; j < ACCESSES * 2; j++) {
            const km_options options = {.access = accesses[j / 2]};
            km_snapshot_options how = replacing;
            how.level = levels[j % 2];
            km_map *map = taken_map(&one, "sized", &options);
            const km_snapshot_report report = taken(map, "sized.gz", &how);
            taken_holds("sized.gz", one.bytes, one.size);
            assert_int_equal(report.chunks, sizes[i] == 0 ? 1 : (sizes[i] + CHUNK - 1) / CHUNK);
            assert_int_equal(km_close(map), KM_OK);
        }
        image_free(&one);
    }
}

static void every_level_holds_the_same_bytes(void **state) {
    (void)state;
    image one = image_make("ttrz", 6 * CHUNK + 77);
    km_map *map = taken_map(&one, "leveled", NULL);
    for (int32_t level = KM_LEVEL_STORED; level <= KM_CODEC_LEVEL_MAX; level++) {
        km_snapshot_options how = replacing;
        how.level = level;
        if (level > 0 && km_codec_default_level() == 0) {
            taken_not(KM_E_UNSUPPORTED, map, "leveled.gz", &how);
            assert_non_null(strstr(km_error_message(), "zlib"));
            continue;
        }
        const km_snapshot_report report = taken(map, "leveled.gz", &how);
        taken_holds("leveled.gz", one.bytes, one.size);
        const int effective = level == KM_LEVEL_STORED ? 0
                              : level == 0             ? km_codec_default_level()
                                                       : level;
        assert_int_equal(taken_facts("leveled.gz").facts.level, effective);
        assert_true(effective == 0 ? report.packed_size > 5 * CHUNK
                                   : report.packed_size < 4 * CHUNK);
    }
    km_close(map);
    image_free(&one);
}

static void every_chunk_size_holds_the_same_bytes(void **state) {
    (void)state;
    image one = image_make("trt", 16 * MIB + 12345);
    km_map *map = taken_map(&one, "chunked", NULL);
    for (uint32_t size = 64u << 10; size <= 16u << 20; size *= 2) {
        km_snapshot_options how = replacing;
        how.chunk_size = size;
        const km_snapshot_report report = taken(map, "chunked.gz", &how);
        assert_int_equal(report.chunks, one.size / size + 1);
        assert_int_equal(1u << taken_facts("chunked.gz").facts.chunk_shift, size);
        taken_holds("chunked.gz", one.bytes, one.size);
    }
    const km_snapshot_options by_default = {.flags = KM_SNAPSHOT_REPLACE};
    assert_int_equal(taken(map, "chunked.gz", &by_default).chunks,
                     one.size / KM_CHUNK_SIZE_DEFAULT + 1);
    km_close(map);
    image_free(&one);
}

static void any_number_of_threads_packs_the_same(void **state) {
    (void)state;
    static const uint32_t threads[] = {2, 3, 8, 0, KM_WAIT_FOREVER};
    image one = image_make("trtzt", 40 * CHUNK + 99);
    km_map *map = taken_map(&one, "threaded", NULL);
    const km_snapshot_options alone = {.threads = 1, .chunk_size = CHUNK};
    assert_int_equal(taken(map, "alone.gz", &alone).threads, 1);
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        km_snapshot_options how = replacing;
        how.threads = threads[i];
        const km_snapshot_report report = taken(map, "threaded.gz", &how);
        assert_int_equal(report.zero_chunks, 8);
        assert_true(report.threads <= report.chunks);
        assert_int_equal(scratch_size("threaded.gz"), scratch_size("alone.gz"));
        taken_holds("threaded.gz", one.bytes, one.size);
        for (uint64_t chunk = 0; chunk < report.chunks; chunk++) {
            assert_true(taken_same_chunk("alone.gz", "threaded.gz", chunk));
        }
    }
    km_close(map);
    image_free(&one);
}

static void an_index_of_several_members_is_whole(void **state) {
    (void)state;
    image one = image_make("z", (KM_FORMAT_INDEX_ENTRIES + 3) * CHUNK);
    km_map *map = taken_map(&one, "many", NULL);
    const km_snapshot_report report = taken(map, "many.gz", NULL);
    assert_int_equal(report.zero_chunks, KM_FORMAT_INDEX_ENTRIES + 3);
    taken_holds("many.gz", one.bytes, one.size);
    km_close(map);
    image_free(&one);
}

static void stores_not_flushed_and_private_ones_are_in_it(void **state) {
    (void)state;
    image one = image_make("t", 3 * CHUNK);
    for (size_t i = 1; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        km_map *map = taken_map(&one, "stored to", &options);
        memcpy((char *)km_data(map) + CHUNK - 3, "across", 6);
        (void)taken(map, "stored to.gz", &replacing);
        taken_holds("stored to.gz", km_data(map), one.size);
        assert_int_equal(km_close(map), KM_OK);
    }
    image_free(&one);
}

static void a_window_is_taken_by_itself(void **state) {
    (void)state;
    image one = image_make("tr", 4 * CHUNK);
    for (size_t i = 0; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        const km_options part = {.access = accesses[i], .offset = 777, .length = CHUNK + 5};
        km_map *map = taken_map(&one, "windowed", &options);
        km_map *window = NULL;
        km_map *opened = NULL;
        assert_int_equal(km_window(&window, map, 1234, 2 * CHUNK), KM_OK);
        assert_int_equal(km_open(&opened, "windowed", &part), KM_OK);
        (void)taken(window, "windowed.gz", &replacing);
        taken_holds("windowed.gz", one.bytes + 1234, 2 * CHUNK);
        (void)taken(opened, "windowed.gz", &replacing);
        taken_holds("windowed.gz", one.bytes + 777, CHUNK + 5);
        km_close(opened);
        km_close(window);
        km_close(map);
    }
    image_free(&one);
}

static void write_at(HANDLE file, uint64_t offset, const void *bytes, size_t length) {
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    DWORD done = 0;
    assert_true(WriteFile(file, bytes, (DWORD)length, &done, &at));
    assert_int_equal(done, length);
}

static void holes_are_chunks_of_zeros(void **state) {
    (void)state;
    const size_t size = 64 * CHUNK + 4000; /* its end, a short chunk, is a hole too */
    unsigned char *expected = calloc(1, size);
    assert_non_null(expected);
    HANDLE file =
        CreateFileW(W("holes"), GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL, CREATE_NEW, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    const DWORD sparse = km_platform_set_sparse(file);
    assert_true(sparse == ERROR_SUCCESS || sparse == ERROR_NOT_SUPPORTED);
    static const size_t places[] = {5 * CHUNK + 77, 6 * CHUNK - 2, 40 * CHUNK};
    for (size_t i = 0; i < 3; i++) {
        memset(expected + places[i], 'd', 4);
        write_at(file, places[i], "dddd", 4);
    }
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file));
    CloseHandle(file);
    for (size_t i = 0; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        km_map *map = NULL;
        assert_int_equal(km_open(&map, "holes", &options), KM_OK);
        assert_int_equal(taken(map, "holes.gz", &replacing).zero_chunks, 65 - 3);
        taken_holds("holes.gz", expected, size);
        km_close(map);
    }
    free(expected);
}

static void what_is_stored_into_a_hole_is_in_it(void **state) {
    (void)state;
    const km_options options = {
        .access = KM_WRITE, .flags = KM_OPEN_NEW | KM_OPEN_SPARSE, .size = 4 * CHUNK};
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "filled", &options), KM_OK);
    assert_int_equal(taken(map, "filled.gz", NULL).zero_chunks, 4);
    memcpy((char *)km_data(map) + 2 * CHUNK + 9, "now", 3);
    assert_int_equal(taken(map, "filled.gz", &replacing).zero_chunks, 3);
    taken_holds("filled.gz", km_data(map), 4 * CHUNK);
    km_close(map);
}

/* ---- Segments, and snapshots of snapshots -------------------------------------------------- */

static void a_segment_is_taken_with_its_type(void **state) {
    (void)state;
    const km_options options = {.access = KM_WRITE,
                                .flags = KM_OPEN_NEW,
                                .size = 2 * CHUNK + 17,
                                .type = "pairs of counters",
                                .type_version = 12};
    km_map *map = NULL;
    assert_int_equal(km_segment(&map, unique_name("snapshot"), &options), KM_OK);
    snapshot_text(km_data(map), 2 * CHUNK + 17, 4);
    (void)taken(map, "segment.gz", NULL);
    taken_holds("segment.gz", km_data(map), 2 * CHUNK + 17);
    const km_format_facts facts = taken_facts("segment.gz").facts;
    assert_int_equal(facts.source, KM_FORMAT_SEGMENT);
    assert_string_equal(facts.type, "pairs of counters");
    assert_int_equal(facts.type_version, 12);
    assert_int_equal(facts.volume, 0);
    km_close(map);
}

static void pages_of_a_section_never_committed_are_zeros(void **state) {
    (void)state;
    const size_t size = 4 * CHUNK;
    const char *name = unique_name("reserved");
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0,
                                        (DWORD)size, name);
    assert_non_null(section);
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    assert_non_null(VirtualAlloc(view + CHUNK + 4096, 4096, MEM_COMMIT, PAGE_READWRITE));
    memset(view + CHUNK + 4096, 'x', 4096);
    km_map *map = NULL;
    const km_options options = {.access = KM_WRITE};
    if (km_segment(&map, name, &options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    char *expected = calloc(1, size);
    assert_non_null(expected);
    memset(expected + CHUNK + 4096, 'x', 4096);
    (void)taken(map, "reserved.gz", NULL);
    taken_holds("reserved.gz", expected, size);
    assert_int_equal(taken_facts("reserved.gz").facts.type[0], 0);
    free(expected);
    km_close(map);
    UnmapViewOfFile(view);
    CloseHandle(section);
}

static void the_contents_of_a_snapshot_are_taken(void **state) {
    (void)state;
    image one = image_make("tzr", 9 * CHUNK + 5);
    image_snapshot(&one, "first.gz", &(snapshot_plan){0});
    km_map *map = NULL;
    if (km_open_snapshot(&map, "first.gz", NULL) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    (void)taken(map, "second.gz", NULL);
    taken_holds("second.gz", one.bytes, one.size);
    km_close(map);
    image_free(&one);
}

/* ---- What it says -------------------------------------------------------------------------- */

static void the_facts_say_what_was_taken_and_when(void **state) {
    (void)state;
    image one = image_make("t", CHUNK);
    km_map *map = taken_map(&one, "told", NULL);
    const uint64_t before = km_platform_now();
    (void)taken(map, "told.gz", NULL);
    const uint64_t after = km_platform_now();
    const km_reader told = taken_facts("told.gz");
    assert_in_range(told.facts.made_ns, before, after);
    assert_int_equal(told.facts.source, KM_FORMAT_FILE);
    assert_int_equal(told.facts.total, CHUNK);
    assert_int_equal(told.facts.hash_kind, KM_FORMAT_HASH_XXH3_128);
    static const uint8_t none[KM_ID_SIZE] = {0};
    assert_memory_equal(told.facts.since, none, sizeof none);
    assert_memory_not_equal(told.facts.id, none, sizeof none);
    HANDLE file = CreateFileW(W("told"), 0, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    BY_HANDLE_FILE_INFORMATION known;
    assert_true(GetFileInformationByHandle(file, &known));
    CloseHandle(file);
    assert_int_equal(told.facts.volume, known.dwVolumeSerialNumber);
    assert_int_equal(told.facts.number, km_size_join(known.nFileIndexHigh, known.nFileIndexLow));
    /* And no two have one id, or one seed. */
    (void)taken(map, "told.gz", &replacing);
    const km_reader again = taken_facts("told.gz");
    assert_memory_not_equal(again.facts.id, told.facts.id, sizeof told.facts.id);
    assert_true(again.facts.seed != told.facts.seed);
    km_close(map);
    image_free(&one);
}

/* ---- The target ---------------------------------------------------------------------------- */

static void an_existing_target_is_replaced_only_when_told_to(void **state) {
    (void)state;
    image one = image_make("t", CHUNK + 1);
    km_map *map = taken_map(&one, "source", NULL);
    scratch_write("target", "the target's own", 16);
    taken_not(KM_E_EXISTS, map, "target", NULL);
    assert_non_null(strstr(km_error_message(), "\"target\""));
    assert_true(scratch_equals("target", "the target's own", 16));
    (void)taken(map, "target", &replacing);
    taken_holds("target", one.bytes, one.size);
    km_close(map);
    image_free(&one);
}

static void a_map_is_not_replaced_by_a_snapshot_of_itself(void **state) {
    (void)state;
    image one = image_make("t", 100);
    km_map *map = taken_map(&one, "itself", NULL);
    taken_not(KM_E_BUSY, map, "itself", &replacing);
    taken_not(KM_E_BUSY, map, "./itself", &replacing);
    assert_non_null(strstr(km_error_message(), "by a snapshot of itself"));
    taken_not(KM_E_EXISTS, map, "itself", NULL);
    km_close(map);
    assert_true(scratch_equals("itself", one.bytes, one.size));
    image_free(&one);
}

static void a_target_that_is_mapped_is_busy(void **state) {
    (void)state;
    image one = image_make("t", 100);
    km_map *map = taken_map(&one, "from", NULL);
    km_map *user = taken_map(&one, "in use", NULL);
    taken_not(KM_E_BUSY, map, "in use", &replacing);
    km_close(user);
    (void)taken(map, "in use", &replacing);
    km_close(map);
    image_free(&one);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    static const km_snapshot_options nonsense[] = {
        {.flags = 0x80000000u},
        {.struct_size = 4},
        {.level = -2},
        {.level = 10},
        {.chunk_size = 32u << 10},
        {.chunk_size = 100000},
        {.chunk_size = 32u << 20},
        {.permissions = 0xFFFFFFFFu},
        {.flags = KM_SNAPSHOT_COMPARE}, /* with what? */
    };
    image one = image_make("t", 100);
    km_map *map = taken_map(&one, "sensible", NULL);
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        taken_not(KM_E_INVALID, map, "nonsense.gz", &nonsense[i]);
    }
    taken_not(KM_E_INVALID, map, NULL, NULL);
    taken_not(KM_E_INVALID, NULL, "nonsense.gz", NULL);
    taken_not(KM_E_INVALID, map, "", NULL);
    taken_not(KM_E_INVALID, map, "\xC3", NULL);
    taken_not(KM_E_NOT_FOUND, map, "missing/x.gz", NULL);
    taken_not(KM_E_EXISTS, map, ".", NULL);
    km_snapshot_report no_report = {.struct_size = 3};
    const km_snapshot_options bad_report = {.report = &no_report};
    assert_int_equal(km_snapshot(map, "nonsense.gz", &bad_report), KM_E_INVALID);
    km_close(map);
    km_map *segment = NULL;
    assert_int_equal(
        km_segment(&segment, NULL,
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10}),
        KM_OK);
    taken_not(KM_E_INVALID, segment, "nonsense.gz",
              &(km_snapshot_options){.flags = KM_SNAPSHOT_TRACK});
    km_close(segment);
    image_free(&one);
}

/* ---- Ends before the end ------------------------------------------------------------------- */

static void progress_goes_from_nothing_to_all(void **state) {
    (void)state;
    image one = image_make("trz", 20 * CHUNK + 1);
    for (size_t i = 0; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        taken_progress seen = {0};
        km_snapshot_options how = replacing;
        how.progress = taken_note;
        how.progress_arg = &seen;
        km_map *map = taken_map(&one, "watched", &options);
        (void)taken(map, "watched.gz", &how);
        assert_false(seen.out_of_order);
        assert_true(seen.calls >= 2);
        assert_int_equal(seen.first, 0);
        assert_int_equal(seen.last, one.size);
        assert_int_equal(seen.total, one.size);
        km_close(map);
    }
    image_free(&one);
}

static void cancelled_at_any_call_it_leaves_nothing(void **state) {
    (void)state;
    static const uint32_t threads[] = {1, 4};
    image one = image_make("tr", 12 * CHUNK + 1);
    km_map *map = taken_map(&one, "cancelled", NULL);
    scratch_write("cancelled.gz", "old", 3);
    for (size_t i = 0; i < 2; i++) {
        for (unsigned stop_at = 1; stop_at < 4; stop_at++) {
            taken_progress seen = {.stop_at = stop_at};
            const km_snapshot_options how = {.flags = KM_SNAPSHOT_REPLACE,
                                             .threads = threads[i],
                                             .chunk_size = CHUNK,
                                             .progress = taken_note,
                                             .progress_arg = &seen};
            /* With threads the calling one may have little to say, but first and last it does. */
            if (threads[i] > 1 && stop_at > 2) {
                continue;
            }
            taken_not(KM_E_CANCELLED, map, "cancelled.gz", &how);
            assert_int_equal(seen.calls, stop_at);
            assert_true(scratch_equals("cancelled.gz", "old", 3));
        }
    }
    km_close(map);
    image_free(&one);
}

#if !defined(_WIN32) /* Windows lets nobody cut a mapped file. */
static bool cut_file(uint64_t done, uint64_t total, void *arg) {
    (void)total;
    return done > 0 || truncate(arg, 5000) == 0;
}

static void a_file_cut_short_meanwhile_is_truncated(void **state) {
    (void)state;
    static char path[] = "cut";
    image one = image_make("t", 20 * CHUNK);
    for (size_t i = 0; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        const km_snapshot_options how = {
            .chunk_size = CHUNK, .progress = cut_file, .progress_arg = path};
        km_map *map = taken_map(&one, path, &options);
        taken_not(KM_E_TRUNCATED, map, "cut.gz", &how);
        assert_non_null(strstr(km_error_message(), "5000"));
        km_close(map);
    }
    image_free(&one);
}

static void a_file_cut_short_inside_its_last_page_or_hole_is_truncated(void **state) {
    (void)state;
    image one = image_make("t", 5000);
    for (size_t i = 0; i < ACCESSES; i++) {
        const km_options options = {.access = accesses[i]};
        km_map *map = taken_map(&one, "last page", &options);
        assert_int_equal(truncate("last page", 4500), 0);
        taken_not(KM_E_TRUNCATED, map, "last page.gz", NULL);
        assert_non_null(strstr(km_error_message(), "4500"));
        km_close(map);
    }
    image_free(&one);
    scratch_write("hole", "", 0);
    assert_int_equal(truncate("hole", 4 * CHUNK), 0);
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "hole", NULL), KM_OK);
    assert_int_equal(truncate("hole", 3 * CHUNK), 0);
    taken_not(KM_E_TRUNCATED, map, "hole.gz", NULL);
    km_close(map);
}
#endif

/* ---- A disk that fails --------------------------------------------------------------------- */

enum { NEVER = -1 };

/* The k-th call to write (0 on) or to one of the others fails; for one test at a time. */
static struct {
    int write_fails_at;
    bool sync_fails, name_fails, directory_fails;
    DWORD error;
    int writes, syncs;
    uint32_t longest; /* of the writes */
} disk;

static DWORD failing_write(HANDLE file, uint64_t offset, const void *from, uint32_t length) {
    disk.longest = length > disk.longest ? length : disk.longest;
    return disk.writes++ == disk.write_fails_at
               ? disk.error
               : km_io_default.write_at(file, offset, from, length);
}

static DWORD failing_sync(HANDLE file) {
    disk.syncs++;
    return disk.sync_fails ? disk.error : km_io_default.sync(file);
}

static DWORD failing_name(HANDLE file, const WCHAR *name) {
    return disk.name_fails ? disk.error : km_io_default.name(file, name);
}

static DWORD failing_rename(const WCHAR *from, const WCHAR *to, bool replace) {
    return disk.name_fails ? disk.error : km_io_default.rename(from, to, replace);
}

static DWORD failing_directory(const WCHAR *path) {
    disk.syncs++;
    return disk.directory_fails ? disk.error : km_io_default.sync_directory(path);
}

static km_io failing_disk(void) {
    km_io io = km_io_default;
    io.write_at = failing_write;
    io.sync = failing_sync;
    io.name = failing_name;
    io.rename = failing_rename;
    io.sync_directory = failing_directory;
    memset(&disk, 0, sizeof disk);
    disk.write_fails_at = NEVER;
    disk.error = ERROR_DISK_FULL;
    return io;
}

static void a_disk_that_is_full_at_any_write_leaves_nothing(void **state) {
    (void)state;
    image one = image_make("rrrt", 256 * CHUNK); /* more than is written at once */
    km_map *map = taken_map(&one, "written", NULL);
    const km_io io = failing_disk();
    const km_snapshot_options how = {.chunk_size = CHUNK, .threads = 3};
    const size_t entries = scratch_entries();
    for (int k = 0;; k++) {
        disk.writes = 0;
        disk.write_fails_at = k;
        const km_status status = km_snapshot_through(&io, map, "written.gz", &how);
        if (disk.writes <= k) {
            assert_int_equal(status, KM_OK);
            assert_true(k > 3);
            break;
        }
        assert_int_equal(status, KM_E_NO_SPACE);
        assert_non_null(strstr(km_error_message(), "written.gz"));
        assert_int_equal(disk.writes, k + 1);
        assert_int_equal(scratch_entries(), entries);
    }
    taken_holds("written.gz", one.bytes, one.size);
    km_close(map);
    image_free(&one);
}

static uint32_t longest_write(km_map *map, uint32_t chunk_size, uint32_t flags) {
    const km_io io = failing_disk();
    const km_snapshot_options how = {.level = KM_LEVEL_STORED,
                                     .flags = KM_SNAPSHOT_REPLACE | flags,
                                     .chunk_size = chunk_size,
                                     .threads = 2};
    assert_int_equal(km_snapshot_through(&io, map, "way.gz", &how), KM_OK);
    return disk.longest;
}

/* Past the cache, where the file system lets us, writes are longer. */
static void which_way_it_is_written_depends_on_its_size_and_not_on_its_chunks(void **state) {
    (void)state;
    image large = image_make("r", 256 * CHUNK);
    image small = image_make("r", 128 * CHUNK);
    km_map *large_map = taken_map(&large, "large", NULL);
    km_map *small_map = taken_map(&small, "small", NULL);
    const uint32_t through = longest_write(large_map, CHUNK, KM_SNAPSHOT_NO_SYNC);
    assert_int_equal(longest_write(large_map, CHUNK, 0), longest_write(large_map, 256 * CHUNK, 0));
    assert_int_equal(longest_write(small_map, CHUNK, 0), through);
    taken_holds("way.gz", small.bytes, small.size);
    km_close(large_map);
    km_close(small_map);
    image_free(&large);
    image_free(&small);
}

static void a_failure_to_sync_or_to_name_leaves_nothing(void **state) {
    (void)state;
    image one = image_make("t", CHUNK);
    km_map *map = taken_map(&one, "synced", NULL);
    const size_t entries = scratch_entries();
    for (int what = 0; what < 3; what++) {
        const km_io io = failing_disk();
        disk.error = ERROR_WRITE_FAULT;
        disk.sync_fails = what == 0;
        disk.name_fails = what == 1;
        disk.directory_fails = what == 2;
        assert_int_equal(km_snapshot_through(&io, map, "synced.gz", NULL), KM_E_IO);
        assert_int_equal(scratch_entries(), entries);
    }
    km_close(map);
    image_free(&one);
}

static void without_sync_nothing_is_synced(void **state) {
    (void)state;
    image one = image_make("t", CHUNK);
    km_map *map = taken_map(&one, "quick", NULL);
    const km_io io = failing_disk();
    const km_snapshot_options how = {.flags = KM_SNAPSHOT_NO_SYNC};
    assert_int_equal(km_snapshot_through(&io, map, "quick.gz", &how), KM_OK);
    assert_int_equal(disk.syncs, 0);
    taken_holds("quick.gz", one.bytes, one.size);
    assert_int_equal(km_snapshot_through(&io, map, "quick 2.gz", NULL), KM_OK);
    assert_int_equal(disk.syncs, 2);
    km_close(map);
    image_free(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_around_a_chunk_boundary_comes_back),
        cmocka_unit_test(every_level_holds_the_same_bytes),
        cmocka_unit_test(every_chunk_size_holds_the_same_bytes),
        cmocka_unit_test(any_number_of_threads_packs_the_same),
        cmocka_unit_test(an_index_of_several_members_is_whole),
        cmocka_unit_test(stores_not_flushed_and_private_ones_are_in_it),
        cmocka_unit_test(a_window_is_taken_by_itself),
        cmocka_unit_test(holes_are_chunks_of_zeros),
        cmocka_unit_test(what_is_stored_into_a_hole_is_in_it),
        cmocka_unit_test(a_segment_is_taken_with_its_type),
        cmocka_unit_test(pages_of_a_section_never_committed_are_zeros),
        cmocka_unit_test(the_contents_of_a_snapshot_are_taken),
        cmocka_unit_test(the_facts_say_what_was_taken_and_when),
        cmocka_unit_test(an_existing_target_is_replaced_only_when_told_to),
        cmocka_unit_test(a_map_is_not_replaced_by_a_snapshot_of_itself),
        cmocka_unit_test(a_target_that_is_mapped_is_busy),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(progress_goes_from_nothing_to_all),
        cmocka_unit_test(cancelled_at_any_call_it_leaves_nothing),
#if !defined(_WIN32)
        cmocka_unit_test(a_file_cut_short_meanwhile_is_truncated),
        cmocka_unit_test(a_file_cut_short_inside_its_last_page_or_hole_is_truncated),
#endif
        cmocka_unit_test(a_disk_that_is_full_at_any_write_leaves_nothing),
        cmocka_unit_test(which_way_it_is_written_depends_on_its_size_and_not_on_its_chunks),
        cmocka_unit_test(a_failure_to_sync_or_to_name_leaves_nothing),
        cmocka_unit_test(without_sync_nothing_is_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
