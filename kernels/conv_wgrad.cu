// Direct convolution, wgrad, as an implicit matrix product with f32 sums:
//   dweights[filter, (tap, channel)] += sum over output pixels of dy[pixel, filter] x[pixel moved by the tap, channel].
// Blocks share tiles of dweights and ranges of pixels; where ranges are more than one, they leave partial sums.
#include "kernels/conv_direct.h"
#include "kernels/conv_sum.cuh"
#include "kernels/conv_tile.cuh"

namespace rook::ROOK_GPU {
namespace {

struct Wgrad {
  ConvGeometry geometry;
  int h, w, p, q;
  int pitch_x, pitch_y;   // from pixel to pixel
  int pixels;             // n p q
  int pixels_per_block;   // a multiple of kDepth
  int filters, channels;  // of a group
  int columns;            // taps channels
  std::int64_t part;      // elements of dweights: from one partial sum to the next
  bool accumulate;        // the only range adds to dweights itself
  bool vector_out;
};

// Where in x the first tap of an output pixel is; y is kNowhere for pixels that are not the block's.
struct Corner {
  int image, y, x;
};

template <class T>
struct WgradShared {
  Stages<T> stages;
  Corner corners[2][kDepth];  // of the pixels of the next step
};

__device__ __forceinline__ Corner corner_of(const Wgrad& g, int pixel, int end) {
  constexpr int kNowhere = -(1 << 30);
  if (pixel >= end) return {0, kNowhere, 0};
  const int row = pixel / g.q;
  return {row / g.p, row % g.p * g.geometry.stride_h - g.geometry.pad_h * g.geometry.dilation,
          pixel % g.q * g.geometry.stride_w - g.geometry.pad_w * g.geometry.dilation};
}

// How the elements of a stage's operand with Columns columns are spread over the threads, V at a time.
template <class T, int Columns, int V>
struct Spread {
  static constexpr int kPieces = Columns / V, kStride = T::kThreads / kPieces;
  static constexpr int kPasses = kStride >= kDepth ? 1 : kDepth / kStride;
  __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x % kPieces) * V; }
  __device__ __forceinline__ static int depth(int pass) {
    return static_cast<int>(threadIdx.x / kPieces) + pass * kStride;
  }
};

// Brings dy into a stage's `a`: a row is a pixel, a column a filter.
template <class T, class In, int V>
struct FilterLoader {
  using Where = Spread<T, T::kRows, V>;
  Vec<In, V> values[Where::kPasses] = {};

  // dy: [pixels, K] from the block's first filter on, of which `filters` are left in the group.
  __device__ __forceinline__ void load(const Wgrad& g, const In* dy, int filters, int pixel, int end) {
#pragma unroll
    for (int i = 0; i < Where::kPasses; ++i) {
      const int from = pixel + Where::depth(i);
      const bool inside = Where::depth(i) < kDepth && from < end && Where::column() < filters;
      values[i] = load_or_zero<V>(dy + (inside ? std::int64_t{from} * g.pitch_y + Where::column() : 0), inside);
    }
  }
  __device__ __forceinline__ void store(Stage<T>& stage) const {
#pragma unroll
    for (int i = 0; i < Where::kPasses; ++i)
      if (Where::kStride <= kDepth || Where::depth(i) < kDepth) {
#pragma unroll
        for (int j = 0; j < V; ++j) stage.a[Where::depth(i)][Where::column() + j] = to_float(values[i].v[j]);
      }
  }
};

// Brings moved pixels of x into a stage's `b`: a thread always takes the same tap and channels.
template <class T, class In, int V>
struct TapLoader {
  using Where = Spread<T, T::kColumns, V>;
  int move_y, move_x, channel;
  bool live;
  Vec<In, V> values[Where::kPasses] = {};

  __device__ __forceinline__ TapLoader(const Wgrad& g, int column0) {
    const int column = column0 + Where::column();
    live = column < g.columns;
    const int tap = column / g.channels;
    channel = column - tap * g.channels;
    move_y = tap / g.geometry.s * g.geometry.dilation;
    move_x = tap % g.geometry.s * g.geometry.dilation;
  }

  // x: [n, h, w, C] from the group's first channel on.
  __device__ __forceinline__ void load(const Wgrad& g, const In* x, const Corner (&corners)[kDepth]) {
#pragma unroll
    for (int i = 0; i < Where::kPasses; ++i) {
      const Corner corner = corners[Where::depth(i) % kDepth];
      const int from_y = corner.y + move_y, from_x = corner.x + move_x;
      const bool inside = live && Where::depth(i) < kDepth &&
                          static_cast<unsigned>(from_y) < static_cast<unsigned>(g.h) &&
                          static_cast<unsigned>(from_x) < static_cast<unsigned>(g.w);
      const std::int64_t pixel = (std::int64_t{corner.image} * g.h + from_y) * g.w + from_x;
      values[i] = load_or_zero<V>(x + (inside ? pixel * g.pitch_x + channel : 0), inside);
    }
  }
  __device__ __forceinline__ void store(Stage<T>& stage) const {
#pragma unroll
    for (int i = 0; i < Where::kPasses; ++i)
      if (Where::kStride <= kDepth || Where::depth(i) < kDepth) {
#pragma unroll
        for (int j = 0; j < V; ++j) stage.b[Where::depth(i)][Where::column() + j] = to_float(values[i].v[j]);
      }
  }
};

// x [n, h, w, C], dy [n, p, q, K], out [ranges, K, R, S, channels]. Block (tile, range of pixels, group).
template <class In, int VX, int VY, class T>
__global__ void __launch_bounds__(T::kThreads) wgrad_kernel(const Wgrad g, const In* x, const In* dy, float* out) {
  WgradShared<T>& shared = block_shared<WgradShared<T>>();
  const int row_tiles = (g.filters + T::kRows - 1) / T::kRows, group = static_cast<int>(blockIdx.z);
  const int row0 = static_cast<int>(blockIdx.x) % row_tiles * T::kRows;
  const int column0 = static_cast<int>(blockIdx.x) / row_tiles * T::kColumns;
  const int begin = static_cast<int>(blockIdx.y) * g.pixels_per_block;
  const int end = g.pixels - begin < g.pixels_per_block ? g.pixels : begin + g.pixels_per_block;
  const int steps = (end - begin + kDepth - 1) / kDepth;
  const int thread = static_cast<int>(threadIdx.x);
  x += group * g.channels;
  dy += group * g.filters + row0;

  FilterLoader<T, In, VY> filter_loader;
  TapLoader<T, In, VX> tap_loader(g, column0);
  const Place place = place_in_tile<T>();
  Sums sums = {};
  if (thread < kDepth) shared.corners[0][thread] = corner_of(g, begin + thread, end);
  __syncthreads();
  for (int step = 0; step <= steps; ++step) {  // fills stage `step`, multiplies the one before it
    const int pixel = begin + step * kDepth;
    if (step < steps) {
      filter_loader.load(g, dy, g.filters - row0, pixel, end);
      tap_loader.load(g, x, shared.corners[step % 2]);
      if (thread < kDepth) shared.corners[(step + 1) % 2][thread] = corner_of(g, pixel + kDepth + thread, end);
    }
    if (step > 0) multiply(shared.stages.of[(step - 1) % 2], place, sums);
    if (step < steps) {
      filter_loader.store(shared.stages.of[step % 2]);
      tap_loader.store(shared.stages.of[step % 2]);
      __syncthreads();  // the stage and the corners are filled, and all are done with the others
    }
  }
  const int column = column0 + place.column;
  float* to = out + blockIdx.y * g.part + std::int64_t{group} * g.filters * g.columns + column;
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i)
    if (const int row = row0 + place.row + i; row < g.filters)
      put_some<kThreadColumns>(to + std::int64_t{row} * g.columns, sums[i], g.columns - column, g.vector_out,
                               g.accumulate ? Grad::accumulate : Grad::overwrite);
}

// ------------------------------------------------------------------------------------------------------------
// launchers

// Few filters get a flat tile.
using SquareTile = Tile<64, 64>;
using FlatTile = Tile<32, 128>;

bool is_flat(const ConvGeometry& g) {
  return g.k / g.groups <= FlatTile::kRows;
}

int tiles_of(const ConvGeometry& g) {
  const int filters = g.k / g.groups, columns = g.r * g.s * (g.c / g.groups);
  if (is_flat(g)) return divide_up(filters, FlatTile::kRows) * divide_up(columns, FlatTile::kColumns);
  return divide_up(filters, SquareTile::kRows) * divide_up(columns, SquareTile::kColumns);
}

// Ranges of pixels: enough blocks for a large GPU, at least 256 pixels each.
int ranges_of(const ConvProblem& problem) {
  constexpr std::int64_t kBlocks = 528, kFewest = 256, kMost = 1024;
  const std::int64_t pixels = std::int64_t{problem.n} * problem.p() * problem.q();
  const std::int64_t tiles = std::int64_t{problem.geometry.groups} * tiles_of(problem.geometry);
  return static_cast<int>(std::clamp<std::int64_t>(std::min(kBlocks / tiles, pixels / kFewest), 1, kMost));
}

template <class In, int VX, int VY>
void choose_wgrad_tile(const Wgrad& wgrad, int ranges, const ConvArgs& args, float* out, Stream stream) {
  const Grid grid{.blocks = {static_cast<unsigned>(tiles_of(wgrad.geometry)), static_cast<unsigned>(ranges),
                             static_cast<unsigned>(wgrad.geometry.groups)},
                  .threads = SquareTile::kThreads};
  static_assert(SquareTile::kThreads == FlatTile::kThreads);
  const auto kernel =
      is_flat(wgrad.geometry) ? wgrad_kernel<In, VX, VY, FlatTile> : wgrad_kernel<In, VX, VY, SquareTile>;
  launch(stream, grid, kernel, wgrad, args.x.as<const In>(), args.y.as<const In>(), out);
}

template <class In>
void choose_wgrad_vectors(const Wgrad& wgrad, int ranges, const ConvArgs& args, float* out, Stream stream) {
  constexpr int kV = kVector<In>;
  const bool x = in_vectors<kV>(args.x.data, args.x.dtype, wgrad.channels, args.x.pitch);
  const bool y = in_vectors<kV>(args.y.data, args.y.dtype, wgrad.filters, args.y.pitch);
  if (x && y) return choose_wgrad_tile<In, kV, kV>(wgrad, ranges, args, out, stream);
  if (x) return choose_wgrad_tile<In, kV, 1>(wgrad, ranges, args, out, stream);
  if (y) return choose_wgrad_tile<In, 1, kV>(wgrad, ranges, args, out, stream);
  choose_wgrad_tile<In, 1, 1>(wgrad, ranges, args, out, stream);
}

// Partial sums, before those of the bias.
std::size_t partial_bytes(const ConvProblem& problem) {
  const int ranges = ranges_of(problem);
  if (ranges == 1) return 0;
  return workspace_aligned(static_cast<std::size_t>(problem.geometry.weights()) * ranges * sizeof(float));
}

}  // namespace

std::size_t direct_wgrad_workspace(const ConvProblem& problem) {
  return partial_bytes(problem) + bias_gradient_bytes(problem);
}

void direct_wgrad(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const ConvGeometry& g = problem.geometry;
  const int pixels = static_cast<int>(args.y.pixels()), most = ranges_of(problem);
  const int per_block = divide_up(divide_up(pixels, most), kDepth) * kDepth;
  const int ranges = divide_up(pixels, per_block), columns = g.r * g.s * (g.c / g.groups);
  float* out = most == 1 ? args.dweights : static_cast<float*>(args.workspace);
  const Wgrad wgrad{.geometry = g,
                    .h = problem.h,
                    .w = problem.w,
                    .p = problem.p(),
                    .q = problem.q(),
                    .pitch_x = problem.x_pitch(),
                    .pitch_y = problem.y_pitch(),
                    .pixels = pixels,
                    .pixels_per_block = per_block,
                    .filters = g.k / g.groups,
                    .channels = g.c / g.groups,
                    .columns = columns,
                    .part = g.weights(),
                    .accumulate = most == 1,
                    .vector_out = in_vectors<kThreadColumns>(out, DType::f32, columns, columns)};
  with_storage("convolution wgrad", problem.x, [&](auto storage) {
    choose_wgrad_vectors<typename decltype(storage)::Type>(wgrad, ranges, args, out, stream);
  });
  if (most > 1) add_partials(out, ranges, g.weights(), args.dweights, stream);
  if (problem.bias && args.dbias)
    bias_gradient(problem, args.y, args.dbias, static_cast<std::byte*>(args.workspace) + partial_bytes(problem),
                  stream);
}

}  // namespace rook::ROOK_GPU
