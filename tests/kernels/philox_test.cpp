// Philox against the known answers that its authors publish (Random123, tests/kat_vectors), and its conversions.
#include "kernels/philox.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <tuple>

using namespace rook;

namespace {

constexpr bool equal(PhiloxBlock a, PhiloxBlock b) {
  return a.x == b.x && a.y == b.y && a.z == b.z && a.w == b.w;
}

// The function is constexpr, so the compiler itself is one of the devices that must agree.
static_assert(equal(philox({0, 0}, {0, 0, 0, 0}), {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));

}  // namespace

TEST_CASE("philox gives the published known answers") {
  const PhiloxBlock zeros = philox({0, 0}, {0, 0, 0, 0});
  CHECK(equal(zeros, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  const PhiloxBlock ones = philox({0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu});
  CHECK(equal(ones, {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  const PhiloxBlock pi = philox({0xa4093822u, 0x299f31d0u}, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u});
  CHECK(equal(pi, {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST_CASE("every word of key and counter changes the numbers") {
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>> seen;
  const auto add = [&](std::uint64_t seed, PhiloxCounter counter) {
    const PhiloxBlock block = philox(philox_key(seed), counter);
    seen.emplace(block.x, block.y, block.z, block.w);
  };
  add(7, {1, 2, 3, 4});
  for (int bit = 0; bit < 64; ++bit) add(7 ^ (std::uint64_t{1} << bit), {1, 2, 3, 4});
  for (int bit = 0; bit < 32; ++bit) {
    const std::uint32_t flip = 1u << bit;
    add(7, {1 ^ flip, 2, 3, 4});
    add(7, {1, 2 ^ flip, 3, 4});
    add(7, {1, 2, 3 ^ flip, 4});
    add(7, {1, 2, 3, 4 ^ flip});
  }
  CHECK(seen.size() == 1 + 64 + 4 * 32);
}

TEST_CASE("streams of different uses and layers differ") {
  std::set<std::uint32_t> seen;
  for (PhiloxUse use :
       {PhiloxUse::augment, PhiloxUse::dropout, PhiloxUse::shuffle, PhiloxUse::initial_weights, PhiloxUse::synth}) {
    for (std::uint32_t layer = 0; layer < 500; ++layer) seen.insert(philox_stream(use, layer));
  }
  CHECK(seen.size() == 5 * 500);
}

TEST_CASE("uniform floats stay in [0, 1) and have the mean and variance of the uniform distribution") {
  CHECK(philox_uniform(0u) == 0.0f);
  CHECK(philox_uniform(0xffffffffu) == 1.0f - std::ldexp(1.0f, -24));
  CHECK(philox_uniform(0x80000000u) == 0.5f);

  const int blocks = 50000;
  double sum = 0, squares = 0, neighbours = 0;
  for (int i = 0; i < blocks; ++i) {
    const Uniform4 u = philox_uniform(philox(philox_key(42), {static_cast<std::uint32_t>(i), 0, 3, 9}));
    for (double v : {double{u.x}, double{u.y}, double{u.z}, double{u.w}}) {
      REQUIRE(v >= 0);
      REQUIRE(v < 1);
      sum += v;
      squares += (v - 0.5) * (v - 0.5);
    }
    neighbours += (u.x - 0.5) * (u.y - 0.5) + (u.z - 0.5) * (u.w - 0.5);
  }
  const double n = 4.0 * blocks;
  CHECK(std::abs(sum / n - 0.5) < 4 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 12) < 4 * std::sqrt(1.0 / 180 / n));  // variance of (u - 1/2)^2 is 1/180
  CHECK(std::abs(neighbours / (n / 2)) < 4 * (1.0 / 12) / std::sqrt(n / 2));
}

TEST_CASE("bounded integers cover their range evenly") {
  CHECK(philox_below(0xffffffffu, 1) == 0);
  CHECK(philox_below(0xffffffffu, 7) == 6);
  CHECK(philox_below(123, 0) == 0);
  int counts[7] = {};
  const int draws = 70000;
  for (int i = 0; i < draws; ++i) {
    const std::uint32_t value = philox_below(philox(philox_key(1), {static_cast<std::uint32_t>(i), 0, 0, 0}).x, 7);
    REQUIRE(value < 7);
    ++counts[value];
  }
  for (int count : counts) CHECK(std::abs(count - draws / 7.0) < 4 * std::sqrt(draws / 7.0 * 6 / 7));
}
