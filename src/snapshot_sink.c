/*
 * snapshot_sink.c - where a snapshot's members go to, in their order: a draft file, or a stream.
 */
#include "snapshot_sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "platform.h"
#include "size.h"
#include "status.h"

/* What is gathered for a stream; a member of a quarter of it is handed on by itself. */
#define GATHER_SIZE ((size_t)256 << 10)
#define LARGE_MEMBER (GATHER_SIZE / 4)

#define FIRST_ROOM 1024u

/* ---- Beginning and end --------------------------------------------------------------------- */

static km_status fail_index(uint64_t chunks) {
    return km_fail(KM_E_NO_MEMORY,
                   "cannot make a snapshot: no memory for the index of %" PRIu64 " chunks", chunks);
}

static km_status make_room(km_sink *sink, uint64_t chunks) {
    if (chunks > SIZE_MAX / KM_FORMAT_ENTRY_SIZE) {
        return fail_index(chunks);
    }
    uint8_t *entries = realloc(sink->entries, (size_t)chunks * KM_FORMAT_ENTRY_SIZE);
    if (entries == NULL) {
        return fail_index(chunks);
    }
    sink->entries = entries;
    sink->room = chunks;
    return KM_OK;
}

/* Room for what is on its way. */
static km_status make_way(km_sink *sink) {
    DWORD error = ERROR_SUCCESS;
    if (sink->draft != NULL) {
        error = km_append_begin(&sink->append, sink->draft->io, sink->draft->file, sink->bypass);
    } else {
        sink->gathered = malloc(GATHER_SIZE);
    }
    return error == ERROR_SUCCESS && (sink->append != NULL || sink->gathered != NULL)
               ? KM_OK
               : km_fail(KM_E_NO_MEMORY, "cannot make a snapshot: no memory for its buffers");
}

static km_status begin(km_sink *sink, const km_sink *as, uint64_t chunks) {
    km_sink made = *as;
    km_status status = make_way(&made);
    if (status == KM_OK) {
        status = make_room(&made, chunks != 0 ? chunks : FIRST_ROOM);
    }
    if (status != KM_OK) {
        km_sink_free(&made);
        return status;
    }
    *sink = made;
    return KM_OK;
}

km_status km_sink_to_draft(km_sink *sink, const km_draft *draft, bool bypass, uint64_t chunks) {
    return begin(sink, &(km_sink){.draft = draft, .bypass = bypass}, chunks);
}

km_status km_sink_to_stream(km_sink *sink, km_write_function write, void *arg, uint64_t chunks) {
    return begin(sink, &(km_sink){.write = write, .write_arg = arg}, chunks);
}

void km_sink_free(km_sink *sink) {
    km_append_free(sink->append);
    free(sink->entries);
    free(sink->gathered);
    sink->entries = NULL;
    sink->gathered = NULL;
    sink->append = NULL;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* `size`: of the file, had it not failed. */
static km_status fail_writing(const km_sink *sink, DWORD error, uint64_t size) {
    /* Past the longest file that there may be, systems too speak of a full disk. */
    const DWORD allowed = error == ERROR_DISK_FULL
                              ? km_platform_growth_allowed(sink->draft->file, size)
                              : ERROR_SUCCESS;
    return km_fail_system(allowed == ERROR_SUCCESS ? error : allowed,
                          "cannot write the snapshot \"%s\": it failed after %" PRIu64 " bytes",
                          sink->draft->path, km_append_written(sink->append));
}

/* Hands on `length` bytes, whose place in the snapshot is `at`, to the stream. */
static km_status hand_on(const km_sink *sink, uint64_t at, const void *bytes, size_t length) {
    km_status status = sink->write(bytes, length, sink->write_arg);
    return status == KM_OK
               ? KM_OK
               : km_fail(status,
                         "cannot write the snapshot to the stream: its write function returned "
                         "%s after %" PRIu64 " bytes",
                         km_strerror(status), at);
}

static km_status hand_on_gathered(km_sink *sink) {
    const size_t length = sink->gathered_length;
    sink->gathered_length = 0;
    return length == 0 ? KM_OK : hand_on(sink, sink->given - length, sink->gathered, length);
}

static km_status give_to_stream(km_sink *sink, const void *bytes, size_t length) {
    km_status status = KM_OK;
    if (length > GATHER_SIZE - sink->gathered_length || length >= LARGE_MEMBER) {
        status = hand_on_gathered(sink);
    }
    if (status == KM_OK && length >= LARGE_MEMBER) {
        return hand_on(sink, sink->given, bytes, length);
    }
    if (status == KM_OK) {
        memcpy(sink->gathered + sink->gathered_length, bytes, length);
        sink->gathered_length += length;
    }
    return status;
}

static km_status give(km_sink *sink, const void *bytes, size_t length) {
    km_status status = KM_OK;
    if (sink->append == NULL) {
        status = give_to_stream(sink, bytes, length);
    } else {
        const DWORD error = km_append_give(sink->append, bytes, length);
        status = error == ERROR_SUCCESS ? KM_OK : fail_writing(sink, error, sink->given + length);
    }
    if (status == KM_OK) {
        sink->given += length;
    }
    return status;
}

km_status km_sink_member(km_sink *sink, const km_format_entry *entry, const void *member,
                         size_t length) {
    km_status status = sink->chunks < sink->room ? KM_OK : make_room(sink, 2 * sink->room);
    if (status == KM_OK) {
        status = give(sink, member, length);
    }
    if (status == KM_OK) {
        km_format_entry_write(entry, sink->entries + sink->chunks * KM_FORMAT_ENTRY_SIZE);
        sink->chunks++;
        sink->total += entry->raw_length;
    }
    return status;
}

/* ---- Index and footer ---------------------------------------------------------------------- */

/* *sum: of all index members. */
static km_status give_index(km_sink *sink, uint8_t *member, uint64_t *sum) {
    km_status status = KM_OK;
    km_checksum_state *summing = km_checksum_begin();
    if (summing == NULL) {
        return fail_index(sink->chunks);
    }
    for (uint64_t first = 0; status == KM_OK && first < sink->chunks;) {
        const uint64_t left = sink->chunks - first;
        const uint32_t count =
            left < KM_FORMAT_INDEX_ENTRIES ? (uint32_t)left : KM_FORMAT_INDEX_ENTRIES;
        km_format_index_write(first, count, sink->entries + first * KM_FORMAT_ENTRY_SIZE, member);
        km_checksum_add(summing, member, KM_FORMAT_INDEX_SIZE(count));
        status = give(sink, member, KM_FORMAT_INDEX_SIZE(count));
        first += count;
    }
    *sum = km_checksum_value(summing);
    km_checksum_end(summing);
    return status;
}

static km_status hand_on_rest(km_sink *sink) {
    if (sink->append == NULL) {
        return hand_on_gathered(sink);
    }
    const DWORD error = km_append_end(sink->append);
    return error == ERROR_SUCCESS ? KM_OK : fail_writing(sink, error, sink->given);
}

km_status km_sink_finish(km_sink *sink, const km_format_facts *facts) {
    uint8_t bytes[KM_FORMAT_FOOTER_SIZE];
    km_format_footer footer = {
        .chunk_shift = facts->chunk_shift,
        .hash_kind = facts->hash_kind,
        .total = sink->total,
        .chunks = sink->chunks,
        .index_offset = sink->given,
    };
    memcpy(footer.id, facts->id, sizeof footer.id);
    uint8_t *member = malloc(KM_FORMAT_INDEX_SIZE_MAX);
    km_status status =
        member != NULL ? give_index(sink, member, &footer.index_sum) : fail_index(sink->chunks);
    free(member);
    if (status == KM_OK) {
        km_format_footer_write(&footer, bytes);
        status = give(sink, bytes, sizeof bytes);
    }
    return status == KM_OK ? hand_on_rest(sink) : status;
}
