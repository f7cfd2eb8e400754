/*
 * snapshot_taken.c - snapshots that km_snapshot has made, looked at through the reader.
 */
#include "snapshot_taken.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/scratch.h"

km_map *taken_map(const image *one, const char *path, const km_options *options) {
    km_map *map = NULL;
    scratch_write(path, one->bytes, one->size);
    if (km_open(&map, path, options) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    return map;
}

km_snapshot_report taken(km_map *map, const char *path, const km_snapshot_options *options) {
    km_snapshot_report report = {.struct_size = sizeof report};
    km_snapshot_options wanted = {.chunk_size = IMAGE_CHUNK};
    if (options != NULL) {
        wanted = *options;
    }
    wanted.report = &report;
    if (km_snapshot(map, path, &wanted) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    if (path != NULL) {
        assert_int_equal(report.packed_size, scratch_size(path));
    }
    if (map != NULL) {
        assert_int_equal(report.size, km_size(map));
    }
    assert_true(report.threads >= 1);
    assert_true(report.chunks >= report.zero_chunks && report.chunks >= report.reused_chunks);
    assert_true(report.reused_chunks + report.zero_chunks >= report.unread_chunks);
    return report;
}

void taken_holds(const char *path, const void *bytes, size_t size) {
    km_reader *reader = NULL;
    km_unpacker *unpacker = NULL;
    if (km_reader_open(&reader, path) != KM_OK || km_unpacker_make(&unpacker) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    assert_int_equal(reader->footer.total, size);
    const size_t chunk_size = km_reader_raw_room(reader);
    unsigned char *raw = malloc(chunk_size);
    unsigned char *member = malloc(km_reader_member_room(reader));
    assert_non_null(raw);
    assert_non_null(member);
    uint64_t compared = 0;
    for (uint64_t chunk = 0; chunk < reader->footer.chunks; chunk++) {
        km_format_entry entry;
        km_reader_entry(reader, chunk, &entry);
        if (km_reader_chunk(reader, unpacker, chunk, member, raw) != KM_OK) {
            fail_msg("%s", km_error_message());
        }
        assert_memory_equal(raw, (const char *)bytes + chunk * chunk_size, entry.raw_length);
        compared += entry.raw_length;
    }
    assert_int_equal(compared, size);
    free(member);
    free(raw);
    km_unpacker_free(unpacker);
    km_reader_close(reader);
}

km_reader taken_facts(const char *path) {
    km_reader *reader = NULL;
    if (km_reader_open(&reader, path) != KM_OK) {
        fail_msg("%s", km_error_message());
    }
    km_reader facts = *reader;
    facts.path = NULL;
    facts.entries = NULL;
    facts.offsets = NULL;
    km_reader_close(reader);
    return facts;
}

bool taken_same_chunk(const char *one, const char *other, uint64_t chunk) {
    const char *const paths[] = {one, other};
    unsigned char *members[2] = {NULL, NULL};
    const uint8_t *packed[2] = {NULL, NULL};
    km_format_entry entries[2];
    for (size_t i = 0; i < 2; i++) {
        km_reader *reader = NULL;
        if (km_reader_open(&reader, paths[i]) != KM_OK) {
            fail_msg("%s", km_error_message());
        }
        members[i] = malloc(km_reader_member_room(reader));
        assert_non_null(members[i]);
        assert_int_equal(km_reader_member(reader, chunk, members[i], &packed[i]), KM_OK);
        km_reader_entry(reader, chunk, &entries[i]);
        km_reader_close(reader);
    }
    const bool same = entries[0].packed_length == entries[1].packed_length &&
                      entries[0].flags == entries[1].flags &&
                      memcmp(packed[0], packed[1], entries[0].packed_length) == 0;
    free(members[0]);
    free(members[1]);
    return same;
}

void taken_not(km_status expected, km_map *map, const char *path,
               const km_snapshot_options *options) {
    km_snapshot_report report = {.struct_size = sizeof report, .chunks = 77};
    km_snapshot_options wanted = {.chunk_size = IMAGE_CHUNK};
    const size_t entries = scratch_entries();
    if (options != NULL) {
        wanted = *options;
    }
    wanted.report = &report;
    const km_status status = km_snapshot(map, path, &wanted);
    if (status != expected) {
        fail_msg("%s: %s", km_strerror(status), km_error_message());
    }
    assert_true(km_error_message()[0] != '\0');
    assert_int_equal(scratch_entries(), entries);
    assert_int_equal(report.chunks, 77);
}

bool taken_note(uint64_t done, uint64_t total, void *arg) {
    taken_progress *seen = arg;
    if (seen->calls == 0) {
        seen->first = done;
    } else if (done < seen->last || total != seen->total) {
        seen->out_of_order = true;
    }
    seen->last = done;
    seen->total = total;
    seen->calls++;
    return seen->calls != seen->stop_at;
}
