// Filling channels with a value.
#include "tests/kernels/elementwise_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("fill_channels fills a slice and nothing else") {
  test_fill_channels(cpu_subject());
}

TEST_CASE("fill_channels: ref too, and refuses bytes") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    TestTensor x(dtype, 2, 3, 5, 7, 4, 1);
    ref::fill_channels({.dst = x, .value = -0.75f});
    for (std::int64_t i = 0; i < x.elements(); ++i) CHECK(x.get(i) == -0.75);
    CHECK(x.guards_intact());
  }
  const TestTensor bytes(DType::u8, 1, 1, 1, 3);
  CHECK_THROWS_AS(ref::fill_channels({.dst = bytes, .value = 1}), Error);
}
