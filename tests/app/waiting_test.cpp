// Threads that wait for one another leave the processor to others.
#include "app/waiting.h"

#include <doctest/doctest.h>
#include <omp.h>
#include <sys/resource.h>
#include <chrono>
#include <thread>

#include "tests/app/cli_support.h"

using namespace rook;
using namespace rook::test;

namespace {

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

// Run in a process of its own by the test below: libgomp reads its environment but once.
TEST_CASE("waiting: child whose threads wait" * doctest::skip()) {
  constexpr int kRegions = 30;
  constexpr auto kSleep = std::chrono::milliseconds(3);
  app::let_waiting_threads_sleep();
  const auto wait_for_one = [&] {
#pragma omp parallel
    if (omp_get_thread_num() == 0) std::this_thread::sleep_for(kSleep);
  };
  wait_for_one();  // starts the threads
  const double before = processor_seconds();
  for (int i = 0; i < kRegions; ++i) wait_for_one();
  const double waited = kRegions * std::chrono::duration<double>(kSleep).count();
  MESSAGE("processor time of a thread that waits: ", (processor_seconds() - before) / waited, " of the time");
  CHECK(processor_seconds() - before < 0.25 * waited);
}

TEST_CASE("waiting: a thread that waits for another sleeps") {
  if (omp_get_max_threads() == 1) return;
  const TempFolder folder;
  Child child(folder / ".", {"/usr/bin/env", "-u", "OMP_WAIT_POLICY", "-u", "GOMP_SPINCOUNT",
                             fs::read_symlink("/proc/self/exe").string(), "--no-skip=1",
                             "--test-case=waiting: child whose threads wait"});
  CHECK_MESSAGE(child.wait() == 0, child.out());
}
