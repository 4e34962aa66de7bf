// Activations and their derivatives in float, compiled for each activation, for one float or a vector of them
// (darknet.md 4). Relative error about 1e-7 without a call to libm; act(NaN) is NaN.
#pragma once

#include <type_traits>

#include "base/error.h"
#include "kernels/cpu/vec.h"
#include "kernels/types.h"

namespace rook::cpu {

template <class V>
V min_of(V a, float limit) {  // written so that a NaN passes
  return select(a > splat<V>(limit), splat<V>(limit), a);
}
template <class V>
V max_of(V a, float limit) {
  return select(a < splat<V>(limit), splat<V>(limit), a);
}
template <class V>
V absolute(V a) {
  return from_bits(bits_of(a) & 0x7fffffffu);
}

// e^x = scale (1 + minus_one) with scale = 2^n and |r| <= ln(2) / 2, x = n ln(2) + r. The polynomial is that of Cephes'
// expf (S. L. Moshier). x is limited to [-87, 88.3], where neither scale nor result leaves the normal numbers.
template <class V>
struct ExpParts {
  V scale, minus_one;
};

template <class V>
ExpParts<V> exp_parts(V x) {
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
  x = min_of(max_of(x, -87.0f), 88.3f);
  const V shifted = x * kLog2E + kRound;
  const V n = shifted - kRound;
  const V r = (x - n * kLn2High) - n * kLn2Low;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const auto exponent = (bits_of(shifted) << 23) + 0x3f800000u;
  return {from_bits(exponent), p * (r * r) + r};
}

template <class V>
V exp_of(V x) {
  const ExpParts<V> e = exp_parts(x);
  return e.scale * e.minus_one + e.scale;
}

// e^x - 1, accurate near 0 too.
template <class V>
V exp_minus_one(V x) {
  const ExpParts<V> e = exp_parts(x);
  return e.scale * e.minus_one + (e.scale - 1.0f);
}

template <class V>
V logistic(V x) {
  return 1.0f / (1.0f + exp_of(-x));
}

// sigma(x) (1 - sigma(x)) = e / (1 + e)^2 with e = exp(-|x|), without cancellation.
template <class V>
V logistic_slope(V x) {
  const V e = exp_of(-absolute(x));
  const V s = 1.0f / (1.0f + e);
  return e * s * s;
}

template <class V>
V tanh_of(V x) {
  const V e = exp_minus_one(2.0f * min_of(max_of(x, -10.0f), 10.0f));  // beyond 10 the result is +-1 in float
  return e / (e + 2.0f);
}

inline constexpr float kSeluScale = 1.0507f, kSeluAlpha = 1.6732f;
inline constexpr float kGelu1 = 0.797885f, kGelu3 = 0.035677f;

// act(x).
template <Activation A, class V>
V act(V x) {
  const V zero = splat<V>(0);
  if constexpr (A == Activation::linear) return x;
  if constexpr (A == Activation::leaky) return select(x > zero, x, 0.1f * x);
  if constexpr (A == Activation::relu) return max_of(x, 0.0f);
  if constexpr (A == Activation::relu6) return min_of(max_of(x, 0.0f), 6.0f);
  if constexpr (A == Activation::logistic) return logistic(x);
  if constexpr (A == Activation::loggy) return tanh_of(0.5f * x);  // 2 sigma(x) - 1
  if constexpr (A == Activation::mish) {
    // tanh(ln(1 + e)) = n / (n + 2) with n = e^2 + 2 e; above 20 it is 1 in float.
    const V e = exp_of(min_of(x, 20.0f));
    const V n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
  }
  if constexpr (A == Activation::swish) return x * logistic(x);
  if constexpr (A == Activation::hard_mish) {
    return select(x > zero, x, select(x <= splat<V>(-2), zero, x * (0.5f * x + 1.0f)));
  }
  if constexpr (A == Activation::tanh) return tanh_of(x);
  if constexpr (A == Activation::elu) return select(x < zero, exp_minus_one(x), x);
  if constexpr (A == Activation::selu) {
    return kSeluScale * select(x < zero, kSeluAlpha * exp_minus_one(x), x);
  }
  if constexpr (A == Activation::gelu) {
    // x / 2 (1 + tanh(u)) = x sigma(2 u), which does not cancel for negative u.
    return x * logistic(2.0f * x * (kGelu1 + kGelu3 * (x * x)));
  }
  if constexpr (A == Activation::relie) return select(x > zero, x, 0.01f * x);
  if constexpr (A == Activation::ramp) return max_of(x, 0.0f) + 0.1f * x;
}

// d act(x) / dx.
template <Activation A, class V>
V dact(V x) {
  const V zero = splat<V>(0), one = splat<V>(1);
  if constexpr (A == Activation::linear) return one;
  if constexpr (A == Activation::leaky) return select(x > zero, one, splat<V>(0.1f));
  if constexpr (A == Activation::relu) return select(x > zero, one, zero);
  if constexpr (A == Activation::relu6) return select(x > zero, select(x < splat<V>(6), one, zero), zero);
  if constexpr (A == Activation::logistic) return logistic_slope(x);
  if constexpr (A == Activation::loggy) return 2.0f * logistic_slope(x);
  if constexpr (A == Activation::mish) {
    // With n as above: n / (n + 2) + x 4 e (1 + e) / (n + 2)^2.
    const V limited = min_of(x, 20.0f);
    const V e = exp_of(limited);
    const V n = e * (e + 2.0f);
    const V r = 1.0f / (n + 2.0f);
    return n * r + (4.0f * limited * (e * r)) * ((1.0f + e) * r);
  }
  if constexpr (A == Activation::swish) {
    const V e = exp_of(-x);
    const V s = 1.0f / (1.0f + e);
    return s + s * (x * (e * s));
  }
  if constexpr (A == Activation::hard_mish) {
    return select(x > zero, one, select(x <= splat<V>(-2), zero, x + 1.0f));
  }
  if constexpr (A == Activation::tanh) {
    return 4.0f * logistic_slope(2.0f * x);  // 1 - tanh^2
  }
  if constexpr (A == Activation::elu) return select(x < zero, exp_of(x), one);
  if constexpr (A == Activation::selu) return kSeluScale * select(x < zero, kSeluAlpha * exp_of(x), one);
  if constexpr (A == Activation::gelu) {
    const V limited = min_of(max_of(x, -15.0f), 15.0f);  // beyond, the derivative is 0 or 1 in float
    const V square = limited * limited;
    const V u = 2.0f * limited * (kGelu1 + kGelu3 * square);
    return logistic(u) + limited * logistic_slope(u) * (2.0f * (kGelu1 + 3.0f * kGelu3 * square));
  }
  if constexpr (A == Activation::relie) return select(x > zero, one, splat<V>(0.01f));
  if constexpr (A == Activation::ramp) return select(x > zero, splat<V>(1.1f), splat<V>(0.1f));
}

template <Activation A>
using ActivationTag = std::integral_constant<Activation, A>;

// Calls visit(ActivationTag<A>) for the activation that is known at run time.
template <class Visitor>
void with_activation(Activation activation, Visitor visit) {
  switch (activation) {
    case Activation::linear:
      return visit(ActivationTag<Activation::linear>{});
    case Activation::leaky:
      return visit(ActivationTag<Activation::leaky>{});
    case Activation::relu:
      return visit(ActivationTag<Activation::relu>{});
    case Activation::relu6:
      return visit(ActivationTag<Activation::relu6>{});
    case Activation::logistic:
      return visit(ActivationTag<Activation::logistic>{});
    case Activation::loggy:
      return visit(ActivationTag<Activation::loggy>{});
    case Activation::mish:
      return visit(ActivationTag<Activation::mish>{});
    case Activation::swish:
      return visit(ActivationTag<Activation::swish>{});
    case Activation::hard_mish:
      return visit(ActivationTag<Activation::hard_mish>{});
    case Activation::tanh:
      return visit(ActivationTag<Activation::tanh>{});
    case Activation::elu:
      return visit(ActivationTag<Activation::elu>{});
    case Activation::selu:
      return visit(ActivationTag<Activation::selu>{});
    case Activation::gelu:
      return visit(ActivationTag<Activation::gelu>{});
    case Activation::relie:
      return visit(ActivationTag<Activation::relie>{});
    case Activation::ramp:
      return visit(ActivationTag<Activation::ramp>{});
  }
  throw Error("activation: not one that rook knows");
}

}  // namespace rook::cpu
