// The row "direct": convolution of any shape in all directions with f32 arithmetic, for every storage.
#include "kernels/conv_direct.h"

#include <limits>

#include "kernels/conv_pack.cuh"
#include "kernels/conv_rows.h"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {
namespace conv_direct {
namespace {

// Pixels are counted in 32 bits, groups (in dgrad times phases of the stride) in the grid's 16.
bool fits(const ConvProblem& problem) {
  constexpr std::int64_t kPixels = std::numeric_limits<std::int32_t>::max();
  const ConvGeometry& g = problem.geometry;
  return std::int64_t{problem.n} * problem.h * problem.w < kPixels &&
         std::int64_t{problem.n} * problem.p() * problem.q() < kPixels &&
         std::int64_t{g.groups} * g.stride_h * g.stride_w < 65536;
}

bool supports(const ConvProblem& problem) {
  const DType x = problem.x, y = problem.y;
  if (x != DType::f32 && x != DType::bf16 && x != DType::f16) return false;
  const bool logits = problem.direction == ConvDirection::fprop && y == DType::f32;
  return (y == x || logits) && fits(problem);
}

std::size_t workspace(const ConvProblem& problem) {
  return problem.direction == ConvDirection::wgrad ? direct_wgrad_workspace(problem) : 0;
}

std::size_t packed_bytes(const ConvProblem& problem) {
  return packed_gemm_bytes(problem, problem.x);
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream stream) {
  pack_gemm(problem, weights, problem.x, packed, stream);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  if (problem.direction == ConvDirection::wgrad) return direct_wgrad(problem, args, stream);
  direct_gather(problem, args, stream);
}

constexpr ConvRow kRow{.name = "direct",
                       .supports = supports,
                       .workspace = workspace,
                       .packed_bytes = packed_bytes,
                       .pack = pack,
                       .run = run};

}  // namespace
}  // namespace conv_direct

const ConvRow& direct_row() {
  return conv_direct::kRow;
}

}  // namespace rook::ROOK_GPU
