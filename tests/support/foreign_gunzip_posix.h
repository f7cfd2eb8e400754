/*
 * foreign_gunzip_posix.h - other people's programs that unpack gzip files, and how each is called.
 */
#ifndef TESTS_FOREIGN_GUNZIP_POSIX_H
#define TESTS_FOREIGN_GUNZIP_POSIX_H

#include <stdbool.h>
#include <stddef.h>

typedef struct foreign_gunzip {
    const char *name;
    const char *probe;  /* a shell command that works where the program is there, and can do it */
    const char *unpack; /* one that unpacks the file "$0" to standard output, and says nothing */
    bool tests_only;    /* it prints nothing, and only says by its status whether all is well */
} foreign_gunzip;

extern const foreign_gunzip foreign_gunzips[];
extern const size_t foreign_gunzip_count;

bool foreign_gunzip_is_there(const foreign_gunzip *program);

/* Unpacks `snapshot` and compares with the file `original` as it comes. NULL: status 0, the exact
 * bytes, and no word on standard error. Else what was wrong; valid until the next call. */
const char *foreign_gunzip_reads(const foreign_gunzip *program, const char *snapshot,
                                 const char *original);

#endif /* TESTS_FOREIGN_GUNZIP_POSIX_H */
