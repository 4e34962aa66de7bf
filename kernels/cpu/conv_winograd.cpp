#include "kernels/cpu/conv_winograd.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cpu/conv_winograd_layout.h"

namespace rook::cpu {
namespace winograd {

Shape shape_of(const ConvProblem& problem) {
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
            .pad_w = 2 - g.pad_w};
  return {.n = problem.n,
          .h = problem.h,
          .w = problem.w,
          .c = g.c,
          .p = problem.p(),
          .q = problem.q(),
          .k = g.k,
          .pad_h = g.pad_h,
          .pad_w = g.pad_w};
}

bool can_run(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  if (!problem.dense()) return false;
  if (g.r != 3 || g.s != 3 || g.stride_h != 1 || g.stride_w != 1 || g.dilation != 1 || g.groups != 1) return false;
  if (g.pad_h > 2 || g.pad_w > 2 || !has_math(problem.x)) return false;
  if (problem.direction == ConvDirection::fprop) return problem.y == DType::f32 || problem.y == problem.x;
  return problem.y == problem.x;
}

namespace {

// The transforms cost in proportion to c + k, what they save to c * k: with few channels on either side a direct
// convolution is faster. Measured on Zen 4 beside oneDNN 2.6, batch 1 and 8: in bf16 24 channels are a draw (1.0x), 32
// win (1.3x); in f32 8 lose (0.8x), 16 win (1.2x), but wgrad draws at 16. Few tiles do not pay for reading filters that
// are 16/9 as large (f32, 16 tiles: 0.9x; 49 tiles: 1.6x). oneDNN chooses its instructions at run time: compiled
// for AVX2 this wins still (1.5x), for SSE it loses (0.4x).
bool pays(const ConvProblem& problem) {
  if (kLanes < 8) return false;
  const ConvGeometry& g = problem.geometry;
  const bool few_suffice = problem.x == DType::f32 && problem.direction != ConvDirection::wgrad;
  constexpr std::int64_t kFewTiles = 32;
  return std::min(g.c, g.k) >= (few_suffice ? 16 : 32) && shape_of(problem).tiles() >= kFewTiles;
}

bool supports(const ConvProblem& problem) {
  return can_run(problem) && pays(problem);
}

std::size_t workspace(const ConvProblem& problem) {
  return problem.direction == ConvDirection::wgrad ? wgrad_bytes(problem) : 0;
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream) {
  transform_filters(problem, weights, packed);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream) {
  check_conv(problem, args);
  if (!can_run(problem))
    throw Error("convolution: Winograd runs 3x3 of dense tensors with stride 1 only, without dilation and groups");
  if (problem.direction == ConvDirection::wgrad) return run_wgrad(problem, args);
  run_forward(problem, args);
}

}  // namespace

const ConvRow& conv_row() {
  static constexpr ConvRow row{.name = "winograd",
                               .supports = supports,
                               .workspace = workspace,
                               .packed_bytes = filter_bytes,
                               .pack = pack,
                               .run = run};
  return row;
}

}  // namespace winograd
}  // namespace rook::cpu
