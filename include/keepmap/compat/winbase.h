/*
 * winbase.h - what file-mapping programs use besides the calls of keepmap/win32.h: memory, threads
 * and what they lock, atomic numbers, the date, and text.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <winbase.h>
#else
#ifndef KEEPMAP_COMPAT_WINBASE_H
#define KEEPMAP_COMPAT_WINBASE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "windef.h"

/* Memory ------------------------------------------------------------------------------------ */

#define CopyMemory(to, from, length) memcpy((to), (from), (length))
#define MoveMemory(to, from, length) memmove((to), (from), (length))
#define FillMemory(to, length, byte) memset((to), (byte), (length))
#define ZeroMemory(to, length) memset((to), 0, (length))
#define RtlCopyMemory CopyMemory
#define RtlMoveMemory MoveMemory
#define RtlFillMemory FillMemory
#define RtlZeroMemory ZeroMemory
#define RtlSecureZeroMemory SecureZeroMemory

static __inline__ PVOID SecureZeroMemory(PVOID to, SIZE_T length) {
    volatile BYTE *byte = (volatile BYTE *)to;
    while (length > 0) {
        *byte++ = 0;
        --length;
    }
    return to;
}

#define LMEM_FIXED 0x0u
#define LMEM_MOVEABLE 0x2u
#define LMEM_ZEROINIT 0x40u
#define LPTR 0x40u
#define LHND 0x42u
#define GMEM_FIXED 0x0u
#define GMEM_MOVEABLE 0x2u
#define GHND 0x42u
#define GMEM_ZEROINIT 0x40u
#define GPTR 0x40u
#define HEAP_NO_SERIALIZE 0x1u
#define HEAP_ZERO_MEMORY 0x8u

#ifdef __cplusplus
extern "C" {
#endif

/* Fixed memory only: what is movable on Windows (LMEM_MOVEABLE) is ERROR_NOT_SUPPORTED. Freed by
 * LocalFree. LocalSize may be more than was asked for. */
KMW_EXPORT HLOCAL LocalAlloc(UINT flags, SIZE_T size) KMW_AS(LocalAlloc);
KMW_EXPORT SIZE_T LocalSize(HLOCAL memory) KMW_AS(LocalSize);
#define GlobalAlloc LocalAlloc
#define GlobalSize LocalSize
#define GlobalFree LocalFree

/* There is one heap, malloc's. */
KMW_EXPORT HANDLE GetProcessHeap(void) KMW_AS(GetProcessHeap);
KMW_EXPORT LPVOID HeapAlloc(HANDLE heap, DWORD flags, SIZE_T size) KMW_AS(HeapAlloc);
KMW_EXPORT BOOL HeapFree(HANDLE heap, DWORD flags, LPVOID memory) KMW_AS(HeapFree);

/* Threads ----------------------------------------------------------------------------------- */

typedef DWORD(WINAPI *PTHREAD_START_ROUTINE)(LPVOID parameter);
typedef PTHREAD_START_ROUTINE LPTHREAD_START_ROUTINE;
#define CREATE_SUSPENDED 0x4u
#define STACK_SIZE_PARAM_IS_A_RESERVATION 0x10000u

/*
 * A thread, and a handle to wait for its end with. The handle is that of an event which is signaled
 * when the thread's function has returned, and so good for waits, DuplicateHandle and CloseHandle;
 * the exit code is not kept. `stack` is taken if it is more than the system's default.
 * CREATE_SUSPENDED is ERROR_NOT_SUPPORTED.
 */
KMW_EXPORT HANDLE CreateThread(LPSECURITY_ATTRIBUTES security, SIZE_T stack,
                               LPTHREAD_START_ROUTINE run, LPVOID parameter, DWORD flags,
                               LPDWORD id) KMW_AS(CreateThread);

/*
 * Ends the thread as pthread_exit does. In C++ that unwinds the stack, so destructors run, which
 * they do not on Windows; where a function on the stack is noexcept, or catches (...) without
 * throwing again, the C++ library ends the program. Returning from the thread's function does
 * without all that. In the main thread: the process lives on until its other threads have ended.
 */
KMW_EXPORT void ExitThread(DWORD code) KMW_AS(ExitThread) __attribute__((noreturn));

/*
 * A lock between the threads of one process, which its owner may take again. As on Windows it must
 * be initialized, not be moved, and be left as often as entered, by its owner. The number of spins
 * is not used. Initializing fails for want of memory only: FALSE, and the last error; where
 * InitializeCriticalSection does, which cannot say so, the program is ended.
 */
typedef struct _RTL_CRITICAL_SECTION {
    PVOID Reserved[8];
} CRITICAL_SECTION, *PCRITICAL_SECTION, *LPCRITICAL_SECTION;

KMW_EXPORT void InitializeCriticalSection(LPCRITICAL_SECTION section)
    KMW_AS(InitializeCriticalSection);
KMW_EXPORT BOOL InitializeCriticalSectionAndSpinCount(LPCRITICAL_SECTION section, DWORD spins)
    KMW_AS(InitializeCriticalSectionAndSpinCount);
KMW_EXPORT void EnterCriticalSection(LPCRITICAL_SECTION section) KMW_AS(EnterCriticalSection);
KMW_EXPORT BOOL TryEnterCriticalSection(LPCRITICAL_SECTION section) KMW_AS(TryEnterCriticalSection);
KMW_EXPORT void LeaveCriticalSection(LPCRITICAL_SECTION section) KMW_AS(LeaveCriticalSection);
KMW_EXPORT void DeleteCriticalSection(LPCRITICAL_SECTION section) KMW_AS(DeleteCriticalSection);

/* The date ---------------------------------------------------------------------------------- */

typedef struct _SYSTEMTIME {
    WORD wYear;
    WORD wMonth;     /* from 1 */
    WORD wDayOfWeek; /* 0: Sunday */
    WORD wDay;
    WORD wHour;
    WORD wMinute;
    WORD wSecond;
    WORD wMilliseconds;
} SYSTEMTIME, *PSYSTEMTIME, *LPSYSTEMTIME;

KMW_EXPORT void GetSystemTime(LPSYSTEMTIME utc) KMW_AS(GetSystemTime);
KMW_EXPORT void GetLocalTime(LPSYSTEMTIME local) KMW_AS(GetLocalTime);

#ifdef __cplusplus
}
#endif

/* The parent sees the low eight bits of the code. */
static __inline__ __attribute__((noreturn)) void ExitProcess(UINT code) {
    exit((int)code);
}

static __inline__ DWORD GetTickCount(void) {
    return (DWORD)GetTickCount64();
}

static __inline__ BOOL MoveFileA(LPCSTR from, LPCSTR to) {
    return MoveFileExA(from, to, MOVEFILE_COPY_ALLOWED);
}

static __inline__ BOOL MoveFileW(LPCWSTR from, LPCWSTR to) {
    return MoveFileExW(from, to, MOVEFILE_COPY_ALLOWED);
}
#define MoveFile MoveFileA

#ifndef SECURITY_DESCRIPTOR_MIN_LENGTH
#define SECURITY_DESCRIPTOR_MIN_LENGTH sizeof(SECURITY_DESCRIPTOR)
#endif

/* Atomic numbers, also in shared memory; each is a full barrier ------------------------------- */

/* NOLINTBEGIN(readability-non-const-parameter): not seen to be stored to. */
static __inline__ LONG InterlockedIncrement(LONG volatile *number) {
    return __atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedDecrement(LONG volatile *number) {
    return __atomic_sub_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedExchange(LONG volatile *number, LONG value) {
    return __atomic_exchange_n(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedExchangeAdd(LONG volatile *number, LONG value) {
    return __atomic_fetch_add(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedAnd(LONG volatile *number, LONG value) {
    return __atomic_fetch_and(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedOr(LONG volatile *number, LONG value) {
    return __atomic_fetch_or(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedXor(LONG volatile *number, LONG value) {
    return __atomic_fetch_xor(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG InterlockedCompareExchange(LONG volatile *number, LONG value,
                                                  LONG expected) {
    LONG found = expected;
    (void)__atomic_compare_exchange_n(number, &found, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return found;
}

static __inline__ LONG64 InterlockedIncrement64(LONG64 volatile *number) {
    return __atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedDecrement64(LONG64 volatile *number) {
    return __atomic_sub_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedExchange64(LONG64 volatile *number, LONG64 value) {
    return __atomic_exchange_n(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedExchangeAdd64(LONG64 volatile *number, LONG64 value) {
    return __atomic_fetch_add(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedAnd64(LONG64 volatile *number, LONG64 value) {
    return __atomic_fetch_and(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedOr64(LONG64 volatile *number, LONG64 value) {
    return __atomic_fetch_or(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedXor64(LONG64 volatile *number, LONG64 value) {
    return __atomic_fetch_xor(number, value, __ATOMIC_SEQ_CST);
}

static __inline__ LONG64 InterlockedCompareExchange64(LONG64 volatile *number, LONG64 value,
                                                      LONG64 expected) {
    LONG64 found = expected;
    (void)__atomic_compare_exchange_n(number, &found, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return found;
}

static __inline__ PVOID InterlockedExchangePointer(PVOID volatile *pointer, PVOID value) {
    return __atomic_exchange_n(pointer, value, __ATOMIC_SEQ_CST);
}

static __inline__ PVOID InterlockedCompareExchangePointer(PVOID volatile *pointer, PVOID value,
                                                          PVOID expected) {
    PVOID found = expected;
    (void)__atomic_compare_exchange_n(pointer, &found, value, 0, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST);
    return found;
}

/* NOLINTEND(readability-non-const-parameter) */

#define MemoryBarrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Text -------------------------------------------------------------------------------------- */

static __inline__ int lstrlenA(LPCSTR text) {
    return text == NULL ? 0 : (int)strlen(text);
}

static __inline__ int lstrlenW(LPCWSTR text) {
    int length = 0;
    while (text != NULL && text[length] != 0) {
        ++length;
    }
    return length;
}

static __inline__ LPSTR lstrcpyA(LPSTR to, LPCSTR from) {
    return strcpy(to, from); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
}

/* At most `size` characters with the zero, which is always there. */
static __inline__ LPSTR lstrcpynA(LPSTR to, LPCSTR from, int size) {
    int length = 0;
    while (length + 1 < size && from[length] != 0) {
        to[length] = from[length];
        ++length;
    }
    if (size > 0) {
        to[length] = 0;
    }
    return to;
}

static __inline__ LPSTR lstrcatA(LPSTR to, LPCSTR from) {
    return strcat(to, from); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
}

/* By bytes, where Windows goes by the user's language. */
static __inline__ int lstrcmpA(LPCSTR one, LPCSTR other) {
    return strcmp(one, other);
}

static __inline__ int lstrcmpiA(LPCSTR one, LPCSTR other) {
    return strcasecmp(one, other);
}

/* Writes 1024 characters at most, the zero among them, as Windows does. */
__attribute__((format(printf, 2, 3))) static __inline__ int wsprintfA(LPSTR to, LPCSTR format,
                                                                      ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(to, 1024, format, values);
    va_end(values);
    return length > 1023 ? 1023 : length;
}

/* Those of the C library that Windows' <string.h> and <stdio.h> have under these names. */
#ifndef _stricmp
#define _stricmp strcasecmp
#endif
#ifndef _strnicmp
#define _strnicmp strncasecmp
#endif

static __inline__ char *_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = (char *)malloc(size);
    return copy == NULL ? NULL : (char *)memcpy(copy, text, size);
}

/* -1 for what does not fit, as on Windows; what does is always ended by a zero, unlike there. */
__attribute__((format(printf, 3, 0))) static __inline__ int
_vsnprintf(char *to, size_t size, const char *format, va_list values) {
    int length = vsnprintf(to, size, format, values);
    return length >= 0 && (size_t)length < size ? length : -1;
}

__attribute__((format(printf, 3, 4))) static __inline__ int _snprintf(char *to, size_t size,
                                                                      const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = _vsnprintf(to, size, format, values);
    va_end(values);
    return length;
}

#define lstrlen lstrlenA
#define lstrcpy lstrcpyA
#define lstrcpyn lstrcpynA
#define lstrcat lstrcatA
#define lstrcmp lstrcmpA
#define lstrcmpi lstrcmpiA
#define wsprintf wsprintfA

#endif /* KEEPMAP_COMPAT_WINBASE_H */
#endif
