/*
 * file_names.h - what the calls that delete, move and replace files by name have in common.
 */
#ifndef KMW_FILE_NAMES_H
#define KMW_FILE_NAMES_H

#include <stdbool.h>
#include <sys/stat.h>

#include <keepmap/win32.h>

#include "text.h"

/*
 * Claims the file at `path` as one who opens it with `access` (specific rights) and shares `share`,
 * until *claim is closed: nobody who does not share that gets it while its name changes, and nobody
 * else who claims a name so has the file at the same time, through another link either.
 * ERROR_SHARING_VIOLATION if somebody's claim forbids it, ERROR_FILE_NOT_FOUND if the name is gone.
 * `facts` as lstat said, and once more when another file has the name by now. *claim is -1, and all
 * is well, for what is no regular file, or one that the caller may neither read nor write, since
 * there is no way to ask then.
 */
DWORD kmw_name_claim(const char *path, struct stat *facts, DWORD access, DWORD share, int *claim);

/* What kmw_name_claim gave; -1 is fine. */
void kmw_name_let_go(int claim);

/*
 * Claims what is to be replaced by renaming another over it. ERROR_ACCESS_DENIED for a directory, a
 * file that is read-only, mapped, or open with a right to its data or to delete it.
 */
DWORD kmw_name_claim_to_replace(const char *path, struct stat *facts, int *claim);

/* Is what was claimed mapped, by anybody? */
bool kmw_name_is_mapped(int claim);

/* Are these two spellings of one directory entry? (Two links to one file are not.) */
bool kmw_name_is_same(const char *one, const char *other);

/* rename(2), or only if there is no `to` yet: EEXIST. 0 or errno. */
int kmw_name_rename(const char *from, const char *to, bool replace);

/* errno of a call that was to make or rename to `to` from `from`, both checked before. */
DWORD kmw_name_error(int error, const char *from, const char *to);

/* Makes the entry durable. A file system that cannot sync a directory needs no help. */
DWORD kmw_name_sync(const char *path);

/* The directory of an entry, "." if the path names none. */
void kmw_name_parent(const char *path, kmw_path *parent);

/*
 * Moves a regular file to another file system: a copy with its permissions and times, put in place
 * at once, and if it is to be durable on the disk, then the original deleted. If only that last
 * step fails, or is forbidden by somebody's view, the original stays, and the move has succeeded,
 * as documented. ERROR_SHARING_VIOLATION, and nothing done, while somebody may write to the
 * original.
 */
DWORD kmw_move_across(const char *from, const char *to, bool replace, bool durable);

#endif /* KMW_FILE_NAMES_H */
