// The filters of Winograd's fprop and dgrad, U = G w G^T, in the order in which the products read them:
// [group of columns][point][lanes of the sum][columns of the group], zeros behind the last channel and filter.
#include "kernels/cpu/conv_winograd_layout.h"
#include "kernels/cpu/conv_winograd_math.h"
#include "kernels/cpu/conv_winograd_tiles.h"
#include "kernels/cpu/rows.h"

namespace rook::cpu::winograd {
namespace {

// u[kInputs i + j] = (G w G^T)[i][j] of `count` neighbours in memory; the 9 taps lie `tap` floats apart (backwards
// where the filter is rotated).
template <class Tile>
void transform_filter(const float* w, std::ptrdiff_t tap, int count, Vec (&u)[Tile::kPoints]) {
  constexpr int kInputs = Tile::kInputs;
  Vec columns[3][kInputs];
  for (int s = 0; s < 3; ++s)
    Tile::transform_filter({load_partial(w + s * tap, count), load_partial(w + (3 + s) * tap, count),
                            load_partial(w + (6 + s) * tap, count)},
                           columns[s]);
  for (int i = 0; i < kInputs; ++i) {
    Vec row[kInputs];
    Tile::transform_filter({columns[0][i], columns[1][i], columns[2][i]}, row);
    for (int j = 0; j < kInputs; ++j) u[kInputs * i + j] = row[j];
  }
}

// Where lane 0 of column 0 of column vector `vec` begins at a point, and how far its lanes are apart.
struct PackedVec {
  float* first;
  std::ptrdiff_t point, step;
};

PackedVec packed_vec(const ForwardLayout& layout, float* packed, int vec) {
  const int group = layout.group_of(vec), first = layout.group_begin(group);
  const std::ptrdiff_t width = std::ptrdiff_t{layout.group_columns(group)} * kLanes;
  return {packed + layout.group_offset(group) + (vec - first) * kLanes, layout.steps() * width, width};
}

// fprop: memory runs along the sum (channels), so blocks of kLanes filters are transposed.
template <class Math, class Tile>
void pack_fprop(const ForwardLayout& layout, int channels, int filters, const float* weights, PackedVec to, int vec) {
  constexpr int kPoints = Tile::kPoints;
  constexpr int kChannels = kLanes * Math::kDepth;
  typename Math::Storage block[kPoints][kLanes][kChannels];
  for (int b = 0; b < layout.blocks; ++b) {
    for (int i = 0; i < kLanes; ++i)
      for (int half = 0; half < Math::kDepth; ++half) {
        const int k = vec * kLanes + i, c = b * kChannels + half * kLanes;
        const int count = k < filters ? std::clamp(channels - c, 0, kLanes) : 0;
        Vec u[kPoints] = {};
        if (count > 0) transform_filter<Tile>(weights + std::ptrdiff_t{k} * 9 * channels + c, channels, count, u);
        for (int point = 0; point < kPoints; ++point) Math::store_rounded(block[point][i] + half * kLanes, u[point]);
      }
    for (int point = 0; point < kPoints; ++point)
      for (int step = 0; step < kLanes; ++step) {
        float* const lanes = to.first + point * to.point + (std::ptrdiff_t{b} * kLanes + step) * to.step;
        for (int i = 0; i < kLanes; ++i) std::memcpy(lanes + i, block[point][i] + step * Math::kDepth, sizeof(float));
      }
  }
}

// dgrad: memory runs along the columns (the channels of dx); the filters are summed over.
template <class Math, class Tile>
void pack_dgrad(const ForwardLayout& layout, int channels, int filters, const float* weights, PackedVec to, int vec) {
  constexpr int kPoints = Tile::kPoints;
  const int c = vec * kLanes, count = std::min(kLanes, channels - c);
  for (std::int64_t step = 0; step < layout.steps(); ++step) {
    Vec u[Math::kDepth][kPoints] = {};
    for (int half = 0; half < Math::kDepth; ++half) {
      const std::int64_t k = step * Math::kDepth + half;
      if (k < filters) transform_filter<Tile>(weights + (k * 9 + 8) * channels + c, -channels, count, u[half]);
    }
    for (int point = 0; point < kPoints; ++point) {
      Vec terms[Math::kDepth];
      for (int half = 0; half < Math::kDepth; ++half) terms[half] = u[half][point];
      store(to.first + point * to.point + step * to.step, Math::lanes(terms));
    }
  }
}

template <class Math, class Tile>
void pack(const ConvProblem& problem, const float* weights, float* packed) {
  const ForwardLayout layout = forward_layout<Math, Tile>(shape_of(problem, Tile::kOutputs));
  const ConvGeometry& g = problem.geometry;
  parallel_for(layout.vecs, g.weights(), [&](std::int64_t i) {
    const int vec = static_cast<int>(i);
    const PackedVec to = packed_vec(layout, packed, vec);
    if (problem.direction == ConvDirection::fprop)
      pack_fprop<Math, Tile>(layout, g.c, g.k, weights, to, vec);
    else
      pack_dgrad<Math, Tile>(layout, g.c, g.k, weights, to, vec);
  });
}

}  // namespace

std::size_t filter_bytes(const ConvProblem& problem, int tile_outputs) {
  return with_math_and_tile(problem.x, tile_outputs, [&](auto math, auto tile) {
    const auto layout = forward_layout<decltype(math), decltype(tile)>(shape_of(problem, tile_outputs));
    return static_cast<std::size_t>(layout.vecs * kLanes * layout.points * layout.steps()) * sizeof(float);
  });
}

void transform_filters(const ConvProblem& problem, int tile_outputs, const float* weights, void* packed) {
  with_math_and_tile(problem.x, tile_outputs, [&](auto math, auto tile) {
    pack<decltype(math), decltype(tile)>(problem, weights, static_cast<float*>(packed));
  });
}

}  // namespace rook::cpu::winograd
