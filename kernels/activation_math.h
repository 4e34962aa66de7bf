// Activations and their derivatives (darknet.md 4), written once for floats of kernels and vectors of the CPU: `M` is
// the arithmetic of a type V: exp, exp_minus_one, divide, absolute, floor, splat(float), select(comparison, yes, no).
// act(NaN) is NaN.
#pragma once

#include <fmt/core.h>

#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "kernels/host_device.h"
#include "kernels/types.h"

namespace rook {

template <Activation A>
using ActivationTag = std::integral_constant<Activation, A>;

inline constexpr float kSeluScale = 1.0507f, kSeluAlpha = 1.6732f;
inline constexpr float kGelu1 = 0.797885f, kGelu3 = 0.035677f;

// Written so that a NaN passes.
template <class M, class V>
ROOK_HOST_DEVICE inline V at_most(V a, float limit) {
  return M::select(a > M::splat(limit), M::splat(limit), a);
}
template <class M, class V>
ROOK_HOST_DEVICE inline V at_least(V a, float limit) {
  return M::select(a < M::splat(limit), M::splat(limit), a);
}

template <class M, class V>
ROOK_HOST_DEVICE inline V logistic(V x) {
  return M::divide(M::splat(1), 1.0f + M::exp(-x));
}

// sigma(x) (1 - sigma(x)) = e / (1 + e)^2 with e = exp(-|x|), without cancellation.
template <class M, class V>
ROOK_HOST_DEVICE inline V logistic_slope(V x) {
  const V e = M::exp(-M::absolute(x));
  const V s = M::divide(M::splat(1), 1.0f + e);
  return e * s * s;
}

template <class M, class V>
ROOK_HOST_DEVICE inline V tanh_of(V x) {
  const V e = M::exp_minus_one(2.0f * at_most<M>(at_least<M>(x, -10.0f), 10.0f));  // beyond 10 it is +-1 in float
  return M::divide(e, e + 2.0f);
}

// act(x).
template <Activation A, class M, class V>
ROOK_HOST_DEVICE inline V activation_of(V x) {
  const V zero = M::splat(0);
  if constexpr (A == Activation::linear) return x;
  if constexpr (A == Activation::leaky) return M::select(x > zero, x, 0.1f * x);
  if constexpr (A == Activation::relu) return at_least<M>(x, 0.0f);
  if constexpr (A == Activation::relu6) return at_most<M>(at_least<M>(x, 0.0f), 6.0f);
  if constexpr (A == Activation::logistic) return logistic<M>(x);
  if constexpr (A == Activation::loggy) return tanh_of<M, V>(0.5f * x);  // 2 sigma(x) - 1
  if constexpr (A == Activation::mish) {
    // tanh(ln(1 + e)) = n / (n + 2) with n = e^2 + 2 e; above 20 it is 1 in float.
    const V e = M::exp(at_most<M>(x, 20.0f));
    const V n = e * (e + 2.0f);
    return x * M::divide(n, n + 2.0f);
  }
  if constexpr (A == Activation::swish) return x * logistic<M>(x);
  if constexpr (A == Activation::hard_mish) {
    return M::select(x > zero, x, M::select(x <= M::splat(-2), zero, x * (0.5f * x + 1.0f)));
  }
  if constexpr (A == Activation::tanh) return tanh_of<M>(x);
  if constexpr (A == Activation::elu) return M::select(x < zero, M::exp_minus_one(x), x);
  if constexpr (A == Activation::selu) {
    return kSeluScale * M::select(x < zero, kSeluAlpha * M::exp_minus_one(x), x);
  }
  if constexpr (A == Activation::gelu) {
    // x / 2 (1 + tanh(u)) = x sigma(2 u), which does not cancel for negative u.
    return x * logistic<M, V>(2.0f * x * (kGelu1 + kGelu3 * (x * x)));
  }
  if constexpr (A == Activation::relie) return M::select(x > zero, x, 0.01f * x);
  if constexpr (A == Activation::ramp) return at_least<M>(x, 0.0f) + 0.1f * x;
  if constexpr (A == Activation::plse) {
    const V outside = M::select(x < zero, 0.01f * (x + 4.0f), 0.01f * (x - 4.0f) + 1.0f);
    return M::select(M::absolute(x) > M::splat(4), outside, 0.125f * x + 0.5f);
  }
  if constexpr (A == Activation::stair) {
    // Level where floor(x) is even, rising by 1 where it is odd.
    const V whole = M::floor(x), half = M::floor(0.5f * x);
    return M::select(whole == 2.0f * half, half, x - (whole - half));
  }
  if constexpr (A == Activation::hardtan) return at_most<M>(at_least<M>(x, -1.0f), 1.0f);
  if constexpr (A == Activation::lhtan) {
    return M::select(x < zero, 0.001f * x, M::select(x > M::splat(1), 0.001f * (x - 1.0f) + 1.0f, x));
  }
}

// d act(x) / dx; at a kink, the value that darknet takes.
template <Activation A, class M, class V>
ROOK_HOST_DEVICE inline V activation_slope(V x) {
  const V zero = M::splat(0), one = M::splat(1);
  if constexpr (A == Activation::linear) return one;
  if constexpr (A == Activation::leaky) return M::select(x > zero, one, M::splat(0.1f));
  if constexpr (A == Activation::relu) return M::select(x > zero, one, zero);
  if constexpr (A == Activation::relu6) return M::select(x > zero, M::select(x < M::splat(6), one, zero), zero);
  if constexpr (A == Activation::logistic) return logistic_slope<M>(x);
  if constexpr (A == Activation::loggy) return 2.0f * logistic_slope<M>(x);
  if constexpr (A == Activation::mish) {
    // With n as above: n / (n + 2) + x 4 e (1 + e) / (n + 2)^2.
    const V limited = at_most<M>(x, 20.0f);
    const V e = M::exp(limited);
    const V n = e * (e + 2.0f);
    const V r = M::divide(one, n + 2.0f);
    return n * r + (4.0f * limited * (e * r)) * ((1.0f + e) * r);
  }
  if constexpr (A == Activation::swish) {
    const V limited = at_least<M>(x, -80.0f);  // where exp(-x) is still finite; below, the slope is 0
    const V e = M::exp(-limited);
    const V s = M::divide(one, 1.0f + e);
    return s + s * (limited * (e * s));
  }
  if constexpr (A == Activation::hard_mish) {
    return M::select(x > zero, one, M::select(x <= M::splat(-2), zero, x + 1.0f));
  }
  if constexpr (A == Activation::tanh) {
    return 4.0f * logistic_slope<M, V>(2.0f * x);  // 1 - tanh^2
  }
  if constexpr (A == Activation::elu) return M::select(x < zero, M::exp(x), one);
  if constexpr (A == Activation::selu) return kSeluScale * M::select(x < zero, kSeluAlpha * M::exp(x), one);
  if constexpr (A == Activation::gelu) {
    const V limited = at_most<M>(at_least<M>(x, -15.0f), 15.0f);  // beyond, the derivative is 0 or 1 in float
    const V square = limited * limited;
    const V u = 2.0f * limited * (kGelu1 + kGelu3 * square);
    return logistic<M>(u) + limited * logistic_slope<M>(u) * (2.0f * (kGelu1 + 3.0f * kGelu3 * square));
  }
  if constexpr (A == Activation::relie) return M::select(x > zero, one, M::splat(0.01f));
  if constexpr (A == Activation::ramp) return M::select(x > zero, M::splat(1.1f), M::splat(0.1f));
  if constexpr (A == Activation::plse) {
    return M::select(M::absolute(x) > M::splat(4), M::splat(0.01f), M::splat(0.125f));
  }
  if constexpr (A == Activation::stair) {
    const V whole = M::floor(x);
    return M::select(whole == x, zero, M::select(whole == 2.0f * M::floor(0.5f * x), zero, one));
  }
  if constexpr (A == Activation::hardtan) return M::select(M::absolute(x) < one, one, zero);
  if constexpr (A == Activation::lhtan) {
    return M::select(x > zero, M::select(x < one, one, M::splat(0.001f)), M::splat(0.001f));
  }
}

// Calls visit(ActivationTag<A>) for the activation that is known at run time; false: there is none such.
template <class Visitor>
ROOK_HOST_DEVICE inline bool visit_activation(Activation activation, Visitor&& visit) {
  switch (activation) {
    case Activation::linear:
      return visit(ActivationTag<Activation::linear>{}), true;
    case Activation::leaky:
      return visit(ActivationTag<Activation::leaky>{}), true;
    case Activation::relu:
      return visit(ActivationTag<Activation::relu>{}), true;
    case Activation::relu6:
      return visit(ActivationTag<Activation::relu6>{}), true;
    case Activation::logistic:
      return visit(ActivationTag<Activation::logistic>{}), true;
    case Activation::loggy:
      return visit(ActivationTag<Activation::loggy>{}), true;
    case Activation::mish:
      return visit(ActivationTag<Activation::mish>{}), true;
    case Activation::swish:
      return visit(ActivationTag<Activation::swish>{}), true;
    case Activation::hard_mish:
      return visit(ActivationTag<Activation::hard_mish>{}), true;
    case Activation::tanh:
      return visit(ActivationTag<Activation::tanh>{}), true;
    case Activation::elu:
      return visit(ActivationTag<Activation::elu>{}), true;
    case Activation::selu:
      return visit(ActivationTag<Activation::selu>{}), true;
    case Activation::gelu:
      return visit(ActivationTag<Activation::gelu>{}), true;
    case Activation::relie:
      return visit(ActivationTag<Activation::relie>{}), true;
    case Activation::ramp:
      return visit(ActivationTag<Activation::ramp>{}), true;
    case Activation::plse:
      return visit(ActivationTag<Activation::plse>{}), true;
    case Activation::stair:
      return visit(ActivationTag<Activation::stair>{}), true;
    case Activation::hardtan:
      return visit(ActivationTag<Activation::hardtan>{}), true;
    case Activation::lhtan:
      return visit(ActivationTag<Activation::lhtan>{}), true;
  }
  return false;
}

inline void check_activation(Activation activation) {
  if (static_cast<int>(activation) >= kActivations)
    throw Error(fmt::format("activation: {} is not one that rook knows", static_cast<int>(activation)));
}

// The arithmetic of one float.
struct FloatMath {
  ROOK_HOST_DEVICE static float exp(float x) { return std::exp(x); }
  ROOK_HOST_DEVICE static float exp_minus_one(float x) { return std::expm1(x); }
  ROOK_HOST_DEVICE static float divide(float a, float b) { return a / b; }
  ROOK_HOST_DEVICE static float absolute(float x) { return std::fabs(x); }
  ROOK_HOST_DEVICE static float floor(float x) { return std::floor(x); }
  ROOK_HOST_DEVICE static float splat(float value) { return value; }
  ROOK_HOST_DEVICE static float select(bool condition, float yes, float no) { return condition ? yes : no; }
};

// For kernels: of an activation that is known at run time; all threads of a warp take the same branch.
ROOK_HOST_DEVICE inline float activate(Activation activation, float x) {
  float y = x;
  visit_activation(activation, [&](auto tag) { y = activation_of<decltype(tag)::value, FloatMath>(x); });
  return y;
}

// d activate(x) / dx.
ROOK_HOST_DEVICE inline float activate_gradient(Activation activation, float x) {
  float slope = 1;
  visit_activation(activation, [&](auto tag) { slope = activation_slope<decltype(tag)::value, FloatMath>(x); });
  return slope;
}

}  // namespace rook
