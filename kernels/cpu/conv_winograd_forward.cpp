// fprop and dgrad by Winograd. Blocks of tiles whose transformed inputs and products stay in the L2 cache are spread
// over the threads; every element is computed by the same operations whatever the block, so the bits do not depend on
// the number of threads.
#include <omp.h>

#include "kernels/cpu/activation.h"
#include "kernels/cpu/conv_winograd_layout.h"
#include "kernels/cpu/conv_winograd_math.h"
#include "kernels/cpu/conv_winograd_tiles.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"

namespace rook::cpu::winograd {
namespace {

// Transformed inputs [point][block of channels][tile][kLanes] and products [point][tile][columns] of one block of
// tiles.
struct TileBlock {
  std::int64_t begin, end;  // tiles
  int count() const { return static_cast<int>(end - begin); }
};

template <class Math, class Tile>
void transform_block(const Shape& s, const ForwardLayout& layout, const void* x, TileBlock tiles, float* v) {
  using T = typename Math::Storage;
  constexpr int kChannels = kLanes * Math::kDepth, kPoints = Tile::kPoints;
  const std::ptrdiff_t point = odd_lines(std::ptrdiff_t{layout.blocks} * tiles.count()) * Math::kDepth;
  for (int vec = 0; vec < layout.blocks * Math::kDepth; ++vec) {
    const int c = vec * kLanes, count = std::min(kLanes, s.c - c);
    T* const to = reinterpret_cast<T*>(v) + std::ptrdiff_t{c / kChannels} * tiles.count() * kChannels + c % kChannels;
    const auto take = [&](std::int64_t tile, const Vec(&values)[kPoints]) {
      for (int i = 0; i < kPoints; ++i) Math::store_rounded(to + i * point + tile * kChannels, values[i]);
    };
    const T* const from = static_cast<const T*>(x) + c;
    if (count == kLanes) {
      transform_inputs<Tile, false>(s, from, count, tiles.begin, tiles.end, take);
    } else if (count > 0) {
      transform_inputs<Tile, true>(s, from, count, tiles.begin, tiles.end, take);
    } else {
      for (int tile = 0; tile < tiles.count(); ++tile) take(tile, {});
    }
  }
}

// m = v x filters of one group, at all points.
template <class Math, class Tile>
void multiply_block(const ForwardLayout& layout, int group, int tiles, const float* v, const float* filters, float* m) {
  const int columns = layout.group_columns(group), width = columns * kLanes;
  const std::ptrdiff_t v_point = odd_lines(std::ptrdiff_t{layout.blocks} * tiles);
  const std::ptrdiff_t m_point = odd_lines(std::ptrdiff_t{tiles} * columns);
  const int parts = static_cast<int>(divide_up(tiles, max_rows(columns)));
  for (int point = 0; point < Tile::kPoints; ++point)
    for (int part = 0; part < parts; ++part) {
      const std::int64_t first = part_begin(tiles, parts, part), last = part_begin(tiles, parts, part + 1);
      multiply_tiles_of<Math>(static_cast<int>(last - first), columns)(
          layout.blocks, v + point * v_point + first * kLanes, std::ptrdiff_t{tiles} * kLanes,
          filters + point * layout.steps() * width, m + point * m_point + first * width);
    }
}

// Where the results go: y = act(A^T m A + bias), or added to what is there.
struct Destination {
  void* data;
  const float* bias;
  bool add;
};

// One vector of output channels of a block.
template <class Tile, class T, class Finish, bool kPartial>
void write_vec(const Shape& s, const Destination& to, int k, TileBlock tiles, const float* m, std::ptrdiff_t m_point,
               int m_tile, Finish finish) {
  const int count = std::min(kLanes, s.k - k);
  const Vec bias = to.bias ? load_channels<kPartial>(to.bias + k, count) : Vec{};
  T* const data = static_cast<T*>(to.data) + k;
  const auto write = [&](T* pixel, Vec value) {
    if (to.add)
      value += load_channels<kPartial>(pixel, count);
    else
      value = finish(value + bias);
    if constexpr (kPartial)
      store_partial(pixel, count, value);
    else
      store(pixel, value);
  };
  constexpr int kInputs = Tile::kInputs, kOutputs = Tile::kOutputs;
  TileWalk at(s, tiles.begin);
  for (int tile = 0; tile < tiles.count(); ++tile, at.next(), m += m_tile) {
    Vec columns[kInputs][kOutputs];
    for (int j = 0; j < kInputs; ++j) {
      Vec products[kInputs];
      for (int i = 0; i < kInputs; ++i) products[i] = load(m + (kInputs * i + j) * m_point);
      Tile::transform_output(products, columns[j]);
    }
    const int row = at.row * kOutputs, column = at.column * kOutputs;
    T* const first = data + ((at.image * s.p + row) * s.q + column) * s.k;
    for (int i = 0; i < kOutputs && row + i < s.p; ++i) {
      Vec of_row[kInputs], y[kOutputs];
      for (int j = 0; j < kInputs; ++j) of_row[j] = columns[j][i];
      Tile::transform_output(of_row, y);
      T* const pixel = first + std::int64_t{i} * s.q * s.k;
      for (int j = 0; j < kOutputs && column + j < s.q; ++j) write(pixel + j * s.k, y[j]);
    }
  }
}

template <class Tile, class T>
void write_block(const Shape& s, const Destination& to, Activation activation, const ForwardLayout& layout, int group,
                 TileBlock tiles, const float* m) {
  const int columns = layout.group_columns(group);
  const std::ptrdiff_t m_point = odd_lines(std::ptrdiff_t{tiles.count()} * columns);
  with_activation(activation, [&](auto act) {
    const auto finish = [act](Vec value) { return act.value(value); };
    using Finish = decltype(finish);
    for (int j = 0; j < columns; ++j) {
      const int k = (layout.group_begin(group) + j) * kLanes;
      if (k + kLanes <= s.k)
        write_vec<Tile, T, Finish, false>(s, to, k, tiles, m + j * kLanes, m_point, columns * kLanes, finish);
      else
        write_vec<Tile, T, Finish, true>(s, to, k, tiles, m + j * kLanes, m_point, columns * kLanes, finish);
    }
  });
}

// Tiles of a block such that its inputs, and its products with one group of filters, fill half of a usual L2 cache, but
// not so few that reading the filters anew for every block counts; as many blocks as make the threads end together.
template <class Tile>
std::int64_t block_count(const Shape& s, const ForwardLayout& layout) {
  constexpr std::int64_t kBytes = 512 * 1024, kFewest = 36;
  const std::int64_t columns = divide_up(layout.vecs, layout.groups);
  const std::int64_t tile_bytes = std::int64_t{Tile::kPoints} * kLanes * 4 * (layout.blocks + columns);
  const std::int64_t tiles = std::max(kBytes / tile_bytes, kFewest);
  const std::int64_t threads = omp_get_max_threads();
  const std::int64_t blocks = divide_up(s.tiles(), tiles);
  return std::min(s.tiles(), divide_up(blocks, threads) * threads);
}

template <class Math, class Tile>
void run_blocks(const ConvProblem& problem, const Shape& s, const void* x, const float* filters, const Destination& to,
                DType y) {
  const ForwardLayout layout = forward_layout<Math, Tile>(s);
  const std::int64_t blocks = block_count<Tile>(s, layout), most = divide_up(s.tiles(), blocks);
  const std::ptrdiff_t v_floats = Tile::kPoints * odd_lines(layout.blocks * most);
  const std::ptrdiff_t m_floats = Tile::kPoints * odd_lines(most * kMaxColumns);
  parallel_for(blocks, s.tiles() * s.c * s.k, [&](std::int64_t i) {
    const TileBlock tiles{part_begin(s.tiles(), blocks, i), part_begin(s.tiles(), blocks, i + 1)};
    ScratchScope scratch;
    float* const v = scratch.floats(v_floats);
    float* const m = scratch.floats(m_floats);
    transform_block<Math, Tile>(s, layout, x, tiles, v);
    for (int group = 0; group < layout.groups; ++group) {
      multiply_block<Math, Tile>(layout, group, tiles.count(), v, filters + layout.group_offset(group), m);
      if (y == DType::f32)
        write_block<Tile, float>(s, to, problem.activation, layout, group, tiles, m);
      else
        write_block<Tile, std::uint16_t>(s, to, problem.activation, layout, group, tiles, m);
    }
  });
}

}  // namespace

void run_forward(const ConvProblem& problem, int tile_outputs, const ConvArgs& args) {
  const bool fprop = problem.direction == ConvDirection::fprop;
  const Tensor &in = fprop ? args.x : args.y, &out = fprop ? args.y : args.x;
  const Destination to{.data = out.data,
                       .bias = fprop && problem.bias ? args.bias : nullptr,
                       .add = !fprop && args.mode == Grad::accumulate};
  with_math_and_tile(in.dtype, tile_outputs, [&](auto math, auto tile) {
    run_blocks<decltype(math), decltype(tile)>(problem, shape_of(problem, tile_outputs), in.data,
                                               static_cast<const float*>(args.weights), to, out.dtype);
  });
}

}  // namespace rook::cpu::winograd
