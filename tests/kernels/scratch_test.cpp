// Scratch memory of the CPU kernels: pointers stay good while it grows, and it stops growing.
#include "kernels/cpu/scratch.h"

#include <algorithm>

#include "tests/support.h"

namespace rook::test {

TEST_CASE("scratch: memory of an outer scope stays good while an inner one makes the stack grow") {
  cpu::ScratchScope outer;
  float* first = outer.floats(1000);
  std::fill_n(first, 1000, 1.0f);
  {
    cpu::ScratchScope inner;
    double* second = inner.doubles(3'000'000);
    std::fill_n(second, 3'000'000, 2.0);
    CHECK(std::count(first, first + 1000, 1.0f) == 1000);
  }
  float* third = outer.floats(500'000);
  std::fill_n(third, 500'000, 3.0f);
  CHECK(std::count(first, first + 1000, 1.0f) == 1000);
  CHECK(std::count(third, third + 500'000, 3.0f) == 500'000);
}

TEST_CASE("scratch: grows during the first round only, whatever the sizes") {
  const auto run = [] {
    cpu::ScratchScope scope;
    const void* first = scope.floats(1'000'000);
    scope.floats(1'000'000);
    scope.floats(2'000'000);
    return std::pair(first, static_cast<const void*>(scope.floats(9'000'000)));
  };
  run();
  const auto second = run();
  CHECK(static_cast<const float*>(second.second) - static_cast<const float*>(second.first) == 4'000'000);
  CHECK(run() == second);
}

TEST_CASE("scratch: aligned, disjoint, and the same memory again once it is large enough") {
  const auto run = [](bool check) {
    cpu::ScratchScope outer;
    auto* a = outer.take<std::uint8_t>(3);
    auto* b = outer.floats(100'001);
    cpu::ScratchScope inner;
    auto* c = inner.doubles(70'000);
    if (check) {
      CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
      CHECK(reinterpret_cast<std::uintptr_t>(b) % 64 == 0);
      CHECK(reinterpret_cast<std::uintptr_t>(c) % 64 == 0);
      CHECK(reinterpret_cast<std::byte*>(a) + 3 <= reinterpret_cast<std::byte*>(b));
      CHECK(reinterpret_cast<std::byte*>(b + 100'001) <= reinterpret_cast<std::byte*>(c));
    }
    return std::pair(static_cast<void*>(a), static_cast<void*>(c));
  };
  run(false);
  const auto settled = run(true);
  for (int i = 0; i < 3; ++i) CHECK(run(true) == settled);
}

}  // namespace rook::test
