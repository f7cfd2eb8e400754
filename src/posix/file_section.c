/*
 * file_section.c - sections over disk files.
 *
 * Such a section is the file as it was when the section was made, by size, and the promise that
 * nobody cuts it shorter meanwhile. SEC_RESERVE, SEC_NOCACHE and SEC_WRITECOMBINE have no effect on
 * it.
 *
 * One with a name is found by others through a record of the file's path, device and inode. What
 * stands in a record is not trusted further than this: whoever made it could have had the file
 * opened by its path himself, or is the caller, or root. A file that is not where the record says
 * is not found.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "last_error.h"
#include "protection.h"
#include "section.h"
#include "sharing.h"
#include "size.h"

/* The rights to the file that a section of this protection needs. */
static DWORD file_rights_for(DWORD protection) {
    const unsigned may = kmw_protection_of(protection)->may;
    return FILE_READ_DATA | ((may & KMW_MAY_WRITE) != 0 ? FILE_WRITE_DATA : 0) |
           ((may & KMW_MAY_EXECUTE) != 0 ? FILE_EXECUTE : 0);
}

/* ---- Making one ---- */

/*
 * Settles the section's size. `asked` 0: the file's own. If the file has less than *size, it has to
 * grow.
 */
static DWORD choose_size(uint64_t file_size, bool writable, uint64_t asked, uint64_t *size) {
    if (asked == 0 && file_size == 0) {
        return ERROR_FILE_INVALID;
    }
    if (asked > file_size && !writable) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    if (asked > KM_SIZE_MAX) {
        return ERROR_INVALID_PARAMETER;
    }
    *size = asked != 0 ? asked : file_size;
    return ERROR_SUCCESS;
}

/* Marks the file as mapped for this section. *facts is what the file is then. */
static DWORD attach(kmw_section *section, kmw_file *file, struct stat *facts) {
    const DWORD error = kmw_mark_begin(file, kmw_section_is_writable(section->protection),
                                       &section->descriptor, facts);
    if (error == ERROR_SUCCESS) {
        section->advice = file->flags & (FILE_FLAG_RANDOM_ACCESS | FILE_FLAG_SEQUENTIAL_SCAN);
        section->file = file;
        section->file_size = facts->st_size;
        kmw_object_reference(&file->object);
    }
    return error;
}

static DWORD make(kmw_file *file, const kmw_section_request *request, kmw_section **made) {
    struct stat facts;
    kmw_section *section = kmw_section_new(request->protection, 0, 0);
    if (section == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    DWORD error = attach(section, file, &facts);
    if (error == ERROR_SUCCESS) {
        error = choose_size((uint64_t)facts.st_size, kmw_section_is_writable(request->protection),
                            request->size, &section->size);
    }
    if (error != ERROR_SUCCESS) {
        kmw_object_release(&section->object);
        return error;
    }
    *made = section;
    return ERROR_SUCCESS;
}

DWORD kmw_file_section_make(const kmw_section_request *request, kmw_section **made) {
    kmw_file *file = NULL;
    kmw_use use = kmw_file_use(request->file, file_rights_for(request->protection), &file);
    if (use.object == NULL) {
        return GetLastError();
    }
    DWORD error = ERROR_SUCCESS;
    if (!S_ISREG(file->type)) {
        error = ERROR_INVALID_HANDLE;
    } else if ((request->flags & SEC_IMAGE) != 0) {
        error = ERROR_BAD_EXE_FORMAT;
    } else if ((request->flags & SEC_LARGE_PAGES) != 0) {
        error = ERROR_INVALID_PARAMETER;
    } else {
        error = make(file, request, made);
    }
    kmw_use_end(use);
    return error;
}

DWORD kmw_file_section_grow(const kmw_section *section) {
    return section->size > (uint64_t)section->file_size
               ? kmw_file_grow(section->file, section->file_size, (off_t)section->size)
               : ERROR_SUCCESS;
}

/* ---- Finding one by its name ---- */

/* Where the file is now. "" if that cannot be told: then nobody will find it. */
static void path_of(const kmw_file *file, kmw_path *path) {
    char proc[64];
    struct stat facts;
    (void)snprintf(proc, sizeof proc, "/proc/self/fd/%d", file->descriptor);
    const ssize_t length = readlink(proc, path->text, sizeof path->text - 1);
    path->text[length > 0 ? length : 0] = '\0';
    if (path->text[0] == '/' && lstat(path->text, &facts) == 0 && kmw_file_is(file, &facts)) {
        return;
    }
    char *resolved = file->path != NULL ? realpath(file->path, NULL) : NULL;
    const size_t needed = resolved != NULL ? strlen(resolved) + 1 : 0;
    path->text[0] = '\0';
    if (needed > 0 && needed <= sizeof path->text) {
        memcpy(path->text, resolved, needed);
    }
    free(resolved);
}

DWORD kmw_file_record_make(HANDLE handle, kmw_file_record **record, size_t *length) {
    kmw_path path;
    kmw_file *file = NULL;
    kmw_use use = kmw_file_use(handle, 0, &file);
    if (use.object == NULL) {
        return GetLastError();
    }
    path_of(file, &path);
    const size_t path_length = strlen(path.text) + 1;
    kmw_file_record *made = malloc(sizeof *made + path_length);
    if (made != NULL) {
        *made = (kmw_file_record){
            .device = file->device, .inode = file->inode, .path_length = (uint32_t)path_length};
        memcpy(made + 1, path.text, path_length);
        *record = made;
        *length = sizeof *made + path_length;
    }
    kmw_use_end(use);
    return made != NULL ? ERROR_SUCCESS : ERROR_NOT_ENOUGH_MEMORY;
}

static DWORD read_record(const kmw_named *named, kmw_file_record *record, kmw_path *path) {
    char bytes[sizeof *record + sizeof path->text];
    const size_t length = named->header.extra_length;
    if (length < sizeof *record || length > sizeof bytes) {
        return ERROR_INVALID_DATA;
    }
    const DWORD error = kmw_named_read_extra(named, bytes, length);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    memcpy(record, bytes, sizeof *record);
    if (record->path_length == 0 || record->path_length != length - sizeof *record ||
        bytes[length - 1] != '\0') {
        return ERROR_INVALID_DATA;
    }
    memcpy(path->text, bytes + sizeof *record, record->path_length);
    return path->text[0] == '/' ? ERROR_SUCCESS : ERROR_FILE_NOT_FOUND;
}

/* What the path leads to, looked at without being opened: opening a device can be an act. */
static DWORD find_recorded(const kmw_named *named, const kmw_path *path,
                           const kmw_file_record *record, int *found, struct stat *facts) {
    const int descriptor = open(path->text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == ELOOP || errno == ENOTDIR ? ERROR_FILE_NOT_FOUND
                                                  : kmw_error_of_errno(errno);
    }
    DWORD error = ERROR_SUCCESS;
    if (fstat(descriptor, facts) != 0) {
        error = kmw_error_of_errno(errno);
    } else if (!S_ISREG(facts->st_mode) || facts->st_dev != record->device ||
               facts->st_ino != record->inode) {
        error = ERROR_FILE_NOT_FOUND;
    } else if (named->owner != geteuid() && named->owner != 0 && named->owner != facts->st_uid) {
        error = ERROR_ACCESS_DENIED;
    }
    if (error != ERROR_SUCCESS) {
        close(descriptor);
        return error;
    }
    *found = descriptor;
    return ERROR_SUCCESS;
}

static DWORD open_recorded(const kmw_named *named, int open_flags, int *descriptor,
                           struct stat *facts, kmw_path *path) {
    char proc[64];
    int found = -1;
    kmw_file_record record;
    DWORD error = read_record(named, &record, path);
    if (error == ERROR_SUCCESS) {
        error = find_recorded(named, path, &record, &found, facts);
    }
    if (error != ERROR_SUCCESS) {
        return error;
    }
    (void)snprintf(proc, sizeof proc, "/proc/self/fd/%d", found);
    *descriptor = open(proc, open_flags);
    if (*descriptor < 0) {
        error = kmw_error_of_errno(errno);
    }
    close(found);
    return error;
}

/* The file as the section has it open: nobody has a handle, so it claims nothing. */
static DWORD open_file(const kmw_named *named, DWORD protection, kmw_file **made) {
    kmw_path path;
    struct stat facts;
    int descriptor = -1;
    const int open_flags = (kmw_section_is_writable(protection) ? O_RDWR : O_RDONLY) | O_CLOEXEC |
                           O_NONBLOCK | O_NOCTTY;
    DWORD error = open_recorded(named, open_flags, &descriptor, &facts, &path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    *made = kmw_file_new(descriptor, open_flags, &facts, path.text, 0, KMW_SHARE_ALL, 0);
    if (*made == NULL) {
        close(descriptor);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    return ERROR_SUCCESS;
}

DWORD kmw_file_section_open(const kmw_named *named, kmw_section **made) {
    const DWORD protection = named->header.flags & KMW_PROTECTION_BITS;
    struct stat facts;
    kmw_file *file = NULL;
    DWORD error = open_file(named, protection, &file);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    kmw_section *section = kmw_section_new(protection, 0, named->header.exact_size);
    error = section != NULL ? attach(section, file, &facts) : ERROR_NOT_ENOUGH_MEMORY;
    if (error == ERROR_SUCCESS && (section->size == 0 || section->size > (uint64_t)facts.st_size)) {
        error = ERROR_FILE_INVALID; /* cut short by somebody who knows nothing of sections */
    }
    kmw_marks_end_claims(file);
    kmw_object_release(&file->object);
    if (error == ERROR_SUCCESS) {
        *made = section;
    } else if (section != NULL) {
        kmw_object_release(&section->object);
    }
    return error;
}
