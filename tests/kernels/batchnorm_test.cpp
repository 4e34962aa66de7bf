// Batch norm: cpu against ref, ref against finite differences and against statistics worked out by hand.
#include <cmath>

#include "base/error.h"
#include "tests/kernels/batchnorm_cases.h"

namespace rook::test {
namespace {

// A shape large enough for several blocks and threads.
constexpr NhwcCase kLarge = {"large", 2, 67, 61, 40, {}, {8, 0}};

}  // namespace

TEST_CASE("batchnorm: statistics and output worked out by hand") {
  Random random(1);
  const NhwcCase shape = {"hand", 1, 2, 2, 1, {}, {}};
  for (const bool reference : {false, true}) {
    Layer layer(shape, DType::f32, DType::f32, random);
    const double z[] = {1, 2, 3, 6};  // mean 3, biased variance 3.5, unbiased 14 / 3
    for (int i = 0; i < 4; ++i) layer.z.set(i, z[i]);
    layer.gamma[0] = 2;
    layer.beta[0] = 1;
    layer.running_mean[0] = 10;
    layer.running_var[0] = 1;
    BatchNormForward args = layer.forward(Activation::leaky);
    args.momentum = 0.25f;
    args.eps = 0.5f;
    if (reference)
      ref::batchnorm_forward(args);
    else
      cpu::batchnorm_forward(args);
    CHECK(layer.mean[0] == doctest::Approx(3));
    CHECK(layer.inv_std[0] == doctest::Approx(0.5));
    CHECK(layer.running_mean[0] == doctest::Approx(0.75 * 10 + 0.25 * 3));
    CHECK(layer.running_var[0] == doctest::Approx(0.75 + 0.25 * 14 / 3));
    CHECK(layer.y.get(0) == doctest::Approx(-0.1));  // leaky(2 (1 - 3) / 2 + 1)
    CHECK(layer.y.get(1) == doctest::Approx(0));
    CHECK(layer.y.get(2) == doctest::Approx(1));
    CHECK(layer.y.get(3) == doctest::Approx(4));
  }
}

TEST_CASE("batchnorm_forward: cpu is ref, on every shape") {
  test_batchnorm_forward(cpu_subject());
}
TEST_CASE("batchnorm_inference: cpu is ref, on every shape, also in place") {
  test_batchnorm_inference(cpu_subject());
}
TEST_CASE("batchnorm_backward: cpu is ref, on every shape; parameters accumulate; dz may be dy") {
  test_batchnorm_backward(cpu_subject());
}
TEST_CASE("batchnorm_forward: statistics hold where |mean| >> std") {
  test_batchnorm_large_mean(cpu_subject(), kLarge);
}
TEST_CASE("batchnorm: an outlier as the first pixel of a block does not spoil the statistics") {
  test_batchnorm_outlier(cpu_subject(), kLarge);
}
TEST_CASE("batchnorm: the same bits with one thread and with two, and whatever outputs held before") {
  test_batchnorm_bits(cpu_subject(), kLarge);
  test_batchnorm_bits(cpu_subject(), {"three channels", 2, 131, 127, 3, {}, {}});
}
TEST_CASE("batchnorm: a NaN in z is seen in the statistics of its channel and in no other") {
  test_batchnorm_nan(cpu_subject());
}

TEST_CASE("batchnorm_backward: ref is the derivative of ref forward, by finite differences") {
  Random random(5);
  for (const Activation activation : {Activation::linear, Activation::mish, Activation::swish, Activation::logistic}) {
    CAPTURE(std::string(name_of(activation)));
    Layer layer({"", 2, 3, 5, 3, {}, {}}, DType::f64, DType::f64, random);
    const TestTensor weight = layer.dy;
    const auto loss = [&] {
      ref::batchnorm_forward(layer.forward(activation));
      return weighted_sum(layer.y, weight);
    };
    loss();
    layer.dgamma.fill(0);
    layer.dbeta.fill(0);
    ref::batchnorm_backward(layer.backward(activation));
    const TestTensor dz = layer.dz;
    const TestArray<float> dgamma = layer.dgamma, dbeta = layer.dbeta;
    // mean and inv_std reach backward through float.
    check_gradient("dz", layer.z, dz, dz.elements(), loss, random, 1e-5, {1e-6, 1e-6});
    check_gradient("dgamma", layer.gamma, dgamma, dgamma.size(), loss, random, 1e-3, {1e-5, 1e-5});
    check_gradient("dbeta", layer.beta, dbeta, dbeta.size(), loss, random, 1e-3, {1e-5, 1e-5});
  }
}

TEST_CASE("batchnorm: arguments that do not fit are errors") {
  Random random(10);
  Layer layer({"", 1, 2, 3, 4, {}, {}}, DType::f32, DType::f32, random);
  TestTensor small(DType::f32, 1, 2, 3, 3), other(DType::bf16, 1, 2, 3, 4);
  BatchNormForward forward = layer.forward(Activation::leaky);
  forward.y = small;
  CHECK_THROWS_AS(cpu::batchnorm_forward(forward), Error);
  CHECK_THROWS_AS(ref::batchnorm_forward(forward), Error);
  forward = layer.forward(Activation::leaky);
  forward.running_var = nullptr;
  CHECK_THROWS_AS(cpu::batchnorm_forward(forward), Error);
  BatchNormInference inference = layer.inference(Activation::leaky);
  inference.gamma = nullptr;
  CHECK_THROWS_AS(cpu::batchnorm_inference(inference), Error);
  BatchNormBackward backward = layer.backward(Activation::leaky);
  backward.dy = other;
  CHECK_THROWS_AS(cpu::batchnorm_backward(backward), Error);
  backward = layer.backward(Activation::leaky);
  backward.dz.pitch = 2;
  CHECK_THROWS_AS(cpu::batchnorm_backward(backward), Error);
  backward = layer.backward(static_cast<Activation>(77));
  CHECK_THROWS_AS(cpu::batchnorm_backward(backward), Error);
}

}  // namespace rook::test
