// Walking over NHWC tensors: blocks over rows of pixels, the threads of a row over its pixels and channels, channels
// innermost, so that neighbouring threads touch neighbouring memory.
#pragma once

#include <type_traits>

#include "kernels/device.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {

template <class T>
__device__ __forceinline__ T* pixel_at(const Tensor& t, int n, int y, int x) {
  return static_cast<T*>(t.data) + ((std::int64_t{n} * t.h + y) * t.w + x) * t.pitch;
}

// Calls f(n, y, x, c) for every pixel of `t` and every N-th channel, N of which f handles. Launched on grid_over(t, N).
template <int N, class F>
__device__ __forceinline__ void for_vectors(const Tensor& t, F f) {
  const unsigned vectors = static_cast<unsigned>(t.c) / N, items = static_cast<unsigned>(t.w) * vectors;
  const unsigned rows = static_cast<unsigned>(t.n) * static_cast<unsigned>(t.h);
  for (unsigned row = blockIdx.y; row < rows; row += gridDim.y) {
    const unsigned n = row / static_cast<unsigned>(t.h), y = row - n * static_cast<unsigned>(t.h);
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < items; i += gridDim.x * blockDim.x) {
      const unsigned x = i / vectors;
      f(static_cast<int>(n), static_cast<int>(y), static_cast<int>(x), static_cast<int>((i - x * vectors) * N));
    }
  }
}

// The ruler of for_vectors. Throws Error when a row or the number of rows does not fit into 31 bits.
inline Grid grid_over(const char* operation, const Tensor& t, int width) {
  const std::int64_t items = std::int64_t{t.w} * t.c / width, rows = std::int64_t{t.n} * t.h;
  if (std::int64_t{t.w} * t.c > 0x7fffffff || rows > 0x7fffffff) {
    throw Error(
        fmt::format("{}: [{},{},{},{}] is more than a grid counts; split the batch", operation, t.n, t.h, t.w, t.c));
  }
  const int threads = static_cast<int>(std::clamp<std::int64_t>((items + kWarp - 1) / kWarp * kWarp, kWarp, 256));
  return {.blocks = dim3(blocks_for(items, threads), static_cast<unsigned>(std::min<std::int64_t>(rows, 65535))),
          .threads = static_cast<unsigned>(threads)};
}

// Calls visit(std::integral_constant<int, N>) with N elements of T per 16 bytes, or with 1.
template <class T, class Visit>
void with_width(bool vectors, Visit visit) {
  if (vectors) {
    visit(std::integral_constant<int, kVector<T>>{});
  } else {
    visit(std::integral_constant<int, 1>{});
  }
}

// The same for a kernel that only walks over `over`, reading and writing vectors of `a` and `b`:
// visit(Storage<T>, width, grid).
template <class Visit>
void with_vectors(const char* operation, const Tensor& over, const Tensor& a, const Tensor& b, Visit visit) {
  with_storage(operation, over.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    with_width<T>(is_vectorizable(a) && is_vectorizable(b),
                  [&](auto width) { visit(storage, width, grid_over(operation, over, width)); });
  });
}

}  // namespace rook::ROOK_GPU
