/*
 * peers.h - the libraries that keepmap is measured against, each behind a function of the same
 * shape.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each opens `path`, maps it for reading, reads one byte, unmaps and closes, `count` times. */
bool peer_open_raw(void *path, uint64_t count);
bool peer_open_boost(void *path, uint64_t count);
bool peer_open_apr(void *path, uint64_t count);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_PEERS_H */
