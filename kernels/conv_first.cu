// The row "first": up to 4 input channels, which make vectors along channels useless. A block makes a tile of output
// pixels: it brings the patch of x under the tile into shared memory as f32, from where every tap reads it.
//   fprop: a thread sums 4 pixels by 8 filters;  wgrad: each warp sums 32 filters by 32 (tap, channel) over its pixels.
#include "kernels/activation_math.h"
#include "kernels/conv_pack.cuh"
#include "kernels/conv_rows.h"
#include "kernels/conv_sum.cuh"
#include "kernels/conv_tile.cuh"

namespace rook::ROOK_GPU {
namespace conv_first {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kTileWidth = 16;
constexpr int kPixels = 4, kFilters = 8;  // of a thread in fprop

// How the picture is cut. Tiles are numbered image by image, row by row.
struct Tiling {
  ConvGeometry geometry;
  int n, h, w, p, q;
  int pitch_y;  // from pixel to pixel of y
  int tile_h, tiles_down, tiles_across;
  int patch_h, patch_row;  // elements of x in a row of a patch: columns times channels

  ROOK_HOST_DEVICE int tiles() const { return n * tiles_down * tiles_across; }
  ROOK_HOST_DEVICE int columns() const { return geometry.r * geometry.s * geometry.c; }
};

// The tile that a block is at: image, and output pixel of its corner.
struct TilePlace {
  int image, y, x;
};

__device__ __forceinline__ TilePlace place_of(const Tiling& t, int tile) {
  const int row = tile / t.tiles_across;
  return {row / t.tiles_down, row % t.tiles_down * t.tile_h, tile % t.tiles_across * kTileWidth};
}

// patch [patch_h, patch_row] = x [n, h, w, C] under the tile, 0 outside of the picture. Ends without a barrier.
template <class In>
__device__ __forceinline__ void load_patch(const Tiling& t, const TilePlace& place, const In* x, float* patch) {
  const ConvGeometry& g = t.geometry;
  const int y0 = place.y * g.stride_h - g.pad_h * g.dilation, x0 = place.x * g.stride_w - g.pad_w * g.dilation;
  for (int row = warp(); row < t.patch_h; row += kWarps) {
    const bool inside = static_cast<unsigned>(y0 + row) < static_cast<unsigned>(t.h);
    const In* from = x + (std::int64_t{place.image} * t.h + (inside ? y0 + row : 0)) * t.w * g.c;
    for (int i = lane(); i < t.patch_row; i += kWarp) {
      const int element = x0 * g.c + i;
      const bool valid = inside && static_cast<unsigned>(element) < static_cast<unsigned>(t.w * g.c);
      patch[row * t.patch_row + i] = valid ? to_float(from[element]) : 0.0f;
    }
  }
}

// Where in a patch column (tap, channel) of the filters is, seen from a pixel's first tap.
__device__ __forceinline__ int offset_in_patch(const Tiling& t, int column) {
  const ConvGeometry& g = t.geometry;
  const int tap = column / g.c;
  return tap / g.s * g.dilation * t.patch_row + tap % g.s * g.dilation * g.c + column % g.c;
}

struct Output {
  const float* bias;  // [K] or null
  Activation activation;
  bool vector;
};

// sums[pixel][filter] over all taps; weights: [columns, kBlockFilters] from the thread's first filter on.
template <int kBlockFilters>
__device__ __forceinline__ void sum_patch(const Tiling& t, const float* patch, int first, int step,
                                          const float* weights, float (&sums)[kPixels][kFilters]) {
  const ConvGeometry& g = t.geometry;
  for (int r = 0; r < g.r; ++r)
    for (int s = 0; s < g.s; ++s) {
      const float* from = patch + first + r * g.dilation * t.patch_row + s * g.dilation * g.c;
      for (int c = 0; c < g.c; ++c, ++from, weights += kBlockFilters) {
        const Vec<float, 4> low = load<4>(weights), high = load<4>(weights + 4);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) {
          const float value = from[i * step];
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            sums[i][j] += value * low.v[j];
            sums[i][j + 4] += value * high.v[j];
          }
        }
      }
    }
}

// x [n, h, w, C], weights [R, S, C, packed_pitch(K)], y [n, p, q, K]. Block (tile, filters); shared memory: weights
// [columns, kBlockFilters], patch.
template <class In, class Out, int kBlockFilters>
__global__ void __launch_bounds__(kThreads)
    first_fprop_kernel(const Tiling t, const Output o, const In* x, const In* weights, Out* y) {
  constexpr int kFilterThreads = kBlockFilters / kFilters, kPixelThreads = kThreads / kFilterThreads;
  constexpr int kRows = kPixelThreads / kTileWidth;  // of the tile, that the threads take at once
  float* const filters = dynamic_shared<float>();
  float* const patch = filters + t.columns() * kBlockFilters;
  const ConvGeometry& g = t.geometry;
  const TilePlace place = place_of(t, static_cast<int>(blockIdx.x));
  const int filter0 = static_cast<int>(blockIdx.y) * kBlockFilters, pitch = packed_pitch(g.k);
  const int thread = static_cast<int>(threadIdx.x);
  load_patch(t, place, x, patch);
  for (int i = thread; i < t.columns() * kBlockFilters; i += kThreads) {
    const int filter = filter0 + i % kBlockFilters;
    filters[i] = filter < pitch ? to_float(weights[i / kBlockFilters * pitch + filter]) : 0.0f;
  }
  __syncthreads();

  const int part = thread % kFilterThreads * kFilters, filter = filter0 + part;
  const int row = thread / kFilterThreads / kTileWidth, column = thread / kFilterThreads % kTileWidth;
  float sums[kPixels][kFilters] = {};
  sum_patch<kBlockFilters>(t, patch, row * g.stride_h * t.patch_row + column * g.stride_w * g.c,
                           kRows * g.stride_h * t.patch_row, filters + part, sums);
  float bias[kFilters];
#pragma unroll
  for (int j = 0; j < kFilters; ++j) bias[j] = o.bias && filter + j < g.k ? o.bias[filter + j] : 0.0f;
#pragma unroll 1
  for (int i = 0; i < kPixels; ++i) {
    float values[kFilters];
#pragma unroll
    for (int j = 0; j < kFilters; ++j) values[j] = activate(o.activation, sums[0][j] + bias[j]);
    const int out_y = place.y + row + i * kRows, out_x = place.x + column;
    Out* to = y + ((std::int64_t{place.image} * t.p + out_y) * t.q + out_x) * t.pitch_y + filter;
    constexpr int kV = kVector<Out>;
#pragma unroll
    for (int j = 0; j < kFilters; j += kV) {
      float some[kV];
#pragma unroll
      for (int k = 0; k < kV; ++k) some[k] = values[j + k];
      if (out_y < t.p && out_x < t.q) put_some<kV>(to + j, some, g.k - filter - j, o.vector, Grad::overwrite);
    }
#pragma unroll
    for (int k = 0; k + 1 < kPixels; ++k)  // the next one moves to the front: it stays in registers so
#pragma unroll
      for (int j = 0; j < kFilters; ++j) sums[k][j] = sums[k + 1][j];
  }
}

constexpr int kWgradRows = 8, kWgradPixels = kWgradRows * kTileWidth;  // of a tile in wgrad
constexpr int kPartFilters = 32, kPartColumns = 32;                    // of dweights, that a block makes

// gradients [pixels of the tile, kPartFilters] = dy [n, p, q, K], 0 outside.
template <class In, int V>
__device__ __forceinline__ void load_gradients(const Tiling& t, const TilePlace& place, const In* dy, int filter0,
                                               float* gradients) {
  constexpr int kPieces = kPartFilters / V;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kWgradPixels * kPieces; i += kThreads) {
    const int pixel = i / kPieces, filter = filter0 + i % kPieces * V;
    const int y = place.y + pixel / kTileWidth, x = place.x + pixel % kTileWidth;
    const bool inside = y < t.p && x < t.q && filter < t.geometry.k;
    const std::int64_t from = ((std::int64_t{place.image} * t.p + y) * t.q + x) * t.pitch_y + filter;
    const Vec<In, V> values = load_or_zero<V>(dy + (inside ? from : 0), inside);
#pragma unroll
    for (int j = 0; j < V; ++j) gradients[pixel * kPartFilters + i % kPieces * V + j] = to_float(values.v[j]);
  }
}

// x [n, h, w, C], dy [n, p, q, K], partial [gridDim.x, K, R, S, C]. Block (range of tiles, filters, columns); shared
// memory: gradients [kWgradPixels, kPartFilters], patch. The lanes of a warp hold 4 times 8 sums of 8 by 4.
template <class In, int V>
__global__ void __launch_bounds__(kThreads, 4)
    first_wgrad_kernel(const Tiling t, int tiles_per_block, const In* x, const In* dy, float* partial) {
  float* const gradients = dynamic_shared<float>();
  float* const patch = gradients + kWgradPixels * kPartFilters;
  const ConvGeometry& g = t.geometry;
  const int filter0 = static_cast<int>(blockIdx.y) * kPartFilters,
            column0 = static_cast<int>(blockIdx.z) * kPartColumns;
  int offset[kThreadColumns];
#pragma unroll
  for (int j = 0; j < kThreadColumns; ++j) {  // lanes side by side read elements side by side
    const int column = column0 + lane() % 8 + 8 * j;
    offset[j] = column < t.columns() ? offset_in_patch(t, column) : 0;
  }
  Sums sums = {};
  const int begin = static_cast<int>(blockIdx.x) * tiles_per_block;
  const int end = begin + tiles_per_block < t.tiles() ? begin + tiles_per_block : t.tiles();
  for (int tile = begin; tile < end; ++tile) {
    const TilePlace place = place_of(t, tile);
    __syncthreads();  // all are done with the tile before
    load_patch(t, place, x, patch);
    load_gradients<In, V>(t, place, dy, filter0, gradients);
    __syncthreads();
    for (int pixel = warp() * kWarp; pixel < (warp() + 1) * kWarp; ++pixel) {
      const float* from = patch + pixel / kTileWidth * g.stride_h * t.patch_row + pixel % kTileWidth * g.stride_w * g.c;
      const float* gradient = gradients + pixel * kPartFilters + lane() / 8 * kThreadRows;
      const Vec<float, 4> low = load<4>(gradient), high = load<4>(gradient + 4);
#pragma unroll
      for (int j = 0; j < kThreadColumns; ++j) {
        const float value = from[offset[j]];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[i][j] += low.v[i] * value;
          sums[i + 4][j] += high.v[i] * value;
        }
      }
    }
  }
  // The warps' sums are added in order; they take the place of the gradients.
  static_assert(kWarps * kPartFilters * kPartColumns <= kWgradPixels * kPartFilters);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i)
#pragma unroll
    for (int j = 0; j < kThreadColumns; ++j)
      gradients[(warp() * kPartFilters + lane() / 8 * kThreadRows + i) * kPartColumns + lane() % 8 + 8 * j] =
          sums[i][j];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kPartFilters * kPartColumns; i += kThreads) {
    const int filter = filter0 + i / kPartColumns, column = column0 + i % kPartColumns;
    float sum = 0;
#pragma unroll
    for (int k = 0; k < kWarps; ++k) sum += gradients[k * kPartFilters * kPartColumns + i];
    if (filter < g.k && column < t.columns())
      partial[(std::int64_t{blockIdx.x} * g.k + filter) * t.columns() + column] = sum;
  }
}

// ------------------------------------------------------------------------------------------------------------
// launchers

Tiling tiling_of(const ConvProblem& problem, int tile_h) {
  const ConvGeometry& g = problem.geometry;
  const int patch_w = (kTileWidth - 1) * g.stride_w + (g.s - 1) * g.dilation + 1;
  return {.geometry = g,
          .n = problem.n,
          .h = problem.h,
          .w = problem.w,
          .p = problem.p(),
          .q = problem.q(),
          .pitch_y = problem.y_pitch(),
          .tile_h = tile_h,
          .tiles_down = divide_up(problem.p(), tile_h),
          .tiles_across = divide_up(problem.q(), kTileWidth),
          .patch_h = (tile_h - 1) * g.stride_h + (g.r - 1) * g.dilation + 1,
          .patch_row = patch_w * g.c};
}

std::size_t patch_bytes(const Tiling& t) {
  return static_cast<std::size_t>(t.patch_h) * t.patch_row * sizeof(float);
}

// Filters that a block of fprop makes, and the rows of its tile, which all its threads together cover.
int block_filters(const ConvGeometry& g) {
  return g.k <= 16 ? 16 : 32;
}
Tiling fprop_tiling(const ConvProblem& problem) {
  const int pixels = kThreads / (block_filters(problem.geometry) / kFilters) * kPixels;
  return tiling_of(problem, pixels / kTileWidth);
}
std::size_t fprop_shared(const Tiling& t) {
  return static_cast<std::size_t>(t.columns()) * block_filters(t.geometry) * sizeof(float) + patch_bytes(t);
}

Tiling wgrad_tiling(const ConvProblem& problem) {
  return tiling_of(problem, kWgradRows);
}
std::size_t wgrad_shared(const Tiling& t) {
  return kWgradPixels * kPartFilters * sizeof(float) + patch_bytes(t);
}

bool supports(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  if (problem.x_pitch() != g.c) return false;  // whole rows of x are read
  if (g.groups != 1 || g.c > 4 || !direct_row().supports(problem)) return false;
  if (std::int64_t{g.r} * g.s * g.c > 1024 || std::int64_t{g.stride_h} * g.stride_w * g.dilation > 64) return false;
  if (problem.direction == ConvDirection::fprop) return fprop_shared(fprop_tiling(problem)) <= kDefaultShared;
  return problem.direction == ConvDirection::wgrad && wgrad_shared(wgrad_tiling(problem)) <= kDefaultShared;
}

template <class In, class Out, int kBlockFilters>
void launch_fprop(const Tiling& t, const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const int k = problem.geometry.k;
  const Output output{.bias = args.bias,
                      .activation = problem.activation,
                      .vector = in_vectors<kVector<Out>>(args.y.data, args.y.dtype, k, args.y.pitch)};
  const Grid grid{.blocks = {static_cast<unsigned>(t.tiles()), static_cast<unsigned>(divide_up(k, kBlockFilters))},
                  .threads = kThreads,
                  .shared = fprop_shared(t)};
  launch(stream, grid, first_fprop_kernel<In, Out, kBlockFilters>, t, output, args.x.as<const In>(),
         static_cast<const In*>(args.weights), args.y.as<Out>());
}

template <class In, class Out>
void choose_filters(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const Tiling t = fprop_tiling(problem);
  if (block_filters(problem.geometry) == 16) return launch_fprop<In, Out, 16>(t, problem, args, stream);
  launch_fprop<In, Out, 32>(t, problem, args, stream);
}

// Ranges of tiles: enough blocks for a large GPU, at least 4 tiles each.
int ranges_of(const Tiling& t) {
  constexpr int kBlocks = 792, kFewest = 4;
  const int blocks = divide_up(t.geometry.k, kPartFilters) * divide_up(t.columns(), kPartColumns);
  return std::clamp(std::min(kBlocks / blocks, t.tiles() / kFewest), 1, kBlocks);
}

std::size_t partial_bytes(const ConvProblem& problem) {
  const std::size_t ranges = static_cast<std::size_t>(ranges_of(wgrad_tiling(problem)));
  return workspace_aligned(static_cast<std::size_t>(problem.geometry.weights()) * ranges * sizeof(float));
}

template <class In>
void launch_wgrad(const Tiling& t, int tiles_per_block, const ConvArgs& args, Stream stream) {
  const int k = t.geometry.k;
  const Grid grid{.blocks = {static_cast<unsigned>(divide_up(t.tiles(), tiles_per_block)),
                             static_cast<unsigned>(divide_up(k, kPartFilters)),
                             static_cast<unsigned>(divide_up(t.columns(), kPartColumns))},
                  .threads = kThreads,
                  .shared = wgrad_shared(t)};
  const bool vectors = in_vectors<kVector<In>>(args.y.data, args.y.dtype, k, args.y.pitch);
  launch(stream, grid, vectors ? first_wgrad_kernel<In, kVector<In>> : first_wgrad_kernel<In, 1>, t, tiles_per_block,
         args.x.as<const In>(), args.y.as<const In>(), static_cast<float*>(args.workspace));
}

void run_wgrad(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const Tiling t = wgrad_tiling(problem);
  const int tiles_per_block = divide_up(t.tiles(), ranges_of(t));
  with_storage("convolution wgrad", problem.x,
               [&](auto storage) { launch_wgrad<typename decltype(storage)::Type>(t, tiles_per_block, args, stream); });
  add_partials(static_cast<const float*>(args.workspace), divide_up(t.tiles(), tiles_per_block),
               problem.geometry.weights(), args.dweights, stream);
  if (problem.bias && args.dbias)
    bias_gradient(problem, args.y, args.dbias, static_cast<std::byte*>(args.workspace) + partial_bytes(problem),
                  stream);
}

std::size_t workspace(const ConvProblem& problem) {
  if (problem.direction != ConvDirection::wgrad) return 0;
  return partial_bytes(problem) + bias_gradient_bytes(problem);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  if (problem.direction == ConvDirection::wgrad) return run_wgrad(problem, args, stream);
  with_storage("convolution", problem.x, [&](auto storage) {
    using In = typename decltype(storage)::Type;
    if (problem.y == problem.x) return choose_filters<In, In>(problem, args, stream);
    choose_filters<In, float>(problem, args, stream);
  });
}

constexpr ConvRow kRow{.name = "first",
                       .supports = supports,
                       .workspace = workspace,
                       .packed_bytes = [](const ConvProblem& problem) { return packed_gemm_bytes(problem, problem.x); },
                       .pack = [](const ConvProblem& problem, const float* weights, void* packed,
                                  Stream stream) { pack_gemm(problem, weights, problem.x, packed, stream); },
                       .run = run};

}  // namespace
}  // namespace conv_first

const ConvRow& first_row() {
  return conv_first::kRow;
}

}  // namespace rook::ROOK_GPU
