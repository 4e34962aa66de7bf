// Maximum over windows (darknet.md 1.5 "maxpool"). Backward gathers: each pixel sums over the windows that hold it, in
// the windows' order, without atomics. Wide windows that overlap (SPP: 5, 9, 13 at stride 1) are taken apart into rows
// and columns, which the maximum allows.
#include "kernels/ops.h"
#include "kernels/pixels.cuh"
#include "kernels/pool_axis.h"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

__device__ __forceinline__ std::int64_t window_at(const Tensor& windows, int n, int oy, int ox) {
  return (std::int64_t{n} * windows.h + oy) * windows.w + ox;
}

// Whether `value` takes the place of `best`: the greater wins, of equals the first; so does the first NaN, which stays.
__device__ __forceinline__ bool replaces(float value, float best) {
  return !(value <= best) && best == best;
}

// best, chosen = value, tap where it is better.
template <int N>
__device__ __forceinline__ void take_better(const float (&values)[N], const unsigned (&taps)[N], float (&best)[N],
                                            unsigned (&chosen)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const bool better = replaces(values[k], best[k]);
    best[k] = better ? values[k] : best[k];
    chosen[k] = better ? taps[k] : chosen[k];
  }
}

template <int N, class Index>
__device__ __forceinline__ void store_indices(Index* to, const unsigned (&indices)[N]) {
  Vec<Index, N> written;
#pragma unroll
  for (int k = 0; k < N; ++k) written.v[k] = static_cast<Index>(indices[k]);
  store(to, written);
}

template <int N>
__device__ __forceinline__ void set_all(unsigned (&indices)[N], int value) {
#pragma unroll
  for (int k = 0; k < N; ++k) indices[k] = static_cast<unsigned>(value);
}

// ---- maximum, one thread per window

template <class T, int N, bool kTaps>
__global__ void maxpool_kernel(MaxPoolForward args, PoolAxes axes) {
  for_vectors<N>(args.y, [&](int n, int oy, int ox, int c) {
    const PoolRange rows = axes.h.taps(oy), columns = axes.w.taps(ox);
    const int top = axes.h.start(oy), left = axes.w.start(ox);
    float best[N];
    unsigned chosen[N], taps[N];
    load_floats<N>(pixel_at<const T>(args.x, n, top + rows.begin, left + columns.begin) + c, best);
    set_all(chosen, rows.begin * axes.w.size + columns.begin);
    for (int r = rows.begin; r < rows.end; ++r) {
      const T* in = pixel_at<const T>(args.x, n, top + r, left + columns.begin) + c;
      for (int s = columns.begin; s < columns.end; ++s, in += args.x.pitch) {
        float values[N];
        load_floats<N>(in, values);
        set_all(taps, r * axes.w.size + s);
        take_better(values, taps, best, chosen);
      }
    }
    store_floats<N>(pixel_at<T>(args.y, n, oy, ox) + c, best);
    if constexpr (kTaps) store_indices(args.taps + window_at(args.y, n, oy, ox) * args.y.c + c, chosen);
  });
}

// ---- maximum at stride 1: of each row of a window first, then of the rows. The first of equals of the first row is
// the first of the window, so values and taps are those of maxpool_kernel.

constexpr int kMaxpoolThreads = 256;
constexpr int kMaxpoolSide = 16;  // outputs per side, at most
// Vectors of N channels per block: 64 bytes, or 16 channels one by one.
template <int N>
inline constexpr int kTileLanes = N == 1 ? 16 : 4;

struct PoolTile {
  int h, w;                 // outputs
  int tiles_across, tiles;  // per image
};

// Three blocks per multiprocessor: told nothing, ptxas settles on 64 registers and spills.
template <class T, int N, bool kTaps>
__global__ void __launch_bounds__(kMaxpoolThreads, 3)
    maxpool_tiled_kernel(MaxPoolForward args, PoolAxes axes, PoolTile tile) {
  constexpr int kLanes = kTileLanes<N>, kChannels = kLanes * N, kSlots = kMaxpoolThreads / kLanes;
  const int in_chunk = static_cast<int>(threadIdx.x % kLanes) * N, slot = static_cast<int>(threadIdx.x / kLanes);
  const int c = static_cast<int>(blockIdx.x) * kChannels + in_chunk;
  const bool active = c < args.y.c;
  const int oy0 = static_cast<int>(blockIdx.y) / tile.tiles_across * tile.h;
  const int ox0 = static_cast<int>(blockIdx.y) % tile.tiles_across * tile.w;
  const int tile_h = min(tile.h, args.y.h - oy0), tile_w = min(tile.w, args.y.w - ox0);
  const int first_row = max(0, axes.h.start(oy0));
  const int rows = min(axes.h.extent, axes.h.start(oy0 + tile_h - 1) + axes.h.size) - first_row;

  // [rows of the image, tile_w, kChannels]: the best of each row of a window, and its column in it
  T* best_of_row = dynamic_shared<T>();
  auto* column_of_row = reinterpret_cast<std::uint8_t*>(best_of_row + (tile.h + axes.h.size - 1) * tile.w * kChannels);

  for (int n = static_cast<int>(blockIdx.z); n < args.y.n; n += static_cast<int>(gridDim.z)) {
    for (int i = slot; active && i < rows * tile_w; i += kSlots) {
      const int row = i / tile_w, t = i - row * tile_w;
      const PoolRange columns = axes.w.taps(ox0 + t);
      const T* in = pixel_at<const T>(args.x, n, first_row + row, axes.w.start(ox0 + t) + columns.begin) + c;
      float best[N];
      unsigned chosen[N], taps[N];
      load_floats<N>(in, best);
      set_all(chosen, columns.begin);
      for (int s = columns.begin + 1; s < columns.end; ++s) {
        in += args.x.pitch;
        float values[N];
        load_floats<N>(in, values);
        set_all(taps, s);
        take_better(values, taps, best, chosen);
      }
      const int at = (row * tile.w + t) * kChannels + in_chunk;
      store_floats<N>(best_of_row + at, best);
      if constexpr (kTaps) store_indices(column_of_row + at, chosen);
    }
    __syncthreads();
    for (int i = slot; active && i < tile_h * tile_w; i += kSlots) {
      const int oy = oy0 + i / tile_w, t = i % tile_w;
      const PoolRange window = axes.h.taps(oy);
      float best[N];
      unsigned chosen[N], taps[N];
      const auto read = [&](int r, float(&values)[N], unsigned(&places)[N]) {
        const int at = ((axes.h.start(oy) + r - first_row) * tile.w + t) * kChannels + in_chunk;
        load_floats<N>(best_of_row + at, values);
        set_all(places, r * axes.w.size);
        if constexpr (kTaps) {
          const Vec<std::uint8_t, N> columns = load<N>(column_of_row + at);
#pragma unroll
          for (int k = 0; k < N; ++k) places[k] += columns.v[k];
        }
      };
      read(window.begin, best, chosen);
      for (int r = window.begin + 1; r < window.end; ++r) {
        float values[N];
        read(r, values, taps);
        take_better(values, taps, best, chosen);
      }
      store_floats<N>(pixel_at<T>(args.y, n, oy, ox0 + t) + c, best);
      if constexpr (kTaps) store_indices(args.taps + window_at(args.y, n, oy, ox0 + t) * args.y.c + c, chosen);
    }
    __syncthreads();
  }
}

// ---- gradient of the maximum

template <class T, int N>
__global__ void maxpool_backward_kernel(MaxPoolBackward args, PoolAxes axes) {
  for_vectors<N>(args.dx, [&](int n, int iy, int ix, int c) {
    const PoolRange rows = axes.h.windows(iy), columns = axes.w.windows(ix);
    float sum[N] = {};
    for (int oy = rows.begin; oy < rows.end; ++oy) {
      for (int ox = columns.begin; ox < columns.end; ++ox) {
        const int tap = (iy - axes.h.start(oy)) * axes.w.size + ix - axes.w.start(ox);
        const Vec<std::uint16_t, N> chosen = load<N>(args.taps + window_at(args.dy, n, oy, ox) * args.dy.c + c);
        float values[N];
        load_floats<N>(pixel_at<const T>(args.dy, n, oy, ox) + c, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += chosen.v[k] == tap ? values[k] : 0.0f;
      }
    }
    put_gradient<N>(pixel_at<T>(args.dx, n, iy, ix) + c, sum, args.mode);
  });
}

// Where a pixel lies in many windows: a warp owns the sums of a tile of pixels, one channel per lane, and adds the
// windows to them one after the other. The same additions in the same order, but each window is read once per tile, not
// once per pixel. A lane touches its own sums only, so nothing need be synchronised.
constexpr int kWindowsAtOnce = 8;  // reads under way

template <class T>
__global__ void __launch_bounds__(kWarp)
    maxpool_backward_tiled_kernel(MaxPoolBackward args, PoolAxes axes, PoolTile tile) {
  float* sums = dynamic_shared<float>() + lane();  // [tile.h, tile.w, 32]
  const int c = static_cast<int>(blockIdx.x) * kWarp + lane();
  const int y0 = static_cast<int>(blockIdx.y) / tile.tiles_across * tile.h;
  const int x0 = static_cast<int>(blockIdx.y) % tile.tiles_across * tile.w;
  const int tile_h = min(tile.h, args.dx.h - y0), tile_w = min(tile.w, args.dx.w - x0);
  const PoolRange rows{axes.h.windows(y0).begin, axes.h.windows(y0 + tile_h - 1).end};
  const PoolRange columns{axes.w.windows(x0).begin, axes.w.windows(x0 + tile_w - 1).end};
  const auto size_w = static_cast<unsigned>(axes.w.size);
  if (c >= args.dx.c) return;

  for (int n = static_cast<int>(blockIdx.z); n < args.dx.n; n += static_cast<int>(gridDim.z)) {
    for (int i = 0; i < tile_h * tile.w; ++i) sums[i * kWarp] = 0;
    for (int oy = rows.begin; oy < rows.end; ++oy) {
      const int above = axes.h.start(oy) - y0;
      for (int first = columns.begin; first < columns.end; first += kWindowsAtOnce) {
        unsigned taps[kWindowsAtOnce];
        float values[kWindowsAtOnce];
#pragma unroll
        for (int k = 0; k < kWindowsAtOnce; ++k) {
          const int ox = min(first + k, columns.end - 1);
          taps[k] = args.taps[window_at(args.dy, n, oy, ox) * args.dy.c + c];
          values[k] = to_float(pixel_at<const T>(args.dy, n, oy, ox)[c]);
        }
#pragma unroll
        for (int k = 0; k < kWindowsAtOnce; ++k) {
          const unsigned r = taps[k] / size_w, s = taps[k] - r * size_w;
          const int y = above + static_cast<int>(r), x = axes.w.start(first + k) - x0 + static_cast<int>(s);
          const bool inside = first + k < columns.end && y >= 0 && y < tile_h && x >= 0 && x < tile_w;
          if (inside) sums[(y * tile.w + x) * kWarp] += values[k];
        }
      }
    }
    for (int i = 0; i < tile_h * tile_w; ++i) {
      const int y = i / tile_w, x = i - y * tile_w;
      const float sum[1] = {sums[(y * tile.w + x) * kWarp]};
      put_gradient<1>(pixel_at<T>(args.dx, n, y0 + y, x0 + x) + c, sum, args.mode);
    }
  }
}

// ---- rulers

int windows_per_pixel(const PoolGeometry& g) {
  return ((g.size_h + g.stride_h - 1) / g.stride_h) * ((g.size_w + g.stride_w - 1) / g.stride_w);
}

// The tiled kernels pay off from 4 x 4 windows per pixel on; the bound on the size bounds their shared memory.
bool overlaps_widely(const PoolGeometry& g) {
  return windows_per_pixel(g) >= 16 && g.size_h <= 64 && g.size_w <= 64;
}

// Tiles of at most kMaxpoolSide x kMaxpoolSide, as equal as can be.
PoolTile tile_of(const Tensor& t) {
  const int down = (t.h + kMaxpoolSide - 1) / kMaxpoolSide, across = (t.w + kMaxpoolSide - 1) / kMaxpoolSide;
  return {
      .h = (t.h + down - 1) / down, .w = (t.w + across - 1) / across, .tiles_across = across, .tiles = down * across};
}

Grid grid_of(const char* operation, const Tensor& t, const PoolTile& tile, int channels, int threads,
             std::size_t shared) {
  if (tile.tiles > 65535) {
    throw Error(
        fmt::format("{}: an image of {}x{} has more tiles than a grid counts; make it smaller", operation, t.w, t.h));
  }
  return {.blocks = dim3(static_cast<unsigned>((t.c + channels - 1) / channels), static_cast<unsigned>(tile.tiles),
                         static_cast<unsigned>(std::min(t.n, 65535))),
          .threads = static_cast<unsigned>(threads),
          .shared = shared};
}

template <class T, bool kTaps>
void launch_maxpool(const MaxPoolForward& args, Stream stream) {
  const char* const operation = "maxpool_forward";
  const PoolAxes axes = axes_of(args.geometry, args.x, args.y);
  const bool vectors =
      is_vectorizable(args.x) && is_vectorizable(args.y) && reinterpret_cast<std::uintptr_t>(args.taps) % 16 == 0;
  with_width<T>(vectors, [&](auto width) {
    constexpr int kN = decltype(width)::value;
    if (args.geometry.stride_h == 1 && args.geometry.stride_w == 1 && overlaps_widely(args.geometry)) {
      constexpr int kChannels = kTileLanes<kN> * kN;
      const PoolTile tile = tile_of(args.y);
      const std::size_t places = static_cast<std::size_t>(tile.h + args.geometry.size_h - 1) * tile.w * kChannels;
      launch(stream,
             grid_of(operation, args.y, tile, kChannels, kMaxpoolThreads, places * (sizeof(T) + (kTaps ? 1 : 0))),
             maxpool_tiled_kernel<T, kN, kTaps>, args, axes, tile);
    } else {
      launch(stream, grid_over(operation, args.y, kN), maxpool_kernel<T, kN, kTaps>, args, axes);
    }
  });
}

}  // namespace

void maxpool_forward(const MaxPoolForward& args, Stream stream) {
  check_args(args);
  with_storage("maxpool_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    if (args.taps != nullptr) {
      launch_maxpool<T, true>(args, stream);
    } else {
      launch_maxpool<T, false>(args, stream);
    }
  });
}

void maxpool_backward(const MaxPoolBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const char* const operation = "maxpool_backward";
  const PoolAxes axes = axes_of(args.geometry, args.dx, args.dy);
  with_storage(operation, args.dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    if (overlaps_widely(args.geometry)) {
      const PoolTile tile = tile_of(args.dx);
      const std::size_t shared = sizeof(float) * kWarp * static_cast<std::size_t>(tile.h) * tile.w;
      launch(stream, grid_of(operation, args.dx, tile, kWarp, kWarp, shared), maxpool_backward_tiled_kernel<T>, args,
             axes, tile);
      return;
    }
    const bool vectors =
        is_vectorizable(args.dx) && is_vectorizable(args.dy) && reinterpret_cast<std::uintptr_t>(args.taps) % 16 == 0;
    with_width<T>(vectors, [&](auto width) {
      launch(stream, grid_over(operation, args.dx, width), maxpool_backward_kernel<T, width.value>, args, axes);
    });
  });
}

}  // namespace rook::ROOK_GPU
