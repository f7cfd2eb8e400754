// peer_boost.cpp - Boost.Interprocess: file_mapping and mapped_region.
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>

#include <cstdio>
#include <exception>

#include "peers.h"

namespace ipc = boost::interprocess;

extern "C" bool peer_open_boost(void *path, uint64_t count) {
    try {
        for (; count > 0; count--) {
            ipc::file_mapping file(static_cast<const char *>(path), ipc::read_only);
            ipc::mapped_region region(file, ipc::read_only);
            (void)*static_cast<volatile const char *>(region.get_address());
        }
        return true;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "boost: %s\n", error.what());
        return false;
    }
}
