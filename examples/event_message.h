/*
 * event_message.h - what the event servers and clients have agreed upon: the names of what they
 * share, and what a message looks like in shared memory.
 *
 * The four programs, in C and in C++, may be mixed: one server and one client. (Each message is for
 * one reader: of two clients each would get some of them, and one the goodbye.) In shared memory a
 * type must mean the same to everybody: whole numbers of a fixed size, text in an array, never a
 * pointer.
 */
#ifndef EVENT_MESSAGE_H
#define EVENT_MESSAGE_H

#include <stddef.h>

#include <windows.h>

#define MESSAGE_TEXT_SIZE 256

typedef struct event_message {
    DWORD last;                   /* not 0: the server says goodbye, and there is no text */
    char text[MESSAGE_TEXT_SIZE]; /* with a zero at its end */
} event_message;

/*
 * All objects share one name space, so each has its own suffix:
 *   memory  a file mapping with one event_message
 *   ready   an auto-reset event: the server has written, the client may read
 *   taken   an auto-reset event: the client has read, the server may write
 *   alive   a mutex that the server owns as long as it lives
 * "Local\" is this user's session.
 */
#define DEFAULT_NAME "Local\\keepmap-example-events"
#define MEMORY_SUFFIX ".memory"
#define READY_SUFFIX ".ready"
#define TAKEN_SUFFIX ".taken"
#define ALIVE_SUFFIX ".alive"

/* A name that leaves room for the longest suffix. Cut, it would be another name. */
#define NAME_SIZE (MAX_PATH - (sizeof MEMORY_SUFFIX - 1))

/* How much of this text goes into one message: whole UTF-8 characters. */
static inline size_t message_length(const char *text, size_t length) {
    const size_t most = MESSAGE_TEXT_SIZE - 1;
    if (length <= most) {
        return length;
    }
    size_t cut = most;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0u) == 0x80u) { /* not where one begins */
        --cut;
    }
    return cut > 0 ? cut : most; /* that was not UTF-8 */
}

#endif /* EVENT_MESSAGE_H */
