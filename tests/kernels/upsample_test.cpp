// Nearest-neighbour upsampling: cpu against ref, fixtures by hand, finite differences.
#include "base/error.h"
#include "tests/kernels/upsample_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("upsample: cpu agrees with ref") {
  test_upsample(cpu_subject());
}

TEST_CASE("upsample: fixture by hand") {
  TestTensor x(DType::f32, 1, 1, 2, 2), y(DType::f32, 1, 2, 4, 2);
  const double in[] = {1, 10, 2, 20};
  for (int i = 0; i < 4; ++i) x.set(i, in[i]);
  ref::upsample_forward({.x = x, .y = y, .stride = 2, .scale = 3});
  const double out[] = {3, 30, 3, 30, 6, 60, 6, 60, 3, 30, 3, 30, 6, 60, 6, 60};
  for (int i = 0; i < 16; ++i) CHECK(y.get(i) == out[i]);
}

TEST_CASE("upsampling and then summing down multiplies by stride squared") {
  Random random(4);
  for_all_upsamples(cpu_subject(), [&](const NhwcCase& k, int stride, float, DType dtype) {
    TestTensor x = small_of(k, dtype), y = large_of(k, stride, dtype), sum = small_of(k, dtype);
    for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, static_cast<double>(random.below(15)) - 7);
    cpu::upsample_forward({.x = x, .y = y, .stride = stride});
    cpu::upsample_backward({.dy = y, .dx = sum, .stride = stride});
    std::int64_t wrong = 0;  // small integers: exact in bf16
    for (std::int64_t i = 0; i < x.elements(); ++i) wrong += !(sum.get(i) == stride * stride * x.get(i));
    CHECK(wrong == 0);
  });
}

TEST_CASE("upsample: the gradient of ref is that of finite differences") {
  Random random(6);
  for (int stride : {1, 2, 3}) {
    TestTensor x = TestTensor(DType::f64, 2, 3, 5, 7, 1, 2).fill_uniform(random);
    TestTensor y(DType::f64, 2, 3 * stride, 5 * stride, 7), dx(DType::f64, 2, 3, 5, 7);
    const TestTensor dy = TestTensor(DType::f64, 2, 3 * stride, 5 * stride, 7).fill_uniform(random);
    ref::upsample_backward({.dy = dy, .dx = dx, .stride = stride, .scale = 1.7f});
    const auto loss = [&] {
      ref::upsample_forward({.x = x, .y = y, .stride = stride, .scale = 1.7f});
      return weighted_sum(y, dy);
    };
    check_gradient("upsample", x, dx, x.elements(), loss, random);
  }
}

TEST_CASE("upsample gives the same bits whatever the number of threads") {
  Random random(9);
  for (DType dtype : kStorageTypes) {
    TestTensor x = TestTensor(dtype, 2, 29, 31, 37).fill_uniform(random);
    TestTensor dy = TestTensor(dtype, 2, 58, 62, 37).fill_uniform(random);
    TestTensor y[2] = {dy, dy}, dx[2] = {x, x};
    for (int i = 0; i < 2; ++i) {
      const ThreadScope scope(i + 1);
      cpu::upsample_forward({.x = x, .y = y[i], .scale = 0.3f});
      cpu::upsample_backward({.dy = dy, .dx = dx[i], .scale = 0.3f, .mode = Grad::accumulate});
    }
    CHECK(same_bits(y[0], y[1]));
    CHECK(same_bits(dx[0], dx[1]));
  }
}

TEST_CASE("upsample refuses shapes that do not fit") {
  TestTensor x = TestTensor(DType::f32, 1, 2, 3, 4).fill(1), y(DType::f32, 1, 4, 6, 4), odd(DType::f32, 1, 5, 6, 4);
  TestTensor channels(DType::f32, 1, 4, 6, 5), type(DType::bf16, 1, 4, 6, 4);
  for (const TestTensor* wrong : {&odd, &channels, &type}) {
    CHECK_THROWS_AS(cpu::upsample_forward({.x = x, .y = *wrong}), Error);
    CHECK_THROWS_AS(ref::upsample_forward({.x = x, .y = *wrong}), Error);
    CHECK_THROWS_AS(cpu::upsample_backward({.dy = *wrong, .dx = x}), Error);
  }
  CHECK_THROWS_AS(cpu::upsample_forward({.x = x, .y = y, .stride = 0}), Error);
  CHECK_THROWS_AS(cpu::upsample_forward({.x = x, .y = y, .stride = -2}), Error);
}
