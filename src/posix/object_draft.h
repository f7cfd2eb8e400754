/*
 * object_draft.h - a named object before it has its name: made in a file that nobody else can open,
 * whole, and only then put in its place. The first of the steps in named_object.h, "born whole".
 */
#ifndef KMW_OBJECT_DRAFT_H
#define KMW_OBJECT_DRAFT_H

#include <sys/stat.h>

#include "named_object.h"

/* The file of an object, and the directory it lies in. */
typedef struct kmw_object_place {
    int directory;
    kmw_object_file file;
} kmw_object_place;

/* The hold that a locked descriptor of the file in that place is; all of it but the header. */
void kmw_named_remember(kmw_named *named, const kmw_object_place *at, int descriptor,
                        const struct stat *facts);

typedef struct kmw_draft {
    kmw_named named; /* descriptor -1: there is no draft */
    /* The name that it has where files without one cannot be made; "" where they can. */
    char temporary[sizeof(kmw_object_file) + 32];
} kmw_draft;

/* An object in all but its name, locked shared. On failure nothing is left. */
DWORD kmw_draft_make(const kmw_object_place *at, const kmw_object_name *name,
                     const kmw_birth *birth, kmw_draft *draft);

/* 0 or errno; EEXIST: the name is taken. */
int kmw_draft_give_name(const kmw_draft *draft, const kmw_object_place *at);

/* Then one of these: it has its name, and is held by *named; or it is not wanted (or not there). */
void kmw_draft_finish(kmw_draft *draft, const kmw_object_place *at, kmw_named *named);
void kmw_draft_drop(kmw_draft *draft, const kmw_object_place *at);

#endif /* KMW_OBJECT_DRAFT_H */
