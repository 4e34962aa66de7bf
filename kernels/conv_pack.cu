#include "kernels/conv_pack.cuh"

#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kPackTile = 32;
constexpr int kTileRows = 8;  // rows of a tile that the threads of a block take at once

struct TransposeTile {
  float value[kPackTile][kPackTile + 1];  // the odd pitch keeps columns apart in the banks
};

// packed [batch, columns, pitch] = transposed weights [batch, rows, columns], 0 in columns from `rows` to `pitch`.
template <class T>
__global__ void transpose_kernel(const float* weights, int rows, int columns, int pitch, T* packed) {
  TransposeTile& tile = block_shared<TransposeTile>();
  const int row_tiles = (pitch + kPackTile - 1) / kPackTile;
  const int row0 = static_cast<int>(blockIdx.x) % row_tiles * kPackTile;
  const int column0 = static_cast<int>(blockIdx.x) / row_tiles * kPackTile;
  const float* from = weights + std::int64_t{blockIdx.y} * rows * columns;
  T* to = packed + std::int64_t{blockIdx.y} * columns * pitch;
  const int x = static_cast<int>(threadIdx.x) % kPackTile, first = static_cast<int>(threadIdx.x) / kPackTile;
#pragma unroll
  for (int y = first; y < kPackTile; y += kTileRows) {
    const bool inside = row0 + y < rows && column0 + x < columns;
    tile.value[y][x] = inside ? from[std::int64_t{row0 + y} * columns + column0 + x] : 0.0f;
  }
  __syncthreads();
#pragma unroll
  for (int y = first; y < kPackTile; y += kTileRows)
    if (column0 + y < columns && row0 + x < pitch)
      to[std::int64_t{column0 + y} * pitch + row0 + x] = from_float<T>(tile.value[x][y]);
}

// packed [groups, taps, filters, pitch] = weights [groups, filters, taps, channels], 0 in channels up to `pitch`.
template <class T>
__global__ void swap_taps_kernel(const float* weights, int taps, int filters, int channels, int pitch,
                                 std::int64_t count, T* packed) {
  for (std::int64_t i = global_thread(); i < count; i += grid_threads()) {
    const int channel = static_cast<int>(i % pitch);
    const std::int64_t row = i / pitch;  // (group, tap, filter)
    const int filter = static_cast<int>(row % filters);
    const std::int64_t group_tap = row / filters;
    const std::int64_t from = (group_tap / taps * filters + filter) * taps + group_tap % taps;
    packed[i] = from_float<T>(channel < channels ? weights[from * channels + channel] : 0.0f);
  }
}

// ------------------------------------------------------------------------------------------------------------
// launchers

struct PackedShape {
  int groups, taps, filters, channels;
};

PackedShape shape_of_packed(const ConvGeometry& g) {
  return {g.groups, g.r * g.s, g.k / g.groups, g.c / g.groups};
}

void transpose(const float* weights, int batch, int rows, int columns, DType type, void* packed, Stream stream) {
  const int pitch = packed_pitch(rows);
  const unsigned tiles =
      static_cast<unsigned>((pitch + kPackTile - 1) / kPackTile) * ((columns + kPackTile - 1) / kPackTile);
  const Grid grid{.blocks = {tiles, static_cast<unsigned>(batch)}, .threads = kPackTile * kTileRows};
  with_storage("packing weights", type, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, transpose_kernel<T>, weights, rows, columns, pitch, static_cast<T*>(packed));
  });
}

}  // namespace

std::size_t packed_gemm_bytes(const ConvProblem& problem, DType type) {
  const PackedShape s = shape_of_packed(problem.geometry);
  const bool dgrad = problem.direction == ConvDirection::dgrad;
  const std::size_t rows = static_cast<std::size_t>(s.groups) * s.taps * (dgrad ? s.filters : s.channels);
  return rows * packed_pitch(dgrad ? s.channels : s.filters) * size_of(type);
}

void pack_gemm(const ConvProblem& problem, const float* weights, DType type, void* packed, Stream stream) {
  const PackedShape s = shape_of_packed(problem.geometry);
  if (problem.direction != ConvDirection::dgrad)
    return transpose(weights, s.groups, s.filters, s.taps * s.channels, type, packed, stream);
  const int pitch = packed_pitch(s.channels);
  const std::int64_t count = std::int64_t{s.groups} * s.taps * s.filters * pitch;
  constexpr int kThreads = 256;
  with_storage("packing weights", type, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(stream, {.blocks = blocks_for(count, kThreads), .threads = kThreads}, swap_taps_kernel<T>, weights, s.taps,
           s.filters, s.channels, pitch, count, static_cast<T*>(packed));
  });
}

std::size_t packed_depthwise_bytes(const ConvProblem& problem, DType type) {
  const ConvGeometry& g = problem.geometry;
  return static_cast<std::size_t>(g.r) * g.s * packed_pitch(g.k) * size_of(type);
}

void pack_depthwise(const ConvProblem& problem, const float* weights, DType type, void* packed, Stream stream) {
  const ConvGeometry& g = problem.geometry;
  transpose(weights, 1, g.k, g.r * g.s, type, packed, stream);
}

}  // namespace rook::ROOK_GPU
