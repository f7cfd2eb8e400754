/*
 * platform.h - the few things keepmap needs for which Win32's file and section calls have no word.
 *
 * Everything else in the core is Win32 (keepmap/win32.h). Each function here is written twice, in
 * src/posix/platform*_posix.c and src/windows/platform*_windows.c.
 *
 * Contract for all of them:
 *   - A DWORD result is a Win32 error code, ERROR_SUCCESS (0) when it worked. GetLastError is
 *     unspecified afterwards. Out-parameters are untouched on failure.
 *   - ERROR_NOT_SUPPORTED means that this system, or this file system, cannot do it; the caller has
 *     another way. It is never returned half-way.
 *   - Handles are those of CreateFileW, and stay the caller's. Paths are UTF-16, not empty.
 *   - Memory given out is malloc'ed and freed by the caller.
 *   - No function keeps state between calls, all may be called from all threads.
 */
#ifndef KM_PLATFORM_H
#define KM_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

/* ---- Names ---- */

/*
 * The path that opening `path` for writing would really reach: symbolic links followed to the end,
 * also where the last of them leads to nothing yet (Windows: that is ERROR_CANT_RESOLVE_FILENAME).
 * Absolute where the system makes it so.
 */
DWORD km_platform_resolve(const WCHAR *path, WCHAR **resolved);

/*
 * `path` in the form that CreateFileW takes whatever its length: on Windows absolute and with the
 * \\?\ prefix if it is long, on POSIX a copy.
 */
DWORD km_platform_long_path(const WCHAR *path, WCHAR **native);

/* ---- Files that appear whole ---- */

/*
 * A new empty file in the directory of `target`, open for reading, writing and deletion, with the
 * sharing mode `share` (FILE_SHARE_DELETE at least: it will be renamed). Where the file system can,
 * it has no name at all (*name NULL) and goes with its last descriptor; else *name is a fresh name
 * beside `target`, "TARGET.km-XXXXXXXX". `permissions`: POSIX mode bits exactly, 0 for 0666 less
 * the umask. Windows ignores them.
 */
DWORD km_platform_draft(const WCHAR *target, uint32_t permissions, DWORD share, HANDLE *file,
                        WCHAR **name);

/*
 * Gives a nameless draft the name `name`; ERROR_ALREADY_EXISTS if that is taken. Never replaces.
 */
DWORD km_platform_name_draft(HANDLE file, const WCHAR *name);

/* A fresh name beside `target`, as a draft would have it. Not reserved: who makes it may lose it.
 */
DWORD km_platform_draft_name(const WCHAR *target, WCHAR **name);

/*
 * Gives `file` the owner, as far as allowed, and the permissions of the file at `like`. Nobody gets
 * a right that he has not there.
 */
DWORD km_platform_match_permissions(HANDLE file, const WCHAR *like);

/*
 * Gives `file` exactly these POSIX mode bits; Windows ignores them. Writing to a file takes its
 * set-ID bits away, so whoever wants those says so once more when all is written.
 */
DWORD km_platform_set_permissions(HANDLE file, uint32_t permissions);

/* Makes the directory entry of `path` durable. On Windows writing the rename through has done it.
 */
DWORD km_platform_sync_directory(const WCHAR *path);

/*
 * The same for the open `file`, which was made at `path`: wherever it has been moved since, and
 * also if its directory may not be read.
 */
DWORD km_platform_sync_entry(HANDLE file, const WCHAR *path);

/*
 * Does anybody, in this process or another, have the file at `path` open in a way that forbids
 * replacing it, or mapped? false as well where the system cannot tell.
 */
bool km_platform_in_use(const WCHAR *path);

/* ---- Blocks ---- */

/*
 * From now on `file` may have holes: growing it through this handle allocates nothing. Without it,
 * SetEndOfFile and CreateFileMapping allocate what they add, on every system.
 */
DWORD km_platform_set_sparse(HANDLE file);

/*
 * May a file in `directory` be `size` bytes long, however much is free? ERROR_FILE_TOO_LARGE if
 * not; ERROR_SUCCESS as well where the system cannot tell. Leaves no trace.
 */
DWORD km_platform_size_allowed(const WCHAR *directory, uint64_t size);

/*
 * May `file`, which is open for writing, become `size` bytes long, however much is free?
 * ERROR_FILE_TOO_LARGE if not; ERROR_SUCCESS as well where the system cannot tell. Leaves no trace.
 */
DWORD km_platform_growth_allowed(HANDLE file, uint64_t size);

/* Bytes that this user may still take on the disk that the file lies on. */
DWORD km_platform_disk_free(HANDLE file, uint64_t *bytes);

/* Bytes of disk that the file takes. */
DWORD km_platform_allocated(HANDLE file, uint64_t *bytes);

/*
 * The first run of data at or behind `offset`: [*start, *end), both at most `size`. Without any,
 * *start = *end = size. A file system that knows no holes reports one run. The file pointer may
 * move.
 */
DWORD km_platform_next_data(HANDLE file, uint64_t offset, uint64_t size, uint64_t *start,
                            uint64_t *end);

/* Makes the empty file `to` share all blocks of `from`. ERROR_NOT_SUPPORTED where it cannot. */
DWORD km_platform_clone(HANDLE from, HANDLE to);

/*
 * Copies up to `length` bytes inside the kernel, *copied of them at least 1 unless `from` ends at
 * `offset` (0 then). ERROR_NOT_SUPPORTED where there is no such call between these two.
 */
DWORD km_platform_copy_range(HANDLE from, uint64_t from_offset, HANDLE to, uint64_t to_offset,
                             uint64_t length, uint64_t *copied);

/*
 * The size that a file, not a directory or device, had when CreateFileW opened it, or a moment
 * later. To be asked right after that: it saves a system call where the system remembers.
 */
DWORD km_platform_opened_size(HANDLE file, uint64_t *size);

/*
 * Lets go of the pages of the file that the system has cached, as far as they are clean and nobody
 * maps them, so that they come back one by one where they are used. Speed only: it cannot fail.
 */
void km_platform_uncache(HANDLE file);

/* Are sharing modes and the refusal to cut a mapped file enforced on this file's file system? */
bool km_platform_sharing_enforced(HANDLE file);

/* ---- Segments ---- */

/*
 * The path of the small file that the lock of the segment `name` lies on: where all who can open
 * the segment find it, and nobody looks for anything. `name` has its prefix, Local\ or Global\.
 * Its directory is there when this returns.
 */
DWORD km_platform_companion(const WCHAR *name, WCHAR **path);

/*
 * Gives the file that a lock lies on, which has just been made, to those who may use `section`: its
 * owner, or everybody. Windows: CreateFile has done it.
 */
DWORD km_platform_share_companion(HANDLE file, HANDLE section, bool everybody);

/* The bytes of `section`, whose handle has FILE_MAP_READ, in whole pages. Not from a view where the
 * system tells without: there may be no address space for one. */
DWORD km_platform_section_size(HANDLE section, uint64_t *size);

/* How many of the `size` bytes of `section` are there still: somebody may have cut off its end
 * (POSIX). */
DWORD km_platform_section_left(HANDLE section, uint64_t size, uint64_t *left);

/*
 * Of `section`, which is pagefile-backed and has `size` bytes: how many of them have memory, and
 * how many bytes of such memory may still be had. What the system does not tell is taken for there.
 */
DWORD km_platform_section_memory(HANDLE section, uint64_t size, uint64_t *allocated,
                                 uint64_t *available);

/*
 * After CreateFileMapping has refused this thread memory: how many bytes could be had, and in words
 * what limits them. For sentences; false if the system does not tell.
 */
bool km_platform_refused_memory(uint64_t *available, const char **limit);

/* ---- Objects ---- */

/* Bytes at the end of a section's memory that km_platform_objects fetches. */
#define KM_PLATFORM_TAIL 128u

/* A living named object, as far as the system tells; unknown values as in km_object. */
typedef struct km_platform_object {
    km_object_kind kind;
    bool machine_wide;
    bool holders_complete;
    bool has_tail;
    char *name;            /* UTF-8, without its prefix */
    uint64_t size;         /* of a section */
    uint64_t section_size; /* bytes of memory behind it, in whole pages; 0: none, or unknown */
    uint64_t created_ns;
    uint32_t creator;
    uint32_t owner;
    uint32_t holder_count;
    uint32_t *holders; /* processes */
    /* The last bytes of the section's memory: untrusted, and perhaps being written right now. */
    unsigned char tail[KM_PLATFORM_TAIL];
} km_platform_object;

/* All that this user can see, in no order; km_platform_objects_free frees what it gives. */
DWORD km_platform_objects(km_platform_object **objects, size_t *count);
void km_platform_objects_free(km_platform_object *objects, size_t count);

/* ---- Address space ---- */

/* Bytes of address space this process may still map, as far as the system says. */
uint64_t km_platform_address_space(void);

/*
 * A range of address space in which one view lives and grows. `base` is 64 KiB aligned.
 * Between two maps the range holds no memory and faults when touched.
 */
typedef struct km_reservation {
    void *base;
    uint64_t size;    /* bytes, a multiple of 64 KiB */
    bool placeholder; /* Windows: made of placeholders, so that nobody can slip in */
} km_reservation;

DWORD km_platform_reserve(uint64_t size, km_reservation *reservation);
/* Gives the range back; a view that could not be unmapped goes with it where it is known as ours.
 */
/* A view in it goes too. */
void km_platform_release(km_reservation *reservation);

/*
 * Maps `length` bytes from the start of `section` at the reservation's base; `access` as in
 * MapViewOfFile. The reservation must hold no view. The result is reservation->base.
 */
DWORD km_platform_map_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                               uint64_t length);

/*
 * Unmaps the view; the range stays reserved. On a Windows without placeholders somebody may slip in
 * between, which the next map reports as ERROR_INVALID_ADDRESS.
 */
DWORD km_platform_unmap_reserved(km_reservation *reservation);

/*
 * Replaces the view in the reservation by one of `length` bytes of `section`, a section over the
 * same file. Where the system can, there is no moment at which the old bytes are unmapped. On
 * failure the old view is in place; ERROR_INVALID_ADDRESS if even that was lost.
 */
DWORD km_platform_remap_reserved(km_reservation *reservation, HANDLE section, DWORD access,
                                 uint64_t length, HANDLE old_section, uint64_t old_length);

/* km_advise on whole pages of one view. `private_view`: pages may hold stores that exist nowhere
 * else. Advice the system does not know is ERROR_SUCCESS. */
DWORD km_platform_advise(void *address, uint64_t length, km_advice advice, bool private_view);

#endif /* KM_PLATFORM_H */
