/*
 * platform_segment_posix.c - segments in platform.h, on POSIX.
 */
#include "platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "last_error.h"
#include "object_directory.h"
#include "section.h"
#include "section_memory.h"
#include "size.h"
#include "view.h"

/* Of stat's st_blocks, whatever the file system's own. */
#define BLOCK_SIZE 512u

/* `path` and the suffix, in UTF-16. */
static DWORD add_suffix(const kmw_path *path, WCHAR **text) {
    char whole[KMW_PATH_SIZE + sizeof KMW_LOCK_SUFFIX];
    snprintf(whole, sizeof whole, "%s%s", path->text, KMW_LOCK_SUFFIX);
    const size_t length = strlen(whole);
    const size_t units = kmw_utf8_to_utf16(whole, length, NULL, 0);
    if (units == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    WCHAR *wide = malloc((units + 1) * sizeof *wide);
    if (wide == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    (void)kmw_utf8_to_utf16(whole, length, wide, units);
    wide[units] = 0;
    *text = wide;
    return ERROR_SUCCESS;
}

/* Beside the object of that name, so that who sweeps the objects finds it. */
DWORD km_platform_companion(const WCHAR *name, WCHAR **path) {
    kmw_object_name object;
    kmw_path object_path;
    DWORD error = kmw_object_name_from_utf16(name, KMW_SECTION_NAME_LIMIT_W, &object);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    error = kmw_object_path(&object, true, &object_path);
    kmw_object_name_free(&object);
    return error == ERROR_SUCCESS ? add_suffix(&object_path, path) : error;
}

/* Of the file that the section is a piece of. */
static DWORD stat_section(HANDLE section, struct stat *facts) {
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return GetLastError();
    }
    const int descriptor = ((const kmw_section *)use.object)->descriptor;
    const int error = fstat(descriptor, facts) == 0 ? 0 : errno;
    kmw_use_end(use);
    return error == 0 ? ERROR_SUCCESS : kmw_error_of_errno(error);
}

/*
 * Who is neither the owner nor root, and has the section all the same, cannot give the file away;
 * then everybody may use it, lest it keep its owner out.
 */
DWORD km_platform_share_companion(HANDLE file, HANDLE section, bool everybody) {
    struct stat facts = {0};
    kmw_file *opened = NULL;
    DWORD error = stat_section(section, &facts);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_use use = kmw_file_use(file, 0, &opened);
    if (use.object == NULL) {
        return GetLastError();
    }
    if (facts.st_uid != geteuid() && fchown(opened->descriptor, facts.st_uid, (gid_t)-1) != 0) {
        everybody = true;
    }
    if (fchmod(opened->descriptor, everybody ? 0666 : 0600) != 0) {
        error = kmw_error_of_errno(errno);
    }
    kmw_use_end(use);
    return error;
}

DWORD km_platform_section_size(HANDLE section, uint64_t *size) {
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return GetLastError();
    }
    const uint64_t exact = ((const kmw_section *)use.object)->size;
    kmw_use_end(use);
    return km_size_align_up(exact, kmw_page_size(), size) ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
}

DWORD km_platform_section_left(HANDLE section, uint64_t size, uint64_t *left) {
    struct stat facts = {0};
    DWORD error = stat_section(section, &facts);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return GetLastError();
    }
    const kmw_section *found = (const kmw_section *)use.object;
    const uint64_t end = (uint64_t)facts.st_size;
    const uint64_t bytes = end > found->origin ? end - found->origin : 0;
    *left = bytes >= found->size || bytes > size ? size : bytes;
    kmw_use_end(use);
    return ERROR_SUCCESS;
}

DWORD km_platform_section_memory(HANDLE section, uint64_t size, uint64_t *allocated,
                                 uint64_t *available) {
    kmw_use use = kmw_use_begin(section, KMW_SECTION);
    if (use.object == NULL) {
        return GetLastError();
    }
    const int descriptor = ((const kmw_section *)use.object)->descriptor;
    struct stat facts = {0};
    DWORD error = ERROR_SUCCESS;
    if (fstat(descriptor, &facts) == 0) {
        const uint64_t bytes = (uint64_t)facts.st_blocks * BLOCK_SIZE;
        *allocated = bytes < size ? bytes : size; /* an object's file has more than its section */
        *available = kmw_memory_room(descriptor).free;
    } else {
        error = kmw_error_of_errno(errno);
    }
    kmw_use_end(use);
    return error;
}

bool km_platform_refused_memory(uint64_t *available, const char **limit) {
    const kmw_commit_refusal refusal = kmw_commit_refusal_last();
    if (refusal.limit == KMW_LIMIT_NONE) {
        return false;
    }
    *available = refusal.free;
    *limit = kmw_limit_text(refusal.limit);
    return true;
}
