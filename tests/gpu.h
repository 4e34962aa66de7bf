// The devices that run the CUDA kernels: the emulator, and a GPU where there is one.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "engine/backend.h"
#include "kernels/emu/control.h"
#include "tests/mapped.h"

namespace rook::test {

struct Gpu {
  std::string name;  // "emu", "cuda"
  const Backend* ops = nullptr;
  Stream stream;
  // ThreadSanitizer watches the kernels. It sees a missing barrier in whichever order the threads run, with any numbers
  // of any type, but each thread takes it a hundred times as long: where this holds, cases run in one order of threads
  // and leave out types and shapes that bring no other way through a kernel. Every kernel runs all the same
  // (main_emu.cpp).
  bool watched = false;

  void finish() const { ops->runtime->synchronize(stream); }
  // Runs `body` under the emulator's orders of threads (forward, reverse, two shuffles; under AddressSanitizer, which
  // looks at addresses, one shuffle, watched forward alone); once on a GPU, which has its own.
  void for_each_order(const std::function<void(const std::string& order)>& body) const;
};

// Of a case that is about orders of threads, or about numbers alone: not run where ThreadSanitizer watches, see
// Gpu::watched.
inline doctest::skip unwatched() {
  return doctest::skip(emu::watched());
}

// Runs `body` for each device. What it hands to operations must be TestTensor, TestArray or Mapped<T>, made inside of
// `body`. With ROOK_TEST_DEVICE=cuda in the environment only a GPU counts, and its absence is a failure.
void for_each_gpu(const std::function<void(const Gpu&)>& body);

}  // namespace rook::test
