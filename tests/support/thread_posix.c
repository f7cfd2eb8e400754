/*
 * thread_posix.c - threads in a test, by pthreads.
 */
#include "thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct thread {
    pthread_t id;
    void (*run)(void *arg);
    void *arg;
};

static void *begin(void *arg) {
    thread *self = arg;
    self->run(self->arg);
    return NULL;
}

thread *thread_start(void (*run)(void *arg), void *arg) {
    thread *one = malloc(sizeof *one);
    assert_non_null(one);
    *one = (thread){.run = run, .arg = arg};
    assert_int_equal(pthread_create(&one->id, NULL, begin, one), 0);
    return one;
}

void thread_join(thread *one) {
    assert_int_equal(pthread_join(one->id, NULL), 0);
    free(one);
}
