/*
 * memory_limits.c - how many bytes of shared memory may still be taken, and what says so.
 */
#include "memory_limits.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "cgroup_memory.h"
#include "kernel_text.h"

/* Of what is in front of /proc in a test, and of that. */
enum { PATH_SIZE = 1024 };

static uint64_t kibibytes(const kmw_key *key) {
    return key->value > UINT64_MAX / 1024 ? UINT64_MAX : key->value * 1024;
}

static uint64_t sum(uint64_t one, uint64_t other) {
    return one > UINT64_MAX - other ? UINT64_MAX : one + other;
}

static void narrow(kmw_room *room, uint64_t bytes, kmw_limit limit) {
    if (bytes < room->free) {
        room->free = bytes;
        room->limit = limit;
    }
}

static uint64_t less_the_reserve(uint64_t bytes) {
    const uint64_t reserve = KMW_RESERVE + bytes / KMW_RESERVE_PART;
    return bytes > reserve ? bytes - reserve : 0;
}

/* Under strict accounting the kernel refuses by itself; to ask first tells which limit it was. */
static bool counts_promises(const char *root) {
    char path[PATH_SIZE];
    uint64_t mode = 0;
    (void)snprintf(path, sizeof path, "%s/proc/sys/vm/overcommit_memory", root);
    return kmw_number_in(path, &mode) && mode == 2;
}

kmw_room kmw_memory_room_under(const char *root) {
    enum { AVAILABLE, SWAP, MOST, PROMISED, KEYS };
    kmw_key keys[KEYS] = {{.name = "MemAvailable:"},
                          {.name = "SwapFree:"},
                          {.name = "CommitLimit:"},
                          {.name = "Committed_AS:"}};
    kmw_room room = {UINT64_MAX, KMW_LIMIT_NONE};
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    kmw_keys_in(path, keys, KEYS);
    const uint64_t swap = keys[SWAP].found ? kibibytes(&keys[SWAP]) : 0;
    if (keys[AVAILABLE].found) {
        narrow(&room, less_the_reserve(sum(kibibytes(&keys[AVAILABLE]), swap)), KMW_LIMIT_MEMORY);
    }
    if (keys[MOST].found && keys[PROMISED].found && counts_promises(root)) {
        const uint64_t most = kibibytes(&keys[MOST]);
        const uint64_t promised = kibibytes(&keys[PROMISED]);
        narrow(&room, most > promised ? most - promised : 0, KMW_LIMIT_OVERCOMMIT);
    }
    const uint64_t group = kmw_cgroup_memory_free(root, swap);
    if (group != UINT64_MAX) {
        narrow(&room, less_the_reserve(group), KMW_LIMIT_CGROUP);
    }
    return room;
}

kmw_room kmw_memory_room(int descriptor) {
    struct statfs space;
    int result;
    do {
        result = fstatfs(descriptor, &space);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return kmw_memory_room_under("");
    }
    /* A disk's pages are written back and given up when memory is short. */
    const bool in_memory = space.f_type == TMPFS_MAGIC || space.f_type == RAMFS_MAGIC;
    kmw_room room = in_memory ? kmw_memory_room_under("") : (kmw_room){UINT64_MAX, KMW_LIMIT_NONE};
    if (space.f_blocks != 0) { /* a memory file system without a size has none */
        const uint64_t block = (uint64_t)(space.f_frsize != 0 ? space.f_frsize : space.f_bsize);
        const uint64_t blocks = space.f_bavail;
        narrow(&room, block != 0 && blocks > UINT64_MAX / block ? UINT64_MAX : blocks * block,
               KMW_LIMIT_FILE_SYSTEM);
    }
    return room;
}

const char *kmw_limit_text(kmw_limit limit) {
    switch (limit) {
    case KMW_LIMIT_FILE_SYSTEM:
        return "the space left on the file system";
    case KMW_LIMIT_MEMORY:
        return "the memory and swap available";
    case KMW_LIMIT_OVERCOMMIT:
        return "the memory that may still be promised (vm.overcommit_memory)";
    case KMW_LIMIT_CGROUP:
        return "the memory left to the control group";
    case KMW_LIMIT_FILE_SIZE:
        return "the limit on file sizes (RLIMIT_FSIZE)";
    case KMW_LIMIT_LARGE_PAGES:
        return "the pool of large pages";
    case KMW_LIMIT_SIZE:
        return "the largest size there can be";
    case KMW_LIMIT_NONE:
    default:
        return "no known limit";
    }
}
