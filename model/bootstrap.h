// How much of a difference between two models is the choice of photos: the bootstrap (Efron 1979), paired, over photos.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/evaluate.h"

namespace rook {

struct Interval {
  double difference = 0;     // mAP50 of b minus that of a, on the photos as they are
  double low = 0, high = 0;  // 95 % of the resamples lie between
  double b_better = 0;       // share of the resamples in which b is better; ties count half
  bool noise() const { return low <= 0 && high >= 0; }
};

// `a` and `b` are two models' results on the same photos in the same order. Draws as many photos with replacement,
// `resamples` times, the same for both. The same seed gives the same interval.
Interval bootstrap_map50(std::span<const ImageResult> a, std::span<const ImageResult> b, int classes, int resamples,
                         std::uint64_t seed);

// mAP50 as evaluate() has it, of photos of which photo i occurs copies[i] times.
double map50_with_copies(std::span<const ImageResult> results, int classes, std::span<const int> copies);

}  // namespace rook
