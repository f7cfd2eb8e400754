/*
 * cgroup.h - the control groups that this process is in, up to the topmost ones in sight.
 */
#ifndef KMW_CGROUP_H
#define KMW_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the longest path that is looked at. */
#define KMW_CGROUP_PATH 1024

typedef enum kmw_cgroup_version { KMW_CGROUP_1, KMW_CGROUP_2 } kmw_cgroup_version;

typedef void (*kmw_cgroup_look)(const char *group, kmw_cgroup_version version, void *arg);

/*
 * Shows `look` our group of `controller` ("memory"), as a path, and each one above it, in both
 * hierarchies where the system has both. `root` stands before every path: "" but in tests.
 */
void kmw_cgroup_walk(const char *root, const char *controller, kmw_cgroup_look look, void *arg);

/* The path of a group's file; false: it is too long. */
bool kmw_cgroup_file(const char *group, const char *file, char path[KMW_CGROUP_PATH]);

/* A number in a file of the group; false: it is not there, or says "max". */
bool kmw_cgroup_number(const char *group, const char *file, uint64_t *number);

#endif /* KMW_CGROUP_H */
