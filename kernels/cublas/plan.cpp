#include "kernels/cublas/plan.h"

#include "kernels/conv_library.h"

namespace rook::cuda {
namespace {

constexpr std::uint32_t kAlignment = 16;                     // bytes, of tensors, packed weights and the copied bias
constexpr std::uint32_t kGradientAlignment = sizeof(float);  // dweights may lie anywhere among the gradients
constexpr std::uint64_t kMostWorkspace = std::uint64_t{32} << 20;  // what NVIDIA recommends for sm_90

cudaDataType_t data_type(DType type) {
  switch (type) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

DType type_of(const ConvProblem& problem, LibraryGemm::Operand operand) {
  if (operand == LibraryGemm::Operand::y) return problem.y;
  const bool gradient = operand == LibraryGemm::Operand::weights && problem.direction == ConvDirection::wgrad;
  return gradient ? DType::f32 : problem.x;
}

CublasLayout layout(DType type, std::int64_t rows, std::int64_t columns, std::int64_t pitch) {
  cublasLtMatrixLayout_t made = nullptr;
  check_cublas(cublas_lt().create_layout(&made, data_type(type), static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), pitch),
               "describing a matrix");
  return CublasLayout(made);
}

template <class T>
void set(const CublasProduct& product, cublasLtMatmulDescAttributes_t name, const T& value) {
  check_cublas(cublas_lt().set_product(product.get(), name, &value, sizeof value), "describing a product");
}

template <class T>
void set(const CublasPreference& preference, cublasLtMatmulPreferenceAttributes_t name, const T& value) {
  check_cublas(cublas_lt().set_preference(preference.get(), name, &value, sizeof value), "stating a preference");
}

// What stands for the bias before there is one: without an address of its alignment the heuristics take none of the
// algorithms that add one. Nobody reads from it.
const void* const kSomeBias = reinterpret_cast<const void*>(std::uintptr_t{kAlignment});

void set_epilogue(CublasPlan& plan, const ConvProblem& problem) {
  plan.adds_bias = problem.bias;
  plan.activates = problem.activation == Activation::relu;
  const cublasLtEpilogue_t epilogue = plan.adds_bias && plan.activates ? CUBLASLT_EPILOGUE_RELU_BIAS
                                      : plan.adds_bias                 ? CUBLASLT_EPILOGUE_BIAS
                                      : plan.activates                 ? CUBLASLT_EPILOGUE_RELU
                                                                       : CUBLASLT_EPILOGUE_DEFAULT;
  set(plan.product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (plan.adds_bias) set(plan.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, kSomeBias);
}

CublasPreference preference(const ConvProblem& problem) {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublas_lt().create_preference(&made), "making a preference");
  CublasPreference p(made);
  set(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
  // Partial sums of a split product are added up in f32, in a fixed order.
  set(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kAlignment);
  set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kAlignment);
  const std::uint32_t written = problem.direction == ConvDirection::wgrad ? kGradientAlignment : kAlignment;
  set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, written);
  set(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, written);
  return p;
}

}  // namespace

CublasPlan describe_product(const ConvProblem& problem, bool fused) {
  const LibraryGemm g = library_gemm(problem);
  CublasPlan plan;
  cublasLtMatmulDesc_t made = nullptr;
  // Plain f32: neither TF32 nor 16-bit sums.
  check_cublas(cublas_lt().create_product(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "making a product");
  plan.product.reset(made);
  set(plan.product, CUBLASLT_MATMUL_DESC_TRANSA, g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.product, CUBLASLT_MATMUL_DESC_TRANSB, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  plan.a = layout(type_of(problem, g.a), g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.lda);
  plan.b = layout(type_of(problem, g.b), g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.ldb);
  plan.d = layout(type_of(problem, g.d), g.m, g.n, g.ldd);
  if (fused) set_epilogue(plan, problem);
  return plan;
}

std::unique_ptr<CublasPlan> make_cublas_plan(cublasLtHandle_t handle, const ConvProblem& problem) {
  const bool more =
      problem.direction == ConvDirection::fprop && (problem.bias || problem.activation == Activation::relu);
  // A relu without its bias would come too early: both are fused, or the bias alone, or nothing.
  for (const bool fused : {true, false}) {
    if (fused && !more) continue;
    CublasPlan plan = describe_product(problem, fused);
    const CublasPreference wish = preference(problem);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublas_lt().heuristic(handle, plan.product.get(), plan.a.get(), plan.b.get(),
                                                        plan.d.get(), plan.d.get(), wish.get(), 1, &result, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;
    check_cublas(status, "asking for an algorithm for " + describe(problem));
    if (found == 0 || result.state != CUBLAS_STATUS_SUCCESS) continue;
    plan.algorithm = result.algo;
    plan.workspace = result.workspaceSize;
    return std::make_unique<CublasPlan>(std::move(plan));
  }
  return nullptr;
}

}  // namespace rook::cuda
