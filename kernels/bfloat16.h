// bfloat16: the upper half of an IEEE binary32, stored as std::uint16_t. Plain integer operations, which every compiler
// turns into vector code. AVX512-BF16's conversion, which flushes subnormal numbers to zero, is used inside of products
// alone (kernels/cpu/conv_winograd_math.h), never for what a tensor stores: machines would store different bits.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace rook {

inline float bf16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(std::uint32_t{value} << 16);
}

// Rounds to nearest, ties to even; overflow gives infinity; a NaN stays a NaN (made quiet) and keeps its sign.
inline std::uint16_t float_to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (bits >> 16) | 0x40u;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

inline void bf16_to_float(const std::uint16_t* source, float* destination, std::size_t count) {
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) destination[i] = bf16_to_float(source[i]);
}

inline void float_to_bf16(const float* source, std::uint16_t* destination, std::size_t count) {
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) destination[i] = float_to_bf16(source[i]);
}

}  // namespace rook
