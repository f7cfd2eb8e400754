/*
 * object_probe.c - asking a file of a named object whether anybody holds it, and clearing it away.
 */
#include "object_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "signal_hold.h"

int kmw_object_open_file(int directory, const char *file, int mode) {
    int descriptor;
    do {
        descriptor = openat(directory, file, mode | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

bool kmw_object_lock(int descriptor, int operation) {
    int result;
    do {
        result = flock(descriptor, operation | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

static bool leads_to(int directory, const char *file, dev_t device, ino_t inode) {
    struct stat now;
    return fstatat(directory, file, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == device &&
           now.st_ino == inode;
}

bool kmw_object_is_at(int directory, const char *file, const struct stat *facts) {
    return facts->st_nlink > 0 && leads_to(directory, file, facts->st_dev, facts->st_ino);
}

/*
 * Locked exclusively, it has no holder and gets none; and while it has its name nobody else removes
 * that, since he would have to lock it first. But its owner may have given it another name by hand,
 * and then this one may be a living object's: so it must have been seen to lead here.
 */
static kmw_probe clear_away(int directory, const char *file) {
    return unlinkat(directory, file, 0) == 0 || errno == ENOENT ? KMW_PROBE_CLEARED
                                                                : KMW_PROBE_KEPT;
}

static kmw_probe why_not_locked(void) {
    return errno == EWOULDBLOCK ? KMW_PROBE_HELD : KMW_PROBE_FAILED;
}

kmw_probe kmw_object_probe(int descriptor, int directory, const char *file) {
    struct stat facts;
    if (!kmw_object_lock(descriptor, LOCK_EX)) {
        return why_not_locked();
    }
    if (fstat(descriptor, &facts) != 0) {
        return KMW_PROBE_FAILED;
    }
    if (!S_ISREG(facts.st_mode)) {
        return KMW_PROBE_FOREIGN;
    }
    return kmw_object_is_at(directory, file, &facts) ? clear_away(directory, file) : KMW_PROBE_GONE;
}

kmw_probe kmw_object_probe_held(int descriptor, const kmw_named *named) {
    if (!kmw_object_lock(descriptor, LOCK_EX)) {
        return why_not_locked();
    }
    /* While it is open, no other file has its number. */
    return leads_to(named->directory, named->file.name, named->device, named->inode)
               ? clear_away(named->directory, named->file.name)
               : KMW_PROBE_GONE;
}

void kmw_object_clear(int directory, const char *file) {
    const int descriptor = kmw_object_open_file(directory, file, O_RDONLY);
    if (descriptor < 0) {
        return; /* gone, or somebody else's: swept by whoever may */
    }
    (void)kmw_object_probe(descriptor, directory, file);
    close(descriptor);
}

bool kmw_object_set_size(int descriptor, off_t size) {
    kmw_signal_hold hold;
    int result;
    kmw_signal_hold_begin(&hold, kmw_signal_of_growth());
    do {
        result = ftruncate(descriptor, size);
    } while (result != 0 && errno == EINTR);
    kmw_signal_hold_end(&hold);
    return result == 0;
}
