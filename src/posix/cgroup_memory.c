/*
 * cgroup_memory.c - what the control groups above this process still let it take of memory.
 */
#include "cgroup_memory.h"

#include <stdbool.h>

#include "cgroup.h"
#include "kernel_text.h"

static uint64_t least(uint64_t one, uint64_t other) {
    return one < other ? one : other;
}

static uint64_t sum(uint64_t one, uint64_t other) {
    return one > UINT64_MAX - other ? UINT64_MAX : one + other;
}

static uint64_t left(uint64_t limit, uint64_t used) {
    return limit > used ? limit - used : 0;
}

static uint64_t droppable(const char *group, const char *inactive, const char *active) {
    char path[KMW_CGROUP_PATH];
    kmw_key keys[2] = {{.name = inactive}, {.name = active}};
    if (!kmw_cgroup_file(group, "memory.stat", path)) {
        return 0;
    }
    kmw_keys_in(path, keys, 2);
    return sum(keys[0].found ? keys[0].value : 0, keys[1].found ? keys[1].value : 0);
}

/* memory.current counts memory alone; swap has a limit of its own. */
static uint64_t free_in_version_2(const char *group, uint64_t swap_free) {
    uint64_t most = UINT64_MAX;
    uint64_t high = UINT64_MAX;
    uint64_t used = 0;
    uint64_t swap_most = 0;
    uint64_t swap_used = 0;
    const bool has_most = kmw_cgroup_number(group, "memory.max", &most);
    const bool has_high = kmw_cgroup_number(group, "memory.high", &high);
    if ((!has_most && !has_high) || !kmw_cgroup_number(group, "memory.current", &used)) {
        return UINT64_MAX;
    }
    if (kmw_cgroup_number(group, "memory.swap.max", &swap_most) &&
        kmw_cgroup_number(group, "memory.swap.current", &swap_used)) {
        swap_free = least(swap_free, left(swap_most, swap_used));
    }
    const uint64_t memory = left(least(most, high), used);
    return sum(sum(memory, droppable(group, "inactive_file", "active_file")), swap_free);
}

/* The second limit of version 1, memory.memsw, is on memory and swap together. */
static uint64_t free_in_version_1(const char *group, uint64_t swap_free) {
    uint64_t most = 0;
    uint64_t used = 0;
    if (!kmw_cgroup_number(group, "memory.limit_in_bytes", &most) ||
        !kmw_cgroup_number(group, "memory.usage_in_bytes", &used)) {
        return UINT64_MAX;
    }
    const uint64_t dropped = droppable(group, "total_inactive_file", "total_active_file");
    uint64_t room = sum(sum(left(most, used), dropped), swap_free);
    if (kmw_cgroup_number(group, "memory.memsw.limit_in_bytes", &most) &&
        kmw_cgroup_number(group, "memory.memsw.usage_in_bytes", &used)) {
        room = least(room, sum(left(most, used), dropped));
    }
    return room;
}

typedef struct memory_look {
    uint64_t swap_free;
    uint64_t room; /* the least so far */
} memory_look;

static void look_at(const char *group, kmw_cgroup_version version, void *arg) {
    memory_look *found = arg;
    found->room =
        least(found->room, version == KMW_CGROUP_2 ? free_in_version_2(group, found->swap_free)
                                                   : free_in_version_1(group, found->swap_free));
}

uint64_t kmw_cgroup_memory_free(const char *root, uint64_t swap_free) {
    memory_look found = {.swap_free = swap_free, .room = UINT64_MAX};
    kmw_cgroup_walk(root, "memory", look_at, &found);
    return found.room;
}
