/*
 * thread_self.h - which thread this is.
 */
#ifndef KMW_THREAD_SELF_H
#define KMW_THREAD_SELF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The system's number of the calling thread: given again once the thread has ended. */
pid_t kmw_thread_id(void);

/*
 * The calling thread for ever: its id in the low half, and in the high one which of this process's
 * threads it is. Never 0. A forked child's thread is not its parent's.
 */
uint64_t kmw_thread_self(void);

/* Does that thread of this process live? A dead one's robust mutexes have been let go. */
bool kmw_thread_lives(uint64_t thread);

#endif /* KMW_THREAD_SELF_H */
