/*
 * round_trip.h - every way into a snapshot and every way out of it. What comes out is compared with
 * the original in memory, byte for byte by plain C.
 *
 * Failures fail the current test, with the whole trip in the sentence. Files are called trip-*.
 */
#ifndef TESTS_ROUND_TRIP_H
#define TESTS_ROUND_TRIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

typedef struct trip {
    const char *what;           /* is travelling */
    const unsigned char *bytes; /* the original */
    size_t size;
    const char *path; /* a file of just these bytes */
    uint32_t chunk_size;
    int32_t level;   /* as in km_snapshot_options */
    uint32_t there;  /* threads that pack */
    uint32_t back;   /* threads that unpack */
    const char *way; /* these tell; the trip's own */
    const char *snapshot;
} trip;

/* Could such a snapshot be made here at all? Without a library that packs, stored ones alone. */
bool trip_can_pack(int32_t level);

/* How many ways there are. */
extern const size_t trip_ways_there;
extern const size_t trip_ways_back;

/* Makes the snapshot one way, and gives its path; NULL: there is no such way for this image, since
 * no segment is empty. It replaces the one that was made that way before. */
const char *trip_there(trip *one, size_t way);

/* Brings it back one way. */
void trip_back(trip *one, size_t way);

/* All ways back. */
void trip_back_every_way(trip *one);

/* Every way there, and from each every way back. */
void trip_every_way(trip *one);

#endif /* TESTS_ROUND_TRIP_H */
