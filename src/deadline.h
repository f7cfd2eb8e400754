/*
 * deadline.h - how long a call that waits for several things may still wait.
 */
#ifndef KM_DEADLINE_H
#define KM_DEADLINE_H

#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

typedef struct km_deadline {
    uint64_t start;
    uint32_t timeout_ms; /* KM_WAIT_FOREVER: never over */
} km_deadline;

static inline km_deadline km_deadline_in(uint32_t timeout_ms) {
    return (km_deadline){.start = GetTickCount64(), .timeout_ms = timeout_ms};
}

/* ms; 0: it is over. */
static inline uint32_t km_deadline_left(const km_deadline *deadline) {
    if (deadline->timeout_ms == KM_WAIT_FOREVER) {
        return KM_WAIT_FOREVER;
    }
    const uint64_t waited = GetTickCount64() - deadline->start;
    return waited < deadline->timeout_ms ? deadline->timeout_ms - (uint32_t)waited : 0;
}

#endif /* KM_DEADLINE_H */
