// wgrad by Winograd. What a thread transforms it multiplies itself, as caches pass data from core to core slowly. The
// tiles are split into parts whose sums are added in the end, fixed by the problem; where they are fewer than the
// threads, these share a part's filters, each transforming x for itself. One element of a part is summed in the order
// of the tiles, so the bits do not depend on the number of threads.
#include <omp.h>

#include "kernels/cpu/conv_winograd_layout.h"
#include "kernels/cpu/conv_winograd_math.h"
#include "kernels/cpu/conv_winograd_tiles.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"

namespace rook::cpu::winograd {
namespace {

// Channels c in groups of up to kReduceColumns vectors (columns), filters k in single vectors (rows). A step is as many
// tiles as a lane holds; a chunk of steps is transformed at a time. Per thread:
//   v [point][group][step][columns of the group]   transformed x
//   u [point][vector of filters][step][kLanes]      transformed dy
// Workspace, but for the sums of a single chunk of a single part:
//   m [part][vector of filters][group][point][kLanes rows][columns of the group]
struct WgradLayout {
  int c_vecs, k_vecs, groups, points;
  std::int64_t parts, steps;         // all steps
  std::int64_t chunks, chunk_steps;  // of a part

  int group_begin(int group) const { return static_cast<int>(part_begin(c_vecs, groups, group)); }
  int group_columns(int group) const { return group_begin(group + 1) - group_begin(group); }
  int group_of(int vec) const {
    int group = vec * groups / c_vecs;
    while (group_begin(group + 1) <= vec) ++group;
    return group;
  }
  std::ptrdiff_t v_point() const { return odd_lines(c_vecs * chunk_steps); }
  std::ptrdiff_t u_point(int vecs) const { return odd_lines(vecs * chunk_steps); }
  std::int64_t m_part() const { return std::int64_t{points} * k_vecs * c_vecs * kLanes * kLanes; }
  std::ptrdiff_t m_offset(int k_vec, int group) const {
    return std::ptrdiff_t{points} * kLanes * kLanes * (std::ptrdiff_t{k_vec} * c_vecs + group_begin(group));
  }
  std::int64_t m_floats() const { return parts * chunks > 1 ? parts * m_part() : 0; }
};

template <class Math, class Tile>
WgradLayout wgrad_layout(const Shape& s) {
  WgradLayout layout{};
  layout.points = Tile::kPoints;
  layout.c_vecs = static_cast<int>(divide_up(s.c, kLanes));
  layout.k_vecs = static_cast<int>(divide_up(s.k, kLanes));
  layout.groups = static_cast<int>(divide_up(layout.c_vecs, kReduceColumns));
  layout.steps = divide_up(s.tiles(), Math::kDepth);
  // So many tiles to a part, and so few sums in all, that adding the parts up does not count.
  constexpr std::int64_t kPartTiles = 2048 / (Tile::kOutputs * Tile::kOutputs), kMostParts = 16, kSumBytes = 8 << 20;
  const std::int64_t sum_bytes = layout.m_part() * 4;
  const std::int64_t parts = std::min({s.tiles() / kPartTiles, kMostParts, kSumBytes / sum_bytes});
  layout.parts = 1;
  while (layout.parts * 2 <= parts) layout.parts *= 2;
  // Chunks as large as half a usual L2 cache, or as the sums, which are read and written with every chunk.
  constexpr std::int64_t kChunkBytes = 512 * 1024;
  const std::int64_t step_bytes = std::int64_t{Tile::kPoints} * (layout.c_vecs + layout.k_vecs) * kLanes * 4;
  const std::int64_t part_steps = divide_up(layout.steps, layout.parts);
  layout.chunks = divide_up(part_steps * step_bytes, std::max(kChunkBytes, sum_bytes));
  layout.chunk_steps = divide_up(part_steps, layout.chunks);
  return layout;
}

// Writes the transforms of one vector of channels, tiles [begin, end), to `to`: steps lie `step` floats apart, points
// `point`. begin is a multiple of Math::kDepth; behind an odd last tile stand zeros.
template <class Math, class Tile>
class StepWriter {
  static constexpr int kPoints = Tile::kPoints;

 public:
  StepWriter(float* to, std::ptrdiff_t step, std::ptrdiff_t point) : to_(to), step_(step), point_(point) {}
  void operator()(std::int64_t tile, const Vec (&values)[kPoints]) {
    if constexpr (Math::kDepth == 1) {
      for (int i = 0; i < kPoints; ++i) store(to_ + tile * step_ + i * point_, values[i]);
    } else if (tile % 2 == 0) {
      for (int i = 0; i < kPoints; ++i) even_[i] = values[i];
    } else {
      for (int i = 0; i < kPoints; ++i) store(to_ + tile / 2 * step_ + i * point_, Math::lanes({even_[i], values[i]}));
    }
  }
  // After the last tile.
  void end(std::int64_t tiles) {
    if (tiles % Math::kDepth != 0) (*this)(tiles, {});
  }

 private:
  float* to_;
  std::ptrdiff_t step_, point_;
  Vec even_[Math::kDepth == 1 ? 1 : kPoints] = {};
};

// What one thread does at a time: some filters, in vectors, of one part.
struct Item {
  std::int64_t part;
  int k_begin, k_end;
  int k_vecs() const { return k_end - k_begin; }
};

struct Steps {
  std::int64_t begin, end;
};

// Transforms x for a chunk of steps.
template <class Math, class Tile>
void transform_x(const Shape& s, const WgradLayout& layout, const void* x, Steps chunk, float* v) {
  const std::int64_t first = chunk.begin * Math::kDepth, last = std::min(s.tiles(), chunk.end * Math::kDepth);
  for (int vec = 0; vec < layout.c_vecs; ++vec) {
    const int c = vec * kLanes, count = std::min(kLanes, s.c - c), group = layout.group_of(vec);
    const std::ptrdiff_t before = layout.group_begin(group);
    StepWriter<Math, Tile> writer(v + (before * layout.chunk_steps + vec - before) * kLanes,
                                  std::ptrdiff_t{layout.group_columns(group)} * kLanes, layout.v_point());
    const auto take = [&](std::int64_t tile, const Vec(&values)[Tile::kPoints]) { writer(tile, values); };
    const auto* const from = static_cast<const typename Math::Storage*>(x) + c;
    if (count == kLanes)
      transform_inputs<Tile, false>(s, from, count, first, last, take);
    else
      transform_inputs<Tile, true>(s, from, count, first, last, take);
    writer.end(last - first);
  }
}

// Transforms dy, an item's filters, for a chunk of steps.
template <class Math, class Tile>
void transform_dy(const Shape& s, const WgradLayout& layout, const Item& item, const void* dy, Steps chunk, float* u) {
  const std::int64_t first = chunk.begin * Math::kDepth, last = std::min(s.tiles(), chunk.end * Math::kDepth);
  for (int vec = item.k_begin; vec < item.k_end; ++vec) {
    const int k = vec * kLanes, count = std::min(kLanes, s.k - k);
    StepWriter<Math, Tile> writer(u + (vec - item.k_begin) * layout.chunk_steps * kLanes, kLanes,
                                  layout.u_point(item.k_vecs()));
    const auto take = [&](std::int64_t tile, const Vec(&values)[Tile::kPoints]) { writer(tile, values); };
    const auto* const from = static_cast<const typename Math::Storage*>(dy) + k;
    if (count == kLanes)
      transform_gradients<Tile, false>(s, from, count, first, last, take);
    else
      transform_gradients<Tile, true>(s, from, count, first, last, take);
    writer.end(last - first);
  }
}

template <class Math>
void multiply(int columns, std::int64_t steps, const float* a, const float* b, bool add, float* m) {
  static_assert(kReduceColumns == 3);
  if (columns == 1) return multiply_steps<Math, 1>(steps, a, b, add, m);
  if (columns == 2) return multiply_steps<Math, 2>(steps, a, b, add, m);
  multiply_steps<Math, 3>(steps, a, b, add, m);
}

// dw += G^T m G for one vector of filters and one group of channels; m [point][kLanes][columns of the group], the sum
// of `parts` arrays that lie `part` floats apart.
template <class Tile>
void add_gradient(const Shape& s, const WgradLayout& layout, int k_vec, int group, const float* m, std::int64_t parts,
                  std::ptrdiff_t part, float* dweights) {
  constexpr int kInputs = Tile::kInputs;
  const int columns = layout.group_columns(group), width = columns * kLanes;
  const int filters = std::min(kLanes, s.k - k_vec * kLanes);
  for (int row = 0; row < filters; ++row)
    for (int j = 0; j < columns; ++j) {
      const int c = (layout.group_begin(group) + j) * kLanes, count = std::min(kLanes, s.c - c);
      const auto at = [&](int point) {
        const float* const sums = m + (point * kLanes + row) * width + j * kLanes;
        Vec sum = load(sums);
        for (std::int64_t i = 1; i < parts; ++i) sum += load(sums + i * part);
        return sum;
      };
      Vec half[kInputs][3];  // G^T m: [column][tap]
      for (int i = 0; i < kInputs; ++i) {
        Vec column[kInputs];
        for (int r = 0; r < kInputs; ++r) column[r] = at(kInputs * r + i);
        Tile::transform_filter_gradient(column, half[i]);
      }
      float* const taps = dweights + (std::int64_t{k_vec} * kLanes + row) * 9 * s.c + c;
      for (int r = 0; r < 3; ++r) {
        Vec of_tap[kInputs], w[3];
        for (int i = 0; i < kInputs; ++i) of_tap[i] = half[i][r];
        Tile::transform_filter_gradient(of_tap, w);
        for (int tap = 0; tap < 3; ++tap) {
          float* const to = taps + (3 * r + tap) * s.c;
          if (count == kLanes)
            store(to, load(to) + w[tap]);
          else
            store_partial(to, count, load_partial(to, count) + w[tap]);
        }
      }
    }
}

// All of one item. The gradient itself is added here only where there is one part.
template <class Math, class Tile>
void run_item(const Shape& s, const WgradLayout& layout, const Item& item, const ConvArgs& args) {
  constexpr int kPoints = Tile::kPoints;
  ScratchScope scratch;
  float* const v = scratch.floats(kPoints * layout.v_point());
  float* const u = scratch.floats(kPoints * layout.u_point(item.k_vecs()));
  float* const single = layout.m_floats() ? nullptr : scratch.floats(kPoints * kLanes * kLanes * kReduceColumns);
  const std::int64_t begin = part_begin(layout.steps, layout.parts, item.part);
  const std::int64_t end = part_begin(layout.steps, layout.parts, item.part + 1);
  for (std::int64_t first = begin; first < end; first += layout.chunk_steps) {
    const Steps chunk{first, std::min(end, first + layout.chunk_steps)};
    transform_x<Math, Tile>(s, layout, args.x.data, chunk, v);
    transform_dy<Math, Tile>(s, layout, item, args.y.data, chunk, u);
    for (int k_vec = item.k_begin; k_vec < item.k_end; ++k_vec)
      for (int group = 0; group < layout.groups; ++group) {
        const int columns = layout.group_columns(group);
        float* const m =
            single ? single
                   : static_cast<float*>(args.workspace) + item.part * layout.m_part() + layout.m_offset(k_vec, group);
        const float* const a = u + (k_vec - item.k_begin) * layout.chunk_steps * kLanes;
        const float* const b = v + layout.group_begin(group) * layout.chunk_steps * kLanes;
        for (int point = 0; point < kPoints; ++point)
          for (int row = 0; row < kLanes; row += kReduceRows)
            multiply<Math>(columns, chunk.end - chunk.begin, a + point * layout.u_point(item.k_vecs()) + row,
                           b + point * layout.v_point(), first > begin, m + (point * kLanes + row) * columns * kLanes);
        if (layout.parts == 1 && chunk.end == end) add_gradient<Tile>(s, layout, k_vec, group, m, 1, 0, args.dweights);
      }
  }
}

template <class Math, class Tile>
void run_items(const Shape& s, const ConvArgs& args) {
  const WgradLayout layout = wgrad_layout<Math, Tile>(s);
  const std::int64_t threads = omp_get_max_threads(), work = s.tiles() * s.c * s.k;
  const std::int64_t k_parts = std::min<std::int64_t>(divide_up(threads, layout.parts), layout.k_vecs);
  parallel_for(layout.parts * k_parts, work, [&](std::int64_t i) {
    const std::int64_t k_part = i % k_parts;
    run_item<Math, Tile>(s, layout,
                         {.part = i / k_parts,
                          .k_begin = static_cast<int>(part_begin(layout.k_vecs, k_parts, k_part)),
                          .k_end = static_cast<int>(part_begin(layout.k_vecs, k_parts, k_part + 1))},
                         args);
  });
  if (layout.parts == 1) return;
  parallel_for(std::int64_t{layout.k_vecs} * layout.groups, layout.parts * layout.m_part(), [&](std::int64_t i) {
    const int k_vec = static_cast<int>(i / layout.groups), group = static_cast<int>(i % layout.groups);
    add_gradient<Tile>(s, layout, k_vec, group,
                       static_cast<const float*>(args.workspace) + layout.m_offset(k_vec, group), layout.parts,
                       layout.m_part(), args.dweights);
  });
}

// dbias[k] += sum over pixels of dy, for one vector of filters: f32 within a row of the picture, double over rows.
template <class T>
void add_bias_gradient(const Shape& s, const T* dy, int count, float* dbias) {
  double sums[kLanes] = {};
  for (std::int64_t row = 0; row < std::int64_t{s.n} * s.p; ++row) {
    Vec sum = {};
    for (int q = 0; q < s.q; ++q) sum += load_partial(dy + (row * s.q + q) * s.k, count);
    for (int i = 0; i < count; ++i) sums[i] += sum[i];
  }
  for (int i = 0; i < count; ++i) dbias[i] = static_cast<float>(dbias[i] + sums[i]);
}

}  // namespace

std::size_t wgrad_bytes(const ConvProblem& problem, int tile_outputs) {
  return with_math_and_tile(problem.x, tile_outputs, [&](auto math, auto tile) {
    const auto layout = wgrad_layout<decltype(math), decltype(tile)>(shape_of(problem, tile_outputs));
    return static_cast<std::size_t>(layout.m_floats()) * sizeof(float);
  });
}

void run_wgrad(const ConvProblem& problem, int tile_outputs, const ConvArgs& args) {
  const Shape s = shape_of(problem, tile_outputs);
  with_math_and_tile(problem.x, tile_outputs, [&](auto math, auto tile) {
    using Math = decltype(math);
    run_items<Math, decltype(tile)>(s, args);
    if (!problem.bias || !args.dbias) return;
    parallel_for(divide_up(s.k, kLanes), s.tiles() * s.k, [&](std::int64_t vec) {
      const auto k = static_cast<int>(vec * kLanes);
      add_bias_gradient(s, static_cast<const typename Math::Storage*>(args.y.data) + k, std::min(kLanes, s.k - k),
                        args.dbias + k);
    });
  });
}

}  // namespace rook::cpu::winograd
