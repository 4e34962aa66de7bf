#include "app/waiting.h"

#include <omp.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <thread>

namespace rook::app {

// Where there are more threads than processors libgomp spins for some microseconds only. So there is one more: the
// second of a team that has done its work and stays asleep.
void let_waiting_threads_sleep() {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT") || omp_get_max_threads() == 1) return;
  static std::atomic<bool> there{false};
  std::thread([] {
#pragma omp parallel num_threads(2)
    { there = true; }
    there.notify_one();
    while (true) pause();
  }).detach();
  there.wait(false);
}

}  // namespace rook::app
