/*
 * snapshot.h - km_snapshot with another disk than the system's.
 */
#ifndef KM_SNAPSHOT_H
#define KM_SNAPSHOT_H

#include <keepmap.h>

#include "io.h"

/* km_snapshot whose target is written through `io`. */
km_status km_snapshot_through(const km_io *io, km_map *map, const char *path,
                              const km_snapshot_options *options);

#endif /* KM_SNAPSHOT_H */
