/*
 * process.h - threads the C library's way, and the process's number.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <process.h>
#else
#ifndef KEEPMAP_COMPAT_PROCESS_H
#define KEEPMAP_COMPAT_PROCESS_H

#include "winbase.h"

/* CreateThread under another name: 0, and the last error, where that says NULL. */
static __inline__ uintptr_t _beginthreadex(void *security, unsigned stack,
                                           unsigned(__stdcall *run)(void *), void *parameter,
                                           unsigned flags, unsigned *id) {
    return (uintptr_t)CreateThread((LPSECURITY_ATTRIBUTES)security, stack, run, parameter, flags,
                                   id);
}

/* See ExitThread, in C++ above all. */
static __inline__ __attribute__((noreturn)) void _endthreadex(unsigned code) {
    ExitThread(code);
}

static __inline__ int _getpid(void) {
    return (int)GetCurrentProcessId();
}

#endif /* KEEPMAP_COMPAT_PROCESS_H */
#endif
