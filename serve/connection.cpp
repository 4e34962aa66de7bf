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
  constexpr std::chrono::seconds kLinger{2};
  if (spoilt()) {
    // Closing with bytes unread would reset the connection and with it the answer on its way.
    ::shutdown(socket_, SHUT_WR);
    const auto until = Clock::now() + kLinger;
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

std::ptrdiff_t Connection::read(char* to, std::size_t size) {
  if (spoilt()) return -1;
  if (begin_ == end_) {
    // Checked here too: a client that always has a byte ready would never be waited for.
    if (Clock::now() >= deadline_ || !wait(POLLIN, deadline_)) {
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
