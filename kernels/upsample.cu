// Nearest neighbour, times scale: y[n, oy, ox, c] = scale x[n, oy / s, ox / s, c]; backward sums the s x s pixels that
// were copied, in their order. A thread owns one vector of channels of the small side, so that it is read (or written)
// once.
#include "kernels/ops.h"
#include "kernels/pixels.cuh"
#include "kernels/spatial.h"

namespace rook::ROOK_GPU {
namespace {

template <class T, int N>
__global__ void upsample_kernel(UpsampleForward args) {
  for_vectors<N>(args.x, [&](int n, int iy, int ix, int c) {
    float values[N];
    load_floats<N>(pixel_at<const T>(args.x, n, iy, ix) + c, values);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] *= args.scale;
    for (int r = 0; r < args.stride; ++r) {
      T* out = pixel_at<T>(args.y, n, iy * args.stride + r, ix * args.stride) + c;
      for (int s = 0; s < args.stride; ++s, out += args.y.pitch) store_floats<N>(out, values);
    }
  });
}

template <class T, int N>
__global__ void upsample_backward_kernel(UpsampleBackward args) {
  for_vectors<N>(args.dx, [&](int n, int iy, int ix, int c) {
    float sum[N] = {};
    for (int r = 0; r < args.stride; ++r) {
      const T* dy = pixel_at<const T>(args.dy, n, iy * args.stride + r, ix * args.stride) + c;
      for (int s = 0; s < args.stride; ++s, dy += args.dy.pitch) {
        float values[N];
        load_floats<N>(dy, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += values[k];
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] *= args.scale;
    put_gradient<N>(pixel_at<T>(args.dx, n, iy, ix) + c, sum, args.mode);
  });
}

}  // namespace

void upsample_forward(const UpsampleForward& args, Stream stream) {
  check_args(args);
  with_vectors("upsample_forward", args.x, args.x, args.y, [&](auto storage, auto width, const Grid& grid) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, upsample_kernel<T, width.value>, args);
  });
}

void upsample_backward(const UpsampleBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_vectors("upsample_backward", args.dx, args.dx, args.dy, [&](auto storage, auto width, const Grid& grid) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, upsample_backward_kernel<T, width.value>, args);
  });
}

}  // namespace rook::ROOK_GPU
