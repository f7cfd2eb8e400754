/*
 * sharing.c - sharing modes and the mark "mapped", kept as locks that the kernel drops by itself.
 *
 * The bytes from KMW_SHARING_BASE on stand in such an order that what one handle claims is nearly
 * always one run of them, one system call. Whoever claims takes shared locks, which never refuse
 * each other; a conflict is seen by asking who else has locks. One question over everything comes
 * first: usually nobody has, and that settles it.
 *
 * A description that may only write cannot take a shared lock. It locks one byte of its own
 * exclusively instead, somewhere at random in a wide area behind; each claim has its own area.
 *
 * A program without keepmap that locks a file to its end with fcntl(2) covers these bytes too, and
 * so counts as one that uses and denies everything, and does not map. That is what it asked for.
 */
#include "sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "last_error.h"

/* Claims, as bits; bit n is the byte KMW_SHARING_BASE + n. Reading, writing and deleting without
 * more, with or without denying others writing or deleting or everything, are single runs. */
enum {
    MAPPED = 1 << 0,
    USED_WRITE = 1 << 1,
    USED_READ = 1 << 2,
    DENIED_DELETE = 1 << 3,
    DENIED_WRITE = 1 << 4,
    DENIED_READ = 1 << 5,
    USED_DELETE = 1 << 6,
    RENAMING = 1 << 7, /* or deleting: gone soon */
};
#define CLAIMS 8
#define GROWTH (KMW_SHARING_BASE + CLAIMS) /* the byte held while the file grows */

/* Behind the bytes: the areas of descriptions that may only write, one a claim. */
#define AREAS (KMW_SHARING_BASE + ((off_t)1 << 32))
#define AREA_SIZE ((off_t)1 << 24)

/* Somebody who is about to step back is gone within microseconds; this outlasts it by far. */
#define CLAIM_TRIES 6
#define FIRST_PAUSE_NS 32000L

/* A bar is held while a file changes its size, or its name, which takes the file system longer. */
#define BAR_TRIES 12

#if defined(F_OFD_SETLK) && defined(F_OFD_GETLK)

/* The same as fcntl's answer, errno included; signals do not end it. */
static int lock_call(int descriptor, int command, struct flock *lock) {
    int result;
    do {
        result = fcntl(descriptor, command, lock);
    } while (result < 0 && errno == EINTR);
    return result;
}

/* 0 or errno. EAGAIN: somebody else's lock is in the way. Length 0: to the end. */
static int set_lock(int descriptor, short type, off_t start, off_t length) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (lock_call(descriptor, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    return errno == EACCES ? EAGAIN : errno;
}

/* What a lock by anybody else stands there: F_UNLCK for none. 0 or errno. */
static int get_lock(int descriptor, off_t start, off_t length, short *type) {
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (lock_call(descriptor, F_OFD_GETLK, &lock) < 0) {
        return errno;
    }
    *type = lock.l_type;
    return 0;
}

#else /* A system without locks of open file descriptions: nothing is enforced there. */

static int set_lock(int descriptor, short type, off_t start, off_t length) {
    (void)descriptor, (void)type, (void)start, (void)length;
    return ENOSYS;
}

static int get_lock(int descriptor, off_t start, off_t length, short *type) {
    (void)descriptor, (void)start, (void)length, (void)type;
    return ENOSYS;
}

#endif

/* Are there no such locks here at all, on this file system or for such a descriptor? */
static bool is_unsupported(int error) {
    return error == EINVAL || error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS ||
           error == EBADF;
}

static unsigned long long random_bits(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long bits = (unsigned long long)now.tv_nsec ^
                              ((unsigned long long)getpid() << 32) ^
                              (unsigned long long)(uintptr_t)&now;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ULL;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBULL;
    return bits ^ (bits >> 31);
}

static void pause_at_random(int round) {
    unsigned long long longest = (unsigned long long)FIRST_PAUSE_NS << round;
    struct timespec time = {.tv_nsec = (long)(1 + random_bits() % longest)};
    nanosleep(&time, NULL); /* cut short by a signal, it is a shorter pause */
}

/* The next run of bits of `claims` from *bit on: its length, 0 when there is none left. */
static int next_run(unsigned claims, int *bit) {
    while (*bit < CLAIMS && !(claims & (1U << *bit))) {
        ++*bit;
    }
    int end = *bit;
    while (end < CLAIMS && (claims & (1U << end))) {
        ++end;
    }
    return end - *bit;
}

static int take_shared(int descriptor, unsigned claims) {
    int bit = 0;
    for (int run = next_run(claims, &bit); run > 0; run = next_run(claims, &bit)) {
        int error = set_lock(descriptor, F_RDLCK, KMW_SHARING_BASE + bit, run);
        if (error != 0) {
            return error;
        }
        bit += run;
    }
    return 0;
}

static int take_in_areas(int descriptor, unsigned claims) {
    for (int bit = 0; bit < CLAIMS; ++bit) {
        if (!(claims & (1U << bit))) {
            continue;
        }
        off_t place = (off_t)(random_bits() % (unsigned long long)AREA_SIZE);
        int error = set_lock(descriptor, F_WRLCK, AREAS + AREA_SIZE * bit + place, 1);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

void kmw_sharing_drop(int descriptor) {
    (void)set_lock(descriptor, F_UNLCK, KMW_SHARING_BASE, 0); /* can only find nothing to unlock */
}

/* 0, or errno with nothing taken. EAGAIN: refused by a lock that is none of ours. */
static int take(int descriptor, unsigned claims) {
    int error = take_shared(descriptor, claims);
    if (error == EBADF) {
        error = take_in_areas(descriptor, claims);
    }
    if (error != 0) {
        kmw_sharing_drop(descriptor);
    }
    return error;
}

/* Does anybody else have one of `claims`? 0 or errno. */
static int ask(int descriptor, unsigned claims, bool *found) {
    short type = F_UNLCK;
    int error = get_lock(descriptor, KMW_SHARING_BASE, 0, &type);
    if (error != 0 || type == F_UNLCK) {
        *found = false;
        return error;
    }
    int bit = 0;
    for (int run = next_run(claims, &bit); run > 0; run = next_run(claims, &bit)) {
        error = get_lock(descriptor, KMW_SHARING_BASE + bit, run, &type);
        for (int i = bit; error == 0 && type == F_UNLCK && i < bit + run; ++i) {
            error = get_lock(descriptor, AREAS + AREA_SIZE * i, AREA_SIZE, &type);
        }
        if (error != 0 || type != F_UNLCK) {
            *found = error == 0;
            return error;
        }
        bit += run;
    }
    *found = false;
    return 0;
}

/* The claims of a handle, and those of others that speak against it. false: it has none. */
static bool claims_of(DWORD access, DWORD share, unsigned *own, unsigned *others) {
    static const struct {
        DWORD access, share;
        unsigned used, denied;
    } rights[] = {
        {FILE_READ_DATA | FILE_EXECUTE, FILE_SHARE_READ, USED_READ, DENIED_READ},
        {FILE_WRITE_DATA | FILE_APPEND_DATA, FILE_SHARE_WRITE, USED_WRITE, DENIED_WRITE},
        {DELETE, FILE_SHARE_DELETE, USED_DELETE, DENIED_DELETE},
    };
    unsigned used = 0;
    *own = 0;
    *others = 0;
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; ++i) {
        if (access & rights[i].access) {
            used |= rights[i].used;
            *others |= rights[i].denied;
        }
        if (!(share & rights[i].share)) {
            *own |= rights[i].denied;
            *others |= rights[i].used;
        }
    }
    *own |= used;
    return used != 0;
}

static DWORD claim(int descriptor, unsigned own, unsigned others, bool *enforced) {
    bool passing = false; /* is somebody in the way who will be gone soon? */
    for (int round = 0; round < (passing ? BAR_TRIES : CLAIM_TRIES); ++round) {
        if (round > 0) {
            pause_at_random(round - 1);
        }
        bool found = true;
        int error = take(descriptor, own);
        if (error == 0) {
            error = ask(descriptor, others, &found);
        }
        if (error == 0 && found) {
            error = ask(descriptor, RENAMING, &passing);
        }
        if (error == 0 && !found) {
            *enforced = true;
            return ERROR_SUCCESS;
        }
        if (error == EAGAIN) {
            continue;
        }
        kmw_sharing_drop(descriptor);
        if (is_unsupported(error)) {
            *enforced = false;
            return ERROR_SUCCESS;
        }
        if (error != 0) {
            return kmw_error_of_errno(error);
        }
    }
    return ERROR_SHARING_VIOLATION;
}

DWORD kmw_sharing_claim(int descriptor, DWORD access, DWORD share, bool *enforced) {
    unsigned own, others;
    if (!claims_of(access, share, &own, &others)) {
        *enforced = false;
        return ERROR_SUCCESS;
    }
    return claim(descriptor, own, others, enforced);
}

DWORD kmw_sharing_claim_name(int descriptor, DWORD access, DWORD share) {
    unsigned own, others;
    bool enforced;
    return claims_of(access, share, &own, &others)
               ? claim(descriptor, own | RENAMING, others, &enforced)
               : ERROR_SUCCESS;
}

bool kmw_sharing_is_free(int descriptor) {
    short type = F_UNLCK;
    return get_lock(descriptor, KMW_SHARING_BASE, 0, &type) == 0 && type == F_UNLCK;
}

DWORD kmw_sharing_claim_name_alone(int descriptor, DWORD access, DWORD share) {
    unsigned own, others;
    bool enforced;
    return claims_of(access, share, &own, &others)
               ? claim(descriptor, own | RENAMING, others | RENAMING, &enforced)
               : ERROR_SUCCESS;
}

bool kmw_sharing_is_refused(int descriptor, DWORD access, DWORD share) {
    unsigned own, others;
    bool found;
    return claims_of(access, share, &own, &others) && ask(descriptor, others, &found) == 0 && found;
}

DWORD kmw_sharing_mark_mapped(int descriptor, bool writable, bool *enforced) {
    unsigned claims = writable ? MAPPED | USED_WRITE : MAPPED;
    int error = take_shared(descriptor, claims);
    for (int round = 0; error == EAGAIN && round < BAR_TRIES; ++round) {
        pause_at_random(round);
        error = take_shared(descriptor, claims);
    }
    if (error == EAGAIN) {
        return ERROR_SHARING_VIOLATION;
    }
    if (error != 0 && !is_unsupported(error)) {
        return kmw_error_of_errno(error);
    }
    *enforced = error == 0;
    return ERROR_SUCCESS;
}

static unsigned claims_of_stake(const kmw_stake *stake) {
    unsigned own, others;
    const bool has_claims = claims_of(stake->access, stake->share, &own, &others);
    return (has_claims ? own : 0) | (stake->mapped ? MAPPED : 0) |
           (stake->written ? USED_WRITE : 0);
}

int kmw_sharing_take_over(int descriptor, const kmw_stake *stake) {
    int error = take_shared(descriptor, claims_of_stake(stake));
    if (error != 0) {
        kmw_sharing_drop(descriptor);
    }
    return error;
}

void kmw_sharing_reduce(int descriptor, const kmw_stake *from, const kmw_stake *to) {
    const unsigned dropped = claims_of_stake(from) & ~claims_of_stake(to);
    int bit = 0;
    for (int run = next_run(dropped, &bit); run > 0; run = next_run(dropped, &bit)) {
        (void)set_lock(descriptor, F_UNLCK, KMW_SHARING_BASE + bit, run); /* frees, never waits */
        bit += run;
    }
}

bool kmw_sharing_is_mapped(int descriptor) {
    short type = F_UNLCK;
    return get_lock(descriptor, KMW_SHARING_BASE, 1, &type) == 0 && type == F_RDLCK;
}

DWORD kmw_sharing_bar_mapping(int descriptor) {
    int error = set_lock(descriptor, F_WRLCK, KMW_SHARING_BASE, 1);
    for (int round = 0; error == EAGAIN && round < BAR_TRIES; ++round) {
        if (kmw_sharing_is_mapped(descriptor)) {
            return ERROR_USER_MAPPED_FILE;
        }
        pause_at_random(round); /* somebody else is cutting it short: after you */
        error = set_lock(descriptor, F_WRLCK, KMW_SHARING_BASE, 1);
    }
    if (error == EAGAIN) {
        return ERROR_USER_MAPPED_FILE;
    }
    return error == 0 || is_unsupported(error) ? ERROR_SUCCESS : kmw_error_of_errno(error);
}

void kmw_sharing_lift_bar(int descriptor) {
    (void)set_lock(descriptor, F_UNLCK, KMW_SHARING_BASE, 1); /* nothing if there was none */
}

void kmw_sharing_begin_growth(int descriptor) {
    int error = set_lock(descriptor, F_WRLCK, GROWTH, 1);
    for (int round = 0; error == EAGAIN && round < BAR_TRIES; ++round) {
        pause_at_random(round);
        error = set_lock(descriptor, F_WRLCK, GROWTH, 1);
    }
}

void kmw_sharing_end_growth(int descriptor) {
    (void)set_lock(descriptor, F_UNLCK, GROWTH, 1); /* nothing if there was none */
}
