/*
 * windows.h - for programs written for Windows that are to be built on POSIX as they stand.
 *
 *     cc -I.../include/keepmap/compat program.c -lkeepmap -pthread
 *
 * What a file-mapping program takes from <windows.h>: the calls of keepmap/win32.h, which documents
 * them, and what surrounds them (windef.h: types and macros; winbase.h: memory, threads, text;
 * winuser.h: MessageBox). Not the rest of Windows. tchar.h, conio.h, process.h and strsafe.h lie
 * beside it. In C11 and later, and in C++11 and later.
 *
 * On Windows these headers hand on the system's own, so the same flags do there. What differs on
 * POSIX besides what keepmap/win32.h says (paths, UTF-8):
 *   - TCHAR is char, and WCHAR is char16_t: u"..." and never L"...". In C++ L"..." for a W call
 * does not compile. In C it does not either where this header says so (see its end); elsewhere it
 * is a warning, and the call takes the first letter for the whole text. In C, -fshort-wchar makes
 *     L"..." right for these calls, and wrong for the C library's own wide functions.
 *   - A DWORD is an unsigned int, and a LONG an int. An unsigned long is neither, and larger: its
 *     address is no LPDWORD, and "%lu" for a DWORD draws a warning ("%lu" with a cast to unsigned
 *     long is right everywhere).
 *   - printf does not know "%I64d", and prints something that is not the number; "%lld" is right
 *     everywhere.
 *   - A backslash in a path is a character like any other.
 *   - ExitThread and _endthreadex do not agree with noexcept and catch (...): see winbase.h. The
 *     exit code of a thread is not kept.
 *   - "__declspec(align(16)) struct A {...};" is not aligned, with a warning: see windef.h.
 *   - No window: see winuser.h. __try without exceptions: see excpt.h.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <windows.h>
#else
#ifndef KEEPMAP_COMPAT_WINDOWS_H
#define KEEPMAP_COMPAT_WINDOWS_H

#include "excpt.h"
#include "windef.h"
#include "winerror.h"

#include "winbase.h"
#include "winuser.h"

/*
 * L"..." to a W call in C: wchar_t has four bytes, and the name would end after one letter. The
 * calls that take names and paths refuse it with the name of this struct in the message.
 */
#if !defined(__cplusplus) && __WCHAR_MAX__ > 0xFFFF
struct kmw_write_u_before_this_text_and_not_L {
    int nothing;
};
#define KMW_L(text)                                                                                \
    _Generic((text), __WCHAR_TYPE__ *                                                              \
             : (struct kmw_write_u_before_this_text_and_not_L){0}, const __WCHAR_TYPE__ *          \
             : (struct kmw_write_u_before_this_text_and_not_L){0}, default                         \
             : (text))
#define CreateFileW(path, access, share, security, creation, flags, template_file)                 \
    CreateFileW(KMW_L(path), access, share, security, creation, flags, template_file)
#define DeleteFileW(path) DeleteFileW(KMW_L(path))
#define GetFileAttributesW(path) GetFileAttributesW(KMW_L(path))
#define CreateFileMappingW(file, security, protection, high, low, name)                            \
    CreateFileMappingW(file, security, protection, high, low, KMW_L(name))
#define OpenFileMappingW(access, inherit, name) OpenFileMappingW(access, inherit, KMW_L(name))
#define CreateEventW(security, manual_reset, signaled, name)                                       \
    CreateEventW(security, manual_reset, signaled, KMW_L(name))
#define OpenEventW(access, inherit, name) OpenEventW(access, inherit, KMW_L(name))
#define CreateMutexW(security, owned, name) CreateMutexW(security, owned, KMW_L(name))
#define OpenMutexW(access, inherit, name) OpenMutexW(access, inherit, KMW_L(name))
#define CreateSemaphoreW(security, count, maximum, name)                                           \
    CreateSemaphoreW(security, count, maximum, KMW_L(name))
#define OpenSemaphoreW(access, inherit, name) OpenSemaphoreW(access, inherit, KMW_L(name))
#define MessageBoxW(owner, text, title, type) MessageBoxW(owner, KMW_L(text), KMW_L(title), type)
#endif

#endif /* KEEPMAP_COMPAT_WINDOWS_H */
#endif
