/*
 * open.h - what opening a file that exists and making a new one have in common.
 */
#ifndef KM_OPEN_H
#define KM_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"

/* CreateFileW's flags for KM_OPEN_RANDOM and KM_OPEN_SEQUENTIAL. */
DWORD km_open_file_flags(uint32_t flags);

/*
 * The options as this version knows them, of which those that files and segments have in common are
 * checked; `flags` are those that the call knows.
 */
km_status km_open_read_options(const km_options *options, uint32_t flags, km_options *known);

/* KM_E_TRUNCATED unless offset and length of the options lie inside a file of `size` bytes. */
km_status km_open_check_window(const km_file *file, const km_options *options, uint64_t size);

/*
 * Reserves, makes the file grow from `actual` to `size` bytes, and maps what the options say of it.
 * After a failure the caller closes the map and undoes the growth.
 */
km_status km_open_lay_out(km_map *map, const km_options *options, uint64_t actual, uint64_t size);

/*
 * Runs options.init, if there is one, over the whole of what has been made: in the map's view, or
 * in one of its own of `section` if the map shows only a part (create.c).
 */
km_status km_open_initialise(km_map *map, HANDLE section, const km_options *options);

/*
 * Makes the file and maps it (create.c). KM_E_EXISTS, with *taken set, if the name is taken. After
 * a failure nothing is left of the file, and the map is as it was.
 */
km_status km_open_create(km_map *map, const km_options *options, bool *taken);

#endif /* KM_OPEN_H */
