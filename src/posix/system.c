/*
 * system.c - the machine, the process, and time.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "last_error.h"
#include "thread_self.h"

#define GRANULARITY 65536u

static WORD architecture(void) {
#if defined(__x86_64__)
    return PROCESSOR_ARCHITECTURE_AMD64;
#elif defined(__aarch64__)
    return PROCESSOR_ARCHITECTURE_ARM64;
#elif defined(__i386__)
    return PROCESSOR_ARCHITECTURE_INTEL;
#elif defined(__arm__)
    return PROCESSOR_ARCHITECTURE_ARM;
#else
    return PROCESSOR_ARCHITECTURE_UNKNOWN;
#endif
}

/* What the old field, obsolete on Windows too, says for x86. 0 elsewhere. */
static DWORD processor_type(void) {
#if defined(__x86_64__)
    return 8664;
#elif defined(__i386__)
    return 586;
#else
    return 0;
#endif
}

/* Where a program's own addresses end, as far as the system gives them out unasked. Its last page
 * is never given out. */
static uintptr_t highest_address(DWORD page_size) {
#if defined(__aarch64__)
    return ((uintptr_t)1 << 48) - page_size - 1;
#elif UINTPTR_MAX > 0xFFFFFFFFu
    return ((uintptr_t)1 << 47) - page_size - 1;
#else
    return UINTPTR_MAX - page_size;
#endif
}

void GetSystemInfo(LPSYSTEM_INFO information) {
    long page_size = sysconf(_SC_PAGESIZE);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned mask_bits = 8 * (unsigned)sizeof(DWORD_PTR);

    memset(information, 0, sizeof *information);
    information->wProcessorArchitecture = architecture();
    information->dwPageSize = (DWORD)page_size;
    information->dwAllocationGranularity =
        page_size > (long)GRANULARITY ? (DWORD)page_size : GRANULARITY;
    information->lpMinimumApplicationAddress = (LPVOID)(uintptr_t)GRANULARITY;
    information->lpMaximumApplicationAddress = (LPVOID)highest_address((DWORD)page_size);
    information->dwNumberOfProcessors = processors > 0 ? (DWORD)processors : 1;
    information->dwActiveProcessorMask =
        information->dwNumberOfProcessors >= mask_bits
            ? ~(DWORD_PTR)0
            : ((DWORD_PTR)1 << information->dwNumberOfProcessors) - 1;
    information->dwProcessorType = processor_type();
}

void GetNativeSystemInfo(LPSYSTEM_INFO information) {
    GetSystemInfo(information);
}

DWORD GetCurrentProcessId(void) {
    return (DWORD)getpid();
}

DWORD GetCurrentThreadId(void) {
    return (DWORD)kmw_thread_id();
}

void Sleep(DWORD milliseconds) {
    if (milliseconds == INFINITE) {
        for (;;) {
            (void)pause(); /* a signal's handler ran: sleep on */
        }
    }
    struct timespec left = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* Since the system started, its sleep included where the system counts it. */
ULONGLONG GetTickCount64(void) {
    struct timespec now = {0};
#if defined(CLOCK_BOOTTIME)
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
#else
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (ULONGLONG)now.tv_sec * 1000 + (ULONGLONG)now.tv_nsec / 1000000;
}

/* Nanoseconds since some moment, by a clock that nobody sets. */
BOOL QueryPerformanceCounter(PLARGE_INTEGER count) {
    struct timespec now;
    if (count == NULL) {
        return kmw_fail(ERROR_NOACCESS);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    count->QuadPart = (LONGLONG)now.tv_sec * 1000000000 + now.tv_nsec;
    return TRUE;
}

BOOL QueryPerformanceFrequency(PLARGE_INTEGER per_second) {
    if (per_second == NULL) {
        return kmw_fail(ERROR_NOACCESS);
    }
    per_second->QuadPart = 1000000000;
    return TRUE;
}
