// yolo_loss of a region head (YOLOv2) on the CPU: darknet's deltas by hand (darknet.md 6.6), the fixed loss by finite
// differences, against ref in both modes.
#include "base/error.h"
#include "kernels/ref/yolo_loss.h"
#include "tests/kernels/region_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("region darknet: one truth by hand") {
  test_region_one_truth(cpu_subject());
  test_region_one_truth(ref_subject());
}

TEST_CASE("region darknet: without bias_match the predicted shape decides") {
  test_region_by_prediction(cpu_subject());
  test_region_by_prediction(ref_subject());
}

TEST_CASE("region darknet: warm-up draws every anchor to its prior; good boxes are not background") {
  test_region_warm_up(cpu_subject());
  test_region_warm_up(ref_subject());
}

TEST_CASE("region: cpu equals ref in both modes") {
  test_region_equals_ref(cpu_subject());
}

TEST_CASE("region darknet: images seen are those of the step") {
  test_region_step(cpu_subject());
}

TEST_CASE("region fixed: every gradient is that of finite differences") {
  Random random(43);
  for (const HeadLossParams& params : region_variants()) {
    for (bool softmax : {false, true}) {
      LossBatch batch = region_batch(params, softmax, 1, random, DType::f64);
      batch.run(ref_subject());
      CHECK(batch.parts[0].positives >= 3);
      const YoloLoss& args = batch.bind();
      const ref::FixedPoint point = ref::fixed_point(args);
      check_gradient(
          "dlogits", batch.logits(0), batch.gradient(0), batch.logits(0).elements(),
          [&] { return ref::fixed_loss(args, point); }, random, 1e-5, {2e-7, 1e-5}, batch.logits(0).elements());
    }
  }
}

TEST_CASE("region: stands alone, without the keys of yolo heads") {
  HeadSpec head = make_head(2, {{1, 1}}, {0});
  head.kind = HeadKind::region;
  const auto run = [](const std::vector<LossHeadCase>& heads) {
    LossBatch batch(heads, 1);
    batch.logits(0).fill(0);
    batch.run(cpu_subject());
  };
  run({{head, 1, 1}});
  CHECK_THROWS_AS(run({{head, 1, 1}, {head, 2, 2}}), Error);
  head.new_coords = true;
  CHECK_THROWS_AS(run({{head, 1, 1}}), Error);
}
