/*
 * cgroup_processors.c - how many processors' time the control groups above this process allow it.
 *
 * A quota is so many microseconds of processor time in each period. Version 2 has both in cpu.max
 * ("150000 100000", or "max 100000"), version 1 in cpu.cfs_quota_us (-1: none) and
 * cpu.cfs_period_us.
 */
#include "cgroup_processors.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cgroup.h"
#include "kernel_text.h"

static unsigned processors(uint64_t quota, uint64_t period) {
    if (quota == 0 || period == 0) {
        return UINT_MAX;
    }
    const uint64_t count = (quota - 1) / period + 1;
    return count < UINT_MAX ? (unsigned)count : UINT_MAX;
}

static unsigned quota_in_version_2(const char *group) {
    char path[KMW_CGROUP_PATH];
    kmw_lines lines;
    uint64_t quota = 0;
    uint64_t period = 0;
    if (!kmw_cgroup_file(group, "cpu.max", path) || !kmw_lines_open(&lines, path)) {
        return UINT_MAX;
    }
    const char *line = kmw_lines_next(&lines);
    const char *second = line != NULL ? strchr(line, ' ') : NULL;
    const bool limited =
        second != NULL && kmw_number_of(line, &quota) && kmw_number_of(second + 1, &period);
    kmw_lines_close(&lines);
    return limited ? processors(quota, period) : UINT_MAX;
}

static unsigned quota_in_version_1(const char *group) {
    uint64_t quota = 0;
    uint64_t period = 0;
    const bool limited = kmw_cgroup_number(group, "cpu.cfs_quota_us", &quota) &&
                         kmw_cgroup_number(group, "cpu.cfs_period_us", &period);
    return limited ? processors(quota, period) : UINT_MAX;
}

static void look_at(const char *group, kmw_cgroup_version version, void *arg) {
    unsigned *least = arg;
    const unsigned quota =
        version == KMW_CGROUP_2 ? quota_in_version_2(group) : quota_in_version_1(group);
    if (quota < *least) {
        *least = quota;
    }
}

unsigned kmw_cgroup_processors(const char *root) {
    unsigned least = UINT_MAX;
    kmw_cgroup_walk(root, "cpu", look_at, &least);
    return least;
}
