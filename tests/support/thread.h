/*
 * thread.h - threads in a test, the same way on POSIX and Windows.
 *
 * A thread must not fail a test; it tells what it saw, and whoever joins it judges.
 */
#ifndef TESTS_THREAD_H
#define TESTS_THREAD_H

typedef struct thread thread;

/* Fails the current test if there can be none. */
thread *thread_start(void (*run)(void *arg), void *arg);
/* Waits for its end, and frees. */
void thread_join(thread *one);

#endif /* TESTS_THREAD_H */
