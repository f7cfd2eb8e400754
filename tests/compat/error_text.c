/* error_text.c - says what the last error means, in the old style, and exits with its code. */
#include <windows.h>
#include <stdio.h>
#include <tchar.h>
#include <strsafe.h>

static void ErrorExit(LPCTSTR lpszFunction) {
    LPVOID lpMsgBuf;
    LPVOID lpDisplayBuf;
    DWORD dw = GetLastError();

    FormatMessage(FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM |
                      FORMAT_MESSAGE_IGNORE_INSERTS,
                  NULL, dw, MAKELANGID(LANG_NEUTRAL, SUBLANG_DEFAULT), (LPTSTR)&lpMsgBuf, 0, NULL);

    lpDisplayBuf = (LPVOID)LocalAlloc(
        LMEM_ZEROINIT,
        (SIZE_T)(lstrlen((LPCTSTR)lpMsgBuf) + lstrlen((LPCTSTR)lpszFunction) + 40) * sizeof(TCHAR));
    StringCchPrintf((LPTSTR)lpDisplayBuf, LocalSize(lpDisplayBuf) / sizeof(TCHAR),
                    TEXT("%s failed with error %d: %s"), lpszFunction, dw, (LPCTSTR)lpMsgBuf);
    _tprintf(TEXT("%s"), (LPCTSTR)lpDisplayBuf);

    LocalFree(lpMsgBuf);
    LocalFree(lpDisplayBuf);
    ExitProcess(dw);
}

int _tmain(void) {
    if (CreateFile(TEXT("there is no such file"), GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) ==
        INVALID_HANDLE_VALUE)
        ErrorExit(TEXT("CreateFile"));
    return 0;
}
