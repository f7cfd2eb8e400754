/*
 * event_message.h - what the event servers and clients have agreed upon: the names of what they
 * share, and what a message looks like in shared memory.
 *
 * The four programs, in C and in C++, may be mixed. In shared memory a type must mean the same to
 * everybody: whole numbers of a fixed size, text in an array, never a pointer.
 */
#ifndef EVENT_MESSAGE_H
#define EVENT_MESSAGE_H

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

#endif /* EVENT_MESSAGE_H */
