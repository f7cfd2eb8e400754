/* thread_mutex.c - two threads that take turns at what a mutex guards, in the old style. */
#include <windows.h>
#include <stdio.h>

#define THREADCOUNT 2
#define TURNS 1000

HANDLE ghMutex;
int gCount;

DWORD WINAPI WriteToDatabase(_In_ LPVOID);

int main(void) {
    HANDLE aThread[THREADCOUNT];
    DWORD ThreadID;
    int i;

    ghMutex = CreateMutex(NULL, FALSE, NULL);
    if (ghMutex == NULL) {
        printf("CreateMutex error: %d\n", GetLastError());
        return 1;
    }
    for (i = 0; i < THREADCOUNT; i++) {
        aThread[i] =
            CreateThread(NULL, 0, (LPTHREAD_START_ROUTINE)WriteToDatabase, NULL, 0, &ThreadID);
        if (aThread[i] == NULL) {
            printf("CreateThread error: %d\n", GetLastError());
            return 1;
        }
    }
    WaitForMultipleObjects(THREADCOUNT, aThread, TRUE, INFINITE);
    for (i = 0; i < THREADCOUNT; i++)
        CloseHandle(aThread[i]);
    CloseHandle(ghMutex);
    printf("count %d\n", gCount);
    return 0;
}

DWORD WINAPI WriteToDatabase(LPVOID lpParam) {
    DWORD dwCount = 0;

    UNREFERENCED_PARAMETER(lpParam);
    while (dwCount < TURNS) {
        switch (WaitForSingleObject(ghMutex, INFINITE)) {
        case WAIT_OBJECT_0:
            gCount++;
            dwCount++;
            if (!ReleaseMutex(ghMutex))
                ExitThread(1);
            break;
        case WAIT_ABANDONED:
            return FALSE;
        }
    }
    return TRUE;
}
