/*
 * io.h - the file calls that make something appear whole, as one small table.
 *
 * The default table is the Win32 calls and platform.h. A disk that is full, that fails or that
 * loses power is just another table: the tests pass theirs.
 *
 * All return a Win32 error code, ERROR_SUCCESS when it worked; out-parameters are untouched else.
 */
#ifndef KM_IO_H
#define KM_IO_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap/win32.h>

typedef struct km_io {
    /* A new file beside `target`; see km_platform_draft. */
    DWORD(*create)
    (const WCHAR *target, uint32_t permissions, DWORD share, HANDLE *file, WCHAR **name);
    DWORD (*write_at)(HANDLE file, uint64_t offset, const void *from, uint32_t length);
    DWORD (*truncate)(HANDLE file, uint64_t size); /* or extend, sparsely if the handle is sparse */
    DWORD (*sync)(HANDLE file);
    DWORD (*name)(HANDLE file, const WCHAR *name); /* see km_platform_name_draft */
    DWORD (*rename)(const WCHAR *from, const WCHAR *to, bool replace);
    DWORD (*remove)(const WCHAR *path);
    DWORD (*sync_directory)(const WCHAR *path);
    DWORD (*close)(HANDLE file);
} km_io;

extern const km_io km_io_default;

#endif /* KM_IO_H */
