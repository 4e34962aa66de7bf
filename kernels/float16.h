// IEEE binary16, stored as std::uint16_t, on the host. Plain integer operations, so that every compiler and machine
// gives the same bits.
#pragma once

#include <bit>
#include <cstdint>

namespace rook {

inline float f16_to_float(std::uint16_t value) {
  const std::uint32_t sign = (value & 0x8000u) << 16, magnitude = value & 0x7fffu;
  constexpr std::uint32_t kRebias = (127u - 15u) << 23;
  if (magnitude < 0x400u) {  // zero and subnormal numbers: multiples of 2^-24
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
  }
  const std::uint32_t exponent = magnitude >= 0x7c00u ? 2 * kRebias : kRebias;  // infinity and NaN have the largest
  return std::bit_cast<float>(sign | ((magnitude << 13) + exponent));
}

// Rounds to nearest, ties to even; overflow gives infinity; a NaN stays a NaN (made quiet) and keeps its sign.
inline std::uint16_t float_to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x1ffu);
  } else if (magnitude >= 0x47800000u) {  // 2^16
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal number
    half = (magnitude - ((127u - 15u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  } else {
    // A unit in the last place of 0.5f is that of a subnormal f16, 2^-24, so the addition rounds as it should.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  }
  return static_cast<std::uint16_t>(sign | half);
}

}  // namespace rook
