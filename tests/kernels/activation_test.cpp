// Activations and their derivatives: cpu against ref, ref against finite differences and values worked out by hand.
#include <cmath>
#include <optional>
#include <string>

#include "base/error.h"
#include "kernels/cpu/activation.h"
#include "kernels/names.h"
#include "kernels/ops.h"
#include "kernels/ref/activation.h"
#include "tests/kernels/activation_cases.h"

namespace rook::test {
TEST_CASE("names of activations and dtypes lead back to them") {
  for (int i = 0; i < kActivations; ++i) {
    const auto activation = static_cast<Activation>(i);
    CHECK(activation_from_name(name_of(activation)) == std::optional(activation));
  }
  CHECK(activation_from_name("hard_mish") == std::optional(Activation::hard_mish));
  CHECK(channel_norm_from_name("normalize_channels_softmax") == std::optional(ChannelNorm::softmax));
  CHECK(!channel_norm_from_name("leaky"));
  CHECK(!activation_from_name("Leaky"));
  CHECK(!activation_from_name(""));
  for (const DType type : {DType::u8, DType::f32, DType::f64, DType::bf16, DType::f16}) {
    CHECK(dtype_from_name(name_of(type)) == std::optional(type));
  }
}

TEST_CASE("bfloat16 rounds to nearest even, keeps NaN, and every bf16 survives the way through float") {
  const auto rounded = [](std::uint32_t bits) { return float_to_bf16(std::bit_cast<float>(bits)); };
  int wrong = 0;
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const std::uint32_t bits = half << 16;
    if (std::isnan(std::bit_cast<float>(bits))) {
      wrong += !std::isnan(bf16_to_float(rounded(bits)));
      continue;
    }
    wrong += rounded(bits) != half;
    if (std::isinf(std::bit_cast<float>(bits))) continue;
    // Halfway to the next one goes to the even one (the one after the largest is infinity); off the middle, to the
    // nearer.
    wrong += rounded(bits | 0x8000u) != half + (half & 1);
    wrong += rounded(bits | 0x8001u) != half + 1;
    wrong += rounded(bits | 0x7fffu) != half;
  }
  CHECK(wrong == 0);
  CHECK(std::isinf(bf16_to_float(float_to_bf16(3.4e38f))));
  CHECK(std::isnan(bf16_to_float(rounded(0x7f800001u))));
}

TEST_CASE("vectors load and store as the scalar conversions do, and tails touch nothing else") {
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    float values[cpu::kLanes];
    for (float& value : values) {
      value = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()));
      if (round % 7 == 0) value = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()) & 0x807fffffu);
    }
    std::uint16_t halves[cpu::kLanes];
    cpu::store(halves, cpu::load(values));
    for (int i = 0; i < cpu::kLanes; ++i) REQUIRE(halves[i] == float_to_bf16(values[i]));
    float back[cpu::kLanes];
    cpu::store(back, cpu::load(halves));
    for (int i = 0; i < cpu::kLanes; ++i) {
      REQUIRE(std::bit_cast<std::uint32_t>(back[i]) == std::bit_cast<std::uint32_t>(bf16_to_float(halves[i])));
    }
    const int count = 1 + static_cast<int>(random.below(cpu::kLanes - 1));
    const cpu::Vec part = cpu::load_partial(halves, count);
    std::uint16_t out[cpu::kLanes];
    std::fill_n(out, cpu::kLanes, std::uint16_t{0x1234});
    cpu::store_partial(out, count, part);
    for (int i = 0; i < cpu::kLanes; ++i) REQUIRE(out[i] == (i < count ? halves[i] : 0x1234));
    for (int i = count; i < cpu::kLanes; ++i) REQUIRE(part[i] == 0);
  }
}

TEST_CASE("activations: values worked out by hand") {
  const auto check = [](Activation a, double x, double y, double slope) {
    CAPTURE(std::string(name_of(a)));
    CAPTURE(x);
    CHECK(ref::act(a, x) == doctest::Approx(y).epsilon(1e-9));
    CHECK(ref::dact(a, x) == doctest::Approx(slope).epsilon(1e-9));
  };
  check(Activation::linear, -3, -3, 1);
  check(Activation::leaky, -3, -0.3, 0.1);
  check(Activation::leaky, 0, 0, 0.1);
  check(Activation::relu, -3, 0, 0);
  check(Activation::relu6, 7, 6, 0);
  check(Activation::relu6, 5, 5, 1);
  check(Activation::logistic, 0, 0.5, 0.25);
  check(Activation::loggy, 0, 0, 0.5);
  check(Activation::mish, 1, 0.8650983882673103, 1.0490362200997922);  // e = exp(1): e (e + 2) / (e (e + 2) + 2)
  check(Activation::mish, 30, 30, 1);
  check(Activation::mish, -30, -2.8072868906520526e-12, -2.7137106609636508e-12);  // x e^x, (1 + x) e^x
  check(Activation::swish, 2, 1.7615941559557649, 1.0907842487848955);
  check(Activation::hard_mish, -1, -0.5, 0);
  check(Activation::hard_mish, -2.5, 0, 0);
  check(Activation::hard_mish, -0.5, -0.375, 0.5);
  check(Activation::tanh, 0, 0, 1);
  check(Activation::elu, -1, -0.6321205588285577, 0.36787944117144233);
  check(Activation::selu, 1, 1.0507, 1.0507);
  check(Activation::relie, -2, -0.02, 0.01);
  check(Activation::ramp, 2, 2.2, 1.1);
  check(Activation::ramp, -2, -0.2, 0.1);
  check(Activation::plse, -6, -0.02, 0.01);
  check(Activation::plse, 2, 0.75, 0.125);
  check(Activation::plse, 104, 2, 0.01);
  check(Activation::stair, 2.75, 1, 0);
  check(Activation::stair, 3.25, 1.25, 1);
  check(Activation::stair, -0.5, -0.5, 1);
  check(Activation::stair, -1.5, -1, 0);
  check(Activation::stair, 3, 1, 0);
  check(Activation::hardtan, -3, -1, 0);
  check(Activation::hardtan, 0.25, 0.25, 1);
  check(Activation::lhtan, -3, -0.003, 0.001);
  check(Activation::lhtan, 0.5, 0.5, 1);
  check(Activation::lhtan, 3, 1.002, 0.001);
}

TEST_CASE("activations: the derivative of ref is that of finite differences, away from kinks") {
  Random random(11);
  for (int i = 0; i < kActivations; ++i) {
    const auto activation = static_cast<Activation>(i);
    CAPTURE(std::string(name_of(activation)));
    for (int k = 0; k < 300; ++k) {
      const double x = random.uniform(-8, 8), step = 1e-5;
      if (std::abs(x - std::round(x)) < 1e-3) continue;  // all kinks are at whole numbers
      const double difference = (ref::act(activation, x + step) - ref::act(activation, x - step)) / (2 * step);
      const bool ok = std::abs(ref::dact(activation, x) - difference) <= 1e-8;
      CHECK_MESSAGE(ok, x, ": ", ref::dact(activation, x), " but finite differences say ", difference);
    }
  }
}

TEST_CASE("activations: cpu formulas have float accuracy everywhere, for one float and for vectors alike") {
  Random random(13);
  for (int i = 0; i < kActivations; ++i) {
    const auto activation = static_cast<Activation>(i);
    CAPTURE(std::string(name_of(activation)));
    visit_activation(activation, [&](auto tag) {
      constexpr Activation kActivation = decltype(tag)::value;
      for (int k = 0; k < 4000; ++k) {
        const double range = k % 4 == 0 ? 80 : k % 4 == 1 ? 10 : k % 4 == 2 ? 1 : 1e-3;
        const float x = k == 0 ? 0.0f : static_cast<float>(random.uniform(-range, range));
        const double value = ref::act(activation, x), slope = ref::dact(activation, x);
        const float y = cpu::act<kActivation>(x), dy = cpu::dact<kActivation>(x);
        // gelu's argument grows with x^3, and with it the rounding error of the exponent.
        const double relative = kActivation == Activation::gelu ? 3e-7 * (1 + std::abs(x * x * x)) : 6e-7;
        const bool ok = std::abs(y - value) <= relative * std::abs(value) + 1e-36;
        REQUIRE_MESSAGE(ok, "x ", x, ": ", y, " instead of ", value);
        const bool slope_ok = std::abs(dy - slope) <= 4e-6 * std::abs(slope) + 4e-7;
        REQUIRE_MESSAGE(slope_ok, "x ", x, ": slope ", dy, " instead of ", slope);
        cpu::with_activation(activation, [&](const auto& act) {
          REQUIRE(act.value(cpu::splat<cpu::Vec>(x))[cpu::kLanes - 1] == doctest::Approx(y).epsilon(1e-6));
          REQUIRE(act.slope(cpu::splat<cpu::Vec>(x))[cpu::kLanes - 1] == doctest::Approx(dy).epsilon(1e-6));
        });
      }
      const float nan = std::numeric_limits<float>::quiet_NaN();
      CHECK(std::isnan(cpu::act<kActivation>(nan)));
      CHECK(std::isnan(cpu::act<kActivation>(cpu::splat<cpu::Vec>(nan))[0]));
      CHECK(std::isfinite(cpu::act<kActivation>(1e30f)));
      CHECK(std::isfinite(cpu::dact<kActivation>(-1e30f)));
      CHECK(std::isfinite(cpu::dact<kActivation>(1e30f)));
    });
  }
}

TEST_CASE("activation_forward: cpu is ref, on every shape") {
  test_activation_forward(cpu_subject());
}
TEST_CASE("activation_backward: cpu is ref, on every shape, overwriting, accumulating, and in place") {
  test_activation_backward(cpu_subject());
}

TEST_CASE("activation: arguments that do not fit are errors") {
  TestTensor x(DType::f32, 1, 2, 3, 4), other(DType::f32, 1, 3, 2, 4), wide(DType::f64, 1, 2, 3, 4);
  TestTensor bf16(DType::bf16, 1, 2, 3, 4);
  CHECK_THROWS_AS(cpu::activation_forward({.x = x, .y = other}), Error);
  CHECK_THROWS_AS(cpu::activation_forward({.x = x, .y = {}}), Error);
  CHECK_THROWS_AS(cpu::activation_forward({.x = wide, .y = wide}), Error);
  CHECK_THROWS_AS(ref::activation_forward({.x = x, .y = other}), Error);
  CHECK_THROWS_AS(cpu::activation_forward({.x = x, .y = x, .activation = static_cast<Activation>(99)}), Error);
  CHECK_THROWS_AS(cpu::activation_backward({.x = x, .dy = x, .dx = bf16}), Error);
  CHECK_THROWS_AS(cpu::activation_backward({.x = x, .dy = other, .dx = x}), Error);
}

}  // namespace rook::test
