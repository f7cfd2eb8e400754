/*
 * keepmap/win32.h - the Win32 file-mapping calls, on every system.
 *
 * On Windows this is <windows.h>. On POSIX systems it declares the calls that keepmap supplies
 * itself, with Windows' semantics down to the error code. A call keeps its Win32 name in the
 * source; its link name carries the prefix kmw_, so that libkeepmap never collides with another
 * library that has a CreateFileA of its own.
 *
 * What differs from Windows by design, on POSIX:
 *   - WCHAR is char16_t: a wide literal is u"..." and never L"...". TCHAR is char.
 *   - The A calls take UTF-8, the W calls UTF-16. Text that is neither is
 *     ERROR_NO_UNICODE_TRANSLATION.
 *   - A path is the system's own: '/' separates, every other character (also \ : ? *) is ordinary,
 *     case counts. A symbolic link is followed unless FILE_FLAG_OPEN_REPARSE_POINT says otherwise.
 *   - Sharing modes, ERROR_USER_MAPPED_FILE and the delete rules bind the programs that use
 *     keepmap, on one machine; the kernel knows nothing of them. LockFileEx is kept by the kernel.
 *   - No handle survives exec; bInheritHandle is remembered and reported, and there is no
 *     CreateProcess to hand it to. A forked child shares its parent's handles.
 *
 * Threads: every call may be made from every thread at any time, also on the same handle. The last
 * error is the thread's own. No call installs a signal handler.
 *
 * Reference: "Memory Management Functions" and "File Management Functions", Microsoft Learn.
 */
#ifndef KEEPMAP_WIN32_H
#define KEEPMAP_WIN32_H

#if defined(_WIN32)

#include <windows.h>

#include <psapi.h>

#else

#include "win32_types.h"

#if defined(__GNUC__) && __GNUC__ >= 4
#define KMW_EXPORT __attribute__((visibility("default")))
#else
#define KMW_EXPORT
#endif

/* The assembler's own prefix (an underscore on some systems) must stand before ours. */
#define KMW_TEXT_OF(x) #x
#define KMW_TEXT(x) KMW_TEXT_OF(x)
#define KMW_AS(name) __asm__(KMW_TEXT(__USER_LABEL_PREFIX__) "kmw_" #name)

#ifdef __cplusplus
extern "C" {
#endif

/* Handles ----------------------------------------------------------------------------------- */

KMW_EXPORT BOOL CloseHandle(HANDLE handle) KMW_AS(CloseHandle);
KMW_EXPORT BOOL DuplicateHandle(HANDLE source_process, HANDLE source, HANDLE target_process,
                                LPHANDLE target, DWORD access, BOOL inherit, DWORD options)
    KMW_AS(DuplicateHandle);
KMW_EXPORT BOOL GetHandleInformation(HANDLE handle, LPDWORD flags) KMW_AS(GetHandleInformation);
KMW_EXPORT BOOL SetHandleInformation(HANDLE handle, DWORD mask, DWORD flags)
    KMW_AS(SetHandleInformation);

/* Errors and text --------------------------------------------------------------------------- */

KMW_EXPORT DWORD GetLastError(void) KMW_AS(GetLastError);
KMW_EXPORT void SetLastError(DWORD code) KMW_AS(SetLastError);

/* FORMAT_MESSAGE_FROM_SYSTEM for the codes of win32_types.h, FORMAT_MESSAGE_FROM_STRING for text
 * of one's own (without inserts: FORMAT_MESSAGE_IGNORE_INSERTS is implied). English only. */
KMW_EXPORT DWORD FormatMessageA(DWORD flags, LPCVOID source, DWORD code, DWORD language,
                                LPSTR buffer, DWORD size, va_list *arguments)
    KMW_AS(FormatMessageA);
KMW_EXPORT DWORD FormatMessageW(DWORD flags, LPCVOID source, DWORD code, DWORD language,
                                LPWSTR buffer, DWORD size, va_list *arguments)
    KMW_AS(FormatMessageW);
KMW_EXPORT HLOCAL LocalFree(HLOCAL memory) KMW_AS(LocalFree);

/* CP_UTF8, and CP_ACP and CP_THREAD_ACP, which are UTF-8 here. Others: ERROR_INVALID_PARAMETER. */
KMW_EXPORT int MultiByteToWideChar(UINT page, DWORD flags, LPCSTR from, int from_length, LPWSTR to,
                                   int to_length) KMW_AS(MultiByteToWideChar);
KMW_EXPORT int WideCharToMultiByte(UINT page, DWORD flags, LPCWSTR from, int from_length, LPSTR to,
                                   int to_length, LPCSTR substitute, LPBOOL substituted)
    KMW_AS(WideCharToMultiByte);

/* Files ------------------------------------------------------------------------------------- */

KMW_EXPORT HANDLE CreateFileA(LPCSTR path, DWORD access, DWORD share,
                              LPSECURITY_ATTRIBUTES security, DWORD disposition, DWORD flags,
                              HANDLE like) KMW_AS(CreateFileA);
KMW_EXPORT HANDLE CreateFileW(LPCWSTR path, DWORD access, DWORD share,
                              LPSECURITY_ATTRIBUTES security, DWORD disposition, DWORD flags,
                              HANDLE like) KMW_AS(CreateFileW);
/* With an OVERLAPPED: at its offset, synchronously; the file pointer then stands behind it. */
KMW_EXPORT BOOL ReadFile(HANDLE file, LPVOID to, DWORD length, LPDWORD done, LPOVERLAPPED at)
    KMW_AS(ReadFile);
KMW_EXPORT BOOL WriteFile(HANDLE file, LPCVOID from, DWORD length, LPDWORD done, LPOVERLAPPED at)
    KMW_AS(WriteFile);
KMW_EXPORT DWORD SetFilePointer(HANDLE file, LONG low, PLONG high, DWORD method)
    KMW_AS(SetFilePointer);
KMW_EXPORT BOOL SetFilePointerEx(HANDLE file, LARGE_INTEGER distance, PLARGE_INTEGER position,
                                 DWORD method) KMW_AS(SetFilePointerEx);
KMW_EXPORT BOOL SetEndOfFile(HANDLE file) KMW_AS(SetEndOfFile);
KMW_EXPORT DWORD GetFileSize(HANDLE file, LPDWORD high) KMW_AS(GetFileSize);
KMW_EXPORT BOOL GetFileSizeEx(HANDLE file, PLARGE_INTEGER size) KMW_AS(GetFileSizeEx);
KMW_EXPORT DWORD GetFileType(HANDLE file) KMW_AS(GetFileType);
KMW_EXPORT BOOL GetFileInformationByHandle(HANDLE file, LPBY_HANDLE_FILE_INFORMATION information)
    KMW_AS(GetFileInformationByHandle);
/* Data, size and what is needed to find them, on the disk; a directory's entries likewise. */
KMW_EXPORT BOOL FlushFileBuffers(HANDLE file) KMW_AS(FlushFileBuffers);

KMW_EXPORT BOOL LockFile(HANDLE file, DWORD offset_low, DWORD offset_high, DWORD length_low,
                         DWORD length_high) KMW_AS(LockFile);
KMW_EXPORT BOOL LockFileEx(HANDLE file, DWORD flags, DWORD reserved, DWORD length_low,
                           DWORD length_high, LPOVERLAPPED at) KMW_AS(LockFileEx);
KMW_EXPORT BOOL UnlockFile(HANDLE file, DWORD offset_low, DWORD offset_high, DWORD length_low,
                           DWORD length_high) KMW_AS(UnlockFile);
KMW_EXPORT BOOL UnlockFileEx(HANDLE file, DWORD reserved, DWORD length_low, DWORD length_high,
                             LPOVERLAPPED at) KMW_AS(UnlockFileEx);

/* Names of files ---------------------------------------------------------------------------- */

KMW_EXPORT DWORD GetFileAttributesA(LPCSTR path) KMW_AS(GetFileAttributesA);
KMW_EXPORT DWORD GetFileAttributesW(LPCWSTR path) KMW_AS(GetFileAttributesW);
KMW_EXPORT BOOL GetFileAttributesExA(LPCSTR path, GET_FILEEX_INFO_LEVELS level, LPVOID information)
    KMW_AS(GetFileAttributesExA);
KMW_EXPORT BOOL GetFileAttributesExW(LPCWSTR path, GET_FILEEX_INFO_LEVELS level, LPVOID information)
    KMW_AS(GetFileAttributesExW);
KMW_EXPORT BOOL DeleteFileA(LPCSTR path) KMW_AS(DeleteFileA);
KMW_EXPORT BOOL DeleteFileW(LPCWSTR path) KMW_AS(DeleteFileW);
KMW_EXPORT BOOL MoveFileExA(LPCSTR from, LPCSTR to, DWORD flags) KMW_AS(MoveFileExA);
KMW_EXPORT BOOL MoveFileExW(LPCWSTR from, LPCWSTR to, DWORD flags) KMW_AS(MoveFileExW);
KMW_EXPORT BOOL ReplaceFileA(LPCSTR replaced, LPCSTR replacement, LPCSTR backup, DWORD flags,
                             LPVOID exclude, LPVOID reserved) KMW_AS(ReplaceFileA);
KMW_EXPORT BOOL ReplaceFileW(LPCWSTR replaced, LPCWSTR replacement, LPCWSTR backup, DWORD flags,
                             LPVOID exclude, LPVOID reserved) KMW_AS(ReplaceFileW);
KMW_EXPORT BOOL GetDiskFreeSpaceExA(LPCSTR directory, PULARGE_INTEGER available,
                                    PULARGE_INTEGER total, PULARGE_INTEGER unused)
    KMW_AS(GetDiskFreeSpaceExA);
KMW_EXPORT BOOL GetDiskFreeSpaceExW(LPCWSTR directory, PULARGE_INTEGER available,
                                    PULARGE_INTEGER total, PULARGE_INTEGER unused)
    KMW_AS(GetDiskFreeSpaceExW);
KMW_EXPORT DWORD GetFullPathNameA(LPCSTR path, DWORD size, LPSTR buffer, LPSTR *name)
    KMW_AS(GetFullPathNameA);
KMW_EXPORT DWORD GetFullPathNameW(LPCWSTR path, DWORD size, LPWSTR buffer, LPWSTR *name)
    KMW_AS(GetFullPathNameW);
KMW_EXPORT DWORD GetTempPathA(DWORD size, LPSTR buffer) KMW_AS(GetTempPathA);
KMW_EXPORT DWORD GetTempPathW(DWORD size, LPWSTR buffer) KMW_AS(GetTempPathW);

/* Sections and views ------------------------------------------------------------------------ */

/*
 * Over a file, or pagefile-backed (INVALID_HANDLE_VALUE): memory that lasts as long as a handle or
 * a view of it. Names: see "Named objects". What SEC_COMMIT asks for is there, or is refused:
 * ERROR_COMMITMENT_LIMIT where memory, a limit on it or the file system that holds named sections
 * cannot take it.
 */
KMW_EXPORT HANDLE CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                                     DWORD size_high, DWORD size_low, LPCSTR name)
    KMW_AS(CreateFileMappingA);
KMW_EXPORT HANDLE CreateFileMappingW(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                                     DWORD size_high, DWORD size_low, LPCWSTR name)
    KMW_AS(CreateFileMappingW);
KMW_EXPORT HANDLE OpenFileMappingA(DWORD access, BOOL inherit, LPCSTR name)
    KMW_AS(OpenFileMappingA);
KMW_EXPORT HANDLE OpenFileMappingW(DWORD access, BOOL inherit, LPCWSTR name)
    KMW_AS(OpenFileMappingW);
KMW_EXPORT LPVOID MapViewOfFile(HANDLE section, DWORD access, DWORD offset_high, DWORD offset_low,
                                SIZE_T length) KMW_AS(MapViewOfFile);
KMW_EXPORT LPVOID MapViewOfFileEx(HANDLE section, DWORD access, DWORD offset_high, DWORD offset_low,
                                  SIZE_T length, LPVOID address) KMW_AS(MapViewOfFileEx);
KMW_EXPORT BOOL UnmapViewOfFile(LPCVOID address) KMW_AS(UnmapViewOfFile);
/* Starts writing; durable only with FlushFileBuffers on the file after it. */
KMW_EXPORT BOOL FlushViewOfFile(LPCVOID address, SIZE_T length) KMW_AS(FlushViewOfFile);

KMW_EXPORT SIZE_T VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION information,
                               SIZE_T length) KMW_AS(VirtualQuery);
/* On views: only towards less than the view was mapped with. */
KMW_EXPORT BOOL VirtualProtect(LPVOID address, SIZE_T length, DWORD protection, PDWORD before)
    KMW_AS(VirtualProtect);
/*
 * On views only, since that is what file mapping needs: MEM_COMMIT makes pages of a SEC_RESERVE
 * section usable, in all its views. Other memory, and a NULL address: ERROR_NOT_SUPPORTED. A view's
 * pages are never given back before the section goes: VirtualFree on a view is
 * ERROR_INVALID_PARAMETER.
 */
KMW_EXPORT LPVOID VirtualAlloc(LPVOID address, SIZE_T length, DWORD type, DWORD protection)
    KMW_AS(VirtualAlloc);
KMW_EXPORT BOOL VirtualFree(LPVOID address, SIZE_T length, DWORD type) KMW_AS(VirtualFree);
/* Bytes; 0: this system gives no large pages to SEC_LARGE_PAGES. */
KMW_EXPORT SIZE_T GetLargePageMinimum(void) KMW_AS(GetLargePageMinimum);
KMW_EXPORT BOOL VirtualLock(LPVOID address, SIZE_T length) KMW_AS(VirtualLock);
KMW_EXPORT BOOL VirtualUnlock(LPVOID address, SIZE_T length) KMW_AS(VirtualUnlock);
KMW_EXPORT BOOL PrefetchVirtualMemory(HANDLE process, ULONG_PTR count,
                                      PWIN32_MEMORY_RANGE_ENTRY ranges, ULONG flags)
    KMW_AS(PrefetchVirtualMemory);
KMW_EXPORT BOOL QueryWorkingSetEx(HANDLE process, PVOID information, DWORD size)
    KMW_AS(QueryWorkingSetEx);
/* On oneself only: copies that fail (ERROR_PARTIAL_COPY) where a load or a store would kill. */
KMW_EXPORT BOOL ReadProcessMemory(HANDLE process, LPCVOID from, LPVOID to, SIZE_T length,
                                  SIZE_T *done) KMW_AS(ReadProcessMemory);
KMW_EXPORT BOOL WriteProcessMemory(HANDLE process, LPVOID to, LPCVOID from, SIZE_T length,
                                   SIZE_T *done) KMW_AS(WriteProcessMemory);

/* Named objects -----------------------------------------------------------------------------
 *
 * Sections, events, mutexes and semaphores share one name space. "Local\x" and "x" are the same
 * object, of this user; "Global\x" is one of the whole machine. A name lives exactly as long as
 * some handle to it, in whatever process, however that process ends. It is kept on shared memory
 * (/dev/shm, or a directory under $TMPDIR), so it does not reach into another container.
 *
 * An object is open to its owner alone, unless it was made with SECURITY_ATTRIBUTES whose
 * descriptor has a null DACL: then to everybody. (Only Global\ is where others can find it.)
 *
 * ERROR_ACCESS_DENIED also for a name that somebody else's leftover occupies, and
 * ERROR_INVALID_DATA for one that leads to what is no object of keepmap's.
 */

KMW_EXPORT BOOL InitializeSecurityDescriptor(PSECURITY_DESCRIPTOR descriptor, DWORD revision)
    KMW_AS(InitializeSecurityDescriptor);
/* NULL, present: everybody. There is no way to make an ACL here; with one, or none present, the
 * object is kept to its owner. */
KMW_EXPORT BOOL SetSecurityDescriptorDacl(PSECURITY_DESCRIPTOR descriptor, BOOL present, PACL dacl,
                                          BOOL defaulted) KMW_AS(SetSecurityDescriptorDacl);

/* Synchronisation ---------------------------------------------------------------------------
 *
 * What is not quite as on Windows:
 *   - Nobody is handed a mutex, an event or a unit of a semaphore: whoever comes first takes it,
 * also before one that was woken for it. Who waits beside others that ask again at once may wait
 * long.
 *   - A wait for all of several takes one after the other, once all have been signaled, and puts
 * back what it took when one was taken before it. For that moment others do not see it; a process
 *     killed in that moment may have consumed one and not the others.
 *   - A mutex knows its owner by its thread's number: those who share one must share a PID name
 * space. A thread owns 2048 mutexes at most (ERROR_NO_SYSTEM_RESOURCES), as many as the kernel
 * abandons for it.
 *   - A process killed while it signals, or is being woken, costs others a tenth of a second at
 * most.
 *   - PulseEvent lets go those who wait at that moment, and nobody who waits for all of several.
 *   - An unnamed mutex whose last handle its owner closes is released, unless the process has
 * forked since it was made.
 *   - Objects opened to everybody can be damaged by everybody: a mutex's contents are trusted, and
 * one whose file its owner cuts short is a SIGBUS.
 */

KMW_EXPORT HANDLE CreateEventA(LPSECURITY_ATTRIBUTES security, BOOL manual_reset, BOOL signaled,
                               LPCSTR name) KMW_AS(CreateEventA);
KMW_EXPORT HANDLE CreateEventW(LPSECURITY_ATTRIBUTES security, BOOL manual_reset, BOOL signaled,
                               LPCWSTR name) KMW_AS(CreateEventW);
KMW_EXPORT HANDLE OpenEventA(DWORD access, BOOL inherit, LPCSTR name) KMW_AS(OpenEventA);
KMW_EXPORT HANDLE OpenEventW(DWORD access, BOOL inherit, LPCWSTR name) KMW_AS(OpenEventW);
KMW_EXPORT BOOL SetEvent(HANDLE event) KMW_AS(SetEvent);
KMW_EXPORT BOOL ResetEvent(HANDLE event) KMW_AS(ResetEvent);
/* Lets go those who wait at this moment. Unreliable by nature, as on Windows. */
KMW_EXPORT BOOL PulseEvent(HANDLE event) KMW_AS(PulseEvent);

/* Owned by a thread, recursive. Whoever gets one whose owner ended without releasing it is told so:
 * WAIT_ABANDONED, and owns it. */
KMW_EXPORT HANDLE CreateMutexA(LPSECURITY_ATTRIBUTES security, BOOL owned, LPCSTR name)
    KMW_AS(CreateMutexA);
KMW_EXPORT HANDLE CreateMutexW(LPSECURITY_ATTRIBUTES security, BOOL owned, LPCWSTR name)
    KMW_AS(CreateMutexW);
KMW_EXPORT HANDLE OpenMutexA(DWORD access, BOOL inherit, LPCSTR name) KMW_AS(OpenMutexA);
KMW_EXPORT HANDLE OpenMutexW(DWORD access, BOOL inherit, LPCWSTR name) KMW_AS(OpenMutexW);
KMW_EXPORT BOOL ReleaseMutex(HANDLE mutex) KMW_AS(ReleaseMutex);

KMW_EXPORT HANDLE CreateSemaphoreA(LPSECURITY_ATTRIBUTES security, LONG count, LONG maximum,
                                   LPCSTR name) KMW_AS(CreateSemaphoreA);
KMW_EXPORT HANDLE CreateSemaphoreW(LPSECURITY_ATTRIBUTES security, LONG count, LONG maximum,
                                   LPCWSTR name) KMW_AS(CreateSemaphoreW);
KMW_EXPORT HANDLE OpenSemaphoreA(DWORD access, BOOL inherit, LPCSTR name) KMW_AS(OpenSemaphoreA);
KMW_EXPORT HANDLE OpenSemaphoreW(DWORD access, BOOL inherit, LPCWSTR name) KMW_AS(OpenSemaphoreW);
KMW_EXPORT BOOL ReleaseSemaphore(HANDLE semaphore, LONG count, PLONG before)
    KMW_AS(ReleaseSemaphore);

/* Milliseconds, or INFINITE. There are no asynchronous procedure calls, so alertable changes
 * nothing. A file's handle is always signaled, as nothing on it is ever under way. */
KMW_EXPORT DWORD WaitForSingleObject(HANDLE object, DWORD milliseconds) KMW_AS(WaitForSingleObject);
KMW_EXPORT DWORD WaitForSingleObjectEx(HANDLE object, DWORD milliseconds, BOOL alertable)
    KMW_AS(WaitForSingleObjectEx);
KMW_EXPORT DWORD WaitForMultipleObjects(DWORD count, const HANDLE *objects, BOOL all,
                                        DWORD milliseconds) KMW_AS(WaitForMultipleObjects);
KMW_EXPORT DWORD WaitForMultipleObjectsEx(DWORD count, const HANDLE *objects, BOOL all,
                                          DWORD milliseconds, BOOL alertable)
    KMW_AS(WaitForMultipleObjectsEx);
KMW_EXPORT DWORD SignalObjectAndWait(HANDLE to_signal, HANDLE to_wait_for, DWORD milliseconds,
                                     BOOL alertable) KMW_AS(SignalObjectAndWait);

/* The system -------------------------------------------------------------------------------- */

KMW_EXPORT void GetSystemInfo(LPSYSTEM_INFO information) KMW_AS(GetSystemInfo);
KMW_EXPORT void GetNativeSystemInfo(LPSYSTEM_INFO information) KMW_AS(GetNativeSystemInfo);
KMW_EXPORT HANDLE GetCurrentProcess(void) KMW_AS(GetCurrentProcess);
KMW_EXPORT DWORD GetCurrentProcessId(void) KMW_AS(GetCurrentProcessId);
KMW_EXPORT DWORD GetCurrentThreadId(void) KMW_AS(GetCurrentThreadId);
KMW_EXPORT void Sleep(DWORD milliseconds) KMW_AS(Sleep);
KMW_EXPORT ULONGLONG GetTickCount64(void) KMW_AS(GetTickCount64);
KMW_EXPORT void GetSystemTimeAsFileTime(LPFILETIME time) KMW_AS(GetSystemTimeAsFileTime);
KMW_EXPORT BOOL QueryPerformanceCounter(PLARGE_INTEGER count) KMW_AS(QueryPerformanceCounter);
KMW_EXPORT BOOL QueryPerformanceFrequency(PLARGE_INTEGER per_second)
    KMW_AS(QueryPerformanceFrequency);

#ifdef __cplusplus
}
#endif

/* TCHAR is char: the names without a suffix are the A calls. */
#define CreateEvent CreateEventA
#define CreateFile CreateFileA
#define CreateFileMapping CreateFileMappingA
#define CreateMutex CreateMutexA
#define CreateSemaphore CreateSemaphoreA
#define DeleteFile DeleteFileA
#define FormatMessage FormatMessageA
#define GetDiskFreeSpaceEx GetDiskFreeSpaceExA
#define GetFileAttributes GetFileAttributesA
#define GetFileAttributesEx GetFileAttributesExA
#define GetFullPathName GetFullPathNameA
#define GetTempPath GetTempPathA
#define MoveFileEx MoveFileExA
#define OpenEvent OpenEventA
#define OpenFileMapping OpenFileMappingA
#define OpenMutex OpenMutexA
#define OpenSemaphore OpenSemaphoreA
#define ReplaceFile ReplaceFileA

#endif /* !_WIN32 */
#endif /* KEEPMAP_WIN32_H */
