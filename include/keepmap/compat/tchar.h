/*
 * tchar.h - the text functions of programs that are written for char and wchar_t alike: here they
 * are those of char.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <tchar.h>
#else
#ifndef KEEPMAP_COMPAT_TCHAR_H
#define KEEPMAP_COMPAT_TCHAR_H

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "winbase.h"

#define _T(literal) __TEXT(literal)
#define _TEXT(literal) __TEXT(literal)
#define _tmain main

typedef TCHAR _TCHAR;
typedef signed char _TSCHAR;
typedef unsigned char _TUCHAR;
typedef int _TINT;
#define _TEOF EOF

/* Printing and reading ---------------------------------------------------------------------- */

#define _tprintf printf
#define _ftprintf fprintf
#define _stprintf sprintf
#define _sntprintf _snprintf
#define _vtprintf vprintf
#define _vftprintf vfprintf
#define _vstprintf vsprintf
#define _vsntprintf _vsnprintf
#define _tscanf scanf
#define _ftscanf fscanf
#define _stscanf sscanf
#define _puttchar putchar
#define _gettchar getchar
#define _puttc putc
#define _gettc getc
#define _fputtc fputc
#define _fgettc fgetc
#define _putts puts
#define _fputts fputs
#define _fgetts fgets
#define _tfopen fopen
#define _tperror perror
#define _tremove remove
#define _trename rename
#define _tgetenv getenv
#define _tsystem system

/* Strings ----------------------------------------------------------------------------------- */

#define _tcslen strlen
#define _tcscpy strcpy
#define _tcsncpy strncpy
#define _tcscat strcat
#define _tcsncat strncat
#define _tcscmp strcmp
#define _tcsncmp strncmp
#define _tcsicmp strcasecmp
#define _tcsnicmp strncasecmp
#define _tcscoll strcoll
#define _tcschr strchr
#define _tcsrchr strrchr
#define _tcsstr strstr
#define _tcspbrk strpbrk
#define _tcsspn strspn
#define _tcscspn strcspn
#define _tcstok strtok
#define _tcsdup _strdup

#define _tcstol strtol
#define _tcstoul strtoul
#define _tcstoll strtoll
#define _tcstoull strtoull
#define _tcstoi64 strtoll
#define _tcstoui64 strtoull
#define _tcstod strtod
#define _ttoi atoi
#define _ttol atol
#define _ttoi64 atoll
#define _tstoi atoi
#define _tstol atol
#define _tstoi64 atoll
#define _tstof atof
#define _atoi64 atoll

#define _istalpha isalpha
#define _istdigit isdigit
#define _istalnum isalnum
#define _istspace isspace
#define _istprint isprint
#define _istupper isupper
#define _istlower islower
#define _istxdigit isxdigit
#define _totupper toupper
#define _totlower tolower

static __inline__ size_t _tcsnlen(const TCHAR *text, size_t most) {
    const void *end = memchr(text, 0, most);
    return end == NULL ? most : (size_t)((const TCHAR *)end - text);
}

/* The checked ones. What does not fit is not copied: the target is empty then, and the result is
 * ERANGE (on Windows the program is ended, unless it has said otherwise); -1 from _stprintf_s. */

static __inline__ int _tcscpy_s(TCHAR *to, size_t size, const TCHAR *from) {
    size_t length = strlen(from);
    if (length >= size) {
        if (size > 0) {
            to[0] = 0;
        }
        return ERANGE;
    }
    memcpy(to, from, length + 1);
    return 0;
}

static __inline__ int _tcscat_s(TCHAR *to, size_t size, const TCHAR *from) {
    size_t used = _tcsnlen(to, size);
    int result = _tcscpy_s(to + used, size - used, from);
    if (result != 0 && size > 0) {
        to[0] = 0;
    }
    return result;
}

__attribute__((format(printf, 3, 4))) static __inline__ int _stprintf_s(TCHAR *to, size_t size,
                                                                        const TCHAR *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(to, size, format, values);
    va_end(values);
    if (length >= 0 && (size_t)length < size) {
        return length;
    }
    if (size > 0) {
        to[0] = 0;
    }
    return -1;
}

#endif /* KEEPMAP_COMPAT_TCHAR_H */
#endif
