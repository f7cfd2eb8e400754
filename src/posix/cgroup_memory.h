/*
 * cgroup_memory.h - what the control groups above this process still let it take of memory.
 */
#ifndef KMW_CGROUP_MEMORY_H
#define KMW_CGROUP_MEMORY_H

#include <stdint.h>

/*
 * The least that any group from ours up to the topmost one in sight has left; UINT64_MAX: there is
 * no limit, or none that can be read. Both hierarchies are looked at, where the system has both.
 * `swap_free` is what the machine has of swap. `root` stands before every path: "" but in tests.
 *
 * A group's page cache that lies on its lists of files counts as free, since the kernel drops it
 * before it refuses anybody; shared memory does not lie there. Going beyond memory.high kills
 * nobody but all but stops the group, which is no better: it counts as a limit.
 */
uint64_t kmw_cgroup_memory_free(const char *root, uint64_t swap_free);

#endif /* KMW_CGROUP_MEMORY_H */
