// Activations and their derivatives for kernels, one float at a time, known at run time: all threads of a warp take the
// same branch (darknet.md 4). Within a few units in the last place of kernels/ref/activation.h; of NaN, NaN.
#pragma once

#include <cmath>

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace rook {

namespace activation_detail {

inline constexpr float kSeluScale = 1.0507f, kSeluAlpha = 1.6732f;
inline constexpr float kGelu1 = 0.797885f, kGelu3 = 0.035677f;

ROOK_HOST_DEVICE inline float logistic(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

// sigma(x) (1 - sigma(x)) = e / (1 + e)^2 with e = exp(-|x|), without cancellation.
ROOK_HOST_DEVICE inline float logistic_slope(float x) {
  const float e = std::exp(-std::fabs(x));
  const float s = 1.0f / (1.0f + e);
  return e * s * s;
}

// Written so that a NaN passes.
ROOK_HOST_DEVICE inline float at_most(float x, float limit) {
  return x > limit ? limit : x;
}
ROOK_HOST_DEVICE inline float at_least(float x, float limit) {
  return x < limit ? limit : x;
}

ROOK_HOST_DEVICE inline float mish(float x) {
  // tanh(ln(1 + e)) = n / (n + 2) with n = e^2 + 2 e; above 20 it is 1 in float.
  const float e = std::exp(at_most(x, 20.0f));
  const float n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}

ROOK_HOST_DEVICE inline float mish_slope(float x) {
  // With n as above: n / (n + 2) + x 4 e (1 + e) / (n + 2)^2.
  const float limited = at_most(x, 20.0f);
  const float e = std::exp(limited);
  const float n = e * (e + 2.0f);
  const float r = 1.0f / (n + 2.0f);
  return n * r + (4.0f * limited * (e * r)) * ((1.0f + e) * r);
}

ROOK_HOST_DEVICE inline float swish_slope(float x) {
  const float s = logistic(x);
  return s + at_least(x, -100.0f) * logistic_slope(x);  // below, the slope is 0 in float
}

ROOK_HOST_DEVICE inline float gelu(float x) {
  // x / 2 (1 + tanh(u)) = x sigma(2 u), which does not cancel for negative u.
  return x * logistic(2.0f * x * (kGelu1 + kGelu3 * (x * x)));
}

ROOK_HOST_DEVICE inline float gelu_slope(float x) {
  const float limited = at_most(at_least(x, -15.0f), 15.0f);  // beyond, the slope is 0 or 1 in float
  const float square = limited * limited;
  const float twice_u = 2.0f * limited * (kGelu1 + kGelu3 * square);
  return logistic(twice_u) + limited * logistic_slope(twice_u) * (2.0f * (kGelu1 + 3.0f * kGelu3 * square));
}

}  // namespace activation_detail

ROOK_HOST_DEVICE inline float activate(Activation activation, float x) {
  namespace detail = activation_detail;
  switch (activation) {
    case Activation::linear:
      return x;
    case Activation::leaky:
      return x > 0 ? x : 0.1f * x;
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::relu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::logistic:
      return detail::logistic(x);
    case Activation::loggy:
      return std::tanh(0.5f * x);  // 2 sigma(x) - 1
    case Activation::mish:
      return detail::mish(x);
    case Activation::swish:
      return x * detail::logistic(x);
    case Activation::hard_mish:
      return x > 0 ? x : x <= -2 ? 0 : x * (0.5f * x + 1.0f);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::elu:
      return x < 0 ? std::expm1(x) : x;
    case Activation::selu:
      return detail::kSeluScale * (x < 0 ? detail::kSeluAlpha * std::expm1(x) : x);
    case Activation::gelu:
      return detail::gelu(x);
    case Activation::relie:
      return x > 0 ? x : 0.01f * x;
    case Activation::ramp:
      return (x < 0 ? 0 : x) + 0.1f * x;
  }
  return x;
}

// d activate(x) / dx; at a kink, the value that darknet takes.
ROOK_HOST_DEVICE inline float activate_gradient(Activation activation, float x) {
  namespace detail = activation_detail;
  switch (activation) {
    case Activation::linear:
      return 1;
    case Activation::leaky:
      return x > 0 ? 1 : 0.1f;
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::relu6:
      return x > 0 && x < 6 ? 1 : 0;
    case Activation::logistic:
      return detail::logistic_slope(x);
    case Activation::loggy:
      return 2.0f * detail::logistic_slope(x);
    case Activation::mish:
      return detail::mish_slope(x);
    case Activation::swish:
      return detail::swish_slope(x);
    case Activation::hard_mish:
      return x > 0 ? 1 : x <= -2 ? 0 : x + 1.0f;
    case Activation::tanh:
      return 4.0f * detail::logistic_slope(2.0f * x);  // 1 - tanh^2
    case Activation::elu:
      return x < 0 ? std::exp(x) : 1;
    case Activation::selu:
      return detail::kSeluScale * (x < 0 ? detail::kSeluAlpha * std::exp(x) : 1);
    case Activation::gelu:
      return detail::gelu_slope(x);
    case Activation::relie:
      return x > 0 ? 1 : 0.01f;
    case Activation::ramp:
      return x > 0 ? 1.1f : 0.1f;
  }
  return 1;
}

}  // namespace rook
