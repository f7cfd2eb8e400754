/*
 * cgroup_processors.h - how many processors' time the control groups above this process allow it.
 */
#ifndef KMW_CGROUP_PROCESSORS_H
#define KMW_CGROUP_PROCESSORS_H

/*
 * The least quota of any group from ours up to the topmost one in sight, in processors: rounded to
 * the next whole one, since half a processor's time is worth a thread; at least 1. UINT_MAX: there
 * is no quota, or none that can be read. `root` stands before every path: "" but in tests.
 */
unsigned kmw_cgroup_processors(const char *root);

#endif /* KMW_CGROUP_PROCESSORS_H */
