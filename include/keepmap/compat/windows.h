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
 * TCHAR is char. A program that prints a DWORD with "%lu" draws a warning (on Windows it is a
 * long);
 * "%I64d" and the backslash in a path mean nothing here. On Windows these headers hand on the
 * system's own, so the same flags do there.
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

#endif /* KEEPMAP_COMPAT_WINDOWS_H */
#endif
