/*
 * memory_limits.h - how many bytes of shared memory may still be taken, and what says so.
 *
 * Shared memory is given without a look at who can afford it, and whoever goes beyond what a
 * control group or the machine has is killed, not refused. So SEC_COMMIT looks first.
 *
 * An answer is true of the moment, for this process among others; it promises nothing. So it keeps
 * back a reserve for what comes with the bytes (the kernel's own bookkeeping, what other processors
 * have charged and not yet told) and for small things that are taken without looking. What cannot
 * be known is no limit.
 */
#ifndef KMW_MEMORY_LIMITS_H
#define KMW_MEMORY_LIMITS_H

#include <stdint.h>

typedef enum kmw_limit {
    KMW_LIMIT_NONE,
    KMW_LIMIT_FILE_SYSTEM, /* the space on the one that holds the bytes */
    KMW_LIMIT_MEMORY,      /* the machine's memory and swap */
    KMW_LIMIT_OVERCOMMIT,  /* what the machine lets be promised (vm.overcommit_memory 2) */
    KMW_LIMIT_CGROUP,      /* a control group's limit */
    KMW_LIMIT_FILE_SIZE,   /* RLIMIT_FSIZE, which counts for memory too */
    KMW_LIMIT_LARGE_PAGES, /* the pool of large pages */
    KMW_LIMIT_SIZE         /* the largest size there can be */
} kmw_limit;

typedef struct kmw_room {
    uint64_t free; /* bytes; UINT64_MAX: no limit is known */
    kmw_limit limit;
} kmw_room;

/* Kept back of memory and of groups: this much, and one part in KMW_RESERVE_PART of what is free.
 */
#define KMW_RESERVE ((uint64_t)4 << 20)
#define KMW_RESERVE_PART ((uint64_t)64)

/* For the file behind `descriptor`: its file system's space and, if that is memory, memory's. */
kmw_room kmw_memory_room(int descriptor);

/* Memory's alone. `root` stands before every path that is read: "" but in tests. */
kmw_room kmw_memory_room_under(const char *root);

/* For a sentence: "the space left on the file system". Never NULL. */
const char *kmw_limit_text(kmw_limit limit);

#endif /* KMW_MEMORY_LIMITS_H */
