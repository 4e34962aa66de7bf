// The devices that run the CUDA kernels: the emulator, and a GPU where there is one.
#pragma once

#include <functional>
#include <string>

#include "engine/backend.h"
#include "tests/mapped.h"

namespace rook::test {

struct Gpu {
  std::string name;  // "emu", "cuda"
  const Backend* ops = nullptr;
  Stream stream;

  void finish() const { ops->runtime->synchronize(stream); }
  // Runs `body` under the emulator's orders of threads (forward, reverse, two shuffles); once on a GPU, which has its
  // own.
  void for_each_order(const std::function<void(const std::string& order)>& body) const;
};

// Runs `body` for each device. What it hands to operations must be TestTensor, TestArray or Mapped<T>, made inside of
// `body`. With ROOK_TEST_DEVICE=cuda in the environment only a GPU counts, and its absence is a failure.
void for_each_gpu(const std::function<void(const Gpu&)>& body);

}  // namespace rook::test
