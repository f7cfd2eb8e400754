/*
 * private_shm_posix.c - a /dev/shm of the test's own.
 */
#include "private_shm.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

bool private_shm_mount(const char *options) {
    char all[128];
    (void)snprintf(all, sizeof all, "mode=1777%s%s", options != NULL ? "," : "",
                   options != NULL ? options : "");
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/dev/shm", "tmpfs", 0, all) == 0;
}

static size_t count(const char *directory, bool inside) {
    size_t files = 0;
    DIR *opened = opendir(directory);
    if (opened == NULL) {
        return 0;
    }
    for (struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened)) {
        char path[512];
        if (entry->d_name[0] == '.' || (!inside && strncmp(entry->d_name, "keepmap-", 8) != 0)) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        files += entry->d_type == DT_DIR ? count(path, true) : 1;
    }
    closedir(opened);
    return files;
}

size_t private_shm_files(void) {
    return count("/dev/shm", false);
}
