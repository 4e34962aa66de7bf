// Bias and activation after a convolution, against ref.
#include "kernels/bias_activation.h"

#include <utility>

#include "base/error.h"
#include "kernels/ref/activation.h"
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

// It is no part of the table of operations.
auto operation_of([[maybe_unused]] const Gpu& gpu) {
#ifdef ROOK_TEST_CUDA
  if (gpu.ops->device == Device::cuda) return cuda::bias_activation;
#endif
  return emu::bias_activation;
}

void test_case(const Gpu& gpu, const NhwcCase& shape, DType dtype, Activation activation, bool biased, Random& random) {
  CAPTURE(std::string(shape.name));
  CAPTURE(std::string(name_of(dtype)));
  CAPTURE(std::string(name_of(activation)));
  TestTensor y(dtype, shape.n, shape.h, shape.w, shape.c, shape.in.before, shape.in.after);
  y.fill_normal(random, 0, 3);
  // Of parameters in an arena: behind an odd number of others.
  TestArray<float> bias(shape.c + 1);
  bias.fill_uniform(random, -2, 2);
  TestTensor expected = y.converted(DType::f64);
  for (std::int64_t i = 0; i < y.elements(); ++i)
    expected.set(i, ref::act(activation, y.get(i) + (biased ? bias[i % shape.c + 1] : 0.0)));
  const TestTensor before = y;
  TestTensor first = y;
  bool is_first = true;
  gpu.for_each_order([&](const std::string& order) {
    CAPTURE(order);
    y.copy_from(before);
    operation_of(gpu)(y, biased ? bias.data() + 1 : nullptr, activation, gpu.stream);
    gpu.finish();
    if (std::exchange(is_first, false)) {
      check_close("y", y, expected, {2e-6, tolerance_of(dtype).relative + 4e-6});
      first.copy_from(y);
    } else {
      CHECK(same_bits(first, y));
    }
  });
  CHECK(bias.guards_intact());
}

}  // namespace

TEST_CASE("bias_activation on every shape, with and without a bias") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(31);
    int index = 0;
    for (const NhwcCase& shape : gpu_subject(gpu).shapes) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        test_case(gpu, shape, dtype, static_cast<Activation>(index++ % kActivations), true, random);
        test_case(gpu, shape, dtype, Activation::leaky, false, random);
        test_case(gpu, shape, dtype, Activation::linear, true, random);
      }
    }
  });
}

TEST_CASE("bias_activation with nothing to do, and of types that it does not know") {
  for_each_gpu([](const Gpu& gpu) {
    const auto bias_activation = operation_of(gpu);
    TestTensor y(DType::bf16, 1, 2, 2, 3), wide(DType::f64, 1, 2, 2, 3);
    const std::vector<double> before = y.fill(-1.5).to_doubles();
    bias_activation(y, nullptr, Activation::linear, gpu.stream);
    gpu.finish();
    CHECK(y.to_doubles() == before);
    CHECK_THROWS_AS(bias_activation(wide, nullptr, Activation::relu, gpu.stream), Error);
    CHECK_THROWS_AS(bias_activation({}, nullptr, Activation::relu, gpu.stream), Error);
  });
}

}  // namespace rook::test
