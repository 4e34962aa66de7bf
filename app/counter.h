// How far a piece of work is that is counted: a bar on a terminal, elsewhere a plain line every five seconds.
#pragma once

#include <chrono>
#include <string>

namespace rook::app {

class Counter {
 public:
  // `what`: of what there are `total`, in the plural. `enabled` false: nothing is shown.
  Counter(std::string what, int total, bool enabled = true);
  // Ends the bar's line.
  ~Counter();
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  // Not for two threads at once.
  void show(int done);

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_;
  int total_;
  bool enabled_, terminal_, open_ = false;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

}  // namespace rook::app
