// copy_channels, fill_channels, shortcut, scale_channels, sam, softmax as CUDA kernels against ref.
#include "tests/kernels/elementwise_cases.h"

#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {

TEST_CASE("cuda copy_channels: values of any type to any type, into and out of slices, adding or not") {
  for_each_gpu([](const Gpu& gpu) { test_copy_channels(gpu_subject(gpu)); });
}
TEST_CASE("cuda copy_channels: more elements than the grid has threads" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) {
    Subject subject = gpu_subject(gpu);
    subject.types = {DType::f32};
    subject.shapes = {{"more than the grid", 1, 131, 127, 17, {1, 0}, {}}};
    test_copy_channels(subject);
  });
}
TEST_CASE("cuda fill_channels fills a slice and nothing else") {
  for_each_gpu([](const Gpu& gpu) { test_fill_channels(gpu_subject(gpu)); });
}
TEST_CASE("cuda shortcut_forward: two, one and several inputs, narrower and wider ones, in place") {
  for_each_gpu([](const Gpu& gpu) { test_shortcut_forward(gpu_subject(gpu)); });
}
TEST_CASE("cuda shortcut_backward: narrower and wider inputs") {
  for_each_gpu([](const Gpu& gpu) { test_shortcut_backward(gpu_subject(gpu)); });
}
TEST_CASE("cuda scale_channels: a gate per channel and a gate per pixel, forward and backward") {
  for_each_gpu([](const Gpu& gpu) { test_scale_channels(gpu_subject(gpu)); });
}
TEST_CASE("cuda sam: forward and backward, one gradient or both") {
  for_each_gpu([](const Gpu& gpu) { test_sam(gpu_subject(gpu)); });
}
TEST_CASE("cuda softmax: groups and temperatures, forward and backward; each group adds up to one") {
  for_each_gpu([](const Gpu& gpu) { test_softmax(gpu_subject(gpu)); });
}
TEST_CASE("cuda softmax: a NaN among the logits is not hidden") {
  for_each_gpu([](const Gpu& gpu) { test_softmax_nan(gpu_subject(gpu)); });
}
TEST_CASE("cuda normalize_channels: each kind, forward and backward") {
  for_each_gpu([](const Gpu& gpu) { test_normalize_channels(gpu_subject(gpu)); });
}
TEST_CASE("cuda normalize_channels: a NaN is not hidden, and large values do not overflow") {
  for_each_gpu([](const Gpu& gpu) { test_normalize_channels_extremes(gpu_subject(gpu)); });
}

TEST_CASE("cuda elementwise: what kernels do not do is an error") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    const TestTensor x(DType::f32, 1, 2, 3, 4), wide(DType::f64, 1, 2, 3, 4), other(DType::f32, 1, 2, 3, 5);
    CHECK_THROWS_AS(subject.copy_channels({.src = x, .dst = wide}), Error);
    CHECK_THROWS_AS(subject.copy_channels({.src = x, .dst = other}), Error);
    CHECK_THROWS_AS(subject.sam_forward({.a = x, .b = other, .y = x}), Error);
    CHECK_THROWS_AS(subject.softmax_forward({.x = x, .y = x, .groups = 3}), Error);
    const std::vector<Tensor> many(33, x.view());
    CHECK_THROWS_AS(subject.shortcut_forward({.inputs = many, .y = x}), Error);
    CHECK_THROWS_AS(subject.scale_channels_forward({.x = x, .gate = other, .y = x}), Error);
  });
}

}  // namespace rook::test
