/*
 * shm_peers.h - the ways to shared memory under a name that keepmap is measured against.
 */
#ifndef BENCH_SHM_PEERS_H
#define BENCH_SHM_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A segment that the peers and keepmap share the size of. */
enum { SHM_SIZE = 4096 };

/* Each makes a segment `name`, maps it, stores a byte, unmaps it and removes it, `count` times. */
bool peer_create_raw(void *name, uint64_t count);
bool peer_create_boost(void *name, uint64_t count);

/* Each opens an existing one, maps it, stores a byte, unmaps it and closes it, `count` times. */
bool peer_attach_raw(void *name, uint64_t count);
bool peer_attach_boost(void *name, uint64_t count);

/* The one that attaching finds. */
bool peer_make_existing(const char *name);
void peer_remove_existing(const char *name);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_SHM_PEERS_H */
