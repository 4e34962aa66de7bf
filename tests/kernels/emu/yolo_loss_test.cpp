// yolo_loss on a GPU and emulated: the cases of the CPU.
#include "base/error.h"
#include "tests/kernels/emu/gpu_subject.h"
#include "tests/kernels/yolo_loss_cases.h"
#include "tests/kernels/yolo_loss_darknet_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("yolo_loss fixed: a perfect box by hand, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_perfect_box(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: mse by hand, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_mse(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: a good box that no truth took is left alone, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_ignored(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: two truths on one anchor cell, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_two_truths(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: assignment, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_assignment(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: hot logits stay finite, NaN shows, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_hot_logits(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: equals ref, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_equals_ref(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: hundreds of truths, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_many_truths(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: the smallest head, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_smallest(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss fixed: bf16 gradients are the rounded ones, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_fixed_bf16(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: squared error by hand, scaled by (2 - w h), on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_mse(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: the edge x = 1 belongs to the last column, x = 0 ends the truths, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_edges(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: a good box is ignored only if some class is above 1/4, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_ignored(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: objectness_smooth leaves positives the background's delta, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_smooth(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: two truths on one cell, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_two_truths(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: class multipliers, smoothing and the inert cls_normalizer, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_classes(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: truth_thresh takes cells by overlap; truths of unused anchors are lost, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_truth_thresh(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: the cost with an IoU loss, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_cost(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss darknet: equals ref, on a GPU") {
  for_each_gpu([](const Gpu& gpu) { test_darknet_equals_ref(gpu_subject(gpu)); });
}

TEST_CASE("yolo_loss: wrong arguments are errors, on a GPU") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(31);
    LossBatch batch = fixed_batch(fixed_variants()[0], 1, 2, 3, random);
    YoloLoss args = batch.bind();
    CHECK_THROWS_AS(gpu.ops->yolo_loss(args, gpu.stream), Error);  // no workspace
    TestWorkspace workspace(gpu.ops->yolo_loss_workspace(args));
    args.workspace = workspace.data();
    gpu.ops->yolo_loss(args, gpu.stream);
    gpu.finish();
    args.parts = nullptr;
    CHECK_THROWS_AS(gpu.ops->yolo_loss(args, gpu.stream), Error);
    args.heads = {};
    CHECK_THROWS_AS(gpu.ops->yolo_loss_workspace(args), Error);
  });
}
