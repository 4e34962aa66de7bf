#include "serve/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rook::serve {
namespace {

static_assert(POLLIN == 1);

}  // namespace

Connection::~Connection() {
  constexpr std::chrono::milliseconds kLinger{2000}, kLastLinger{200};  // kLastLinger: when all must end
  if (spoilt()) {
    // Closing with bytes unread would reset the connection and with it the answer on its way.
    ::shutdown(socket_, SHUT_WR);
    const auto now = Clock::now(), until = now + (now < read_by_.load() ? kLinger : kLastLinger);
    while (Clock::now() < until && wait(POLLIN, until) && ::recv(socket_, buffer_.data(), buffer_.size(), 0) > 0) {
    }
  }
  ::close(socket_);
}

void Connection::begin(std::chrono::milliseconds time, std::size_t most) {
  deadline_ = Clock::now() + time;
  left_ = most;
}

bool Connection::wait(short events, Clock::time_point until) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waited{.fd = socket_, .events = events, .revents = 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::max<long>(0, left)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

bool Connection::wait_to_read(Clock::time_point until) const {
  for (auto now = Clock::now();; now = Clock::now()) {
    const auto end = std::min(until, read_by_.load());
    if (wait(POLLIN, std::min(end, now + kSlice))) return true;
    if (now >= end) return false;
  }
}

std::ptrdiff_t Connection::read(char* to, std::size_t size) {
  if (spoilt()) return -1;
  if (begin_ == end_) {
    // Checked here too: a client that always has a byte ready would never be waited for.
    if (Clock::now() >= deadline_ || !wait_to_read(deadline_)) {
      timed_out_ = true;
      return -1;
    }
    const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) return got;
    begin_ = 0;
    end_ = static_cast<std::size_t>(got);
  }
  if (left_ == 0) {
    too_long_ = true;
    return -1;
  }
  const std::size_t count = std::min({size, end_ - begin_, left_});
  std::memcpy(to, buffer_.data() + begin_, count);
  begin_ += count;
  left_ -= count;
  return static_cast<std::ptrdiff_t>(count);
}

std::ptrdiff_t Connection::write(const char* from, std::size_t size) {
  for (std::size_t written = 0; written < size;) {
    if (Clock::now() >= deadline_ || !wait(POLLOUT, deadline_)) return -1;
    const ssize_t sent = ::send(socket_, from + written, size - written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
    if (sent > 0) written += static_cast<std::size_t>(sent);
  }
  return static_cast<std::ptrdiff_t>(size);
}

}  // namespace rook::serve
