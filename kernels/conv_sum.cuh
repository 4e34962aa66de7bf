// Sums over pixels in two stages: blocks leave partial sums in the workspace, which are then added up in order, so that
// the result does not depend on which block came first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv.h"
#include "kernels/target.h"

namespace rook::ROOK_GPU {

// Where what comes next in a workspace begins.
constexpr std::size_t workspace_aligned(std::size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

// out[i] += sum over s of partial[s, i], s < parts, i < count.
void add_partials(const float* partial, int parts, std::int64_t count, float* out, Stream stream);

// dbias[k] += sum over pixels of dy[pixel, k], for wgrad of any row; the workspace is of bias_gradient_bytes(problem),
// which is 0 without a bias.
std::size_t bias_gradient_bytes(const ConvProblem& problem);
void bias_gradient(const ConvProblem& problem, const Tensor& dy, float* dbias, void* workspace, Stream stream);

}  // namespace rook::ROOK_GPU
