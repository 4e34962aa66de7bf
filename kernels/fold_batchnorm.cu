// Batch norm folded into the convolution before it: weights' = weights gamma / sqrt(var + eps),
// bias' = beta - mean gamma / sqrt(var + eps) (darknet.md 2.3). In double, as on the CPU: it runs once.
#include "kernels/check.h"
#include "kernels/device.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {
namespace {

// blockIdx.x is the filter; the blocks along y share its weights.
__global__ void fold_filters(FoldBatchNorm args) {
  const int k = static_cast<int>(blockIdx.x);
  double factor = 1, bias = args.beta[k];
  if (args.gamma) {
    factor = args.gamma[k] / sqrt(double{args.running_var[k]} + args.eps);
    bias -= factor * args.running_mean[k];
  }
  const float* weights = args.weights + k * args.count;  // [count]
  float* folded = args.folded_weights + k * args.count;  // [count]
  const std::int64_t first = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < args.count; i += std::int64_t{gridDim.y} * blockDim.x)
    folded[i] = static_cast<float>(weights[i] * factor);
  if (first == 0) args.folded_bias[k] = static_cast<float>(bias);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void fold_batchnorm(const FoldBatchNorm& args, Stream stream) {
  check_args(args);
  constexpr int kThreads = 256, kMostBlocks = 1024;
  const dim3 blocks(static_cast<unsigned>(args.k), blocks_for(args.count, kThreads, kMostBlocks));
  launch(stream, {.blocks = blocks, .threads = kThreads}, fold_filters, args);
}

}  // namespace rook::ROOK_GPU
