// Dropout: the same mask from cpu and ref, whatever the layout; its statistics; the mask again in backward.
#include "base/error.h"
#include "tests/kernels/dropout_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("dropout: cpu agrees with ref on the mask to the element, in all modes") {
  test_dropout(cpu_subject());
}

TEST_CASE("dropout: the counter is laid out as documented") {
  test_dropout_counter(cpu_subject());
}

TEST_CASE("dropout: the iteration of a step, in parts") {
  test_dropout_step(cpu_subject());
}

TEST_CASE("dropout keeps 1 - p of the elements within 4 sigma and scales them by 1 / (1 - p)") {
  for (float p : {0.0f, 0.1f, 0.2f, 0.5f, 0.9f}) {
    CAPTURE(p);
    const double count = 2 * 31 * 37 * 53;
    double kept = 0;
    for (double value : mask_of(cpu_subject(), {.x = {}, .y = {}, .probability = p, .seed = 3}, 2, 31, 37, 53)) {
      if (value == 0) continue;
      ++kept;
      REQUIRE(std::abs(value - 1 / (1 - double{p})) <= 1e-6 / (1 - double{p}));
    }
    CHECK(std::abs(kept / count - (1 - double{p})) <= 4 * std::sqrt(double{p} * (1 - double{p}) / count) + 1e-12);
  }
}

TEST_CASE("dropout: seed, iteration and layer give masks that agree on half of the elements only") {
  const Dropout base{.x = {}, .y = {}, .probability = 0.5f, .seed = 1, .iteration = 2, .layer = 3};
  const std::vector<double> mask = mask_of(cpu_subject(), base, 1, 16, 16, 64);
  CHECK(mask == mask_of(cpu_subject(), base, 1, 16, 16, 64));
  CHECK(mask == mask_of(cpu_subject(), base, 4, 8, 8, 64));  // elements are counted, not pixels
  Dropout other[4] = {base, base, base, base};
  other[0].seed = 2;
  other[1].seed = (std::uint64_t{1} << 32) + 1;
  other[2].iteration = 3;
  other[3].layer = 2;
  for (const Dropout& args : other) {
    const std::vector<double> changed = mask_of(cpu_subject(), args, 1, 16, 16, 64);
    double equal = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) equal += mask[i] == changed[i];
    const double n = static_cast<double>(mask.size());
    CHECK(std::abs(equal / n - 0.5) <= 4 * 0.5 / std::sqrt(n));
  }
}

TEST_CASE("dropout in place, and backward is forward applied to the gradient") {
  test_dropout_in_place(cpu_subject());
}

TEST_CASE("dropout: the gradient of ref is that of finite differences") {
  Random random(43);
  TestTensor x = TestTensor(DType::f64, 1, 3, 5, 7).fill_uniform(random), y = x, dx = x;
  const TestTensor dy = TestTensor(DType::f64, 1, 3, 5, 7).fill_uniform(random);
  ref::dropout({.x = dy, .y = dx, .probability = 0.35f, .seed = 9});
  const auto loss = [&] {
    ref::dropout({.x = x, .y = y, .probability = 0.35f, .seed = 9});
    return weighted_sum(y, dy);
  };
  check_gradient("dropout", x, dx, x.elements(), loss, random);
}

TEST_CASE("dropped elements are 0 even where the input is not finite") {
  test_dropout_nan(cpu_subject());
}

TEST_CASE("dropout gives the same bits whatever the number of threads") {
  Random random(44);
  TestTensor x = TestTensor(DType::bf16, 2, 41, 43, 29, 0, 3).fill_uniform(random);
  TestTensor y[2] = {x, x};
  for (int i = 0; i < 2; ++i) {
    const ThreadScope scope(i + 1);
    cpu::dropout({.x = x, .y = y[i], .seed = 8});
  }
  CHECK(same_bits(y[0], y[1]));
}

TEST_CASE("dropout refuses probabilities outside of [0, 1) and shapes that differ") {
  TestTensor x = TestTensor(DType::f32, 1, 2, 2, 4).fill(1), y(DType::f32, 1, 2, 2, 4), wrong(DType::f32, 1, 2, 2, 5);
  for (auto* dropout : {cpu::dropout, ref::dropout}) {
    for (float p : {-0.1f, 1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
      CHECK_THROWS_AS(dropout({.x = x, .y = y, .probability = p}, {}), Error);
    }
    CHECK_THROWS_AS(dropout({.x = x, .y = wrong}, {}), Error);
    CHECK_THROWS_AS(dropout({.x = x, .y = y, .layer = 1u << 24}, {}), Error);
  }
}
