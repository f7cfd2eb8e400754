/*
 * peer_apr.c - the Apache Portable Runtime: apr_file_open and apr_mmap_create.
 */
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_mmap.h>
#include <stdio.h>

#include "peers.h"

static bool open_once(apr_pool_t *pool, const char *path) {
    apr_file_t *file = NULL;
    apr_finfo_t facts;
    apr_mmap_t *map = NULL;
    if (apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, pool) != APR_SUCCESS) {
        return false;
    }
    bool mapped =
        apr_file_info_get(&facts, APR_FINFO_SIZE, file) == APR_SUCCESS &&
        apr_mmap_create(&map, file, 0, (apr_size_t)facts.size, APR_MMAP_READ, pool) == APR_SUCCESS;
    if (mapped) {
        (void)*(volatile const char *)map->mm;
        apr_mmap_delete(map);
    }
    apr_file_close(file);
    return mapped;
}

bool peer_open_apr(void *path, uint64_t count) {
    static bool initialised;
    if (!initialised && apr_initialize() != APR_SUCCESS) {
        return false;
    }
    initialised = true;
    apr_pool_t *pool = NULL;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return false;
    }
    bool fine = true;
    for (; count > 0 && fine; count--) {
        fine = open_once(pool, path);
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    if (!fine) {
        fprintf(stderr, "apr: cannot map %s\n", (const char *)path);
    }
    return fine;
}
