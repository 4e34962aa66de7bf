// __half: conversions and arithmetic round to nearest, ties to even; a NaN becomes 0x7fff, as on the device.
#pragma once

#include <bit>
#include <cstdint>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels/emu/vector_types.h"

namespace rook::emu {

struct __half_raw {
  unsigned short x;
};

struct __half {
  unsigned short bits;

  __half() = default;
  constexpr __half(__half_raw raw) : bits(raw.x) {}
  constexpr __half(float value) : bits(round(value)) {}
  constexpr __half(double value) : bits(round(odd(value))) {}
  constexpr __half(int value) : bits(round(odd(static_cast<double>(value)))) {}
  constexpr __half(unsigned value) : bits(round(odd(static_cast<double>(value)))) {}
  constexpr operator __half_raw() const { return {bits}; }
  constexpr operator float() const {
#ifdef __F16C__
    if (!std::is_constant_evaluated()) return _cvtsh_ss(bits);
#endif
    return widen(bits);
  }

  static constexpr unsigned short round(float value) {
#ifdef __F16C__
    if (!std::is_constant_evaluated())
      return value == value ? static_cast<unsigned short>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)) : 0x7fff;
#endif
    return narrow(value);
  }

  // The same by integer arithmetic, where the processor has no conversions.
  static constexpr unsigned short narrow(float value) {
    const auto wide = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = wide >> 16 & 0x8000u;
    const std::uint32_t magnitude = wide & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude >= 0x47800000u) return static_cast<unsigned short>(sign | 0x7c00u);  // 2^16 and more
    std::uint32_t kept = 0;
    std::uint32_t lost = 0;
    std::uint32_t half = 0;
    if (magnitude >= 0x38800000u) {  // normal: from 2^-14
      kept = (magnitude - 0x38000000u) >> 13;
      lost = magnitude & 0x1fffu;
      half = 0x1000u;
    } else if (magnitude >= 0x33000000u) {  // subnormal: from half of the smallest, 2^-25
      const std::uint32_t shift = 126 - (magnitude >> 23);
      const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
      kept = significand >> shift;
      lost = significand & ((1u << shift) - 1);
      half = 1u << (shift - 1);
    }
    if (lost > half || (lost == half && half != 0 && (kept & 1u) != 0)) ++kept;  // may carry into the exponent
    return static_cast<unsigned short>(sign | kept);
  }
  static constexpr float widen(unsigned short narrow_bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(narrow_bits & 0x8000u) << 16;
    const std::uint32_t exponent = narrow_bits >> 10 & 31u;
    const std::uint32_t fraction = narrow_bits & 0x3ffu;
    if (exponent == 31) {
      const std::uint32_t quiet = fraction != 0 ? 0x400000u : 0;
      return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13 | quiet);
    }
    if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
    const float tiny = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(tiny));
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

struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline __half __float2half(float v) {
  return {v};
}
inline __half __float2half_rn(float v) {
  return {v};
}
inline __half __double2half(double v) {
  return {v};
}
inline __half __int2half_rn(int v) {
  return {v};
}
inline float __half2float(__half v) {
  return v;
}
inline unsigned short __half_as_ushort(__half v) {
  return v.bits;
}
inline __half __ushort_as_half(unsigned short v) {
  return __half_raw{v};
}
inline __half2 __floats2half2_rn(float x, float y) {
  return {x, y};
}
inline __half2 __float22half2_rn(float2 v) {
  return {v.x, v.y};
}
inline __half2 __float2half2_rn(float v) {
  return {v, v};
}
inline __half2 __half2half2(__half v) {
  return {v, v};
}
inline __half2 __halves2half2(__half x, __half y) {
  return {x, y};
}
inline __half2 make_half2(__half x, __half y) {
  return {x, y};
}
inline float2 __half22float2(__half2 v) {
  return {v.x, v.y};
}
inline __half __low2half(__half2 v) {
  return v.x;
}
inline __half __high2half(__half2 v) {
  return v.y;
}
inline float __low2float(__half2 v) {
  return v.x;
}
inline float __high2float(__half2 v) {
  return v.y;
}

// Two halves have 11 significant bits each: rounding the float result once more gives the correctly rounded result.
inline __half operator+(__half a, __half b) {
  return {static_cast<float>(a) + static_cast<float>(b)};
}
inline __half operator-(__half a, __half b) {
  return {static_cast<float>(a) - static_cast<float>(b)};
}
inline __half operator*(__half a, __half b) {
  return {static_cast<float>(a) * static_cast<float>(b)};
}
inline __half operator/(__half a, __half b) {
  return {static_cast<float>(a) / static_cast<float>(b)};
}
inline __half operator-(__half a) {
  return __half_raw{static_cast<unsigned short>(a.bits ^ 0x8000u)};
}
inline bool operator==(__half a, __half b) {
  return static_cast<float>(a) == static_cast<float>(b);
}
inline bool operator<(__half a, __half b) {
  return static_cast<float>(a) < static_cast<float>(b);
}
inline bool operator>(__half a, __half b) {
  return static_cast<float>(a) > static_cast<float>(b);
}
inline bool operator<=(__half a, __half b) {
  return static_cast<float>(a) <= static_cast<float>(b);
}
inline bool operator>=(__half a, __half b) {
  return static_cast<float>(a) >= static_cast<float>(b);
}
inline __half __hadd(__half a, __half b) {
  return a + b;
}
inline __half __hmul(__half a, __half b) {
  return a * b;
}

}  // namespace rook::emu
