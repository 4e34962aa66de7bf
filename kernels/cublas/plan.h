// From an unpadded 1x1 convolution of stride 1 to a product of cuBLASLt.
#pragma once

#include <memory>

#include "kernels/conv.h"
#include "kernels/cublas/library.h"

namespace rook::cuda {

// Frees what cuBLASLt made.
struct CublasFree {
  void operator()(cublasLtMatmulDescOpaque_t* p) const { (void)cublas_lt().destroy_product(p); }
  void operator()(cublasLtMatrixLayoutOpaque_t* p) const { (void)cublas_lt().destroy_layout(p); }
  void operator()(cublasLtMatmulPreferenceOpaque_t* p) const { (void)cublas_lt().destroy_preference(p); }
};
using CublasProduct = std::unique_ptr<cublasLtMatmulDescOpaque_t, CublasFree>;
using CublasLayout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, CublasFree>;
using CublasPreference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, CublasFree>;

struct CublasPlan {
  CublasProduct product;
  CublasLayout a, b, d;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
  bool adds_bias = false, activates = false;  // fprop: what the product does itself
};

// The descriptors of the problem; `fused`: with its bias (and relu) where cuBLASLt has an epilogue for it. No GPU
// needed.
CublasPlan describe_product(const ConvProblem& problem, bool fused);

// The plan with the algorithm that cuBLASLt's heuristics put first, with its bias fused if there is one for that. Null
// when there is none.
std::unique_ptr<CublasPlan> make_cublas_plan(cublasLtHandle_t handle, const ConvProblem& problem);

}  // namespace rook::cuda
