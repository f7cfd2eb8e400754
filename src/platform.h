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
 * move. `end` NULL: nobody asks for it. To find it the system may look at each page of the run.
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

/*
 * From now on (not any more) what is written to `file` does not stay in the system's cache. Memory,
 * offset and length of each write have to be multiples of 4096 then; a file system that asks for
 * more says ERROR_INVALID_PARAMETER to the write. ERROR_NOT_SUPPORTED where it cannot be.
 */
DWORD km_platform_bypass_cache(HANDLE file, bool bypass);

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

/* ---- Threads ---- */

/*
 * One thread of the library's own. Signals are not delivered to it, but for those that tell of a
 * fault in a program (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS): what handles these in the
 * thread that starts it does so in this one, since a fault that is blocked is death. Its stack has
 * 1 MiB at least.
 */
typedef struct km_thread {
    uintptr_t system; /* the system's name for it */
} km_thread;

/* ERROR_NOT_ENOUGH_MEMORY, or what the system says, if there can be no more threads. */
DWORD km_platform_thread_start(km_thread *thread, void (*run)(void *arg), void *arg);

/* Waits for its end, and lets go of it. To be called once for each that was started. */
void km_platform_thread_join(km_thread *thread);

/* A mutex, and a condition that is waited for under it. */
typedef struct km_monitor km_monitor;

DWORD km_platform_monitor_make(km_monitor **monitor);
void km_platform_monitor_free(km_monitor *monitor); /* NULL is fine */
void km_platform_monitor_enter(km_monitor *monitor);
void km_platform_monitor_leave(km_monitor *monitor);
/* To be called inside: lets others in, and comes back inside when notified, after `milliseconds`
 * (KM_WAIT_FOREVER: never), or for no reason. */
void km_platform_monitor_wait(km_monitor *monitor, uint32_t milliseconds);
void km_platform_monitor_notify(km_monitor *monitor); /* all who wait; to be called inside */

/*
 * On how many processors this process may run at once, at least 1: those that the calling thread is
 * not kept from, and no more than a quota of time comes to (Linux: control groups).
 */
unsigned km_platform_processors(void);

/*
 * How many forks there have been in this process and those it was forked from: what was opened at
 * another number is shared with another process. Always 0 where there is no fork.
 */
unsigned km_platform_forks(void);

/* ---- Chance and time ---- */

/* Random bytes from the system, good enough for names that never meet. On failure some of them may
 * have been written. */
DWORD km_platform_random(void *bytes, size_t length);

/* Nanoseconds since 1970, UTC. */
uint64_t km_platform_now(void);

/* ---- Memory filled when it is touched ---- */

/*
 * Anonymous memory whose pages are filled in, a whole chunk at a time, by the first to touch them,
 * in whatever thread. Linux with userfaultfd; ERROR_NOT_SUPPORTED elsewhere and where the process
 * may not use it: the caller fills all memory at once then.
 */
typedef struct km_lazy_memory km_lazy_memory;

/*
 * Fills `chunk_length` bytes at `to`, plain memory, with chunk `chunk`. Called in a thread of the
 * library's own, or in one that calls km_platform_lazy_fill, its signals held back; one call at a
 * time. It neither touches the lazy memory nor takes a lock that a thread may hold while it touches
 * that or calls km_platform_lazy_fill, a stdio stream's among them. false: the bytes cannot be had;
 * touching that chunk then raises SIGBUS (Linux 6.6 and newer) or SIGSEGV, and nobody asks again.
 */
typedef bool (*km_fill_function)(void *arg, uint64_t chunk, void *to, size_t chunk_length);

/*
 * `size` bytes, as chunks of `chunk_size`, a power of two of at least 64 KiB. `writable`: stores
 * are allowed, and stay in this memory. *base is 64 KiB aligned. The memory is not there in a child
 * made by fork: touching it raises SIGSEGV.
 */
DWORD km_platform_lazy_make(uint64_t size, uint32_t chunk_size, bool writable,
                            km_fill_function fill, void *arg, km_lazy_memory **memory, void **base);

/* Fills the chunks in [offset, offset + length) now, unless they are. false if one cannot be had,
 * the range is not inside, or in a child made by fork. From any thread. For accesses that the
 * kernel makes: where they meet an empty page, they fail (EFAULT). */
bool km_platform_lazy_fill(km_lazy_memory *memory, uint64_t offset, uint64_t length);

/* Nobody touches the memory any more. Waits for the filler. Harmless in a child made by fork. NULL
 * is fine. */
void km_platform_lazy_free(km_lazy_memory *memory);

/* ---- Which pages were stored to ---- */

/*
 * Tells which parts of a view have been stored to since it was last asked, by anybody through this
 * view: loads and stores, and system calls that write into it. Linux 6.7 and newer (userfaultfd's
 * asynchronous write protection and PAGEMAP_SCAN); ERROR_NOT_SUPPORTED elsewhere, and for a view
 * that has a tracker. It has proved itself on pages of its own before it says that it works.
 *
 * It may tell of more than was stored to, never of less. What it cannot know of: stores through
 * another view, by another process (a child made by fork among them) or into the file itself; and
 * what a device brings into pages that were handed to it before they were last asked about (a
 * direct read under way meanwhile, buffers registered with io_uring). A view that is moved,
 * unmapped or mapped anew has to begin again; one that grows is tracked in its old size.
 *
 * It takes page tables for the whole view, a 512th of its size, and at first costs each page that
 * is touched a fault, where the system had mapped many at once.
 */
typedef struct km_tracker km_tracker;

/* Begins; everything counts as unchanged from here on. `view` as MapViewOfFile gave it.
 * ERROR_NOT_ENOUGH_MEMORY as well where there is no room for the page tables. */
DWORD km_platform_tracker_start(void *view, uint64_t size, km_tracker **tracker);

/*
 * Sets bit n of `changed` (which has a bit for each started `unit`, a power of two of at least
 * 4 KiB, and is zeroed first) if a page in [n * unit, (n + 1) * unit) was stored to since the start
 * or the last call, and begins anew for those, in one step for each page: a store is in this call's
 * bits, or in the next one's. After an error nothing is known of what this call has cleared.
 * ERROR_INVALID_ADDRESS: the view is not mapped any more.
 */
DWORD km_platform_tracker_collect(km_tracker *tracker, uint64_t unit, uint8_t *changed);

/* NULL is fine. The view may be unmapped already. Harmless in a child made by fork, where a tracker
 * says ERROR_NOT_SUPPORTED. */
void km_platform_tracker_stop(km_tracker *tracker);

#endif /* KM_PLATFORM_H */
