// Activations and their derivatives in double (darknet.md 4).
#pragma once

#include <cmath>

#include "base/error.h"
#include "kernels/types.h"

namespace rook::ref {

inline double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// ln(1 + e^x)
inline double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

inline constexpr double kSeluScale = 1.0507, kSeluAlpha = 1.6732;
inline constexpr double kGelu1 = 0.797885, kGelu3 = 0.035677;

inline double act(Activation activation, double x) {
  switch (activation) {
    case Activation::linear:
      return x;
    case Activation::leaky:
      return x > 0 ? x : 0.1 * x;
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::relu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::logistic:
      return logistic(x);
    case Activation::loggy:
      return 2 * logistic(x) - 1;
    case Activation::mish:
      return x * std::tanh(softplus(x));
    case Activation::swish:
      return x * logistic(x);
    case Activation::hard_mish:
      return x > 0 ? x : x <= -2 ? 0 : x * x / 2 + x;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::elu:
      return x < 0 ? std::expm1(x) : x;
    case Activation::selu:
      return kSeluScale * (x < 0 ? kSeluAlpha * std::expm1(x) : x);
    case Activation::gelu:
      // x / 2 (1 + tanh(u)) = x sigma(2 u), which keeps its digits where tanh(u) is near -1.
      return x * logistic(2 * (kGelu1 * x + kGelu3 * x * x * x));
    case Activation::relie:
      return x > 0 ? x : 0.01 * x;
    case Activation::ramp:
      return (x < 0 ? 0 : x) + 0.1 * x;
    case Activation::plse:
      return x < -4 ? 0.01 * (x + 4) : x > 4 ? 1 + 0.01 * (x - 4) : 0.125 * x + 0.5;
    case Activation::stair: {
      const double whole = std::floor(x);
      return std::floor(x / 2) + (std::fmod(whole, 2) == 0 ? 0 : x - whole);
    }
    case Activation::hardtan:
      return x < -1 ? -1 : x > 1 ? 1 : x;
    case Activation::lhtan:
      return x < 0 ? 0.001 * x : x > 1 ? 1 + 0.001 * (x - 1) : x;
  }
  throw Error("activation: not one that rook knows");
}

// d act(x) / dx; at a kink, the value that darknet takes.
inline double dact(Activation activation, double x) {
  switch (activation) {
    case Activation::linear:
      return 1;
    case Activation::leaky:
      return x > 0 ? 1 : 0.1;
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::relu6:
      return x > 0 && x < 6 ? 1 : 0;
    case Activation::logistic:
      return logistic(x) * logistic(-x);
    case Activation::loggy:
      return 2 * logistic(x) * logistic(-x);
    case Activation::mish: {
      const double t = std::tanh(softplus(x));
      return t + x * (1 - t * t) * logistic(x);
    }
    case Activation::swish:
      return logistic(x) * (1 + x * logistic(-x));
    case Activation::hard_mish:
      return x > 0 ? 1 : x <= -2 ? 0 : x + 1;
    case Activation::tanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Activation::elu:
      return x < 0 ? std::exp(x) : 1;
    case Activation::selu:
      return kSeluScale * (x < 0 ? kSeluAlpha * std::exp(x) : 1);
    case Activation::gelu: {
      const double u = kGelu1 * x + kGelu3 * x * x * x;
      return logistic(2 * u) + x * logistic(2 * u) * logistic(-2 * u) * 2 * (kGelu1 + 3 * kGelu3 * x * x);
    }
    case Activation::relie:
      return x > 0 ? 1 : 0.01;
    case Activation::ramp:
      return x > 0 ? 1.1 : 0.1;
    case Activation::plse:
      return x < -4 || x > 4 ? 0.01 : 0.125;
    case Activation::stair:
      return std::floor(x) == x || std::fmod(std::floor(x), 2) == 0 ? 0 : 1;
    case Activation::hardtan:
      return x > -1 && x < 1 ? 1 : 0;
    case Activation::lhtan:
      return x > 0 && x < 1 ? 1 : 0.001;
  }
  throw Error("activation: not one that rook knows");
}

}  // namespace rook::ref
