/*
 * winuser.h - MessageBox, for programs whose only window it is.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <winuser.h>
#else
#ifndef KEEPMAP_COMPAT_WINUSER_H
#define KEEPMAP_COMPAT_WINUSER_H

#include "windef.h"

#define MB_OK 0x0u
#define MB_OKCANCEL 0x1u
#define MB_ABORTRETRYIGNORE 0x2u
#define MB_YESNOCANCEL 0x3u
#define MB_YESNO 0x4u
#define MB_RETRYCANCEL 0x5u
#define MB_TYPEMASK 0xFu
#define MB_ICONERROR 0x10u
#define MB_ICONHAND 0x10u
#define MB_ICONSTOP 0x10u
#define MB_ICONQUESTION 0x20u
#define MB_ICONEXCLAMATION 0x30u
#define MB_ICONWARNING 0x30u
#define MB_ICONASTERISK 0x40u
#define MB_ICONINFORMATION 0x40u
#define MB_DEFBUTTON1 0x0u
#define MB_DEFBUTTON2 0x100u
#define MB_DEFBUTTON3 0x200u
#define MB_DEFBUTTON4 0x300u
#define MB_DEFMASK 0xF00u
#define MB_SYSTEMMODAL 0x1000u
#define MB_TASKMODAL 0x2000u
#define MB_SETFOREGROUND 0x10000u
#define MB_TOPMOST 0x40000u

#define IDOK 1
#define IDCANCEL 2
#define IDABORT 3
#define IDRETRY 4
#define IDIGNORE 5
#define IDYES 6
#define IDNO 7

#ifdef __cplusplus
extern "C" {
#endif

/*
 * "TITLE: TEXT", a line on standard error. Nobody is asked: the answer is the default button's, the
 * first one's unless MB_DEFBUTTON2 or MB_DEFBUTTON3 says otherwise; but never IDRETRY, which would
 * try again for ever: IDCANCEL or IDABORT then. An unknown type, or text that is not UTF-16: 0, and
 * the last error.
 */
KMW_EXPORT int MessageBoxA(HWND owner, LPCSTR text, LPCSTR title, UINT type) KMW_AS(MessageBoxA);
KMW_EXPORT int MessageBoxW(HWND owner, LPCWSTR text, LPCWSTR title, UINT type) KMW_AS(MessageBoxW);
#define MessageBox MessageBoxA

#ifdef __cplusplus
}
#endif

#endif /* KEEPMAP_COMPAT_WINUSER_H */
#endif
