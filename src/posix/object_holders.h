/*
 * object_holders.h - which processes hold named objects, as far as this one may see.
 */
#ifndef KMW_OBJECT_HOLDERS_H
#define KMW_OBJECT_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <keepmap/win32.h>

/* One object, by its file. The rest is filled in. */
typedef struct kmw_holders {
    dev_t device;
    ino_t inode;
    uint32_t *processes; /* malloc'ed, each once */
    uint32_t count;
    /*
     * Nobody else holds it. That is known if the kernel's list of locks names only processes that
     * we could look into. Beyond sight stay a child of one of those that has become another user
     * since, and processes of other PID namespaces.
     */
    bool complete;
} kmw_holders;

/*
 * Goes once through /proc for all objects together. Where there is no /proc, nothing is found and
 * nothing complete. ERROR_NOT_ENOUGH_MEMORY: what has been found so far is there, and the caller's.
 */
DWORD kmw_find_holders(kmw_holders *objects, size_t count);

#endif /* KMW_OBJECT_HOLDERS_H */
