/* file_view.c - a view of the middle of a file, in the old style: the offset is rounded down to the
 * allocation granularity, and what is wanted lies a little into the view. */
#include <windows.h>
#include <stdio.h>
#include <tchar.h>

#define BUFFSIZE 1024
#define FILE_MAP_START 138240

LPTSTR lpcTheFile = (LPTSTR)TEXT("fmtest.txt");

int main(void) {
    HANDLE hFile, hMapFile;
    DWORD dBytesWritten, dwFileMapSize, dwMapViewSize, dwFileMapStart, dwSysGran, dwFileSize;
    DWORD i;
    SYSTEM_INFO SysInfo;
    LPVOID lpMapAddress;
    char *pData;
    int iViewDelta;

    hFile = CreateFile(lpcTheFile, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_ATTRIBUTE_NORMAL, NULL);
    if (hFile == INVALID_HANDLE_VALUE) {
        _tprintf(TEXT("hFile is NULL: %d\n"), GetLastError());
        return 4;
    }

    GetSystemInfo(&SysInfo);
    dwSysGran = SysInfo.dwAllocationGranularity;
    dwFileMapStart = (FILE_MAP_START / dwSysGran) * dwSysGran;
    dwMapViewSize = (FILE_MAP_START % dwSysGran) + BUFFSIZE;
    dwFileMapSize = FILE_MAP_START + BUFFSIZE;
    iViewDelta = FILE_MAP_START - (int)dwFileMapStart;

    for (i = 0; i < dwFileMapSize; i += sizeof(i))
        WriteFile(hFile, &i, sizeof(i), &dBytesWritten, NULL);
    dwFileSize = GetFileSize(hFile, NULL);
    _tprintf(TEXT("file size: %u\n"), dwFileSize);

    hMapFile = CreateFileMapping(hFile, NULL, PAGE_READWRITE, 0, dwFileMapSize, NULL);
    if (hMapFile == NULL) {
        _tprintf(TEXT("hMapFile is NULL: last error: %d\n"), GetLastError());
        return 2;
    }
    lpMapAddress = MapViewOfFile(hMapFile, FILE_MAP_ALL_ACCESS, 0, dwFileMapStart, dwMapViewSize);
    if (lpMapAddress == NULL) {
        _tprintf(TEXT("lpMapAddress is NULL: last error: %d\n"), GetLastError());
        return 3;
    }

    pData = (char *)lpMapAddress + iViewDelta;
    _tprintf(TEXT("found: %d\n"), *(PINT)(PVOID)pData);

    if (!UnmapViewOfFile(lpMapAddress) || !CloseHandle(hMapFile) || !CloseHandle(hFile))
        return 5;
    return DeleteFile(lpcTheFile) ? 0 : 6;
}
