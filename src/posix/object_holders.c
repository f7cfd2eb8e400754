/*
 * object_holders.c - which processes hold named objects.
 *
 * A holder has a descriptor of the object's file with a shared flock(2). /proc/PID/fd says which
 * files a process has open, and /proc/PID/fdinfo/N which locks an open file has: so a process that
 * merely has a view, or is just looking, is told from one that holds. Of processes that we may not
 * look into, /proc/locks still names those that took a lock themselves.
 */
#include "object_holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* All objects being asked about, and the process that is being looked at. */
typedef struct search {
    kmw_holders *objects;
    size_t count;
    bool *hidden; /* one for each object: a holder that we cannot look into */
    bool *locked; /* the kernel's list of locks names the object: the two agree on its numbers */
    bool any_hidden;
    DWORD error;
} search;

static bool is_number(const char *text) {
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool knows(const kmw_holders *object, uint32_t process) {
    for (uint32_t i = 0; i < object->count; i++) {
        if (object->processes[i] == process) {
            return true;
        }
    }
    return false;
}

static void add(search *all, kmw_holders *object, uint32_t process) {
    if (knows(object, process)) {
        return;
    }
    uint32_t *grown =
        realloc(object->processes, ((size_t)object->count + 1) * sizeof *object->processes);
    if (grown == NULL) {
        all->error = ERROR_NOT_ENOUGH_MEMORY;
        return;
    }
    object->processes = grown;
    object->processes[object->count++] = process;
}

static kmw_holders *object_of(const search *all, dev_t device, ino_t inode) {
    for (size_t i = 0; i < all->count; i++) {
        if (all->objects[i].inode == inode && all->objects[i].device == device) {
            return &all->objects[i];
        }
    }
    return NULL;
}

/* Which of the objects is open there; never waits for a file server. */
static kmw_holders *open_there(search *all, int directory, const char *number) {
    struct statx facts;
    if (statx(directory, number, AT_STATX_DONT_SYNC, STATX_INO, &facts) != 0) {
        all->any_hidden = all->any_hidden || errno == EACCES || errno == EPERM;
        return NULL;
    }
    return object_of(all, makedev(facts.stx_dev_major, facts.stx_dev_minor), (ino_t)facts.stx_ino);
}

/* Is it open with a shared lock? An exclusive one is somebody's who asks whether anybody holds. */
static bool holds_there(const char *process, const char *number) {
    char path[64];
    char line[256];
    bool holds = false;
    if (snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", process, number) < 0) {
        return false;
    }
    FILE *info = fopen(path, "re");
    while (info != NULL && !holds && fgets(line, sizeof line, info) != NULL) {
        holds = strncmp(line, "lock:", 5) == 0 && strstr(line, " FLOCK ") != NULL &&
                strstr(line, " READ ") != NULL;
    }
    if (info != NULL) {
        (void)fclose(info);
    }
    return holds;
}

/* false: we may not look into it. */
static bool look_into(search *all, const char *process) {
    char path[64];
    if (snprintf(path, sizeof path, "/proc/%.20s/fd", process) < 0) {
        return false;
    }
    DIR *open_files = opendir(path);
    if (open_files == NULL) {
        return errno == ENOENT || errno == ESRCH; /* it has just ended */
    }
    for (const struct dirent *entry = readdir(open_files); entry != NULL;
         entry = readdir(open_files)) {
        kmw_holders *object =
            is_number(entry->d_name) ? open_there(all, dirfd(open_files), entry->d_name) : NULL;
        if (object != NULL && holds_there(process, entry->d_name)) {
            add(all, object, (uint32_t)strtoul(process, NULL, 10));
        }
    }
    (void)closedir(open_files);
    return true;
}

static bool go_through_processes(search *all) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) {
        return false;
    }
    for (const struct dirent *entry = readdir(processes); entry != NULL;
         entry = readdir(processes)) {
        if (is_number(entry->d_name) && !look_into(all, entry->d_name)) {
            all->any_hidden = true;
        }
    }
    (void)closedir(processes);
    return true;
}

static bool is_hidden(long process) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/fd", process);
    return access(path, R_OK | X_OK) != 0 && errno == EACCES;
}

typedef struct lock_line {
    long process;
    dev_t device;
    ino_t inode;
} lock_line;

/* "1: FLOCK  ADVISORY  READ 1234 00:1b:25472 0 EOF". false: no shared flock that is held. */
static bool take_apart(char *line, lock_line *lock) {
    enum { NUMBER, KIND, STRICTNESS, ACCESS, PROCESS, FILE_IS, FIELDS };
    const char *fields[FIELDS];
    char *rest = NULL;
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " \n", &rest);
        if (fields[i] == NULL) {
            return false;
        }
    }
    char *at = NULL;
    lock->process = strtol(fields[PROCESS], NULL, 10);
    const unsigned long device_major = strtoul(fields[FILE_IS], &at, 16);
    const unsigned long device_minor = *at == ':' ? strtoul(at + 1, &at, 16) : 0;
    lock->inode = *at == ':' ? (ino_t)strtoull(at + 1, &at, 10) : 0;
    lock->device = makedev((unsigned)device_major, (unsigned)device_minor);
    return *at == '\0' && strcmp(fields[KIND], "FLOCK") == 0 && strcmp(fields[ACCESS], "READ") == 0;
}

static void read_lock(search *all, char *line) {
    lock_line lock;
    kmw_holders *object = take_apart(line, &lock) ? object_of(all, lock.device, lock.inode) : NULL;
    if (object == NULL) {
        return;
    }
    const size_t index = (size_t)(object - all->objects);
    all->locked[index] = true;
    if (lock.process <= 0) {
        all->hidden[index] = true; /* outside of what we see as all processes */
    } else if (!knows(object, (uint32_t)lock.process)) {
        /* Hidden; or it has passed the lock on to a child, which may be hidden. */
        if (is_hidden(lock.process)) {
            add(all, object, (uint32_t)lock.process);
        }
        all->hidden[index] = all->hidden[index] || all->any_hidden;
    }
}

static void go_through_locks(search *all) {
    char line[256];
    FILE *locks = fopen("/proc/locks", "re");
    while (locks != NULL && fgets(line, sizeof line, locks) != NULL) {
        read_lock(all, line);
    }
    if (locks != NULL) {
        (void)fclose(locks);
    }
}

/*
 * If the locks tell nothing of the object, as on file systems whose numbers differ there, it takes
 * a look into everybody. Somebody holds it, so nobody found is not everybody.
 */
static bool is_complete(const search *all, size_t index) {
    return all->objects[index].count > 0 && !all->hidden[index] &&
           (all->locked[index] || !all->any_hidden);
}

DWORD kmw_find_holders(kmw_holders *objects, size_t count) {
    search all = {.objects = objects, .count = count};
    for (size_t i = 0; i < count; i++) {
        objects[i] = (kmw_holders){.device = objects[i].device, .inode = objects[i].inode};
    }
    if (count == 0) {
        return ERROR_SUCCESS;
    }
    bool *marks = calloc(2 * count, sizeof *marks);
    if (marks == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    all.hidden = marks;
    all.locked = marks + count;
    if (go_through_processes(&all)) {
        go_through_locks(&all);
        for (size_t i = 0; i < count; i++) {
            objects[i].complete = is_complete(&all, i);
        }
    }
    free(marks);
    return all.error;
}
