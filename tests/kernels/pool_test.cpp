// Pooling: cpu against ref, ref against finite differences and fixtures worked out by hand.
#include "base/error.h"
#include "tests/kernels/pool_cases.h"

using namespace rook;
using namespace rook::test;

namespace {

TestTensor tensor_of(DType dtype, int h, int w, std::initializer_list<double> values) {
  TestTensor t(dtype, 1, h, w, 1);
  std::int64_t i = 0;
  for (double value : values) t.set(i++, value);
  return t;
}

void check_values(const TestTensor& t, std::initializer_list<double> expected) {
  REQUIRE(t.elements() == static_cast<std::int64_t>(expected.size()));
  std::int64_t i = 0;
  for (double value : expected) {
    CHECK(t.get(i) == value);
    ++i;
  }
}

}  // namespace

TEST_CASE("maxpool: cpu agrees with ref") {
  test_maxpool(cpu_subject());
}
TEST_CASE("maxpool: ties, infinities and NaN are chosen alike by cpu and ref") {
  test_maxpool_ties(cpu_subject());
}
TEST_CASE("local_avgpool: cpu agrees with ref") {
  test_local_avgpool(cpu_subject());
}
TEST_CASE("avgpool: cpu agrees with ref") {
  test_avgpool(cpu_subject());
}

TEST_CASE("maxpool: fixtures by hand") {
  const TestTensor x = tensor_of(DType::f32, 3, 3, {1, 5, 2, 4, 3, 0, -7, -8, -9});
  TestArray<std::uint16_t> taps(9);
  SUBCASE("size 2 stride 1: the taps run off to the right and below") {
    TestTensor y(DType::f32, 1, 3, 3, 1);
    ref::maxpool_forward({.geometry = {2, 2, 1, 1, 1}, .x = x, .y = y, .taps = taps.data()});
    check_values(y, {5, 5, 2, 4, 3, 0, -7, -8, -9});
    const int chosen[] = {1, 0, 0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 9; ++i) CHECK(taps[i] == chosen[i]);
  }
  SUBCASE("size 2 stride 2 on an odd image gives ceil(w / 2)") {
    TestTensor y(DType::f32, 1, 2, 2, 1);
    ref::maxpool_forward({.geometry = {2, 2, 2, 2, 1}, .x = x, .y = y});
    check_values(y, {5, 2, -7, -9});
  }
  SUBCASE("size 3 stride 1 total padding 2: one row and column on each side, never chosen") {
    TestTensor y(DType::f32, 1, 3, 3, 1);
    ref::maxpool_forward({.geometry = {3, 3, 1, 1, 2}, .x = x, .y = y, .taps = taps.data()});
    check_values(y, {5, 5, 5, 5, 5, 5, 4, 4, 3});
    CHECK(taps[0] == 5);  // pixel (0, 1) is row 1, column 2 of the window around (0, 0)
    CHECK(taps[8] == 0);  // pixel (1, 1) around (2, 2)
  }
  SUBCASE("the first of equal taps wins, and takes all of the gradient") {
    const TestTensor flat = tensor_of(DType::f32, 2, 2, {6, 6, 6, 6}), dy = tensor_of(DType::f32, 1, 1, {2.5});
    TestTensor y(DType::f32, 1, 1, 1, 1), dx(DType::f32, 1, 2, 2, 1);
    ref::maxpool_forward({.geometry = {2, 2, 2, 2, 1}, .x = flat, .y = y, .taps = taps.data()});
    ref::maxpool_backward({.geometry = {2, 2, 2, 2, 1}, .dy = dy, .dx = dx, .taps = taps.data()});
    check_values(dx, {2.5, 0, 0, 0});
  }
  SUBCASE("a pixel that two windows chose gets both gradients") {
    const TestTensor dy = tensor_of(DType::f32, 3, 3, {1, 2, 4, 8, 16, 32, 64, 128, 256});
    TestTensor y(DType::f32, 1, 3, 3, 1), dx(DType::f32, 1, 3, 3, 1);
    ref::maxpool_forward({.geometry = {2, 2, 1, 1, 1}, .x = x, .y = y, .taps = taps.data()});
    ref::maxpool_backward({.geometry = {2, 2, 1, 1, 1}, .dy = dy, .dx = dx, .taps = taps.data()});
    check_values(dx, {0, 3, 4, 8, 16, 32, 64, 128, 256});
  }
}

TEST_CASE("avgpool sums wide images without losing digits") {
  TestTensor x = TestTensor(DType::f32, 1, 211, 307, 130).fill(1000.1);
  TestTensor y(DType::f32, 1, 1, 1, 130);
  cpu::avgpool_forward({.x = x, .y = y});
  for (int c = 0; c < 130; ++c) CHECK(std::abs(y.get(c) - 1000.1f) <= 0.01);
}

TEST_CASE("pools of a constant image are that constant, at the borders too") {
  for_all_pools(cpu_subject(), [](const PoolingCase& k, DType dtype, Random&) {
    TestTensor x = input_of(k, dtype).fill(0.75), y = output_of(k, dtype), mean(dtype, k.n, 1, 1, k.c);
    TestTensor constant = output_of(k, dtype).fill(0.75);
    cpu::maxpool_forward({.geometry = k.geometry, .x = x, .y = y});
    CHECK(same_bits(y, constant));
    cpu::local_avgpool_forward({.geometry = k.geometry, .x = x, .y = y});
    CHECK(same_bits(y, constant));
    cpu::avgpool_forward({.x = x, .y = mean});
    for (std::int64_t i = 0; i < mean.elements(); ++i) CHECK(mean.get(i) == 0.75);
  });
}

TEST_CASE("pools: the gradient of ref is that of finite differences") {
  Random random(3);
  for (const PoolingCase& k : kPoolingCases) {
    CAPTURE(k.name);
    TestTensor x = input_of(k, DType::f64).fill_uniform(random), y = output_of(k, DType::f64),
               dx = input_of(k, DType::f64);
    TestTensor dy = output_of(k, DType::f64).fill_uniform(random);
    const bool small = x.elements() < 20000;  // each finite difference runs the whole forward pass twice
    const std::int64_t samples = small ? 12 : 2;
    TestArray<std::uint16_t> taps(y.elements());
    const auto max_loss = [&] {
      ref::maxpool_forward({.geometry = k.geometry, .x = x, .y = y, .taps = taps.data()});
      return weighted_sum(y, dy);
    };
    max_loss();
    ref::maxpool_backward({.geometry = k.geometry, .dy = dy, .dx = dx, .taps = taps.data()});
    check_gradient("maxpool", x, dx, x.elements(), max_loss, random, 1e-6, {1e-6, 1e-6}, samples);

    ref::local_avgpool_backward({.geometry = k.geometry, .dy = dy, .dx = dx});
    const auto local_loss = [&] {
      ref::local_avgpool_forward({.geometry = k.geometry, .x = x, .y = y});
      return weighted_sum(y, dy);
    };
    check_gradient("local_avgpool", x, dx, x.elements(), local_loss, random, 1e-5, {1e-6, 1e-6}, samples);

    TestTensor mean(DType::f64, k.n, 1, 1, k.c);
    const TestTensor dmean = TestTensor(DType::f64, k.n, 1, 1, k.c).fill_uniform(random);
    ref::avgpool_backward({.dy = dmean, .dx = dx});
    const auto mean_loss = [&] {
      ref::avgpool_forward({.x = x, .y = mean});
      return weighted_sum(mean, dmean);
    };
    check_gradient("avgpool", x, dx, x.elements(), mean_loss, random, 1e-5, {1e-6, 1e-6}, samples);
  }
}

TEST_CASE("pools give the same bits whatever the number of threads") {
  Random random(8);
  for (const PoolGeometry& geometry : {PoolGeometry{3, 3, 2, 2, 2}, PoolGeometry{5, 5, 2, 2, 4}})
    for (DType dtype : kStorageTypes) {
      TestTensor x = TestTensor(dtype, 2, 53, 47, 70).fill_uniform(random);
      TestTensor dy = TestTensor(dtype, 2, 27, 24, 70).fill_uniform(random);
      TestTensor dmean = TestTensor(dtype, 2, 1, 1, 70).fill_uniform(random);
      const auto run = [&](int threads) {
        const ThreadScope scope(threads);
        std::vector<TestTensor> results(3, TestTensor(dtype, 2, 53, 47, 70));
        results.insert(results.end(), 2, TestTensor(dtype, 2, 27, 24, 70));
        results.emplace_back(dtype, 2, 1, 1, 70);
        TestArray<std::uint16_t> taps(dy.elements());
        cpu::maxpool_forward({.geometry = geometry, .x = x, .y = results[3], .taps = taps.data()});
        cpu::local_avgpool_forward({.geometry = geometry, .x = x, .y = results[4]});
        cpu::avgpool_forward({.x = x, .y = results[5]});
        cpu::maxpool_backward({.geometry = geometry, .dy = dy, .dx = results[0], .taps = taps.data()});
        cpu::local_avgpool_backward({.geometry = geometry, .dy = dy, .dx = results[1]});
        cpu::avgpool_backward({.dy = dmean, .dx = results[2]});
        return results;
      };
      const std::vector<TestTensor> one = run(1), two = run(2);
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], two[i]));
    }
}

TEST_CASE("pools refuse what they cannot do") {
  TestTensor x = TestTensor(DType::f32, 1, 4, 4, 2).fill(1), y(DType::f32, 1, 2, 2, 2), wrong(DType::f32, 1, 3, 2, 2);
  TestTensor other_type(DType::bf16, 1, 2, 2, 2), f64(DType::f64, 1, 2, 2, 2), x64(DType::f64, 1, 4, 4, 2);
  const PoolGeometry g{2, 2, 2, 2, 1};
  const auto refuses = [&](const PoolGeometry& geometry, const Tensor& in, const Tensor& out) {
    CHECK_THROWS_AS(cpu::maxpool_forward({.geometry = geometry, .x = in, .y = out}), Error);
    CHECK_THROWS_AS(cpu::local_avgpool_forward({.geometry = geometry, .x = in, .y = out}), Error);
    CHECK_THROWS_AS(cpu::local_avgpool_backward({.geometry = geometry, .dy = out, .dx = in}), Error);
  };
  refuses(g, x, wrong);
  refuses(g, x, other_type);
  refuses(g, x64, f64);  // only ref computes in f64
  refuses(g, x, {});
  refuses({2, 2, 0, 2, 1}, x, y);
  refuses({0, 2, 2, 2, 1}, x, y);
  refuses({2, 2, 2, 2, -1}, x, y);
  // The first window covers columns -2 and -1 only; the last, 2 and 3, would do.
  refuses({2, 2, 4, 4, 4}, x, y);
  // The first window would do; the last covers only column 4 of 4.
  TestTensor five(DType::f32, 1, 5, 5, 2);
  refuses({1, 1, 1, 1, 1}, x, five);
  // (2 + 0 - 3) / 2 + 1 is 1 in C++, yet no window fits.
  TestTensor tiny(DType::f32, 1, 2, 2, 2), pixel(DType::f32, 1, 1, 1, 2);
  refuses({3, 3, 2, 2, 0}, tiny, pixel);

  CHECK_THROWS_AS(cpu::maxpool_backward({.geometry = g, .dy = y, .dx = x, .taps = nullptr}), Error);
  CHECK_THROWS_AS(ref::maxpool_backward({.geometry = g, .dy = y, .dx = x, .taps = nullptr}), Error);
  CHECK_THROWS_AS(cpu::avgpool_forward({.x = x, .y = y}), Error);
  CHECK_THROWS_AS(cpu::avgpool_backward({.dy = y, .dx = x}), Error);
  CHECK(y.guards_intact());
}

TEST_CASE("maxpool: taps that forward never chose write nothing outside of the gradient") {
  const PoolGeometry geometry{5, 5, 1, 1, 4};
  const TestTensor dy = TestTensor(DType::f32, 1, 7, 9, 19).fill(1);
  for (const std::uint16_t tap : {25, 0xdead, 0xffff, 0, 24}) {  // the last two are outside for windows at edges
    TestArray<std::uint16_t> taps(dy.elements());
    taps.fill(tap);
    TestTensor dx(DType::f32, 1, 7, 9, 19);
    cpu::maxpool_backward({.geometry = geometry, .dy = dy, .dx = dx, .taps = taps.data()});
    CHECK(dx.guards_intact());
    double sum = 0;
    for (const double value : dx.to_doubles()) sum += value;
    if (tap >= 25)
      CHECK(sum == 0);
    else
      CHECK((sum > 0 && sum <= dy.elements()));
  }
}
