// thread_semaphore.cpp - more threads than a semaphore lets in at once, in the old style of C++,
// with the C library's way of starting threads.
#include <windows.h>
#include <process.h>
#include <tchar.h>
#include <algorithm>
#include <iostream>

const LONG MaxInside = 3;
const int ThreadCount = 8;

HANDLE hSemaphore = NULL;
LONG inside = 0, most = 0, visits = 0;

unsigned __stdcall Visit(void *) {
    if (::WaitForSingleObject(hSemaphore, INFINITE) != WAIT_OBJECT_0)
        return 1;
    LONG now = ::InterlockedIncrement(&inside), seen = most;
    while (now > seen && (seen = ::InterlockedCompareExchange(&most, now, seen)) < now)
        ;
    ::InterlockedIncrement(&visits);
    ::InterlockedDecrement(&inside);
    ::ReleaseSemaphore(hSemaphore, 1, NULL);
    return 0;
}

int _tmain() {
    hSemaphore = ::CreateSemaphore(NULL, MaxInside, MaxInside, NULL);
    if (!hSemaphore)
        return 1;
    HANDLE threads[ThreadCount];
    for (int i = 0; i < ThreadCount; ++i) {
        unsigned id;
        threads[i] = reinterpret_cast<HANDLE>(_beginthreadex(NULL, 0, &Visit, NULL, 0, &id));
        if (!threads[i])
            return 1;
    }
    ::WaitForMultipleObjects(ThreadCount, threads, TRUE, INFINITE);
    std::for_each(threads, threads + ThreadCount, ::CloseHandle);
    ::CloseHandle(hSemaphore);
    std::cout << visits << " visits, " << (most <= MaxInside ? "never too many" : "too many")
              << std::endl;
    return 0;
}
