/*
 * event_client.cpp - event_client.c in C++: prints the lines that a server sends.
 *
 *     event_client_cpp [NAME]
 */
#include <cstring>
#include <exception>
#include <iostream>
#include <string>

#include "event_channel.hpp"

namespace {

class channel {
  public:
    explicit channel(const std::string &name)
        : memory_(unique_handle::opened(
              OpenFileMappingA(FILE_MAP_READ, FALSE, (name + MEMORY_SUFFIX).c_str()),
              "OpenFileMapping")),
          ready_(unique_handle::opened(
              OpenEventA(SYNCHRONIZE, FALSE, (name + READY_SUFFIX).c_str()), "OpenEvent")),
          taken_(unique_handle::opened(
              OpenEventA(EVENT_MODIFY_STATE, FALSE, (name + TAKEN_SUFFIX).c_str()), "OpenEvent")),
          alive_(unique_handle::opened(
              OpenMutexA(SYNCHRONIZE, FALSE, (name + ALIVE_SUFFIX).c_str()), "OpenMutex")),
          message_(memory_, FILE_MAP_READ) {
    }

    /* False: that was the last. */
    bool receive(std::string &text) {
        wait();
        bool more = message_->last == 0;
        const void *end = std::memchr(message_->text, 0, sizeof message_->text);
        text.assign(message_->text, end == nullptr
                                        ? sizeof message_->text
                                        : static_cast<std::size_t>(static_cast<const char *>(end) -
                                                                   message_->text));
        if (!SetEvent(taken_.get())) {
            throw_last_error("SetEvent");
        }
        return more;
    }

  private:
    /* For a message, or for the mutex, which the server owns as long as it lives. */
    void wait() {
        const HANDLE either[] = {ready_.get(), alive_.get()};
        switch (WaitForMultipleObjects(2, either, FALSE, INFINITE)) {
        case WAIT_OBJECT_0:
            return;
        case WAIT_OBJECT_0 + 1:
        case WAIT_ABANDONED_0 + 1:
            ReleaseMutex(alive_.get());
            throw std::runtime_error("the server is gone");
        default:
            throw_last_error("WaitForMultipleObjects");
        }
    }

    unique_handle memory_;
    unique_handle ready_;
    unique_handle taken_;
    unique_handle alive_;
    unique_view<const event_message> message_;
};

void print_all(const std::string &name) {
    channel server(name);
    std::cout << "connected" << std::endl;
    for (std::string text; server.receive(text);) {
        std::cout << "received: " << text << std::endl;
    }
    std::cout << "the server says goodbye" << std::endl;
}

} // namespace

int main(int argc, char **argv) {
    try {
        print_all(argc > 1 ? argv[1] : DEFAULT_NAME);
        return 0;
    } catch (const std::exception &failure) {
        std::cerr << "event_client: " << failure.what() << '\n';
        return 1;
    }
}
