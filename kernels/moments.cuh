// Mean and spread of parts of a channel, and how they come together: what batch norm adds up, and what a convolution
// may hand over with its output.
#pragma once

#include "kernels/device.cuh"

namespace rook::ROOK_GPU {

// Of `count` values: their mean, and the sum of their squared deviations from it.
struct Moments {
  float mean, deviations, count;
};

// Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979). Nothing
// cancels, however large the mean is.
struct MergeMoments {
  __device__ __forceinline__ void operator()(Moments& into, const Moments& other) const {
    const float count = into.count + other.count;
    const float weight = other.count > 0 ? other.count / count : 0;
    const float delta = other.mean - into.mean;
    into.mean += delta * weight;
    into.deviations += other.deviations + delta * delta * into.count * weight;
    into.count = count;
  }
};

// Moments of values near `shift`, from the sums of their differences from it and of the squares of these.
__device__ __forceinline__ Moments moments_of(float shift, float sum, float squares, float count) {
  const float mean = count > 0 ? sum / count : 0;
  const float deviations = squares - sum * mean;
  return {shift + mean, deviations < 0 ? 0 : deviations, count};  // rounding can leave a little less than 0
}

// What a pass over the output leaves per channel and block: blocks of `pixels_per_block` pixels, the last one of what
// remains.
struct PartialMoments {
  struct Part {
    float shift, mean, deviations;  // mean is that of value - shift: where |mean| >> std, one float does not hold both
  };
  Part* of;  // [K, blocks]
  int blocks;
  std::int64_t pixels_per_block;
};

}  // namespace rook::ROOK_GPU
