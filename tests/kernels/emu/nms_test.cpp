// nms on a GPU and emulated: the cases of the CPU; the survivors are the same to the bit.
#include "base/error.h"
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/nms_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("nms: by class, best first, strictly above the threshold, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_by_class(gpu_subject(gpu)); });
}

TEST_CASE("nms: greedynms and diounms forgive far centres, plain does not, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_kinds(gpu_subject(gpu)); });
}

TEST_CASE("nms: a suppressed box suppresses nobody, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_chain(gpu_subject(gpu)); });
}

TEST_CASE("nms: equal scores go by index, then class; NaN scores vanish; nothing gives nothing, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_ties(gpu_subject(gpu)); });
}

TEST_CASE("nms: odd scores, indices and classes, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_odd_values(gpu_subject(gpu)); });
}

TEST_CASE("nms: equals ref, image by image, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_equals_ref(gpu_subject(gpu)); });
}

TEST_CASE("nms: thousands of candidates, in any order of threads, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_nms_deterministic(gpu_subject(gpu)); });
}

TEST_CASE("nms: thirty thousand candidates of eighty classes, as the CPU, on a GPU" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) { test_nms_many(gpu_subject(gpu)); });
}

TEST_CASE("nms: no workspace is an error, on a GPU") {
  for_each_gpu([](const Gpu& gpu) {
    Mapped<Detection> room(4);
    Mapped<std::int32_t> count(1, 1);
    const Nms args{.detections = room.data(), .counts = count.data(), .images = 1, .capacity = 4};
    CHECK_THROWS_AS(gpu.ops->nms(args, gpu.stream), Error);
  });
}
