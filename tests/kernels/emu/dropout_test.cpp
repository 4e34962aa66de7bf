// Dropout as a CUDA kernel: the mask of the CPU, whatever the layout.
#include "base/error.h"
#include "tests/kernels/dropout_cases.h"
#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {

TEST_CASE("cuda dropout agrees with ref on the mask to the element, in all modes") {
  for_each_gpu([](const Gpu& gpu) { test_dropout(gpu_subject(gpu)); });
}
TEST_CASE("cuda dropout: the counter is laid out as documented") {
  for_each_gpu([](const Gpu& gpu) { test_dropout_counter(gpu_subject(gpu)); });
}
TEST_CASE("cuda dropout: the iteration of a step, in parts") {
  for_each_gpu([](const Gpu& gpu) { test_dropout_step(gpu_subject(gpu)); });
}
TEST_CASE("cuda dropout in place, and backward is forward applied to the gradient") {
  for_each_gpu([](const Gpu& gpu) { test_dropout_in_place(gpu_subject(gpu)); });
}
TEST_CASE("cuda dropout: dropped elements are 0 even where the input is not finite") {
  for_each_gpu([](const Gpu& gpu) { test_dropout_nan(gpu_subject(gpu)); });
}

TEST_CASE("cuda dropout is cpu dropout to the bit, on every shape") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Random random(45);
    for (const NhwcCase& shape : subject.shapes) {
      CAPTURE(std::string(shape.name));
      for (const DType dtype : kStorageTypes) {
        const TestTensor x = random_tensor(shape, dtype, shape.in, random);
        TestTensor y = random_tensor(shape, dtype, shape.out, random), expected = y;
        Dropout args{.x = x, .y = expected, .probability = 0.2f, .seed = 1, .iteration = 2, .layer = 3};
        cpu::dropout(args);
        args.y = y;
        subject.for_each_way([&] {
          y.poison(Poison::nan);
          subject.dropout(args);
          CHECK(same_bits(y, expected));
          CHECK(y.guards_intact());
        });
      }
    }
  });
}

TEST_CASE("cuda dropout refuses probabilities outside of [0, 1)") {
  for_each_gpu([](const Gpu& gpu) {
    const TestTensor x(DType::f32, 1, 2, 2, 4);
    CHECK_THROWS_AS(gpu_subject(gpu).dropout({.x = x, .y = x, .probability = 1}), Error);
  });
}

}  // namespace rook::test
