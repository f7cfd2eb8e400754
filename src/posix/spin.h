/*
 * spin.h - looking again for a moment before going to sleep.
 *
 * Waking a sleeper on another, idle processor takes some 20 microseconds. Who is answered sooner
 * than that does better to stay awake; who is not has wasted that much. So each thread learns
 * whether its waits are short, spins as long as that pays, and tries again now and then when it
 * did not.
 *
 * Where a thread may use one processor only, nobody can answer while it spins. There it lets others
 * go first, once: if the partner answers then, it finds nobody asleep, and two system calls and a
 * timer become one.
 *
 *     kmw_spin spin;
 *     if (kmw_spin_begin(&spin)) {
 *         do { look; } while (not found && kmw_spin_on(&spin));
 *         kmw_spin_end(found);
 *     }
 */
#ifndef KMW_SPIN_H
#define KMW_SPIN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct kmw_spin {
    bool yields; /* for want of another processor */
    unsigned looks;
    int64_t until;
} kmw_spin;

bool kmw_spin_begin(kmw_spin *spin);
bool kmw_spin_on(kmw_spin *spin);
void kmw_spin_end(bool paid);

#endif /* KMW_SPIN_H */
