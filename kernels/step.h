// Arguments with the values of their StepState in place (kernels/types.h): what every implementation starts with, on
// the CPU in the call, on a GPU in the kernel.
#pragma once

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace rook {

ROOK_HOST_DEVICE inline Dropout with_step(Dropout args) {
  if (args.step) args.iteration += args.step->iteration * args.parts;
  return args;
}

ROOK_HOST_DEVICE inline SgdUpdate with_step(SgdUpdate args) {
  if (args.step) {
    args.lr = args.step->lr;
    args.gradient_scale = args.step->gradient_scale;
  }
  return args;
}

ROOK_HOST_DEVICE inline AdamWUpdate with_step(AdamWUpdate args) {
  if (args.step) {
    args.lr = args.step->lr;
    args.gradient_scale = args.step->gradient_scale;
    args.optimizer_step = args.step->optimizer_step;
  }
  return args;
}

ROOK_HOST_DEVICE inline MuonUpdate with_step(MuonUpdate args) {
  if (args.step) {
    args.lr = args.step->lr;
    args.gradient_scale = args.step->gradient_scale;
  }
  return args;
}

ROOK_HOST_DEVICE inline EmaUpdate with_step(EmaUpdate args) {
  if (args.step) args.decay = args.step->ema_decay;
  return args;
}

ROOK_HOST_DEVICE inline YoloLoss with_step(YoloLoss args) {
  if (args.step) args.seen = args.step->seen;
  return args;
}

ROOK_HOST_DEVICE inline Augment with_step(Augment args) {
  if (args.step) {
    args.iteration = args.step->iteration;
    args.order = {args.order.data() + args.iteration * args.order_stride, args.order.size()};
  }
  return args;
}

// Whether an update is to be left out, because a gradient of this run was not finite.
ROOK_HOST_DEVICE inline bool is_spoilt(const StepState* step) {
  return step && step->bad_segment >= 0;
}

ROOK_HOST_DEVICE inline void advance(const AdvanceStep& args, StepState& step) {
  step.iteration += 1;
  step.optimizer_step += 1;
  step.seen += args.images;
  step.gradient_scale = 1;
  const std::int64_t last = args.iterations - 1;
  const std::int64_t i = static_cast<std::int64_t>(step.iteration) < last ? step.iteration : last;
  step.lr = args.lrs[i];
  if (args.ema_decays) step.ema_decay = args.ema_decays[i];
}

// f32 of a norm in double: what it is compared with is a setting, not a measurement.
ROOK_HOST_DEVICE inline void limit(const LimitGradient& args, double norm, StepState& step) {
  const double scaled = norm * args.scale;
  step.gradient_scale =
      args.clip > 0 && scaled > args.clip ? static_cast<float>(args.scale * (args.clip / scaled)) : args.scale;
  if (step.bad_segment < 0) step.bad_segment = *args.bad_segment;
}

}  // namespace rook
