#include "kernels/cudnn/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "kernels/conv_library.h"

namespace rook::cuda {
namespace {

constexpr std::int64_t kAlignment = 16;                 // bytes, of tensors
constexpr std::int64_t kBiasAlignment = sizeof(float);  // a bias may lie anywhere among the parameters
constexpr std::int64_t kMostWorkspace = std::int64_t{1} << 30;

cudnnDataType_t data_type(DType type) {
  switch (type) {
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    default:
      return CUDNN_DATA_FLOAT;
  }
}

CudnnDescriptor tensor(CudnnUid uid, const LibraryTensor& shape, DType type, bool is_virtual = false) {
  CudnnDescriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, std::int64_t{uid});
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type(type));
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, uid == kUidBias ? kBiasAlignment : kAlignment);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, shape.dims);
  d.set(CUDNN_ATTR_TENSOR_STRIDES, shape.strides);
  d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
  d.finalize();
  return d;
}

CudnnDescriptor convolution(const LibraryConv& conv) {
  CudnnDescriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, conv.pad_before);
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, conv.pad_after);
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, conv.stride);
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, conv.dilation);
  d.finalize();
  return d;
}

// The attributes of an operation that convolves; the three directions name them differently.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, weights, y, alpha, beta;
};

OperationNames names_of(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::dgrad:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvDirection::wgrad:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    case ConvDirection::fprop:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

// What an activation is to cuDNN; the slope below zero and the upper bound are those of its relu.
struct Pointwise {
  cudnnPointwiseMode_t mode;
  double slope = 0, most = 0;  // most: 0 is no bound
};

std::optional<Pointwise> pointwise_of(Activation activation) {
  switch (activation) {
    case Activation::leaky:
      return Pointwise{CUDNN_POINTWISE_RELU_FWD, 0.1};
    case Activation::relie:
      return Pointwise{CUDNN_POINTWISE_RELU_FWD, 0.01};
    case Activation::relu:
      return Pointwise{CUDNN_POINTWISE_RELU_FWD};
    case Activation::relu6:
      return Pointwise{CUDNN_POINTWISE_RELU_FWD, 0, 6};
    case Activation::logistic:
      return Pointwise{CUDNN_POINTWISE_SIGMOID_FWD};
    case Activation::swish:
      return Pointwise{CUDNN_POINTWISE_SWISH_FWD};
    default:
      return std::nullopt;
  }
}

// out = mode(in) or mode(in, second).
CudnnDescriptor pointwise(const Pointwise& p, const CudnnDescriptor& in, const CudnnDescriptor* second,
                          const CudnnDescriptor& out) {
  CudnnDescriptor mode(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  mode.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &p.mode);
  mode.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (p.slope != 0) mode.set(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, p.slope);
  if (p.most != 0) mode.set(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, p.most);
  mode.finalize();
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in);
  if (second) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *second);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
  operation.finalize();
  return operation;
}

// What a plan may be asked for: with bias and activation or without, and what wgrad writes.
struct Variant {
  bool fused = false;
  DType dweights = DType::f32;
};

// The operations; tensors between them are virtual: they exist in registers only.
CudnnDescriptor graph_of(const CudnnTarget& target, const ConvProblem& problem, const LibraryConv& conv,
                         const Variant& variant) {
  const OperationNames names = names_of(problem.direction);
  const bool wgrad = problem.direction == ConvDirection::wgrad;
  const auto activation = variant.fused ? pointwise_of(problem.activation) : std::nullopt;
  const bool bias = variant.fused && problem.bias;
  const CudnnDescriptor x = tensor(kUidX, conv.x, problem.x), y = tensor(kUidY, conv.y, problem.y);
  const CudnnDescriptor weights = tensor(kUidWeights, conv.weights, wgrad ? variant.dweights : problem.x);
  const CudnnDescriptor addend = tensor(kUidBias, conv.bias, DType::f32);
  const CudnnDescriptor product = tensor(kUidConv, conv.y, DType::f32, true);
  const CudnnDescriptor sum = tensor(kUidSum, conv.y, DType::f32, true);
  std::vector<CudnnDescriptor> operations;
  {
    CudnnDescriptor operation(names.type);
    operation.set(names.convolution, convolution(conv));
    operation.set(names.x, x);
    operation.set(names.weights, weights);
    operation.set(names.y, bias || activation ? product : y);
    operation.set(names.alpha, 1.0);
    operation.set(names.beta, 0.0);
    operation.finalize();
    operations.push_back(std::move(operation));
  }
  if (bias) operations.push_back(pointwise({CUDNN_POINTWISE_ADD}, product, &addend, activation ? sum : y));
  if (activation) operations.push_back(pointwise(*activation, bias ? sum : product, nullptr, y));
  std::vector<cudnnBackendDescriptor_t> list;
  for (const CudnnDescriptor& operation : operations) list.push_back(operation.get());
  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(list.size()),
            list.data());
  if (target.handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.finalize();
  return graph;
}

// Configurations of engines for the graph, the most promising first.
std::vector<CudnnDescriptor> configurations(const CudnnTarget& target, const CudnnDescriptor& graph,
                                            cudnnBackendHeurMode_t mode) {
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (!target.handle) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  heuristics.finalize();
  const std::int64_t count = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<CudnnDescriptor> found;
  std::vector<cudnnBackendDescriptor_t> list;
  for (std::int64_t i = 0; i < count; ++i) {
    found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    list.push_back(found.back().get());
  }
  const std::int64_t got =
      heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, list.data());
  while (static_cast<std::int64_t>(found.size()) > got) found.pop_back();
  return found;
}

// Whether the engine's results are as exact as those of our own kernels, and the same every time.
bool is_exact(const CudnnDescriptor& configuration, DType storage) {
  CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  configuration.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  const std::int64_t count = engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                        CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes.data());
  return std::none_of(notes.begin(), notes.begin() + count, [&](cudnnBackendNumericalNote_t note) {
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) return storage == DType::f32;  // TF32
    return note != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  });
}

std::optional<CudnnPlan> first_plan(const CudnnTarget& target, const ConvProblem& problem, const LibraryConv& conv,
                                    const Variant& variant) {
  try {
    const CudnnDescriptor graph = graph_of(target, problem, conv, variant);
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
      for (const CudnnDescriptor& configuration : configurations(target, graph, mode)) try {
          if (!is_exact(configuration, problem.x)) continue;
          CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
          plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
          if (target.handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
          if (!target.handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
          plan.finalize();
          std::int64_t bytes = 0;
          plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
          if (bytes > kMostWorkspace) continue;
          return CudnnPlan{std::move(plan), static_cast<std::size_t>(bytes), variant.fused, variant.dweights};
        } catch (const Error&) {  // this engine does not take it, the next may
        }
  } catch (const Error&) {  // cuDNN has no graph or no heuristics for it: another variant may do
  }
  return std::nullopt;
}

}  // namespace

bool cudnn_fuses(Activation activation) {
  return activation == Activation::linear || pointwise_of(activation);
}

std::optional<CudnnPlan> make_cudnn_plan(const CudnnTarget& target, const ConvProblem& problem) {
  const auto conv = library_conv(problem);
  if (!conv) return std::nullopt;
  std::vector<Variant> variants;
  if (problem.direction == ConvDirection::wgrad) {
    variants.push_back({.dweights = DType::f32});
    if (problem.x != DType::f32) variants.push_back({.dweights = problem.x});
  } else {
    const bool more =
        problem.direction == ConvDirection::fprop && (problem.bias || problem.activation != Activation::linear);
    if (more && cudnn_fuses(problem.activation)) variants.push_back({.fused = true});
    variants.push_back({});
  }
  for (const Variant& variant : variants)
    if (auto plan = first_plan(target, problem, *conv, variant)) return plan;
  return std::nullopt;
}

}  // namespace rook::cuda
