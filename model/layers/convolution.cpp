// [convolutional]: y = act(BN(conv(x))) or act(conv(x) + bias).
//
// Training keeps z = conv(x) and recomputes everything else from it; the gradient of z takes the place of the gradient
// of y. Inference folds the batch norm (darknet.md 2.3): w' = w gamma / sqrt(var + eps), b' = beta - gamma mean /
// sqrt(var + eps).
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/arena.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

class Convolution final : public Op {
 public:
  explicit Convolution(const ConvolutionSpec& spec) : spec_(spec) {
    geometry_ = {.c = spec.channels,
                 .k = spec.filters,
                 .r = spec.size,
                 .s = spec.size,
                 .stride_h = spec.stride_h,
                 .stride_w = spec.stride_w,
                 .pad_h = spec.padding,
                 .pad_w = spec.padding,
                 .dilation = spec.size == 1 ? 1 : spec.dilation,
                 .groups = spec.groups};
    if (spec.groups < 1 || spec.channels % spec.groups || spec.filters % spec.groups)
      throw Error(fmt::format("groups={} does not divide {} input and {} output channels", spec.groups, spec.channels,
                              spec.filters));
  }

  std::string_view kind() const override { return "convolutional"; }

  Shape infer(std::span<const Shape> inputs) const override {
    const Shape& x = inputs.front();
    if (x.c != geometry_.c) throw Error(fmt::format("expects {} channels, gets {}", geometry_.c, x.c));
    if (x.h + 2 * geometry_.pad_h < geometry_.r || x.w + 2 * geometry_.pad_w < geometry_.s)
      throw Error(fmt::format("its {}x{} filter is larger than the {}x{} input", geometry_.s, geometry_.r, x.w, x.h));
    return {geometry_.out_h(x.h), geometry_.out_w(x.w), geometry_.k};
  }

  // Order: bias (beta), [scales, rolling mean, rolling variance,] weights, as darknet files have it.
  std::vector<ParamSpec> params() const override {
    const std::int64_t k = geometry_.k;
    const int cg = geometry_.c / geometry_.groups;
    std::vector<ParamSpec> specs{{.role = ParamRole::bias, .shape = {k}}};
    if (spec_.batch_normalize) {
      specs.push_back({.role = ParamRole::scales, .shape = {k}});
      specs.push_back({.role = ParamRole::rolling_mean, .shape = {k}});
      specs.push_back({.role = ParamRole::rolling_variance, .shape = {k}});
    }
    specs.push_back({.role = ParamRole::weights,
                     .shape = {k, geometry_.r, geometry_.s, cg},
                     .fan_in = geometry_.r * geometry_.s * cg,
                     .matrix = spec_.batch_normalize && geometry_.groups == 1});
    return specs;
  }

  OpNeeds needs(const OpProblem& problem) const override {
    const Layout layout = layout_of(problem);
    return {.state = layout.state_bytes,
            .saved = layout.saved_bytes,
            .workspace = layout.workspace_bytes,
            .preparing = problem.training ? 0 : static_cast<std::size_t>(geometry_.weights()) * sizeof(float),
            .inputs_in_backward = true};
  }

  void prepare(const OpProblem& problem, const OpRun& run) const override {
    const Layout layout = layout_of(problem);
    const float* weights = run.params.back();
    if (problem.training) {
      layout.fprop_row->pack(layout.fprop, weights, run.state, run.stream);
      if (problem.needs_dinput)
        layout.dgrad_row->pack(layout.dgrad, weights, run.state + layout.dgrad_offset, run.stream);
      return;
    }
    float* bias = reinterpret_cast<float*>(run.state + layout.bias_offset);
    float* folded = reinterpret_cast<float*>(run.workspace);
    const bool bn = spec_.batch_normalize;
    run.backend->fold_batchnorm({.weights = weights,
                                 .k = geometry_.k,
                                 .count = geometry_.weights() / geometry_.k,
                                 .gamma = bn ? run.params[1] : nullptr,
                                 .beta = run.params[0],
                                 .running_mean = bn ? run.params[2] : nullptr,
                                 .running_var = bn ? run.params[3] : nullptr,
                                 .eps = spec_.bn_eps,
                                 .folded_weights = folded,
                                 .folded_bias = bias},
                                run.stream);
    layout.fprop_row->pack(layout.fprop, folded, run.state, run.stream);
  }

  void forward(const OpRun& run) const override {
    const Layout layout = layout_of(problem_of(run));
    if (!run.training) return forward_inference(layout, run);
    Tensor z = run.output;
    if (layout.keeps_z) z = z_of(layout, run);
    layout.fprop_row->run(layout.fprop,
                          {.x = run.inputs[0],
                           .y = z,
                           .weights = run.state,
                           .bias = spec_.batch_normalize ? nullptr : run.params[0],
                           .workspace = run.workspace},
                          run.stream);
    if (spec_.batch_normalize) {
      run.backend->batchnorm_forward({.z = z,
                                      .y = run.output,
                                      .gamma = run.params[1],
                                      .beta = run.params[0],
                                      .mean = mean_of(run),
                                      .inv_std = mean_of(run) + geometry_.k,
                                      .running_mean = run.params[2],
                                      .running_var = run.params[3],
                                      .momentum = run.bn_momentum,
                                      .eps = spec_.bn_eps,
                                      .activation = spec_.activation,
                                      .workspace = run.workspace},
                                     run.stream);
    } else if (spec_.activation != Activation::linear) {
      run.backend->activation_forward({.x = z, .y = run.output, .activation = spec_.activation}, run.stream);
    }
  }

  void backward(const OpRun& run) const override {
    const Layout layout = layout_of(problem_of(run));
    const Tensor dz = run.doutput;  // in place of dy
    if (spec_.batch_normalize) {
      run.backend->batchnorm_backward({.z = z_of(layout, run),
                                       .dy = run.doutput,
                                       .dz = dz,
                                       .gamma = run.params[1],
                                       .beta = run.params[0],
                                       .mean = mean_of(run),
                                       .inv_std = mean_of(run) + geometry_.k,
                                       .dgamma = run.grads[1],
                                       .dbeta = run.grads[0],
                                       .activation = spec_.activation,
                                       .workspace = run.workspace},
                                      run.stream);
    } else if (spec_.activation != Activation::linear) {
      run.backend->activation_backward(
          {.x = z_of(layout, run), .dy = run.doutput, .dx = dz, .activation = spec_.activation}, run.stream);
    }
    layout.wgrad_row->run(layout.wgrad,
                          {.x = run.inputs[0],
                           .y = dz,
                           .dweights = run.grads.back(),
                           .dbias = spec_.batch_normalize ? nullptr : run.grads[0],
                           .workspace = run.workspace},
                          run.stream);
    if (run.dinputs[0].mode != Grad::none)
      layout.dgrad_row->run(layout.dgrad,
                            {.x = run.dinputs[0].tensor,
                             .y = dz,
                             .weights = run.state + layout.dgrad_offset,
                             .mode = run.dinputs[0].mode,
                             .workspace = run.workspace},
                            run.stream);
  }

  Window reads(std::size_t, const Window& y, std::span<const Shape>) const override {
    const ConvGeometry& g = geometry_;
    const int left = g.pad_w * g.dilation, top = g.pad_h * g.dilation;
    return {y.left * g.stride_w - left, y.top * g.stride_h - top, y.right * g.stride_w - left + (g.s - 1) * g.dilation,
            y.bottom * g.stride_h - top + (g.r - 1) * g.dilation};
  }

  const ConvGeometry* convolution() const override { return &geometry_; }

  double flops(std::span<const Shape>, Shape output) const override {
    return 2.0 * static_cast<double>(geometry_.weights()) * output.h * output.w;
  }

 private:
  // What a problem makes of this layer: the chosen implementations and where things lie in state and saved memory.
  struct Layout {
    ConvProblem fprop, dgrad, wgrad;
    const ConvRow* fprop_row = nullptr;
    const ConvRow* dgrad_row = nullptr;
    const ConvRow* wgrad_row = nullptr;
    bool keeps_z = false;
    bool activate_after = false;  // inference: the implementation does not fuse the activation
    Tensor z;
    std::size_t dgrad_offset = 0, bias_offset = 0;
    std::size_t state_bytes = 0, saved_bytes = 0, workspace_bytes = 0;
  };

  static OpProblem problem_of(const OpRun& run) {
    return {.inputs = run.inputs,
            .output = run.output,
            .gradient = run.training ? run.doutput.dtype : DType::f32,
            .training = run.training,
            .needs_dinput = run.training && run.dinputs[0].mode != Grad::none,
            .convs = run.convs};
  }

  Layout layout_of(const OpProblem& problem) const {
    return problem.training ? training_layout(problem) : inference_layout(problem);
  }

  ConvProblem problem_for(ConvDirection direction, const Tensor& x, DType y) const {
    return {.direction = direction, .geometry = geometry_, .n = x.n, .h = x.h, .w = x.w, .x = x.dtype, .y = y};
  }

  Layout inference_layout(const OpProblem& problem) const {
    Layout layout;
    layout.fprop = problem_for(ConvDirection::fprop, problem.inputs[0], problem.output.dtype);
    layout.fprop.bias = true;
    layout.fprop.activation = spec_.activation;
    if (!problem.convs->fast(layout.fprop)) {
      layout.fprop.activation = Activation::linear;
      layout.activate_after = spec_.activation != Activation::linear;
    }
    layout.fprop_row = &problem.convs->choose(layout.fprop);
    layout.bias_offset = arena_aligned(layout.fprop_row->packed_bytes(layout.fprop));
    layout.state_bytes = layout.bias_offset + arena_aligned(geometry_.k * sizeof(float));
    layout.workspace_bytes = layout.fprop_row->workspace(layout.fprop);
    return layout;
  }

  Layout training_layout(const OpProblem& problem) const {
    Layout layout;
    const Tensor& x = problem.inputs[0];
    layout.keeps_z = spec_.batch_normalize || spec_.activation != Activation::linear;
    layout.z = problem.output;
    if (spec_.batch_normalize) layout.z.dtype = problem.gradient;
    layout.fprop = problem_for(ConvDirection::fprop, x, layout.z.dtype);
    layout.fprop.bias = !spec_.batch_normalize;
    layout.fprop_row = &problem.convs->choose(layout.fprop);
    layout.wgrad = problem_for(ConvDirection::wgrad, x, problem.gradient);
    layout.wgrad.bias = !spec_.batch_normalize;
    layout.wgrad_row = &problem.convs->choose(layout.wgrad);
    layout.dgrad_offset = arena_aligned(layout.fprop_row->packed_bytes(layout.fprop));
    layout.state_bytes = layout.dgrad_offset;
    layout.workspace_bytes =
        std::max(layout.fprop_row->workspace(layout.fprop), layout.wgrad_row->workspace(layout.wgrad));
    if (problem.needs_dinput) {
      layout.dgrad = problem_for(ConvDirection::dgrad, x, problem.gradient);
      layout.dgrad_row = &problem.convs->choose(layout.dgrad);
      layout.state_bytes += arena_aligned(layout.dgrad_row->packed_bytes(layout.dgrad));
      layout.workspace_bytes = std::max(layout.workspace_bytes, layout.dgrad_row->workspace(layout.dgrad));
    }
    if (spec_.batch_normalize) {
      const Backend& backend = problem.backend();
      layout.workspace_bytes =
          std::max({layout.workspace_bytes, backend.batchnorm_forward_workspace({.z = layout.z, .y = problem.output}),
                    backend.batchnorm_backward_workspace({.z = layout.z, .dy = layout.z, .dz = layout.z})});
    }
    if (layout.keeps_z)
      layout.saved_bytes = z_offset() + static_cast<std::size_t>(layout.z.elements()) * size_of(layout.z.dtype);
    return layout;
  }

  // saved: mean [k], inv_std [k], then z.
  std::size_t z_offset() const { return arena_aligned(2 * static_cast<std::size_t>(geometry_.k) * sizeof(float)); }
  static float* mean_of(const OpRun& run) { return reinterpret_cast<float*>(run.saved); }
  Tensor z_of(const Layout& layout, const OpRun& run) const {
    Tensor z = layout.z;
    z.data = run.saved + z_offset();
    return z;
  }

  void forward_inference(const Layout& layout, const OpRun& run) const {
    const float* bias = reinterpret_cast<const float*>(run.state + layout.bias_offset);
    layout.fprop_row->run(
        layout.fprop,
        {.x = run.inputs[0], .y = run.output, .weights = run.state, .bias = bias, .workspace = run.workspace},
        run.stream);
    if (layout.activate_after)
      run.backend->activation_forward({.x = run.output, .y = run.output, .activation = spec_.activation}, run.stream);
  }

  ConvolutionSpec spec_;
  ConvGeometry geometry_;
};

}  // namespace

std::unique_ptr<Op> make_convolution(const ConvolutionSpec& spec) {
  return std::make_unique<Convolution>(spec);
}

}  // namespace rook
