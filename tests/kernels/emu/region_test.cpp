// yolo_loss of a region head on a GPU and emulated: the cases of the CPU.
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/region_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("region darknet: one truth by hand, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_region_one_truth(gpu_subject(gpu)); });
}

TEST_CASE("region darknet: without bias_match the predicted shape decides, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_region_by_prediction(gpu_subject(gpu)); });
}

TEST_CASE("region darknet: warm-up draws every anchor to its prior; good boxes are not background, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_region_warm_up(gpu_subject(gpu)); });
}

TEST_CASE("region: equals ref in both modes, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_region_equals_ref(gpu_subject(gpu)); });
}

TEST_CASE("region darknet: images seen are those of the step, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_region_step(gpu_subject(gpu)); });
}
