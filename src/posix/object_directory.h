/*
 * object_directory.h - where the files of named objects lie: this user's in a directory of his own,
 * the machine's in one that everybody shares.
 */
#ifndef KMW_OBJECT_DIRECTORY_H
#define KMW_OBJECT_DIRECTORY_H

#include <stdbool.h>

#include "object_name.h"

/*
 * A descriptor of the directory of this user's objects, or of the machine's, for openat and its
 * like: one that the process keeps, and that is looked at anew with every call. With `make` this
 * user's is made if it is missing, else that is ERROR_FILE_NOT_FOUND. ERROR_ACCESS_DENIED if there
 * is something else in its place, or something that others may enter or change.
 */
DWORD kmw_object_directory(bool global, bool make, int *directory);

/* Its path, whether or not it is there. */
DWORD kmw_object_directory_path(bool global, kmw_path *path);

/* The path of an object's file; its directory is there, or made, as above. */
DWORD kmw_object_path(const kmw_object_name *name, bool make, kmw_path *path);

#endif /* KMW_OBJECT_DIRECTORY_H */
