/*
 * last_error.c - the thread's last error, what errno is called in Win32, and what a code says.
 */
#include "last_error.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local DWORD last_error;

DWORD GetLastError(void) {
    return last_error;
}

void SetLastError(DWORD code) {
    last_error = code;
}

BOOL kmw_fail(DWORD code) {
    last_error = code;
    return FALSE;
}

BOOL kmw_fail_errno(int error) {
    return kmw_fail(kmw_error_of_errno(error));
}

/*
 * One errno, one code. ENOENT is ERROR_FILE_NOT_FOUND; whether it was the path is for
 * kmw_error_of_missing. EINVAL from a call whose arguments were right means something of its own
 * there, which the caller knows.
 */
#define KMW_ERRNOS(X)                                                                              \
    X(ENOENT, ERROR_FILE_NOT_FOUND)                                                                \
    X(ENOTDIR, ERROR_PATH_NOT_FOUND)                                                               \
    X(EMFILE, ERROR_TOO_MANY_OPEN_FILES)                                                           \
    X(ENFILE, ERROR_TOO_MANY_OPEN_FILES)                                                           \
    X(EACCES, ERROR_ACCESS_DENIED)                                                                 \
    X(EPERM, ERROR_ACCESS_DENIED)                                                                  \
    X(EISDIR, ERROR_ACCESS_DENIED)                                                                 \
    X(EBADF, ERROR_INVALID_HANDLE)                                                                 \
    X(ENOMEM, ERROR_NOT_ENOUGH_MEMORY)                                                             \
    X(EXDEV, ERROR_NOT_SAME_DEVICE)                                                                \
    X(EROFS, ERROR_WRITE_PROTECT)                                                                  \
    X(ENXIO, ERROR_NOT_READY)                                                                      \
    X(ENODEV, ERROR_NOT_READY)                                                                     \
    X(ESPIPE, ERROR_SEEK)                                                                          \
    X(ETXTBSY, ERROR_SHARING_VIOLATION)                                                            \
    X(EAGAIN, ERROR_LOCK_VIOLATION)                                                                \
    X(EDEADLK, ERROR_LOCK_VIOLATION)                                                               \
    X(ENOSYS, ERROR_NOT_SUPPORTED)                                                                 \
    X(EOPNOTSUPP, ERROR_NOT_SUPPORTED)                                                             \
    X(EEXIST, ERROR_FILE_EXISTS)                                                                   \
    X(EINVAL, ERROR_INVALID_PARAMETER)                                                             \
    X(EPIPE, ERROR_BROKEN_PIPE)                                                                    \
    X(ENOSPC, ERROR_DISK_FULL)                                                                     \
    X(EDQUOT, ERROR_DISK_FULL)                                                                     \
    X(ENOTEMPTY, ERROR_DIR_NOT_EMPTY)                                                              \
    X(EBUSY, ERROR_BUSY)                                                                           \
    X(ENAMETOOLONG, ERROR_FILENAME_EXCED_RANGE)                                                    \
    X(EFBIG, ERROR_FILE_TOO_LARGE)                                                                 \
    X(EOVERFLOW, ERROR_FILE_TOO_LARGE)                                                             \
    X(EINTR, ERROR_OPERATION_ABORTED)                                                              \
    X(ECANCELED, ERROR_OPERATION_ABORTED)                                                          \
    X(EFAULT, ERROR_NOACCESS)                                                                      \
    X(EILSEQ, ERROR_NO_UNICODE_TRANSLATION)                                                        \
    X(EIO, ERROR_IO_DEVICE)                                                                        \
    X(EMLINK, ERROR_TOO_MANY_LINKS)                                                                \
    X(ENOLCK, ERROR_NO_SYSTEM_RESOURCES)                                                           \
    X(ENOBUFS, ERROR_NO_SYSTEM_RESOURCES)                                                          \
    X(ELOOP, ERROR_CANT_RESOLVE_FILENAME)

DWORD kmw_error_of_errno(int error) {
    static const struct {
        int error;
        DWORD code;
    } table[] = {
#define ROW(name, code) {name, code},
        KMW_ERRNOS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].error == error) {
            return table[i].code;
        }
    }
    return ERROR_GEN_FAILURE;
}

/* Every code of win32_types.h but those that share a value with another one. */
#define KMW_TEXTS(X)                                                                               \
    X(ERROR_SUCCESS, "The operation succeeded.")                                                   \
    X(ERROR_INVALID_FUNCTION, "This operation does not exist here.")                               \
    X(ERROR_FILE_NOT_FOUND, "There is no such file.")                                              \
    X(ERROR_PATH_NOT_FOUND, "There is no such path.")                                              \
    X(ERROR_TOO_MANY_OPEN_FILES, "Too many files or handles are open.")                            \
    X(ERROR_ACCESS_DENIED, "Access is denied.")                                                    \
    X(ERROR_INVALID_HANDLE, "There is no such handle, or it is of the wrong kind.")                \
    X(ERROR_NOT_ENOUGH_MEMORY, "There is not enough memory for this.")                             \
    X(ERROR_BAD_FORMAT, "The format is not the expected one.")                                     \
    X(ERROR_INVALID_ACCESS, "The access code is not valid.")                                       \
    X(ERROR_INVALID_DATA, "The data is not valid.")                                                \
    X(ERROR_OUTOFMEMORY, "The memory is used up.")                                                 \
    X(ERROR_NOT_SAME_DEVICE, "The two files are on different file systems.")                       \
    X(ERROR_WRITE_PROTECT, "The file system is read-only.")                                        \
    X(ERROR_NOT_READY, "The device is not there or not ready.")                                    \
    X(ERROR_CRC, "A checksum does not match the data.")                                            \
    X(ERROR_SEEK, "The file has no positions to move to.")                                         \
    X(ERROR_WRITE_FAULT, "Writing to the device failed.")                                          \
    X(ERROR_READ_FAULT, "Reading from the device failed.")                                         \
    X(ERROR_GEN_FAILURE, "The system failed for a reason that has no name here.")                  \
    X(ERROR_SHARING_VIOLATION, "Somebody has the file open and does not share it this way.")       \
    X(ERROR_LOCK_VIOLATION, "Somebody has locked this part of the file.")                          \
    X(ERROR_HANDLE_EOF, "The end of the file has been reached.")                                   \
    X(ERROR_HANDLE_DISK_FULL, "The disk has no room left for this file.")                          \
    X(ERROR_NOT_SUPPORTED, "This is not supported.")                                               \
    X(ERROR_FILE_EXISTS, "The file is there already.")                                             \
    X(ERROR_INVALID_PARAMETER, "A parameter is not valid.")                                        \
    X(ERROR_BROKEN_PIPE, "The other end of the pipe has been closed.")                             \
    X(ERROR_DISK_FULL, "The disk is full.")                                                        \
    X(ERROR_CALL_NOT_IMPLEMENTED, "This call does not exist here.")                                \
    X(ERROR_INSUFFICIENT_BUFFER, "The buffer is too small for the result.")                        \
    X(ERROR_INVALID_NAME, "The name is not a valid one.")                                          \
    X(ERROR_MOD_NOT_FOUND, "The module was not found.")                                            \
    X(ERROR_NEGATIVE_SEEK, "The position would lie before the start of the file.")                 \
    X(ERROR_DIR_NOT_EMPTY, "The directory is not empty.")                                          \
    X(ERROR_NOT_LOCKED, "This range of the file is not locked.")                                   \
    X(ERROR_BAD_PATHNAME, "The path is not a valid one.")                                          \
    X(ERROR_BUSY, "The resource is in use.")                                                       \
    X(ERROR_ALREADY_EXISTS, "Something of this name exists already.")                              \
    X(ERROR_BAD_EXE_FORMAT, "The file is not a program image.")                                    \
    X(ERROR_FILENAME_EXCED_RANGE, "The name or the path is too long.")                             \
    X(ERROR_FILE_TOO_LARGE, "The file is too large, or would become so.")                          \
    X(ERROR_NO_DATA, "The pipe is being closed.")                                                  \
    X(ERROR_MORE_DATA, "There is more data than was asked for.")                                   \
    X(WAIT_TIMEOUT, "The time to wait has passed.")                                                \
    X(ERROR_DIRECTORY, "This is not the name of a directory.")                                     \
    X(ERROR_NOT_OWNER, "The calling thread does not own the mutex.")                               \
    X(ERROR_TOO_MANY_POSTS, "The semaphore would count beyond its maximum.")                       \
    X(ERROR_PARTIAL_COPY, "Only part of the memory could be copied.")                              \
    X(ERROR_MR_MID_NOT_FOUND, "There is no message for this code.")                                \
    X(ERROR_INVALID_ADDRESS, "The address is not valid for this.")                                 \
    X(ERROR_OPERATION_ABORTED, "The operation was broken off.")                                    \
    X(ERROR_NOACCESS, "This memory cannot be accessed.")                                           \
    X(ERROR_INVALID_FLAGS, "The flags are not valid.")                                             \
    X(ERROR_FILE_INVALID, "The file is empty or has changed so that this cannot be done.")         \
    X(ERROR_NO_UNICODE_TRANSLATION, "The text is not well-formed Unicode.")                        \
    X(ERROR_IO_DEVICE, "The device reported an error.")                                            \
    X(ERROR_TOO_MANY_LINKS, "The file has as many links as it can have.")                          \
    X(ERROR_UNABLE_TO_REMOVE_REPLACED,                                                             \
      "The file to be replaced could not be removed; both files are as they were.")                \
    X(ERROR_UNABLE_TO_MOVE_REPLACEMENT,                                                            \
      "The replacement could not be moved; both files have their old names.")                      \
    X(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2,                                                          \
      "The replacement could not be moved; the file to be replaced is under its backup name.")     \
    X(ERROR_MAPPED_ALIGNMENT, "The offset or the address is not a multiple of the granularity.")   \
    X(ERROR_USER_MAPPED_FILE, "The file is mapped, which forbids this.")                           \
    X(ERROR_UNKNOWN_REVISION, "The revision is not one that is known here.")                       \
    X(ERROR_INVALID_ACL, "The access control list is not valid.")                                  \
    X(ERROR_INVALID_SECURITY_DESCR, "The security descriptor is not valid.")                       \
    X(ERROR_PRIVILEGE_NOT_HELD, "This needs a privilege that the caller does not have.")           \
    X(ERROR_NO_SYSTEM_RESOURCES, "The system has not enough resources for this.")                  \
    X(ERROR_WORKING_SET_QUOTA, "The process may not lock so much memory.")                         \
    X(ERROR_COMMITMENT_LIMIT, "The system has not enough memory to promise.")                      \
    X(ERROR_DISK_QUOTA_EXCEEDED, "The disk quota is used up.")                                     \
    X(ERROR_CANT_RESOLVE_FILENAME, "The path leads through too many symbolic links.")

const char *kmw_error_text(DWORD code) {
    switch (code) {
#define CASE(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        KMW_TEXTS(CASE)
#undef CASE
    default:
        return NULL;
    }
}
