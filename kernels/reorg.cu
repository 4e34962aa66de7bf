// Space to depth. Plain: the channels of wide pixel (j s + r, i s + q) are a run of deep pixel (j, i), at (r s + q) C.
// Legacy: darknet's permutation (kernels/legacy_reorg.h), element by element. Both maps are bijections, so one kernel
// each serves both directions: the plain one walks over the wide side, the legacy one over the deep side.
#include "kernels/legacy_reorg.h"
#include "kernels/ops.h"
#include "kernels/pixels.cuh"
#include "kernels/spatial.h"

namespace rook::ROOK_GPU {
namespace {

// to (=|+=) from, N elements.
template <int N, class T>
__device__ __forceinline__ void transfer(const T* from, T* to, Grad mode) {
  float values[N];
  load_floats<N>(from, values);
  put_gradient<N>(to, values, mode);
}

struct ReorgWay {
  int stride;
  bool reverse;  // from the deep side to the wide one
  Grad mode;
};

template <class T, int N>
__global__ void plain_reorg_kernel(Tensor wide, Tensor deep, ReorgWay way) {
  for_vectors<N>(wide, [&](int n, int y, int x, int c) {
    const int s = way.stride, j = y / s, i = x / s, tap = (y - j * s) * s + x - i * s;
    T* pixel = pixel_at<T>(wide, n, y, x) + c;
    T* run = pixel_at<T>(deep, n, j, i) + tap * wide.c + c;
    transfer<N>(way.reverse ? run : pixel, way.reverse ? pixel : run, way.mode);
  });
}

template <class T, class Index>
__global__ void legacy_reorg_kernel(Tensor wide, Tensor deep, ReorgWay way) {
  for_vectors<1>(deep, [&](int n, int j, int i, int k) {
    const Index index =
        (static_cast<Index>(k) * static_cast<Index>(deep.h) + static_cast<Index>(j)) * static_cast<Index>(deep.w) +
        static_cast<Index>(i);
    const PlanarPlace<Index> place = legacy_place(wide, way.stride, index);
    T* element = pixel_at<T>(wide, n, 0, 0) + static_cast<std::int64_t>(place.pixel) * wide.pitch + place.channel;
    T* own = pixel_at<T>(deep, n, j, i) + k;
    transfer<1>(way.reverse ? own : element, way.reverse ? element : own, way.mode);
  });
}

}  // namespace

void reorg(const Reorg& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const Tensor& wide = args.reverse ? args.y : args.x;
  const Tensor& deep = args.reverse ? args.x : args.y;
  const ReorgWay way{.stride = args.stride, .reverse = args.reverse, .mode = args.mode};
  if (!args.legacy) {
    with_vectors("reorg", wide, args.x, args.y, [&](auto storage, auto width, const Grid& grid) {
      using T = typename decltype(storage)::Type;
      launch(stream, grid, plain_reorg_kernel<T, width.value>, wide, deep, way);
    });
    return;
  }
  with_storage("reorg", wide.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    const Grid grid = grid_over("reorg", deep, 1);
    // Division of 32 bits is several times as fast.
    if (wide.elements() / wide.n <= 0x7fffffff) {
      launch(stream, grid, legacy_reorg_kernel<T, std::uint32_t>, wide, deep, way);
    } else {
      launch(stream, grid, legacy_reorg_kernel<T, std::int64_t>, wide, deep, way);
    }
  });
}

}  // namespace rook::ROOK_GPU
