/*
 * platform_threads_windows.c - threads, chance and time of platform.h, on Windows.
 */
#define _CRT_RAND_S /* rand_s: random numbers from the system, without another library */
#include <stdlib.h>

#include "platform.h"

#include <process.h>
#include <string.h>

#define STACK_SIZE (1u << 20)

/* A FILETIME counts steps of 100 ns since 1601. */
#define NS_PER_STEP 100u
#define STEPS_TO_1970 116444736000000000u

/* ---- Threads ------------------------------------------------------------------------------- */

typedef struct beginning {
    void (*run)(void *arg);
    void *arg;
} beginning;

static unsigned __stdcall begin(void *arg) {
    const beginning that = *(beginning *)arg;
    free(arg);
    that.run(that.arg);
    return 0;
}

DWORD km_platform_thread_start(km_thread *thread, void (*run)(void *arg), void *arg) {
    beginning *with = malloc(sizeof *with);
    if (with == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    *with = (beginning){.run = run, .arg = arg};
    const uintptr_t made =
        _beginthreadex(NULL, STACK_SIZE, begin, with, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (made == 0) { /* too many threads, too few resources: the run-time library has errno only */
        free(with);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    thread->system = made;
    return ERROR_SUCCESS;
}

void km_platform_thread_join(km_thread *thread) {
    HANDLE handle = (HANDLE)thread->system;
    (void)WaitForSingleObject(handle, INFINITE);
    (void)CloseHandle(handle);
}

/* ---- Monitors ------------------------------------------------------------------------------ */

struct km_monitor {
    SRWLOCK lock;
    CONDITION_VARIABLE changed;
};

DWORD km_platform_monitor_make(km_monitor **monitor) {
    km_monitor *made = malloc(sizeof *made);
    if (made == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    InitializeSRWLock(&made->lock);
    InitializeConditionVariable(&made->changed);
    *monitor = made;
    return ERROR_SUCCESS;
}

void km_platform_monitor_free(km_monitor *monitor) {
    free(monitor);
}

void km_platform_monitor_enter(km_monitor *monitor) {
    AcquireSRWLockExclusive(&monitor->lock);
}

void km_platform_monitor_leave(km_monitor *monitor) {
    ReleaseSRWLockExclusive(&monitor->lock);
}

void km_platform_monitor_wait(km_monitor *monitor, uint32_t milliseconds) {
    const DWORD most = milliseconds == KM_WAIT_FOREVER ? INFINITE : milliseconds;
    (void)SleepConditionVariableSRW(&monitor->changed, &monitor->lock, most, 0);
}

void km_platform_monitor_notify(km_monitor *monitor) {
    WakeAllConditionVariable(&monitor->changed);
}

/* ---- Processors ---------------------------------------------------------------------------- */

static unsigned count_bits(DWORD_PTR mask) {
    unsigned count = 0;
    for (; mask != 0; mask &= mask - 1) {
        count++;
    }
    return count;
}

/* A process with threads in several groups of processors has no mask: it may run on all of them. */
unsigned km_platform_processors(void) {
    DWORD_PTR ours = 0;
    DWORD_PTR all = 0;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &ours, &all)) {
        return 1;
    }
    const unsigned count =
        ours != 0 ? count_bits(ours) : GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count != 0 ? count : 1;
}

unsigned km_platform_forks(void) {
    return 0;
}

/* ---- Chance and time ----------------------------------------------------------------------- */

DWORD km_platform_random(void *bytes, size_t length) {
    unsigned char *to = bytes;
    while (length > 0) {
        unsigned random = 0;
        const size_t part = length < sizeof random ? length : sizeof random;
        if (rand_s(&random) != 0) {
            return ERROR_GEN_FAILURE;
        }
        memcpy(to, &random, part);
        to += part;
        length -= part;
    }
    return ERROR_SUCCESS;
}

uint64_t km_platform_now(void) {
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    const uint64_t steps = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (steps - STEPS_TO_1970) * NS_PER_STEP;
}
