/*
 * salvage_scan.h - the members of a snapshot, found in a file of which nothing is certain.
 *
 * What is told has a head whose own sum is right; everything else is passed over, byte by byte. The
 * file is read once, in order. The work is bounded by its length, whatever somebody has put in: who
 * makes promises look like heads everywhere gets a few sums a byte, and then is believed.
 */
#ifndef KM_SALVAGE_SCAN_H
#define KM_SALVAGE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "input.h"
#include "snapshot_format.h"

typedef struct km_scan {
    const km_input *input;
    uint8_t *buffer;
    size_t room;       /* bytes that `buffer` has, */
    size_t length;     /* that are in it, */
    uint64_t start;    /* and where in the file they begin */
    bool at_end;       /* the file ends behind them */
    uint64_t position; /* nothing before it is looked at again */
    uint64_t wasted;   /* bytes summed in vain */
} km_scan;

typedef struct km_scan_member {
    km_member_kind kind;
    uint64_t offset; /* in the file */
    uint64_t end;    /* where the next one begins, as far as its head tells */
    union {
        struct {
            uint64_t chunk;
            km_format_entry entry; /* without its hash */
            km_format_facts facts; /* of chunk 0 */
            bool whole;            /* its packed bytes are there, and their sum is right */
        } data;
        struct {
            uint64_t first;
            uint32_t count;
            const uint8_t *entries; /* until the next call; each one passes km_format_entry_read */
        } index;
        km_format_footer footer;
    } as;
} km_scan_member;

/* The input stays the caller's. */
void km_scan_begin(km_scan *scan, const km_input *input);
void km_scan_end(km_scan *scan);

typedef enum km_scan_result {
    KM_SCAN_MEMBER, /* here is the next one */
    KM_SCAN_PAUSE,  /* none yet in a long row of bytes: ask on */
    KM_SCAN_END,    /* there are no more */
} km_scan_result;

/* Fills *member if there is one. */
km_status km_scan_next(km_scan *scan, km_scan_member *member, km_scan_result *result);

#endif /* KM_SALVAGE_SCAN_H */
