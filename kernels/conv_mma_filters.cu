// wgrad on tensor cores, as implicit GEMM over the pixels of the output:
//   sums[filter][tap t, channel c] = sum over pixels of dy[pixel][filter] x[see(pixel, t)][c]
// Both operands lie in memory with the reduction outside, so that ldmatrix transposes both. The reduction is long and
// the result small: it is split, and the parts are added in their order by add_partials.
#include "kernels/conv_mma_filters.cuh"

#include "kernels/launch.cuh"

namespace rook::ROOK_GPU::conv_mma {
namespace {

// Tiles of wgrad: its filters, the side that varies most from net to net, are the rows of the sums.
template <int Rows, int Columns, int Depth, int WarpRows, int WarpColumns, int Stages, int Blocks>
using FilterTile = Tile<Columns, Rows, Depth, WarpColumns, WarpRows, Stages, Blocks>;

// The copies of one thread: every kFilterStep-th pixel of the tile of dy, every kTapStep-th
// of the tile of x, always the same chunk of a pixel.
template <class T, class Tile>
class FilterLoader {
 public:
  __device__ __forceinline__ FilterLoader(const FilterGemm& g, int first_filter, int first_column, Steps steps)
      : g_(g) {
    const int thread = static_cast<int>(threadIdx.x);
    const int end = (steps.begin + steps.count) * Tile::kDepth, pixels_end = end < g.pixels ? end : g.pixels;
    const int a_row = thread / kFilterChunks, a_chunk = thread % kFilterChunks;
    a_ = place<Tile::kRows>(a_row, a_chunk);
    a_pixel_ = steps.begin * Tile::kDepth + a_row;
    const int filter = first_filter + a_chunk * kMmaChunk;
    dy_ = static_cast<const T*>(g.dy) + (filter < g.filters ? filter : 0);
    a_end_ = filter < g.filters ? pixels_end : 0;

    const int b_row = thread / kTapChunks, b_chunk = thread % kTapChunks;
    b_ = place<Tile::kColumns>(b_row, b_chunk);
    b_pixel_ = steps.begin * Tile::kDepth + b_row;
    const int column = first_column + b_chunk * kMmaChunk, tap = column / g.channels;
    x_ = static_cast<const T*>(g.x) + (column - tap * g.channels);
    b_end_ = tap < g.filter_taps ? pixels_end : 0;
    const int tap_y = tap / g.filter_w, tap_x = tap - tap_y * g.filter_w;
    tap_y_ = g.down.gather.source_first + tap_y * g.down.gather.tap_source_step;
    tap_x_ = g.across.gather.source_first + tap_x * g.across.gather.tap_source_step;
  }

  // Begins the copies of a step and goes on to the next.
  __device__ __forceinline__ void operator()(T* a, T* b) {
#pragma unroll
    for (int i = 0; i < Tile::kDepth; i += kFilterStep) {
      const int pixel = a_pixel_ + i;
      const bool valid = pixel < a_end_;
      cp_async<16>(a + a_ + i * Tile::kRows, dy_ + std::int64_t{valid ? pixel : 0} * g_.pitch_y, valid);
    }
#pragma unroll
    for (int i = 0; i < Tile::kDepth; i += kTapStep) {
      const int pixel = b_pixel_ + i;
      const int line = g_.across.by_count.divide(pixel), image = g_.down.by_count.divide(line);
      const int y = tap_y_ + (line - image * g_.down.gather.count) * g_.down.gather.source_step;
      const int x = tap_x_ + (pixel - line * g_.across.gather.count) * g_.across.gather.source_step;
      const bool valid = pixel < b_end_ && static_cast<unsigned>(y) < static_cast<unsigned>(g_.h) &&
                         static_cast<unsigned>(x) < static_cast<unsigned>(g_.w);
      const int source = valid ? (image * g_.h + y) * g_.w + x : 0;
      cp_async<16>(b + b_ + i * Tile::kColumns, x_ + std::int64_t{source} * g_.pitch_x, valid);
    }
    a_pixel_ += Tile::kDepth;
    b_pixel_ += Tile::kDepth;
  }

 private:
  static constexpr int kFilterChunks = Tile::kRows / kMmaChunk, kFilterStep = Tile::kThreads / kFilterChunks;
  static constexpr int kTapChunks = Tile::kColumns / kMmaChunk, kTapStep = Tile::kThreads / kTapChunks;
  static_assert(kFilterStep % 8 == 0 && Tile::kDepth % kFilterStep == 0);
  static_assert(kTapStep % 8 == 0 && Tile::kDepth % kTapStep == 0);

  const FilterGemm& g_;
  const T* dy_;  // this thread's channels
  const T* x_;
  int a_, a_pixel_, a_end_, b_, b_pixel_, b_end_;  // pixels beyond the end are zeros
  int tap_y_, tap_x_;                              // what output (0, 0) sees
};

// Grid: tiles (filters innermost: the blocks that run together share x), splits.
template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) filter_gemm(FilterGemm g) {
  const int tiles_of_filters = (g.filters + Tile::kRows - 1) / Tile::kRows;
  const int tile_across = static_cast<int>(blockIdx.x) / tiles_of_filters;
  const int first_filter = (static_cast<int>(blockIdx.x) - tile_across * tiles_of_filters) * Tile::kRows;
  const int first_column = tile_across * Tile::kColumns, columns = g.filter_taps * g.channels;
  const Steps steps = steps_of((g.pixels + Tile::kDepth - 1) / Tile::kDepth, g.splits, static_cast<int>(blockIdx.y));

  Sums<Tile> sums;
  const bool work = first_filter + warp_row<Tile>() < g.filters && first_column + warp_column<Tile>() < columns;
  FilterLoader<T, Tile> load(g, first_filter, first_column, steps);
  Product<T, Tile, DepthOuter>(dynamic_shared<T>()).run(sums, steps.count, work, load);
  stage_sums(sums, dynamic_shared<float>());

  const int column = first_column + sum_column<Tile>(), tap = column / g.channels, channel = column - tap * g.channels;
  const int count = tap < g.filter_taps ? g.out_channels - channel : 0;
  for_sums<Tile, 4>(dynamic_shared<float>(), [&](int row, const float(&values)[kSumVector]) {
    const int filter = first_filter + row;
    if (filter >= g.out_filters || count <= 0) return;
    const std::int64_t line = (std::int64_t{blockIdx.y} * g.out_filters + filter) * g.filter_taps + tap;
    put_channels(g.out + line * g.out_channels + channel, count, g.vectors, values, g.mode);
  });
}

template <class T>
void launch_filters(const FilterGemm& g, MmaTile tile, Stream stream) {
  with_tile<FilterTile>(tile, [&](auto chosen) {
    using Chosen = decltype(chosen);
    const int down = (g.filters + Chosen::kRows - 1) / Chosen::kRows;
    const int across = (g.filter_taps * g.channels + Chosen::kColumns - 1) / Chosen::kColumns;
    launch(
        stream,
        {.blocks = dim3(static_cast<unsigned>(down) * static_cast<unsigned>(across), static_cast<unsigned>(g.splits)),
         .threads = Chosen::kThreads,
         .shared = Chosen::kSharedBytes},
        filter_gemm<T, Chosen>, g);
  });
}

}  // namespace

void run_filters(const FilterGemm& g, DType type, MmaTile tile, Stream stream) {
  if (type == DType::bf16) {
    launch_filters<__nv_bfloat16>(g, tile, stream);
  } else {
    launch_filters<__half>(g, tile, stream);
  }
}

}  // namespace rook::ROOK_GPU::conv_mma
