// Batch norm against ref and against statistics worked out by hand, on any device.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "tests/kernels/activation_cases.h"
#include "tests/kernels/subject.h"

namespace rook::test {

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

// On `subject`, with poisoned and guarded scratch.
inline void run_forward(const Subject& subject, Layer& layer, BatchNormForward args, Poison poison = Poison::nan) {
  TestWorkspace workspace(subject.batchnorm_forward_workspace(args), poison);
  args.workspace = workspace.data();
  subject.batchnorm_forward(args);
  CHECK(workspace.guards_intact());
  CHECK(layer.guards_intact());
}
inline void run_backward(const Subject& subject, Layer& layer, BatchNormBackward args, Poison poison = Poison::nan) {
  TestWorkspace workspace(subject.batchnorm_backward_workspace(args), poison);
  args.workspace = workspace.data();
  subject.batchnorm_backward(args);
  CHECK(workspace.guards_intact());
  CHECK(layer.guards_intact());
}

// batchnorm_forward against ref, on every shape.
inline void test_batchnorm_forward(const Subject& subject) {
  Random random(2);
  int index = 0;
  for (const NhwcCase& shape : subject.shapes) {
    for (const DType dtype : subject.types) {
      for (const DType out : subject.types) {
        const auto activation = static_cast<Activation>(index++ % kActivations);
        CAPTURE(std::string(shape.name));
        CAPTURE(std::string(name_of(activation)));
        Layer layer(shape, dtype, out, random), expected = layer.in_double();
        ref::batchnorm_forward(expected.forward(activation));
        run_forward(subject, layer, layer.forward(activation));
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

// batchnorm_inference against ref, on every shape, also in place.
inline void test_batchnorm_inference(const Subject& subject) {
  Random random(3);
  int index = 0;
  for (const NhwcCase& shape : subject.shapes) {
    for (const DType dtype : subject.types) {
      const auto activation = static_cast<Activation>(index++ % kActivations);
      CAPTURE(std::string(shape.name));
      CAPTURE(std::string(name_of(activation)));
      Layer layer(shape, dtype, dtype, random), expected = layer.in_double();
      const TestArray<float> mean = layer.running_mean, var = layer.running_var;
      ref::batchnorm_inference(expected.inference(activation));
      subject.batchnorm_inference(layer.inference(activation));
      check_close("y", layer.y, expected.y, {1e-5, tolerance_of(dtype).relative + 4e-6});
      CHECK(same_bits(layer.running_mean, mean));
      CHECK(same_bits(layer.running_var, var));
      CHECK(layer.guards_intact());
      BatchNormInference in_place = layer.inference(activation);
      in_place.y = layer.z;
      subject.batchnorm_inference(in_place);
      CHECK(same_bits(layer.z, layer.y));
    }
  }
}

// batchnorm_backward against ref, on every shape; parameters accumulate; dz may be dy.
inline void test_batchnorm_backward(const Subject& subject) {
  Random random(4);
  int index = 0;
  for (const NhwcCase& shape : subject.shapes) {
    for (const DType dtype : subject.types) {
      const auto activation = static_cast<Activation>(index++ % kActivations);
      CAPTURE(std::string(shape.name));
      CAPTURE(std::string(name_of(activation)));
      Layer layer(shape, dtype, dtype, random);
      run_forward(subject, layer, layer.forward(activation));
      // Away from kinks, where it and ref could fall on different sides.
      if (activation != Activation::mish) {
        for (std::int64_t i = 0; i < layer.z.elements(); ++i) {
          const std::int64_t c = i % shape.c;
          const double v = (layer.z.get(i) - layer.mean[c]) * layer.inv_std[c] * layer.gamma[c] + layer.beta[c];
          if (std::abs(v - std::round(v)) < 1e-4) layer.dy.set(i, 0);  // all kinks are at whole numbers
        }
      }
      Layer expected = layer.in_double();
      ref::batchnorm_backward(expected.backward(activation));
      run_backward(subject, layer, layer.backward(activation));
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
      run_backward(subject, layer, in_place);
      if (layer.dy.view().dense() == layer.dz.view().dense()) {
        CHECK(same_bits(layer.dy, layer.dz));
      } else {
        CHECK(compare(layer.dy, expected.dz, {1e-5 * std::max(1.0, largest), tolerance_of(dtype).relative + 1e-5}).ok);
      }
    }
  }
}

// batchnorm_forward: statistics hold where |mean| >> std.
inline void test_batchnorm_large_mean(const Subject& subject, const NhwcCase& large) {
  Random random(6);
  for (const DType out : subject.types) {
    Layer layer(large, DType::f32, out, random);
    layer.z.fill_normal(random, 1000, 0.05);
    Layer expected = layer.in_double();
    ref::batchnorm_forward(expected.forward(Activation::linear));
    run_forward(subject, layer, layer.forward(Activation::linear));
    check_close("mean", layer.mean, expected.mean, {0, 1e-7});
    check_close("inv_std", layer.inv_std, expected.inv_std, {0, 1e-5});
    // The mean is kept in float: half a unit in its last place, 3e-5, is 6e-4 standard deviations.
    check_close("y", layer.y, expected.y, {2e-3, tolerance_of(out).relative});
  }
}

// batchnorm: an outlier as the first pixel of a block does not spoil the statistics.
inline void test_batchnorm_outlier(const Subject& subject, const NhwcCase& large) {
  Random random(7);
  Layer layer(large, DType::f32, DType::f32, random);
  for (int c = 0; c < large.c; ++c) layer.z.set(0, 0, 0, c, 200);  // a hundred standard deviations
  Layer expected = layer.in_double();
  ref::batchnorm_forward(expected.forward(Activation::linear));
  run_forward(subject, layer, layer.forward(Activation::linear));
  check_close("mean", layer.mean, expected.mean, {1e-5, 1e-5});
  check_close("inv_std", layer.inv_std, expected.inv_std, {0, 1e-4});
}

// batchnorm: a NaN in z is seen in the statistics of its channel and in no other.
inline void test_batchnorm_nan(const Subject& subject) {
  Random random(9);
  Layer layer({"", 1, 9, 7, 5, {}, {}}, DType::f32, DType::f32, random);
  layer.z.set(0, 4, 3, 2, NAN);
  run_forward(subject, layer, layer.forward(Activation::leaky));
  for (int c = 0; c < 5; ++c) {
    CHECK(std::isnan(layer.mean[c]) == (c == 2));
    CHECK(std::isnan(layer.inv_std[c]) == (c == 2));
    CHECK(std::isnan(layer.y.get(0, 0, 0, c)) == (c == 2));
  }
}

// The same bits under all circumstances, and whatever outputs and scratch held before.
inline void test_batchnorm_bits(const Subject& subject, const NhwcCase& shape) {
  for (const DType dtype : subject.types) {
    std::optional<Layer> first;
    subject.for_each_way([&] {
      const Poison poison = first ? Poison::huge : Poison::nan;
      Random random(8);
      Layer layer(shape, dtype, dtype, random);
      layer.y.poison(poison);
      layer.dz.poison(poison);
      layer.mean.fill(poison == Poison::nan ? NAN : 1e30f);
      run_forward(subject, layer, layer.forward(Activation::mish), poison);
      run_backward(subject, layer, layer.backward(Activation::mish), poison);
      if (!first) {
        first = layer;
        return;
      }
      CHECK(same_bits(first->y, layer.y));
      CHECK(same_bits(first->dz, layer.dz));
      CHECK(same_bits(first->mean, layer.mean));
      CHECK(same_bits(first->inv_std, layer.inv_std));
      CHECK(same_bits(first->running_mean, layer.running_mean));
      CHECK(same_bits(first->running_var, layer.running_var));
      CHECK(same_bits(first->dgamma, layer.dgamma));
      CHECK(same_bits(first->dbeta, layer.dbeta));
    });
  }
}

}  // namespace rook::test
