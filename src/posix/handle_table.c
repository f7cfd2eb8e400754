/*
 * handle_table.c - slots for handles, and the counting of the objects behind them.
 *
 * A slot's state is one atomic word:
 *
 *     generation 9 bits | open | inherit | protected | users 20 bits
 *
 * A call that uses a handle compares the generation, sees that the slot is open and adds itself to
 * the users in one compare-and-swap. Closing takes the open bit away. Whoever then takes the last
 * user away lets the object go and puts the slot back; that happens exactly once, and never while
 * a call is inside. Since closing makes itself a user first, the last user of a closed slot always
 * exists. 20 bits are more users than Linux has threads for a process by far.
 *
 * The object and the access of a slot are written before the word that opens it (release) and read
 * after a successful compare-and-swap on it (acquire).
 *
 * Free slots wait in a queue: a slot is used again only after KEPT_FREE others have been closed
 * after it, and its handle is the same again only after 512 such rounds. So a stale handle is seen
 * as such for half a million closes.
 */
#include "handle_table.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "file_mutexes.h"
#include "fork_gate.h"
#include "last_error.h"

enum {
    GENERATION_BITS = 9,
    SLOT_BITS = 20, /* with the generation and the two low bits: 31 */
    BLOCK_SLOTS = 1024,
    BLOCKS = (1 << SLOT_BITS) / BLOCK_SLOTS,
    KEPT_FREE = 1024,
};

#define ONE_USER ((uint32_t)1)
#define USERS (((uint32_t)1 << 20) - 1)
#define IS_PROTECTED ((uint32_t)1 << 20)
#define IS_INHERITED ((uint32_t)1 << 21)
#define IS_OPEN ((uint32_t)1 << 22)
#define GENERATION_SHIFT 23
#define GENERATION (~(uint32_t)0 << GENERATION_SHIFT)

typedef struct slot {
    _Atomic(uint32_t) state;
    DWORD access;
    kmw_object *object;
    unsigned next_free; /* 0: none; guarded by table_mutex */
} slot;

static _Atomic(slot *) blocks[BLOCKS];

/*
 * Guards what follows, next_free, and the making of blocks. A leaf: nothing is locked, and no
 * object is touched, while it is held. Taken around fork, so that it is free in the child.
 */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned first_free;
static unsigned last_free;
static unsigned free_count;
static unsigned slots_made = 1; /* slot 0 is never used, so that no handle is NULL */

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* ---- Objects ---- */

void kmw_object_init(kmw_object *object, const kmw_class *class) {
    object->class = class;
    atomic_init(&object->references, 1);
    atomic_init(&object->handles, 0);
}

void kmw_object_reference(kmw_object *object) {
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
}

void kmw_object_release(kmw_object *object) {
    if (atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) == 1) {
        object->class->destroy(object);
    }
}

static void object_drop_handle(kmw_object *object) {
    bool last = atomic_fetch_sub_explicit(&object->handles, 1, memory_order_acq_rel) == 1;
    if (last && object->class->last_handle != NULL) {
        object->class->last_handle(object);
    }
    kmw_object_release(object);
}

/* ---- Slots ---- */

/* Of a slot that has been made. */
static slot *slot_at(unsigned index) {
    slot *block = atomic_load_explicit(&blocks[index / BLOCK_SLOTS], memory_order_acquire);
    return &block[index % BLOCK_SLOTS];
}

static HANDLE handle_of(unsigned index, uint32_t state) {
    uintptr_t generation = state >> GENERATION_SHIFT;
    return (HANDLE)((generation << SLOT_BITS | index) << 2);
}

/* The slot a handle would name, and the generation it would have; NULL if there is no such slot. */
static slot *slot_named(HANDLE handle, unsigned *index, uint32_t *generation) {
    uintptr_t value = (uintptr_t)handle;
    if (value >> (GENERATION_BITS + SLOT_BITS + 2) != 0) {
        return NULL;
    }
    value >>= 2;
    *index = (unsigned)(value & ((1u << SLOT_BITS) - 1));
    *generation = (uint32_t)(value >> SLOT_BITS) << GENERATION_SHIFT;
    slot *block = atomic_load_explicit(&blocks[*index / BLOCK_SLOTS], memory_order_acquire);
    return block == NULL ? NULL : &block[*index % BLOCK_SLOTS];
}

/*
 * Changes a slot's state as long as it is open in this generation: takes `drop` away, then adds
 * `plus`. False if it is not, or if it has one of the bits of `unless`. The state before is *was.
 */
static bool change_state(slot *at, uint32_t generation, uint32_t drop, uint32_t plus,
                         uint32_t unless, uint32_t *was) {
    uint32_t state = atomic_load_explicit(&at->state, memory_order_relaxed);
    do {
        if ((state & (GENERATION | IS_OPEN)) != (generation | IS_OPEN) || (state & unless)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&at->state, &state, (state & ~drop) + plus,
                                                    memory_order_acq_rel, memory_order_relaxed));
    *was = state;
    return true;
}

static void queue_free(unsigned index) {
    slot_at(index)->next_free = 0;
    if (last_free == 0) {
        first_free = index;
    } else {
        slot_at(last_free)->next_free = index;
    }
    last_free = index;
    free_count++;
}

static unsigned dequeue_free(void) {
    unsigned index = first_free;
    first_free = slot_at(index)->next_free;
    if (first_free == 0) {
        last_free = 0;
    }
    free_count--;
    return index;
}

/* A slot never used before; 0 and *error if there is none any more. */
static unsigned make_slot(DWORD *error) {
    if (slots_made == 1u << SLOT_BITS) {
        *error = ERROR_TOO_MANY_OPEN_FILES;
        return 0;
    }
    _Atomic(slot *) *block = &blocks[slots_made / BLOCK_SLOTS];
    if (atomic_load_explicit(block, memory_order_relaxed) == NULL) {
        slot *fresh = calloc(BLOCK_SLOTS, sizeof *fresh);
        if (fresh == NULL) {
            *error = ERROR_NOT_ENOUGH_MEMORY;
            return 0;
        }
        atomic_store_explicit(block, fresh, memory_order_release);
    }
    return slots_made++;
}

/* ---- fork ---- */

static void before_fork(void) {
    pthread_mutex_lock(&table_mutex);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&table_mutex);
}

static void slot_vacate(unsigned index);

/*
 * The threads that were using handles in the parent do not exist here, and never end their use; nor
 * do those that were about to let a closed one go.
 */
static void after_fork_in_child(void) {
    unsigned made = slots_made;
    pthread_mutex_unlock(&table_mutex);
    for (unsigned index = 1; index < made; index++) {
        slot *at = slot_at(index);
        uint32_t state = atomic_load_explicit(&at->state, memory_order_relaxed);
        atomic_store_explicit(&at->state, state & ~USERS, memory_order_relaxed);
        if (!(state & IS_OPEN) && at->object != NULL) {
            slot_vacate(index);
        }
    }
}

static void watch_forks(void) {
    /* Without memory for it, a fork in the middle of an open or a close is not safe; nothing else
     * depends on it. */
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    kmw_fork_gate_watch();
}

/* ---- Opening, using, closing ---- */

static unsigned take_slot(DWORD *error) {
    pthread_mutex_lock(&table_mutex);
    unsigned index = free_count > KEPT_FREE ? dequeue_free() : make_slot(error);
    if (index == 0 && free_count > 0) {
        index = dequeue_free();
    }
    pthread_mutex_unlock(&table_mutex);
    return index;
}

HANDLE kmw_handle_open(kmw_object *object, DWORD access, bool inherit) {
    pthread_once(&fork_once, watch_forks);
    DWORD error = ERROR_SUCCESS;
    unsigned index = take_slot(&error);
    if (index == 0) {
        SetLastError(error);
        return NULL;
    }
    kmw_object_reference(object);
    atomic_fetch_add_explicit(&object->handles, 1, memory_order_relaxed);

    slot *at = slot_at(index);
    at->object = object;
    at->access = access;
    uint32_t generation = atomic_load_explicit(&at->state, memory_order_relaxed) & GENERATION;
    uint32_t state = generation | IS_OPEN | (inherit ? IS_INHERITED : 0);
    atomic_store_explicit(&at->state, state, memory_order_release);
    return handle_of(index, state);
}

/* Of a closed slot whose last user has gone. */
static void slot_vacate(unsigned index) {
    kmw_fork_gate_close();
    slot *at = slot_at(index);
    kmw_object *object = at->object;
    at->object = NULL;
    uint32_t state = atomic_load_explicit(&at->state, memory_order_relaxed);
    atomic_store_explicit(&at->state, (state & GENERATION) + ((uint32_t)1 << GENERATION_SHIFT),
                          memory_order_relaxed);
    pthread_mutex_lock(&table_mutex);
    queue_free(index);
    pthread_mutex_unlock(&table_mutex);

    DWORD error = GetLastError();
    object_drop_handle(object);
    SetLastError(error);
    kmw_fork_gate_open();
}

static void end_use(unsigned index) {
    uint32_t was =
        atomic_fetch_sub_explicit(&slot_at(index)->state, ONE_USER, memory_order_acq_rel);
    if ((was & (IS_OPEN | USERS)) == ONE_USER) {
        slot_vacate(index);
    }
}

kmw_use kmw_use_begin(HANDLE handle, kmw_kind kind) {
    unsigned index = 0;
    uint32_t generation = 0;
    uint32_t was = 0;
    slot *at = slot_named(handle, &index, &generation);
    if (at == NULL || !change_state(at, generation, 0, ONE_USER, 0, &was)) {
        kmw_fail(ERROR_INVALID_HANDLE);
        return (kmw_use){0};
    }
    kmw_use use = {.object = at->object,
                   .access = at->access,
                   .slot = index,
                   .generation = kmw_fork_generation()};
    if (kind != KMW_ANY && use.object->class->kind != kind) {
        end_use(index);
        kmw_fail(ERROR_INVALID_HANDLE);
        return (kmw_use){0};
    }
    return use;
}

/* A thread that forked while it was using one has it in both processes; here it was ended for it.
 */
void kmw_use_end(kmw_use use) {
    if (use.generation == kmw_fork_generation()) {
        end_use(use.slot);
    }
}

BOOL kmw_handle_close(HANDLE handle, bool forced) {
    unsigned index = 0;
    uint32_t generation = 0;
    uint32_t was = 0;
    slot *at = slot_named(handle, &index, &generation);
    /* Closed and used by this call in one step: of several that close it, one succeeds. */
    if (at == NULL ||
        !change_state(at, generation, IS_OPEN, ONE_USER, forced ? 0 : IS_PROTECTED, &was)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    end_use(index);
    return TRUE;
}

bool kmw_handle_flags(HANDLE handle, DWORD mask, DWORD flags, DWORD *now) {
    uint32_t drop = (mask & HANDLE_FLAG_INHERIT ? IS_INHERITED : 0) |
                    (mask & HANDLE_FLAG_PROTECT_FROM_CLOSE ? IS_PROTECTED : 0);
    uint32_t plus = (flags & HANDLE_FLAG_INHERIT ? IS_INHERITED : 0) |
                    (flags & HANDLE_FLAG_PROTECT_FROM_CLOSE ? IS_PROTECTED : 0);
    plus &= drop;
    unsigned index = 0;
    uint32_t generation = 0;
    uint32_t was = 0;
    slot *at = slot_named(handle, &index, &generation);
    if (at == NULL || !change_state(at, generation, drop, plus, 0, &was)) {
        return kmw_fail(ERROR_INVALID_HANDLE);
    }
    uint32_t state = (was & ~drop) + plus;
    *now = (state & IS_INHERITED ? HANDLE_FLAG_INHERIT : 0) |
           (state & IS_PROTECTED ? HANDLE_FLAG_PROTECT_FROM_CLOSE : 0);
    return true;
}

/*
 * At exit every handle is closed, as Windows closes a process's handles: files to be deleted on
 * close go. Another thread that is still inside a call keeps its object until it comes out, which
 * may be never.
 */
__attribute__((destructor)) static void close_all(void) {
    pthread_mutex_lock(&table_mutex);
    unsigned made = slots_made;
    pthread_mutex_unlock(&table_mutex);
    for (unsigned index = 1; index < made; index++) {
        uint32_t state = atomic_load_explicit(&slot_at(index)->state, memory_order_relaxed);
        if (state & IS_OPEN) {
            (void)kmw_handle_close(handle_of(index, state), true); /* or somebody else just has */
        }
    }
}
