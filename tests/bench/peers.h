/*
 * peers.h - the libraries that keepmap is measured against, each behind a function of the same
 * shape.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each opens `path`, maps it for reading, reads one byte, unmaps and closes, `count` times. */
bool peer_open_raw(void *path, uint64_t count);
bool peer_open_boost(void *path, uint64_t count);
bool peer_open_apr(void *path, uint64_t count);

/* A flag of Boost.Interprocess, with its mutex and its condition, made in `memory` that processes
 * share: raised by one, waited for and taken down by another. */
size_t peer_flag_boost_size(void);
void peer_flag_boost_make(void *memory);
void peer_flag_boost_raise(void *memory);
void peer_flag_boost_await(void *memory);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_PEERS_H */
