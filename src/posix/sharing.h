/*
 * sharing.h - sharing modes and "this file is mapped", among the programs that use keepmap.
 *
 * Both are open-file-description locks (fcntl(2), F_OFD_SETLK) on bytes from 2^62 up, far past any
 * data: one "used" and one "denied" byte for each right, and one for "mapped". The kernel drops
 * them with the description, however its process ends. A claimant takes shared locks on its own
 * bytes first and asks for the opposite ones after (F_OFD_GETLK works on a read-only descriptor),
 * so of two who come together at least one sees the other; whoever is refused lets go, and tries
 * again a few times after a short random pause, lest both step back for good.
 *
 * Deleting and renaming claim the file too until that is done. So whoever has claimed what he
 * opened and then sees that it has no name any more was too late, and opens again; and whoever sees
 * that it has one keeps it.
 *
 * Where the file system has no such locks, every claim succeeds and *enforced is false.
 */
#ifndef KMW_SHARING_H
#define KMW_SHARING_H

#include <stdbool.h>

#include <keepmap/win32.h>

/* LockFileEx ranges are clipped to end here; everything from here up is sharing's own. */
#define KMW_SHARING_BASE ((long long)1 << 62)

#define KMW_SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/*
 * Claims a file for a handle with `access` (specific rights) that shares `share`. The claim goes
 * with the description behind `descriptor`. ERROR_SHARING_VIOLATION if somebody's claim forbids it.
 * Access without data or DELETE bits claims nothing and forbids nothing.
 */
DWORD kmw_sharing_claim(int descriptor, DWORD access, DWORD share, bool *enforced);

/*
 * The same for a call that deletes or renames the file, and closes the descriptor right after.
 * Those who find it in their way wait for it a little longer than for a handle, which may stay.
 */
DWORD kmw_sharing_claim_name(int descriptor, DWORD access, DWORD share);

/*
 * The same, and no other such call has the file meanwhile: two who would each undo the name by its
 * path must not both believe that it still leads to what they have claimed.
 */
DWORD kmw_sharing_claim_name_alone(int descriptor, DWORD access, DWORD share);

/* Gives up what the description claims; for one that lives on. Closing it does the same. */
void kmw_sharing_drop(int descriptor);

/*
 * Marks the file as mapped. `writable` (PAGE_READWRITE and PAGE_EXECUTE_READWRITE): also counts as
 * a user of write access, so that later opens must share it. What the description claims already
 * stays. ERROR_SHARING_VIOLATION, and nothing done, if somebody keeps the file barred for long.
 */
DWORD kmw_sharing_mark_mapped(int descriptor, bool writable, bool *enforced);

/* What one description may stand for at once. */
typedef struct kmw_stake {
    DWORD access, share; /* the claims of a handle; access 0: of none */
    bool mapped;         /* the mark of sections */
    bool written;        /* ...one of them writable */
} kmw_stake;

/*
 * Takes a stake, without asking whether it agrees with others': for a description that is to stand
 * for what another one does already. Must be open for reading. 0, or errno and nothing taken.
 */
int kmw_sharing_take_over(int descriptor, const kmw_stake *stake);

/* Of the stake `from`, which the description has, only what belongs to `to` as well stays. */
void kmw_sharing_reduce(int descriptor, const kmw_stake *from, const kmw_stake *to);

/* Does anybody but this description have it marked as mapped? */
bool kmw_sharing_is_mapped(int descriptor);

/*
 * Before cutting a file short: keeps everybody from mapping it until the bar is lifted.
 * ERROR_USER_MAPPED_FILE if it is mapped. Needs a descriptor that may write.
 */
DWORD kmw_sharing_bar_mapping(int descriptor);
void kmw_sharing_lift_bar(int descriptor);

/*
 * While the file is made longer: keeps two who do so from undoing each other's work, since setting
 * a size that was asked for can cut what another has added meanwhile. Waits only so long; growing
 * without it is what a file system without locks does anyway. Needs a descriptor that may write.
 */
void kmw_sharing_begin_growth(int descriptor);
void kmw_sharing_end_growth(int descriptor);

/* Has nobody any claim or mark on the file? Asks once, and waits for nobody. false as well where
 * that cannot be told. */
bool kmw_sharing_is_free(int descriptor);

/*
 * Does somebody's claim stand against opening the file (by any description but this one) with
 * `access`, sharing `share`? Asks, claims nothing.
 */
bool kmw_sharing_is_refused(int descriptor, DWORD access, DWORD share);

#endif /* KMW_SHARING_H */
