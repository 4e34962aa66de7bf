// What all devices share of Muon: the polynomial, and how far a step goes.
//
// Newton and Schulz, of odd degree 5: x <- (a I + b G + c G^2) x with G = x x^T maps every singular value s of x to
// a s + b s^3 + c s^5 and leaves its directions alone. a is large, so that small singular values grow fast; what is
// near 1 then stays between 0.68 and 1.2, which is as good as 1 for a step (coefficients: Jordan et al., "Muon: an
// optimizer for hidden layers in neural networks", 2024).
//
// Since every factor is a polynomial in the G of the beginning, all of them commute and are symmetric: the devices work
// on the small side alone, with
//   P = a I + b G + c G^2,  Q <- P Q,  G <- P G P
// and multiply x by Q once, at the end. (`ref` takes the steps on x itself.)
#pragma once

#include <cmath>

#include "kernels/host_device.h"

namespace rook {

struct NewtonSchulz {
  static constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;
};

// Sums over a matrix of weights w and its update o.
struct MuonSums {
  double ww = 0, wo = 0, oo = 0;
};

// w <- keep w - turn o.
struct MuonStep {
  float keep = 1, turn = 0;
};

// The step by `rate` of the weights' length, back to that length (formula: MuonUpdate). None where there is no
// direction: no weights, or no update.
ROOK_HOST_DEVICE inline MuonStep muon_step(const MuonSums& sums, double rate) {
  if (!(sums.ww > 0 && sums.oo > 0)) return {};
  const double along = rate * std::sqrt(sums.ww / sums.oo);
  const double after = sums.ww - 2 * along * sums.wo + along * along * sums.oo;
  if (!(after > 0)) return {};  // exactly against the weights
  const double keep = std::sqrt(sums.ww / after);
  return {static_cast<float>(keep), static_cast<float>(keep * along)};
}

}  // namespace rook
