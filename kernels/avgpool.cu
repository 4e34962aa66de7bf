// Mean over windows, and mean over the image (darknet.md 1.5 "avgpool"). Backward gathers: each pixel sums over the
// windows that hold it, in the windows' order, without atomics.
#include "kernels/ops.h"
#include "kernels/pixels.cuh"
#include "kernels/pool_axis.h"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

// ---- mean over windows

template <class T, int N>
__global__ void local_avgpool_kernel(LocalAvgPoolForward args, PoolAxes axes) {
  for_vectors<N>(args.y, [&](int n, int oy, int ox, int c) {
    const PoolRange rows = axes.h.taps(oy), columns = axes.w.taps(ox);
    float sum[N] = {};
    for (int r = rows.begin; r < rows.end; ++r) {
      const T* in = pixel_at<const T>(args.x, n, axes.h.start(oy) + r, axes.w.start(ox) + columns.begin) + c;
      for (int s = columns.begin; s < columns.end; ++s, in += args.x.pitch) {
        float values[N];
        load_floats<N>(in, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += values[k];
      }
    }
    const float count = static_cast<float>(rows.size()) * static_cast<float>(columns.size());
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] /= count;
    store_floats<N>(pixel_at<T>(args.y, n, oy, ox) + c, sum);
  });
}

template <class T, int N>
__global__ void local_avgpool_backward_kernel(LocalAvgPoolBackward args, PoolAxes axes) {
  for_vectors<N>(args.dx, [&](int n, int iy, int ix, int c) {
    const PoolRange rows = axes.h.windows(iy), columns = axes.w.windows(ix);
    float sum[N] = {};
    for (int oy = rows.begin; oy < rows.end; ++oy) {
      const auto height = static_cast<float>(axes.h.taps(oy).size());
      for (int ox = columns.begin; ox < columns.end; ++ox) {
        const float count = height * static_cast<float>(axes.w.taps(ox).size());
        float values[N];
        load_floats<N>(pixel_at<const T>(args.dy, n, oy, ox) + c, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += values[k] / count;
      }
    }
    put_gradient<N>(pixel_at<T>(args.dx, n, iy, ix) + c, sum, args.mode);
  });
}

// ---- mean over the image: a block per image and chunk of channels, in double. Thread = pixel group * lanes + lane.

constexpr int kMeanThreads = 256;

struct MeanSums {
  double of[8 * kMeanThreads];  // [N, threads]
};

template <class T, int N>
__global__ void __launch_bounds__(kMeanThreads) avgpool_kernel(AvgPoolForward args, int lanes) {
  double* sums = block_shared<MeanSums>().of + threadIdx.x;
  const int groups = kMeanThreads / lanes, group = static_cast<int>(threadIdx.x) / lanes;
  const int c = (static_cast<int>(blockIdx.x) * lanes + static_cast<int>(threadIdx.x) % lanes) * N;
  const int pixels = args.x.h * args.x.w;
  for (int n = static_cast<int>(blockIdx.y); n < args.x.n; n += static_cast<int>(gridDim.y)) {
    double sum[N] = {};
    for (int i = group; c < args.x.c && i < pixels; i += groups) {
      float values[N];
      load_floats<N>(pixel_at<const T>(args.x, n, 0, 0) + i * args.x.pitch + c, values);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += values[k];
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k * kMeanThreads] = sum[k];
    for (int half = groups / 2; half > 0; half /= 2) {
      __syncthreads();
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if (group < half) sums[k * kMeanThreads] += sums[k * kMeanThreads + half * lanes];
      }
    }
    if (group == 0 && c < args.x.c) {
      float mean[N];
#pragma unroll
      for (int k = 0; k < N; ++k) mean[k] = static_cast<float>(sums[k * kMeanThreads] / pixels);
      store_floats<N>(pixel_at<T>(args.y, n, 0, 0) + c, mean);
    }
    __syncthreads();
  }
}

template <class T, int N>
__global__ void avgpool_backward_kernel(AvgPoolBackward args) {
  const float pixels = static_cast<float>(args.dx.h) * static_cast<float>(args.dx.w);
  for_vectors<N>(args.dx, [&](int n, int y, int x, int c) {
    float values[N];
    load_floats<N>(pixel_at<const T>(args.dy, n, 0, 0) + c, values);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] /= pixels;
    put_gradient<N>(pixel_at<T>(args.dx, n, y, x) + c, values, args.mode);
  });
}

}  // namespace

void local_avgpool_forward(const LocalAvgPoolForward& args, Stream stream) {
  check_args(args);
  const PoolAxes axes = axes_of(args.geometry, args.x, args.y);
  with_vectors("local_avgpool_forward", args.y, args.x, args.y, [&](auto storage, auto width, const Grid& grid) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, local_avgpool_kernel<T, width.value>, args, axes);
  });
}

void local_avgpool_backward(const LocalAvgPoolBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const PoolAxes axes = axes_of(args.geometry, args.dx, args.dy);
  with_vectors("local_avgpool_backward", args.dx, args.dx, args.dy, [&](auto storage, auto width, const Grid& grid) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, local_avgpool_backward_kernel<T, width.value>, args, axes);
  });
}

void avgpool_forward(const AvgPoolForward& args, Stream stream) {
  check_args(args);
  with_storage("avgpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    with_width<T>(is_vectorizable(args.x) && is_vectorizable(args.y), [&](auto width) {
      const int vectors = args.x.c / width.value;
      int lanes = 1;  // a power of two: enough for all channels, at most a warp
      while (lanes < vectors && lanes < kWarp) lanes *= 2;
      const Grid grid{.blocks = dim3(static_cast<unsigned>((vectors + lanes - 1) / lanes),
                                     static_cast<unsigned>(std::min(args.x.n, 65535))),
                      .threads = kMeanThreads};
      launch(stream, grid, avgpool_kernel<T, width.value>, args, lanes);
    });
  });
}

void avgpool_backward(const AvgPoolBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_vectors("avgpool_backward", args.dx, args.dx, args.dy, [&](auto storage, auto width, const Grid& grid) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, avgpool_backward_kernel<T, width.value>, args);
  });
}

}  // namespace rook::ROOK_GPU
