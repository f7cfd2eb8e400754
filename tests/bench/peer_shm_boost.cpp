// peer_shm_boost.cpp - Boost.Interprocess: shared_memory_object and mapped_region.
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>

#include <cstdio>
#include <exception>

#include "shm_peers.h"

namespace ipc = boost::interprocess;

static void store(const ipc::shared_memory_object &memory) {
    ipc::mapped_region region(memory, ipc::read_write);
    *static_cast<volatile char *>(region.get_address()) = 1;
}

extern "C" bool peer_create_boost(void *name, uint64_t count) {
    const char *text = static_cast<const char *>(name);
    try {
        for (; count > 0; count--) {
            {
                ipc::shared_memory_object memory(ipc::create_only, text, ipc::read_write);
                memory.truncate(SHM_SIZE);
                store(memory);
            }
            ipc::shared_memory_object::remove(text);
        }
        return true;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "boost: %s\n", error.what());
        return false;
    }
}

extern "C" bool peer_attach_boost(void *name, uint64_t count) {
    try {
        for (; count > 0; count--) {
            ipc::shared_memory_object memory(ipc::open_only, static_cast<const char *>(name),
                                             ipc::read_write);
            store(memory);
        }
        return true;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "boost: %s\n", error.what());
        return false;
    }
}
