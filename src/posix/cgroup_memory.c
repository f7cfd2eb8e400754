/*
 * cgroup_memory.c - what the control groups above this process still let it take of memory.
 *
 * /proc/self/cgroup says which group is ours, as seen from the root of our cgroup namespace, and
 * /proc/self/mountinfo where the hierarchy is mounted and which group is the mount's root. These
 * need not match: a container may have the host's path and a mount of its own group alone. What
 * does not begin with the mount's root is then below nothing that we can see, and the mount point
 * itself is the one group looked at.
 */
#include "cgroup_memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernel_text.h"

/* Of groups within each other that are looked at, and of bytes in what leads to one: a group with a
 * longer path is not known. */
enum { MOST_LEVELS = 64, PATH_SIZE = 1024 };

typedef enum hierarchy { VERSION_1, VERSION_2 } hierarchy;

/* Where a hierarchy's groups are found. */
typedef struct place {
    bool ours_known, mounted;
    char ours[PATH_SIZE];  /* our group, below the namespace's root */
    char top[PATH_SIZE];   /* the mount point, after the caller's root */
    char mount[PATH_SIZE]; /* the group that is mounted there */
} place;

/* ---- Where ---- */

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
static void find_our_groups(const char *root, place places[2]) {
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
        if (second || has_word(controllers, "memory")) {
            place *found = &places[second ? VERSION_2 : VERSION_1];
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
static void take_mount_line(char *line, place places[2]) {
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
        take_mount(&places[VERSION_2], words[ROOT], words[POINT]);
    } else if (strcmp(type, "cgroup") == 0 && has_word(options, "memory")) {
        take_mount(&places[VERSION_1], words[ROOT], words[POINT]);
    }
}

static void find_mounts(const char *root, place places[2]) {
    char path[PATH_SIZE];
    kmw_lines lines;
    (void)snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    if (!kmw_lines_open(&lines, path)) {
        return;
    }
    for (char *line = kmw_lines_next(&lines); line != NULL; line = kmw_lines_next(&lines)) {
        take_mount_line(line, places);
    }
    kmw_lines_close(&lines);
}

/* ---- How much ---- */

static uint64_t least(uint64_t one, uint64_t other) {
    return one < other ? one : other;
}

static uint64_t sum(uint64_t one, uint64_t other) {
    return one > UINT64_MAX - other ? UINT64_MAX : one + other;
}

static uint64_t left(uint64_t limit, uint64_t used) {
    return limit > used ? limit - used : 0;
}

/* A number in a file of the group; false: it is not there, or says "max". */
static bool group_number(const char *group, const char *file, uint64_t *number) {
    char path[PATH_SIZE];
    const int length = snprintf(path, sizeof path, "%s/%s", group, file);
    return length > 0 && (size_t)length < sizeof path && kmw_number_in(path, number);
}

static uint64_t droppable(const char *group, const char *inactive, const char *active) {
    char path[PATH_SIZE];
    kmw_key keys[2] = {{.name = inactive}, {.name = active}};
    const int length = snprintf(path, sizeof path, "%s/memory.stat", group);
    if (length <= 0 || (size_t)length >= sizeof path) {
        return 0;
    }
    kmw_keys_in(path, keys, 2);
    return sum(keys[0].found ? keys[0].value : 0, keys[1].found ? keys[1].value : 0);
}

/* memory.current counts memory alone; swap has a limit of its own. */
static uint64_t free_in_version_2(const char *group, uint64_t swap_free) {
    uint64_t most = UINT64_MAX;
    uint64_t high = UINT64_MAX;
    uint64_t used = 0;
    uint64_t swap_most = 0;
    uint64_t swap_used = 0;
    const bool has_most = group_number(group, "memory.max", &most);
    const bool has_high = group_number(group, "memory.high", &high);
    if ((!has_most && !has_high) || !group_number(group, "memory.current", &used)) {
        return UINT64_MAX;
    }
    if (group_number(group, "memory.swap.max", &swap_most) &&
        group_number(group, "memory.swap.current", &swap_used)) {
        swap_free = least(swap_free, left(swap_most, swap_used));
    }
    const uint64_t memory = left(least(most, high), used);
    return sum(sum(memory, droppable(group, "inactive_file", "active_file")), swap_free);
}

/* The second limit of version 1, memory.memsw, is on memory and swap together. */
static uint64_t free_in_version_1(const char *group, uint64_t swap_free) {
    uint64_t most = 0;
    uint64_t used = 0;
    if (!group_number(group, "memory.limit_in_bytes", &most) ||
        !group_number(group, "memory.usage_in_bytes", &used)) {
        return UINT64_MAX;
    }
    const uint64_t dropped = droppable(group, "total_inactive_file", "total_active_file");
    uint64_t room = sum(sum(left(most, used), dropped), swap_free);
    if (group_number(group, "memory.memsw.limit_in_bytes", &most) &&
        group_number(group, "memory.memsw.usage_in_bytes", &used)) {
        room = least(room, sum(left(most, used), dropped));
    }
    return room;
}

/* From our group up to the mount's. */
static uint64_t free_above(const char *root, const place *from, hierarchy version,
                           uint64_t swap_free) {
    char group[PATH_SIZE];
    uint64_t room = UINT64_MAX;
    const char *ours = below(from->ours, from->mount);
    const int top = snprintf(group, sizeof group, "%s%s", root, from->top);
    const int length =
        snprintf(group, sizeof group, "%s%s%s", root, from->top, ours != NULL ? ours : "");
    if (top < 0 || length < top || (size_t)length >= sizeof group) {
        return room;
    }
    for (int level = 0; level < MOST_LEVELS; ++level) {
        room = least(room, version == VERSION_2 ? free_in_version_2(group, swap_free)
                                                : free_in_version_1(group, swap_free));
        char *last = strrchr(group, '/');
        if (last == NULL || last < group + top) {
            break;
        }
        *last = '\0';
    }
    return room;
}

uint64_t kmw_cgroup_memory_free(const char *root, uint64_t swap_free) {
    uint64_t room = UINT64_MAX;
    place places[2];
    for (int i = 0; i < 2; ++i) {
        places[i].ours_known = places[i].mounted = false;
    }
    find_our_groups(root, places);
    if (!places[VERSION_1].ours_known && !places[VERSION_2].ours_known) {
        return room;
    }
    find_mounts(root, places);
    for (int i = 0; i < 2; ++i) {
        if (places[i].ours_known && places[i].mounted) {
            room = least(room, free_above(root, &places[i], (hierarchy)i, swap_free));
        }
    }
    return room;
}
