/*
 * keepmap.h - memory-mapped persistence.
 *
 * keepmap maps a file, or a named segment of shared memory, hands you a plain pointer, and makes
 * what you store there last: flushed, copied, and checked for size before the size hurts.
 *
 *     km_map *map = NULL;
 *     km_options options = {.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 1 << 20};
 *     if (km_open(&map, "counters.dat", &options) != KM_OK) {
 *         fprintf(stderr, "%s\n", km_error_message());
 *         return 1;
 *     }
 *     uint64_t *counters = km_data(map);
 *     counters[7]++;
 *     if (km_flush(map, 0, 0, KM_FLUSH_DURABLE) != KM_OK) { ... }
 *     km_close(map);
 *
 * Units. Every size and offset is a uint64_t count of bytes. Paths and names are UTF-8, on Windows
 * too.
 *
 * Errors. Calls that can fail return a km_status; 0 is KM_OK. km_error_message() is then this
 * thread's last failure in one sentence: what was tried, on which file, with which sizes, and the
 * system's own code. After a failure every out-parameter is as it was, nothing is leaked and no
 * file is half-made. (The two exceptions say so: a size report is filled when a check fails, and
 * km_lock holds the lock when it returns KM_E_OWNER_DIED.)
 *
 * Options. Each struct of options or of results begins with struct_size. Leave it 0, or set it to
 * sizeof the struct: programs compiled against an older header keep working. NULL and {0} both mean
 * the defaults. An unknown flag is KM_E_INVALID.
 *
 * Threads. Different maps are independent. On one map, your loads and stores may run beside
 * km_flush, km_lock, km_unlock, km_advise, km_read, km_write, km_check, km_window and km_copy, from
 * any threads. km_resize and km_close need that nobody uses the map or its memory meanwhile: not
 * another call, not a load. Windows are maps of their own in this respect.
 *
 * Signals. keepmap installs no signal handler; SIGXFSZ and SIGPIPE are kept from a thread only
 * while a call of it writes, and the error is reported instead. A load from a map whose file was
 * cut short by somebody else still raises SIGBUS (POSIX) or EXCEPTION_IN_PAGE_ERROR (Windows);
 * km_read and km_write do not: they report KM_E_TRUNCATED.
 *
 * Processes. After fork a child may use its parent's maps: they show the same bytes (a KM_PRIVATE
 * map: each process its own copy). A lock held at the fork is one lock of both, and exactly one of
 * the two may unlock it: km_unlock in either frees it, km_close only once the other has closed its
 * map too (at once, if who locked it closes the map while windows of it are open).
 *
 * Crashes. Stores through a KM_WRITE map belong to the system at once: they survive the death of
 * the process. What has been flushed with KM_FLUSH_DURABLE also survives the death of the system
 * and of the power, if the disk honours its cache flushes. Between two flushes the system writes
 * pages back in any order: after a power cut the file may hold some stores and not others.
 */
#ifndef KEEPMAP_H
#define KEEPMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(KM_BUILDING_DLL)
#define KM_API __declspec(dllexport)
#elif defined(KM_USING_DLL)
#define KM_API __declspec(dllimport)
#else
#define KM_API
#endif
#elif defined(__GNUC__) && __GNUC__ >= 4
#define KM_API __attribute__((visibility("default")))
#else
#define KM_API
#endif

#if defined(__GNUC__)
#define KM_MUST_CHECK __attribute__((warn_unused_result))
#else
#define KM_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------ */

#define KM_VERSION_MAJOR 0
#define KM_VERSION_MINOR 1
#define KM_VERSION_PATCH 0
#define KM_VERSION_TEXT "0.1.0"

/* The version of the library that runs, such as "0.1.0"; it may be newer than the header. */
KM_API const char *km_version(void);

/* ---- Statuses ----------------------------------------------------------------------------- */

/*
 * X(name, value, meaning). The values are part of the binary interface and never change.
 */
#define KM_STATUS_LIST(X)                                                                          \
    X(KM_OK, 0, "no error")                                                                        \
    X(KM_E_INVALID, 1, "the request makes no sense: a bad argument, flag, path or kind of file")   \
    X(KM_E_NOT_FOUND, 2, "there is no such file or directory")                                     \
    X(KM_E_EXISTS, 3, "it exists already, and was not to")                                         \
    X(KM_E_ACCESS, 4, "permission denied")                                                         \
    X(KM_E_BUSY, 5, "somebody else is using it")                                                   \
    X(KM_E_TIMEOUT, 6, "the time allowed for waiting is over")                                     \
    X(KM_E_TRUNCATED, 7, "the file is shorter than it has to be")                                  \
    X(KM_E_MISMATCH, 8, "it is not what was expected")                                             \
    X(KM_E_CORRUPT, 9, "the contents contradict their own checks")                                 \
    X(KM_E_NO_SPACE, 10, "the disk is full, or would be")                                          \
    X(KM_E_NO_MEMORY, 11, "not enough memory, address space, or handles")                          \
    X(KM_E_TOO_LARGE, 12, "larger than the system or the file system can take")                    \
    X(KM_E_OWNER_DIED, 13, "the lock's last owner died while holding it")                          \
    X(KM_E_CANCELLED, 14, "cancelled by its caller")                                               \
    X(KM_E_UNSUPPORTED, 15, "not supported here")                                                  \
    X(KM_E_IO, 16, "the system reported an input/output error")

typedef enum km_status {
#define KM_STATUS_ENUM(name, value, meaning) name = (value),
    KM_STATUS_LIST(KM_STATUS_ENUM)
#undef KM_STATUS_ENUM
} km_status;

/* The status's own name, such as "KM_E_NOT_FOUND"; "KM_E_?" for a number that is none. Static. */
KM_API const char *km_strerror(km_status status);

/* What the status means in general, such as "permission denied". Static. */
KM_API const char *km_status_meaning(km_status status);

/*
 * This thread's last failure as one sentence, without a full stop or a line end; "" before the
 * first. Valid until this thread's next failing call. Successful calls leave it alone.
 */
KM_API const char *km_error_message(void);

/*
 * The system's own code behind this thread's last failure: a Win32 error code on every system
 * (5 is ERROR_ACCESS_DENIED), 0 if the failure was found by keepmap itself.
 */
KM_API uint32_t km_system_error(void);

/* ---- Opening and closing ------------------------------------------------------------------ */

/* One opened file or segment with one view of it. */
typedef struct km_map km_map;

/* How a map may be used, and where its stores go. */
typedef enum km_access {
    KM_READ = 0,    /* stores fault */
    KM_WRITE = 1,   /* to the file, when the system pleases; km_flush makes them durable */
    KM_PRIVATE = 2, /* to this map alone; the file is never touched */
} km_access;

/* Flags of km_options. */
#define KM_OPEN_CREATE 0x0001u       /* make the file if there is none (KM_WRITE) */
#define KM_OPEN_NEW 0x0002u          /* make the file; KM_E_EXISTS if there is one (KM_WRITE) */
#define KM_OPEN_EXACT 0x0004u        /* the file's size must be `size`; else KM_E_MISMATCH */
#define KM_OPEN_SOLE 0x0008u         /* nobody else opens it meanwhile; KM_E_BUSY if somebody has */
#define KM_OPEN_SPARSE 0x0010u       /* do not allocate what grows: the disk may fill up later */
#define KM_OPEN_RANDOM 0x0020u       /* will be used here and there: no read-ahead, small flushes */
#define KM_OPEN_SEQUENTIAL 0x0040u   /* will be used from front to back: more read-ahead */
#define KM_OPEN_MACHINE_WIDE 0x0080u /* segments: one name for all users of the machine */

/*
 * Fills a new file or segment before anybody else can open it. `data` is all zeros, `size` bytes
 * long. Any result but KM_OK abandons the creation: nothing is left, and the open returns that
 * status.
 */
typedef km_status (*km_init_function)(void *data, uint64_t size, void *arg);

typedef struct km_options {
    uint32_t struct_size;  /* 0, or sizeof(km_options) */
    km_access access;      /* 0: KM_READ */
    uint64_t size;         /* bytes the file must have at least; 0: whatever it has */
    uint64_t offset;       /* map from here; any offset, the library aligns */
    uint64_t length;       /* map this many bytes; 0: to the end of the file */
    uint64_t reserve;      /* address space for growth: up to it km_resize never moves (KM_WRITE) */
    uint32_t flags;        /* KM_OPEN_* */
    uint32_t permissions;  /* of what is made: POSIX mode bits; 0: a file's are 0666 less the umask,
                              a segment's 0600 */
    km_init_function init; /* runs once, when this very open makes the file; NULL: none */
    void *init_arg;
    const char *type;      /* segments: the application's own tag; NULL: see km_segment */
    uint32_t type_version; /* segments: the version of what the tag stands for */
} km_options;

/*
 * Maps the file at `path`. A symbolic link is followed.
 *
 * Sizes. With KM_WRITE a file smaller than `size` grows to it (the new bytes are zero, and
 * allocated unless KM_OPEN_SPARSE); with KM_READ and KM_PRIVATE it is KM_E_TRUNCATED. A larger file
 * stays as it is: opening never shrinks. The map is the whole file, or what offset and length say;
 * those reaching past the end are KM_E_TRUNCATED. An empty file opens: km_size is 0, km_data NULL.
 *
 * Random access. A store through a map dirties the whole piece in which the system caches the file,
 * on Linux up to megabytes. KM_OPEN_RANDOM keeps the pieces small, so that flushing a few pages
 * writes a few pages; with KM_WRITE it therefore lets go, at the open, of what is cached of the
 * file and in nobody's use, and the first accesses read the disk again.
 *
 * Creating. The file appears under its name whole: sized, allocated and initialised, or not at all.
 * It is durable, with its directory entry, after the first KM_FLUSH_DURABLE.
 *
 * Errors: KM_E_NOT_FOUND (no file, or a directory on the way is missing), KM_E_EXISTS,
 * KM_E_ACCESS, KM_E_BUSY (somebody's sharing mode forbids it), KM_E_TRUNCATED, KM_E_MISMATCH,
 * KM_E_NO_SPACE, KM_E_NO_MEMORY, KM_E_TOO_LARGE, KM_E_INVALID (a directory, a FIFO or a device; a
 * path that is no UTF-8 or too long; flags that contradict each other), KM_E_IO.
 */
KM_API KM_MUST_CHECK km_status km_open(km_map **map, const char *path, const km_options *options);

/* The longest tag, its final zero included. */
#define KM_TYPE_SIZE 32

/*
 * Maps the segment `name`: memory that processes share, which has no file behind it. It lives
 * exactly as long as some map or window of it is open somewhere, however their processes end.
 *
 * Names. UTF-8, 1 to 240 units of UTF-16, no backslash, not ending in ".keepmap"; case counts. They
 * are this user's (Windows: this session's; Local\name to a Win32 program), or the machine's with
 * KM_OPEN_MACHINE_WIDE (Global\name; to create one, Windows wants a privilege that services and
 * administrators have). NULL: a new segment without a name (KM_WRITE), which only children made by
 * fork share.
 *
 * Making and opening. KM_OPEN_NEW makes the segment, KM_OPEN_CREATE makes or opens it, and without
 * either it has to be there. What is made has exactly `size` bytes, all zero, and the memory for
 * them is there or refused. It can be opened when it is whole and initialised, not before: an open
 * waits for an init that runs in another process (machine-wide for a minute at most:
 * KM_E_TIMEOUT). If the maker dies over it, there is no segment. Data begins at km_data; behind it,
 * in the last page, lies a record of 128 bytes by which the segment describes itself. Stores past
 * km_size can destroy it; km_check tells.
 *
 * Sizes. A segment has the size that its maker gave it. It is larger than the `size` asked for: all
 * of it is mapped (KM_OPEN_EXACT: KM_E_MISMATCH). It is smaller: KM_E_TRUNCATED.
 *
 * Types. `type`, at most 31 bytes of UTF-8, and `type_version` say what the bytes mean. The maker's
 * are kept in the record; whoever opens with a type must name the same and the same version, else
 * KM_E_MISMATCH with both in the sentence. No controls or line ends: sentences show it. type NULL
 * (type_version is 0 then): the maker gives no type, and who opens takes any; km_segment_describe
 * tells which.
 *
 * Permissions. 0, or bits for the owner alone: nobody else can open it. Any bit for group or others
 * opens it to everybody, to read and to write: nothing between these two exists on all systems.
 *
 * Plain sections. One that a Win32 program has made with CreateFileMapping opens too. It has no
 * record: its size is that of its pages, it has no type (asking for one: KM_E_MISMATCH), and who
 * died with its lock is not known.
 *
 * fork. A child may use its parent's segments: the memory is shared, a KM_PRIVATE map's stores are
 * not. Each process locks for itself, but for a lock held at the fork, which is one lock of both:
 * exactly one of them may unlock it.
 *
 * Linux: who share a segment have to be in one PID namespace. Processes are known by their numbers
 * there; two of the same number, each in its own, would take each other for one.
 *
 * The same calls work as on files, except: km_resize is KM_E_UNSUPPORTED, and km_flush has nothing
 * to do. km_copy writes a segment to a file. A segment is filled from a file by an `init` that
 * copies. Of the options, `reserve` is KM_E_INVALID; KM_OPEN_SPARSE and KM_OPEN_SOLE are
 * KM_E_UNSUPPORTED: all memory is there from the start, and segments are there to be shared.
 * KM_OPEN_RANDOM and KM_OPEN_SEQUENTIAL change nothing.
 *
 * Errors: KM_E_NOT_FOUND, KM_E_EXISTS, KM_E_ACCESS, KM_E_TRUNCATED, KM_E_MISMATCH, KM_E_TIMEOUT,
 * KM_E_NO_MEMORY and KM_E_NO_SPACE (the memory cannot be had), KM_E_TOO_LARGE, KM_E_INVALID (also:
 * the name, or NAME.keepmap, belongs to an object of another kind), KM_E_BUSY (the maker died over
 * it and somebody holds what is left, or it is this thread's own init that opens it),
 * KM_E_UNSUPPORTED, KM_E_IO.
 */
KM_API KM_MUST_CHECK km_status km_segment(km_map **map, const char *name,
                                          const km_options *options);

typedef struct km_segment_facts {
    uint32_t struct_size; /* 0, or sizeof(km_segment_facts): set it before the call */
    uint32_t described; /* 1: it has a record; 0: a plain section, of which only sizes are known */
    uint64_t size;      /* its bytes */
    uint64_t section_size;   /* of memory for them: whole pages, the record included */
    uint64_t created_ns;     /* when: ns since 1970, UTC; KM_TIME_UNKNOWN: nobody said */
    uint32_t creator;        /* by which process, as that saw its own number */
    uint32_t type_version;   /* what it was made with */
    char type[KM_TYPE_SIZE]; /* "": none */
} km_segment_facts;

/* What the segment says of itself, as it said when the map was opened. KM_E_INVALID: a file. */
KM_API KM_MUST_CHECK km_status km_segment_describe(const km_map *map, km_segment_facts *facts);

/*
 * One more view, of `length` bytes (0: to the end of the file) from `offset` of the file that
 * `map` has open, at any offset, with the same access. Windows on a KM_WRITE map show the same
 * bytes; each window on a KM_PRIVATE map has its own private stores. A window may outlive the map
 * it was made from. Locks, and the size, stay with the map that was opened.
 *
 * Errors: KM_E_TRUNCATED (past the end of the file), KM_E_NO_MEMORY, KM_E_INVALID.
 */
KM_API KM_MUST_CHECK km_status km_window(km_map **window, km_map *map, uint64_t offset,
                                         uint64_t length);

/*
 * Unmaps, unlocks and frees, whatever it returns; NULL is fine. It syncs nothing: stores through a
 * KM_WRITE map reach the file, but not yet the disk. KM_E_IO if the system refused to unmap.
 */
KM_API km_status km_close(km_map *map);

KM_API void *km_data(const km_map *map);       /* NULL if the map is empty */
KM_API uint64_t km_size(const km_map *map);    /* bytes at km_data */
KM_API const char *km_path(const km_map *map); /* or the segment's name, as it was given */
KM_API bool km_created(const km_map *map);     /* made by this very open? */

/* ---- Making stores last ------------------------------------------------------------------- */

typedef enum km_flush_mode {
    KM_FLUSH_DURABLE = 0, /* on the disk when it returns, with size; and with its directory entry,
                             if this map's open has made the file */
    KM_FLUSH_START = 1,   /* the system begins to write, and does not wait */
} km_flush_mode;

/*
 * Flushes `length` bytes (0: to the end) from `offset` of the map. KM_FLUSH_DURABLE may flush more
 * than asked. Maps whose stores go to no file (KM_READ, KM_PRIVATE, segments): KM_OK, nothing to
 * do.
 *
 * Errors: KM_E_IO: a write to the disk failed. The kernel may have dropped those stores, so a
 * later success would prove nothing: from then on every flush of this file through this map and
 * its windows is KM_E_IO. Close, open again, and look. KM_E_NO_SPACE: likewise, the disk is full
 * (a sparse file). KM_E_INVALID: the range is not inside the map. Any other status: all is on the
 * disk but the directory entry of a file just made, nothing is lost, and flushing may be tried
 * again.
 *
 * Stores that other threads make meanwhile may or may not be included.
 */
KM_API KM_MUST_CHECK km_status km_flush(km_map *map, uint64_t offset, uint64_t length,
                                        km_flush_mode mode);

/*
 * Makes the file, and the map of all of it, `size` bytes long (KM_WRITE, whole-file maps). New
 * bytes are zero. The address stays if the new size lies within km_options.reserve, or if the file
 * shrinks; else it may change: take km_data again. Durable after the next KM_FLUSH_DURABLE.
 *
 * Errors, after each of which the map is as it was: KM_E_BUSY (shrinking while somebody maps the
 * file, a window of one's own included), KM_E_NO_SPACE, KM_E_NO_MEMORY, KM_E_TOO_LARGE,
 * KM_E_UNSUPPORTED (a window, a segment, or not KM_WRITE). Only if the view cannot be put back
 * after such a failure is the map left empty (km_data NULL, km_size 0), and the sentence says so; a
 * file that was to shrink may then have done so.
 */
KM_API KM_MUST_CHECK km_status km_resize(km_map *map, uint64_t size);

/* ---- Locks among processes ---------------------------------------------------------------- */

typedef enum km_lock_mode {
    KM_LOCK_SHARED = 0,
    KM_LOCK_EXCLUSIVE = 1,
} km_lock_mode;

#define KM_WAIT_FOREVER 0xFFFFFFFFu

/*
 * Locks the file or segment, in the sense that two who both call km_lock keep to it: any number of
 * shared locks, or one exclusive one. It stops nobody's loads and stores. The lock belongs to the
 * map, not to the thread; it is neither recursive nor upgradable (KM_E_INVALID), and the kernel
 * frees it with its process, however that ends. It lies on one byte far past any data (2^62 - 1),
 * by LockFileEx: on POSIX an open-file-description lock, see fcntl(2).
 *
 * timeout_ms: 0 tries once (KM_E_BUSY), KM_WAIT_FOREVER waits without end, else KM_E_TIMEOUT after
 * that time. Windows of a map: KM_E_UNSUPPORTED. An exclusive lock on a KM_READ or KM_PRIVATE map
 * of a file that one may not write is KM_E_ACCESS on POSIX.
 *
 * A segment's lock lies on a small file beside the segments (Windows: in the user's local
 * application data, machine-wide in ProgramData), which goes with the last map that has used it.
 * Opening that file counts against timeout_ms; with 0 it is given a tenth of a second if others
 * are just making or deleting it. While inside, the
 * exclusive holder leaves a mark in the segment. Whoever then gets the lock and finds the mark of
 * one who is gone is told KM_E_OWNER_DIED, and HOLDS THE LOCK: what it protects may be half
 * changed. An exclusive locker repairs it; his km_unlock says that all is well, km_close without it
 * does not: the next is told again. A shared locker
 * cannot: each is told, until somebody has locked exclusively and unlocked. Only a KM_WRITE map of
 * a segment locks exclusively (KM_E_ACCESS). Plain sections have no place for the mark.
 */
KM_API KM_MUST_CHECK km_status km_lock(km_map *map, km_lock_mode mode, uint32_t timeout_ms);

/*
 * KM_E_INVALID if the map holds no lock. Of two processes that have a lock together since a fork,
 * exactly one may call this. If a segment's own lock was given back by the process that took it,
 * the other's call is KM_E_INVALID and changes nothing; for shared locks, files and plain sections
 * that cannot be told. KM_E_IO: the lock is free, but the segment's mark may have stayed.
 */
KM_API km_status km_unlock(km_map *map);

/* ---- Access that cannot crash ------------------------------------------------------------- */

/*
 * Copy between the map and memory of one's own, like memcpy, except that a file or segment that has
 * become too short (KM_E_TRUNCATED) or cannot be read (KM_E_IO) is an error and no signal. After an
 * error the bytes at `to` (km_read), or of the map (km_write), are partly copied. KM_E_INVALID: the
 * range is not inside the map. km_write on a KM_READ map: KM_E_ACCESS.
 */
KM_API KM_MUST_CHECK km_status km_read(const km_map *map, uint64_t offset, void *to,
                                       uint64_t length);
KM_API KM_MUST_CHECK km_status km_write(km_map *map, uint64_t offset, const void *from,
                                        uint64_t length);

/* ---- Advice ------------------------------------------------------------------------------- */

typedef enum km_advice {
    KM_ADVICE_NORMAL = 0,
    KM_ADVICE_RANDOM = 1,     /* no read-ahead */
    KM_ADVICE_SEQUENTIAL = 2, /* much read-ahead */
    KM_ADVICE_WILL_NEED = 3,  /* start reading now */
    KM_ADVICE_COLD = 4,       /* not needed soon: its memory may be taken first; nothing is lost */
} km_advice;

/*
 * Tells the system how `length` bytes (0: to the end) from `offset` will be used. Advice changes
 * speed, never contents. Windows takes WILL_NEED and COLD and ignores the others: say them at
 * open.
 */
KM_API KM_MUST_CHECK km_status km_advise(km_map *map, uint64_t offset, uint64_t length,
                                         km_advice advice);

/* ---- Sizes: exact, declared, allocated, fitting ------------------------------------------- */

/* km_size_report.findings: what is not as it should be, or worth knowing. */
#define KM_SIZE_TRUNCATED 0x01u  /* it is shorter than the map, or than expected */
#define KM_SIZE_MISMATCH 0x02u   /* the file is not exactly as long as expected */
#define KM_SIZE_GREW 0x04u       /* the file is longer than what is mapped of it; no failure */
#define KM_SIZE_HOLES 0x08u      /* parts are not allocated; no failure */
#define KM_SIZE_NO_DISK 0x10u    /* the disk cannot take what is not allocated yet */
#define KM_SIZE_NO_ADDRESS 0x20u /* the address space cannot take a view of it */
/* This file system has no locks: sharing modes, and the refusal to cut a mapped file, are not
 * enforced; no failure. */
#define KM_SIZE_NO_SHARING 0x40u
#define KM_SIZE_TOO_LARGE 0x80u /* larger than a file can be here */
#define KM_SIZE_RECORD 0x100u   /* the segment's record has been overwritten */

#define KM_SIZE_UNKNOWN UINT64_MAX

typedef struct km_size_report {
    uint32_t struct_size; /* 0, or sizeof(km_size_report): set it before the call */
    uint32_t findings;    /* KM_SIZE_* */
    uint64_t expected;    /* what was asked for; KM_SIZE_UNKNOWN: nothing was */
    uint64_t declared;    /* what it says of itself: a segment's record, or a plain file's length */
    uint64_t actual;    /* bytes in the file now; 0 if there is none yet. A segment's memory: whole
                           pages, the record included */
    uint64_t mapped;    /* bytes at km_data; 0 where no map was asked about */
    uint64_t allocated; /* bytes of disk, or of memory, in use for it */
    uint64_t disk_free; /* bytes that this user may still take there */
    uint64_t address_free; /* bytes of address space that this process may still map */
} km_size_report;

/*
 * Is the file still what the map was made from? Checks the size (KM_E_TRUNCATED; KM_E_MISMATCH
 * with KM_OPEN_EXACT) and, for KM_WRITE maps with holes, that the disk can take them
 * (KM_E_NO_SPACE). Of a segment: that its memory is all there (KM_E_TRUNCATED: on POSIX somebody
 * has cut its end off) and its record whole (KM_E_CORRUPT: somebody has stored past its end). KM_OK
 * if all is well. With these statuses too the report is filled; with any other (KM_E_IO...) it is
 * as it was. `report` may be NULL.
 */
KM_API KM_MUST_CHECK km_status km_check(const km_map *map, km_size_report *report);

/*
 * The same for a file that is not open: is it exactly `expected` bytes long (KM_SIZE_UNKNOWN: any
 * length will do; shorter: KM_E_TRUNCATED, longer: KM_E_MISMATCH), can the address space take it
 * (KM_E_TOO_LARGE), and can the disk take its holes (KM_E_NO_SPACE)?
 */
KM_API KM_MUST_CHECK km_status km_check_file(const char *path, uint64_t expected,
                                             km_size_report *report);

/*
 * Would a file of `size` bytes at `path` fit: on the disk (KM_E_NO_SPACE), into the largest file
 * (KM_E_TOO_LARGE) and into the address space (KM_E_TOO_LARGE)? The file need not exist; its
 * directory must. What an existing file has allocated counts as there. `path` may be a directory.
 */
KM_API KM_MUST_CHECK km_status km_fits(const char *path, uint64_t size, km_size_report *report);

/* ---- Copies ------------------------------------------------------------------------------- */

/* Called from time to time during long work, on the calling thread. false: stop, KM_E_CANCELLED. */
typedef bool (*km_progress_function)(uint64_t done, uint64_t total, void *arg);

#define KM_COPY_REPLACE 0x0001u /* an existing target is replaced; else it is KM_E_EXISTS */

typedef struct km_copy_options {
    uint32_t struct_size;          /* 0, or sizeof(km_copy_options) */
    uint32_t flags;                /* KM_COPY_* */
    uint32_t permissions;          /* of a new target: POSIX mode bits; 0: 0666 less the umask */
    km_progress_function progress; /* NULL: none */
    void *progress_arg;
} km_copy_options;

/*
 * Writes what the map shows to a file of its own, at `path`: a plain copy that can be mapped. It
 * appears whole and durable under its name or not at all; failed, cancelled or killed, nothing of
 * it is left. (Killed, a file PATH.km-XXXXXXXX may stay: always where the file system has no
 * unnamed files, else only if death comes in the instant in which a target is replaced.) Holes stay
 * holes. Where the file system shares blocks between files (reflink), so does the copy.
 *
 * A target that exists needs KM_COPY_REPLACE; it keeps its permissions, a symbolic link is
 * followed, and a target that somebody has open or mapped through keepmap is KM_E_BUSY.
 *
 * Stores made meanwhile may or may not be in the copy; under km_lock by all who store, it is one
 * state. A KM_PRIVATE map is copied with its private stores. A file or segment cut short:
 * KM_E_TRUNCATED.
 */
KM_API KM_MUST_CHECK km_status km_copy(km_map *map, const char *path,
                                       const km_copy_options *options);

/* ---- What has a name now ------------------------------------------------------------------- */

typedef enum km_object_kind {
    KM_OBJECT_SECTION = 1, /* km_segment's, and those of CreateFileMapping */
    KM_OBJECT_EVENT = 2,
    KM_OBJECT_MUTEX = 3,
    KM_OBJECT_SEMAPHORE = 4,
} km_object_kind;

#define KM_ID_UNKNOWN UINT32_MAX
#define KM_TIME_UNKNOWN UINT64_MAX

/* A named object that somebody holds. All it points to is valid until the callback returns. */
typedef struct km_object {
    uint32_t struct_size;    /* bytes that the library has filled: look before you use newer ones */
    km_object_kind kind;     /* */
    const char *name;        /* without a prefix */
    bool machine_wide;       /* Global\, else Local\ */
    bool described;          /* a segment of km_segment's: its record is whole */
    bool holders_complete;   /* nobody holds it but those listed */
    uint64_t size;           /* bytes of a section; exact if described or a POSIX system's */
    uint64_t created_ns;     /* nanoseconds since 1970, UTC */
    uint32_t creator;        /* the process that made it, as that saw its own number */
    uint32_t owner;          /* the user who did: POSIX */
    const char *type;        /* a segment's tag; NULL: none */
    uint32_t type_version;   /* */
    uint32_t holder_count;   /* */
    const uint32_t *holders; /* the processes that have it open, in rising order */
} km_object;

/* false: enough. */
typedef bool (*km_object_function)(const km_object *object, void *arg);

/*
 * Calls `each` for every named object that is alive, sorted by name: this user's (Windows: this
 * session's), and of the machine-wide ones those that he may read. What is not known is
 * KM_SIZE_UNKNOWN, KM_TIME_UNKNOWN, KM_ID_UNKNOWN or NULL; of events, mutexes and semaphores there
 * is no size. Types, and all else that a segment says of itself, are what its users have written.
 *
 * Who merely has a view is no holder. Holders are found on Linux alone, from what /proc shows: of a
 * process of another user's that only the number, from its locks, and then the list is not
 * complete. On Windows all but kinds and names is unknown, sections excepted that one may read:
 * their sizes, and what records tell.
 *
 * On POSIX it also clears away what killed processes have left. The callback may call keepmap.
 *
 * Errors: KM_E_NO_MEMORY, KM_E_ACCESS (the system does not show them), KM_E_INVALID (no callback),
 * KM_E_UNSUPPORTED, KM_E_IO. `each` has then not been called.
 */
KM_API KM_MUST_CHECK km_status km_list(km_object_function each, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* KEEPMAP_H */
