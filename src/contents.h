/*
 * contents.h - maps of a snapshot's contents: what is unpacked when, and who keeps the snapshot.
 *
 * A km_file that stands for a snapshot has its contents. Each map and window of it has memory of
 * its own, lazy where the system lets us: chunks are unpacked by the first to touch them. Else, for
 * small pieces, and for KM_OPEN_SEQUENTIAL, all is unpacked at once into a pagefile-backed section.
 */
#ifndef KM_CONTENTS_H
#define KM_CONTENTS_H

#include <stdint.h>

#include <keepmap.h>

#include "map.h"

/* Takes `path` over as km_reader_open does. KM_E_CORRUPT... */
km_status km_contents_open(const char *path, km_contents **contents);
void km_contents_close(km_contents *contents); /* NULL is fine */

/* Bytes of the image. */
uint64_t km_contents_size(const km_contents *contents);

/* Maps `length` bytes, not 0, from `offset` on: sets view, data, offset and size. */
km_status km_contents_view(km_map *map, uint64_t offset, uint64_t length);

/* Lets go of the lazy memory of a map that has some; its view is gone then. */
void km_contents_drop(km_map *map);

/*
 * Before the kernel reads or writes [offset, offset + length) of the map at our request: lazy
 * memory has to be filled there. KM_E_CORRUPT, naming the chunk, if it cannot; KM_E_INVALID in a
 * child made by fork. Nothing to do for other maps.
 */
km_status km_contents_need(const km_map *map, uint64_t offset, uint64_t length);

/* For km_check: what the snapshot file says now, and what that means. */
km_status km_contents_ask(const km_map *map, km_size_report *facts);
km_status km_contents_judge(const km_map *map, const km_size_report *facts);

#endif /* KM_CONTENTS_H */
