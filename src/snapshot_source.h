/*
 * snapshot_source.h - where the bytes of a snapshot's image come from: a map, or a stream.
 */
#ifndef KM_SNAPSHOT_SOURCE_H
#define KM_SNAPSHOT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>

#include "map_reader.h"
#include "snapshot_format.h"

typedef struct km_source {
    km_map_reader reader;  /* .map NULL: a stream */
    bool holes;            /* it is a file that has some: zeros need not be read there */
    km_read_function read; /* of a stream */
    void *read_arg;
    uint64_t streamed; /* bytes that have come */
    bool ended;        /* the stream has said so */
} km_source;

/* `target` as in km_map_reader. */
km_status km_source_from_map(km_source *source, const km_map *map, const char *target);
void km_source_from_stream(km_source *source, km_read_function read, void *arg);

/* Bytes of the image; KM_SIZE_UNKNOWN for a stream. */
uint64_t km_source_total(const km_source *source);

/* What it is, for the snapshot's facts: total, source, type, volume and number. */
km_status km_source_describe(const km_source *source, km_format_facts *facts);

/*
 * Of a map: its bytes [offset, offset + length) at `to`. *zeros: they are a hole of the file, and
 * `to` was not written. From all threads at once.
 */
km_status km_source_read(const km_source *source, uint64_t offset, void *to, uint32_t length,
                         bool *zeros);

/* Of a stream: its next bytes, `room` of them unless it ends before. One thread at a time. */
km_status km_source_fetch(km_source *source, void *to, uint32_t room, uint32_t *length);

/* When all is read: KM_E_TRUNCATED if the map's file was cut short meanwhile. */
km_status km_source_check(const km_source *source);

#endif /* KM_SNAPSHOT_SOURCE_H */
