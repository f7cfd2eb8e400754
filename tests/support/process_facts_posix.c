/*
 * process_facts_posix.c - what this process has of the system's, by /proc.
 */
#include "process_facts.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

unsigned process_descriptors(void) {
    unsigned entries = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return 0;
    }
    while (readdir(folder) != NULL) {
        entries++;
    }
    closedir(folder);
    return entries - 3; /* ".", "..", and the folder's own */
}

unsigned process_mappings(const char *text) {
    char line[4096];
    unsigned found = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        found += strstr(line, text) != NULL;
    }
    if (maps != NULL) {
        (void)fclose(maps);
    }
    return found;
}
