/*
 * mapped_mark.h - the mark "mapped" of a file that has sections, and the claims beside it.
 *
 * A section and its views are mapped from the file's own description, which carries the mark for
 * all of them beside the claims of the handles. A lock belongs to a description, so both are
 * counted here: the mark is taken with the first section and unlocked with the last, the claims are
 * unlocked with the last handle, and the descriptor is closed when neither needs it.
 *
 * That works while the description is this process's alone. A child shares it, and neither of the
 * two could unlock anything without doing so for the other. So right before a fork mark and claims
 * move to descriptions of their own; both processes have them, each closes them when it needs them
 * no more, and the kernel unlocks them with the last. A section made later over a file that was
 * opened before a fork has a description of its own from the beginning.
 */
#ifndef KMW_MAPPED_MARK_H
#define KMW_MAPPED_MARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include <keepmap/win32.h>

struct kmw_file;

/* Guarded by the file's mutexes->marks. Pairs: of sections that may not and that may write. */
typedef struct kmw_marks {
    unsigned count[2]; /* sections that share the file's descriptor */
    atomic_bool some;  /* ...are there any? Set before it is asked for ranges that are locked here,
                          which in turn ask this first (file_lock.c) */
    bool claimed;      /* by handles, or for the file to be deleted: until kmw_marks_end_claims */
    unsigned forks;    /* when the file was opened */
    int moved[2];      /* descriptors that have the marks since a fork; else -1 */
    int moved_claims;  /* likewise */
    bool stuck;        /* they could not move: whatever is locked stays so until all have closed */
    struct kmw_file *next, *previous; /* in mutexes->marked, while there are marks to be moved */
} kmw_marks;

void kmw_marks_init(struct kmw_file *file);

/*
 * Marks a file, of which a handle is in use, as mapped for one section more. *descriptor is what
 * that is to be mapped from, and *facts the file's when nobody could cut it any more. Whatever
 * becomes of the handles, it lasts until kmw_mark_end with the same values. On failure nothing is
 * left behind.
 */
DWORD kmw_mark_begin(struct kmw_file *file, bool writable, int *descriptor, struct stat *facts);
void kmw_mark_end(struct kmw_file *file, bool writable, int descriptor);

/* The last handle is closed, or what was to be deleted is: what sections do not need goes. Doing it
 * twice is fine. */
void kmw_marks_end_claims(struct kmw_file *file);

/* With mutexes->marks held: is the file mapped through its own description? */
bool kmw_marks_forbid_cutting(const struct kmw_file *file);

/* With mutexes->ranges held: do sections share the descriptor? Is it no other process's as well? */
bool kmw_marks_are_here(const struct kmw_file *file);
bool kmw_marks_is_alone(const struct kmw_file *file);

/* At exit: sections go, but memory stays mapped to the very end. From now on no mark is unlocked;
 * each goes with the last mapping of its description. */
void kmw_marks_outlive_sections(void);

/* Before a fork, with mutexes->marks held: moves what is to be moved, and empties the list. */
void kmw_marks_move(struct kmw_file **marked);

#endif /* KMW_MAPPED_MARK_H */
