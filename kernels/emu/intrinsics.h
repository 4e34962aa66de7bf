// Arithmetic of the device: bits, conversions with a given rounding, fast functions, min and max. The fast functions
// are exact here, as the device's accuracy (a few ulp) is not something that a kernel may count on.
#pragma once

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "kernels/emu/vector_types.h"

namespace rook::emu {

// ---- bits
inline unsigned __float_as_uint(float v) {
  return std::bit_cast<unsigned>(v);
}
inline int __float_as_int(float v) {
  return std::bit_cast<int>(v);
}
inline float __uint_as_float(unsigned v) {
  return std::bit_cast<float>(v);
}
inline float __int_as_float(int v) {
  return std::bit_cast<float>(v);
}
inline long long __double_as_longlong(double v) {
  return std::bit_cast<long long>(v);
}
inline double __longlong_as_double(long long v) {
  return std::bit_cast<double>(v);
}
inline int __popc(unsigned v) {
  return std::popcount(v);
}
inline int __popcll(unsigned long long v) {
  return std::popcount(v);
}
// Number of the lowest bit that is set, from 1; 0 for 0.
inline int __ffs(int v) {
  return v == 0 ? 0 : std::countr_zero(static_cast<unsigned>(v)) + 1;
}
inline int __ffsll(long long v) {
  return v == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(v)) + 1;
}
inline int __clz(int v) {
  return std::countl_zero(static_cast<unsigned>(v));
}
inline int __clzll(long long v) {
  return std::countl_zero(static_cast<unsigned long long>(v));
}
inline unsigned __brev(unsigned v) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (v >> i & 1u) << (31 - i);
  return reversed;
}
// Bytes of {x, y} (x lower) picked by the four low nibbles of `selector`; bit 3 of a nibble spreads the sign.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = selector >> (4 * i) & 15u;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (pick & 7u))) & 255u;
    if ((pick & 8u) != 0) byte = (byte & 128u) != 0 ? 255u : 0u;
    result |= byte << (8 * i);
  }
  return result;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(std::uint64_t{a} * b >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(std::int64_t{a} * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
// Four products of signed bytes, added to c.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
}

// ---- rounding to nearest, never contracted into a fused operation
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  float product = a * b;
  __asm__("" : "+x"(product));  // else the compiler may fuse it with an addition of the caller
  return product;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float v) {
  return std::sqrt(v);
}
inline float __frcp_rn(float v) {
  return 1.0f / v;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  double product = a * b;
  __asm__("" : "+x"(product));
  return product;
}
inline double __fma_rn(double a, double b, double c) {
  return std::fma(a, b, c);
}
// As the device converts: NaN gives 0, what is too large the nearest that fits.
inline int __float2int_rn(float v) {
  if (v != v) return 0;
  if (v >= 2147483648.0f) return std::numeric_limits<int>::max();
  if (v < -2147483648.0f) return std::numeric_limits<int>::min();
  return static_cast<int>(std::nearbyint(v));
}
inline int __float2int_rz(float v) {
  return v != v ? 0 : __float2int_rn(std::trunc(v));
}
inline int __float2int_rd(float v) {
  return v != v ? 0 : __float2int_rn(std::floor(v));
}
inline int __float2int_ru(float v) {
  return v != v ? 0 : __float2int_rn(std::ceil(v));
}
inline unsigned __float2uint_rn(float v) {
  if (!(v > 0)) return 0;
  return v >= 4294967296.0f ? std::numeric_limits<unsigned>::max() : static_cast<unsigned>(std::nearbyint(v));
}
inline unsigned __float2uint_rz(float v) {
  return v > 0 ? __float2uint_rn(std::trunc(v)) : 0;
}
inline float __int2float_rn(int v) {
  return static_cast<float>(v);
}
inline float __uint2float_rn(unsigned v) {
  return static_cast<float>(v);
}
inline float __saturatef(float v) {
  return v > 0 ? (v < 1 ? v : 1.0f) : 0.0f;  // NaN gives 0
}

// ---- fast functions
inline float __expf(float v) {
  return std::exp(v);
}
inline float __exp10f(float v) {
  return std::pow(10.0f, v);
}
inline float __logf(float v) {
  return std::log(v);
}
inline float __log2f(float v) {
  return std::log2(v);
}
inline float __powf(float a, float b) {
  return std::pow(a, b);
}
inline float __sinf(float v) {
  return std::sin(v);
}
inline float __cosf(float v) {
  return std::cos(v);
}
inline float __tanhf(float v) {
  return std::tanh(v);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float fdividef(float a, float b) {
  return a / b;
}
inline float rsqrtf(float v) {
  return 1.0f / std::sqrt(v);
}
inline float __frsqrt_rn(float v) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(v)));
}
inline double rsqrt(double v) {
  return 1.0 / std::sqrt(v);
}

// ---- min and max, of floats as fminf and fmaxf: a NaN loses
inline int min(int a, int b) {
  return b < a ? b : a;
}
inline int max(int a, int b) {
  return a < b ? b : a;
}
inline unsigned min(unsigned a, unsigned b) {
  return b < a ? b : a;
}
inline unsigned max(unsigned a, unsigned b) {
  return a < b ? b : a;
}
inline long min(long a, long b) {
  return b < a ? b : a;
}
inline long max(long a, long b) {
  return a < b ? b : a;
}
inline unsigned long min(unsigned long a, unsigned long b) {
  return b < a ? b : a;
}
inline unsigned long max(unsigned long a, unsigned long b) {
  return a < b ? b : a;
}
inline long long min(long long a, long long b) {
  return b < a ? b : a;
}
inline long long max(long long a, long long b) {
  return a < b ? b : a;
}
inline unsigned long long min(unsigned long long a, unsigned long long b) {
  return b < a ? b : a;
}
inline unsigned long long max(unsigned long long a, unsigned long long b) {
  return a < b ? b : a;
}
inline float min(float a, float b) {
  return std::fmin(a, b);
}
inline float max(float a, float b) {
  return std::fmax(a, b);
}
inline double min(double a, double b) {
  return std::fmin(a, b);
}
inline double max(double a, double b) {
  return std::fmax(a, b);
}

// ---- memory
template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, T value) {
  *to = value;
}
template <class T>
void __stcg(T* to, T value) {
  *to = value;
}

}  // namespace rook::emu
