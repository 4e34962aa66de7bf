// yolo_loss of a region head (YOLOv2): darknet's deltas by hand (darknet.md 6.6), the fixed loss by finite differences,
// cpu against ref in both modes.
#include "base/error.h"
#include "kernels/ref/yolo_loss.h"
#include "tests/kernels/loss_cases.h"

namespace rook {
namespace {

using test::check_near;
using test::LossBatch;
using test::make_head;

void run_cpu(LossBatch& batch) {
  batch.run_cpu();
}
void run_ref(LossBatch& batch) {
  batch.run_ref();
}
constexpr auto kBoth = {run_cpu, run_ref};

// Two anchors, of 1 x 1 and 1/2 x 1/2 cells, two classes, a grid of 1 x 2, all outputs 0.
LossBatch tiny(const HeadLossParams& params) {
  HeadSpec head = make_head(2, {{1, 1}, {.5f, .5f}}, {0, 1});
  head.kind = HeadKind::region;
  LossBatch batch({{head, 1, 2, params}}, 1);
  batch.logits(0).fill(0);
  batch.args.mode = LossMode::darknet;
  batch.args.seen = 12800;
  return batch;
}

void check_deltas(LossBatch& batch, int slot, const std::vector<double>& expected) {
  for (std::size_t e = 0; e < expected.size(); ++e) {
    CAPTURE(slot);
    CAPTURE(e);
    check_near(-batch.gradient(0).get(slot * 7 + static_cast<int>(e)), expected[e], 1e-6, "delta");
  }
}

TEST_CASE("region darknet: one truth by hand") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.coord_scale = 2;
    params.object_scale = 5;
    params.noobject_scale = 3;
    params.class_scale = 7;
    params.bias_match = true;
    LossBatch batch = tiny(params);
    batch.args.gradient_scale = 1;
    batch.add(0, {.875f, .25f, .25f, .5f, 1});  // the shape of anchor 1, in cell 1: x .75, y .25
    run(batch);
    check_deltas(batch, 3, {2 * .25 * .25, 2 * -.25 * .25, 0, 0, 5 * .5 * .25, 7 * -.5, 7 * .5});
    check_deltas(batch, 0, {0, 0, 0, 0, 3 * -.5 * .25, 0, 0});
    check_deltas(batch, 2, {0, 0, 0, 0, 3 * -.5 * .25, 0, 0});
    CHECK(batch.parts[0].positives == 1);
    check_near(batch.parts[0].objectness, std::pow(.625, 2) + 3 * std::pow(.375, 2), 1e-6, "objectness");
    check_near(batch.parts[0].classes, 2 * 3.5 * 3.5, 1e-5, "classes");
    // rescore: the target is the IoU with the box (.75, .5, .25, .5): (.125 * .25) / (.25 - .03125).
    batch.params(0).rescore = true;
    run(batch);
    const double overlap = .03125 / .21875;
    check_near(-batch.gradient(0).get(3 * 7 + 4), 5 * (overlap - .5) * .25, 1e-6, "rescored");
    check_near(batch.parts[0].mean_iou, overlap, 1e-6, "mean iou");
  }
}

TEST_CASE("region darknet: without bias_match the predicted shape decides") {
  for (auto run : kBoth) {
    LossBatch batch = tiny({});
    batch.logits(0).set(2, -std::log(2.0));  // anchor 0 of cell 0 predicts the shape of anchor 1
    batch.logits(0).set(3, -std::log(2.0));
    batch.logits(0).set(7 + 2, 3);
    batch.logits(0).set(7 + 3, 3);
    batch.add(0, {.25f, .5f, .25f, .5f, 0});
    run(batch);
    CHECK(batch.gradient(0).get(5) != 0);
    CHECK(batch.gradient(0).get(7 + 5) == 0);
    batch.params(0).bias_match = true;
    run(batch);
    CHECK(batch.gradient(0).get(5) == 0);
    CHECK(batch.gradient(0).get(7 + 5) != 0);
  }
}

TEST_CASE("region darknet: warm-up draws every anchor to its prior; good boxes are not background") {
  for (auto run : kBoth) {
    LossBatch batch = tiny({});
    batch.args.seen = 12799;
    batch.logits(0).set(14, std::log(3.0));  // anchor 0 of cell 1: x .75
    batch.logits(0).set(16, 0.5);
    run(batch);
    check_deltas(batch, 2, {.01 * -.25 * .1875, 0, .01 * -.5, 0, -.5 * .25});
    check_deltas(batch, 0, {0, 0, 0, 0, -.5 * .25});
    batch.args.seen = 12800;
    batch.add(0, {.25f, .5f, .5f, .9f, 0});  // anchor 0 takes it; IoU above thresh there only
    batch.add(0, {.7f, .5f, .9f, .9f, 5});   // no such class
    run(batch);
    check_deltas(batch, 2, {0, 0, 0, 0, -.5 * .25});
    CHECK(batch.parts[0].unmatched == 1);
    batch.params(0).thresh = 0.2f;
    run(batch);
    check_deltas(batch, 1, {0, 0, 0, 0, 0});  // the small anchor lies inside the truth: IoU .28
  }
}

void add_random_truths(LossBatch& batch, test::Random& random, int image, int count) {
  for (int i = 0; i < count; ++i) {
    const auto u = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
    batch.add(image, {u(.01, 1), u(.01, 1), u(.05, .9), u(.05, .9), static_cast<std::int32_t>(random.below(4))});
  }
}

std::vector<HeadLossParams> variants() {
  static const float multipliers[] = {1.5f, 0.5f, 2, 1};
  HeadLossParams plain, all, ciou;
  plain.thresh = 0.3f;
  all = plain;
  all.rescore = true;
  all.label_smooth_eps = 0.1f;
  all.class_multipliers = multipliers;
  all.object_scale = 5;
  all.noobject_scale = 0.5f;
  all.class_scale = 2;
  all.coord_scale = 3;
  ciou = all;
  ciou.box_loss = BoxLoss::ciou;
  ciou.focal_loss = true;
  ciou.iou_thresh = 0.3f;
  return {plain, all, ciou};
}

LossBatch make_batch(const HeadLossParams& params, bool softmax, int images, test::Random& random, DType dtype) {
  HeadSpec head = make_head(4, {{1.08f, 1.19f}, {3.42f, 4.41f}, {2.63f, 1.38f}}, {0, 1, 2});
  head.kind = HeadKind::region;
  head.softmax = softmax;
  LossBatch batch({{head, 5, 4, params}}, images, dtype, dtype);
  batch.fill(random, -1);
  batch.args.gradient_scale = 0.5f;
  for (int n = 0; n < images; n += 2) {
    add_random_truths(batch, random, n, 3);
    batch.add(n, {.31f, .42f, .3f, .25f, 0});
    batch.add(n, {.33f, .44f, .32f, .25f, 2});
    batch.add(n, {1, 1, .3f, .25f, 1});
  }
  return batch;
}

TEST_CASE("region: cpu equals ref in both modes") {
  test::Random random(41);
  for (const HeadLossParams& params : variants()) {
    for (bool softmax : {false, true}) {
      for (LossMode mode : {LossMode::fixed, LossMode::darknet}) {
        for (std::int64_t seen : {0, 100000}) {
          LossBatch batch = make_batch(params, softmax, 3, random, DType::f32);
          batch.args.mode = mode;
          batch.args.seen = seen;
          check_cpu_equals_ref(batch);
        }
      }
    }
  }
}

TEST_CASE("region fixed: every gradient is that of finite differences") {
  test::Random random(43);
  for (const HeadLossParams& params : variants()) {
    for (bool softmax : {false, true}) {
      LossBatch batch = make_batch(params, softmax, 1, random, DType::f64);
      batch.run_ref();
      CHECK(batch.parts[0].positives >= 3);
      const YoloLoss& args = batch.bind();
      const ref::FixedPoint point = ref::fixed_point(args);
      test::check_gradient(
          "dlogits", batch.logits(0), batch.gradient(0), batch.logits(0).elements(),
          [&] { return ref::fixed_loss(args, point); }, random, 1e-5, {2e-7, 1e-5}, batch.logits(0).elements());
    }
  }
}

TEST_CASE("region: stands alone, without the keys of yolo heads") {
  HeadSpec head = make_head(2, {{1, 1}}, {0});
  head.kind = HeadKind::region;
  const auto run = [](const std::vector<test::LossHeadCase>& heads) {
    LossBatch batch(heads, 1);
    batch.logits(0).fill(0);
    batch.run_cpu();
  };
  run({{head, 1, 1}});
  CHECK_THROWS_AS(run({{head, 1, 1}, {head, 2, 2}}), Error);
  head.new_coords = true;
  CHECK_THROWS_AS(run({{head, 1, 1}}), Error);
}

}  // namespace
}  // namespace rook
