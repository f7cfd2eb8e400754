/*
 * salvage_scan.c - the members of a snapshot, found in a file of which nothing is certain.
 *
 * The buffer slides over the file, and has at least twice what is looked at in one go, so that
 * moving what is still needed to its front costs no more than reading did.
 */
#include "salvage_scan.h"

#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "status.h"

#define ROOM_AT_FIRST ((size_t)1 << 20)
#define PAUSE ((uint64_t)8 << 20)

/* How many times its length of the file may be summed in vain: damage alone never makes a byte part
 * of more than one body and one head that are wrong. */
#define PATIENCE 4u

void km_scan_begin(km_scan *scan, const km_input *input) {
    *scan = (km_scan){.input = input};
}

void km_scan_end(km_scan *scan) {
    free(scan->buffer);
    scan->buffer = NULL;
}

/* ---- The sliding buffer -------------------------------------------------------------------- */

static km_status need_room(km_scan *scan, size_t length) {
    const size_t room = length < ROOM_AT_FIRST / 2 ? ROOM_AT_FIRST : 2 * length;
    if (scan->room >= room) {
        return KM_OK;
    }
    uint8_t *larger = realloc(scan->buffer, room);
    if (larger == NULL) {
        return km_fail(KM_E_NO_MEMORY, "no memory to look through \"%s\": %zu bytes wanted",
                       scan->input->path, room);
    }
    scan->buffer = larger;
    scan->room = room;
    return KM_OK;
}

/* Up to `length` bytes from `offset` on, which is not before the position: fewer only at the
 * file's end. */
static km_status look(km_scan *scan, uint64_t offset, size_t length, const uint8_t **bytes,
                      size_t *got) {
    km_status status = need_room(scan, length);
    if (status != KM_OK) {
        return status;
    }
    if (offset > scan->start + scan->length) { /* a jump over what nobody needs */
        scan->start = offset;
        scan->length = 0;
        scan->at_end = false;
    }
    size_t skipped = (size_t)(offset - scan->start);
    if (skipped + length > scan->room) {
        memmove(scan->buffer, scan->buffer + skipped, scan->length - skipped);
        scan->start = offset;
        scan->length -= skipped;
        skipped = 0;
    }
    if (skipped + length > scan->length && !scan->at_end) {
        size_t done = 0;
        status = km_input_read(scan->input, scan->start + scan->length, scan->buffer + scan->length,
                               scan->room - scan->length, &done);
        if (status != KM_OK) {
            return status;
        }
        scan->at_end = done < scan->room - scan->length;
        scan->length += done;
    }
    const size_t there = scan->length - skipped;
    *bytes = scan->buffer + skipped;
    *got = there < length ? there : length;
    return KM_OK;
}

/* ---- Members ------------------------------------------------------------------------------- */

static bool is_patient(const km_scan *scan) {
    return scan->wasted / PATIENCE <= scan->input->size;
}

/* Are all entries possible ones? */
static bool entries_are_possible(const uint8_t *entries, uint32_t count) {
    km_format_entry entry;
    for (uint32_t i = 0; i < count; i++) {
        if (!km_format_entry_read(entries + (size_t)i * KM_FORMAT_ENTRY_SIZE, &entry)) {
            return false;
        }
    }
    return true;
}

static bool read_index(km_scan *scan, const uint8_t *bytes, size_t size, km_scan_member *member) {
    if (!is_patient(scan)) {
        return false;
    }
    if (!km_format_index_read(bytes, size, &member->as.index.first, &member->as.index.count,
                              &member->as.index.entries) ||
        !entries_are_possible(member->as.index.entries, member->as.index.count)) {
        scan->wasted += size;
        return false;
    }
    return true;
}

/*
 * Is there a member among the `length` bytes? *size: its own, as far as the head tells. Of a data
 * member only the head is looked at.
 */
static bool read_member(km_scan *scan, const uint8_t *bytes, size_t length, km_scan_member *member,
                        uint64_t *size) {
    size_t head_size = 0;
    if (length < KM_FORMAT_PREFIX_SIZE || !km_format_kind(bytes, &member->kind, &head_size)) {
        return false;
    }
    if (member->kind == KM_MEMBER_DATA) {
        if (head_size > length ||
            !km_format_head_read(bytes, head_size, &member->as.data.chunk, &member->as.data.entry,
                                 &member->as.data.facts)) {
            return false;
        }
        *size = head_size + member->as.data.entry.packed_length;
        return true;
    }
    *size = head_size + KM_FORMAT_EMPTY_BODY_SIZE;
    if (*size > length) {
        return false;
    }
    return member->kind == KM_MEMBER_INDEX ? read_index(scan, bytes, (size_t)*size, member)
                                           : km_format_footer_read(bytes, &member->as.footer);
}

/* Does a member, or the file's end, come just `size` bytes behind `offset`? Then what is damaged in
 * between has kept its length. */
static km_status is_in_place(km_scan *scan, uint64_t offset, uint64_t size, bool *in_place) {
    const uint8_t *bytes = NULL;
    size_t got = 0;
    km_scan_member behind;
    uint64_t behind_size = 0;
    km_status status = look(scan, offset, (size_t)size + KM_FORMAT_INDEX_SIZE_MAX, &bytes, &got);
    if (status == KM_OK) {
        *in_place = got == size ||
                    (got > size &&
                     read_member(scan, bytes + size, got - (size_t)size, &behind, &behind_size));
    }
    return status;
}

/*
 * A data member of `size` bytes, whose head is right. The rest may not be: cut short, damaged, or
 * gone altogether, with other members in its place.
 */
static km_status check_body(km_scan *scan, uint64_t size, km_scan_member *member) {
    const km_format_entry *entry = &member->as.data.entry;
    const uint64_t offset = member->offset;
    const size_t head_size = (size_t)size - entry->packed_length;
    const uint8_t *bytes = NULL;
    size_t got = 0;
    bool in_place = !is_patient(scan);
    km_status status = look(scan, offset, (size_t)size, &bytes, &got);
    if (status != KM_OK) {
        return status;
    }
    member->as.data.whole =
        got == size && km_packed_check(entry, bytes + head_size) == KM_CHUNK_GOOD;
    if (member->as.data.whole) {
        scan->position = offset + size;
        return KM_OK;
    }
    scan->wasted += got;
    if (!in_place && got == size) {
        status = is_in_place(scan, offset, size, &in_place);
    }
    scan->position = in_place ? offset + size : offset + head_size;
    return status;
}

/* Where the next member may begin, among `length` bytes; `length` if nowhere. */
static size_t find_beginning(const uint8_t *bytes, size_t length) {
    static const uint8_t beginning[] = {0x1f, 0x8b, 8, 4};
    size_t at = 0;
    while (at < length) {
        const uint8_t *found = memchr(bytes + at, beginning[0], length - at);
        if (found == NULL) {
            return length;
        }
        at = (size_t)(found - bytes);
        const size_t left = length - at;
        if (memcmp(found, beginning, left < sizeof beginning ? left : sizeof beginning) == 0) {
            return at;
        }
        at++;
    }
    return length;
}

/* Where the next member may begin, at scan->position: KM_SCAN_MEMBER, with *got bytes from there.
 */
static km_status find_next(km_scan *scan, const uint8_t **bytes, size_t *got,
                           km_scan_result *result) {
    const uint64_t pause = scan->position + PAUSE;
    while (scan->position < pause) {
        km_status status = look(scan, scan->position, KM_FORMAT_INDEX_SIZE_MAX, bytes, got);
        if (status != KM_OK) {
            return status;
        }
        if (*got < KM_FORMAT_PREFIX_SIZE) {
            *result = KM_SCAN_END;
            return KM_OK;
        }
        const size_t step = find_beginning(*bytes, *got);
        if (step == 0) {
            *result = KM_SCAN_MEMBER;
            return KM_OK;
        }
        scan->position += step;
    }
    *result = KM_SCAN_PAUSE;
    return KM_OK;
}

km_status km_scan_next(km_scan *scan, km_scan_member *member, km_scan_result *result) {
    const uint64_t pause = scan->position + PAUSE;
    for (;;) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        uint64_t size = 0;
        km_scan_member found;
        km_status status = find_next(scan, &bytes, &got, result);
        if (status != KM_OK || *result != KM_SCAN_MEMBER) {
            return status;
        }
        if (!read_member(scan, bytes, got, &found, &size)) {
            scan->position++;
            if (scan->position < pause) {
                continue;
            }
            *result = KM_SCAN_PAUSE;
            return KM_OK;
        }
        found.offset = scan->position;
        found.end = scan->position + size;
        scan->position = found.end;
        if (found.kind == KM_MEMBER_DATA) {
            status = check_body(scan, size, &found);
        }
        if (status == KM_OK) {
            *member = found;
        }
        return status;
    }
}
