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
 * May the file at `path` be opened with `access` (specific rights) by somebody who shares
 * everything? ERROR_SHARING_VIOLATION if not. `facts` as lstat said: what is no regular file is
 * not asked about, nor is one that the caller may neither read nor write, since there is no way to
 * ask then.
 */
DWORD kmw_name_check_sharing(const char *path, const struct stat *facts, DWORD access);

/* Is the regular file mapped, by anybody? */
bool kmw_name_is_mapped(const char *path, const struct stat *facts);

/*
 * May it be replaced by renaming another over it? ERROR_ACCESS_DENIED for a directory, a file that
 * is read-only, mapped, or open with a right to its data or to delete it.
 */
DWORD kmw_name_check_replacing(const char *path, const struct stat *facts);

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
 * at once, then the original deleted. If only that last step fails the original stays, and the move
 * has succeeded, as documented.
 */
DWORD kmw_move_across(const char *from, const struct stat *facts, const char *to, bool replace,
                      bool durable);

#endif /* KMW_FILE_NAMES_H */
