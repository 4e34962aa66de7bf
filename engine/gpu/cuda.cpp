// The CUDA kernels as a backend; in builds without them, no_cuda.cpp stands in.
#include "engine/backend.h"

namespace rook {

#define ROOK_CUDA_OP(op, Args) .op = cuda::op,
#define ROOK_CUDA_WORKSPACE(op, Args) .op##_workspace = cuda::op##_workspace,

const Backend* cuda_backend() {
  static const Backend backend{
      .name = "cuda",
      .device = Device::cuda,
      .runtime = &cuda::runtime(),
      ROOK_OP_LIST(ROOK_CUDA_OP) ROOK_WORKSPACE_LIST(ROOK_CUDA_WORKSPACE).conv_rows = cuda::conv_rows};
  return &backend;
}

#undef ROOK_CUDA_OP
#undef ROOK_CUDA_WORKSPACE

}  // namespace rook
