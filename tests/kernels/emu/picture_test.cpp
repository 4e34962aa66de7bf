// resize and augment as CUDA kernels: on the cases of the CPU, in every type and order of threads.
#include "base/error.h"
#include "tests/kernels/augment_cases.h"
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/resize_cases.h"

namespace rook::test {

TEST_CASE("cuda resize: every way of scaling and fitting, into every type") {
  for_each_gpu([](const Gpu& gpu) { test_resize(gpu_subject(gpu)); });
}
TEST_CASE("cuda resize: the same size is a copy") {
  for_each_gpu([](const Gpu& gpu) { test_resize_copy(gpu_subject(gpu)); });
}
TEST_CASE("cuda augment: odd sizes, photos of any size, every kind of change") {
  for_each_gpu([](const Gpu& gpu) { test_augment(gpu_subject(gpu)); });
}
TEST_CASE("cuda augment: pictures and truths of the CPU") {
  for_each_gpu([](const Gpu& gpu) { test_augment_like_cpu(gpu_subject(gpu)); });
}
TEST_CASE("cuda augment: more truths than a warp, than there is room for") {
  for_each_gpu([](const Gpu& gpu) { test_augment_truths(gpu_subject(gpu)); });
}
TEST_CASE("cuda augment: a step's state gives the iteration and its order") {
  for_each_gpu([](const Gpu& gpu) { test_augment_step(gpu_subject(gpu)); });
}

TEST_CASE("cuda pictures: what does not fit is an error") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    TestTensor f64(DType::f64, 1, 3, 3, 3), grey(DType::f32, 1, 3, 3, 1);
    const ResizePhoto photo{2, 2, 3, Mapped<std::uint8_t>(12)};
    CHECK_THROWS_AS(subject.resize(photo.to(f64, Resampling::area)), Error);
    CHECK_THROWS_AS(subject.resize(photo.to(grey, Resampling::area)), Error);
    Random random(1);
    const std::vector<AugmentPhoto> photos = {random_photo(random, 5, 5, 1)};
    AugmentBatch batch(photos, {0}, DType::f64, 3, 3, 1);
    CHECK_THROWS_AS(subject.augment(batch.args), Error);
    batch.args.y = grey;
    CHECK_THROWS_AS(subject.augment(batch.args), Error);
  });
}

}  // namespace rook::test
