// The row "cublas" of the convolution table: 1x1 convolutions of stride 1 as products of cuBLASLt. Plans are made when
// a problem is first asked about, so that what is recorded into a CUDA graph only launches.
#include <fmt/format.h>

#include <array>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "kernels/bias_activation.h"
#include "kernels/conv_library.h"
#include "kernels/conv_sum.cuh"
#include "kernels/cublas/plan.h"
#include "kernels/ops.h"
#include "kernels/runtime.h"

namespace rook::cuda {
namespace {

// One per process, made when it is first needed.
class Session {
 public:
  static Session& get() {
    static auto& session = *new Session;  // see cublas_lt(): never destroyed
    return session;
  }

  std::string unavailable() {
    const std::scoped_lock lock(mutex_);
    start();
    return fault_;
  }

  // Null: cuBLASLt has nothing for the problem, or cannot be used.
  CublasPlan* find(const ConvProblem& problem) {
    const std::scoped_lock lock(mutex_);
    start();
    if (!fault_.empty()) return nullptr;
    const auto found = plans_.find(problem);
    if (found != plans_.end()) return found->second.get();
    return plans_.emplace(problem, make_cublas_plan(handle_, problem)).first->second.get();
  }

  CublasPlan& require(const ConvProblem& problem) {
    if (CublasPlan* plan = find(problem)) return *plan;
    throw Error(
        fmt::format("cuBLASLt: {} is not supported{}{}", describe(problem), fault_.empty() ? "" : ": ", fault_));
  }

  // d = a b (+ d). `bias`: of the type of d, when the plan adds one. A plan holds it, so one thread at a time launches.
  void launch(const ConvProblem& problem, CublasPlan& plan, const void* a, const void* b, void* d, const void* bias,
              bool add, void* workspace, Stream stream) {
    const std::scoped_lock lock(mutex_);
    const float one = 1, more = add ? 1.0f : 0.0f;
    if (plan.adds_bias)
      check_cublas(cublas_lt().set_product(plan.product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                   "setting the bias");
    check_cublas(cublas_lt().matmul(handle_, plan.product.get(), &one, a, plan.a.get(), b, plan.b.get(), &more, d,
                                    plan.d.get(), d, plan.d.get(), &plan.algorithm, workspace, plan.workspace,
                                    static_cast<cudaStream_t>(stream.handle)),
                 describe(problem));
  }

 private:
  Session() = default;

  void start() {
    if (started_) return;
    started_ = true;
    fault_ = runtime().unusable();
    if (fault_.empty()) fault_ = cublas_lt().fault;
    if (!fault_.empty()) return;
    try {
      check_cublas(cublas_lt().create(&handle_), "cublasLtCreate");
    } catch (const Error& error) {
      fault_ = error.what();
    }
  }

  std::mutex mutex_;
  bool started_ = false;
  std::string fault_;
  cublasLtHandle_t handle_ = nullptr;
  std::unordered_map<ConvProblem, std::unique_ptr<CublasPlan>, ConvProblemHash> plans_;
};

bool supports(const ConvProblem& problem) {
  const DType x = problem.x, y = problem.y;
  if (x != DType::f32 && x != DType::bf16 && x != DType::f16) return false;
  const bool logits = problem.direction == ConvDirection::fprop && y == DType::f32;
  return is_gemm(problem) && (y == x || logits) && Session::get().find(problem) != nullptr;
}

// Workspace: cuBLASLt's; then the bias in the type of y (fprop), or the partial sums of its gradient (wgrad).
std::size_t bias_bytes(const ConvProblem& problem) {
  if (!problem.bias) return 0;
  if (problem.direction == ConvDirection::wgrad) return bias_gradient_bytes(problem);
  return static_cast<std::size_t>(problem.geometry.k) * size_of(problem.y);
}

std::size_t workspace(const ConvProblem& problem) {
  return workspace_aligned(Session::get().require(problem).workspace) + bias_bytes(problem);
}

// [K, C] as it is, in the type of x.
std::size_t packed_bytes(const ConvProblem& problem) {
  return static_cast<std::size_t>(problem.geometry.weights()) * size_of(problem.x);
}

void convert(const float* from, int rows, int columns, DType type, void* to, Stream stream) {
  Tensor src = make_tensor(const_cast<float*>(from), DType::f32, 1, 1, rows, columns);
  Tensor dst = make_tensor(to, type, 1, 1, rows, columns);
  src.device = dst.device = Device::cuda;
  copy_channels({.src = src, .dst = dst}, stream);
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream stream) {
  convert(weights, problem.geometry.k, problem.geometry.c, problem.x, packed, stream);
}

void check_aligned(const ConvProblem& problem, const char* name, const void* data) {
  if (reinterpret_cast<std::uintptr_t>(data) % 16 != 0)
    throw Error(fmt::format("cuBLASLt: {}: {} does not begin at a multiple of 16 bytes", describe(problem), name));
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  check_aligned(problem, "x", args.x.data);
  check_aligned(problem, "y", args.y.data);
  Session& session = Session::get();
  CublasPlan& plan = session.require(problem);
  const LibraryGemm gemm = library_gemm(problem);
  const bool wgrad = problem.direction == ConvDirection::wgrad, fprop = problem.direction == ConvDirection::fprop;
  const auto data_of = [&](LibraryGemm::Operand operand) -> void* {
    if (operand == LibraryGemm::Operand::x) return args.x.data;
    if (operand == LibraryGemm::Operand::y) return args.y.data;
    return wgrad ? args.dweights : const_cast<void*>(args.weights);
  };
  void* const bias = static_cast<std::byte*>(args.workspace) + workspace_aligned(plan.workspace);
  if (plan.adds_bias) convert(args.bias, 1, problem.geometry.k, problem.y, bias, stream);
  const bool adds = wgrad || (!fprop && args.mode == Grad::accumulate);
  session.launch(problem, plan, data_of(gemm.a), data_of(gemm.b), data_of(gemm.d), bias, adds, args.workspace, stream);
  const bool biased = problem.bias && !plan.adds_bias;
  const bool activated = problem.activation != Activation::linear && !plan.activates;
  if (fprop && (biased || activated))
    bias_activation(args.y, biased ? args.bias : nullptr, activated ? problem.activation : Activation::linear, stream);
  if (wgrad && problem.bias && args.dbias) bias_gradient(problem, args.y, args.dbias, bias, stream);
}

std::string version() {
  if (!cublas_lt().fault.empty()) return "cuBLASLt missing";
  const std::size_t v = cublas_lt().get_version();
  return fmt::format("cuBLASLt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

constexpr std::array<ConvRow, 1> kRows{{{.name = "cublas",
                                         .supports = supports,
                                         .workspace = workspace,
                                         .packed_bytes = packed_bytes,
                                         .pack = pack,
                                         .run = run,
                                         .version = version,
                                         .unavailable = [] { return Session::get().unavailable(); }}}};

}  // namespace

std::span<const ConvRow> cublas_rows() {
  return kRows;
}

}  // namespace rook::cuda
