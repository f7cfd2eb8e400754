/*
 * segment.h - what the core knows of an open segment besides its maps: its record, and its lock.
 *
 * A segment is a km_file (map.h) whose handle is a section's and whose `segment` is not NULL. Its
 * native_path is the name with its prefix, in UTF-16; NULL: it has none.
 */
#ifndef KM_SEGMENT_H
#define KM_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "deadline.h"
#include "map.h"
#include "record.h"

/* What the names of the objects beside a segment end in, and no segment's name does. */
#define KM_SEGMENT_SUFFIX ".keepmap"

/* All fixed once the segment is open. */
struct km_segment_state {
    uint64_t size;         /* the user's bytes */
    uint64_t section_size; /* all of them, in whole pages */
    bool described;        /* it has a record */
    km_record record;      /* as it was at the open */
};

/* A section whose end has been looked at. */
typedef struct km_sight {
    HANDLE section;
    uint64_t section_size;
    km_record record;
    km_record_verdict verdict;
} km_sight;

/* Looks (again) at the end of sight->section, which needs FILE_MAP_READ. */
DWORD km_segment_look(km_sight *sight);

/*
 * Maps the section that was looked at, after comparing it with the options, and takes it over:
 * after a failure too, km_close closes it with the map.
 */
km_status km_segment_adopt(km_map *map, const km_options *options, const km_sight *sight);

/*
 * Makes the section and all that belongs to it. *taken, and KM_OK: there is one of that name
 * already, and nothing was done. After a failure nothing is left of it.
 */
km_status km_segment_make(km_map *map, const km_options *options, bool *taken);

/* Opens, or makes, the named segment as the options say (segment_open.c). */
km_status km_segment_open(km_map *map, const km_options *options);

/* So long an open of a machine-wide segment waits, in all: anybody may own its mutex, and nobody is
 * to hang on that. 60000; tests set it. */
extern uint32_t km_segment_patience_ms;

/* A text in UTF-16: `before`, `middle`, `after`, all UTF-8, one after the other; malloc'ed. */
DWORD km_segment_text(const char *before, const char *middle, const char *after, WCHAR **text);

/* What makes an object everybody's. */
typedef struct km_everybody {
    SECURITY_DESCRIPTOR descriptor;
    SECURITY_ATTRIBUTES attributes;
} km_everybody;

/* For Create* calls: NULL, the owner alone; else `storage`, filled. */
SECURITY_ATTRIBUTES *km_segment_security(bool everybody, km_everybody *storage);

/* Copies the record out of (into) the end of `length` bytes at `view`: an error, never a signal. */
DWORD km_segment_read_record(const void *view, uint64_t length, km_record *record);
DWORD km_segment_write_record(void *view, uint64_t length, const km_record *record);

/* The last step of a maker: whoever then reads that it is ready sees all that was stored before. */
DWORD km_segment_write_ready(void *view, uint64_t length);

/* Maps the end of the section with the record; *length bytes, the record last. */
DWORD km_segment_view_end(const km_file *file, DWORD access, void **view, uint64_t *length);

/* km_check on a segment. */
km_status km_segment_ask(const km_map *map, km_size_report *facts);
km_status km_segment_judge(const km_map *map, const km_size_report *facts);

/* ---- The lock (segment_lock.c). All of it is the business of who owns map->lock. ---- */

/* The file that the lock lies on, opened by this process; *handle stays the map's. */
km_status km_segment_lock_file(km_map *map, const km_deadline *deadline, HANDLE *handle);

/* Has that file, on which the lock has been taken, no name any more? */
bool km_segment_lock_is_lost(const km_map *map);

/*
 * After the lock has been taken: finds the mark of a dead holder (KM_E_OWNER_DIED; the lock is held
 * all the same) and leaves one's own. Any other failure: the caller unlocks again.
 */
km_status km_segment_lock_entered(km_map *map, km_lock_mode mode);

/*
 * Before it is given back: takes one's own mark away, and nobody else's, or, if nothing is
 * `repaired`, puts back that of a dead holder found there. *handle is what to unlock then, after an
 * error too, unless *ours is false: then another process, which had this lock with us since a fork,
 * has given it back already.
 */
DWORD km_segment_lock_leaving(km_map *map, bool repaired, HANDLE *handle, bool *ours);

/* When the map is closed: nothing is held any more, or it is somebody else's to give back. */
void km_segment_lock_close(km_map *map);

#endif /* KM_SEGMENT_H */
