#include "kernels/conv_mma_plan.h"

#include <algorithm>

namespace rook {
namespace {

constexpr int kMultiprocessors = 132;  // of an H100
constexpr int kMaxSplits = 132;
constexpr int kMinSteps = 4;  // of a part of the reduction: shorter ones spend their time filling the pipeline

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

std::int64_t taps_of(const ConvProblem& problem) {
  return std::int64_t{problem.geometry.r} * problem.geometry.s;
}
std::int64_t output_pixels(const ConvProblem& problem) {
  return std::int64_t{problem.n} * problem.p() * problem.q();
}
std::int64_t input_pixels(const ConvProblem& problem) {
  return std::int64_t{problem.n} * problem.h * problem.w;
}

MmaAxes axes_of(ConvDirection direction, const AxisProblem& axis) {
  MmaAxes axes;
  if (direction == ConvDirection::dgrad) {
    axes.count = std::min(axis.stride, axis.in);
    for (int phase = 0; phase < axes.count; ++phase)
      axes.axis[static_cast<std::size_t>(phase)].gather = dgrad_axis(axis, phase);
  } else {
    axes.count = 1;
    axes.axis[0].gather = fprop_axis(axis);
  }
  const auto end = axes.axis.begin() + axes.count;
  std::stable_sort(axes.axis.begin(), end,
                   [](const MmaAxis& a, const MmaAxis& b) { return a.gather.taps > b.gather.taps; });
  std::for_each(axes.axis.begin(), end, [](MmaAxis& a) {
    a.by_count = FastDivision(a.gather.count);
    a.by_taps = FastDivision(std::max(a.gather.taps, 1));
  });
  return axes;
}

// The sides of the product that are cut into tiles, the number of such products, and the length of the reduction.
struct ProductSize {
  std::int64_t rows, columns, classes, depth;
};

ProductSize product_of(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  if (problem.direction == ConvDirection::wgrad)
    return {taps_of(problem) * padded_channels(g.c), g.k, 1, output_pixels(problem)};
  if (problem.direction == ConvDirection::fprop)
    return {output_pixels(problem), g.k, 1, taps_of(problem) * padded_channels(g.c)};
  const MmaAxes y = mma_axes_down(problem), x = mma_axes_across(problem);
  const std::int64_t classes = std::int64_t{y.count} * x.count;
  return {ceil_div(input_pixels(problem), classes), g.c, classes,
          std::int64_t{y.axis[0].gather.taps} * x.axis[0].gather.taps * padded_channels(g.k)};
}

std::int64_t blocks_of(const ProductSize& product, const MmaTileSize& tile) {
  return ceil_div(product.rows, tile.rows) * ceil_div(product.columns, tile.columns) * product.classes;
}

MmaTile choose_tile(const ConvProblem& problem, const ProductSize& product) {
  const int width = product.columns <= 32 ? 32 : product.columns <= 64 ? 64 : 128;
  // wgrad splits its long reduction at no loss, so only the sides decide.
  const bool splits_well = problem.direction == ConvDirection::wgrad;
  for (std::size_t i = 0; i < kMmaTiles.size(); ++i) {
    const MmaTileSize& tile = kMmaTiles[i];
    if (tile.columns > width || tile.columns < std::min(width, 64)) continue;
    if (splits_well ? tile.rows <= product.rows : blocks_of(product, tile) >= kMultiprocessors)
      return static_cast<MmaTile>(i);
  }
  return width == 32 ? MmaTile::t64x32 : MmaTile::t64x64;
}

}  // namespace

FastDivision::FastDivision(int divisor) {
  while ((std::int64_t{1} << shift_) < divisor) ++shift_;
  const std::uint64_t excess = (std::uint64_t{1} << shift_) - static_cast<std::uint64_t>(divisor);
  multiplier_ = static_cast<std::uint32_t>((excess << 32) / static_cast<std::uint64_t>(divisor) + 1);
}

MmaAxes mma_axes_down(const ConvProblem& problem) {
  return axes_of(problem.direction, axis_down(problem.geometry, problem.h, problem.p()));
}
MmaAxes mma_axes_across(const ConvProblem& problem) {
  return axes_of(problem.direction, axis_across(problem.geometry, problem.w, problem.q()));
}

MmaPlan plan_mma(const ConvProblem& problem, std::optional<MmaTile> forced) {
  const ProductSize product = product_of(problem);
  MmaPlan plan{.tile = forced.value_or(choose_tile(problem, product))};
  const MmaTileSize& tile = size_of(plan.tile);
  const std::int64_t blocks = blocks_of(product, tile), steps = ceil_div(product.depth, tile.depth);
  if (blocks < kMultiprocessors)
    plan.splits = static_cast<int>(
        std::clamp<std::int64_t>(std::min(2 * kMultiprocessors / blocks, steps / kMinSteps), 1, kMaxSplits));
  return plan;
}

bool mma_supports(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  if (g.groups != 1 || problem.n < 1 || problem.p() < 1 || problem.q() < 1) return false;
  if (problem.x != DType::bf16 && problem.x != DType::f16) return false;
  const bool wide = problem.direction == ConvDirection::fprop && problem.y == DType::f32;
  if (problem.y != problem.x && !wide) return false;
  if (problem.direction == ConvDirection::dgrad && std::max(g.stride_h, g.stride_w) > kMaxMmaStride) return false;
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  const std::int64_t weights = taps_of(problem) * padded_channels(g.c) * padded_channels(g.k);
  // Places of taps outside of the image are pixel numbers too.
  const std::int64_t reach =
      (std::int64_t{g.pad_h} + g.r) * g.dilation * problem.w + (std::int64_t{g.pad_w} + g.s) * g.dilation;
  return input_pixels(problem) + reach < kMost && output_pixels(problem) + reach < kMost && weights < kMost;
}

}  // namespace rook
