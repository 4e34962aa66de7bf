// Batch norm as CUDA kernels against ref, and its folding against the CPU's.
#include "tests/kernels/batchnorm_cases.h"

#include "base/error.h"
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

// Several blocks of pixels, and rows of threads that are no power of two.
constexpr NhwcCase kSeveral = {"several blocks", 1, 61, 53, 40, {}, {8, 0}};
constexpr NhwcCase kScalar = {"several blocks of three channels", 1, 131, 97, 3, {}, {}};

}  // namespace

TEST_CASE("cuda batchnorm_forward, on every shape") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_forward(gpu_subject(gpu)); });
}
TEST_CASE("cuda batchnorm_inference, on every shape, also in place") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_inference(gpu_subject(gpu)); });
}
TEST_CASE("cuda batchnorm_backward, on every shape; parameters accumulate; dz may be dy") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_backward(gpu_subject(gpu)); });
}
TEST_CASE("cuda batchnorm, several blocks per channel") {
  for_each_gpu([](const Gpu& gpu) {
    Subject subject = gpu_subject(gpu);
    subject.shapes = {kSeveral, kScalar};
    test_batchnorm_forward(subject);
    test_batchnorm_backward(subject);
  });
}
TEST_CASE("cuda batchnorm_forward: statistics hold where |mean| >> std") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_large_mean(gpu_subject(gpu), kSeveral); });
}
TEST_CASE("cuda batchnorm: an outlier as the first pixel of a block does not spoil the statistics") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_outlier(gpu_subject(gpu), kSeveral); });
}
TEST_CASE("cuda batchnorm: the same bits in every order of threads, and whatever outputs held before") {
  for_each_gpu([](const Gpu& gpu) {
    for (const NhwcCase& shape : {kSeveral, kScalar}) test_batchnorm_bits(gpu_subject(gpu), shape);
  });
}
TEST_CASE("cuda batchnorm: a NaN in z is seen in the statistics of its channel and in no other") {
  for_each_gpu([](const Gpu& gpu) { test_batchnorm_nan(gpu_subject(gpu)); });
}

TEST_CASE("cuda fold_batchnorm: with batch norm and without") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(12);
    for (const auto& filters : {std::pair{1, 1}, std::pair{7, 27}, std::pair{5, 1153}}) {
      const int k = filters.first, count = filters.second;
      CAPTURE(k);
      TestArray<float> weights(k * count), gamma(k), beta(k), mean(k), var(k), folded(k * count), bias(k);
      weights.fill_uniform(random);
      gamma.fill_uniform(random);
      beta.fill_uniform(random);
      mean.fill_uniform(random);
      var.fill_uniform(random, 0.01, 3);
      for (const bool normalised : {true, false}) {
        subject.fold_batchnorm({.weights = weights.data(),
                                .k = k,
                                .count = count,
                                .gamma = normalised ? gamma.data() : nullptr,
                                .beta = beta.data(),
                                .running_mean = mean.data(),
                                .running_var = var.data(),
                                .eps = 1e-4f,
                                .folded_weights = folded.data(),
                                .folded_bias = bias.data()});
        TestArray<double> wanted(k * count), wanted_bias(k);
        for (int i = 0; i < k; ++i) {
          const double scale = normalised ? gamma[i] / std::sqrt(var[i] + double{1e-4f}) : 1;
          for (int j = 0; j < count; ++j) wanted[i * count + j] = weights[i * count + j] * scale;
          wanted_bias[i] = normalised ? beta[i] - mean[i] * scale : beta[i];
        }
        check_close("weights", folded, wanted, {1e-12, 1e-7});
        check_close("bias", bias, wanted_bias, {1e-7, 1e-7});
      }
    }
  });
}

TEST_CASE("cuda batchnorm: arguments that do not fit are errors") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(10);
    Layer layer({"", 1, 2, 3, 4, {}, {}}, DType::f32, DType::f32, random);
    CHECK_THROWS_AS(subject.batchnorm_forward(layer.forward(Activation::leaky)), Error);    // no workspace
    CHECK_THROWS_AS(subject.batchnorm_backward(layer.backward(Activation::leaky)), Error);  // no workspace
    CHECK_THROWS_AS(subject.batchnorm_inference(layer.inference(static_cast<Activation>(77))), Error);
    BatchNormInference inference = layer.inference(Activation::leaky);
    inference.gamma = nullptr;
    CHECK_THROWS_AS(subject.batchnorm_inference(inference), Error);
  });
}

}  // namespace rook::test
