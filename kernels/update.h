// One element of the optimizers' updates (formulas: kernels/update_ops.h), of floats or of vectors of them, for all
// devices.
#pragma once

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace rook {

struct SgdRates {
  float momentum, scale;  // of the gradient
  float rate, decay;      // of the segment
};

ROOK_HOST_DEVICE inline SgdRates rates_of(const SgdUpdate& args, const ParamSegment& segment) {
  return {args.momentum, args.gradient_scale, args.lr * segment.lr_scale, segment.decay};
}

template <class V>
ROOK_HOST_DEVICE V sgd_velocity(const SgdRates& r, V w, V g, V v) {
  return r.momentum * v + (r.scale * g + r.decay * w);
}
template <class V>
ROOK_HOST_DEVICE V sgd_weight(const SgdRates& r, V w, V v) {
  return w - r.rate * v;
}

struct AdamWRates {
  float beta1, beta2, eps, scale;
  float correct1, correct2;  // 1 / (1 - beta^step)
  float rate, decay;         // of the segment
};

// `correct1` and `correct2` cost two powers in double: they are computed once, not per element.
ROOK_HOST_DEVICE inline AdamWRates rates_of(const AdamWUpdate& args, float correct1, float correct2) {
  return {args.beta1, args.beta2, args.eps, args.gradient_scale, correct1, correct2, 0, 0};
}
ROOK_HOST_DEVICE inline AdamWRates rates_of(AdamWRates rates, const AdamWUpdate& args, const ParamSegment& segment) {
  rates.rate = args.lr * segment.lr_scale;
  rates.decay = segment.decay;
  return rates;
}

template <class V>
ROOK_HOST_DEVICE V adamw_m(const AdamWRates& r, V m, V g) {
  return r.beta1 * m + (1 - r.beta1) * (r.scale * g);
}
template <class V>
ROOK_HOST_DEVICE V adamw_v(const AdamWRates& r, V v, V g) {
  return r.beta2 * v + (1 - r.beta2) * ((r.scale * g) * (r.scale * g));
}
// `root` is the square root of correct2 v.
template <class V>
ROOK_HOST_DEVICE V adamw_weight(const AdamWRates& r, V w, V m, V root) {
  return w - r.rate * (r.correct1 * m / (root + r.eps) + r.decay * w);
}

template <class V>
ROOK_HOST_DEVICE V ema_value(float decay, V average, V value) {
  return decay * average + (1 - decay) * value;
}

}  // namespace rook
