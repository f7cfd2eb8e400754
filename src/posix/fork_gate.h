/*
 * fork_gate.h - stretches of work in which this process must not fork.
 *
 * While an object is being made, opened or let go, there is a descriptor, locked perhaps, that no
 * handle knows of yet or any more. A child forked in that moment by another thread would have it,
 * and the lock with it, to its end: a name would live as long as that child, a file stay claimed.
 * So a fork waits for those who are at it, and they wait while it forks.
 */
#ifndef KMW_FORK_GATE_H
#define KMW_FORK_GATE_H

/*
 * Between these two the process does not fork. They nest, and are taken before every mutex. A
 * handler of a signal that comes in between may fork all the same: what was under way is its
 * child's too, then.
 */
void kmw_fork_gate_close(void);
void kmw_fork_gate_open(void);

/* Once before the first use; after the handlers of all that is locked inside, so that a fork waits
 * here first. */
void kmw_fork_gate_watch(void);

#endif /* KMW_FORK_GATE_H */
