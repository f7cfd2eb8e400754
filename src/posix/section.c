/*
 * section.c - CreateFileMapping over a file.
 *
 * A section is the file as it was when the section was made, by size, and the promise that nobody
 * cuts it shorter meanwhile. SEC_RESERVE, SEC_NOCACHE and SEC_WRITECOMBINE are checked as Windows
 * does and have no effect on a file; SEC_IMAGE is refused as for a file that is no executable
 * image.
 */
#include "section.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "last_error.h"
#include "protection.h"
#include "size.h"

#define SECTION_FLAGS                                                                              \
    (SEC_FILE | SEC_IMAGE | SEC_RESERVE | SEC_COMMIT | SEC_NOCACHE | SEC_WRITECOMBINE |            \
     SEC_LARGE_PAGES)

static bool is_writable(DWORD protection) {
    return (kmw_protection_of(protection)->may & KMW_MAY_WRITE) != 0;
}

static void section_destroy(kmw_object *object) {
    kmw_section *section = (kmw_section *)object;
    kmw_mark_end(section->file, is_writable(section->protection), section->descriptor);
    kmw_object_release(&section->file->object);
    free(section);
}

static const kmw_class section_class = {KMW_SECTION, NULL, section_destroy};

/* SEC_* alone, whatever is to be mapped. */
static bool flags_are_valid(DWORD flags) {
    if (flags == 0) {
        return true;
    }
    switch (flags & (SEC_FILE | SEC_IMAGE | SEC_RESERVE | SEC_COMMIT)) {
    case SEC_IMAGE:
        return (flags & (SEC_WRITECOMBINE | SEC_LARGE_PAGES)) == 0;
    case SEC_COMMIT:
        return true;
    case SEC_RESERVE:
        return (flags & SEC_LARGE_PAGES) == 0;
    default:
        return false;
    }
}

/* The rights to the file that a section of this protection needs. */
static DWORD file_rights_for(DWORD protection) {
    const unsigned may = kmw_protection_of(protection)->may;
    return FILE_READ_DATA | ((may & KMW_MAY_WRITE) != 0 ? FILE_WRITE_DATA : 0) |
           ((may & KMW_MAY_EXECUTE) != 0 ? FILE_EXECUTE : 0);
}

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

/* A section over `file`, with the maker's reference. *file_size is what the file has now. */
static DWORD section_new(kmw_file *file, DWORD protection, uint64_t asked, off_t *file_size,
                         kmw_section **made) {
    const bool writable = is_writable(protection);
    int descriptor = -1;
    struct stat facts;
    uint64_t size = 0;
    kmw_section *section = malloc(sizeof *section);
    if (section == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    DWORD error = kmw_mark_begin(file, writable, &descriptor, &facts);
    if (error != ERROR_SUCCESS) {
        free(section);
        return error;
    }
    error = choose_size((uint64_t)facts.st_size, writable, asked, &size);
    if (error != ERROR_SUCCESS) {
        kmw_mark_end(file, writable, descriptor);
        free(section);
        return error;
    }
    kmw_object_init(&section->object, &section_class);
    section->descriptor = descriptor;
    section->protection = protection;
    section->size = size;
    section->advice = file->flags & (FILE_FLAG_RANDOM_ACCESS | FILE_FLAG_SEQUENTIAL_SCAN);
    section->file = file;
    kmw_object_reference(&file->object);
    *file_size = facts.st_size;
    *made = section;
    return ERROR_SUCCESS;
}

/* The handle comes before the growth: growth is the one step that could not be taken back. */
static HANDLE open_section(kmw_file *file, DWORD protection, uint64_t asked, bool inherit) {
    off_t file_size = 0;
    kmw_section *section = NULL;
    DWORD error = section_new(file, protection, asked, &file_size, &section);
    if (error != ERROR_SUCCESS) {
        SetLastError(error);
        return NULL;
    }
    HANDLE handle = kmw_handle_open(&section->object, kmw_protection_grants(protection), inherit);
    if (handle != NULL && section->size > (uint64_t)file_size) {
        error = kmw_file_grow(file, file_size, (off_t)section->size);
    }
    kmw_object_release(&section->object);
    if (error != ERROR_SUCCESS) {
        CloseHandle(handle);
        SetLastError(error);
        return NULL;
    }
    return handle;
}

static HANDLE create_section(HANDLE file_handle, LPSECURITY_ATTRIBUTES security, DWORD protection,
                             DWORD flags, uint64_t size) {
    kmw_file *file = NULL;
    kmw_use use = kmw_file_use(file_handle, file_rights_for(protection), &file);
    if (use.object == NULL) {
        return NULL;
    }
    HANDLE section = NULL;
    if (!S_ISREG(file->type)) {
        SetLastError(ERROR_INVALID_HANDLE);
    } else if ((flags & SEC_IMAGE) != 0) {
        SetLastError(ERROR_BAD_EXE_FORMAT);
    } else if ((flags & SEC_LARGE_PAGES) != 0) {
        SetLastError(ERROR_INVALID_PARAMETER);
    } else {
        section = open_section(file, protection, size,
                               security != NULL && security->bInheritHandle != FALSE);
    }
    kmw_use_end(use);
    if (section != NULL) {
        SetLastError(ERROR_SUCCESS); /* ERROR_ALREADY_EXISTS would mean a name in use */
    }
    return section;
}

/* What both calls check before the file is looked at, in Windows' order. */
static HANDLE create_file_mapping(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                                  uint64_t size, bool named) {
    const DWORD flags = protection & SECTION_FLAGS;
    const DWORD base = protection & ~SECTION_FLAGS;
    const bool pagefile_backed = file == INVALID_HANDLE_VALUE || file == NULL;
    if (kmw_protection_of(base) == NULL || base == PAGE_NOACCESS || base == PAGE_EXECUTE ||
        (pagefile_backed && size == 0) || !flags_are_valid(flags)) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    if (pagefile_backed && (flags & SEC_IMAGE) != 0) {
        SetLastError(ERROR_BAD_EXE_FORMAT);
        return NULL;
    }
    if (named || pagefile_backed) {
        SetLastError(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    return create_section(file, security, base, flags, size);
}

HANDLE CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                          DWORD size_high, DWORD size_low, LPCSTR name) {
    return create_file_mapping(file, security, protection, km_size_join(size_high, size_low),
                               name != NULL && name[0] != '\0');
}

HANDLE CreateFileMappingW(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                          DWORD size_high, DWORD size_low, LPCWSTR name) {
    return create_file_mapping(file, security, protection, km_size_join(size_high, size_low),
                               name != NULL && name[0] != 0);
}
