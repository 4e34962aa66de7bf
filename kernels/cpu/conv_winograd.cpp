#include "kernels/cpu/conv_winograd.h"

#include <fmt/format.h>
#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "kernels/cpu/conv_winograd_layout.h"

namespace rook::cpu {
namespace winograd {

Shape shape_of(const ConvProblem& problem, int tile) {
  const ConvGeometry& g = problem.geometry;
  if (problem.direction == ConvDirection::dgrad)
    return {.n = problem.n,
            .h = problem.p(),
            .w = problem.q(),
            .c = g.k,
            .p = problem.h,
            .q = problem.w,
            .k = g.c,
            .pad_h = 2 - g.pad_h,
            .pad_w = 2 - g.pad_w,
            .tile = tile};
  return {.n = problem.n,
          .h = problem.h,
          .w = problem.w,
          .c = g.c,
          .p = problem.p(),
          .q = problem.q(),
          .k = g.k,
          .pad_h = g.pad_h,
          .pad_w = g.pad_w,
          .tile = tile};
}

bool can_run(const ConvProblem& problem, int tile) {
  const ConvGeometry& g = problem.geometry;
  if (!problem.dense()) return false;
  if (g.r != 3 || g.s != 3 || g.stride_h != 1 || g.stride_w != 1 || g.dilation != 1 || g.groups != 1) return false;
  if (g.pad_h > 2 || g.pad_w > 2 || !has_math(problem.x)) return false;
  if (tile == Tile4::kOutputs && problem.x != DType::f32) return false;
  if (problem.direction == ConvDirection::fprop) return problem.y == DType::f32 || problem.y == problem.x;
  return problem.y == problem.x;
}

namespace {

// The transforms cost in proportion to c + k, what they save to c * k: with few channels on either side a direct
// convolution is faster. Measured on Zen 4 beside oneDNN 2.6, batch 1 and 8: in bf16 24 channels are a draw (1.0x), 32
// win (1.3x); in f32 8 lose (0.8x), 16 win (1.2x), but wgrad draws at 16. Few tiles do not pay for reading filters that
// are larger than the direct ones, 16/9 or 4 times: on Zen 3 25 small tiles win (2x beside oneDNN) and 25 large ones
// beside them (1.3x), 16 large ones lose (0.8x). Otherwise large ones win, from 16 channels (1.25x) to 128 (1.5x); as
// wgrad by 1.05x to 1.45x, unless much of them lies outside of the map (10x10: 0.95x; 13x13, where small ones do not
// fit either: 1.1x). oneDNN chooses its instructions at run time: compiled for AVX2 this wins still (1.5x), for SSE it
// loses (0.4x).
bool pays(const ConvProblem& problem, int tile) {
  if (kLanes < 8) return false;
  const ConvGeometry& g = problem.geometry;
  const bool few_suffice = problem.x == DType::f32 && problem.direction != ConvDirection::wgrad;
  constexpr std::int64_t kFewTiles = 24;
  const std::int64_t tiles = shape_of(problem, tile).tiles();
  if (std::min(g.c, g.k) < (few_suffice ? 16 : 32) || tiles < kFewTiles) return false;
  if (tile == Tile2::kOutputs || problem.direction != ConvDirection::wgrad) return true;
  const std::int64_t small_tiles = shape_of(problem, Tile2::kOutputs).tiles();
  return 4 * tiles * Tile4::kPoints <= 3 * small_tiles * Tile2::kPoints;
}

template <int kTile>
bool supports(const ConvProblem& problem) {
  return can_run(problem, kTile) && pays(problem, kTile);
}

template <int kTile>
std::size_t workspace(const ConvProblem& problem) {
  return problem.direction == ConvDirection::wgrad ? wgrad_bytes(problem, kTile) : 0;
}

template <int kTile>
std::size_t packed_bytes(const ConvProblem& problem) {
  return filter_bytes(problem, kTile);
}

template <int kTile>
void pack(const ConvProblem& problem, const float* weights, void* packed, Stream) {
  transform_filters(problem, kTile, weights, packed);
}

template <int kTile>
void run(const ConvProblem& problem, const ConvArgs& args, Stream) {
  check_conv(problem, args);
  if (!can_run(problem, kTile))
    throw Error(
        fmt::format("convolution: {} runs 3x3 of dense tensors with stride 1 only, without dilation and groups{}",
                    conv_row(kTile).name, kTile == Tile4::kOutputs ? ", in f32" : ""));
  if (problem.direction == ConvDirection::wgrad) return run_wgrad(problem, kTile, args);
  run_forward(problem, kTile, args);
}

template <int kTile>
constexpr ConvRow row_named(std::string_view name) {
  return {.name = name,
          .supports = supports<kTile>,
          .workspace = workspace<kTile>,
          .packed_bytes = packed_bytes<kTile>,
          .pack = pack<kTile>,
          .run = run<kTile>,
          .can_run = [](const ConvProblem& problem) { return can_run(problem, kTile); }};
}

}  // namespace

const ConvRow& conv_row(int tile) {
  static constexpr ConvRow small = row_named<Tile2::kOutputs>("winograd");
  static constexpr ConvRow large = row_named<Tile4::kOutputs>("winograd4");
  return tile == Tile4::kOutputs ? large : small;
}

}  // namespace winograd
}  // namespace rook::cpu
