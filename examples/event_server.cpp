/*
 * event_server.cpp - event_server.c in C++: sends the lines typed into it to a client.
 *
 *     event_server_cpp [NAME]
 *
 * The members of a channel are made in the order in which they are declared, and destroyed in the
 * opposite one, however far making them got: nothing needs to be cleaned up by hand.
 */
#include <exception>
#include <iostream>
#include <string>

#include "event_channel.hpp"

namespace {

constexpr DWORD patience_ms = 30000;

/* Owned from its birth. If it was there already, there is another server. */
unique_handle own_mutex(const std::string &name) {
    unique_handle mutex(CreateMutexA(nullptr, TRUE, name.c_str()), "CreateMutex");
    if (GetLastError() == ERROR_ALREADY_EXISTS) {
        throw std::runtime_error("there is one already");
    }
    return mutex;
}

class channel {
  public:
    explicit channel(const std::string &name)
        : alive_(own_mutex(name + ALIVE_SUFFIX)),
          memory_(CreateFileMappingA(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0,
                                     sizeof(event_message), (name + MEMORY_SUFFIX).c_str()),
                  "CreateFileMapping"),
          ready_(CreateEventA(nullptr, FALSE, FALSE, (name + READY_SUFFIX).c_str()), "CreateEvent"),
          taken_(CreateEventA(nullptr, FALSE, FALSE, (name + TAKEN_SUFFIX).c_str()), "CreateEvent"),
          message_(memory_, FILE_MAP_WRITE) {
    }

    /* What fits into a message. */
    void send(const std::string &text) {
        std::size_t length = text.copy(message_->text, sizeof message_->text - 1);
        message_->text[length] = '\0';
        hand_over();
    }

    void say_goodbye() {
        message_->last = 1;
        hand_over();
    }

  private:
    void hand_over() {
        if (!SetEvent(ready_.get())) {
            throw_last_error("SetEvent");
        }
        if (WaitForSingleObject(taken_.get(), patience_ms) != WAIT_OBJECT_0) {
            throw std::runtime_error("nobody takes the message");
        }
    }

    unique_handle alive_;
    unique_handle memory_;
    unique_handle ready_;
    unique_handle taken_;
    unique_view<event_message> message_;
};

/* In one message, or, if it is too long for that, in several. */
void send_line(channel &client, const std::string &line) {
    std::size_t sent = 0;
    do {
        std::string piece = line.substr(sent, message_length(&line[sent], line.size() - sent));
        client.send(piece);
        std::cout << "sent: " << piece << std::endl;
        sent += piece.size();
    } while (sent < line.size());
}

void serve(const std::string &name) {
    channel client(name);
    std::cout << "waiting for a client; type lines for it, end with end of file" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        send_line(client, line);
    }
    client.say_goodbye();
}

} // namespace

int main(int argc, char **argv) {
    try {
        serve(argc > 1 ? argv[1] : DEFAULT_NAME);
        return 0;
    } catch (const std::exception &failure) {
        std::cerr << "event_server: " << failure.what() << '\n';
        return 1;
    }
}
