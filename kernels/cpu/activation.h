// Activations and their derivatives in float, compiled for each activation, for one float or a vector of them
// (darknet.md 4). Relative error about 1e-7 without a call to libm; act(NaN) is NaN.
#pragma once

#include <cmath>

#include "kernels/activation_math.h"
#include "kernels/cpu/vec.h"

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

inline float floor_of(float x) {
  return std::floor(x);
}
// From 2^23 on every float is whole, and beyond 2^31 none fits an integer.
inline Vec floor_of(Vec x) {
  const Vec cut = __builtin_convertvector(__builtin_convertvector(x, VecInt), Vec);
  return select(absolute(x) < splat<Vec>(0x1p23f), select(cut > x, cut - 1.0f, cut), x);
}

// The arithmetic of kernels/activation_math.h.
template <class V>
struct Math {
  static V exp(V x) { return exp_of(x); }
  static V exp_minus_one(V x) { return cpu::exp_minus_one(x); }
  static V divide(V a, V b) { return a / b; }
  static V absolute(V x) { return cpu::absolute(x); }
  static V floor(V x) { return floor_of(x); }
  static V splat(float value) { return cpu::splat<V>(value); }
  template <class Comparison>
  static V select(Comparison comparison, V yes, V no) {
    return cpu::select(comparison, yes, no);
  }
};

template <class V>
V logistic(V x) {
  return rook::logistic<Math<V>>(x);
}

// act(x).
template <Activation A, class V>
V act(V x) {
  return activation_of<A, Math<V>>(x);
}

// d act(x) / dx.
template <Activation A, class V>
V dact(V x) {
  return activation_slope<A, Math<V>>(x);
}

// What a loop is compiled for: value(x) is act(x) and slope(x) its derivative, of an activation known when it is
// compiled.
template <Activation A>
struct FixedActivation {
  Vec value(const Vec& x) const { return act<A>(x); }
  Vec slope(const Vec& x) const { return dact<A>(x); }
};

// An activation that hardly any network has: no loops of its own, but a switch for every vector.
struct RareActivation {
  Activation activation;
  Vec value(const Vec& x) const;
  Vec slope(const Vec& x) const;
};

// Calls visit(FixedActivation | RareActivation) for the activation that is known at run time. Loops for each of the
// nineteen would be most of what the kernels take to compile; the results are the same.
template <class Visitor>
void with_activation(Activation activation, Visitor visit) {
  switch (activation) {
    case Activation::linear:
      return visit(FixedActivation<Activation::linear>{});
    case Activation::leaky:
      return visit(FixedActivation<Activation::leaky>{});
    case Activation::relu:
      return visit(FixedActivation<Activation::relu>{});
    case Activation::logistic:
      return visit(FixedActivation<Activation::logistic>{});
    case Activation::mish:
      return visit(FixedActivation<Activation::mish>{});
    case Activation::swish:
      return visit(FixedActivation<Activation::swish>{});
    default:
      check_activation(activation);
      return visit(RareActivation{activation});
  }
}

}  // namespace rook::cpu
