/* named_memory_1.c - the first of two processes with one piece of named memory, in the old style:
 * fills it, and waits for a key. */
#include <windows.h>
#include <stdio.h>
#include <conio.h>
#include <tchar.h>

#pragma comment(lib, "user32.lib")

#define BUF_SIZE 256
TCHAR szName[MAX_PATH] = TEXT("Global\\MyFileMappingObject");
TCHAR szMsg[] = TEXT("Message from first process.");

int _tmain(int argc, _TCHAR *argv[]) {
    HANDLE hMapFile;
    LPCTSTR pBuf;

    if (argc > 1)
        _tcsncpy(szName, argv[1], MAX_PATH - 1);

    hMapFile = CreateFileMapping(INVALID_HANDLE_VALUE, // use the paging file
                                 NULL,                 // default security
                                 PAGE_READWRITE,       // read and write access
                                 0,                    // size, high DWORD
                                 BUF_SIZE,             // size, low DWORD
                                 szName);              // name of the object
    if (hMapFile == NULL) {
        _tprintf(TEXT("No file mapping object (%d).\n"), GetLastError());
        return 1;
    }

    pBuf = (LPTSTR)MapViewOfFile(hMapFile, FILE_MAP_ALL_ACCESS, 0, 0, BUF_SIZE);
    if (pBuf == NULL) {
        _tprintf(TEXT("No view (%d).\n"), GetLastError());
        CloseHandle(hMapFile);
        return 1;
    }

    CopyMemory((PVOID)pBuf, szMsg, (_tcslen(szMsg) * sizeof(TCHAR)));
    _tprintf(TEXT("filled\n"));
    fflush(stdout);
    if (argc > 2)
        (void)getchar(); // without a console
    else
        (void)_getch();

    UnmapViewOfFile(pBuf);
    CloseHandle(hMapFile);
    return 0;
}
