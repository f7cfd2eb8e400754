/*
 * test_snapshot_reader.c - a snapshot in a file, read at random; and files that lie with right
 * sums, change or shrink while they are read.
 *
 * With other codecs: the reader refuses the same.
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

#include "platform.h"
#include "size.h"
#include "snapshot_reader.h"
#include "support/scratch.h"
#include "support/snapshot_builder.h"
#include "support/thread.h"

#define CHUNK ((size_t)65536)
#define SIZE (3 * CHUNK + 100) /* text, zeros, noise, text */
#define MEMBERS 6
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

typedef struct sample {
    unsigned char *image;
    unsigned char *bytes;
    size_t length;
    snapshot_member members[MEMBERS];
} sample;

static sample make_sample(void) {
    sample made = {.image = calloc(1, SIZE)};
    const snapshot_plan plan = {.level = 1, .id = 5, .seed = 1234};
    assert_non_null(made.image);
    snapshot_text(made.image, CHUNK, 1);
    snapshot_noise(made.image + 2 * CHUNK, CHUNK, 2);
    snapshot_text(made.image + 3 * CHUNK, 100, 3);
    made.bytes = snapshot_build(made.image, SIZE, &plan, &made.length);
    assert_int_equal(snapshot_members(made.bytes, made.length, made.members, MEMBERS), MEMBERS);
    return made;
}

static void drop_sample(sample *one) {
    free(one->bytes);
    free(one->image);
}

static km_reader *open_reader(const char *path) {
    km_reader *reader = NULL;
    assert_int_equal(km_reader_open(&reader, path), KM_OK);
    return reader;
}

/* With the sentence, which names the file and says `words`. */
static void expect_refused(const char *path, km_status expected, const char *words) {
    km_reader *reader = NULL;
    assert_int_equal(km_reader_open(&reader, path), expected);
    assert_null(reader);
    assert_non_null(strstr(km_error_message(), path));
    assert_non_null(strstr(km_error_message(), words));
}

static void write_at(const char *path, uint64_t offset, const void *bytes, uint32_t length) {
    HANDLE file = CreateFileA(path, GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    OVERLAPPED at = {.Offset = km_size_low(offset), .OffsetHigh = km_size_high(offset)};
    DWORD done = 0;
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(WriteFile(file, bytes, length, &done, &at));
    assert_int_equal(done, length);
    CloseHandle(file);
}

static void set_size(const char *path, uint64_t size) {
    HANDLE file = CreateFileA(path, GENERIC_WRITE, SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
    assert_true(SetEndOfFile(file));
    CloseHandle(file);
}

/* ---- What it reads ------------------------------------------------------------------------- */

static void the_reader_knows_facts_entries_and_places(void **state) {
    (void)state;
    sample one = make_sample();
    km_format_entry entry;
    scratch_write("whole.gz", one.bytes, one.length);
    km_reader *reader = open_reader("whole.gz");
    assert_string_equal(reader->path, "whole.gz");
    assert_int_equal(reader->input.size, one.length);
    assert_int_equal(reader->facts.total, SIZE);
    assert_int_equal(reader->facts.id[0], 5);
    assert_false(reader->total_from_footer);
    assert_int_equal(reader->footer.chunks, 4);
    for (size_t chunk = 0; chunk <= 4; chunk++) {
        assert_int_equal(reader->offsets[chunk], one.members[chunk].offset);
    }
    km_reader_entry(reader, 1, &entry);
    assert_int_equal(entry.flags, KM_CHUNK_ZEROS);
    km_reader_entry(reader, 2, &entry);
    assert_int_equal(entry.flags, KM_CHUNK_STORED);
    km_reader_entry(reader, 3, &entry);
    assert_int_equal(entry.raw_length, 100);
    km_reader_close(reader);
    drop_sample(&one);
}

static void a_total_that_the_facts_did_not_know_is_the_footers(void **state) {
    (void)state;
    size_t length = 0;
    static unsigned char image[1000];
    uint8_t raw[1000];
    km_unpacker *unpacker = NULL;
    const snapshot_plan plan = {.total_unknown = true, .source = KM_FORMAT_STREAM};
    unsigned char *bytes = snapshot_build(image, sizeof image, &plan, &length);
    scratch_write("streamed.gz", bytes, length);
    free(bytes);
    km_reader *reader = open_reader("streamed.gz");
    assert_true(reader->total_from_footer);
    assert_int_equal(reader->facts.total, sizeof image);
    void *member = malloc(km_reader_member_room(reader));
    assert_int_equal(km_unpacker_make(&unpacker), KM_OK);
    assert_int_equal(km_reader_chunk(reader, unpacker, 0, member, raw), KM_OK);
    assert_memory_equal(raw, image, sizeof image);
    km_unpacker_free(unpacker);
    free(member);
    km_reader_close(reader);
}

typedef struct reading {
    const km_reader *reader;
    const sample *one;
    size_t wrong;
} reading;

/* All chunks, again and again, backwards. */
static void read_chunks(void *arg) {
    reading *mine = arg;
    const km_reader *reader = mine->reader;
    void *member = malloc(km_reader_member_room(reader));
    unsigned char *raw = malloc(km_reader_raw_room(reader));
    km_unpacker *unpacker = NULL;
    mine->wrong = member == NULL || raw == NULL || km_unpacker_make(&unpacker) != KM_OK;
    for (unsigned i = 0; mine->wrong == 0 && i < 40; i++) {
        const uint64_t chunk = 3 - i % 4;
        const size_t length = chunk == 3 ? 100 : CHUNK;
        const uint8_t *packed = NULL;
        mine->wrong += km_reader_chunk(reader, unpacker, chunk, member, raw) != KM_OK;
        mine->wrong += memcmp(raw, mine->one->image + chunk * CHUNK, length) != 0;
        mine->wrong += km_reader_member(reader, chunk, member, &packed) != KM_OK;
        mine->wrong += packed != (uint8_t *)member + km_format_head_size(chunk);
    }
    km_unpacker_free(unpacker);
    free(raw);
    free(member);
}

static void threads_read_chunks_at_once(void **state) {
    (void)state;
    sample one = make_sample();
    thread *threads[4];
    reading readings[4];
    scratch_write("shared.gz", one.bytes, one.length);
    km_reader *reader = open_reader("shared.gz");
    for (size_t i = 0; i < 4; i++) {
        readings[i] = (reading){.reader = reader, .one = &one};
        threads[i] = thread_start(read_chunks, &readings[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        thread_join(threads[i]);
        assert_int_equal(readings[i].wrong, 0);
    }
    km_reader_close(reader);
    drop_sample(&one);
}

/* ---- What is no snapshot ------------------------------------------------------------------- */

static void what_is_no_snapshot_is_refused(void **state) {
    (void)state;
    static const unsigned char noise[4000] = "no snapshot";
    km_reader *reader = NULL;
    scratch_write("noise", noise, sizeof noise);
    scratch_write("nothing", "", 0);
    expect_refused("noise", KM_E_CORRUPT, "does not end as a snapshot does");
    expect_refused("nothing", KM_E_CORRUPT, "does not end as a snapshot does");
    expect_refused("missing", KM_E_NOT_FOUND, "cannot open");
    expect_refused(".", KM_E_INVALID, "directory");
    assert_int_equal(km_reader_open(&reader, NULL), KM_E_INVALID);
    assert_int_equal(km_reader_open(&reader, ""), KM_E_INVALID);
    assert_null(reader);
    km_reader_close(NULL);
}

static void a_snapshot_shows_at_its_first_bytes(void **state) {
    (void)state;
    static const unsigned char gzip[40] = {0x1f, 0x8b, 8};
    sample one = make_sample();
    scratch_write("look.gz", one.bytes, one.length);
    scratch_write("cut.gz", one.bytes, 20);
    scratch_write("short.gz", one.bytes, 19);
    scratch_write("inside.gz", one.bytes + one.members[4].offset,
                  one.length - one.members[4].offset);
    scratch_write("gzip.gz", gzip, sizeof gzip);
    drop_sample(&one);
    expect_refused("missing", KM_E_NOT_FOUND, "missing");
    char before[KM_TYPE_SIZE * 8];
    assert_true(strlen(km_error_message()) < sizeof before);
    memcpy(before, km_error_message(), strlen(km_error_message()) + 1);
    assert_true(km_reader_looks_like_one("look.gz"));
    assert_true(km_reader_looks_like_one("cut.gz"));
    assert_false(km_reader_looks_like_one("short.gz"));
    assert_false(km_reader_looks_like_one("inside.gz"));
    assert_false(km_reader_looks_like_one("gzip.gz"));
    assert_false(km_reader_looks_like_one("not there"));
    assert_false(km_reader_looks_like_one("."));
    assert_false(km_reader_looks_like_one(""));
    assert_false(km_reader_looks_like_one(NULL));
    assert_string_equal(km_error_message(), before);
}

/* ---- Lies with right sums ------------------------------------------------------------------ */

/* A number somewhere in a member is another one; all sums are right. */
typedef struct lie {
    size_t member, at, size;
    uint64_t value;
    const char *words;
} lie;

#define INDEX 4
#define FOOTER 5
#define ENTRY(chunk) (32 + 36 * (chunk))

static void numbers_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    sample one = make_sample();
    const unsigned char *index = one.bytes + one.members[INDEX].offset;
    const uint64_t packed = snapshot_get(index + ENTRY(2), 4);
    const uint64_t zeros = snapshot_get(index + ENTRY(1), 4);
    const lie lies[] = {
        {FOOTER, 24, 8, SIZE - 1, "impossible entry for chunk 3"},
        {FOOTER, 24, 8, 4 * CHUNK, "impossible entry for chunk 3"},
        {FOOTER, 24, 8, 4 * CHUNK + 1, "does not end as"},
        {FOOTER, 24, 8, INT64_MAX, "does not end as"},
        {FOOTER, 32, 8, 5, "does not end as"},
        {FOOTER, 40, 8, one.members[INDEX].offset - 1, "not as long as"},
        {FOOTER, 40, 8, one.members[INDEX].offset + 1, "not as long as"},
        {FOOTER, 40, 8, INT64_MAX, "not as long as"},
        {FOOTER, 56, 1, 99, "contradict each other"},
        {INDEX, 24, 8, 454, "index is damaged"},
        {INDEX, ENTRY(1), 4, UINT32_MAX, "impossible entry for chunk 1"},
        {INDEX, ENTRY(1), 4, 8, "impossible entry for chunk 1"},
        {INDEX, ENTRY(1), 4, 5000, "impossible entry for chunk 2"}, /* no room is left for it */
        {INDEX, ENTRY(1), 4, zeros - 1, "do not end where"},
        {INDEX, ENTRY(2), 4, packed - 1, "impossible entry for chunk 2"},
        {INDEX, ENTRY(1) + 4, 4, CHUNK - 1, "impossible entry for chunk 1"},
        {INDEX, ENTRY(3) + 4, 4, 0, "impossible entry for chunk 3"},
        {INDEX, ENTRY(3) + 4, 4, 101, "impossible entry for chunk 3"},
        {INDEX, ENTRY(2) + 8, 1, 3, "impossible entry for chunk 2"},
        {INDEX, ENTRY(2) + 9, 1, 1, "impossible entry for chunk 2"},
        {INDEX, ENTRY(0) + 12, 8, 1, "contradict each other"},
        {0, 44, 1, 99, "contradict each other"}, /* id */
        {0, 44 + 56, 1, 17, "first member"},     /* chunk size */
        {0, 44 + 57, 1, 2, "first member"},      /* kind of hash */
        {0, 44 + 32, 8, SIZE + 1, "contradict each other"},
        {0, 44 + 32, 8, 5, "first member"},
        {0, 24, 8, 1, "first member"},
        {0, 36, 8, 1, "contradict each other"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        unsigned char *bytes = malloc(one.length);
        assert_non_null(bytes);
        memcpy(bytes, one.bytes, one.length);
        snapshot_put(bytes + one.members[lies[i].member].offset + lies[i].at, lies[i].size,
                     lies[i].value);
        snapshot_seal(bytes, one.members, MEMBERS);
        scratch_write("lie.gz", bytes, one.length);
        free(bytes);
        expect_refused("lie.gz", KM_E_CORRUPT, lies[i].words);
    }
    snapshot_seal(one.bytes, one.members, MEMBERS);
    scratch_write("lie.gz", one.bytes, one.length);
    km_reader_close(open_reader("lie.gz"));
    drop_sample(&one);
}

/* Heads are read with their chunks. */
static void a_head_that_contradicts_its_entry_is_refused(void **state) {
    (void)state;
    static const lie lies[] = {
        {2, 18, 1, 0, ""},     {2, 20, 4, CHUNK - 1, ""}, {2, 24, 8, 1, ""},
        {2, 32, 4, CHUNK, ""}, {2, 36, 8, 1, ""},
    };
    sample one = make_sample();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        unsigned char *bytes = malloc(one.length);
        km_unpacker *unpacker = NULL;
        const uint8_t *packed = NULL;
        assert_non_null(bytes);
        memcpy(bytes, one.bytes, one.length);
        snapshot_put(bytes + one.members[2].offset + lies[i].at, lies[i].size, lies[i].value);
        snapshot_seal(bytes, one.members, MEMBERS);
        scratch_write("head.gz", bytes, one.length);
        free(bytes);
        km_reader *reader = open_reader("head.gz");
        void *member = malloc(km_reader_member_room(reader));
        void *raw = malloc(km_reader_raw_room(reader));
        assert_int_equal(km_unpacker_make(&unpacker), KM_OK);
        assert_int_equal(km_reader_chunk(reader, unpacker, 2, member, raw), KM_E_CORRUPT);
        assert_non_null(strstr(km_error_message(), "chunk 2 of \"head.gz\" (bytes 131072 up to "
                                                   "196608 of the image)"));
        assert_int_equal(km_reader_member(reader, 2, member, &packed), KM_E_CORRUPT);
        assert_null(packed);
        assert_int_equal(km_reader_chunk(reader, unpacker, 1, member, raw), KM_OK);
        km_unpacker_free(unpacker);
        free(raw);
        free(member);
        km_reader_close(reader);
    }
    drop_sample(&one);
}

/* ---- Promises of much ---------------------------------------------------------------------- */

/* Had the memory been taken on the footer's word there would have been none. */
static void a_footer_that_promises_an_endless_index_takes_no_memory(void **state) {
    (void)state;
    const uint64_t chunks = (uint64_t)1 << 34;
    km_format_footer footer = {
        .chunk_shift = 16,
        .hash_kind = KM_FORMAT_HASH_XXH3_128,
        .total = chunks << 16,
        .chunks = chunks,
        .index_offset = 112 + 61 * chunks,
    };
    uint8_t bytes[KM_FORMAT_FOOTER_SIZE];
    const uint64_t end = footer.index_offset + km_format_index_size(chunks);
    HANDLE file = CreateFileA("endless.gz", GENERIC_READ | GENERIC_WRITE, SHARE_ALL, NULL,
                              CREATE_ALWAYS, 0, NULL);
    LARGE_INTEGER place = {.QuadPart = (LONGLONG)(end + sizeof bytes)};
    DWORD done = 0;
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    const bool sparse = km_platform_set_sparse(file) == ERROR_SUCCESS &&
                        SetFilePointerEx(file, place, NULL, FILE_BEGIN) && SetEndOfFile(file);
    if (!sparse) { /* the file system has no files of that size */
        CloseHandle(file);
        scratch_remove("endless.gz");
        skip();
    }
    OVERLAPPED at = {.Offset = km_size_low(end), .OffsetHigh = km_size_high(end)};
    km_format_footer_write(&footer, bytes);
    assert_true(WriteFile(file, bytes, sizeof bytes, &done, &at));
    CloseHandle(file);
    expect_refused("endless.gz", KM_E_CORRUPT, "its index is damaged at byte");
    scratch_remove("endless.gz");
}

static void a_footer_whose_numbers_are_beyond_any_file_is_refused(void **state) {
    (void)state;
    static const struct {
        uint64_t total, chunks, index_offset;
    } rows[] = {
        {KM_FORMAT_TOTAL_MAX, KM_FORMAT_CHUNKS_MAX, KM_FORMAT_TOTAL_MAX},
        {UINT64_MAX, (uint64_t)1 << 48, 5000},
        {UINT64_MAX - 1, (uint64_t)1 << 48, UINT64_MAX},
        {0, 0, 0},
        {CHUNK, 1, UINT64_MAX - 50},
        {CHUNK * 100, 100, 0},
    };
    static unsigned char bytes[6000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const km_format_footer footer = {
            .chunk_shift = 16,
            .hash_kind = KM_FORMAT_HASH_XXH3_128,
            .total = rows[i].total,
            .chunks = rows[i].chunks,
            .index_offset = rows[i].index_offset,
        };
        km_format_footer_write(&footer, bytes + sizeof bytes - KM_FORMAT_FOOTER_SIZE);
        scratch_write("beyond.gz", bytes, sizeof bytes);
        expect_refused("beyond.gz", KM_E_CORRUPT, "cannot use");
    }
}

/* ---- While it is read ---------------------------------------------------------------------- */

static void a_file_cut_short_or_changed_under_the_reader_is_found(void **state) {
    (void)state;
    sample one = make_sample();
    const uint8_t *packed = NULL;
    scratch_write("moving.gz", one.bytes, one.length);
    km_reader *reader = open_reader("moving.gz");
    void *member = malloc(km_reader_member_room(reader));
    const unsigned char changed = one.bytes[one.members[1].offset + 60] ^ 1u;
    write_at("moving.gz", one.members[1].offset + 60, &changed, 1);
    assert_int_equal(km_reader_member(reader, 1, member, &packed), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "packed bytes are damaged"));
    assert_null(packed);
    set_size("moving.gz", one.members[2].offset + 70);
    assert_int_equal(km_reader_member(reader, 2, member, &packed), KM_E_CORRUPT);
    assert_non_null(strstr(km_error_message(), "cut short"));
    assert_int_equal(km_reader_member(reader, 0, member, &packed), KM_OK);
    free(member);
    km_reader_close(reader);
    drop_sample(&one);
}

static void an_open_snapshot_can_be_deleted_and_is_still_read(void **state) {
    (void)state;
    sample one = make_sample();
    const uint8_t *packed = NULL;
    scratch_write("deleted.gz", one.bytes, one.length);
    km_reader *reader = open_reader("deleted.gz");
    void *member = malloc(km_reader_member_room(reader));
    assert_true(DeleteFileA("deleted.gz"));
    assert_int_equal(km_reader_member(reader, 3, member, &packed), KM_OK);
    free(member);
    km_reader_close(reader);
    assert_int_equal(scratch_size("deleted.gz"), -1);
    drop_sample(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_knows_facts_entries_and_places),
        cmocka_unit_test(a_total_that_the_facts_did_not_know_is_the_footers),
        cmocka_unit_test(threads_read_chunks_at_once),
        cmocka_unit_test(what_is_no_snapshot_is_refused),
        cmocka_unit_test(a_snapshot_shows_at_its_first_bytes),
        cmocka_unit_test(numbers_that_contradict_each_other_are_refused),
        cmocka_unit_test(a_head_that_contradicts_its_entry_is_refused),
        cmocka_unit_test(a_footer_that_promises_an_endless_index_takes_no_memory),
        cmocka_unit_test(a_footer_whose_numbers_are_beyond_any_file_is_refused),
        cmocka_unit_test(a_file_cut_short_or_changed_under_the_reader_is_found),
        cmocka_unit_test(an_open_snapshot_can_be_deleted_and_is_still_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
