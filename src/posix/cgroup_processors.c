/*
 * cgroup_processors.c - how many processors' time the control groups above this process allow it.
 *
 * A quota is so many microseconds of processor time in each period. Version 2 has both in cpu.max
 * ("150000 100000", or "max 100000"), version 1 in cpu.cfs_quota_us (-1: none) and
 * cpu.cfs_period_us. In a container /proc/self/cgroup may name our group as the host sees it, which
 * is not there to be found; the walk up from it ends at the mount point all the same, and that is
 * our group then.
 */
#include "cgroup_processors.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernel_text.h"

/* A group with a longer path is not known. */
enum { PATH_SIZE = 1024 };

static unsigned least(unsigned one, unsigned other) {
    return one < other ? one : other;
}

static unsigned processors(uint64_t quota, uint64_t period) {
    if (quota == 0 || period == 0) {
        return UINT_MAX;
    }
    const uint64_t count = (quota - 1) / period + 1;
    return count < UINT_MAX ? (unsigned)count : UINT_MAX;
}

static unsigned quota_in_version_2(const char *group) {
    char path[PATH_SIZE + sizeof "/cpu.max"];
    kmw_lines lines;
    uint64_t quota = 0;
    uint64_t period = 0;
    (void)snprintf(path, sizeof path, "%s/cpu.max", group);
    if (!kmw_lines_open(&lines, path)) {
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
    char path[PATH_SIZE + sizeof "/cpu.cfs_period_us"];
    uint64_t quota = 0;
    uint64_t period = 0;
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    if (!kmw_number_in(path, &quota)) {
        return UINT_MAX;
    }
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    return kmw_number_in(path, &period) ? processors(quota, period) : UINT_MAX;
}

/* From the group `ours` in the hierarchy mounted at `top` up to there. */
static unsigned quota_above(const char *root, const char *top, const char *ours, bool version_2) {
    char group[PATH_SIZE];
    unsigned quota = UINT_MAX;
    const size_t top_length = strlen(root) + strlen(top);
    const int length = snprintf(group, sizeof group, "%s%s%s", root, top, ours);
    if (length < 0 || (size_t)length >= sizeof group || strstr(ours, "/..") != NULL) {
        return quota;
    }
    while (strlen(group) >= top_length) {
        quota = least(quota, version_2 ? quota_in_version_2(group) : quota_in_version_1(group));
        *strrchr(group, '/') = '\0'; /* `top` has some */
    }
    return quota;
}

/* Is "cpu" one of the comma-separated words? */
static bool has_cpu(const char *words) {
    for (const char *at = words; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Of a line "number:controllers:group" of /proc/self/cgroup. Version 2 is number 0; beside version
 * 1 it is usually mounted in a place of its own, and has no processors to give. */
static unsigned quota_of_line(const char *root, char *line) {
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL || group[1] != '/') {
        return UINT_MAX;
    }
    *controllers++ = '\0';
    *group++ = '\0';
    if (strcmp(line, "0") == 0) {
        return quota_above(root, "/sys/fs/cgroup", group, true);
    }
    return has_cpu(controllers) ? quota_above(root, "/sys/fs/cgroup/cpu", group, false) : UINT_MAX;
}

unsigned kmw_cgroup_processors(const char *root) {
    char path[PATH_SIZE];
    kmw_lines lines;
    unsigned quota = UINT_MAX;
    const int length = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (length < 0 || (size_t)length >= sizeof path || !kmw_lines_open(&lines, path)) {
        return quota;
    }
    for (char *line = kmw_lines_next(&lines); line != NULL; line = kmw_lines_next(&lines)) {
        quota = least(quota, quota_of_line(root, line));
    }
    kmw_lines_close(&lines);
    return quota;
}
