// darknet's yolo loss on any device: its quirks by hand (darknet.md 6.1-6.5), comparison with ref.
#pragma once

#include <vector>

#include "kernels/box.h"
#include "tests/kernels/loss_cases.h"

namespace rook::test {

// One anchor of 32 x 32 pixels, two classes, a 1 x 2 grid of a network of 64 x 32, all outputs 0: boxes of half the
// image.
inline LossBatch darknet_tiny(const HeadLossParams& params = {}, float scale_x_y = 1) {
  LossHeadCase head{make_head(2, {{32, 32}}, {0}), 1, 2, params};
  head.spec.scale_x_y = scale_x_y;
  LossBatch batch({head}, 1);
  batch.logits(0).fill(0);
  batch.args.mode = LossMode::darknet;
  return batch;
}

// -dlogits.
inline double delta_of(LossBatch& batch, int cell, int entry) {
  return -batch.gradient(0).get(cell * 7 + entry);
}

inline void check_deltas(LossBatch& batch, int cell, const std::vector<double>& expected) {
  for (std::size_t e = 0; e < expected.size(); ++e) {
    CAPTURE(e);
    check_near(delta_of(batch, cell, static_cast<int>(e)), expected[e], 1e-6, "delta");
  }
}

// Squared error by hand, scaled by (2 - w h).
inline void test_darknet_mse(const Subject& subject) {
  HeadLossParams params;
  params.delta_normalizer = 0.5f;
  LossBatch batch = darknet_tiny(params, 2);
  batch.args.gradient_scale = 4;
  batch.logits(0).set(7, std::log(3.0));  // sigma .75: 2 * .75 - .5 = 1
  batch.logits(0).set(9, 0.25);
  batch.add(0, {.875f, .25f, .25f, .5f, 0});
  batch.run(subject);
  const double s = 2 * .75 * 1.875, ln2 = std::log(2.0);
  check_deltas(batch, 1, {s * (.75 - 1), s * (.25 - .5), s * (-ln2 - .25), s * -ln2, 2 * .5, 2 * .5, 2 * -.5});
  check_deltas(batch, 0, {0, 0, 0, 0, 2 * -.5, 0, 0});
  // The cost is the sum of all squares, before delta_normalizer.
  const LossParts& total = batch.parts[0];
  check_near(total.objectness, .5, 1e-6, "objectness");
  check_near(total.classes, .5, 1e-6, "classes");
  check_near(total.box, s * s / 4 * (.0625 + .0625 + std::pow(ln2 + .25, 2) + ln2 * ln2), 1e-5, "box");
  check_near(total.mean_noobj, .5, 1e-6, "objectness of all anchors");
  CHECK(total.positives == 1);
}

// The edge x = 1 belongs to the last column, x = 0 ends the truths.
inline void test_darknet_edges(const Subject& subject) {
  LossBatch batch = darknet_tiny();
  batch.add(0, {1, .5f, .25f, .5f, 0});
  batch.add(0, {0, .5f, .25f, .5f, 0});
  batch.add(0, {.25f, .5f, .25f, .5f, 0});
  batch.run(subject);
  check_near(delta_of(batch, 1, 0), .75 * 1.875 * (1 - .5), 1e-6, "x");
  check_deltas(batch, 0, {0, 0, 0, 0, -.5, 0, 0});
  CHECK(batch.parts[0].positives == 1);
  CHECK(batch.parts[0].unmatched == 2);
  CHECK(batch.parts[0].truths == 3);
}

// A good box is ignored only if some class is above 1/4.
inline void test_darknet_ignored(const Subject& subject) {
  LossBatch batch = darknet_tiny();
  batch.logits(0).set(7, -6);  // the box of cell 1 lies on the truth of cell 0
  for (int c : {5, 6}) batch.logits(0).set(7 + c, -2);
  batch.add(0, {.49f, .5f, .5f, 1, 0});
  batch.run(subject);
  check_near(delta_of(batch, 1, 4), -.5, 1e-6, "not ignored");
  batch.logits(0).set(7 + 6, 0);  // not the class of the truth
  batch.run(subject);
  check_near(delta_of(batch, 1, 4), 0, 1e-9, "ignored");
  // Smooth: drawn to the IoU instead, where that is higher than the background's delta.
  batch.params(0).objectness_smooth = true;
  batch.run(subject);
  const Box<double> box{(1 + sigmoid(-6.0)) / 2, .5, .5, 1};
  check_near(delta_of(batch, 1, 4), iou(box, Box<double>{.49f, .5, .5, 1}) - .5, 1e-6, "smooth");
}

// Objectness_smooth leaves positives the background's delta.
inline void test_darknet_smooth(const Subject& subject) {
  HeadLossParams params;
  params.objectness_smooth = true;
  LossBatch batch = darknet_tiny(params);
  for (int c : {5, 6}) batch.logits(0).set(c, -2);
  batch.add(0, {.25f, .5f, .5f, .9f, 0});
  batch.run(subject);
  check_near(delta_of(batch, 0, 4), .5, 1e-6, "repaired");
  batch.params(0).smooth_bug = true;
  batch.run(subject);
  check_near(delta_of(batch, 0, 4), -.5, 1e-6, "as darknet");
}

// Two truths on one cell.
inline void test_darknet_two_truths(const Subject& subject) {
  HeadLossParams params;
  params.box_loss = BoxLoss::giou;
  const auto deltas = [&](int second_class, float iou_thresh) {
    params.iou_thresh = iou_thresh;
    LossBatch batch = darknet_tiny(params);
    batch.add(0, {.3f, .5f, .5f, .9f, 0});
    if (second_class >= 0) batch.add(0, {.2f, .4f, .4f, .8f, second_class});
    batch.run(subject);
    std::vector<double> result;
    for (int e = 0; e < 7; ++e) result.push_back(delta_of(batch, 0, e));
    return result;
  };
  // Other classes make a union, whoever came first keeps its own entry.
  const std::vector<double> sum = deltas(1, 1), average = deltas(1, .99f), same = deltas(0, .99f);
  for (const auto& d : {sum, average}) {
    check_near(d[4], .5, 1e-6, "objectness");
    check_near(d[5], .5, 1e-6, "class 0");
    check_near(d[6], .5, 1e-6, "class 1");
  }
  check_near(same[6], -.5, 1e-6, "class 1 is not wanted");
  const std::vector<double> first = deltas(-1, 1);
  CHECK(std::abs(sum[2] - first[2]) > 0.01);
  for (std::size_t e = 0; e < 4; ++e) {
    check_near(average[e], sum[e] / 2, 1e-6, "two classes: averaged");
    check_near(same[e], sum[e], 1e-6, "one class: summed");
  }
}

// Class multipliers, smoothing and the inert cls_normalizer.
inline void test_darknet_classes(const Subject& subject) {
  static const float multipliers[] = {3, 2};
  HeadLossParams params;
  params.cls_normalizer = 0.5f;
  params.label_smooth_eps = 0.2f;
  LossBatch plain = darknet_tiny(params);
  plain.add(0, {.25f, .5f, .5f, .9f, 0});
  plain.run(subject);
  check_near(delta_of(plain, 0, 5), .9 - .5, 1e-6, "smoothed positive");
  check_near(delta_of(plain, 0, 6), .1 - .5, 1e-6, "smoothed negative");
  params.class_multipliers = multipliers;
  LossBatch weighted = darknet_tiny(params);
  weighted.add(0, {.25f, .5f, .5f, .9f, 0});
  weighted.run(subject);
  check_near(delta_of(weighted, 0, 5), (.9 - .5) * 3 * .5, 1e-6, "multiplied");
  check_near(delta_of(weighted, 0, 6), .1 - .5, 1e-6, "not multiplied");
  check_near(delta_of(weighted, 0, 4), 3 * .5, 1e-6, "objectness");
  check_near(delta_of(weighted, 0, 3), 3 * delta_of(plain, 0, 3), 1e-6, "box");
  weighted.add(0, {.25f, .5f, .5f, .9f, 0});  // the class again: without cls_normalizer
  weighted.run(subject);
  check_near(delta_of(weighted, 0, 5), (.9 - .5) * 3, 1e-6, "assigned again");
  // Focal: 0.5 (1 - pt)(1 - pt - 2 pt ln pt) of every entry, unsmoothed.
  HeadLossParams focal;
  focal.focal_loss = true;
  LossBatch hard = darknet_tiny(focal);
  hard.add(0, {.25f, .5f, .5f, .9f, 0});
  hard.run(subject);
  const double factor = .5 * .5 * (std::log(2.0) + .5);
  check_near(delta_of(hard, 0, 5), .5 * factor, 1e-6, "focal positive");
  check_near(delta_of(hard, 0, 6), -.5 * factor, 1e-6, "focal negative");
}

// Truth_thresh takes cells by overlap; truths of unused anchors are lost.
inline void test_darknet_truth_thresh(const Subject& subject) {
  HeadLossParams params;
  params.truth_thresh = 0.9f;
  LossBatch batch = darknet_tiny(params);
  batch.logits(0).set(7, -6);
  batch.add(0, {.5f - 1e-3f, .5f, .5f, 1, 1});
  batch.run(subject);
  check_near(delta_of(batch, 1, 4), .5, 1e-6, "objectness");
  check_near(delta_of(batch, 1, 6), .5, 1e-6, "class");
  CHECK(delta_of(batch, 1, 0) != 0);
  CHECK(batch.parts[0].positives == 1);

  LossBatch lost({{make_head(2, {{4, 4}, {32, 32}}, {1}), 1, 2}}, 1);
  lost.args.mode = LossMode::darknet;
  lost.logits(0).fill(0);
  lost.add(0, {.25f, .5f, .06f, .1f, 0});
  lost.run(subject);
  CHECK(lost.parts[0].unmatched == 1);
  CHECK(lost.parts[0].positives == 0);
  CHECK(lost.parts[0].mean_iou == 0);
}

// The cost with an IoU loss.
inline void test_darknet_cost(const Subject& subject) {
  HeadLossParams params;
  params.box_loss = BoxLoss::ciou;
  params.iou_normalizer = 0.07f;
  params.obj_normalizer = 2;
  LossBatch batch = darknet_tiny(params);
  batch.add(0, {.25f, .5f, .5f, .5f, 0});  // IoU 1/2
  batch.run(subject);
  check_near(batch.parts[0].box, .07 * .5, 1e-6, "box");
  check_near(batch.parts[0].objectness, 2 * (2 * .5 * 2 * .5 * 2), 1e-6, "objectness");
  check_near(batch.parts[0].classes, 2 * .5, 1e-6, "classes");
}

// All variants.
inline void test_darknet_equals_ref(const Subject& subject) {
  Random random(37);
  static const float multipliers[] = {1.5f, 0.5f, 2};
  std::vector<HeadLossParams> variants;
  for (BoxLoss loss : {BoxLoss::mse, BoxLoss::iou, BoxLoss::giou, BoxLoss::diou, BoxLoss::ciou}) {
    HeadLossParams p;
    p.box_loss = loss;
    p.ignore_thresh = 0.3f;
    variants.push_back(p);
    p.iou_thresh = 0.213f;
    p.max_delta = 2;
    p.objectness_smooth = loss != BoxLoss::iou;
    p.smooth_bug = loss == BoxLoss::ciou;
    p.label_smooth_eps = 0.1f;
    p.delta_normalizer = 0.3f;
    p.class_multipliers = multipliers;
    p.cls_normalizer = 0.5f;
    p.focal_loss = loss == BoxLoss::diou;
    p.truth_thresh = loss == BoxLoss::giou ? 0.4f : 1;
    variants.push_back(p);
  }
  for (const HeadLossParams& params : chosen(subject, variants)) {
    for (bool new_coords : {false, true}) {
      std::vector<LossHeadCase> heads = {{make_head(3, six_anchors(), {3, 4, 5}), 3, 5, params},
                                         {make_head(3, six_anchors(), {1, 2, 3}), 6, 10, params}};
      for (LossHeadCase& head : heads) {
        head.spec.new_coords = new_coords;
        head.spec.scale_x_y = new_coords ? 2 : 1.05f;
      }
      LossBatch batch(heads, 4);
      batch.fill(random, -1);
      batch.args.mode = LossMode::darknet;
      batch.args.gradient_scale = 0.25f;
      for (int image : {0, 1, 3}) {
        for (int i = 0; i < 9; ++i) {
          const auto u = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
          batch.add(image, {u(.01, 1), u(.01, 1), u(.02, .9), u(.02, .9), static_cast<std::int32_t>(random.below(4))});
        }
        batch.add(image, {.31f, .42f, .81f, .9f, 0});
        batch.add(image, {.33f, .44f, .7f, .95f, 2});
      }
      check_equals_ref(subject, batch);
    }
  }
}

}  // namespace rook::test
