// __nv_bfloat16: conversions and arithmetic round to nearest, ties to even; a NaN becomes 0x7fff, as on the device.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/emu/vector_types.h"

namespace rook::emu {

struct __nv_bfloat16_raw {
  unsigned short x;
};

struct __nv_bfloat16 {
  unsigned short bits;

  __nv_bfloat16() = default;
  constexpr __nv_bfloat16(__nv_bfloat16_raw raw) : bits(raw.x) {}
  constexpr __nv_bfloat16(float value) : bits(round(value)) {}
  constexpr __nv_bfloat16(double value) : bits(round(odd(value))) {}
  constexpr __nv_bfloat16(int value) : bits(round(odd(static_cast<double>(value)))) {}
  constexpr __nv_bfloat16(unsigned value) : bits(round(odd(static_cast<double>(value)))) {}
  constexpr operator __nv_bfloat16_raw() const { return {bits}; }
  constexpr operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

  static constexpr unsigned short round(float value) {
    const auto wide = std::bit_cast<std::uint32_t>(value);
    if ((wide & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<unsigned short>((wide + 0x7fffu + (wide >> 16 & 1u)) >> 16);
  }
  // A float that rounds to the same as `value` does: truncated, with its last bit set when anything was lost.
  static constexpr float odd(double value) {
    const float near = static_cast<float>(value);
    if (static_cast<double>(near) == value || value != value) return near;
    auto wide = std::bit_cast<std::uint32_t>(near);
    const double distance = static_cast<double>(near) - value;
    const bool is_farther_out = value > 0 ? distance > 0 : distance < 0;
    if (is_farther_out) --wide;  // truncate
    return std::bit_cast<float>(wide | 1u);
  }
};

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float v) {
  return {v};
}
inline __nv_bfloat16 __float2bfloat16_rn(float v) {
  return {v};
}
inline __nv_bfloat16 __float2bfloat16_rz(float v) {
  const auto wide = std::bit_cast<std::uint32_t>(v);
  return v != v ? __nv_bfloat16_raw{0x7fff} : __nv_bfloat16_raw{static_cast<unsigned short>(wide >> 16)};
}
inline __nv_bfloat16 __double2bfloat16(double v) {
  return {v};
}
inline __nv_bfloat16 __int2bfloat16_rn(int v) {
  return {v};
}
inline float __bfloat162float(__nv_bfloat16 v) {
  return v;
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v) {
  return v.bits;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short v) {
  return __nv_bfloat16_raw{v};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {x, y};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) {
  return {v.x, v.y};
}
inline __nv_bfloat162 __float2bfloat162_rn(float v) {
  return {v, v};
}
inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 v) {
  return {v, v};
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
  return {x, y};
}
inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
  return {x, y};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {v.x, v.y};
}
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) {
  return v.x;
}
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) {
  return v.y;
}
inline float __low2float(__nv_bfloat162 v) {
  return v.x;
}
inline float __high2float(__nv_bfloat162 v) {
  return v.y;
}

// Two bfloat16 numbers have 8 significant bits each: the float result is exact (*) or close enough (+, -, /) that
// rounding it once more gives the correctly rounded result.
inline __nv_bfloat16 operator+(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {static_cast<float>(a) + static_cast<float>(b)};
}
inline __nv_bfloat16 operator-(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {static_cast<float>(a) - static_cast<float>(b)};
}
inline __nv_bfloat16 operator*(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {static_cast<float>(a) * static_cast<float>(b)};
}
inline __nv_bfloat16 operator/(__nv_bfloat16 a, __nv_bfloat16 b) {
  return {static_cast<float>(a) / static_cast<float>(b)};
}
inline __nv_bfloat16 operator-(__nv_bfloat16 a) {
  return __nv_bfloat16_raw{static_cast<unsigned short>(a.bits ^ 0x8000u)};
}
inline bool operator==(__nv_bfloat16 a, __nv_bfloat16 b) {
  return static_cast<float>(a) == static_cast<float>(b);
}
inline bool operator<(__nv_bfloat16 a, __nv_bfloat16 b) {
  return static_cast<float>(a) < static_cast<float>(b);
}
inline bool operator>(__nv_bfloat16 a, __nv_bfloat16 b) {
  return static_cast<float>(a) > static_cast<float>(b);
}
inline bool operator<=(__nv_bfloat16 a, __nv_bfloat16 b) {
  return static_cast<float>(a) <= static_cast<float>(b);
}
inline bool operator>=(__nv_bfloat16 a, __nv_bfloat16 b) {
  return static_cast<float>(a) >= static_cast<float>(b);
}
inline __nv_bfloat16 __hadd(__nv_bfloat16 a, __nv_bfloat16 b) {
  return a + b;
}
inline __nv_bfloat16 __hmul(__nv_bfloat16 a, __nv_bfloat16 b) {
  return a * b;
}

}  // namespace rook::emu
