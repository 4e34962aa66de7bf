// A client's socket as bytes with a deadline. However slowly they trickle, a request comes within its time or not at
// all.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace rook::serve {

class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  // `read_by`: no request is waited for beyond it, whatever its own time; may become earlier at any moment.
  Connection(int socket, const std::atomic<Clock::time_point>& read_by) : socket_(socket), read_by_(read_by) {}
  ~Connection();  // closes; what the client still sends is taken for a moment, so that it gets to read its answer
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Waits for the first byte of a request. False when none comes, the client has closed, or `leave` says that this
  // connection, being idle, should go.
  template <class Leave>
  bool wait_for_request(std::chrono::milliseconds idle, Leave&& leave);

  // A request begins: it has until then, and may be as long as `most` bytes.
  void begin(std::chrono::milliseconds time, std::size_t most);
  void allow(std::size_t most) { left_ = most; }  // from here on
  void begin_answer(std::chrono::milliseconds time) { deadline_ = Clock::now() + time; }

  // Bytes read or written, as many as there are at once; 0 at the end of the stream, -1 after the deadline, the limit
  // or a failure.
  std::ptrdiff_t read(char* to, std::size_t size);
  std::ptrdiff_t write(const char* from, std::size_t size);

  int socket() const { return socket_; }
  bool timed_out() const { return timed_out_; }
  bool too_long() const { return too_long_; }
  // Not to be used for another request: part of this one was not read.
  void spoil() { spoilt_ = true; }
  bool spoilt() const { return spoilt_ || timed_out_ || too_long_; }

 private:
  static constexpr std::chrono::milliseconds kSlice{100};  // how long a stop may go unnoticed

  bool wait(short events, Clock::time_point until) const;
  // Waits for bytes until `until`, or the earlier moment that all requests must have come by. What is there already is
  // taken all the same.
  bool wait_to_read(Clock::time_point until) const;

  int socket_;
  const std::atomic<Clock::time_point>& read_by_;
  Clock::time_point deadline_{};
  std::size_t left_ = 0;  // bytes that this request may still take
  bool timed_out_ = false, too_long_ = false, spoilt_ = false;
  std::array<char, 16384> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is unread in it
};

template <class Leave>
bool Connection::wait_for_request(std::chrono::milliseconds idle, Leave&& leave) {
  for (const auto end = Clock::now() + idle; begin_ == end_;) {
    const auto now = Clock::now();
    if (wait(1 /* POLLIN */, std::min(end, now + kSlice))) return true;
    if (now >= end || leave()) return false;
  }
  return true;
}

}  // namespace rook::serve
