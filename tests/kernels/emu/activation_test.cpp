// Activations as CUDA kernels against ref.
#include "tests/kernels/activation_cases.h"

#include <cmath>

#include "base/error.h"
#include "kernels/ref/activation.h"
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

// Inputs of all magnitudes: around zero, where activations bend, and where exponentials overflow.
TestTensor magnitudes(Random& random) {
  TestTensor x(DType::f32, 1, 20, 20, 10);
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    const double ranges[] = {80, 10, 1, 1e-3};
    x.set(i, random.uniform(-1, 1) * ranges[i % 4]);
  }
  x.set(0, 0);
  return x;
}

}  // namespace

TEST_CASE("cuda activation_forward, on every shape") {
  for_each_gpu([](const Gpu& gpu) { test_activation_forward(gpu_subject(gpu)); });
}
TEST_CASE("cuda activation_backward, on every shape, overwriting, accumulating, and in place") {
  for_each_gpu([](const Gpu& gpu) { test_activation_backward(gpu_subject(gpu)); });
}

TEST_CASE("cuda activations have float accuracy everywhere, and finite slopes") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(13);
    const TestTensor x = magnitudes(random);
    TestTensor y = x, ones = x, slope = x;
    ones.fill(1);
    for (int i = 0; i < kActivations; ++i) {
      const auto activation = static_cast<Activation>(i);
      CAPTURE(std::string(name_of(activation)));
      subject.activation_forward({.x = x, .y = y, .activation = activation});
      subject.activation_backward({.x = x, .dy = ones, .dx = slope, .activation = activation});
      for (std::int64_t k = 0; k < x.elements(); ++k) {
        const double value = x.get(k), wanted = ref::act(activation, value),
                     wanted_slope = ref::dact(activation, value);
        // gelu's argument grows with x^3, and with it the rounding error of the exponent.
        const double relative = activation == Activation::gelu ? 3e-7 * (1 + std::abs(value * value * value)) : 6e-7;
        REQUIRE_MESSAGE(std::abs(y.get(k) - wanted) <= relative * std::abs(wanted) + 1e-36, "x ", value, ": ", y.get(k),
                        " instead of ", wanted);
        REQUIRE_MESSAGE(std::abs(slope.get(k) - wanted_slope) <= 4e-6 * std::abs(wanted_slope) + 4e-7, "x ", value,
                        ": slope ", slope.get(k), " instead of ", wanted_slope);
      }
    }
  });
}

TEST_CASE("cuda activations of huge numbers are finite, and NaN stays NaN") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    TestTensor x(DType::f32, 1, 1, 1, 3), y = x, slope = x, ones = x;
    const double values[] = {1e30, -1e30, NAN};
    for (int i = 0; i < 3; ++i) x.set(i, values[i]);
    ones.fill(1);
    for (int i = 0; i < kActivations; ++i) {
      const auto activation = static_cast<Activation>(i);
      CAPTURE(std::string(name_of(activation)));
      subject.activation_forward({.x = x, .y = y, .activation = activation});
      subject.activation_backward({.x = x, .dy = ones, .dx = slope, .activation = activation});
      CHECK(std::isfinite(y.get(0)));
      CHECK(std::isfinite(y.get(1)));
      CHECK(std::isnan(y.get(2)));
      CHECK(slope.get(0) == doctest::Approx(ref::dact(activation, 1e30)));
      CHECK(std::isfinite(slope.get(1)));
    }
  });
}

TEST_CASE("cuda activations: arguments that do not fit are errors") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    const TestTensor x(DType::f32, 1, 2, 3, 4), wide(DType::f64, 1, 2, 3, 4);
    CHECK_THROWS_AS(subject.activation_forward({.x = wide, .y = wide}), Error);
    CHECK_THROWS_AS(subject.activation_forward({.x = x, .y = x, .activation = static_cast<Activation>(99)}), Error);
    CHECK_THROWS_AS(subject.activation_backward({.x = x, .dy = x, .dx = wide}), Error);
  });
}

}  // namespace rook::test
