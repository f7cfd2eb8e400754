/*
 * cgroup.c - the control groups that this process is in, up to the topmost ones in sight.
 *
 * /proc/self/cgroup says which group is ours, as seen from the root of our cgroup namespace, and
 * /proc/self/mountinfo where the hierarchy is mounted and which group is the mount's root. These
 * need not match: a container may have the host's path and a mount of its own group alone. What
 * does not begin with the mount's root is then below nothing that we can see, and the mount point
 * itself is the one group looked at.
 */
#include "cgroup.h"

#include <stdio.h>
#include <string.h>

#include "kernel_text.h"

/* Of groups within each other that are looked at, and of bytes in what leads to one: a group with a
 * longer path is not known. */
enum { MOST_LEVELS = 64, PATH_SIZE = KMW_CGROUP_PATH };

/* Where a hierarchy's groups are found. */
typedef struct place {
    bool ours_known, mounted;
    char ours[PATH_SIZE];  /* our group, below the namespace's root */
    char top[PATH_SIZE];   /* the mount point, after the caller's root */
    char mount[PATH_SIZE]; /* the group that is mounted there */
} place;

static bool copy_text(char *to, size_t size, const char *from) {
    const size_t length = strlen(from);
    if (length >= size) {
        return false;
    }
    memcpy(to, from, length + 1);
    return true;
}

/* Is `word` one of the comma-separated words? */
static bool has_word(const char *words, const char *word) {
    const size_t length = strlen(word);
    while (words != NULL) {
        if (strncmp(words, word, length) == 0 && (words[length] == ',' || words[length] == '\0')) {
            return true;
        }
        words = strchr(words, ',');
        words = words != NULL ? words + 1 : NULL;
    }
    return false;
}

/* Lines "number:controllers:path"; version 2 is number 0 without controllers. */
static void find_our_groups(const char *root, const char *controller, place places[2]) {
    char path[PATH_SIZE];
    kmw_lines lines;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!kmw_lines_open(&lines, path)) {
        return;
    }
    for (char *line = kmw_lines_next(&lines); line != NULL; line = kmw_lines_next(&lines)) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL || group[1] != '/') {
            continue;
        }
        *controllers++ = '\0';
        *group++ = '\0';
        const bool second = strcmp(line, "0") == 0 && controllers[0] == '\0';
        if (second || has_word(controllers, controller)) {
            place *found = &places[second ? KMW_CGROUP_2 : KMW_CGROUP_1];
            found->ours_known = copy_text(found->ours, sizeof found->ours, group);
        }
    }
    kmw_lines_close(&lines);
}

static bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/* Mount points have their white space and backslashes written as \ooo. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; ++to) {
        if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) && is_octal(from[3])) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* What `group` is below `mount`: "" or "/a/b"; NULL: it is not below it. */
static const char *below(const char *group, const char *mount) {
    const size_t length = strcmp(mount, "/") == 0 ? 0 : strlen(mount);
    if (strncmp(group, mount, length) != 0 || strstr(group, "/..") != NULL) {
        return NULL;
    }
    const char *rest = group + length;
    if (rest[0] != '\0' && rest[0] != '/') {
        return NULL;
    }
    return strcmp(rest, "/") == 0 ? "" : rest;
}

/* The first mount of a hierarchy counts, but one that shows our own group is better. */
static void take_mount(place *found, const char *mount, const char *point) {
    const bool better =
        found->ours_known && (!found->mounted || (below(found->ours, found->mount) == NULL &&
                                                  below(found->ours, mount) != NULL));
    if (better) {
        found->mounted = copy_text(found->mount, sizeof found->mount, mount) &&
                         copy_text(found->top, sizeof found->top, point);
    }
}

/* A line is "id parent device root point options [more...] - type source options". */
static void take_mount_line(char *line, const char *controller, place places[2]) {
    enum { ROOT = 3, POINT = 4, WORDS = 5 };
    char *words[WORDS];
    char *state = NULL;
    char *ends = strstr(line, " - ");
    if (ends == NULL) {
        return;
    }
    *ends = '\0';
    for (int i = 0; i < WORDS; ++i) {
        words[i] = strtok_r(i == 0 ? line : NULL, " ", &state);
        if (words[i] == NULL) {
            return;
        }
    }
    const char *type = strtok_r(ends + 3, " ", &state);
    const char *source = type != NULL ? strtok_r(NULL, " ", &state) : NULL;
    const char *options = source != NULL ? strtok_r(NULL, " ", &state) : NULL;
    if (options == NULL) {
        return;
    }
    unescape(words[ROOT]);
    unescape(words[POINT]);
    if (strcmp(type, "cgroup2") == 0) {
        take_mount(&places[KMW_CGROUP_2], words[ROOT], words[POINT]);
    } else if (strcmp(type, "cgroup") == 0 && has_word(options, controller)) {
        take_mount(&places[KMW_CGROUP_1], words[ROOT], words[POINT]);
    }
}

static void find_mounts(const char *root, const char *controller, place places[2]) {
    char path[PATH_SIZE];
    kmw_lines lines;
    (void)snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    if (!kmw_lines_open(&lines, path)) {
        return;
    }
    for (char *line = kmw_lines_next(&lines); line != NULL; line = kmw_lines_next(&lines)) {
        take_mount_line(line, controller, places);
    }
    kmw_lines_close(&lines);
}

/* From our group up to the mount's. */
static void walk_up(const char *root, const place *from, kmw_cgroup_version version,
                    kmw_cgroup_look look, void *arg) {
    char group[PATH_SIZE];
    const char *ours = below(from->ours, from->mount);
    const int top = snprintf(group, sizeof group, "%s%s", root, from->top);
    const int length =
        snprintf(group, sizeof group, "%s%s%s", root, from->top, ours != NULL ? ours : "");
    if (top < 0 || length < top || (size_t)length >= sizeof group) {
        return;
    }
    for (int level = 0; level < MOST_LEVELS; ++level) {
        look(group, version, arg);
        char *last = strrchr(group, '/');
        if (last == NULL || last < group + top) {
            break;
        }
        *last = '\0';
    }
}

void kmw_cgroup_walk(const char *root, const char *controller, kmw_cgroup_look look, void *arg) {
    place places[2];
    for (int i = 0; i < 2; ++i) {
        places[i].ours_known = places[i].mounted = false;
    }
    find_our_groups(root, controller, places);
    if (!places[KMW_CGROUP_1].ours_known && !places[KMW_CGROUP_2].ours_known) {
        return;
    }
    find_mounts(root, controller, places);
    for (int i = 0; i < 2; ++i) {
        if (places[i].ours_known && places[i].mounted) {
            walk_up(root, &places[i], (kmw_cgroup_version)i, look, arg);
        }
    }
}

bool kmw_cgroup_number(const char *group, const char *file, uint64_t *number) {
    char path[PATH_SIZE];
    return kmw_cgroup_file(group, file, path) && kmw_number_in(path, number);
}

bool kmw_cgroup_file(const char *group, const char *file, char path[KMW_CGROUP_PATH]) {
    const int length = snprintf(path, KMW_CGROUP_PATH, "%s/%s", group, file);
    return length > 0 && length < KMW_CGROUP_PATH;
}
