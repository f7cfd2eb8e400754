/*
 * peer_shm_raw.c - shm_open and the system calls that go with it, alone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm_peers.h"

static bool store(int descriptor) {
    char *data = mmap(NULL, SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED) {
        perror("mmap");
        return false;
    }
    *(volatile char *)data = 1;
    munmap(data, SHM_SIZE);
    return true;
}

bool peer_create_raw(void *name, uint64_t count) {
    for (; count > 0; count--) {
        int descriptor = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
        if (descriptor < 0 || ftruncate(descriptor, SHM_SIZE) != 0 || !store(descriptor)) {
            perror(name);
            return false;
        }
        close(descriptor);
        shm_unlink(name);
    }
    return true;
}

bool peer_attach_raw(void *name, uint64_t count) {
    for (; count > 0; count--) {
        struct stat facts;
        int descriptor = shm_open(name, O_RDWR, 0);
        if (descriptor < 0 || fstat(descriptor, &facts) != 0 || !store(descriptor)) {
            perror(name);
            return false;
        }
        close(descriptor);
    }
    return true;
}

bool peer_make_existing(const char *name) {
    int descriptor = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    bool made = descriptor >= 0 && ftruncate(descriptor, SHM_SIZE) == 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    return made;
}

void peer_remove_existing(const char *name) {
    shm_unlink(name);
}
