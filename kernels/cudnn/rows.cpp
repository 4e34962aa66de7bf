// The row "cudnn" of the convolution table. Plans are made when a problem is first asked about, so that what is
// recorded into a CUDA graph only launches.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "kernels/bias_activation.h"
#include "kernels/conv_sum.cuh"
#include "kernels/cudnn/plan.h"
#include "kernels/ops.h"
#include "kernels/runtime.h"

namespace rook::cuda {
namespace {

// One per process, made when it is first needed: the handle carries the stream, so one thread at a time launches.
class Session {
 public:
  static Session& get() {
    static auto& session = *new Session;  // see cudnn(): never destroyed
    return session;
  }

  std::string unavailable() {
    const std::scoped_lock lock(mutex_);
    start();
    return fault_;
  }

  // Null: cuDNN has nothing for the problem, or cannot be used.
  const CudnnPlan* find(const ConvProblem& problem) {
    const std::scoped_lock lock(mutex_);
    start();
    if (!fault_.empty()) return nullptr;
    const auto found = plans_.find(problem);
    if (found != plans_.end()) return found->second.get();
    std::unique_ptr<CudnnPlan> plan;
    if (auto made = make_cudnn_plan({.handle = handle_}, problem)) plan = std::make_unique<CudnnPlan>(std::move(*made));
    return plans_.emplace(problem, std::move(plan)).first->second.get();
  }

  const CudnnPlan& require(const ConvProblem& problem) {
    const CudnnPlan* plan = find(problem);
    if (plan) return *plan;
    throw Error(fmt::format("cuDNN: {} is not supported{}{}", describe(problem), fault_.empty() ? "" : ": ", fault_));
  }

  struct Bindings {
    std::array<std::int64_t, 4> uids{};
    std::array<void*, 4> pointers{};
    std::int64_t count = 0;
    void add(CudnnUid uid, const void* pointer) {
      uids[static_cast<std::size_t>(count)] = uid;
      pointers[static_cast<std::size_t>(count++)] = const_cast<void*>(pointer);
    }
  };

  void launch(const ConvProblem& problem, const CudnnPlan& plan, const Bindings& bindings, void* workspace,
              Stream stream) {
    const std::scoped_lock lock(mutex_);
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, bindings.count, bindings.uids.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, bindings.count, bindings.pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalize();
    check_cudnn(cudnn().set_stream(handle_, static_cast<cudaStream_t>(stream.handle)), "setting the stream");
    check_cudnn(cudnn().execute(handle_, plan.plan.get(), pack.get()), describe(problem));
  }

 private:
  Session() = default;

  void start() {
    if (started_) return;
    started_ = true;
    fault_ = runtime().unusable();
    if (fault_.empty()) fault_ = cudnn().fault;
    if (!fault_.empty()) return;
    try {
      check_cudnn(cudnn().create(&handle_), "cudnnCreate");
    } catch (const Error& error) {
      fault_ = error.what();
    }
  }

  std::mutex mutex_;
  bool started_ = false;
  std::string fault_;
  cudnnHandle_t handle_ = nullptr;
  std::unordered_map<ConvProblem, std::unique_ptr<CudnnPlan>, ConvProblemHash> plans_;
};

bool is_half(DType type) {
  return type == DType::bf16 || type == DType::f16;
}

bool supports(const ConvProblem& problem) {
  const DType x = problem.x, y = problem.y;
  if (x != DType::f32 && !is_half(x)) return false;
  const bool logits = problem.direction == ConvDirection::fprop && y == DType::f32;
  return (y == x || logits) && Session::get().find(problem) != nullptr;
}

std::size_t x_bytes(const ConvProblem& problem) {
  return static_cast<std::size_t>(problem.n) * problem.h * problem.w * problem.x_pitch() * size_of(problem.x);
}

// Workspace: cuDNN's; then what is computed before it is added to the caller's gradient, dx or dweights; then the
// partial sums of the bias's gradient.
struct Workspace {
  std::size_t result = 0, bias = 0, bytes = 0;
};

Workspace workspace_of(const ConvProblem& problem, const CudnnPlan& plan) {
  Workspace w{.result = workspace_aligned(plan.workspace)};
  const std::size_t weights = static_cast<std::size_t>(problem.geometry.weights()) * size_of(plan.dweights);
  w.bias = w.result + workspace_aligned(problem.direction == ConvDirection::fprop   ? 0
                                        : problem.direction == ConvDirection::dgrad ? x_bytes(problem)
                                                                                    : weights);
  w.bytes = w.bias + (problem.direction == ConvDirection::wgrad ? bias_gradient_bytes(problem) : 0);
  return w;
}

std::size_t workspace(const ConvProblem& problem) {
  return workspace_of(problem, Session::get().require(problem)).bytes;
}

// [K,R,S,C/groups] as it is, in the type of x.
std::size_t packed_bytes(const ConvProblem& problem) {
  return static_cast<std::size_t>(problem.geometry.weights()) * size_of(problem.x);
}

Tensor weights_tensor(const ConvProblem& problem, void* data, DType type) {
  const ConvGeometry& g = problem.geometry;
  Tensor t = make_tensor(data, type, g.k, g.r, g.s, g.c / g.groups);
  t.device = Device::cuda;
  return t;
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream stream) {
  copy_channels({.src = weights_tensor(problem, const_cast<float*>(weights), DType::f32),
                 .dst = weights_tensor(problem, packed, problem.x)},
                stream);
}

void check_aligned(const ConvProblem& problem, const char* name, const void* data) {
  if (reinterpret_cast<std::uintptr_t>(data) % 16 != 0)
    throw Error(fmt::format("cuDNN: {}: {} does not begin at a multiple of 16 bytes", describe(problem), name));
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  check_aligned(problem, "x", args.x.data);
  check_aligned(problem, "y", args.y.data);
  Session& session = Session::get();
  const CudnnPlan& plan = session.require(problem);
  const Workspace workspace = workspace_of(problem, plan);
  const bool wgrad = problem.direction == ConvDirection::wgrad;
  void* const result = static_cast<std::byte*>(args.workspace) + workspace.result;
  Tensor dx = args.x;
  const bool adds = problem.direction == ConvDirection::dgrad && args.mode == Grad::accumulate;
  if (adds) dx.data = result;
  Session::Bindings bindings;
  bindings.add(kUidX, dx.data);
  bindings.add(kUidY, args.y.data);
  bindings.add(kUidWeights, wgrad ? result : args.weights);
  if (plan.fused && problem.bias) bindings.add(kUidBias, args.bias);
  session.launch(problem, plan, bindings, args.workspace, stream);

  if (adds) copy_channels({.src = dx, .dst = args.x, .mode = Grad::accumulate}, stream);
  if (problem.direction == ConvDirection::fprop && !plan.fused &&
      (problem.bias || problem.activation != Activation::linear))
    bias_activation(args.y, problem.bias ? args.bias : nullptr, problem.activation, stream);
  if (!wgrad) return;
  copy_channels({.src = weights_tensor(problem, result, plan.dweights),
                 .dst = weights_tensor(problem, args.dweights, DType::f32),
                 .mode = Grad::accumulate},
                stream);
  if (problem.bias && args.dbias)
    bias_gradient(problem, args.y, args.dbias, static_cast<std::byte*>(args.workspace) + workspace.bias, stream);
}

std::string version() {
  if (!cudnn().fault.empty()) return "cuDNN missing";
  const std::size_t v = cudnn().get_version();
  return fmt::format("cuDNN {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

constexpr std::array<ConvRow, 1> kRows{{{.name = "cudnn",
                                         .supports = supports,
                                         .workspace = workspace,
                                         .packed_bytes = packed_bytes,
                                         .pack = pack,
                                         .run = run,
                                         .version = version,
                                         .unavailable = [] { return Session::get().unavailable(); }}}};

}  // namespace

std::span<const ConvRow> cudnn_rows() {
  return kRows;
}

}  // namespace rook::cuda
