/* named_memory_2.c - the second of two processes with one piece of named memory, in the old style:
 * shows what it finds there. */
#include <windows.h>
#include <stdio.h>
#include <conio.h>
#include <tchar.h>

#pragma comment(lib, "user32.lib")

#define BUF_SIZE 256
TCHAR szName[MAX_PATH] = TEXT("Global\\MyFileMappingObject");

int _tmain(int argc, _TCHAR *argv[]) {
    HANDLE hMapFile;
    LPCTSTR pBuf;

    if (argc > 1)
        _tcsncpy(szName, argv[1], MAX_PATH - 1);

    hMapFile = OpenFileMapping(FILE_MAP_ALL_ACCESS, FALSE, szName);
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

    _tprintf(TEXT("%s\n"), pBuf);
    if (argc < 3)
        MessageBox(NULL, pBuf, TEXT("Process2"), MB_OK);

    UnmapViewOfFile(pBuf);
    CloseHandle(hMapFile);
    return 0;
}
