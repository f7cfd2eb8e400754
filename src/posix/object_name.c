/*
 * object_name.c - the names of sections, events, mutexes and semaphores, and where their files lie.
 *
 * Sessions do not exist here: "Session\N\x" is "Local\x" for every N.
 *
 * The file name is a hash, since a name may hold what a file name may not. Two names that meet in
 * 128 bits are told apart by the whole name in the object's header: the second is refused.
 */
#include "object_name.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "last_error.h"

/* ---- Taking a name apart ---- */

static bool begins_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of "Session\N\" at the start of `text`; 0 if that is not how it begins. */
static size_t session_prefix(const char *text) {
    const size_t word = strlen("Session\\");
    if (!begins_with(text, "Session\\")) {
        return 0;
    }
    const size_t digits = strspn(text + word, "0123456789");
    return digits > 0 && text[word + digits] == '\\' ? word + digits + 1 : 0;
}

/* Windows' prefixes are links and directories in a tree of names; this is what it says of them. */
static DWORD strip_prefix(const char *text, size_t *prefix, bool *global) {
    *prefix = 0;
    *global = begins_with(text, "Global\\");
    if (*global) {
        *prefix = strlen("Global\\");
    } else if (begins_with(text, "Local\\")) {
        *prefix = strlen("Local\\");
    } else {
        *prefix = session_prefix(text);
    }
    if (text[0] == '\\') {
        return ERROR_BAD_PATHNAME;
    }
    if (strcmp(text, "Local") == 0 || strcmp(text, "Global") == 0 || strcmp(text, "Session") == 0) {
        return ERROR_INVALID_HANDLE;
    }
    if (text[*prefix] == '\0') {
        return ERROR_INVALID_NAME;
    }
    return strchr(text + *prefix, '\\') == NULL ? ERROR_SUCCESS : ERROR_PATH_NOT_FOUND;
}

/* name->text is the whole text, `bytes` long; takes it apart, or frees it. */
static DWORD settle(kmw_object_name *name, size_t bytes) {
    size_t prefix = 0;
    name->text[bytes] = '\0';
    const DWORD error = strip_prefix(name->text, &prefix, &name->global);
    if (error != ERROR_SUCCESS) {
        kmw_object_name_free(name);
        return error;
    }
    name->length = bytes - prefix;
    memmove(name->text, name->text + prefix, name->length + 1);
    return ERROR_SUCCESS;
}

static bool make_room(kmw_object_name *name, size_t bytes) {
    name->text = bytes < sizeof name->own ? name->own : malloc(bytes + 1);
    return name->text != NULL;
}

static void set_unnamed(kmw_object_name *name) {
    name->text = NULL;
    name->length = 0;
    name->global = false;
}

DWORD kmw_object_name_from_utf8(LPCSTR from, kmw_object_name *name) {
    set_unnamed(name);
    if (from == NULL || from[0] == '\0') {
        return ERROR_SUCCESS;
    }
    const size_t bytes = strnlen(from, sizeof name->own);
    if (bytes == sizeof name->own) {
        return ERROR_FILENAME_EXCED_RANGE; /* 259 units never have so many */
    }
    const size_t units = kmw_utf8_to_utf16(from, bytes, NULL, 0);
    if (units == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    if (units > KMW_NAME_LIMIT) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    name->text = name->own;
    memcpy(name->text, from, bytes);
    return settle(name, bytes);
}

DWORD kmw_object_name_from_utf16(LPCWSTR from, size_t limit, kmw_object_name *name) {
    set_unnamed(name);
    if (from == NULL || from[0] == 0) {
        return ERROR_SUCCESS;
    }
    const size_t units = kmw_length16(from);
    if (units > limit) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    const size_t bytes = kmw_utf16_to_utf8(from, units, NULL, 0);
    if (bytes == (size_t)-1) {
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    if (!make_room(name, bytes)) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    (void)kmw_utf16_to_utf8(from, units, name->text, bytes);
    return settle(name, bytes);
}

void kmw_object_name_free(kmw_object_name *name) {
    if (name->text != name->own) {
        free(name->text);
    }
    set_unnamed(name);
}

DWORD kmw_object_name_to_open(const void *from, bool empty) {
    if (from == NULL) {
        return ERROR_INVALID_PARAMETER;
    }
    return empty ? ERROR_INVALID_HANDLE : ERROR_SUCCESS;
}

/* ---- Where its file lies ---- */

/* FNV-1a, begun at `hash`, and stirred at the end so that both halves differ in every bit. */
static uint64_t hash_text(const kmw_object_name *name, uint64_t hash) {
    for (size_t i = 0; i < name->length; ++i) {
        hash = (hash ^ (unsigned char)name->text[i]) * 0x100000001B3ULL;
    }
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
    return hash ^ (hash >> 32);
}

/* Inside a user name space the system's own directories belong to nobody that has a number there.
 */
#define UNMAPPED_OWNER ((uid_t)65534)

/* A directory of the system's in which everybody may make files, and nobody remove another's. */
static bool is_shared_directory(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode) && (facts.st_mode & S_ISVTX) != 0 &&
           (facts.st_uid == 0 || facts.st_uid == UNMAPPED_OWNER);
}

static const char *const shared_directories[] = {"/dev/shm", "/tmp"};
#define IN_MEMORY shared_directories[0]

/*
 * Objects of the machine lie in it, directly; each user's own in a directory of his. Chosen once: a
 * process that changed its mind would not find its own objects again.
 */
static const char *shared_directory(void) {
    static _Atomic(const char *) chosen;
    const char *directory = atomic_load_explicit(&chosen, memory_order_relaxed);
    for (size_t i = 0; directory == NULL && i < 2; ++i) {
        if (is_shared_directory(shared_directories[i])) {
            directory = shared_directories[i];
            atomic_store_explicit(&chosen, directory, memory_order_relaxed);
        }
    }
    return directory;
}

static const char *users_base(void) {
    const char *shared = shared_directory();
    if (shared == IN_MEMORY) {
        return shared;
    }
    const char *temporary = getenv("TMPDIR");
    return temporary != NULL && temporary[0] == '/' ? temporary : shared;
}

/* Nobody else may enter it, or he could put what he likes in our objects' places. */
static DWORD check_own_directory(const char *path, uid_t user) {
    struct stat facts;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT ? ERROR_FILE_NOT_FOUND : ERROR_ACCESS_DENIED;
    }
    const bool ours = S_ISDIR(facts.st_mode) && facts.st_uid == user &&
                      (facts.st_mode & (S_IRWXG | S_IRWXO)) == 0;
    return ours ? ERROR_SUCCESS : ERROR_ACCESS_DENIED;
}

static DWORD make_own_directory(const char *path, uid_t user) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return kmw_error_of_errno(errno);
    }
    return check_own_directory(path, user);
}

static DWORD own_directory(const char *base, bool make, kmw_path *path) {
    const uid_t user = geteuid();
    const int length =
        snprintf(path->text, sizeof path->text, "%s/keepmap-%ju", base, (uintmax_t)user);
    if (length < 0 || (size_t)length >= sizeof path->text) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    const DWORD error = check_own_directory(path->text, user);
    return error == ERROR_FILE_NOT_FOUND && make ? make_own_directory(path->text, user) : error;
}

DWORD kmw_object_directory(bool global, bool make, kmw_path *path) {
    const char *base = global ? shared_directory() : users_base();
    if (base == NULL) {
        return ERROR_ACCESS_DENIED;
    }
    if (global) {
        strcpy(path->text, base);
        return ERROR_SUCCESS;
    }
    return own_directory(base, make, path);
}

DWORD kmw_object_path(const kmw_object_name *name, bool make, kmw_path *path) {
    const DWORD error = kmw_object_directory(name->global, make, path);
    if (error != ERROR_SUCCESS) {
        return error;
    }
    const size_t used = strlen(path->text);
    const int length =
        snprintf(path->text + used, sizeof path->text - used, "/%s%016" PRIx64 "%016" PRIx64,
                 name->global ? KMW_GLOBAL_PREFIX : "", hash_text(name, 0xCBF29CE484222325ULL),
                 hash_text(name, 0x6C62272E07BB0142ULL));
    if (length < 0 || (size_t)length >= sizeof path->text - used) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    return ERROR_SUCCESS;
}
