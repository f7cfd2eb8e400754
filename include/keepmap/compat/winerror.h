/*
 * winerror.h - HRESULT, and error codes besides those of keepmap/win32.h, which no call here sets.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <winerror.h>
#else
#ifndef KEEPMAP_COMPAT_WINERROR_H
#define KEEPMAP_COMPAT_WINERROR_H

#include "windef.h"

#define ERROR_SEM_TIMEOUT 121u
#define ERROR_PIPE_BUSY 231u
#define ERROR_NO_MORE_ITEMS 259u
#define ERROR_IO_INCOMPLETE 996u
#define ERROR_IO_PENDING 997u
#define ERROR_NOT_FOUND 1168u
#define ERROR_TIMEOUT 1460u

#define S_OK ((HRESULT)0)
#define S_FALSE ((HRESULT)1)
#define E_NOTIMPL ((HRESULT)0x80004001u)
#define E_POINTER ((HRESULT)0x80004003u)
#define E_FAIL ((HRESULT)0x80004005u)
#define E_UNEXPECTED ((HRESULT)0x8000FFFFu)
#define E_ACCESSDENIED ((HRESULT)0x80070005u)
#define E_HANDLE ((HRESULT)0x80070006u)
#define E_OUTOFMEMORY ((HRESULT)0x8007000Eu)
#define E_INVALIDARG ((HRESULT)0x80070057u)

#define SUCCEEDED(result) ((HRESULT)(result) >= 0)
#define FAILED(result) ((HRESULT)(result) < 0)

/* A constant if the code is one, for the labels of a switch. */
#define HRESULT_FROM_WIN32(code)                                                                   \
    ((HRESULT)(code) <= 0 ? (HRESULT)(code) : (HRESULT)(((DWORD)(code)&0xFFFFu) | 0x80070000u))

#endif /* KEEPMAP_COMPAT_WINERROR_H */
#endif
