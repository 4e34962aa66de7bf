// Dropout: the same mask from cpu and ref, whatever the layout; its statistics; the mask again in backward.
#include "base/error.h"
#include "kernels/ops.h"
#include "kernels/philox.h"
#include "tests/cases.h"
#include "tests/support.h"

using namespace rook;
using namespace rook::test;

namespace {

// Which of the elements are kept, seen from the outside: dropout of ones.
std::vector<double> mask_of(Dropout args, int n, int h, int w, int c) {
  TestTensor x = TestTensor(DType::f32, n, h, w, c).fill(1), y(DType::f32, n, h, w, c);
  args.x = x;
  args.y = y;
  cpu::dropout(args);
  return y.to_doubles();
}

}  // namespace

TEST_CASE("dropout: cpu agrees with ref on the mask to the element, in all modes") {
  Random random(41);
  std::uint32_t layer = 0;
  for (const NhwcCase& k : kNhwcCases) {
    CAPTURE(k.name);
    ++layer;
    for (DType dtype : kStorageTypes) {
      CAPTURE(name_of(dtype));
      for (Grad mode : {Grad::none, Grad::overwrite, Grad::accumulate}) {
        TestTensor x = TestTensor(dtype, k.n, k.h, k.w, k.c, k.in.before, k.in.after).fill_uniform(random, 0.5, 2);
        TestTensor y(dtype, k.n, k.h, k.w, k.c, k.out.before, k.out.after);
        if (mode != Grad::overwrite) y.fill_uniform(random, 0.5, 2);
        const TestTensor x64 = x.converted(DType::f64);
        TestTensor expected = y.converted(DType::f64);
        Dropout args{.x = x, .y = y, .probability = 0.3f, .seed = 77, .iteration = 5, .layer = layer, .mode = mode};
        cpu::dropout(args);
        args.x = x64;
        args.y = expected;
        ref::dropout(args);
        check_close("y", y, expected, mode == Grad::none ? Tolerance{} : tolerance_of(dtype));
      }
    }
  }
}

TEST_CASE("dropout: the counter is laid out as documented") {
  const Dropout args{.x = {}, .y = {}, .probability = 0.5f, .seed = 0x123456789abcdef0u, .iteration = 17, .layer = 9};
  const std::vector<double> mask = mask_of(args, 1, 3, 5, 7);
  for (std::uint32_t e = 0; e < 105; ++e) {
    const PhiloxBlock block = philox({0x9abcdef0u, 0x12345678u}, {e / 4, 0, 17, (2u << 24) + 9});
    const std::uint32_t words[] = {block.x, block.y, block.z, block.w};
    const double expected = words[e % 4] >= 0x80000000u ? 2 : 0;  // uniform >= 1/2
    CHECK(mask[e] == expected);
  }
}

TEST_CASE("dropout keeps 1 - p of the elements within 4 sigma and scales them by 1 / (1 - p)") {
  for (float p : {0.0f, 0.1f, 0.2f, 0.5f, 0.9f}) {
    CAPTURE(p);
    const double count = 2 * 31 * 37 * 53;
    double kept = 0;
    for (double value : mask_of({.x = {}, .y = {}, .probability = p, .seed = 3}, 2, 31, 37, 53)) {
      if (value == 0) continue;
      ++kept;
      REQUIRE(std::abs(value - 1 / (1 - double{p})) <= 1e-6 / (1 - double{p}));
    }
    CHECK(std::abs(kept / count - (1 - double{p})) <= 4 * std::sqrt(double{p} * (1 - double{p}) / count) + 1e-12);
  }
}

TEST_CASE("dropout: seed, iteration and layer give masks that agree on half of the elements only") {
  const Dropout base{.x = {}, .y = {}, .probability = 0.5f, .seed = 1, .iteration = 2, .layer = 3};
  const std::vector<double> mask = mask_of(base, 1, 16, 16, 64);
  CHECK(mask == mask_of(base, 1, 16, 16, 64));
  CHECK(mask == mask_of(base, 4, 8, 8, 64));  // elements are counted, not pixels
  Dropout other[4] = {base, base, base, base};
  other[0].seed = 2;
  other[1].seed = (std::uint64_t{1} << 32) + 1;
  other[2].iteration = 3;
  other[3].layer = 2;
  for (const Dropout& args : other) {
    const std::vector<double> changed = mask_of(args, 1, 16, 16, 64);
    double equal = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) equal += mask[i] == changed[i];
    const double n = static_cast<double>(mask.size());
    CHECK(std::abs(equal / n - 0.5) <= 4 * 0.5 / std::sqrt(n));
  }
}

TEST_CASE("dropout in place, and backward is forward applied to the gradient") {
  Random random(42);
  for (DType dtype : kStorageTypes) {
    TestTensor x = TestTensor(dtype, 2, 5, 7, 11, 3, 1).fill_uniform(random, 0.5, 2), y(dtype, 2, 5, 7, 11, 3, 1);
    TestTensor dy = TestTensor(dtype, 2, 5, 7, 11).fill_uniform(random, 0.5, 2), dx(dtype, 2, 5, 7, 11, 0, 5);
    Dropout args{.x = x, .y = y, .probability = 0.4f, .seed = 5, .iteration = 6, .layer = 7};
    cpu::dropout(args);
    args.x = dy;
    args.y = dx;
    cpu::dropout(args);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < x.elements(); ++i) wrong += (y.get(i) == 0) != (dx.get(i) == 0);
    CHECK(wrong == 0);
    args.x = x;
    args.y = x;
    cpu::dropout(args);
    CHECK(same_bits(x, y));
    CHECK(x.guards_intact());
  }
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
  TestTensor x = TestTensor(DType::f32, 1, 4, 4, 33).fill(std::numeric_limits<double>::quiet_NaN()),
             y(DType::f32, 1, 4, 4, 33);
  cpu::dropout({.x = x, .y = y, .probability = 0.5f});
  std::int64_t zeros = 0, nans = 0;
  for (double value : y.to_doubles()) {
    zeros += value == 0;
    nans += std::isnan(value);
  }
  CHECK(zeros > 0);
  CHECK(nans > 0);
  CHECK(zeros + nans == y.elements());
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
  TestTensor x = TestTensor(DType::f32, 1, 2, 2, 4).fill(1), y = x, wrong(DType::f32, 1, 2, 2, 5);
  for (auto* dropout : {cpu::dropout, ref::dropout}) {
    for (float p : {-0.1f, 1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
      CHECK_THROWS_AS(dropout({.x = x, .y = y, .probability = p}, {}), Error);
    }
    CHECK_THROWS_AS(dropout({.x = x, .y = wrong}, {}), Error);
    CHECK_THROWS_AS(dropout({.x = x, .y = y, .layer = 1u << 24}, {}), Error);
  }
}
