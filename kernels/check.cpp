#include "kernels/check.h"

#include <initializer_list>
#include <span>

namespace rook {
namespace {

void check_pointers(const char* operation, std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers) check(pointer != nullptr, operation, "a parameter pointer is null");
}

void check_gate(const char* operation, const Tensor& x, const Tensor& gate, const char* name) {
  check_tensor(operation, name, gate);
  const bool per_channel = gate.h == 1 && gate.w == 1 && gate.c == x.c;
  if (gate.n != x.n || gate.dtype != x.dtype || !(per_channel || is_spatial_gate(x, gate))) {
    throw Error(fmt::format("{}: {} is {}, which is neither [N,1,1,C] nor [N,H,W,1] of x, {}", operation, name,
                            shape_of(gate), shape_of(x)));
  }
}

void check_softmax(const char* operation, const Tensor& t, int groups, float temperature) {
  if (groups < 1 || t.c % groups != 0) {
    throw Error(fmt::format("{}: {} channels cannot be split into {} groups", operation, t.c, groups));
  }
  if (!(temperature > 0)) throw Error(fmt::format("{}: temperature {} is not positive", operation, temperature));
}

void check_segments(const char* operation, std::span<const ParamSegment> segments) {
  for (const ParamSegment& segment : segments) {
    if (segment.begin < 0 || segment.end < segment.begin) {
      throw Error(fmt::format("{}: segment [{}, {}) of layer {} is not a range", operation, segment.begin, segment.end,
                              segment.layer));
    }
  }
}

}  // namespace

void check_args(const BatchNormForward& a) {
  const char* const operation = "batchnorm_forward";
  check_tensor(operation, "z", a.z);
  check_shape_like(operation, "y", a.y, "z", a.z);
  check_pointers(operation, {a.gamma, a.beta, a.mean, a.inv_std, a.running_mean, a.running_var});
}

void check_args(const BatchNormInference& a) {
  const char* const operation = "batchnorm_inference";
  check_tensor(operation, "z", a.z);
  check_shape_like(operation, "y", a.y, "z", a.z);
  check_pointers(operation, {a.gamma, a.beta, a.running_mean, a.running_var});
}

void check_args(const BatchNormBackward& a) {
  const char* const operation = "batchnorm_backward";
  check_tensor(operation, "z", a.z);
  check_like(operation, "dy", a.dy, "z", a.z);
  check_like(operation, "dz", a.dz, "z", a.z);
  check_pointers(operation, {a.gamma, a.beta, a.mean, a.inv_std, a.dgamma, a.dbeta});
}

void check_args(const FoldBatchNorm& a) {
  check_pointers("fold_batchnorm", {a.weights, a.beta, a.folded_weights, a.folded_bias});
  if (a.gamma) check_pointers("fold_batchnorm", {a.running_mean, a.running_var});
  if (a.k < 1 || a.count < 1) throw Error(fmt::format("fold_batchnorm: {} filters of {} weights", a.k, a.count));
}

void check_args(const ActivationForward& a) {
  check_tensor("activation_forward", "x", a.x);
  check_shape_like("activation_forward", "y", a.y, "x", a.x);
}

void check_args(const ActivationBackward& a) {
  check_tensor("activation_backward", "x", a.x);
  check_shape_like("activation_backward", "dy", a.dy, "x", a.x);
  if (a.mode != Grad::none) check_like("activation_backward", "dx", a.dx, "dy", a.dy);
}

void check_args(const CopyChannels& a) {
  check_tensor("copy_channels", "src", a.src);
  check_shape_like("copy_channels", "dst", a.dst, "src", a.src);
}

void check_args(const ShortcutForward& a) {
  const char* const operation = "shortcut_forward";
  check_tensor(operation, "y", a.y);
  check(!a.inputs.empty(), operation, "there are no inputs");
  for (const Tensor& input : a.inputs) {
    check_pixels_like(operation, "an input", input, "y", a.y);
    check_type_like(operation, "an input", input, "y", a.y);
  }
  check_like(operation, "the first input", a.inputs[0], "y", a.y);
}

void check_args(const ShortcutBackward& a) {
  check_tensor("shortcut_backward", "dy", a.dy);
  if (a.mode == Grad::none) return;
  check_pixels_like("shortcut_backward", "dinput", a.dinput, "dy", a.dy);
  check_type_like("shortcut_backward", "dinput", a.dinput, "dy", a.dy);
}

void check_args(const ScaleChannelsForward& a) {
  check_tensor("scale_channels_forward", "x", a.x);
  check_like("scale_channels_forward", "y", a.y, "x", a.x);
  check_gate("scale_channels_forward", a.x, a.gate, "gate");
}

void check_args(const ScaleChannelsBackward& a) {
  const char* const operation = "scale_channels_backward";
  check_tensor(operation, "x", a.x);
  check_like(operation, "dy", a.dy, "x", a.x);
  check_gate(operation, a.x, a.gate, "gate");
  if (a.dx_mode != Grad::none) check_like(operation, "dx", a.dx, "x", a.x);
  if (a.dgate_mode != Grad::none) check_like(operation, "dgate", a.dgate, "gate", a.gate);
}

void check_args(const SamForward& a) {
  check_tensor("sam_forward", "a", a.a);
  check_like("sam_forward", "b", a.b, "a", a.a);
  check_like("sam_forward", "y", a.y, "a", a.a);
}

void check_args(const SamBackward& a) {
  const char* const operation = "sam_backward";
  check_tensor(operation, "a", a.a);
  check_like(operation, "b", a.b, "a", a.a);
  check_like(operation, "dy", a.dy, "a", a.a);
  if (a.da_mode != Grad::none) check_like(operation, "da", a.da, "a", a.a);
  if (a.db_mode != Grad::none) check_like(operation, "db", a.db, "a", a.a);
}

void check_args(const SoftmaxForward& a) {
  check_tensor("softmax_forward", "x", a.x);
  check_like("softmax_forward", "y", a.y, "x", a.x);
  check_softmax("softmax_forward", a.x, a.groups, a.temperature);
}

void check_args(const SoftmaxBackward& a) {
  check_tensor("softmax_backward", "y", a.y);
  check_like("softmax_backward", "dy", a.dy, "y", a.y);
  if (a.mode != Grad::none) check_like("softmax_backward", "dx", a.dx, "y", a.y);
  check_softmax("softmax_backward", a.y, a.groups, a.temperature);
}

void check_args(const NormalizeChannelsForward& a) {
  check_tensor("normalize_channels_forward", "x", a.x);
  check_like("normalize_channels_forward", "y", a.y, "x", a.x);
}

void check_args(const NormalizeChannelsBackward& a) {
  check_tensor("normalize_channels_backward", "x", a.x);
  check_like("normalize_channels_backward", "dy", a.dy, "x", a.x);
  if (a.mode != Grad::none) check_like("normalize_channels_backward", "dx", a.dx, "x", a.x);
}

void check_args(const GradientNorm& a) {
  check_pointers("gradient_norm", {a.gradient, a.sum_of_squares, a.bad_segment});
  check_segments("gradient_norm", a.segments);
}

void check_args(const SgdUpdate& a) {
  check_pointers("sgd_update", {a.weights, a.gradient, a.velocity});
  check_segments("sgd_update", a.segments);
}

void check_args(const AdamWUpdate& a) {
  check_pointers("adamw_update", {a.weights, a.gradient, a.m, a.v});
  check_segments("adamw_update", a.segments);
  if (a.optimizer_step < 1) throw Error(fmt::format("adamw_update: step {} is less than 1", a.optimizer_step));
}

void check_args(const MuonUpdate& a) {
  check_pointers("muon_update", {a.weights, a.gradient, a.velocity});
  if (a.rows < 1 || a.cols < 1) throw Error(fmt::format("muon_update: a matrix of {} x {}", a.rows, a.cols));
  if (a.iterations < 1) throw Error(fmt::format("muon_update: {} iterations", a.iterations));
}

void check_args(const AdvanceStep& a) {
  check_pointers("advance_step", {a.step, a.lrs});
  if (a.iterations < 1) throw Error("advance_step: the table of learning rates is empty");
}

void check_args(const LimitGradient& a) {
  check_pointers("limit_gradient", {a.step, a.sum_of_squares, a.bad_segment});
}

void check_args(const EmaUpdate& a) {
  check_pointers("ema_update", {a.average, a.value});
  if (a.count < 0) throw Error(fmt::format("ema_update: count {} is negative", a.count));
}

}  // namespace rook
