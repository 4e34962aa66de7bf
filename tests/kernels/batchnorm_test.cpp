// Batch norm: cpu against ref, ref against finite differences and against statistics worked out by hand.
#include <cmath>

#include "base/error.h"
#include "kernels/ops.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace rook::test {
namespace {

constexpr int kActivations = static_cast<int>(Activation::ramp) + 1;

// Everything that batch norm reads and writes for one shape.
struct Layer {
  Layer(const NhwcCase& s, DType dtype, DType out, Random& random)
      : z(dtype, s.n, s.h, s.w, s.c, s.in.before, s.in.after),
        y(out, s.n, s.h, s.w, s.c, s.out.before, s.out.after),
        dy(dtype, s.n, s.h, s.w, s.c, s.out.before, s.out.after),
        dz(dtype, s.n, s.h, s.w, s.c, s.in.before, s.in.after),
        gamma(s.c),
        beta(s.c),
        mean(s.c),
        inv_std(s.c),
        running_mean(s.c),
        running_var(s.c),
        dgamma(s.c),
        dbeta(s.c) {
    z.fill_normal(random, 0.5, 2);
    dy.fill_normal(random);
    gamma.fill_uniform(random, 0.5, 1.5);
    beta.fill_uniform(random, -0.5, 0.5);
    running_mean.fill_uniform(random);
    running_var.fill_uniform(random, 0.1, 2);
    dgamma.fill_uniform(random);
    dbeta.fill_uniform(random);
  }

  BatchNormForward forward(Activation activation) {
    return {.z = z,
            .y = y,
            .gamma = gamma.data(),
            .beta = beta.data(),
            .mean = mean.data(),
            .inv_std = inv_std.data(),
            .running_mean = running_mean.data(),
            .running_var = running_var.data(),
            .activation = activation};
  }
  BatchNormInference inference(Activation activation) {
    return {.z = z,
            .y = y,
            .gamma = gamma.data(),
            .beta = beta.data(),
            .running_mean = running_mean.data(),
            .running_var = running_var.data(),
            .activation = activation};
  }
  BatchNormBackward backward(Activation activation) {
    return {.z = z,
            .dy = dy,
            .dz = dz,
            .gamma = gamma.data(),
            .beta = beta.data(),
            .mean = mean.data(),
            .inv_std = inv_std.data(),
            .dgamma = dgamma.data(),
            .dbeta = dbeta.data(),
            .activation = activation};
  }
  bool guards_intact() const {
    return z.guards_intact() && y.guards_intact() && dy.guards_intact() && dz.guards_intact() &&
           gamma.guards_intact() && beta.guards_intact() && mean.guards_intact() && inv_std.guards_intact() &&
           running_mean.guards_intact() && running_var.guards_intact() && dgamma.guards_intact() &&
           dbeta.guards_intact();
  }
  // The same values in f64, dense.
  Layer in_double() const {
    Layer result = *this;
    result.z = z.converted(DType::f64);
    result.y = y.converted(DType::f64);
    result.dy = dy.converted(DType::f64);
    result.dz = dz.converted(DType::f64);
    return result;
  }

  TestTensor z, y, dy, dz;
  TestArray<float> gamma, beta, mean, inv_std, running_mean, running_var, dgamma, dbeta;
};

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
  Random random(2);
  int index = 0;
  for (const NhwcCase& shape : kNhwcCases) {
    for (const DType dtype : kStorageTypes) {
      for (const DType out : kStorageTypes) {
        const auto activation = static_cast<Activation>(index++ % kActivations);
        CAPTURE(std::string(shape.name));
        CAPTURE(std::string(name_of(activation)));
        Layer layer(shape, dtype, out, random), expected = layer.in_double();
        ref::batchnorm_forward(expected.forward(activation));
        cpu::batchnorm_forward(layer.forward(activation));
        const Tolerance exact{1e-6, 4e-6};
        check_close("y", layer.y, expected.y, {1e-5, tolerance_of(out).relative + 4e-6});
        check_close("mean", layer.mean, expected.mean, exact);
        check_close("inv_std", layer.inv_std, expected.inv_std, exact);
        check_close("running_mean", layer.running_mean, expected.running_mean, exact);
        check_close("running_var", layer.running_var, expected.running_var, exact);
        CHECK(layer.guards_intact());
      }
    }
  }
}

TEST_CASE("batchnorm_inference: cpu is ref, on every shape, also in place") {
  Random random(3);
  int index = 0;
  for (const NhwcCase& shape : kNhwcCases) {
    for (const DType dtype : kStorageTypes) {
      const auto activation = static_cast<Activation>(index++ % kActivations);
      CAPTURE(std::string(shape.name));
      CAPTURE(std::string(name_of(activation)));
      Layer layer(shape, dtype, dtype, random), expected = layer.in_double();
      const TestArray<float> mean = layer.running_mean, var = layer.running_var;
      ref::batchnorm_inference(expected.inference(activation));
      cpu::batchnorm_inference(layer.inference(activation));
      check_close("y", layer.y, expected.y, {1e-5, tolerance_of(dtype).relative + 4e-6});
      CHECK(same_bits(layer.running_mean, mean));
      CHECK(same_bits(layer.running_var, var));
      CHECK(layer.guards_intact());
      BatchNormInference in_place = layer.inference(activation);
      in_place.y = layer.z;
      cpu::batchnorm_inference(in_place);
      CHECK(same_bits(layer.z, layer.y));
    }
  }
}

TEST_CASE("batchnorm_backward: cpu is ref, on every shape; parameters accumulate; dz may be dy") {
  Random random(4);
  int index = 0;
  for (const NhwcCase& shape : kNhwcCases) {
    for (const DType dtype : kStorageTypes) {
      const auto activation = static_cast<Activation>(index++ % kActivations);
      CAPTURE(std::string(shape.name));
      CAPTURE(std::string(name_of(activation)));
      Layer layer(shape, dtype, dtype, random);
      cpu::batchnorm_forward(layer.forward(activation));
      // Away from kinks, where cpu and ref could fall on different sides.
      if (activation != Activation::mish) {
        for (std::int64_t i = 0; i < layer.z.elements(); ++i) {
          const std::int64_t c = i % shape.c;
          const double v = (layer.z.get(i) - layer.mean[c]) * layer.inv_std[c] * layer.gamma[c] + layer.beta[c];
          for (const double kink : {0.0, 6.0, -2.0}) {
            if (std::abs(v - kink) < 1e-4) layer.dy.set(i, 0);
          }
        }
      }
      Layer expected = layer.in_double();
      ref::batchnorm_backward(expected.backward(activation));
      cpu::batchnorm_backward(layer.backward(activation));
      const double count = static_cast<double>(layer.z.view().pixels());
      const Tolerance sums{2e-6 * std::sqrt(count) + 1e-5, 1e-5};
      // One pixel: dv cancels completely and what remains is rounding, scaled by inv_std = 316.
      const double largest = *std::max_element(layer.inv_std.span().begin(), layer.inv_std.span().end());
      check_close("dz", layer.dz, expected.dz, {1e-5 * std::max(1.0, largest), tolerance_of(dtype).relative + 1e-5});
      check_close("dgamma", layer.dgamma, expected.dgamma, sums);
      check_close("dbeta", layer.dbeta, expected.dbeta, sums);
      CHECK(layer.guards_intact());
      BatchNormBackward in_place = layer.backward(activation);
      in_place.dz = layer.dy;
      cpu::batchnorm_backward(in_place);
      if (layer.dy.view().dense() == layer.dz.view().dense()) {
        CHECK(same_bits(layer.dy, layer.dz));
      } else {
        CHECK(compare(layer.dy, expected.dz, {1e-5 * std::max(1.0, largest), tolerance_of(dtype).relative + 1e-5}).ok);
      }
    }
  }
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

TEST_CASE("batchnorm_forward: statistics hold where |mean| >> std") {
  Random random(6);
  for (const DType out : kStorageTypes) {
    Layer layer(kLarge, DType::f32, out, random);
    layer.z.fill_normal(random, 1000, 0.05);
    Layer expected = layer.in_double();
    ref::batchnorm_forward(expected.forward(Activation::linear));
    cpu::batchnorm_forward(layer.forward(Activation::linear));
    check_close("mean", layer.mean, expected.mean, {0, 1e-7});
    check_close("inv_std", layer.inv_std, expected.inv_std, {0, 1e-5});
    // The mean is kept in float: half a unit in its last place, 3e-5, is 6e-4 standard deviations.
    check_close("y", layer.y, expected.y, {2e-3, tolerance_of(out).relative});
  }
}

TEST_CASE("batchnorm: an outlier as the first pixel of a block does not spoil the statistics") {
  Random random(7);
  Layer layer(kLarge, DType::f32, DType::f32, random);
  for (int c = 0; c < kLarge.c; ++c) layer.z.set(0, 0, 0, c, 200);  // a hundred standard deviations
  Layer expected = layer.in_double();
  ref::batchnorm_forward(expected.forward(Activation::linear));
  cpu::batchnorm_forward(layer.forward(Activation::linear));
  check_close("mean", layer.mean, expected.mean, {1e-5, 1e-5});
  check_close("inv_std", layer.inv_std, expected.inv_std, {0, 1e-4});
}

TEST_CASE("batchnorm: the same bits with one thread and with two, and whatever outputs held before") {
  for (const DType dtype : kStorageTypes) {
    for (const NhwcCase& shape : {kLarge, NhwcCase{"three channels", 2, 131, 127, 3, {}, {}}}) {
      const auto run = [&](int threads, Poison poison) {
        Random random(8);
        const ThreadScope scope(threads);
        Layer layer(shape, dtype, dtype, random);
        layer.y.poison(poison);
        layer.dz.poison(poison);
        layer.mean.fill(poison == Poison::nan ? NAN : 1e30f);
        cpu::batchnorm_forward(layer.forward(Activation::mish));
        cpu::batchnorm_backward(layer.backward(Activation::mish));
        return layer;
      };
      const Layer one = run(1, Poison::nan), two = run(2, Poison::huge), three = run(3, Poison::nan);
      for (const Layer* other : {&two, &three}) {
        CHECK(same_bits(one.y, other->y));
        CHECK(same_bits(one.dz, other->dz));
        CHECK(same_bits(one.mean, other->mean));
        CHECK(same_bits(one.inv_std, other->inv_std));
        CHECK(same_bits(one.running_mean, other->running_mean));
        CHECK(same_bits(one.running_var, other->running_var));
        CHECK(same_bits(one.dgamma, other->dgamma));
        CHECK(same_bits(one.dbeta, other->dbeta));
      }
    }
  }
}

TEST_CASE("batchnorm: a NaN in z is seen in the statistics of its channel and in no other") {
  Random random(9);
  Layer layer({"", 1, 9, 7, 5, {}, {}}, DType::f32, DType::f32, random);
  layer.z.set(0, 4, 3, 2, NAN);
  cpu::batchnorm_forward(layer.forward(Activation::leaky));
  for (int c = 0; c < 5; ++c) {
    CHECK(std::isnan(layer.mean[c]) == (c == 2));
    CHECK(std::isnan(layer.inv_std[c]) == (c == 2));
    CHECK(std::isnan(layer.y.get(0, 0, 0, c)) == (c == 2));
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
