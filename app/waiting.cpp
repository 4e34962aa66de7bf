#include "app/waiting.h"

#include <omp.h>
#include <sys/resource.h>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace rook::app {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 50ms, kSleepy = 500ms;
// In kLook. Two threads on two processors are driven off by the system two to nine times, with a third one that is
// always busy it is fifteen times.
constexpr long kManySwitches = 12;

// How often a thread of this program had to make room for another that wanted its processor.
long times_driven_off() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

// libgomp's threads spin for microseconds only while there are more of them than processors. So for a time there is one
// more: the second of a team that has nothing to do.
void let_threads_sleep_for(std::chrono::milliseconds time) {
  std::thread([time] {
    std::atomic<int> members{0};  // an empty region would be left out by the compiler
#pragma omp parallel num_threads(2)
    ++members;
    std::this_thread::sleep_for(time);
  }).join();
}

[[noreturn]] void watch() {
  for (long before = times_driven_off();;) {
    std::this_thread::sleep_for(kLook);
    if (times_driven_off() - before >= kManySwitches) let_threads_sleep_for(kSleepy);
    before = times_driven_off();
  }
}

}  // namespace

void watch_for_busy_processors() {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT") || omp_get_max_threads() == 1) return;
  std::thread(watch).detach();
}

}  // namespace rook::app
