#include "app/counter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "model/progress.h"

namespace rook::app {

Counter::Counter(std::string what, int total, bool enabled)
    : what_(std::move(what)), total_(total), enabled_(enabled), terminal_(isatty(STDERR_FILENO) != 0) {}

Counter::~Counter() {
  if (open_) std::fputc('\n', stderr);
}

void Counter::show(int done) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  const bool last = done == total_ && (terminal_ || shown_ != start_);  // short work needs no line in a log
  if (now - shown_ < pause && !last) return;
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const std::string left = clock_text(elapsed / done * (total_ - done));
  if (terminal_) {
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(static_cast<long long>(kWidth) * done / total_);
    fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {}/{} {}  {} left\x1b[K", "", filled, "", kWidth - filled, done, total_,
               what_, left);
    open_ = true;
  } else {
    fmt::print(stderr, "{}/{} {}  {} left\n", done, total_, what_, left);
  }
  std::fflush(stderr);
}

}  // namespace rook::app
