// From a convolution to a plan of cuDNN: a graph of operations, and the first engine in the order of its heuristics
// that takes it.
#pragma once

#include <optional>

#include "kernels/conv.h"
#include "kernels/cudnn/library.h"

namespace rook::cuda {

// The device that is planned for: a handle on it, or its description alone (cuDNN 9.8), with which plans can be made
// where there is no GPU.
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  const CudnnDescriptor* properties = nullptr;
};

// Names of the tensors in a plan.
enum CudnnUid : std::int64_t { kUidX = 1, kUidY, kUidWeights, kUidBias, kUidConv, kUidSum };

// Whether the activation can be part of cuDNN's fprop.
bool cudnn_fuses(Activation activation);

struct CudnnPlan {
  CudnnDescriptor plan;
  std::size_t workspace = 0;
  bool fused = false;           // fprop: bias and activation are part of it
  DType dweights = DType::f32;  // wgrad: what it writes
};

// Nothing when no engine takes the problem. Engines are passed over that round more than sums in f32 of the operands as
// they are stored (TF32, 16-bit sums, FFT, Winograd), or whose results differ from run to run.
std::optional<CudnnPlan> make_cudnn_plan(const CudnnTarget& target, const ConvProblem& problem);

}  // namespace rook::cuda
