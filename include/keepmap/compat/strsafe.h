/*
 * strsafe.h - text that never runs over its buffer. What does not fit is cut, and
 * STRSAFE_E_INSUFFICIENT_BUFFER.
 *
 * TCHAR being one byte, the counts of characters (Cch) and of bytes (Cb) are the same.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <strsafe.h>
#else
#ifndef KEEPMAP_COMPAT_STRSAFE_H
#define KEEPMAP_COMPAT_STRSAFE_H

#include "winbase.h"
#include "winerror.h"

#define STRSAFE_MAX_CCH 2147483647u
#define STRSAFE_E_INSUFFICIENT_BUFFER ((HRESULT)0x8007007Au)
#define STRSAFE_E_INVALID_PARAMETER ((HRESULT)0x80070057u)
#define STRSAFE_E_END_OF_FILE ((HRESULT)0x80070026u)

static __inline__ HRESULT StringCchVPrintfA(LPSTR to, size_t size, LPCSTR format, va_list values) {
    if (size == 0 || size > STRSAFE_MAX_CCH) {
        return STRSAFE_E_INVALID_PARAMETER;
    }
    int length = vsnprintf(to, size, format, values);
    return length < 0 || (size_t)length >= size ? STRSAFE_E_INSUFFICIENT_BUFFER : S_OK;
}

__attribute__((format(printf, 3, 4))) static __inline__ HRESULT
StringCchPrintfA(LPSTR to, size_t size, LPCSTR format, ...) {
    va_list values;
    va_start(values, format);
    HRESULT result = StringCchVPrintfA(to, size, format, values);
    va_end(values);
    return result;
}

static __inline__ HRESULT StringCchLengthA(LPCSTR text, size_t most, size_t *length) {
    const void *end =
        text == NULL || most > STRSAFE_MAX_CCH ? NULL : memchr((const void *)text, 0, most);
    if (length != NULL) {
        *length = end == NULL ? 0 : (size_t)((const char *)end - text);
    }
    return end == NULL ? STRSAFE_E_INVALID_PARAMETER : S_OK;
}

static __inline__ HRESULT StringCchCopyA(LPSTR to, size_t size, LPCSTR from) {
    if (size == 0 || size > STRSAFE_MAX_CCH) {
        return STRSAFE_E_INVALID_PARAMETER;
    }
    size_t length = 0;
    while (length + 1 < size && from[length] != 0) {
        to[length] = from[length];
        ++length;
    }
    to[length] = 0;
    return from[length] == 0 ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}

static __inline__ HRESULT StringCchCatA(LPSTR to, size_t size, LPCSTR from) {
    size_t used = 0;
    HRESULT result = StringCchLengthA(to, size, &used);
    return FAILED(result) ? result : StringCchCopyA(to + used, size - used, from);
}

#define StringCbVPrintfA StringCchVPrintfA
#define StringCbPrintfA StringCchPrintfA
#define StringCbLengthA StringCchLengthA
#define StringCbCopyA StringCchCopyA
#define StringCbCatA StringCchCatA
#define StringCchVPrintf StringCchVPrintfA
#define StringCchPrintf StringCchPrintfA
#define StringCchLength StringCchLengthA
#define StringCchCopy StringCchCopyA
#define StringCchCat StringCchCatA
#define StringCbVPrintf StringCchVPrintfA
#define StringCbPrintf StringCchPrintfA
#define StringCbLength StringCchLengthA
#define StringCbCopy StringCchCopyA
#define StringCbCat StringCchCatA

#endif /* KEEPMAP_COMPAT_STRSAFE_H */
#endif
