// The emulator's stand-in for kernels/shared.cuh: memory of the block that runs on this OS thread, poisoned with NaNs
// when the block starts and, under AddressSanitizer, surrounded by guards.
#pragma once

#include <cuda_runtime.h>

#include "kernels/target.h"

namespace rook::ROOK_GPU {

// One object per block and type; contents are undefined (NaN) until written. Throws Error above 48 KiB per block.
template <class T>
T& block_shared() {
  static_assert(std::is_trivially_destructible_v<T>, "nothing destroys objects in shared memory");
  static constexpr char kTag = 0;  // its address stands for T
  return *static_cast<T*>(machine::static_shared(&kTag, sizeof(T), alignof(T)));
}

// The Grid::shared bytes of the launch, aligned to 128.
template <class T>
T* dynamic_shared() {
  return static_cast<T*>(machine::dynamic_shared());
}

}  // namespace rook::ROOK_GPU
