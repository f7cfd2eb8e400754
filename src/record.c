/*
 * record.c - the record at the end of a segment: sealing one, and judging what stands there.
 */
#include "record.h"

#include <string.h>

#include <keepmap/win32.h>

#include "size.h"

#define LAYOUT 1u

/* A FILETIME counts 100 ns from 1601. */
#define FILETIME_OF_1970 116444736000000000ULL
#define NS_OF_FILETIME 100u

static const char magic[8] = {'k', 'e', 'e', 'p', 'm', 'a', 'p', 0x1A};

bool km_record_section_size(uint64_t size, uint64_t page_size, uint64_t *section_size) {
    uint64_t bytes = 0;
    if (!km_size_add(size, KM_RECORD_SIZE, &bytes) || !km_size_align_up(bytes, page_size, &bytes) ||
        bytes > KM_SIZE_MAX) {
        return false;
    }
    *section_size = bytes;
    return true;
}

static uint64_t hash(uint64_t sum, const void *from, size_t length) {
    const unsigned char *bytes = from;
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001B3ULL;
    }
    return sum;
}

static uint64_t check_of(const km_record *record) {
    uint64_t sum = 0xCBF29CE484222325ULL;
    sum = hash(sum, record, offsetof(km_record, ready));
    sum = hash(sum, &record->size, offsetof(km_record, mark) - offsetof(km_record, size));
    return hash(sum, record->unused, sizeof record->unused);
}

void km_record_seal(km_record *record) {
    memcpy(record->magic, magic, sizeof magic);
    record->layout = LAYOUT;
    record->ready = 0;
    record->check = check_of(record);
}

static bool is_printable(WCHAR unit) {
    const bool control = unit < 0x20 || (unit >= 0x7F && unit < 0xA0);
    const bool line_end = unit == 0x2028 || unit == 0x2029;
    const bool direction = unit == 0x061C || unit == 0x200E || unit == 0x200F ||
                           (unit >= 0x202A && unit <= 0x202E) || (unit >= 0x2066 && unit <= 0x2069);
    return !control && !line_end && !direction;
}

bool km_record_is_type(const char *type) {
    WCHAR units[KM_TYPE_SIZE];
    if (memchr(type, '\0', KM_TYPE_SIZE) == NULL) {
        return false;
    }
    const int count =
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, type, -1, units, KM_TYPE_SIZE);
    for (int i = 0; i + 1 < count; i++) {
        if (!is_printable(units[i])) {
            return false;
        }
    }
    return count > 0;
}

uint64_t km_record_created_ns(const km_record *record) {
    if (record->created < FILETIME_OF_1970 ||
        record->created - FILETIME_OF_1970 >= KM_TIME_UNKNOWN / NS_OF_FILETIME) {
        return KM_TIME_UNKNOWN;
    }
    return (record->created - FILETIME_OF_1970) * NS_OF_FILETIME;
}

km_record_verdict km_record_judge(const km_record *record, uint64_t section_size) {
    const bool ours = memcmp(record->magic, magic, sizeof magic) == 0 && record->layout == LAYOUT &&
                      record->check == check_of(record);
    if (!ours || section_size < KM_RECORD_SIZE || record->section_size != section_size ||
        record->size > section_size - KM_RECORD_SIZE || !km_record_is_type(record->type)) {
        return KM_RECORD_NONE;
    }
    switch (record->ready) {
    case KM_RECORD_READY:
        return KM_RECORD_WHOLE;
    case 0:
        return KM_RECORD_UNREADY;
    default:
        return KM_RECORD_NONE;
    }
}
