// Arguments of the layers' operations: batch norm, element-wise, spatial.
#include "bench/c_api/call.h"

namespace rook::c_api {

BatchNormForward convert(Call& call, const rook_batchnorm_forward_args& a) {
  return {.z = call.tensor(a.z),
          .y = call.tensor(a.y),
          .gamma = a.gamma,
          .beta = a.beta,
          .mean = a.mean,
          .inv_std = a.inv_std,
          .running_mean = a.running_mean,
          .running_var = a.running_var,
          .momentum = a.momentum,
          .eps = a.eps,
          .activation = activation(a.activation),
          .workspace = a.workspace};
}

BatchNormInference convert(Call& call, const rook_batchnorm_inference_args& a) {
  return {.z = call.tensor(a.z),
          .y = call.tensor(a.y),
          .gamma = a.gamma,
          .beta = a.beta,
          .running_mean = a.running_mean,
          .running_var = a.running_var,
          .eps = a.eps,
          .activation = activation(a.activation)};
}

BatchNormBackward convert(Call& call, const rook_batchnorm_backward_args& a) {
  return {.z = call.tensor(a.z),
          .dy = call.tensor(a.dy),
          .dz = call.tensor(a.dz),
          .gamma = a.gamma,
          .beta = a.beta,
          .mean = a.mean,
          .inv_std = a.inv_std,
          .dgamma = a.dgamma,
          .dbeta = a.dbeta,
          .activation = activation(a.activation),
          .workspace = a.workspace};
}

FoldBatchNorm convert(Call&, const rook_fold_batchnorm_args& a) {
  return {.weights = a.weights,
          .k = a.k,
          .count = a.count,
          .gamma = a.gamma,
          .beta = a.beta,
          .running_mean = a.running_mean,
          .running_var = a.running_var,
          .eps = a.eps,
          .folded_weights = a.folded_weights,
          .folded_bias = a.folded_bias};
}

ActivationForward convert(Call& call, const rook_activation_forward_args& a) {
  return {.x = call.tensor(a.x), .y = call.tensor(a.y), .activation = activation(a.activation)};
}

ActivationBackward convert(Call& call, const rook_activation_backward_args& a) {
  return {.x = call.tensor(a.x),
          .dy = call.tensor(a.dy),
          .dx = call.tensor(a.dx),
          .activation = activation(a.activation),
          .mode = grad(a.mode)};
}

CopyChannels convert(Call& call, const rook_copy_channels_args& a) {
  return {.src = call.tensor(a.src), .dst = call.tensor(a.dst), .mode = grad(a.mode)};
}

FillChannels convert(Call& call, const rook_fill_channels_args& a) {
  return {.dst = call.tensor(a.dst), .value = a.value};
}

ShortcutForward convert(Call& call, const rook_shortcut_forward_args& a) {
  return {.inputs = call.tensors(a.inputs, a.input_count), .y = call.tensor(a.y)};
}

ShortcutBackward convert(Call& call, const rook_shortcut_backward_args& a) {
  return {.dy = call.tensor(a.dy), .dinput = call.tensor(a.dinput), .mode = grad(a.mode)};
}

ScaleChannelsForward convert(Call& call, const rook_scale_channels_forward_args& a) {
  return {.x = call.tensor(a.x), .gate = call.tensor(a.gate), .y = call.tensor(a.y)};
}

ScaleChannelsBackward convert(Call& call, const rook_scale_channels_backward_args& a) {
  return {.x = call.tensor(a.x),
          .gate = call.tensor(a.gate),
          .dy = call.tensor(a.dy),
          .dx = call.tensor(a.dx),
          .dgate = call.tensor(a.dgate),
          .dx_mode = grad(a.dx_mode),
          .dgate_mode = grad(a.dgate_mode)};
}

SamForward convert(Call& call, const rook_sam_forward_args& a) {
  return {.a = call.tensor(a.a), .b = call.tensor(a.b), .y = call.tensor(a.y)};
}

SamBackward convert(Call& call, const rook_sam_backward_args& a) {
  return {.a = call.tensor(a.a),
          .b = call.tensor(a.b),
          .dy = call.tensor(a.dy),
          .da = call.tensor(a.da),
          .db = call.tensor(a.db),
          .da_mode = grad(a.da_mode),
          .db_mode = grad(a.db_mode)};
}

Dropout convert(Call& call, const rook_dropout_args& a) {
  return {.x = call.tensor(a.x),
          .y = call.tensor(a.y),
          .probability = a.probability,
          .seed = a.seed,
          .iteration = a.iteration,
          .layer = a.layer,
          .mode = grad(a.mode),
          .step = step_of(a.step),
          .parts = a.parts};
}

SoftmaxForward convert(Call& call, const rook_softmax_forward_args& a) {
  return {.x = call.tensor(a.x), .y = call.tensor(a.y), .groups = a.groups, .temperature = a.temperature};
}

SoftmaxBackward convert(Call& call, const rook_softmax_backward_args& a) {
  return {.y = call.tensor(a.y),
          .dy = call.tensor(a.dy),
          .dx = call.tensor(a.dx),
          .groups = a.groups,
          .temperature = a.temperature,
          .mode = grad(a.mode)};
}

NormalizeChannelsForward convert(Call& call, const rook_normalize_channels_forward_args& a) {
  return {.x = call.tensor(a.x), .y = call.tensor(a.y), .kind = channel_norm(a.kind)};
}

NormalizeChannelsBackward convert(Call& call, const rook_normalize_channels_backward_args& a) {
  return {.x = call.tensor(a.x),
          .dy = call.tensor(a.dy),
          .dx = call.tensor(a.dx),
          .kind = channel_norm(a.kind),
          .mode = grad(a.mode)};
}

namespace {

PoolGeometry geometry_of(const rook_pool_geometry& g) {
  return {.size_h = g.size_h, .size_w = g.size_w, .stride_h = g.stride_h, .stride_w = g.stride_w, .padding = g.padding};
}

}  // namespace

MaxPoolForward convert(Call& call, const rook_maxpool_forward_args& a) {
  return {.geometry = geometry_of(a.geometry), .x = call.tensor(a.x), .y = call.tensor(a.y), .taps = a.taps};
}

MaxPoolBackward convert(Call& call, const rook_maxpool_backward_args& a) {
  return {.geometry = geometry_of(a.geometry),
          .dy = call.tensor(a.dy),
          .dx = call.tensor(a.dx),
          .taps = a.taps,
          .mode = grad(a.mode)};
}

LocalAvgPoolForward convert(Call& call, const rook_local_avgpool_forward_args& a) {
  return {.geometry = geometry_of(a.geometry), .x = call.tensor(a.x), .y = call.tensor(a.y)};
}

LocalAvgPoolBackward convert(Call& call, const rook_local_avgpool_backward_args& a) {
  return {.geometry = geometry_of(a.geometry), .dy = call.tensor(a.dy), .dx = call.tensor(a.dx), .mode = grad(a.mode)};
}

AvgPoolForward convert(Call& call, const rook_avgpool_forward_args& a) {
  return {.x = call.tensor(a.x), .y = call.tensor(a.y)};
}

AvgPoolBackward convert(Call& call, const rook_avgpool_backward_args& a) {
  return {.dy = call.tensor(a.dy), .dx = call.tensor(a.dx), .mode = grad(a.mode)};
}

UpsampleForward convert(Call& call, const rook_upsample_forward_args& a) {
  return {.x = call.tensor(a.x), .y = call.tensor(a.y), .stride = a.stride, .scale = a.scale};
}

UpsampleBackward convert(Call& call, const rook_upsample_backward_args& a) {
  return {.dy = call.tensor(a.dy), .dx = call.tensor(a.dx), .stride = a.stride, .scale = a.scale, .mode = grad(a.mode)};
}

Reorg convert(Call& call, const rook_reorg_args& a) {
  return {.x = call.tensor(a.x),
          .y = call.tensor(a.y),
          .stride = a.stride,
          .legacy = a.legacy != 0,
          .reverse = a.reverse != 0,
          .mode = grad(a.mode)};
}

}  // namespace rook::c_api
