// peer_boost_condition.cpp - Boost.Interprocess: interprocess_mutex and interprocess_condition.
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <new>

#include "peers.h"

namespace ipc = boost::interprocess;

namespace {

struct Flag {
    ipc::interprocess_mutex mutex;
    ipc::interprocess_condition raised;
    bool is_up = false;
};

using Lock = ipc::scoped_lock<ipc::interprocess_mutex>;

} // namespace

extern "C" size_t peer_flag_boost_size(void) {
    return sizeof(Flag);
}

extern "C" void peer_flag_boost_make(void *memory) {
    new (memory) Flag;
}

extern "C" void peer_flag_boost_raise(void *memory) {
    Flag *flag = static_cast<Flag *>(memory);
    Lock lock(flag->mutex);
    flag->is_up = true;
    flag->raised.notify_one();
}

extern "C" void peer_flag_boost_await(void *memory) {
    Flag *flag = static_cast<Flag *>(memory);
    Lock lock(flag->mutex);
    while (!flag->is_up) {
        flag->raised.wait(lock);
    }
    flag->is_up = false;
}
