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
 * km_flush, km_lock, km_unlock, km_advise, km_read, km_write, km_check, km_window, km_copy and
 * km_snapshot, from any threads. km_resize and km_close need that nobody uses the map or its memory
 * meanwhile: not another call, not a load. Windows are maps of their own in this respect.
 *
 * Signals. keepmap installs no signal handler; SIGXFSZ and SIGPIPE are kept from a thread only
 * while a call of it writes, and the error is reported instead. A load from a map whose file was
 * cut short by somebody else still raises SIGBUS (POSIX) or EXCEPTION_IN_PAGE_ERROR (Windows);
 * km_read and km_write do not: they report KM_E_TRUNCATED.
 *
 * Processes. After fork a child may use its parent's maps: they show the same bytes (a KM_PRIVATE
 * map: each process its own copy), and each locks for itself. A lock held at the fork is one lock
 * of both, and exactly one of the two may unlock it: km_unlock in either frees it, km_close only
 * once the other has closed its map too (at once, if who locked it closes the map while windows of
 * it are open).
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

/* ---- Snapshots ----------------------------------------------------------------------------- */

/*
 * A snapshot is a compressed, checked copy of what a map shows: a gzip file, which `gunzip` turns
 * back into the exact bytes, and inside it chunks that are packed and unpacked in parallel, at
 * random, or not again if they have not changed. The format is described in snapshot_format.md.
 *
 * Every bit of a snapshot counts: a changed, missing or exchanged one is KM_E_CORRUPT, whoever
 * reads it, and then nothing is left of what was to be made. The checks find chance, not intent:
 * they are no signature.
 *
 * Threads. `threads` of the options says how many work, the calling one included; 0: as many as
 * this process may run on at once. Memory is a few chunks a thread, and some 50 bytes for each
 * chunk of the whole. Progress and streams: see their types.
 *
 * Without a deflate library (see README) snapshots can be made and read at KM_LEVEL_STORED only;
 * all else is KM_E_UNSUPPORTED.
 */

/*
 * Streams, for pipes and sockets. Reads at most `length` bytes, at least 1 unless the stream ends
 * (*done 0); writes all. Any result but KM_OK ends the call, which returns it. Called from one
 * thread at a time, not always the same.
 */
typedef km_status (*km_read_function)(void *to, size_t length, size_t *done, void *arg);
typedef km_status (*km_write_function)(const void *from, size_t length, void *arg);

#define KM_SNAPSHOT_REPLACE 0x0001u /* an existing target is replaced; else it is KM_E_EXISTS */
#define KM_SNAPSHOT_COMPARE                                                                        \
    0x0002u /* with `since`: what looks unchanged is unpacked and compared */
#define KM_SNAPSHOT_UNLOCKED 0x0004u /* takes no lock */
#define KM_SNAPSHOT_NO_SYNC 0x0008u  /* whole or absent, but perhaps not yet on the disk */
#define KM_SNAPSHOT_TRACK 0x0010u    /* remember what changes from here on: see km_snapshot */

/* Levels are 1 (fast) to 9 (small); 0 stands for the default, 1 where a library can pack. */
#define KM_LEVEL_STORED (-1) /* not compressed; `--level 0` of gzip and of the command */

#define KM_CHUNK_SIZE_DEFAULT (256u << 10)

/* What a snapshot took. */
typedef struct km_snapshot_report {
    uint32_t struct_size;   /* 0, or sizeof(km_snapshot_report): set it before the call */
    uint32_t threads;       /* that worked */
    uint64_t size;          /* bytes of the image */
    uint64_t packed_size;   /* bytes of the snapshot */
    uint64_t chunks;        /* of which: */
    uint64_t zero_chunks;   /* all zeros */
    uint64_t reused_chunks; /* others, taken over, packed, from `since` */
    uint64_t unread_chunks; /* of either, known to be unchanged without being read */
} km_snapshot_report;

typedef struct km_snapshot_options {
    uint32_t struct_size;  /* 0, or sizeof(km_snapshot_options) */
    uint32_t flags;        /* KM_SNAPSHOT_* */
    int32_t level;         /* 0: the default; 1 to 9; KM_LEVEL_STORED */
    uint32_t threads;      /* 0: as many as processors */
    uint32_t chunk_size;   /* a power of two, 64 KiB to 16 MiB; 0: as `since` has it, else
                              KM_CHUNK_SIZE_DEFAULT */
    uint32_t permissions;  /* of a new target: POSIX mode bits; 0: 0666 less the umask */
    uint32_t timeout_ms;   /* how long to wait for the lock; 0: without end */
    const char *since;     /* an earlier snapshot; NULL: none */
    km_read_function read; /* with map NULL: the image comes from here */
    void *read_arg;
    km_write_function write; /* with path NULL: the snapshot goes here */
    void *write_arg;
    km_progress_function progress; /* NULL: none; total is KM_SIZE_UNKNOWN for a stream */
    void *progress_arg;
    km_snapshot_report *report; /* filled on success; NULL: nobody asks */
} km_snapshot_options;

/*
 * Writes what the map shows to a snapshot at `path`, or to options.write. At `path` it appears
 * whole and durable or not at all, as with km_copy, under the same rules for existing targets.
 *
 * What it holds. The snapshot is taken under the map's shared lock (km_lock): of writers who store
 * under the exclusive lock none appears half. It waits for it timeout_ms (KM_E_TIMEOUT), asking
 * `progress` meanwhile. A lock that this map holds already serves. A segment whose last exclusive
 * holder died with the lock is KM_E_OWNER_DIED: repair it first. Windows of a map and KM_PRIVATE
 * maps take no lock, nor does KM_SNAPSHOT_UNLOCKED: then each page (4 KiB) is read once and in one
 * go, but of what is stored to it in that instant a part may be missing. In any case the snapshot
 * agrees with itself, whatever is stored meanwhile. A KM_PRIVATE map is taken with its private
 * stores. The snapshot's lock is not yours: km_unlock does not free it, and km_lock on the same map
 * waits for it; so do not lock the map in this call's own functions. A child forked meanwhile can
 * neither lock the map nor take snapshots of it under its lock (KM_E_INVALID).
 *
 * since. Chunks that have not changed since that snapshot are copied from it as they are packed,
 * whatever the level then was; the result is whole, and never needs the earlier one. Its chunk size
 * must be this one's (KM_E_MISMATCH). Unchanged means: the same 128-bit hash with a random seed;
 * KM_SNAPSHOT_COMPARE compares the bytes. path may name `since` itself with KM_SNAPSHOT_REPLACE.
 *
 * Tracking. With KM_SNAPSHOT_TRACK the map notes from then on what is stored through it, until it
 * is closed or resized or the process forks, and the next snapshot since that one does not even
 * read what nobody has touched. Wants a KM_WRITE map, of the whole file, opened with KM_OPEN_SOLE
 * (nobody else can then change the file, as far as sharing modes bind him) and without windows, and
 * Linux 6.7 or newer; elsewhere the flag does nothing, and what has changed is found by reading.
 * Stores by other means than this map, which the sharing mode does not stop, are not noticed.
 *
 * Streams. With map NULL the image is what options.read gives, to its end. With path NULL the
 * snapshot goes to options.write in order, without seeking; there nothing is replaced or synced,
 * nor has permissions: to ask for it is KM_E_INVALID.
 *
 * Errors: those of km_copy and km_lock; KM_E_CORRUPT (`since` is damaged, named), KM_E_MISMATCH,
 * KM_E_TRUNCATED (the file was cut short), KM_E_CANCELLED, KM_E_INVALID (also: KM_SNAPSHOT_TRACK or
 * a segment's flags where they make no sense), KM_E_UNSUPPORTED.
 */
KM_API KM_MUST_CHECK km_status km_snapshot(km_map *map, const char *path,
                                           const km_snapshot_options *options);

#define KM_RESTORE_REPLACE 0x0001u /* an existing target is replaced; else it is KM_E_EXISTS */
/* Writes into the existing target, and there only what differs. Not atomic: see km_restore. */
#define KM_RESTORE_IN_PLACE 0x0002u
#define KM_RESTORE_NO_SYNC 0x0004u /* whole or absent, but perhaps not yet on the disk */

typedef struct km_restore_options {
    uint32_t struct_size;  /* 0, or sizeof(km_restore_options) */
    uint32_t flags;        /* KM_RESTORE_* */
    uint64_t offset;       /* from here of the image */
    uint64_t length;       /* bytes; 0: to the end */
    uint32_t threads;      /* 0: as many as processors */
    uint32_t permissions;  /* of a new target: POSIX mode bits; 0: 0666 less the umask */
    km_read_function read; /* with snapshot NULL: it comes from here */
    void *read_arg;
    km_write_function write; /* with path NULL: the image goes here */
    void *write_arg;
    km_progress_function progress; /* NULL: none; total KM_SIZE_UNKNOWN: a stream does not say */
    void *progress_arg;
    uint64_t *written; /* bytes of the target that were written; NULL: nobody asks */
} km_restore_options;

/*
 * Makes the file at `path` from a snapshot: whole and durable or not at all, under the rules of
 * km_copy for existing targets. Everything read is checked; chunks of zeros become holes. With
 * offset and length the file holds that part of the image alone, and only the chunks in it are read
 * (past the image's end: KM_E_TRUNCATED).
 *
 * KM_RESTORE_IN_PLACE makes an existing file equal to the image by writing the chunks in which they
 * differ. It needs no room for a second file. It is not atomic: failed, cancelled or killed on the
 * way the file is a mixture, which the same call repairs. Nobody else may have the file open
 * (KM_E_BUSY). The snapshot is verified first, so that a damaged one changes nothing. Not with
 * offset and length, streams or KM_RESTORE_REPLACE (KM_E_INVALID).
 *
 * Streams. With snapshot NULL it comes from options.read; with path NULL the image goes to
 * options.write in order: what has gone there is not taken back if damage shows later. There
 * nothing is replaced or synced, nor has permissions: to ask for it is KM_E_INVALID.
 *
 * Errors: KM_E_CORRUPT, with what is damaged and where, also for what is no snapshot and for one
 * without its end; KM_E_UNSUPPORTED (packed, and built without a library that unpacks); and
 * those of km_copy.
 */
KM_API KM_MUST_CHECK km_status km_restore(const char *snapshot, const char *path,
                                          const km_restore_options *options);

/*
 * The same into memory: options.length bytes (0: to the end of the image) from options.offset on;
 * `size` must be just that many (KM_E_MISMATCH). For a km_init_function, or memory of one's own.
 * After a failure the bytes at `to` mean nothing. Of the options, path's and permissions' fields,
 * `flags` and `write` must be 0.
 */
KM_API KM_MUST_CHECK km_status km_restore_memory(const char *snapshot, void *to, uint64_t size,
                                                 const km_restore_options *options);

/*
 * Makes the segment `name` from a snapshot, with its size and, unless options.type says otherwise,
 * its type, and opens it: nobody sees it half filled. options as for km_segment, KM_OPEN_NEW being
 * understood; size and init must be 0. An empty image is KM_E_INVALID, since no segment is.
 */
KM_API KM_MUST_CHECK km_status km_restore_segment(km_map **map, const char *snapshot,
                                                  const char *name, const km_options *options);

#define KM_VERIFY_QUICK 0x0001u /* the sums of the packed bytes alone; unpacks nothing */

typedef struct km_verify_options {
    uint32_t struct_size;  /* 0, or sizeof(km_verify_options) */
    uint32_t flags;        /* KM_VERIFY_* */
    uint32_t threads;      /* 0: as many as processors */
    km_read_function read; /* with snapshot NULL: it comes from here */
    void *read_arg;
    km_progress_function progress; /* NULL: none; total KM_SIZE_UNKNOWN: a stream does not say */
    void *progress_arg;
} km_verify_options;

/* Reads, unpacks and checks all of a snapshot. KM_OK: every bit is as it was written. */
KM_API KM_MUST_CHECK km_status km_verify(const char *snapshot, const km_verify_options *options);

typedef enum km_snapshot_source {
    KM_SOURCE_FILE = 1,
    KM_SOURCE_SEGMENT = 2,
    KM_SOURCE_STREAM = 3,
} km_snapshot_source;

#define KM_ID_SIZE 16

typedef struct km_snapshot_facts {
    uint32_t struct_size;      /* 0, or sizeof(km_snapshot_facts): set it before the call */
    km_snapshot_source source; /* what it was made of */
    uint64_t size;             /* bytes of the image */
    uint64_t packed_size;      /* bytes of the snapshot */
    uint64_t made_ns;          /* when it was begun: nanoseconds since 1970, UTC */
    uint64_t chunks;
    uint64_t zero_chunks;   /* of those, all zeros */
    uint64_t stored_chunks; /* of those, not compressed */
    uint32_t chunk_size;
    uint32_t level;               /* 0 (stored) to 9 */
    uint8_t id[KM_ID_SIZE];       /* random, its own */
    uint8_t since_id[KM_ID_SIZE]; /* of the one it was made since; zeros: none */
    uint32_t type_version;        /* of a segment */
    char type[KM_TYPE_SIZE];      /* of a segment; "": none */
    /* Younger than the first version: filled if struct_size says that they are there. */
    uint64_t source_volume; /* of a file, as its system numbered it; 0: not known */
    uint64_t source_number; /* of the file on that volume; 0: not known */
} km_snapshot_facts;

/* What a snapshot says of itself. Reads and checks facts, index and end, not the chunks. */
KM_API KM_MUST_CHECK km_status km_inspect(const char *snapshot, km_snapshot_facts *facts);

/*
 * Does the file begin as a snapshot does, or end as one that is so long? It may be damaged, or cut
 * short, all the same. false as well if it cannot be read.
 */
KM_API bool km_is_snapshot(const char *path);

/*
 * Maps a snapshot's contents: KM_READ, or KM_PRIVATE with stores of one's own. Where the system
 * lets us (Linux with userfaultfd, see README), a chunk is unpacked when it is first touched, so
 * that opening takes milliseconds whatever the size; else all is unpacked here, in parallel. The
 * file must not change while it is open: what is read is checked all the same, and a chunk that
 * turns out damaged later is SIGBUS (or SIGSEGV) to a load, KM_E_CORRUPT to km_read.
 *
 * Of the options, access, offset, length, size as with km_open, and the flags KM_OPEN_EXACT,
 * KM_OPEN_RANDOM and KM_OPEN_SEQUENTIAL are used; the rest is KM_E_INVALID. With KM_OPEN_SEQUENTIAL
 * all is unpacked at the open. km_window, km_read, km_copy, km_snapshot, km_advise, km_close work;
 * km_write on KM_PRIVATE; km_flush has nothing to do; km_lock and km_resize are KM_E_UNSUPPORTED;
 * km_check looks at the snapshot file.
 *
 * Lazy maps. System calls that are given addresses in them fail with EFAULT where nothing was
 * touched yet: use km_read, or touch first. A child made by fork does not have them: touching
 * raises SIGSEGV there, and km_read, km_write, km_copy and km_snapshot are KM_E_INVALID.
 */
KM_API KM_MUST_CHECK km_status km_open_snapshot(km_map **map, const char *snapshot,
                                                const km_options *options);

/* What has become of a range of the image. */
typedef enum km_range_kind {
    KM_RANGE_LOST = 1,    /* salvage: could not be recovered; zeros in the target */
    KM_RANGE_CHANGED = 2, /* diff: both have it, and differ */
    KM_RANGE_ONLY_A = 3,  /* diff: behind B's end */
    KM_RANGE_ONLY_B = 4,  /* diff: behind A's end */
} km_range_kind;

/* In rising order, neighbours joined. false: enough, KM_E_CANCELLED. On the calling thread. */
typedef bool (*km_range_function)(km_range_kind kind, uint64_t offset, uint64_t length, void *arg);

typedef struct km_salvage_report {
    uint32_t struct_size; /* 0, or sizeof(km_salvage_report): set it before the call */
    bool size_known;      /* from footer, index or facts; else the target may be too short */
    bool index_found;     /* then the chunks were checked against it too */
    uint64_t size;        /* bytes of the target */
    uint64_t recovered;   /* bytes of it, in undamaged chunks */
    uint64_t lost;        /* bytes of it */
    uint64_t lost_chunks;
} km_salvage_report;

typedef struct km_salvage_options {
    uint32_t struct_size;   /* 0, or sizeof(km_salvage_options) */
    uint32_t flags;         /* KM_RESTORE_REPLACE, KM_RESTORE_NO_SYNC */
    uint32_t permissions;   /* of a new target */
    km_range_function lost; /* told of each range lost; NULL: nobody */
    void *lost_arg;
    km_progress_function progress; /* NULL: none */
    void *progress_arg;
    km_salvage_report *report; /* NULL: nobody asks */
} km_salvage_options;

/*
 * Makes a file of all that is undamaged in a damaged snapshot, zeros (holes) where chunks are lost.
 * Goes through the file member by member; needs neither index nor footer. KM_OK with the report
 * saying what is lost, if anything at all was recovered; KM_E_CORRUPT, and no target, if nothing
 * was. Onto itself: KM_E_EXISTS, with KM_RESTORE_REPLACE KM_E_BUSY.
 *
 * Of several snapshots in one file (64 are told apart) the one with the most bytes left is taken,
 * never a mixture as far as beginning, index or end tell them apart. Where the index is lost, less
 * than 64 KiB between two damaged places count as lost too: it may be a snapshot inside a chunk.
 *
 * What the medium does not give is KM_E_IO and not taken for lost, since it may give it yet: copy
 * what can be read of it first, with zeros for the rest (ddrescue does so), and salvage the copy.
 */
KM_API KM_MUST_CHECK km_status km_salvage(const char *snapshot, const char *path,
                                          const km_salvage_options *options);

#define KM_DIFF_PLAIN_A 0x0001u /* A is compared as a file even if it is a snapshot */
#define KM_DIFF_PLAIN_B 0x0002u
#define KM_DIFF_CHUNKS 0x0004u /* in whole chunks: two related snapshots need no unpacking then */

typedef struct km_diff_report {
    uint32_t struct_size; /* 0, or sizeof(km_diff_report): set it before the call */
    bool a_is_snapshot;
    bool b_is_snapshot;
    uint64_t a_size; /* bytes, of a snapshot its image's */
    uint64_t b_size;
    uint64_t ranges;  /* told of */
    uint64_t changed; /* bytes in them, of those that both have */
    uint64_t unit;    /* ranges begin and end at multiples of it, or at an end */
} km_diff_report;

typedef struct km_diff_options {
    uint32_t struct_size;    /* 0, or sizeof(km_diff_options) */
    uint32_t flags;          /* KM_DIFF_* */
    uint32_t unit;           /* a power of two, 1 to 1 MiB; 0: 4096. Not with KM_DIFF_CHUNKS */
    uint32_t threads;        /* 0: as many as processors */
    km_range_function range; /* NULL: nobody */
    void *range_arg;
    km_progress_function progress; /* NULL: none */
    void *progress_arg;
    km_diff_report *report; /* NULL: nobody asks */
} km_diff_options;

/*
 * Where two images differ: each a plain file or a snapshot. Chunks of a snapshot whose hashes tell
 * that they are the same (as a file's, or as those of a snapshot that was made since it, or that it
 * was made since, or both since a third) are not read at all, so damage in them is not found: that
 * is km_verify's business. KM_OK also if they differ: look at the report, or at what was told.
 */
KM_API KM_MUST_CHECK km_status km_diff(const char *a, const char *b,
                                       const km_diff_options *options);

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
