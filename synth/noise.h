// Value noise: smooth random functions of the plane and of space, for wood, cloth and stone.
#pragma once

#include <cstdint>

#include "synth/vec.h"

namespace rook::synth {

// A lattice point's value in [0, 1): the finalizer of MurmurHash3 over its coordinates.
inline float lattice_value(int x, int y, int z) {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x8DA6B343u ^ static_cast<std::uint32_t>(y) * 0xD8163841u ^
                    static_cast<std::uint32_t>(z) * 0xCB1AB31Fu;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return static_cast<float>(h >> 8) * (1.0f / 16777216.0f);
}

// In [0, 1), one feature per unit.
inline float value_noise(Vec3 p) {
  const float fx = std::floor(p.x), fy = std::floor(p.y), fz = std::floor(p.z);
  const int x = static_cast<int>(fx), y = static_cast<int>(fy), z = static_cast<int>(fz);
  const auto ease = [](float t) { return t * t * (3 - 2 * t); };
  const float u = ease(p.x - fx), v = ease(p.y - fy), w = ease(p.z - fz);
  const auto row = [&](int dy, int dz) {
    return mix(lattice_value(x, y + dy, z + dz), lattice_value(x + 1, y + dy, z + dz), u);
  };
  return mix(mix(row(0, 0), row(1, 0), v), mix(row(0, 1), row(1, 1), v), w);
}

// Octaves of falling amplitude; in [0, 1).
inline float fractal_noise(Vec3 p, int octaves) {
  float sum = 0, amplitude = 0.5f, total = 0;
  for (int i = 0; i < octaves; ++i) {
    sum += amplitude * value_noise(p);
    total += amplitude;
    amplitude *= 0.5f;
    p = p * 2.03f + Vec3{17.1f, 5.7f, 9.3f};
  }
  return sum / total;
}

// How far along and across the rings of a tree a point of the grain lies: 0..1 light to dark.
inline float wood_grain(Vec3 p) {
  const float bend = fractal_noise(p * 0.7f, 2);
  const float rings = (p.x + 0.9f * bend) * 9;
  const float ring = rings - std::floor(rings);
  const float fibre = value_noise({p.x * 60, p.y * 3, p.z * 60});
  return clamp01(0.55f * (ring < 0.7f ? ring / 0.7f : (1 - ring) / 0.3f) + 0.35f * fibre + 0.2f * bend);
}

}  // namespace rook::synth
