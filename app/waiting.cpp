#include "app/waiting.h"

#include <omp.h>
#include <sys/resource.h>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace rook::app {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 20ms, kSleepy = 500ms;
constexpr long kManySwitches = 4;  // in kLook: another program gets its turn every few milliseconds

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
#pragma omp parallel num_threads(2)
    {}
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
