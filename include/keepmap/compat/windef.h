/*
 * windef.h - the types and macros of Windows programs, beside those of keepmap/win32.h.
 *
 * Sizes are Windows' own. The word parameters of calling conventions, of __declspec and of
 * annotations stand for nothing, or for what GCC calls the same.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <windef.h>
#else
#ifndef KEEPMAP_COMPAT_WINDEF_H
#define KEEPMAP_COMPAT_WINDEF_H

#if defined(__cplusplus) && __cplusplus < 201103L
#error "keepmap: these headers need C++11 or later"
#endif

#if defined(UNICODE) || defined(_UNICODE)
#error                                                                                             \
    "keepmap: TCHAR is char on POSIX; build without UNICODE and _UNICODE (the W calls, which take UTF-16, work in either)"
#endif

#include "../win32.h"

/* Whole numbers ----------------------------------------------------------------------------- */

typedef unsigned char UCHAR;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef int INT;
typedef float FLOAT;
typedef double DOUBLE;
typedef BYTE BOOLEAN;
typedef WORD ATOM;
typedef WORD LANGID;
typedef int8_t INT8;
typedef uint8_t UINT8;
typedef int16_t INT16;
typedef uint16_t UINT16;
typedef int32_t INT32;
typedef uint32_t UINT32;
typedef LONGLONG INT64;
typedef ULONGLONG UINT64;
typedef int32_t LONG32;
typedef uint32_t ULONG32;
typedef uint32_t DWORD32;
typedef LONGLONG LONG64;
typedef ULONGLONG ULONG64;
typedef ULONGLONG DWORDLONG;
typedef intptr_t INT_PTR;
typedef uintptr_t UINT_PTR;
typedef intptr_t LONG_PTR;
typedef intptr_t SSIZE_T;
typedef int32_t HRESULT;
typedef UINT_PTR WPARAM;
typedef LONG_PTR LPARAM;
typedef LONG_PTR LRESULT;

#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 long long

/* Pointers ---------------------------------------------------------------------------------- */

typedef BOOL *PBOOL;
typedef BOOLEAN *PBOOLEAN;
typedef BYTE *PBYTE;
typedef BYTE *LPBYTE;
typedef UCHAR *PUCHAR;
typedef SHORT *PSHORT;
typedef USHORT *PUSHORT;
typedef WORD *PWORD;
typedef WORD *LPWORD;
typedef INT *PINT;
typedef INT *LPINT;
typedef UINT *PUINT;
typedef UINT *LPUINT;
typedef LONG *LPLONG;
typedef ULONG *PULONG;
typedef FLOAT *PFLOAT;
typedef LONGLONG *PLONGLONG;
typedef ULONGLONG *PULONGLONG;
typedef LONG64 *PLONG64;
typedef ULONG64 *PULONG64;
typedef DWORD64 *PDWORD64;
typedef DWORDLONG *PDWORDLONG;
typedef INT_PTR *PINT_PTR;
typedef UINT_PTR *PUINT_PTR;
typedef LONG_PTR *PLONG_PTR;
typedef ULONG_PTR *PULONG_PTR;
typedef DWORD_PTR *PDWORD_PTR;
typedef CHAR *PCHAR;
typedef CHAR *LPCH;
typedef CHAR *PSTR;
typedef const CHAR *PCSTR;
typedef WCHAR *PWCHAR;
typedef WCHAR *PWSTR;
typedef const WCHAR *PCWSTR;
typedef TCHAR *PTCHAR;
typedef TCHAR *PTSTR;
typedef const TCHAR *PCTSTR;
typedef unsigned char TBYTE;

typedef HANDLE HGLOBAL;
typedef HANDLE GLOBALHANDLE;
typedef HANDLE LOCALHANDLE;
typedef struct HWND__ *HWND;
typedef struct HINSTANCE__ *HINSTANCE;
typedef HINSTANCE HMODULE;

/* Words that declare ------------------------------------------------------------------------ */

#ifndef CONST
#define CONST const
#endif
#define FAR
#define NEAR
#define PASCAL
#define APIENTRY
#define WINAPIV
#define APIPRIVATE
#define WINBASEAPI
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif
#ifndef _cdecl
#define _cdecl
#endif
#ifndef _stdcall
#define _stdcall
#endif
#ifndef __cdecl
#define __cdecl
#endif
#ifndef __stdcall
#define __stdcall
#endif
#ifndef __fastcall
#define __fastcall
#endif
#ifndef __forceinline
#define __forceinline __inline__ __attribute__((always_inline))
#endif

/*
 * A word that is not among these (novtable, uuid("..."), ...) stands for nothing. An attribute
 * before "struct" belongs to what is declared after the struct and not to its type, so GCC ignores
 * that of "__declspec(align(16)) struct A {...};", with a warning; it counts in
 * "struct __declspec(align(16)) A {...};", which both compilers understand.
 */
#ifndef __declspec
#define __declspec(what) KMW_SECOND(KMW_DECLSPEC_##what, , )
#define KMW_SECOND(...) KMW_SECOND_OF(__VA_ARGS__)
#define KMW_SECOND_OF(known, attribute, ...) attribute
#define KMW_DECLSPEC_dllexport KMW_KNOWN, __attribute__((visibility("default")))
#define KMW_DECLSPEC_noreturn KMW_KNOWN, __attribute__((noreturn))
#define KMW_DECLSPEC_noinline KMW_KNOWN, __attribute__((noinline))
#define KMW_DECLSPEC_nothrow KMW_KNOWN, __attribute__((nothrow))
#define KMW_DECLSPEC_selectany KMW_KNOWN, __attribute__((weak))
#define KMW_DECLSPEC_align(bytes) KMW_KNOWN, __attribute__((aligned(bytes)))
#ifdef __cplusplus
#define KMW_DECLSPEC_thread KMW_KNOWN, thread_local
#else
#define KMW_DECLSPEC_thread KMW_KNOWN, _Thread_local
#endif
#endif

#define _In_
#define _In_z_
#define _In_opt_
#define _In_opt_z_
#define _Out_
#define _Out_opt_
#define _Inout_
#define _Inout_opt_
#define _Reserved_

/* Values ------------------------------------------------------------------------------------ */

#define LOWORD(value) ((WORD)((DWORD_PTR)(value)&0xFFFFu))
#define HIWORD(value) ((WORD)(((DWORD_PTR)(value) >> 16) & 0xFFFFu))
#define LOBYTE(value) ((BYTE)((DWORD_PTR)(value)&0xFFu))
#define HIBYTE(value) ((BYTE)(((DWORD_PTR)(value) >> 8) & 0xFFu))
#define LODWORD(value) ((DWORD)((ULONGLONG)(value)&0xFFFFFFFFu))
#define HIDWORD(value) ((DWORD)((ULONGLONG)(value) >> 32))
#define MAKEWORD(low, high) ((WORD)((unsigned)LOBYTE(low) | ((unsigned)LOBYTE(high) << 8)))
#define MAKELONG(low, high) ((LONG)((DWORD)LOWORD(low) | ((DWORD)LOWORD(high) << 16)))

#define MAXBYTE 0xFFu
#define MAXWORD 0xFFFFu
#define MAXDWORD 0xFFFFFFFFu
#define MAXLONG 0x7FFFFFFF
#define ANYSIZE_ARRAY 1

#define __TEXT(literal) literal
#define TEXT(literal) __TEXT(literal)

#define ARRAYSIZE(array) (sizeof(array) / sizeof((array)[0]))
#define _countof(array) ARRAYSIZE(array)
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#define UNREFERENCED_LOCAL_VARIABLE(variable) ((void)(variable))

/* C++'s own headers do not survive these. */
#if !defined(NOMINMAX) && !defined(__cplusplus)
#ifndef min
#define min(a, b) (((a) < (b)) ? (a) : (b))
#endif
#ifndef max
#define max(a, b) (((a) > (b)) ? (a) : (b))
#endif
#endif

#endif /* KEEPMAP_COMPAT_WINDEF_H */
#endif
