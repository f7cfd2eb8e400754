/*
 * system_time.c - GetSystemTimeAsFileTime.
 */
#include <stdint.h>
#include <time.h>

#include <keepmap/win32.h>

/* FILETIME counts 100 ns from 1601. */
#define SECONDS_TO_1970 11644473600ULL
#define TICKS_PER_SECOND 10000000ULL
#define NS_PER_TICK 100

void GetSystemTimeAsFileTime(LPFILETIME time) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    const uint64_t ticks = ((uint64_t)now.tv_sec + SECONDS_TO_1970) * TICKS_PER_SECOND +
                           (uint64_t)now.tv_nsec / NS_PER_TICK;
    *time = (FILETIME){.dwLowDateTime = (DWORD)ticks, .dwHighDateTime = (DWORD)(ticks >> 32)};
}
