/*
 * winerror.h - HRESULT; the ERROR_ codes are those of keepmap/win32.h.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <winerror.h>
#else
#ifndef KEEPMAP_COMPAT_WINERROR_H
#define KEEPMAP_COMPAT_WINERROR_H

#include "windef.h"

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

static __inline__ HRESULT HRESULT_FROM_WIN32(DWORD code) {
    return code == 0 || code > 0x7FFFFFFFu ? (HRESULT)code
                                           : (HRESULT)((code & 0xFFFFu) | 0x80070000u);
}

#endif /* KEEPMAP_COMPAT_WINERROR_H */
#endif
