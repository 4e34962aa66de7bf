// For tests of the emulator: launches, and the error that a launch must end with.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emu/control.h"
#include "kernels/emu/sanitizers.h"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"
#include "tests/errors.h"

namespace rook::emu::test {

inline constexpr unsigned kAll = 0xffffffffu;

// On the NULL stream, and to the end.
template <class... Parameters, class... Arguments>
void run(Grid grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
  launch(Stream{}, grid, kernel, std::forward<Arguments>(arguments)...);
  check_cuda(cudaStreamSynchronize(nullptr), "running a kernel");
}

// The message of the Error that the launch throws; fails when it throws none.
template <class... Parameters, class... Arguments>
std::string error_of(Grid grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
  const std::string error = rook::test::error_of([&] { run(grid, kernel, std::forward<Arguments>(arguments)...); });
  REQUIRE_MESSAGE(!error.empty(), "the launch threw nothing");
  return error;
}

inline bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("'", part, "' is not in '", text, "'");
  return found;
}

// In every order of threads.
template <class Body>
void for_each_order(Body body) {
  set_thread_order(ThreadOrder::forward);
  body();
  set_thread_order(ThreadOrder::reverse);
  body();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    set_thread_order(ThreadOrder::shuffled, seed);
    body();
  }
  set_thread_order(ThreadOrder::forward);
}

}  // namespace rook::emu::test
