/*
 * conformance_exceptions.h - every known place where a system does not answer as Windows does.
 *
 * X(name, system, what it does and why). A row of the conformance table that differs must name one
 * of these; and a row that names one must really differ, so the list stays true.
 */
#ifndef TESTS_CONFORMANCE_EXCEPTIONS_H
#define TESTS_CONFORMANCE_EXCEPTIONS_H

typedef enum conformance_system {
    REAL_WINDOWS,
    WINE,
    KEEPMAP,
} conformance_system;

#define CONFORMANCE_EXCEPTIONS(X)                                                                  \
    X(NO_EXCEPTION, REAL_WINDOWS, "")                                                              \
    X(WINE_EXECUTE_UNCHECKED, WINE,                                                                \
      "makes executable sections of files that were opened without GENERIC_EXECUTE")               \
    X(WINE_SET_END_OF_FILE_CODE, WINE,                                                             \
      "says 87, not 5, for SetEndOfFile through a handle without write access")                    \
    X(WINE_SECTION_AS_FILE, WINE, "takes a section's handle in the calls that want a file's")      \
    X(WINE_DELETES_MAPPED, WINE,                                                                   \
      "DeleteFile of a mapped file succeeds; the file goes when it is no longer mapped")           \
    X(WINE_TRUNCATES_WITHOUT_WRITE, WINE, "accepts TRUNCATE_EXISTING without GENERIC_WRITE")       \
    X(WINE_PASSES_LOCKS, WINE, "lets ReadFile and WriteFile into ranges that others have locked")  \
    X(WINE_NOT_LOCKED_CODE, WINE, "says 33, not 158, for unlocking what is not locked")            \
    X(WINE_WRITTEN_PAGE_KEEPS_WRITECOPY, WINE,                                                     \
      "VirtualQuery shows a written copy-on-write page as PAGE_WRITECOPY")                         \
    X(WINE_READ_TO_WRITECOPY, WINE,                                                                \
      "VirtualProtect cannot make a read-only file's view PAGE_WRITECOPY")                         \
    X(WINE_READS_ANY_PAGE, WINE,                                                                   \
      "ReadProcessMemory goes through /proc/PID/mem, which minds no page protection")              \
    X(WINE_WRITES_READ_ONLY_SECTION, WINE,                                                         \
      "lets a second handle with map-write have writable views of a PAGE_READONLY section")        \
    X(WINE_ROUNDS_SIZE_TO_NOTHING, WINE,                                                           \
      "rounds an anonymous section of the largest sizes up to 0 bytes, and makes it")              \
    X(WINE_OPENS_WITHOUT_ACCESS, WINE, "opens an object with access 0, for nothing")               \
    X(WINE_RELEASES_NOTHING, WINE, "ReleaseSemaphore of 0 succeeds")                               \
    X(WINE_NEGATIVE_RELEASE_CODE, WINE, "says 298, not 87, for a negative ReleaseSemaphore")       \
    X(WINE_LONG_MUTEX_NAMES, WINE, "CreateMutexA takes names of more than 259 characters")         \
    X(WINE_WAITS_FOR_TWINS, WINE, "waits for all of several where one object comes twice")         \
    X(WINE_WAITS_FOR_PSEUDO_HANDLES, WINE, "takes pseudo handles in waits for several objects")    \
    X(KEEPMAP_ORDINARY_CHARACTERS, KEEPMAP,                                                        \
      "? * \" < > | and the backslash are ordinary characters of POSIX file names")                \
    X(KEEPMAP_CASE_COUNTS, KEEPMAP, "file names that differ in case are different names")

#define CONFORMANCE_ENUM(name, system, text) name,
typedef enum conformance_exception {
    CONFORMANCE_EXCEPTIONS(CONFORMANCE_ENUM) CONFORMANCE_EXCEPTION_COUNT
} conformance_exception;
#undef CONFORMANCE_ENUM

#endif /* TESTS_CONFORMANCE_EXCEPTIONS_H */
