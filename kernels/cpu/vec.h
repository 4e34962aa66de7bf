// The vector of floats that the CPU kernels compute in, by the vector extension of GCC and Clang: kLanes floats, as
// many as a register of the target holds. Storage (f32, bf16) is converted when it is loaded and stored. Everything
// here also exists for a single float, so that a formula is written once.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/bfloat16.h"

namespace rook::cpu {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define ROOK_AVX512
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

using Vec = float __attribute__((vector_size(kLanes * 4)));
using VecInt = std::int32_t __attribute__((vector_size(kLanes * 4)));  // also what comparisons of Vec give
using VecUint = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using VecHalf = std::uint16_t __attribute__((vector_size(kLanes * 2)));  // kLanes bf16

// Between 16 and 32 bits per lane. (GCC 12 takes several instructions where AVX-512 has one; the forms with a mask are
// those that it does not warn about.)
#if defined(ROOK_AVX512)
inline VecUint widen(VecHalf half) {
  return (VecUint)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)half);
}
inline VecHalf narrow(VecUint bits) {
  return (VecHalf)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits);
}
#else
inline VecUint widen(VecHalf half) {
  return __builtin_convertvector(half, VecUint);
}
inline VecHalf narrow(VecUint bits) {
  return __builtin_convertvector(bits, VecHalf);
}
#endif

inline Vec load(const float* source) {
  Vec value;
  std::memcpy(&value, source, sizeof value);
  return value;
}
inline Vec load(const std::uint16_t* source) {
  VecHalf half;
  std::memcpy(&half, source, sizeof half);
  return (Vec)(widen(half) << 16);
}

inline void store(float* destination, Vec value) {
  std::memcpy(destination, &value, sizeof value);
}
// Rounds as float_to_bf16 does.
inline VecHalf to_bf16(Vec value) {
  const VecUint bits = (VecUint)value;
  const VecUint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const VecUint quiet = (bits >> 16) | 0x40u;
  return narrow(value != value ? quiet : rounded);
}
inline void store(std::uint16_t* destination, Vec value) {
  const VecHalf half = to_bf16(value);
  std::memcpy(destination, &half, sizeof half);
}

// The first `count` lanes, 0 < count < kLanes; loads give 0 in the others.
#if defined(ROOK_AVX512)
inline Vec load_partial(const float* source, int count) {
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), source);
}
inline Vec load_partial(const std::uint16_t* source, int count) {
  const __m256i half = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), source);
  return (Vec)(widen((VecHalf)half) << 16);
}
inline void store_partial(float* destination, int count, Vec value) {
  _mm512_mask_storeu_ps(destination, static_cast<__mmask16>((1u << count) - 1), (__m512)value);
}
inline void store_partial(std::uint16_t* destination, int count, Vec value) {
  _mm256_mask_storeu_epi16(destination, static_cast<__mmask16>((1u << count) - 1), (__m256i)to_bf16(value));
}
#else
#if defined(__AVX2__)
// Stores have a mask too, but one that takes AMD's processors tens of cycles.
inline Vec load_partial(const float* source, int count) {
  const VecInt lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return (Vec)_mm256_maskload_ps(source, (__m256i)(lane < count));
}
#endif
template <class T>
Vec load_partial(const T* source, int count) {
  T lanes[kLanes] = {};
  for (int i = 0; i < count; ++i) lanes[i] = source[i];
  return load(lanes);
}
template <class T>
void store_partial(T* destination, int count, Vec value) {
  T lanes[kLanes];
  store(lanes, value);
  for (int i = 0; i < count; ++i) destination[i] = lanes[i];
}
#endif

// The same number in every lane.
template <class V>
V splat(float value) {
  return value - V{};
}
template <>
inline float splat<float>(float value) {
  return value;
}

// `yes` where the comparison held, else `no`.
inline Vec select(VecInt mask, Vec yes, Vec no) {
  return mask ? yes : no;
}
inline float select(bool mask, float yes, float no) {
  return mask ? yes : no;
}

inline VecUint bits_of(Vec value) {
  return (VecUint)value;
}
inline std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
inline Vec from_bits(VecUint bits) {
  return (Vec)bits;
}
inline float from_bits(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

#if defined(ROOK_AVX512)
inline Vec sqrt(Vec value) {
  return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)value);
}
#elif defined(__AVX2__)
inline Vec sqrt(Vec value) {
  return (Vec)_mm256_sqrt_ps((__m256)value);
}
#elif defined(__SSE2__)
inline Vec sqrt(Vec value) {
  return (Vec)_mm_sqrt_ps((__m128)value);
}
#else
inline Vec sqrt(Vec value) {
  for (int i = 0; i < kLanes; ++i) value[i] = std::sqrt(value[i]);
  return value;
}
#endif

inline float sum_of_lanes(Vec value) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += value[i];
  return sum;
}

// out[i] = f(in[i]...) for i in [0, count). Inputs may be the output itself, but not overlap it otherwise.
template <class F, class Out, class... In>
inline void map(std::int64_t count, F f, Out* out, const In*... in) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(in + i)...));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) store_partial(out + i, rest, f(load_partial(in + i, rest)...));
}

// For `map`.
constexpr auto kAdd = [](Vec a, Vec b) { return a + b; };
constexpr auto kMultiply = [](Vec a, Vec b) { return a * b; };

// out[i] = f(in[i]...), or += when `accumulate`.
template <class F, class Out, class... In>
inline void map_gradient(bool accumulate, std::int64_t count, F f, Out* out, const In*... in) {
  if (accumulate) {
    map(
        count, [f](Vec before, auto... values) { return before + f(values...); }, out, const_cast<const Out*>(out),
        in...);
  } else {
    map(count, f, out, in...);
  }
}

}  // namespace rook::cpu
