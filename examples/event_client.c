/*
 * event_client.c - prints the lines that event_server.c sends.
 *
 *     event_client [NAME]
 *
 * It waits for two things at once: a message, or the server's end. The server owns a mutex as long
 * as it lives; when it is killed, the system gives the mutex to whoever waits for it, with the
 * remark WAIT_ABANDONED. So the client need not guess from a time-out. event_client.cpp is the same
 * in C++.
 */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include "event_message.h"

typedef struct channel {
    HANDLE memory;
    HANDLE ready;
    HANDLE taken;
    HANDLE alive;
    const event_message *message;
} channel;

static const char *object_name(const char *name, const char *suffix) {
    static char full[MAX_PATH];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    return full;
}

static void complain(const char *what) {
    fprintf(stderr, "event_client: %s failed with error %lu\n", what,
            (unsigned long)GetLastError());
}

/* A handle that is NULL was never opened. */
static void close_one(HANDLE handle) {
    if (handle != NULL) {
        CloseHandle(handle);
    }
}

static void close_channel(channel *c) {
    if (c->message != NULL) {
        UnmapViewOfFile(c->message);
    }
    close_one(c->alive);
    close_one(c->taken);
    close_one(c->ready);
    close_one(c->memory);
}

/* Called at once after the call that has opened it, or not. */
static BOOL opened(HANDLE handle, const char *what) {
    if (handle != NULL) {
        return TRUE;
    }
    if (GetLastError() == ERROR_FILE_NOT_FOUND) {
        fprintf(stderr, "event_client: there is no server; start event_server first\n");
    } else {
        complain(what);
    }
    return FALSE;
}

/* Each handle gets the rights that it needs: SYNCHRONIZE to wait, EVENT_MODIFY_STATE to set. */
static BOOL open_channel(channel *c, const char *name) {
    c->memory = OpenFileMappingA(FILE_MAP_READ, FALSE, object_name(name, MEMORY_SUFFIX));
    if (!opened(c->memory, "OpenFileMapping")) {
        return FALSE;
    }
    c->ready = OpenEventA(SYNCHRONIZE, FALSE, object_name(name, READY_SUFFIX));
    if (!opened(c->ready, "OpenEvent")) {
        return FALSE;
    }
    c->taken = OpenEventA(EVENT_MODIFY_STATE, FALSE, object_name(name, TAKEN_SUFFIX));
    if (!opened(c->taken, "OpenEvent")) {
        return FALSE;
    }
    c->alive = OpenMutexA(SYNCHRONIZE, FALSE, object_name(name, ALIVE_SUFFIX));
    if (!opened(c->alive, "OpenMutex")) {
        return FALSE;
    }
    c->message = MapViewOfFile(c->memory, FILE_MAP_READ, 0, 0, sizeof(event_message));
    if (c->message == NULL) {
        complain("MapViewOfFile");
        return FALSE;
    }
    return TRUE;
}

/* The message must be used up, or copied, before it is given back. */
static BOOL take(channel *c, BOOL *last) {
    *last = c->message->last != 0;
    if (!*last) {
        printf("received: %.*s\n", MESSAGE_TEXT_SIZE, c->message->text);
        fflush(stdout);
    }
    return SetEvent(c->taken);
}

static BOOL receive_all(channel *c) {
    const HANDLE either[2] = {c->ready, c->alive};
    for (;;) {
        BOOL last = FALSE;
        /* If both are there, the first counts: a message that a dead server has sent is read. */
        switch (WaitForMultipleObjects(2, either, FALSE, INFINITE)) {
        case WAIT_OBJECT_0:
            if (!take(c, &last)) {
                complain("SetEvent");
                return FALSE;
            }
            if (last) {
                printf("the server says goodbye\n");
                return TRUE;
            }
            break;
        case WAIT_OBJECT_0 + 1: /* the server has let the mutex go: it gave up */
        case WAIT_ABANDONED_0 + 1:
            ReleaseMutex(c->alive);
            fprintf(stderr, "event_client: the server is gone\n");
            return FALSE;
        default:
            complain("WaitForMultipleObjects");
            return FALSE;
        }
    }
}

int main(int argc, char **argv) {
    channel c = {NULL, NULL, NULL, NULL, NULL};
    const char *name = argc > 1 ? argv[1] : DEFAULT_NAME;
    if (strlen(name) >= NAME_SIZE) {
        fprintf(stderr, "event_client: the name is too long\n");
        return 1;
    }
    BOOL fine = open_channel(&c, name);
    if (fine) {
        printf("connected\n");
        fflush(stdout);
        fine = receive_all(&c);
    }
    close_channel(&c);
    return fine ? 0 : 1;
}
