/*
 * file_facts.h - what stat(2) says of a file, in Win32's words.
 */
#ifndef KMW_FILE_FACTS_H
#define KMW_FILE_FACTS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include <keepmap/win32.h>

/* The same file, whatever names it was found by. */
static inline bool kmw_is_same_file(const struct stat *one, const struct stat *other) {
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/*
 * FILE_ATTRIBUTE_*. READONLY: nobody has permission to write it, and it is no directory. DEVICE:
 * neither a file, a directory nor a link. SPARSE_FILE: it takes less of the disk than it is long.
 */
DWORD kmw_attributes_of(const struct stat *facts);

/* 100 ns since 1601; what is before that is 0. */
FILETIME kmw_filetime_of(struct timespec time);

/*
 * `creation` is when it was made, if the system knows, else when it was last written. Of the file
 * at `path`, links followed, or with NULL of `descriptor`; `facts` as stat said.
 */
typedef struct kmw_file_times {
    FILETIME creation;
    FILETIME access;
    FILETIME write;
} kmw_file_times;
kmw_file_times kmw_times_of(int descriptor, const char *path, const struct stat *facts);

#endif /* KMW_FILE_FACTS_H */
