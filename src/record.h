/* clang-format off: it would fill the table below */
/*
 * record.h - the record by which a segment describes itself: its bytes, and which of them to
 * believe.
 *
 * A section has whole pages; the record is the last KM_RECORD_SIZE bytes of them, so the user's
 * data begins at offset 0 and a plain Win32 program can share it. Numbers are in the machine's own
 * byte order, since memory is shared by programs of one machine.
 *
 *   offset  bytes
 *        0      8  magic: "keepmap" and a byte 0x1A
 *        8      4  layout: 1. Another one is not read.
 *       12      4  ready: 0 while the maker is at it, then KM_RECORD_READY. Written last, read
 * first. 16      8  size: the user's bytes, exactly 24      8  section size: all bytes of the
 * section, this record included 32     32  type: the application's tag, printable UTF-8, padded
 * with zeros; all zeros: none 64      4  type version 68      4  flags: bit 0: made for everybody,
 * not for its owner alone 72      4  creator: its process, by the number that it knew itself by 76
 * 4  serial: which of that process's segments 80      8  created: 100 ns since 1601 (FILETIME) 88
 * 8  mark: 0, or who is inside under the exclusive lock: his process in the low half, a number in
 * the high one that is not 0 and no other lock of his has 96     24  zeros 120      8  check:
 * FNV-1a over everything else but ready and mark, which change
 *
 * Whoever may write the segment may write its record, by mistake or on purpose: nothing in it is
 * believed before km_record_judge has compared it with the section itself.
 */
/* clang-format on */
#ifndef KM_RECORD_H
#define KM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

#define KM_RECORD_SIZE 128u
#define KM_RECORD_READY 0x59444552u /* "REDY" on a little-endian machine */
#define KM_RECORD_EVERYBODY 0x1u

typedef struct km_record {
    char magic[8];
    uint32_t layout;
    uint32_t ready;
    uint64_t size;
    uint64_t section_size;
    char type[KM_TYPE_SIZE];
    uint32_t type_version;
    uint32_t flags;
    uint32_t creator;
    uint32_t serial;
    uint64_t created;
    uint64_t mark;
    unsigned char unused[24];
    uint64_t check;
} km_record;

_Static_assert(sizeof(km_record) == KM_RECORD_SIZE, "the record has no padding");
_Static_assert(offsetof(km_record, ready) == 12 && offsetof(km_record, mark) == 88 &&
                   offsetof(km_record, check) == 120,
               "the record is laid out as described");

typedef enum km_record_verdict {
    KM_RECORD_NONE,    /* no record, or none that can be believed: a plain section */
    KM_RECORD_UNREADY, /* its maker is at it, or died over it */
    KM_RECORD_WHOLE,
} km_record_verdict;

/*
 * The bytes that a section needs for `size` bytes of the user's and the record, in whole pages.
 * false if that is more than 64 bits, or a file, can hold.
 */
bool km_record_section_size(uint64_t size, uint64_t page_size, uint64_t *section_size);

/* Puts in magic, layout and check; the rest is the caller's, and `ready` stays 0. */
void km_record_seal(km_record *record);

/* May sentences and screens show it? UTF-8 without controls, line ends and changes of direction. */
bool km_record_is_type(const char *type);

/* When it was made, in ns since 1970; KM_TIME_UNKNOWN for what no clock can have said. */
uint64_t km_record_created_ns(const km_record *record);

/* What there is at the end of a section of `section_size` bytes. */
km_record_verdict km_record_judge(const km_record *record, uint64_t section_size);

#endif /* KM_RECORD_H */
