// bf16 and f16 against rounding that is computed from the list of all values, and arithmetic of the device.
#include <bit>
#include <cmath>
#include <limits>

#include "tests/emu/support.h"

namespace rook::emu::test {
namespace {

// The value of a format with `exponent_bits` and `fraction_bits`, by the definition of IEEE 754.
double value_of(unsigned bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned fraction = bits & ((1u << fraction_bits) - 1);
  const int exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double sign = (bits >> 15 & 1u) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(fraction + (1u << fraction_bits), exponent - bias - fraction_bits);
}

// Between each positive value and the next: the value itself, just below the middle, the middle (to even), just above.
template <class T>
void check_rounding(int exponent_bits, int fraction_bits) {
  const unsigned infinity = ((1u << exponent_bits) - 1) << fraction_bits;
  for (unsigned bits = 0; bits < infinity; ++bits) {
    const double low = value_of(bits, exponent_bits, fraction_bits);
    const double next = bits + 1 < infinity ? value_of(bits + 1, exponent_bits, fraction_bits)
                                            : 2 * low - value_of(bits - 1, exponent_bits, fraction_bits);
    const double middle = low + (next - low) / 2;
    const auto middle_f = static_cast<float>(middle);
    const unsigned even = (bits & 1u) == 0 ? bits : bits + 1;
    for (const unsigned sign : {0u, 0x8000u}) {
      const float s = sign != 0 ? -1.0f : 1.0f;
      REQUIRE(T(s * static_cast<float>(low)).bits == (bits | sign));
      if (static_cast<double>(middle_f) == middle) {  // not below the smallest float
        REQUIRE(T(s * middle_f).bits == (even | sign));
        REQUIRE(T(s * std::nextafter(middle_f, 0.0f)).bits == (bits | sign));
        REQUIRE(T(s * std::nextafter(middle_f, std::numeric_limits<float>::infinity())).bits == ((bits + 1) | sign));
      }
      const double s2 = sign != 0 ? -1.0 : 1.0;
      REQUIRE(T(s2 * middle).bits == (even | sign));
      REQUIRE(T(s2 * std::nextafter(middle, 0.0)).bits == (bits | sign));
      REQUIRE(T(s2 * std::nextafter(middle, std::numeric_limits<double>::infinity())).bits == ((bits + 1) | sign));
    }
    REQUIRE(static_cast<double>(static_cast<float>(std::bit_cast<T>(static_cast<unsigned short>(bits)))) == low);
  }
}

TEST_CASE("bf16 and f16 round to nearest, ties to even, at every value") {
  check_rounding<__nv_bfloat16>(8, 7);
  check_rounding<__half>(5, 10);
}

TEST_CASE("infinities and NaNs of bf16 and f16") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(__float2half_rn(infinity).bits == 0x7c00);
  CHECK(__float2half_rn(-infinity).bits == 0xfc00);
  CHECK(__float2half_rn(65519.99f).bits == 0x7bff);
  CHECK(__float2half_rn(65520.0f).bits == 0x7c00);
  CHECK(__float2half_rn(-1e30f).bits == 0xfc00);
  CHECK(__float2bfloat16_rn(infinity).bits == 0x7f80);
  CHECK(__float2bfloat16_rn(std::numeric_limits<float>::max()).bits == 0x7f80);
  for (const float v : {nan, -nan, std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffffffffu)}) {
    CHECK(__float2half_rn(v).bits == 0x7fff);
    CHECK(__float2bfloat16_rn(v).bits == 0x7fff);
  }
  CHECK(std::isnan(__half2float(std::bit_cast<__half>(static_cast<unsigned short>(0xffff)))));
  CHECK(std::isnan(__bfloat162float(std::bit_cast<__nv_bfloat16>(static_cast<unsigned short>(0xffff)))));
}

TEST_CASE("f16 by integers is f16 by the processor") {
  for (std::uint64_t wide = 0; wide <= 0xffffffffu; wide += 4093) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(wide));
    REQUIRE(__half::narrow(value) == __half(value).bits);
  }
  for (unsigned bits = 0; bits < 0x10000u; ++bits) {
    const auto narrow = static_cast<unsigned short>(bits);
    const float by_integers = __half::widen(narrow);
    const float converted = std::bit_cast<__half>(narrow);
    REQUIRE(std::bit_cast<std::uint32_t>(by_integers) == std::bit_cast<std::uint32_t>(converted));
  }
}

TEST_CASE("pairs and arithmetic of 16-bit floats") {
  const __half2 h = __floats2half2_rn(1.5f, -2.0f);
  CHECK(__half22float2(h).y == -2.0f);
  CHECK(__low2float(h) == 1.5f);
  const __nv_bfloat162 b = __floats2bfloat162_rn(3.0f, 4.0f);
  CHECK(static_cast<float>(__hmul(b.x, b.y)) == 12.0f);
  CHECK(static_cast<float>(b.x + b.y) == 7.0f);
  CHECK(static_cast<float>(__half(2049.0f)) == 2048.0f);
  CHECK(static_cast<float>(__half(2048.0f) + __half(1.0f)) == 2048.0f);
  CHECK((-h.x).bits == 0xbe00);
  CHECK(h.y < h.x);
  CHECK(sizeof(__half2) == 4);
  CHECK(alignof(__nv_bfloat162) == 4);
}

TEST_CASE("bits and integers") {
  CHECK(__popc(0xf0f0u) == 8);
  CHECK(__ffs(0) == 0);
  CHECK(__ffs(8) == 4);
  CHECK(__ffs(static_cast<int>(0x80000000u)) == 32);
  CHECK(__clz(0) == 32);
  CHECK(__clz(1) == 31);
  CHECK(__brev(1u) == 0x80000000u);
  CHECK(__brev(0x12345678u) == 0x1e6a2c48u);
  CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7410u) == 0x77441100u);
  CHECK(__byte_perm(0x00008000u, 0, 0x9999u) == 0xffffffffu);
  CHECK(__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu);
  CHECK(__mulhi(-1, 5) == -1);
  CHECK(__umul64hi(1ull << 63, 4) == 2);
  CHECK(__dp4a(0x01ff02fe, 0x02030405, 7) == 7 + 2 - 3 + 8 - 10);
}

TEST_CASE("conversions of floats to integers saturate") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(__float2int_rn(2.5f) == 2);
  CHECK(__float2int_rn(3.5f) == 4);
  CHECK(__float2int_rz(-2.9f) == -2);
  CHECK(__float2int_rd(-2.1f) == -3);
  CHECK(__float2int_ru(2.1f) == 3);
  CHECK(__float2int_rn(3e9f) == std::numeric_limits<int>::max());
  CHECK(__float2int_rz(-3e9f) == std::numeric_limits<int>::min());
  CHECK(__float2int_rn(nan) == 0);
  CHECK(__float2uint_rz(-1.0f) == 0);
  CHECK(__float2uint_rn(5e9f) == std::numeric_limits<unsigned>::max());
  CHECK(__saturatef(nan) == 0.0f);
  CHECK(__saturatef(7.0f) == 1.0f);
  CHECK(min(nan, 1.0f) == 1.0f);
  CHECK(max(2.0f, nan) == 2.0f);
  CHECK(__fmul_rn(3.0f, 4.0f) == 12.0f);
}

}  // namespace
}  // namespace rook::emu::test
