// Sums of products in registers, what every matrix product is made of. A lane is 32 bits: one f32, or two bf16 that lie
// side by side along the sum, which one instruction multiplies and adds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/vec.h"

namespace rook::cpu {

struct MathF32 {
  using Storage = float;
  static constexpr int kDepth = 1;  // terms of the sum in a lane
  static Vec multiply_add(Vec sum, Vec a, Vec b) {
#if defined(ROOK_AVX512)
    return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#else
    return sum + a * b;
#endif
  }
  static void store_rounded(float* to, Vec value) {
    store(to, value);
  }
  static Vec lanes(const Vec (&terms)[kDepth]) {
    return terms[0];
  }
};

#if defined(ROOK_AVX512) && defined(__AVX512BF16__)
#define ROOK_AVX512_BF16
struct MathBf16 {
  using Storage = std::uint16_t;
  static constexpr int kDepth = 2;
  static Vec multiply_add(Vec sum, Vec a, Vec b) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }
  static void store_rounded(std::uint16_t* to, Vec value) {
    const auto half = _mm512_cvtneps_pbh((__m512)value);
    std::memcpy(to, &half, sizeof half);
  }
  // Lane i holds terms[0][i] and terms[1][i].
  static Vec lanes(const Vec (&terms)[kDepth]) {
    alignas(64) static constexpr std::uint16_t kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                                  21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                                  11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const auto both = _mm512_cvtne2ps_pbh((__m512)terms[1], (__m512)terms[0]);
    return (Vec)_mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), (__m512i)both);
  }
};
#endif

// The lane at `source` in all lanes, bit by bit: it may be a pair of bf16.
inline Vec broadcast(const float* source) {
  std::uint32_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return (Vec)(VecUint{} + bits);
}

// Of a value that is used several times: that it is loaded once. (GCC else reads it from memory at each use, and the
// loads become what the loop waits for.)
inline void keep_in_register([[maybe_unused]] Vec& value) {
#if defined(ROOK_AVX512)
  asm("" : "+v"(value));
#elif defined(__AVX2__)
  asm("" : "+x"(value));
#endif
}

// Registers for sums: rows x columns of a microkernel's result, a column being kLanes wide.
#if defined(ROOK_AVX512)
inline constexpr int kSumRegisters = 24, kMaxColumns = 4;
#else
inline constexpr int kSumRegisters = 12, kMaxColumns = 2;
#endif
inline constexpr int kMaxRows = 12;
constexpr int max_rows(int columns) {
  return std::min(kMaxRows, kSumRegisters / columns);
}

// Rows x Columns sums in registers. (GCC keeps an array in registers only if every loop over it is unrolled early, and
// if it begins as zeros rather than as what lies in memory.)
template <class Math, int Rows, int Columns>
struct Sums {
  static constexpr int kWidth = Columns * kLanes;
  Vec at[Rows][Columns];

  void clear() {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) at[i][j] = Vec{};
  }
  // Rows lie `pitch` floats apart.
  void store_to(float* m, std::ptrdiff_t pitch = kWidth) const {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) store(m + i * pitch + j * kLanes, at[i][j]);
  }
  void add_to(float* m, std::ptrdiff_t pitch = kWidth) const {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) store(m + i * pitch + j * kLanes, load(m + i * pitch + j * kLanes) + at[i][j]);
  }
  // One step: lanes a[i * a_row] of the rows, b of the columns.
  void add(const float* a, std::ptrdiff_t a_row, const float* b) {
    Vec column[Columns];
#pragma GCC unroll 4
    for (int j = 0; j < Columns; ++j) {
      column[j] = load(b + j * kLanes);
      keep_in_register(column[j]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec row = broadcast(a + i * a_row);
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) at[i][j] = Math::multiply_add(at[i][j], row, column[j]);
    }
  }
};

}  // namespace rook::cpu
