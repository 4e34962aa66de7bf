// Convolution on the CPU through oneDNN, NHWC without reorders of activations: only the weights (small) are brought
// into the blocked layout oneDNN asks for. The one file that knows oneDNN; versions 2.6 and 3.x differ in how a
// primitive is described, which `describe_*` below hides.
#include "kernels/cpu/conv_onednn.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <dnnl.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "kernels/ops.h"

namespace rook::cpu::onednn {
namespace {

using dnnl::memory;

const dnnl::engine& the_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& the_stream() {
  static thread_local dnnl::stream stream(the_engine());
  return stream;
}

memory::data_type to_dnnl(DType type) {
  switch (type) {
    case DType::f32:
      return memory::data_type::f32;
    case DType::bf16:
      return memory::data_type::bf16;
    default:
      return memory::data_type::undef;
  }
}

// Shapes of one convolution in oneDNN's terms.
struct Shapes {
  memory::desc x, y, bias;
  memory::desc weights_any, weights_plain;  // plain: our f32 [K,R,S,C/groups]
  memory::dims strides, dilates, pad_front, pad_back;
};

Shapes shapes_of(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const memory::dim cg = g.c / g.groups, kg = g.k / g.groups, r = g.r, s = g.s;
  const memory::dim p = problem.p(), q = problem.q();
  Shapes shapes;
  shapes.x = {{problem.n, g.c, problem.h, problem.w}, to_dnnl(problem.x), memory::format_tag::nhwc};
  shapes.y = {{problem.n, g.k, p, q}, to_dnnl(problem.y), memory::format_tag::nhwc};
  shapes.bias = {{g.k}, memory::data_type::f32, memory::format_tag::a};
  const bool wgrad = problem.direction == ConvDirection::wgrad;
  const auto type = wgrad ? memory::data_type::f32 : to_dnnl(problem.x);
  if (g.groups == 1) {
    shapes.weights_any = {{g.k, g.c, r, s}, type, memory::format_tag::any};
    shapes.weights_plain = {{g.k, g.c, r, s}, memory::data_type::f32, memory::dims{r * s * cg, 1, s * cg, cg}};
  } else {
    shapes.weights_any = {{g.groups, kg, cg, r, s}, type, memory::format_tag::any};
    shapes.weights_plain = {
        {g.groups, kg, cg, r, s}, memory::data_type::f32, memory::dims{kg * r * s * cg, r * s * cg, 1, s * cg, cg}};
  }
  shapes.strides = {g.stride_h, g.stride_w};
  shapes.dilates = {g.dilation - 1, g.dilation - 1};
  shapes.pad_front = {g.pad_h * g.dilation, g.pad_w * g.dilation};
  // darknet fixes the output size; what is left over at the end is the back padding (it may cut, when negative).
  shapes.pad_back = {(p - 1) * g.stride_h + (r - 1) * g.dilation + 1 - problem.h - shapes.pad_front[0],
                     (q - 1) * g.stride_w + (s - 1) * g.dilation + 1 - problem.w - shapes.pad_front[1]};
  return shapes;
}

// Activations that oneDNN fuses into the convolution, with its algorithm and parameters.
struct Eltwise {
  dnnl::algorithm algorithm;
  float alpha, beta;
};

std::optional<Eltwise> fused(Activation activation) {
  switch (activation) {
    case Activation::leaky:
      return Eltwise{dnnl::algorithm::eltwise_relu, 0.1f, 0};
    case Activation::relie:
      return Eltwise{dnnl::algorithm::eltwise_relu, 0.01f, 0};
    case Activation::relu:
      return Eltwise{dnnl::algorithm::eltwise_relu, 0, 0};
    case Activation::relu6:
      return Eltwise{dnnl::algorithm::eltwise_clip, 0, 6};
    case Activation::logistic:
      return Eltwise{dnnl::algorithm::eltwise_logistic, 0, 0};
    case Activation::swish:
      return Eltwise{dnnl::algorithm::eltwise_swish, 1, 0};
    case Activation::mish:
      return Eltwise{dnnl::algorithm::eltwise_mish, 0, 0};
    default:
      return std::nullopt;
  }
}

dnnl::primitive_attr attributes(const ConvProblem& problem) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (const auto eltwise = fused(problem.activation); problem.direction == ConvDirection::fprop && eltwise) {
    dnnl::post_ops ops;
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(eltwise->algorithm, eltwise->alpha, eltwise->beta);
#else
    ops.append_eltwise(1.0f, eltwise->algorithm, eltwise->alpha, eltwise->beta);
#endif
    attr.set_post_ops(ops);
  }
  return attr;
}

using Fprop = dnnl::convolution_forward;
using Dgrad = dnnl::convolution_backward_data;
using Wgrad = dnnl::convolution_backward_weights;

// The three descriptions that differ between oneDNN 2 and 3. Backward ones want a forward hint.
Fprop::primitive_desc describe_fprop(const Shapes& s, const memory::desc& weights, bool bias,
                                     const dnnl::primitive_attr& attr) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {the_engine(), kind,      algorithm, s.x,         weights,    bias ? s.bias : memory::desc(),
          s.y,          s.strides, s.dilates, s.pad_front, s.pad_back, attr};
#else
  if (bias)
    return {Fprop::desc(kind, algorithm, s.x, weights, s.bias, s.y, s.strides, s.dilates, s.pad_front, s.pad_back),
            attr, the_engine()};
  return {Fprop::desc(kind, algorithm, s.x, weights, s.y, s.strides, s.dilates, s.pad_front, s.pad_back), attr,
          the_engine()};
#endif
}

Dgrad::primitive_desc describe_dgrad(const Shapes& s, const Fprop::primitive_desc& hint,
                                     const dnnl::primitive_attr& attr) {
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {the_engine(), algorithm, s.x, s.weights_any, s.y, s.strides, s.dilates, s.pad_front, s.pad_back, hint, attr};
#else
  return {Dgrad::desc(algorithm, s.x, s.weights_any, s.y, s.strides, s.dilates, s.pad_front, s.pad_back), attr,
          the_engine(), hint};
#endif
}

Wgrad::primitive_desc describe_wgrad(const Shapes& s, bool bias, const Fprop::primitive_desc& hint,
                                     const dnnl::primitive_attr& attr) {
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {the_engine(), algorithm,  s.x,  s.weights_any, bias ? s.bias : memory::desc(), s.y, s.strides, s.dilates,
          s.pad_front,  s.pad_back, hint, attr};
#else
  if (bias)
    return {Wgrad::desc(algorithm, s.x, s.weights_any, s.bias, s.y, s.strides, s.dilates, s.pad_front, s.pad_back),
            attr, the_engine(), hint};
  return {Wgrad::desc(algorithm, s.x, s.weights_any, s.y, s.strides, s.dilates, s.pad_front, s.pad_back), attr,
          the_engine(), hint};
#endif
}

constexpr std::size_t kAlign = 64;
constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

// A problem's primitive, what it needs, and memory objects whose pointers are set at each run.
struct Compiled {
  dnnl::primitive primitive;
  std::string implementation;
  memory x, y, weights, bias, scratch;
  memory plain_weights;   // our layout, the other side of `reorder`
  dnnl::reorder reorder;  // fprop, dgrad: plain -> blocked; wgrad: blocked -> plain, added
  std::size_t scratch_bytes = 0, weights_bytes = 0;
};

template <class Description>
void describe(Compiled& compiled, const Description& description, const Shapes& shapes, const memory::desc& weights) {
  const auto& engine = the_engine();
  compiled.implementation = description.impl_info_str();
  compiled.x = memory(shapes.x, engine, nullptr);
  compiled.y = memory(shapes.y, engine, nullptr);
  compiled.bias = memory(shapes.bias, engine, nullptr);
  compiled.weights = memory(weights, engine, nullptr);
  compiled.plain_weights = memory(shapes.weights_plain, engine, nullptr);
  compiled.scratch = memory(description.scratchpad_desc(), engine, nullptr);
  compiled.scratch_bytes = aligned(description.scratchpad_desc().get_size());
  compiled.weights_bytes = aligned(weights.get_size());
}

std::shared_ptr<Compiled> compile(const ConvProblem& problem) {
  const Shapes shapes = shapes_of(problem);
  const auto attr = attributes(problem);
  auto compiled = std::make_shared<Compiled>();
  if (problem.direction == ConvDirection::fprop) {
    const auto description = describe_fprop(shapes, shapes.weights_any, problem.bias, attr);
    describe(*compiled, description, shapes, description.weights_desc());
    compiled->primitive = Fprop(description);
  } else {
    Shapes hint_shapes = shapes;  // the hint is a forward problem whose weights have the type of x
    const memory::desc hint_weights(shapes.weights_any.dims(), to_dnnl(problem.x), memory::format_tag::any);
    const auto hint = describe_fprop(hint_shapes, hint_weights, false, dnnl::primitive_attr());
    if (problem.direction == ConvDirection::dgrad) {
      const auto description = describe_dgrad(shapes, hint, attr);
      describe(*compiled, description, shapes, description.weights_desc());
      compiled->primitive = Dgrad(description);
    } else {
      const auto description = describe_wgrad(shapes, problem.bias, hint, attr);
      describe(*compiled, description, shapes, description.diff_weights_desc());
      compiled->primitive = Wgrad(description);
    }
  }
  if (problem.direction == ConvDirection::wgrad) {
    dnnl::primitive_attr add;
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    add.set_post_ops(sum);
    compiled->reorder = dnnl::reorder(dnnl::reorder::primitive_desc(compiled->weights, compiled->plain_weights, add));
  } else {
    compiled->reorder = dnnl::reorder(dnnl::reorder::primitive_desc(compiled->plain_weights, compiled->weights));
  }
  return compiled;
}

// Compiled once per thread and problem: the memory objects inside are written to at each run. Null: oneDNN has nothing
// for it, or only its own reference loops, which are slower than any other row.
Compiled* find(const ConvProblem& problem) {
  static thread_local std::unordered_map<ConvProblem, std::shared_ptr<Compiled>, ConvProblemHash> cache;
  const auto found = cache.find(problem);
  if (found != cache.end()) return found->second.get();
  std::shared_ptr<Compiled> compiled;
  try {
    compiled = compile(problem);
    if (compiled->implementation.starts_with("ref")) compiled = nullptr;
  } catch (const dnnl::error&) {
    compiled = nullptr;
  }
  return cache.emplace(problem, std::move(compiled)).first->second.get();
}

Compiled& get(const ConvProblem& problem) {
  Compiled* compiled = find(problem);
  if (!compiled) throw Error("convolution: oneDNN does not support this problem");
  return *compiled;
}

bool supports(const ConvProblem& problem) {
  const auto known = [](DType type) { return type == DType::f32 || type == DType::bf16; };
  if (!known(problem.x) || !known(problem.y) || !problem.dense()) return false;
  if (problem.direction == ConvDirection::fprop && problem.activation != Activation::linear &&
      !fused(problem.activation))
    return false;
  return find(problem) != nullptr;
}

// Workspace: oneDNN's scratchpad, then what is computed before it is added to the caller's gradient: blocked weight
// gradient and bias gradient (wgrad), or dx (dgrad that accumulates).
std::size_t extra_bytes(const ConvProblem& problem, const Compiled& compiled) {
  const ConvGeometry& g = problem.geometry;
  switch (problem.direction) {
    case ConvDirection::fprop:
      return 0;
    case ConvDirection::dgrad:
      return aligned(static_cast<std::size_t>(problem.n) * problem.h * problem.w * g.c * size_of(problem.x));
    case ConvDirection::wgrad:
      return compiled.weights_bytes + aligned(static_cast<std::size_t>(g.k) * sizeof(float));
  }
  return 0;
}

std::size_t workspace(const ConvProblem& problem) {
  const Compiled& compiled = get(problem);
  return compiled.scratch_bytes + extra_bytes(problem, compiled);
}

std::size_t packed_bytes(const ConvProblem& problem) {
  return get(problem).weights_bytes;
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream) {
  Compiled& compiled = get(problem);
  compiled.plain_weights.set_data_handle(const_cast<float*>(weights));
  compiled.weights.set_data_handle(packed);
  compiled.reorder.execute(the_stream(), compiled.plain_weights, compiled.weights);
  the_stream().wait();
}

void run_fprop(Compiled& compiled, const ConvArgs& args) {
  compiled.x.set_data_handle(args.x.data);
  compiled.y.set_data_handle(args.y.data);
  compiled.weights.set_data_handle(const_cast<void*>(args.weights));
  compiled.bias.set_data_handle(const_cast<float*>(args.bias));
  compiled.scratch.set_data_handle(args.workspace);
  compiled.primitive.execute(the_stream(), {{DNNL_ARG_SRC, compiled.x},
                                            {DNNL_ARG_WEIGHTS, compiled.weights},
                                            {DNNL_ARG_BIAS, compiled.bias},
                                            {DNNL_ARG_DST, compiled.y},
                                            {DNNL_ARG_SCRATCHPAD, compiled.scratch}});
  the_stream().wait();
}

void run_dgrad(Compiled& compiled, const ConvArgs& args) {
  Tensor dx = args.x;
  if (args.mode == Grad::accumulate) dx.data = static_cast<std::byte*>(args.workspace) + compiled.scratch_bytes;
  compiled.x.set_data_handle(dx.data);
  compiled.y.set_data_handle(args.y.data);
  compiled.weights.set_data_handle(const_cast<void*>(args.weights));
  compiled.scratch.set_data_handle(args.workspace);
  compiled.primitive.execute(the_stream(), {{DNNL_ARG_DIFF_SRC, compiled.x},
                                            {DNNL_ARG_WEIGHTS, compiled.weights},
                                            {DNNL_ARG_DIFF_DST, compiled.y},
                                            {DNNL_ARG_SCRATCHPAD, compiled.scratch}});
  the_stream().wait();
  if (args.mode == Grad::accumulate) copy_channels({.src = dx, .dst = args.x, .mode = Grad::accumulate});
}

void run_wgrad(const ConvProblem& problem, Compiled& compiled, const ConvArgs& args) {
  std::byte* blocked = static_cast<std::byte*>(args.workspace) + compiled.scratch_bytes;
  float* bias = reinterpret_cast<float*>(blocked + compiled.weights_bytes);
  compiled.x.set_data_handle(args.x.data);
  compiled.y.set_data_handle(args.y.data);
  compiled.weights.set_data_handle(blocked);
  compiled.bias.set_data_handle(bias);
  compiled.scratch.set_data_handle(args.workspace);
  compiled.plain_weights.set_data_handle(args.dweights);
  compiled.primitive.execute(the_stream(), {{DNNL_ARG_SRC, compiled.x},
                                            {DNNL_ARG_DIFF_WEIGHTS, compiled.weights},
                                            {DNNL_ARG_DIFF_BIAS, compiled.bias},
                                            {DNNL_ARG_DIFF_DST, compiled.y},
                                            {DNNL_ARG_SCRATCHPAD, compiled.scratch}});
  compiled.reorder.execute(the_stream(), compiled.weights, compiled.plain_weights);
  the_stream().wait();
  if (problem.bias && args.dbias)
    for (int k = 0; k < problem.geometry.k; ++k) args.dbias[k] += bias[k];
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream) {
  check_conv(problem, args);
  Compiled& compiled = get(problem);
  switch (problem.direction) {
    case ConvDirection::fprop:
      return run_fprop(compiled, args);
    case ConvDirection::dgrad:
      return run_dgrad(compiled, args);
    case ConvDirection::wgrad:
      return run_wgrad(problem, compiled, args);
  }
}

std::string version() {
  const dnnl_version_t* const v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

}  // namespace

const ConvRow& conv_row() {
  static constexpr ConvRow row{.name = "onednn",
                               .supports = supports,
                               .workspace = workspace,
                               .packed_bytes = packed_bytes,
                               .pack = pack,
                               .run = run,
                               .version = version};
  return row;
}

}  // namespace rook::cpu::onednn
