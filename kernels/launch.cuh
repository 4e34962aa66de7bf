// The only place that launches: from an operation's arguments to a checked kernel launch.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "kernels/storage.h"
#include "kernels/target.h"
#include "kernels/types.h"

namespace rook::ROOK_GPU {

struct Grid {
  dim3 blocks = 1;
  dim3 threads = 1;
  std::size_t shared = 0;  // bytes of dynamic shared memory
};

// Throws Error when a call of the CUDA runtime failed.
inline void check_cuda(cudaError_t status, const char* what, const SourceLocation& where = SourceLocation::current()) {
  if (status == cudaSuccess) return;
  throw Error(fmt::format("{}: {} failed: {}", where.function_name(), what, cudaGetErrorString(status)), where);
}

// Where to launch, and who asked: a Stream turns into one by itself and takes the caller's place along.
struct LaunchSite {
  LaunchSite(Stream s, SourceLocation w = SourceLocation::current())  // NOLINT: implicit on purpose
      : stream(static_cast<cudaStream_t>(s.handle)), where(w) {}
  cudaStream_t stream;
  SourceLocation where;
};

// What a block may have without asking, static and dynamic shared memory together.
inline constexpr std::size_t kDefaultShared = 48 * 1024;
// A launch does not know how much static memory its kernel has: from so much dynamic memory on it asks.
inline constexpr std::size_t kAskedShared = 32 * 1024;

template <class... Parameters, class... Arguments>
void launch(const LaunchSite& site, const Grid& grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (grid.shared >= kAskedShared)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared)),
               "asking for shared memory", site.where);
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared;
  config.stream = site.stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "the launch", site.where);
}

// Blocks of `threads` threads for `count` items, at most `most`: kernels stride over the grid.
inline unsigned blocks_for(std::int64_t count, int threads, std::int64_t most = 1 << 16) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((count + threads - 1) / threads, 1, most));
}

// Calls visit(Storage<float | __nv_bfloat16 | __half>). Throws Error for any other dtype.
template <class Visitor>
void with_storage(const char* operation, DType type, Visitor visit) {
  switch (type) {
    case DType::f32:
      return visit(Storage<float>{});
    case DType::bf16:
      return visit(Storage<__nv_bfloat16>{});
    case DType::f16:
      return visit(Storage<__half>{});
    default:
      break;
  }
  throw Error(fmt::format("{}: no implementation for {} tensors; use f32, bf16 or f16", operation, name_of(type)));
}

template <class Visitor>
void with_storage(const char* operation, DType first, DType second, Visitor visit) {
  with_storage(operation, first, [&](auto a) { with_storage(operation, second, [&](auto b) { visit(a, b); }); });
}

// Whether every pixel of `t` begins at, and is a multiple of, 16 bytes, so that rows can be read as Vec<T, kVector<T>>.
inline bool is_vectorizable(const Tensor& t) {
  const std::size_t size = size_of(t.dtype);
  return reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0 && static_cast<std::size_t>(t.pitch) * size % 16 == 0 &&
         static_cast<std::size_t>(t.c) * size % 16 == 0;
}

}  // namespace rook::ROOK_GPU
