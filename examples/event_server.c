/*
 * event_server.c - sends the lines typed into it to event_client.c, one after the other. A line
 * that is too long for a message goes as several.
 *
 *     event_server [NAME]
 *
 * Shared memory alone does not tell anybody that there is something new in it, nor keep a writer
 * from overwriting what nobody has read. Two events do: "ready" hands the memory to the client,
 * "taken" hands it back. Both reset themselves when a waiter is let go, so each SetEvent lets
 * exactly one turn happen. event_server.cpp is the same in C++.
 */
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include "event_message.h"

#define PATIENCE_MS 30000

typedef struct channel {
    HANDLE memory;
    HANDLE ready;
    HANDLE taken;
    HANDLE alive;
    event_message *message;
} channel;

static const char *object_name(const char *name, const char *suffix) {
    static char full[MAX_PATH];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    return full;
}

static void complain(const char *what) {
    fprintf(stderr, "event_server: %s failed with error %lu\n", what,
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

/* The mutex comes first, and is owned from its birth: whoever finds it there already is a second
 * server, and leaves before touching the first one's memory. */
static BOOL make_channel(channel *c, const char *name) {
    c->alive = CreateMutexA(NULL, TRUE, object_name(name, ALIVE_SUFFIX));
    if (c->alive == NULL) {
        complain("CreateMutex");
        return FALSE;
    }
    if (GetLastError() == ERROR_ALREADY_EXISTS) {
        fprintf(stderr, "event_server: there is one already\n");
        return FALSE;
    }
    c->memory = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0,
                                   sizeof(event_message), object_name(name, MEMORY_SUFFIX));
    c->ready = CreateEventA(NULL, FALSE, FALSE, object_name(name, READY_SUFFIX));
    c->taken = CreateEventA(NULL, FALSE, FALSE, object_name(name, TAKEN_SUFFIX));
    if (c->memory == NULL || c->ready == NULL || c->taken == NULL) {
        complain("creating the channel");
        return FALSE;
    }
    c->message = MapViewOfFile(c->memory, FILE_MAP_WRITE, 0, 0, sizeof(event_message));
    if (c->message == NULL) {
        complain("MapViewOfFile");
        return FALSE;
    }
    return TRUE;
}

/* Gives the message away and waits until it has been taken. */
static BOOL send_message(channel *c) {
    if (!SetEvent(c->ready)) {
        complain("SetEvent");
        return FALSE;
    }
    if (WaitForSingleObject(c->taken, PATIENCE_MS) != WAIT_OBJECT_0) {
        fprintf(stderr, "event_server: nobody takes the message\n");
        return FALSE;
    }
    return TRUE;
}

/* What has been typed and not been sent: a byte more than a message takes, to see that there is. */
typedef struct typed {
    char text[MESSAGE_TEXT_SIZE];
    size_t length;
} typed;

/* The next line, or the next piece of a long one. FALSE: no more. */
static BOOL next_piece(typed *t, char piece[MESSAGE_TEXT_SIZE]) {
    int character = 0;
    while (t->length < sizeof t->text) {
        character = getchar();
        if (character == EOF || character == '\n') {
            break;
        }
        if (character != '\r') {
            t->text[t->length++] = (char)character;
        }
    }
    if (character == EOF && t->length == 0) {
        return FALSE;
    }
    size_t length = message_length(t->text, t->length);
    memcpy(piece, t->text, length);
    piece[length] = '\0';
    t->length -= length;
    memmove(t->text, t->text + length, t->length);
    return TRUE;
}

static BOOL serve(channel *c) {
    typed t = {{0}, 0};
    char piece[MESSAGE_TEXT_SIZE];
    while (next_piece(&t, piece)) {
        memcpy(c->message->text, piece, strlen(piece) + 1);
        if (!send_message(c)) {
            return FALSE;
        }
        printf("sent: %s\n", piece);
        fflush(stdout);
    }
    c->message->last = 1;
    return send_message(c);
}

int main(int argc, char **argv) {
    channel c = {NULL, NULL, NULL, NULL, NULL};
    const char *name = argc > 1 ? argv[1] : DEFAULT_NAME;
    if (strlen(name) >= NAME_SIZE) {
        fprintf(stderr, "event_server: the name is too long\n");
        return 1;
    }
    BOOL fine = make_channel(&c, name);
    if (fine) {
        printf("waiting for a client; type lines for it, end with end of file\n");
        fflush(stdout);
        fine = serve(&c);
    }
    close_channel(&c);
    return fine ? 0 : 1;
}
