// What the device's runtime promises (kernels/runtime.h), on a GPU and on the emulator.
#include "kernels/runtime.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/gpu.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("cuda runtime: memory is cleared before the first work of any stream reaches it") {
  for_each_gpu([](const Gpu& gpu) {
    const DeviceRuntime& runtime = *gpu.ops->runtime;
    constexpr std::size_t kBytes = std::size_t{64} << 20;  // which takes a GPU longer than the launch of a copy
    Mapped<std::uint8_t> sent(1000, 7), back(1000, 1);
    for (int i = 0; i < 3; ++i) {
      auto* const memory = static_cast<std::byte*>(runtime.allocate(kBytes));
      std::byte* const end = memory + kBytes - sent.size();
      runtime.copy(end, sent.data(), sent.size(), gpu.stream);
      gpu.finish();
      runtime.copy(back.data(), end, back.size(), gpu.stream);
      gpu.finish();
      CHECK(std::all_of(back.begin(), back.end(), [](std::uint8_t v) { return v == 7; }));
      runtime.copy(back.data(), end - back.size(), back.size(), gpu.stream);
      gpu.finish();
      CHECK(std::all_of(back.begin(), back.end(), [](std::uint8_t v) { return v == 0; }));
      runtime.release(memory);
    }
  });
}
