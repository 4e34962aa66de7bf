// Random numbers of one picture: Philox counted upwards, keyed by the seed and the picture, so that a picture does not
// depend on which thread draws it nor on the pictures before it.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "kernels/philox.h"

namespace rook::synth {

class Random {
 public:
  // `layer` keeps apart what is drawn for different ends of the same picture.
  Random(std::uint64_t seed, std::uint32_t picture, std::uint32_t layer)
      : key_(philox_key(seed)), counter_{.slot = picture, .stream = philox_stream(PhiloxUse::synth, layer)} {}

  std::uint32_t word() {
    if (left_ == 0) {
      block_ = philox(key_, counter_);
      ++counter_.draw;
      left_ = 4;
    }
    const std::uint32_t words[] = {block_.w, block_.z, block_.y, block_.x};
    return words[--left_];
  }
  // In [0, 1), or [from, to).
  float uniform() { return philox_uniform(word()); }
  float uniform(float from, float to) { return from + (to - from) * uniform(); }
  bool chance(float probability) { return uniform() < probability; }
  // 0 .. bound - 1
  int below(int bound) { return static_cast<int>(philox_below(word(), static_cast<std::uint32_t>(bound))); }
  // Standard normal (Box and Muller).
  float normal() {
    const float radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(6.2831853f * uniform());
  }
  // An index, as often as its weight says.
  int pick(std::span<const float> weights) {
    float sum = 0;
    for (const float w : weights) sum += w;
    float at = uniform() * sum;
    for (std::size_t i = 0; i + 1 < weights.size(); ++i) {
      if (at < weights[i]) return static_cast<int>(i);
      at -= weights[i];
    }
    return static_cast<int>(weights.size()) - 1;
  }

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;
  PhiloxBlock block_;
  int left_ = 0;
};

}  // namespace rook::synth
