/*
 * snapshot_reader.c - a snapshot in a file: footer, index and facts checked at the open, chunks at
 * random.
 *
 * The file is opened with all sharing: who reads a snapshot is in nobody's way, and whoever changes
 * it meanwhile is found out by the checks.
 */
#include "snapshot_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"
#include "status.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- The file ------------------------------------------------------------------------------ */

static km_status fail_damaged(const km_reader *reader, const char *what) {
    return km_fail(KM_E_CORRUPT, "cannot use \"%s\" as a snapshot: %s", reader->path, what);
}

static km_status read_all(const km_reader *reader, uint64_t offset, void *to, uint32_t length) {
    size_t done = 0;
    const km_status status = km_input_read(&reader->input, offset, to, length, &done);
    if (status == KM_OK && done < length) {
        return km_fail(KM_E_CORRUPT,
                       "cannot use \"%s\" as a snapshot: it was cut short below %" PRIu64
                       " bytes while it was read",
                       reader->path, offset + length);
    }
    return status;
}

static km_status open_file(km_input *input, const char *path) {
    return km_input_open(input, path, SHARE_ALL, "as a snapshot");
}

/* ---- Footer -------------------------------------------------------------------------------- */

/* Is the index where it has to be in a file of `size` bytes, which a footer has room in? */
static bool ends_with(uint64_t size, const km_format_footer *footer) {
    const uint64_t end = size - KM_FORMAT_FOOTER_SIZE;
    const uint64_t index_size = km_format_index_size(footer->chunks);
    return index_size <= end && footer->index_offset == end - index_size;
}

static km_status read_footer(km_reader *reader) {
    static const char no_end[] = "it does not end as a snapshot does (cut short, or none)";
    uint8_t bytes[KM_FORMAT_FOOTER_SIZE];
    if (reader->input.size < sizeof bytes) {
        return fail_damaged(reader, no_end);
    }
    const uint64_t end = reader->input.size - sizeof bytes;
    const km_status status = read_all(reader, end, bytes, sizeof bytes);
    if (status != KM_OK) {
        return status;
    }
    if (!km_format_footer_read(bytes, &reader->footer)) {
        return fail_damaged(reader, no_end);
    }
    if (!ends_with(reader->input.size, &reader->footer)) {
        return fail_damaged(reader, "it is not as long as its end says (bytes are missing, or more "
                                    "than there should be)");
    }
    return KM_OK;
}

/* ---- Index --------------------------------------------------------------------------------- */

typedef struct index_job {
    km_reader *reader;
    uint8_t *member;        /* KM_FORMAT_INDEX_SIZE_MAX bytes */
    km_checksum_state *sum; /* of all index members */
    uint64_t room;          /* chunks that entries and offsets have room for */
    uint64_t chunks;        /* that are in them */
    uint64_t end;           /* of the last one's member */
} index_job;

static km_status fail_no_memory(const km_reader *reader) {
    return km_fail(KM_E_NO_MEMORY,
                   "no memory for the index of \"%s\", which has %" PRIu64 " chunks", reader->path,
                   reader->footer.chunks);
}

static km_status fail_entry(const km_reader *reader, uint64_t chunk) {
    return km_fail(KM_E_CORRUPT,
                   "cannot use \"%s\" as a snapshot: its index has an impossible entry for chunk "
                   "%" PRIu64,
                   reader->path, chunk);
}

/* Room for `count` more chunks. It doubles, so that a footer which promises more than there is
 * takes no more memory than what has been read and found good. */
static km_status need_room(index_job *job, uint32_t count) {
    km_reader *reader = job->reader;
    if (job->chunks + count <= job->room) {
        return KM_OK;
    }
    uint64_t room = 2 * job->room > job->chunks + count ? 2 * job->room : job->chunks + count;
    room = room < reader->footer.chunks ? room : reader->footer.chunks;
    if (room > SIZE_MAX / KM_FORMAT_ENTRY_SIZE - 1) {
        return fail_no_memory(reader);
    }
    uint8_t *entries = realloc(reader->entries, (size_t)room * KM_FORMAT_ENTRY_SIZE);
    if (entries == NULL) {
        return fail_no_memory(reader);
    }
    reader->entries = entries;
    uint64_t *offsets = realloc(reader->offsets, ((size_t)room + 1) * sizeof *offsets);
    if (offsets == NULL) {
        return fail_no_memory(reader);
    }
    reader->offsets = offsets;
    job->room = room;
    return KM_OK;
}

/* Takes the entry of the next chunk, whose member begins where the one before ended. */
static km_status take_entry(index_job *job, const uint8_t *bytes) {
    km_reader *reader = job->reader;
    const km_format_footer *footer = &reader->footer;
    const uint64_t chunk = job->chunks;
    km_format_entry entry;
    if (!km_format_entry_read(bytes, &entry) ||
        entry.raw_length != km_format_raw_length(footer->total, footer->chunk_shift, chunk)) {
        return fail_entry(reader, chunk);
    }
    const uint64_t length = km_format_head_size(chunk) + entry.packed_length;
    if (!km_size_inside(job->end, length, footer->index_offset)) {
        return fail_entry(reader, chunk);
    }
    memcpy(reader->entries + (size_t)chunk * KM_FORMAT_ENTRY_SIZE, bytes, KM_FORMAT_ENTRY_SIZE);
    reader->offsets[chunk] = job->end;
    job->end += length;
    reader->offsets[chunk + 1] = job->end;
    job->chunks++;
    return KM_OK;
}

static km_status take_member(index_job *job, uint64_t offset, uint32_t size, uint32_t expected) {
    const km_reader *reader = job->reader;
    uint64_t first = 0;
    uint32_t count = 0;
    const uint8_t *entries = NULL;
    km_status status = read_all(reader, offset, job->member, size);
    if (status != KM_OK) {
        return status;
    }
    km_checksum_add(job->sum, job->member, size);
    if (!km_format_index_read(job->member, size, &first, &count, &entries) ||
        first != job->chunks || count != expected) {
        return km_fail(KM_E_CORRUPT,
                       "cannot use \"%s\" as a snapshot: its index is damaged at byte %" PRIu64,
                       reader->path, offset);
    }
    status = need_room(job, count);
    for (uint32_t i = 0; status == KM_OK && i < count; i++) {
        status = take_entry(job, entries + (size_t)i * KM_FORMAT_ENTRY_SIZE);
    }
    return status;
}

static km_status take_members(index_job *job) {
    const km_reader *reader = job->reader;
    const km_format_footer *footer = &reader->footer;
    uint64_t offset = footer->index_offset;
    while (job->chunks < footer->chunks) {
        const uint64_t left = footer->chunks - job->chunks;
        const uint32_t count =
            left < KM_FORMAT_INDEX_ENTRIES ? (uint32_t)left : KM_FORMAT_INDEX_ENTRIES;
        const uint32_t size = KM_FORMAT_INDEX_SIZE(count);
        const km_status status = take_member(job, offset, size, count);
        if (status != KM_OK) {
            return status;
        }
        offset += size;
    }
    if (km_checksum_value(job->sum) != footer->index_sum) {
        return fail_damaged(reader, "its index is not the one that its end sums");
    }
    if (job->end != footer->index_offset) {
        return fail_damaged(reader, "its chunks do not end where its index begins");
    }
    return KM_OK;
}

static km_status read_index(km_reader *reader) {
    index_job job = {
        .reader = reader, .member = malloc(KM_FORMAT_INDEX_SIZE_MAX), .sum = km_checksum_begin()};
    const km_status status =
        job.member != NULL && job.sum != NULL ? take_members(&job) : fail_no_memory(reader);
    km_checksum_end(job.sum);
    free(job.member);
    return status;
}

/* ---- Facts --------------------------------------------------------------------------------- */

static bool facts_agree(const km_format_facts *facts, const km_format_footer *footer) {
    return memcmp(facts->id, footer->id, KM_FORMAT_ID_SIZE) == 0 &&
           facts->chunk_shift == footer->chunk_shift && facts->hash_kind == footer->hash_kind &&
           (facts->total == UINT64_MAX || facts->total == footer->total);
}

static bool entries_agree(const km_format_entry *head, const km_format_entry *index) {
    return head->packed_length == index->packed_length && head->raw_length == index->raw_length &&
           head->flags == index->flags && head->sum == index->sum;
}

static km_status read_facts(km_reader *reader) {
    uint8_t head[KM_FORMAT_FIRST_HEAD_SIZE];
    uint64_t chunk = 0;
    km_format_entry said;
    km_format_entry entry;
    const km_status status = read_all(reader, 0, head, sizeof head);
    if (status != KM_OK) {
        return status;
    }
    if (!km_format_head_read(head, sizeof head, &chunk, &said, &reader->facts)) {
        return fail_damaged(reader, "the head of its first member is damaged");
    }
    km_reader_entry(reader, 0, &entry);
    if (chunk != 0 || !entries_agree(&said, &entry) ||
        !facts_agree(&reader->facts, &reader->footer)) {
        return fail_damaged(reader,
                            "its first member, its index and its end contradict each other");
    }
    reader->total_from_footer = reader->facts.total == UINT64_MAX;
    reader->facts.total = reader->footer.total;
    return KM_OK;
}

/* ---- Opening and closing ------------------------------------------------------------------- */

static km_status fill_reader(km_reader *reader) {
    km_status status = open_file(&reader->input, reader->path);
    if (status == KM_OK) {
        status = read_footer(reader);
    }
    if (status == KM_OK) {
        status = read_index(reader);
    }
    return status == KM_OK ? read_facts(reader) : status;
}

km_status km_reader_open(km_reader **reader, const char *path) {
    if (path == NULL) {
        return km_fail(KM_E_INVALID, "the path of the snapshot is NULL");
    }
    km_reader *made = calloc(1, sizeof *made);
    char *own_path = strdup(path);
    if (made == NULL || own_path == NULL) {
        free(own_path);
        free(made);
        return km_fail(KM_E_NO_MEMORY, "no memory to open \"%s\"", path);
    }
    made->path = own_path;
    made->input.file = INVALID_HANDLE_VALUE;
    const km_status status = fill_reader(made);
    if (status != KM_OK) {
        km_reader_close(made);
        return status;
    }
    *reader = made;
    return KM_OK;
}

void km_reader_close(km_reader *reader) {
    if (reader == NULL) {
        return;
    }
    km_input_close(&reader->input);
    free(reader->offsets);
    free(reader->entries);
    free(reader->path);
    free(reader);
}

/* ---- Chunks -------------------------------------------------------------------------------- */

void km_reader_entry(const km_reader *reader, uint64_t chunk, km_format_entry *entry) {
    /* It was read once already, so it can be. */
    (void)km_format_entry_read(reader->entries + (size_t)chunk * KM_FORMAT_ENTRY_SIZE, entry);
}

size_t km_reader_raw_room(const km_reader *reader) {
    const uint32_t most = km_format_raw_length(reader->footer.total, reader->footer.chunk_shift, 0);
    return most > 0 ? most : 1; /* so that no malloc has an excuse */
}

size_t km_reader_member_room(const km_reader *reader) {
    return KM_FORMAT_FIRST_HEAD_SIZE + km_format_packed_most((uint32_t)km_reader_raw_room(reader));
}

km_status km_fail_chunk(const char *path, uint64_t chunk, uint8_t chunk_shift, uint32_t raw_length,
                        km_chunk_state state) {
    const uint64_t begin = chunk << chunk_shift;
    km_status status = KM_E_CORRUPT;
    if (state == KM_CHUNK_NO_CODEC) {
        status = KM_E_UNSUPPORTED;
    } else if (state == KM_CHUNK_NO_MEMORY) {
        status = KM_E_NO_MEMORY;
    }
    const char *quote = path != NULL ? "\"" : "";
    return km_fail(status,
                   "cannot read chunk %" PRIu64 " of %s%s%s (bytes %" PRIu64 " up to %" PRIu64
                   " of the image): %s",
                   chunk, quote, path != NULL ? path : "the stream", quote, begin,
                   begin + raw_length, km_chunk_state_text(state));
}

static km_status fail_head(const km_reader *reader, uint64_t chunk) {
    const uint64_t begin = chunk << reader->footer.chunk_shift;
    return km_fail(
        KM_E_CORRUPT,
        "cannot read chunk %" PRIu64 " of \"%s\" (bytes %" PRIu64 " up to %" PRIu64
        " of the image): its member's head, at byte %" PRIu64
        " of the snapshot, is not the one that the index demands",
        chunk, reader->path, begin,
        begin + km_format_raw_length(reader->footer.total, reader->footer.chunk_shift, chunk),
        reader->offsets[chunk]);
}

/* Of each head there is only one that agrees with index and facts. */
static bool head_is_right(const km_reader *reader, uint64_t chunk, const km_format_entry *entry,
                          const uint8_t *head) {
    uint8_t expected[KM_FORMAT_FIRST_HEAD_SIZE];
    km_format_facts facts = reader->facts;
    if (reader->total_from_footer) {
        facts.total = UINT64_MAX;
    }
    km_format_head_write(chunk, entry, &facts, expected);
    return memcmp(head, expected, km_format_head_size(chunk)) == 0;
}

/* The packed bytes are not looked at yet. */
static km_status read_member(const km_reader *reader, uint64_t chunk, const km_format_entry *entry,
                             void *member, const uint8_t **packed) {
    const size_t head_size = km_format_head_size(chunk);
    const km_status status = read_all(reader, reader->offsets[chunk], member,
                                      (uint32_t)head_size + entry->packed_length);
    if (status != KM_OK) {
        return status;
    }
    if (!head_is_right(reader, chunk, entry, member)) {
        return fail_head(reader, chunk);
    }
    *packed = (const uint8_t *)member + head_size;
    return KM_OK;
}

static km_status judge_chunk(const km_reader *reader, uint64_t chunk, const km_format_entry *entry,
                             km_chunk_state state) {
    return state == KM_CHUNK_GOOD ? KM_OK
                                  : km_fail_chunk(reader->path, chunk, reader->footer.chunk_shift,
                                                  entry->raw_length, state);
}

km_status km_reader_member(const km_reader *reader, uint64_t chunk, void *member,
                           const uint8_t **packed) {
    km_format_entry entry;
    const uint8_t *found = NULL;
    km_reader_entry(reader, chunk, &entry);
    km_status status = read_member(reader, chunk, &entry, member, &found);
    if (status == KM_OK) {
        status = judge_chunk(reader, chunk, &entry, km_packed_check(&entry, found));
    }
    if (status == KM_OK) {
        *packed = found;
    }
    return status;
}

km_status km_reader_chunk(const km_reader *reader, km_unpacker *unpacker, uint64_t chunk,
                          void *member, void *raw) {
    km_format_entry entry;
    const uint8_t *packed = NULL;
    km_reader_entry(reader, chunk, &entry);
    const km_status status = read_member(reader, chunk, &entry, member, &packed);
    if (status != KM_OK) {
        return status;
    }
    return judge_chunk(reader, chunk, &entry,
                       km_unpack(unpacker, &entry, packed, raw, &reader->facts.seed));
}

/* ---- A first look -------------------------------------------------------------------------- */

static km_status begins_as_one(const km_input *input, bool *does) {
    uint8_t prefix[KM_FORMAT_PREFIX_SIZE];
    km_member_kind kind = KM_MEMBER_FOOTER;
    size_t head_size = 0;
    size_t got = 0;
    const km_status status = km_input_read(input, 0, prefix, sizeof prefix, &got);
    if (status == KM_OK) {
        *does = got == sizeof prefix && km_format_kind(prefix, &kind, &head_size) &&
                kind == KM_MEMBER_DATA;
    }
    return status;
}

static km_status ends_as_one(const km_input *input, bool *does) {
    uint8_t bytes[KM_FORMAT_FOOTER_SIZE];
    km_format_footer footer;
    size_t got = 0;
    *does = false;
    if (input->size < sizeof bytes) {
        return KM_OK;
    }
    const km_status status =
        km_input_read(input, input->size - sizeof bytes, bytes, sizeof bytes, &got);
    if (status == KM_OK) {
        *does = got == sizeof bytes && km_format_footer_read(bytes, &footer) &&
                ends_with(input->size, &footer);
    }
    return status;
}

km_status km_input_looks_like_snapshot(const km_input *input, bool *does) {
    bool it_does = false;
    km_status status = begins_as_one(input, &it_does);
    if (status == KM_OK && !it_does) {
        status = ends_as_one(input, &it_does);
    }
    if (status == KM_OK) {
        *does = it_does;
    }
    return status;
}

bool km_reader_looks_like_one(const char *path) {
    km_input input;
    km_failure before; /* whatever is wrong with the path, nobody has asked for a sentence */
    bool is_one = false;
    km_failure_keep(&before);
    if (open_file(&input, path) == KM_OK) {
        is_one = km_input_looks_like_snapshot(&input, &is_one) == KM_OK && is_one;
        km_input_close(&input);
    }
    km_failure_restore(&before);
    return is_one;
}
