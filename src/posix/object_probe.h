/*
 * object_probe.h - asking a file of a named object whether anybody holds it, and clearing it away
 * if nobody does. The steps that named_object.c, object_draft.c and object_sweep.c have in common.
 */
#ifndef KMW_OBJECT_PROBE_H
#define KMW_OBJECT_PROBE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "named_object.h"

/* Opens what may be an object's file: never waits, follows no link, close-on-exec. -1 and errno. */
int kmw_object_open_file(int directory, const char *file, int mode);

/* flock, without waiting. false, errno: EWOULDBLOCK if somebody else's lock is in the way. */
bool kmw_object_lock(int descriptor, int operation);

/* Does the name lead to this very file? */
bool kmw_object_is_at(int directory, const char *file, const struct stat *facts);

typedef enum kmw_probe {
    KMW_PROBE_HELD,    /* somebody holds it, or is asking the same */
    KMW_PROBE_CLEARED, /* nobody did: it is gone */
    KMW_PROBE_GONE,    /* nobody does, and somebody else has cleared it away */
    KMW_PROBE_KEPT,    /* nobody does, but it is not ours to remove */
    KMW_PROBE_FOREIGN, /* no regular file: no object */
    KMW_PROBE_FAILED,  /* errno */
} kmw_probe;

/* `descriptor` is of that file, and its description has no lock. It has one afterwards if nobody
 * held the object: close it then, or have no more use for the object. */
kmw_probe kmw_object_probe(int descriptor, int directory, const char *file);

/* The same for the file of an object that the caller has been holding: that it was one has been
 * seen, and which. */
kmw_probe kmw_object_probe_held(int descriptor, const kmw_named *named);

/* Opens, probes and closes. */
void kmw_object_clear(int directory, const char *file);

/* Reads and checks a header. false: it is not one, or not of this build. */
bool kmw_object_read_header(int descriptor, off_t file_size, kmw_object_header *header);

/* Makes it one of this build. */
void kmw_object_stamp_header(kmw_object_header *header);

/* ftruncate without a signal, should it pass the process's limit. false, errno. */
bool kmw_object_set_size(int descriptor, off_t size);

#endif /* KMW_OBJECT_PROBE_H */
