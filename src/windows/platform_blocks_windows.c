/*
 * platform_blocks_windows.c - holes, and blocks shared by files: "Blocks" of platform.h, on
 * Windows.
 */
#include "platform.h"

#include <winioctl.h>

#include "size.h"

/* What MinGW's headers lack, from the documentation of ReFS' block cloning. */
#ifndef FILE_SUPPORTS_BLOCK_REFCOUNTING
#define FILE_SUPPORTS_BLOCK_REFCOUNTING 0x08000000
#endif
#ifndef FSCTL_DUPLICATE_EXTENTS_TO_FILE
#define FSCTL_DUPLICATE_EXTENTS_TO_FILE                                                            \
    CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 209, METHOD_BUFFERED, FILE_WRITE_DATA)
#endif
#ifndef FSCTL_GET_INTEGRITY_INFORMATION
#define FSCTL_GET_INTEGRITY_INFORMATION                                                            \
    CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 159, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define FSCTL_SET_INTEGRITY_INFORMATION                                                            \
    CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 160, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA)
#endif

typedef struct extents {
    HANDLE from;
    LARGE_INTEGER from_offset;
    LARGE_INTEGER to_offset;
    LARGE_INTEGER length;
} extents;

typedef struct integrity {
    WORD algorithm;
    WORD reserved;
    DWORD flags;
    DWORD checksum_chunk;
    DWORD cluster;
} integrity;

typedef struct new_integrity {
    WORD algorithm;
    WORD reserved;
    DWORD flags;
} new_integrity;

static DWORD control(HANDLE file, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size,
                     DWORD *returned) {
    if (DeviceIoControl(file, code, in, in_size, out, out_size, returned, NULL)) {
        return ERROR_SUCCESS;
    }
    DWORD error = GetLastError();
    switch (error) { /* what file systems say of a request that they do not know */
    case ERROR_INVALID_FUNCTION:
    case ERROR_CALL_NOT_IMPLEMENTED:
        return ERROR_NOT_SUPPORTED;
    default:
        return error;
    }
}

/* ---- Holes --------------------------------------------------------------------------------- */

DWORD km_platform_set_sparse(HANDLE file) {
    DWORD returned = 0;
    return control(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &returned);
}

/* NTFS can be asked nothing about its longest file; FAT counts in 32 bits. */
static bool is_past_fat(const WCHAR *kind, uint64_t size) {
    return (lstrcmpiW(kind, L"FAT32") == 0 || lstrcmpiW(kind, L"FAT") == 0) && size > UINT32_MAX;
}

DWORD km_platform_size_allowed(const WCHAR *directory, uint64_t size) {
    WCHAR volume[MAX_PATH];
    WCHAR kind[MAX_PATH];
    if (size > KM_SIZE_MAX) {
        return ERROR_FILE_TOO_LARGE;
    }
    if (GetVolumePathNameW(directory, volume, MAX_PATH) &&
        GetVolumeInformationW(volume, NULL, 0, NULL, NULL, NULL, kind, MAX_PATH) &&
        is_past_fat(kind, size)) {
        return ERROR_FILE_TOO_LARGE;
    }
    return ERROR_SUCCESS;
}

DWORD km_platform_growth_allowed(HANDLE file, uint64_t size) {
    WCHAR kind[MAX_PATH];
    bool is_fat =
        GetVolumeInformationByHandleW(file, NULL, 0, NULL, NULL, NULL, kind, MAX_PATH) != FALSE &&
        is_past_fat(kind, size);
    return size > KM_SIZE_MAX || is_fat ? ERROR_FILE_TOO_LARGE : ERROR_SUCCESS;
}

DWORD km_platform_allocated(HANDLE file, uint64_t *bytes) {
    /* Of a file that is sparse or compressed only this tells how much it really takes. */
    FILE_COMPRESSION_INFO packed;
    if (GetFileInformationByHandleEx(file, FileCompressionInfo, &packed, sizeof packed) &&
        packed.CompressionFormat != COMPRESSION_FORMAT_NONE) {
        *bytes = (uint64_t)packed.CompressedFileSize.QuadPart;
        return ERROR_SUCCESS;
    }
    FILE_STANDARD_INFO standard;
    if (!GetFileInformationByHandleEx(file, FileStandardInfo, &standard, sizeof standard)) {
        return GetLastError();
    }
    *bytes = (uint64_t)standard.AllocationSize.QuadPart;
    return ERROR_SUCCESS;
}

static void report_run(uint64_t from, uint64_t to, uint64_t *start, uint64_t *end) {
    *start = from;
    if (end != NULL) {
        *end = to;
    }
}

DWORD km_platform_next_data(HANDLE file, uint64_t offset, uint64_t size, uint64_t *start,
                            uint64_t *end) {
    if (offset >= size) {
        report_run(size, size, start, end);
        return ERROR_SUCCESS;
    }
    if (size > KM_SIZE_MAX) {
        return ERROR_INVALID_PARAMETER;
    }
    FILE_ALLOCATED_RANGE_BUFFER asked = {.FileOffset.QuadPart = (LONGLONG)offset,
                                         .Length.QuadPart = (LONGLONG)(size - offset)};
    FILE_ALLOCATED_RANGE_BUFFER found;
    DWORD returned = 0;
    DWORD error = control(file, FSCTL_QUERY_ALLOCATED_RANGES, &asked, sizeof asked, &found,
                          sizeof found, &returned);
    if (error == ERROR_NOT_SUPPORTED) { /* no holes known: all that is left is data */
        report_run(offset, size, start, end);
        return ERROR_SUCCESS;
    }
    if (error != ERROR_SUCCESS && error != ERROR_MORE_DATA) { /* more runs do not matter yet */
        return error;
    }
    if (returned < sizeof found) {
        report_run(size, size, start, end);
        return ERROR_SUCCESS;
    }
    uint64_t first = (uint64_t)found.FileOffset.QuadPart;
    uint64_t last = first + (uint64_t)found.Length.QuadPart;
    report_run(first < offset ? offset : first, last < size ? last : size, start, end);
    return ERROR_SUCCESS;
}

/* ---- Shared blocks ------------------------------------------------------------------------- */

/* One request moves less than 4 GiB. */
#define CLONE_STEP ((uint64_t)1 << 30)

static bool may_share_blocks(HANDLE from, HANDLE to) {
    DWORD from_volume = 0;
    DWORD to_volume = 0;
    DWORD from_flags = 0;
    return GetVolumeInformationByHandleW(from, NULL, 0, &from_volume, NULL, &from_flags, NULL, 0) &&
           GetVolumeInformationByHandleW(to, NULL, 0, &to_volume, NULL, NULL, NULL, 0) &&
           from_volume == to_volume && (from_flags & FILE_SUPPORTS_BLOCK_REFCOUNTING) != 0;
}

static DWORD set_size(HANDLE file, uint64_t size) {
    FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)size};
    return SetFileInformationByHandle(file, FileEndOfFileInfo, &end, sizeof end) ? ERROR_SUCCESS
                                                                                 : GetLastError();
}

/* Blocks are shared only between files that are alike: both with holes, both with checksums. */
static DWORD make_alike(HANDLE from, HANDLE to, DWORD *cluster) {
    BY_HANDLE_FILE_INFORMATION facts;
    integrity wanted;
    DWORD returned = 0;
    if (!GetFileInformationByHandle(from, &facts)) {
        return GetLastError();
    }
    DWORD error =
        control(from, FSCTL_GET_INTEGRITY_INFORMATION, NULL, 0, &wanted, sizeof wanted, &returned);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    new_integrity given = {.algorithm = wanted.algorithm, .flags = wanted.flags};
    error = control(to, FSCTL_SET_INTEGRITY_INFORMATION, &given, sizeof given, NULL, 0, &returned);
    if (error == ERROR_SUCCESS && (facts.dwFileAttributes & FILE_ATTRIBUTE_SPARSE_FILE) != 0) {
        error = km_platform_set_sparse(to);
    }
    if (error == ERROR_SUCCESS) {
        *cluster = wanted.cluster;
    }
    return error;
}

static DWORD share_blocks(HANDLE from, HANDLE to, uint64_t size, DWORD cluster) {
    DWORD error = set_size(to, size);
    for (uint64_t at = 0; error == ERROR_SUCCESS && at < size; at += CLONE_STEP) {
        uint64_t length = size - at < CLONE_STEP ? size - at : CLONE_STEP;
        if (!km_size_align_up(length, cluster, &length)) { /* the last cluster is shared whole */
            return ERROR_FILE_TOO_LARGE;
        }
        extents request = {.from = from,
                           .from_offset.QuadPart = (LONGLONG)at,
                           .to_offset.QuadPart = (LONGLONG)at,
                           .length.QuadPart = (LONGLONG)length};
        DWORD returned = 0;
        error = control(to, FSCTL_DUPLICATE_EXTENTS_TO_FILE, &request, sizeof request, NULL, 0,
                        &returned);
    }
    return error;
}

DWORD km_platform_opened_size(HANDLE file, uint64_t *size) {
    LARGE_INTEGER now;
    if (!GetFileSizeEx(file, &now)) {
        return GetLastError();
    }
    *size = (uint64_t)now.QuadPart;
    return ERROR_SUCCESS;
}

/* Its cache works in pages, and flushes what is dirty of them. */
void km_platform_uncache(HANDLE file) {
    (void)file;
}

/* It is said when a file is opened (FILE_FLAG_NO_BUFFERING), and not later. */
DWORD km_platform_bypass_cache(HANDLE file, bool bypass) {
    (void)file;
    (void)bypass;
    return ERROR_NOT_SUPPORTED;
}

DWORD km_platform_clone(HANDLE from, HANDLE to) {
    LARGE_INTEGER size;
    DWORD cluster = 0;
    if (!may_share_blocks(from, to)) {
        return ERROR_NOT_SUPPORTED;
    }
    if (!GetFileSizeEx(from, &size)) {
        return GetLastError();
    }
    DWORD error = make_alike(from, to, &cluster);
    if (error != ERROR_SUCCESS || cluster == 0) {
        return ERROR_NOT_SUPPORTED;
    }
    error = share_blocks(from, to, (uint64_t)size.QuadPart, cluster);
    if (error == ERROR_SUCCESS) {
        return ERROR_SUCCESS;
    }
    /* Never half-way: an empty file can still be filled in another way. */
    DWORD emptied = set_size(to, 0);
    return emptied != ERROR_SUCCESS ? emptied : ERROR_NOT_SUPPORTED;
}

/* Windows copies files by name only. */
// NOLINTBEGIN(readability-non-const-parameter): on other systems it is an out-parameter
DWORD km_platform_copy_range(HANDLE from, uint64_t from_offset, HANDLE to, uint64_t to_offset,
                             uint64_t length, uint64_t *copied) {
    (void)from;
    (void)from_offset;
    (void)to;
    (void)to_offset;
    (void)length;
    (void)copied;
    return ERROR_NOT_SUPPORTED;
}
// NOLINTEND(readability-non-const-parameter)
