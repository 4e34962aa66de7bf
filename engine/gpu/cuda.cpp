// The CUDA kernels as a backend; in builds without them, no_cuda.cpp stands in.
#include <vector>

#include "engine/backend.h"

namespace rook {
namespace {

// Our own first: a library's row is taken where it was measured to be faster, or by name.
std::span<const ConvRow> conv_rows() {
  static const auto rows = [] {
    std::vector<ConvRow> all;
    for (const auto more : {cuda::conv_rows(), cuda::cudnn_rows(), cuda::cublas_rows()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return rows;
}

}  // namespace

#define ROOK_CUDA_OP(op, Args) .op = cuda::op,
#define ROOK_CUDA_WORKSPACE(op, Args) .op##_workspace = cuda::op##_workspace,

const Backend* cuda_backend() {
  static const Backend backend{
      .name = "cuda",
      .device = Device::cuda,
      .runtime = &cuda::runtime(),
      ROOK_OP_LIST(ROOK_CUDA_OP) ROOK_WORKSPACE_LIST(ROOK_CUDA_WORKSPACE).conv_rows = conv_rows};
  return &backend;
}

#undef ROOK_CUDA_OP
#undef ROOK_CUDA_WORKSPACE

}  // namespace rook
