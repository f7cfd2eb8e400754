/*
 * event_channel.hpp - what the event server and client in C++ have in common: objects that close
 * themselves, and failures that are exceptions.
 */
#ifndef EVENT_CHANNEL_HPP
#define EVENT_CHANNEL_HPP

#include <stdexcept>
#include <string>

#include <windows.h>

#include "event_message.h"

/* Called at once after what has failed: the last error is the thread's latest. */
[[noreturn]] inline void throw_last_error(const std::string &what) {
    throw std::runtime_error(what + " failed with error " + std::to_string(GetLastError()));
}

/* Owns a handle. It can be moved, not copied: there is one CloseHandle for each handle. */
class unique_handle {
  public:
    unique_handle(HANDLE handle, const char *what) : handle_(handle) {
        if (handle_ == nullptr) {
            throw_last_error(what);
        }
    }
    /* Of something that exists only while there is a server. */
    static unique_handle opened(HANDLE handle, const char *what) {
        if (handle == nullptr && GetLastError() == ERROR_FILE_NOT_FOUND) {
            throw std::runtime_error("there is no server; start event_server first");
        }
        return unique_handle(handle, what);
    }
    unique_handle(unique_handle &&other) noexcept : handle_(other.handle_) {
        other.handle_ = nullptr;
    }
    unique_handle(const unique_handle &) = delete;
    unique_handle &operator=(const unique_handle &) = delete;
    unique_handle &operator=(unique_handle &&) = delete;
    ~unique_handle() {
        if (handle_ != nullptr) {
            CloseHandle(handle_);
        }
    }
    HANDLE get() const {
        return handle_;
    }

  private:
    HANDLE handle_;
};

/* Owns a view of a T at the beginning of a section. */
template <typename T> class unique_view {
  public:
    unique_view(const unique_handle &section, DWORD access)
        : at_(static_cast<T *>(MapViewOfFile(section.get(), access, 0, 0, sizeof(T)))) {
        if (at_ == nullptr) {
            throw_last_error("MapViewOfFile");
        }
    }
    unique_view(const unique_view &) = delete;
    unique_view &operator=(const unique_view &) = delete;
    ~unique_view() {
        UnmapViewOfFile(at_);
    }
    T *operator->() const {
        return at_;
    }

  private:
    T *at_;
};

#endif /* EVENT_CHANNEL_HPP */
