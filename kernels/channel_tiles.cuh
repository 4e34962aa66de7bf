// Operations with a parameter or a sum per channel. A block takes the vectors of up to 32 neighbouring columns of some
// pixels, as rows of threads under each other: a thread sees one column only, so that what belongs to its channels
// stays in its registers, and a warp reads whole lines.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "kernels/device.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {

inline constexpr int kTileThreads = 256;

// Pixels [0, pixels) in chunks of `chunk` (the last may be shorter), `columns` vectors each, `tile` of them per block:
// blockIdx.x is the tile, blockIdx.y the chunk.
struct ChannelTiles {
  std::int64_t pixels = 0, chunk = 0;
  int columns = 0, tile = 0;
  int chunks = 0;
};

// Where a thread is in its block's tile. Threads that are left over have no pixels.
struct TilePlace {
  int column;               // vector of the pixel; channel column * N
  int row, rows;            // of the block
  std::int64_t begin, end;  // pixels begin, begin + rows, ... before end
  bool active;

  __device__ __forceinline__ explicit TilePlace(const ChannelTiles& tiles) {
    const int thread = static_cast<int>(threadIdx.x);
    row = thread / tiles.tile;
    rows = kTileThreads / tiles.tile;
    column = static_cast<int>(blockIdx.x) * tiles.tile + thread % tiles.tile;
    active = row < rows && column < tiles.columns;
    const std::int64_t first = blockIdx.y * tiles.chunk;
    end = active ? min(tiles.pixels, first + tiles.chunk) : 0;
    begin = first + row;
  }
  __device__ __forceinline__ int count() const {
    return begin < end ? static_cast<int>((end - begin + rows - 1) / rows) : 0;
  }
};

// A value per thread and channel, on their way up.
template <int N, class Value>
struct RowResults {
  Value of[N][kTileThreads];
};

// Merges the values of the rows of each column pairwise: merge(Value& into, const Value& other). Row 0 has the result.
// All threads of the block take part. Each place of `results` is written once, so that one barrier per step is enough.
template <int N, class Value, class Merge>
__device__ __forceinline__ void reduce_rows(const TilePlace& place, int tile, Value (&values)[N],
                                            RowResults<N, Value>& results, Merge merge) {
  const int thread = static_cast<int>(threadIdx.x);
  int step = 1;
  while (2 * step < place.rows) step *= 2;
  for (; step > 0; step /= 2) {
    if (place.row >= step && place.row < 2 * step) {
#pragma unroll
      for (int i = 0; i < N; ++i) results.of[i][thread] = values[i];
    }
    __syncthreads();
    if (place.row < step && place.row + step < place.rows) {
#pragma unroll
      for (int i = 0; i < N; ++i) merge(values[i], results.of[i][thread + step * tile]);
    }
  }
}

// ---------------------------------------------------------------------------------------------------- planning

inline int ceil_divide(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

// For channels in vectors of `vector`, and pixels in chunks of `chunk`; `most` columns per block.
inline ChannelTiles plan_tiles(std::int64_t pixels, int channels, int vector, std::int64_t chunk, int most = 32) {
  ChannelTiles tiles{.pixels = pixels, .chunk = chunk, .columns = channels / vector};
  tiles.tile = ceil_divide(tiles.columns, ceil_divide(tiles.columns, most));
  tiles.chunks = ceil_divide(pixels, chunk);
  return tiles;
}

inline Grid grid_of(const ChannelTiles& tiles) {
  return {.blocks =
              dim3(static_cast<unsigned>(ceil_divide(tiles.columns, tiles.tile)), static_cast<unsigned>(tiles.chunks)),
          .threads = kTileThreads};
}

// For passes that only write: a few pixels per thread, so that what belongs to its channels is not read for one alone.
inline ChannelTiles plan_writes(std::int64_t pixels, int channels, int vector) {
  constexpr int kPixels = 4, kMostBlocks = 2048;
  const ChannelTiles tiles = plan_tiles(pixels, channels, vector, pixels);
  const int rows = kTileThreads / tiles.tile;
  const int most = std::max(1, kMostBlocks / ceil_divide(tiles.columns, tiles.tile));
  const int steps = std::max(kPixels, ceil_divide(pixels, std::int64_t{rows} * most));
  return plan_tiles(pixels, channels, vector, std::int64_t{rows} * steps);
}

// `vector` if all tensors can be read in vectors of it, else 1.
inline int vector_of(int vector, std::initializer_list<Tensor> tensors) {
  const bool fits = std::all_of(tensors.begin(), tensors.end(), [&](auto& t) { return fits_vectors(t, vector); });
  return fits ? vector : 1;
}

}  // namespace rook::ROOK_GPU
