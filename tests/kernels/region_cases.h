// The loss of a region head on any device: darknet's deltas by hand (darknet.md 6.6), comparison with ref in both
// modes.
#pragma once

#include <cmath>
#include <vector>

#include "tests/kernels/loss_cases.h"

namespace rook::test {

// Two anchors, of 1 x 1 and 1/2 x 1/2 cells, two classes, a grid of 1 x 2, all outputs 0.
inline LossBatch region_tiny(const HeadLossParams& params) {
  HeadSpec head = make_head(2, {{1, 1}, {.5f, .5f}}, {0, 1});
  head.kind = HeadKind::region;
  LossBatch batch({{head, 1, 2, params}}, 1);
  batch.logits(0).fill(0);
  batch.args.mode = LossMode::darknet;
  batch.args.seen = 12800;
  return batch;
}

inline void check_region_deltas(LossBatch& batch, int slot, const std::vector<double>& expected) {
  for (std::size_t e = 0; e < expected.size(); ++e) {
    CAPTURE(slot);
    CAPTURE(e);
    check_near(-batch.gradient(0).get(slot * 7 + static_cast<int>(e)), expected[e], 1e-6, "delta");
  }
}

// One truth by hand.
inline void test_region_one_truth(const Subject& subject) {
  HeadLossParams params;
  params.coord_scale = 2;
  params.object_scale = 5;
  params.noobject_scale = 3;
  params.class_scale = 7;
  params.bias_match = true;
  LossBatch batch = region_tiny(params);
  batch.args.gradient_scale = 1;
  batch.add(0, {.875f, .25f, .25f, .5f, 1});  // the shape of anchor 1, in cell 1: x .75, y .25
  batch.run(subject);
  check_region_deltas(batch, 3, {2 * .25 * .25, 2 * -.25 * .25, 0, 0, 5 * .5 * .25, 7 * -.5, 7 * .5});
  check_region_deltas(batch, 0, {0, 0, 0, 0, 3 * -.5 * .25, 0, 0});
  check_region_deltas(batch, 2, {0, 0, 0, 0, 3 * -.5 * .25, 0, 0});
  CHECK(batch.parts[0].positives == 1);
  check_near(batch.parts[0].objectness, std::pow(.625, 2) + 3 * std::pow(.375, 2), 1e-6, "objectness");
  check_near(batch.parts[0].classes, 2 * 3.5 * 3.5, 1e-5, "classes");
  // rescore: the target is the IoU with the box (.75, .5, .25, .5): (.125 * .25) / (.25 - .03125).
  batch.params(0).rescore = true;
  batch.run(subject);
  const double overlap = .03125 / .21875;
  check_near(-batch.gradient(0).get(3 * 7 + 4), 5 * (overlap - .5) * .25, 1e-6, "rescored");
  check_near(batch.parts[0].mean_iou, overlap, 1e-6, "mean iou");
}

// Without bias_match the predicted shape decides.
inline void test_region_by_prediction(const Subject& subject) {
  LossBatch batch = region_tiny({});
  batch.logits(0).set(2, -std::log(2.0));  // anchor 0 of cell 0 predicts the shape of anchor 1
  batch.logits(0).set(3, -std::log(2.0));
  batch.logits(0).set(7 + 2, 3);
  batch.logits(0).set(7 + 3, 3);
  batch.add(0, {.25f, .5f, .25f, .5f, 0});
  batch.run(subject);
  CHECK(batch.gradient(0).get(5) != 0);
  CHECK(batch.gradient(0).get(7 + 5) == 0);
  batch.params(0).bias_match = true;
  batch.run(subject);
  CHECK(batch.gradient(0).get(5) == 0);
  CHECK(batch.gradient(0).get(7 + 5) != 0);
}

// Warm-up draws every anchor to its prior; good boxes are not background.
inline void test_region_warm_up(const Subject& subject) {
  LossBatch batch = region_tiny({});
  batch.args.seen = 12799;
  batch.logits(0).set(14, std::log(3.0));  // anchor 0 of cell 1: x .75
  batch.logits(0).set(16, 0.5);
  batch.run(subject);
  check_region_deltas(batch, 2, {.01 * -.25 * .1875, 0, .01 * -.5, 0, -.5 * .25});
  check_region_deltas(batch, 0, {0, 0, 0, 0, -.5 * .25});
  batch.args.seen = 12800;
  batch.add(0, {.25f, .5f, .5f, .9f, 0});  // anchor 0 takes it; IoU above thresh there only
  batch.add(0, {.7f, .5f, .9f, .9f, 5});   // no such class
  batch.run(subject);
  check_region_deltas(batch, 2, {0, 0, 0, 0, -.5 * .25});
  CHECK(batch.parts[0].unmatched == 1);
  batch.params(0).thresh = 0.2f;
  batch.run(subject);
  check_region_deltas(batch, 1, {0, 0, 0, 0, 0});  // the small anchor lies inside the truth: IoU .28
}

inline void add_random_truths(LossBatch& batch, Random& random, int image, int count) {
  for (int i = 0; i < count; ++i) {
    const auto u = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
    batch.add(image, {u(.01, 1), u(.01, 1), u(.05, .9), u(.05, .9), static_cast<std::int32_t>(random.below(4))});
  }
}

inline std::vector<HeadLossParams> region_variants() {
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

inline LossBatch region_batch(const HeadLossParams& params, bool softmax, int images, Random& random, DType dtype) {
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

// All variants, in both modes, in the warm-up and after.
inline void test_region_equals_ref(const Subject& subject) {
  Random random(41);
  for (const HeadLossParams& params : chosen(subject, region_variants())) {
    for (bool softmax : {false, true}) {
      for (LossMode mode : {LossMode::fixed, LossMode::darknet}) {
        for (std::int64_t seen : {0, 100000}) {
          LossBatch batch = region_batch(params, softmax, 3, random, DType::f32);
          batch.args.mode = mode;
          batch.args.seen = seen;
          check_equals_ref(subject, batch);
        }
      }
    }
  }
}

// `step` says how many images were seen.
inline void test_region_step(const Subject& subject) {
  Random random(45);
  LossBatch batch = region_batch(region_variants()[0], true, 3, random, DType::f32), step = batch;
  batch.args.mode = step.args.mode = LossMode::darknet;
  Mapped<StepState> state(1);
  for (const std::int64_t seen : {12799, 12800}) {
    batch.args.seen = state[0].seen = seen;
    step.args.seen = 25599 - seen;  // is not looked at
    step.args.step = state.data();
    batch.run(subject);
    step.run(subject);
    check_same(step, batch);
  }
}

}  // namespace rook::test
