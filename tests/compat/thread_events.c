/* thread_events.c - threads that wait for one event, in the old style: the main thread fills a
 * buffer, lets all readers go at once, and waits for their end. */
#include <windows.h>
#include <stdio.h>

#define THREADCOUNT 4

HANDLE ghWriteEvent;
HANDLE ghThreads[THREADCOUNT];
int gBuffer;
LONG gReaders, gSum;

static DWORD WINAPI ThreadProc(LPVOID lpParam) {
    UNREFERENCED_PARAMETER(lpParam);

    switch (WaitForSingleObject(ghWriteEvent, INFINITE)) {
    case WAIT_OBJECT_0:
        InterlockedIncrement(&gReaders);
        InterlockedExchangeAdd(&gSum, gBuffer);
        break;
    default:
        printf("Wait error (%d)\n", GetLastError());
        return 0;
    }
    return 1;
}

int main(void) {
    DWORD dwThreadID, dwWaitResult;
    int i;

    ghWriteEvent = CreateEvent(NULL, TRUE, FALSE, NULL);
    if (ghWriteEvent == NULL) {
        printf("CreateEvent failed (%d)\n", GetLastError());
        return 1;
    }
    for (i = 0; i < THREADCOUNT; i++) {
        ghThreads[i] = CreateThread(NULL, 0, ThreadProc, NULL, 0, &dwThreadID);
        if (ghThreads[i] == NULL || dwThreadID == GetCurrentThreadId()) {
            printf("CreateThread failed (%d)\n", GetLastError());
            return 1;
        }
    }

    gBuffer = 7;
    if (WaitForMultipleObjects(THREADCOUNT, ghThreads, FALSE, 0) != WAIT_TIMEOUT)
        printf("A thread has not waited\n");
    if (!SetEvent(ghWriteEvent)) {
        printf("SetEvent failed (%d)\n", GetLastError());
        return 1;
    }

    dwWaitResult = WaitForMultipleObjects(THREADCOUNT, ghThreads, TRUE, 60000);
    printf("%s: %d readers, sum %d\n", dwWaitResult == WAIT_OBJECT_0 ? "all ended" : "wait failed",
           (int)gReaders, (int)gSum);

    for (i = 0; i < THREADCOUNT; i++)
        CloseHandle(ghThreads[i]);
    CloseHandle(ghWriteEvent);
    return 0;
}
