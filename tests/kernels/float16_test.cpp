// float16.h: all 65536 numbers, and the borders between them.
#include "kernels/float16.h"

#include <cmath>

#include "tests/support.h"

namespace rook::test {
namespace {

// The number that the bits stand for, from the definition (IEEE 754-2019, 3.4).
double meaning(std::uint32_t magnitude) {
  const int exponent = static_cast<int>(magnitude >> 10), fraction = static_cast<int>(magnitude & 0x3ffu);
  if (exponent == 0) return std::ldexp(fraction, -24);
  return std::ldexp(1024 + fraction, exponent - 25);
}

}  // namespace

TEST_CASE("float16: every f16 means what the standard says and survives the way through float") {
  int wrong = 0;
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const float value = f16_to_float(static_cast<std::uint16_t>(half));
    const std::uint32_t magnitude = half & 0x7fffu;
    wrong += std::signbit(value) != (half >= 0x8000u);
    if (magnitude > 0x7c00u) {
      wrong += !std::isnan(value) || float_to_f16(value) != (half | 0x200u);
      continue;
    }
    wrong += std::abs(value) != (magnitude == 0x7c00u ? INFINITY : meaning(magnitude));
    wrong += float_to_f16(value) != half;
  }
  CHECK(wrong == 0);
}

TEST_CASE("float16 rounds to nearest even on both sides of every border") {
  int wrong = 0;
  // Above 65504 the next number would be 2^16; what rounds to it is infinity, 0x7c00.
  for (std::uint32_t low = 0; low < 0x7c00; ++low) {
    const auto middle = static_cast<float>((meaning(low) + meaning(low + 1)) / 2);  // exact: 12 bits
    for (const std::uint32_t sign : {0u, 0x8000u}) {
      const float signed_middle = sign ? -middle : middle;
      wrong += float_to_f16(signed_middle) != (sign | (low + (low & 1)));
      wrong += float_to_f16(std::nextafter(signed_middle, 0.0f)) != (sign | low);
      wrong += float_to_f16(std::nextafter(signed_middle, sign ? -INFINITY : INFINITY)) != (sign | (low + 1));
    }
  }
  CHECK(wrong == 0);
  for (const float large : {65536.0f, 1e6f, 3.4e38f, INFINITY}) {
    CHECK(float_to_f16(large) == 0x7c00);
    CHECK(float_to_f16(-large) == 0xfc00);
  }
  for (const float small : {0x1p-26f, 1e-38f, 1e-45f, 0.0f}) {
    CHECK(float_to_f16(small) == 0);
    CHECK(float_to_f16(-small) == 0x8000);
  }
  CHECK(std::isnan(f16_to_float(float_to_f16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("tensors of tests hold f16") {
  TestTensor t(DType::f16, 1, 1, 1, 3, 1, 1);
  t.set(0, 1.0 / 3);
  t.set(1, -65504);
  t.set(2, 0x1p-24);
  CHECK(t.get(0) == 0.333251953125);
  CHECK(t.get(1) == -65504);
  CHECK(t.get(2) == 0x1p-24);
  CHECK(t.guards_intact());
  CHECK(std::abs(t.get(0) - 1.0 / 3) <= tolerance_of(DType::f16).relative / 3);
}

}  // namespace rook::test
