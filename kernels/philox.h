// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): random numbers
// that are a pure function of a key and a counter, so that every thread of every device draws the same ones without any
// state.
//
// The key is the user's 64-bit seed. The counter says what the numbers are for:
//   slot       which item: the position of an image in the iteration, a group of four elements, ...
//   draw       which block of four numbers of that item, from 0
//   iteration  training step
//   stream     which user (philox_stream: the kind of use, and its layer), so that no two uses share numbers
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace rook {

struct PhiloxKey {
  std::uint32_t low = 0, high = 0;
};

struct PhiloxCounter {
  std::uint32_t slot = 0, draw = 0, iteration = 0, stream = 0;
};

// Four independent words, each uniform over 0 .. 2^32 - 1.
struct PhiloxBlock {
  std::uint32_t x = 0, y = 0, z = 0, w = 0;
};

struct Uniform4 {
  float x = 0, y = 0, z = 0, w = 0;
};

enum class PhiloxUse : std::uint32_t { augment = 1, dropout = 2, shuffle = 3, initial_weights = 4, synth = 5 };

// The stream word: the kind of use in the upper 8 bits, its layer (or 0) in the lower 24.
ROOK_HOST_DEVICE constexpr std::uint32_t philox_stream(PhiloxUse use, std::uint32_t layer = 0) {
  return (static_cast<std::uint32_t>(use) << 24) | (layer & 0xFFFFFFu);
}

ROOK_HOST_DEVICE constexpr PhiloxKey philox_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

// Ten rounds; multipliers and Weyl increments of the key are the paper's (section 3.3 and table 2).
ROOK_HOST_DEVICE constexpr PhiloxBlock philox(PhiloxKey key, PhiloxCounter counter) {
  std::uint32_t x = counter.slot, y = counter.draw, z = counter.iteration, w = counter.stream;
  std::uint32_t low = key.low, high = key.high;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t even = std::uint64_t{0xD2511F53u} * x;
    const std::uint64_t odd = std::uint64_t{0xCD9E8D57u} * z;
    x = static_cast<std::uint32_t>(odd >> 32) ^ y ^ low;
    y = static_cast<std::uint32_t>(odd);
    z = static_cast<std::uint32_t>(even >> 32) ^ w ^ high;
    w = static_cast<std::uint32_t>(even);
    low += 0x9E3779B9u;
    high += 0xBB67AE85u;
  }
  return {x, y, z, w};
}

// A multiple of 2^-24 in [0, 1): the upper 24 bits, which is all that a float below 1 holds evenly, so it never rounds
// to 1.
ROOK_HOST_DEVICE constexpr float philox_uniform(std::uint32_t word) {
  return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * (1.0f / 16777216.0f);
}

ROOK_HOST_DEVICE constexpr Uniform4 philox_uniform(PhiloxBlock block) {
  return {philox_uniform(block.x), philox_uniform(block.y), philox_uniform(block.z), philox_uniform(block.w)};
}

// An integer in 0 .. bound - 1 by multiplication (bias below bound / 2^32), or 0 when bound is 0.
ROOK_HOST_DEVICE constexpr std::uint32_t philox_below(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((std::uint64_t{word} * bound) >> 32);
}

}  // namespace rook
