// The detection loss in fixed mode on any device: values and assignment by hand, comparison with ref.
#pragma once

#include <utility>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/box.h"
#include "tests/kernels/loss_cases.h"

namespace rook::test {

inline constexpr float kMultipliers[] = {1.5f, 0.5f, 2};

// yolov4-tiny's traps: anchor 0 belongs to no head, anchor 3 to both.
inline std::vector<LossHeadCase> two_heads(int rows, int cols, const HeadLossParams& params) {
  std::vector<LossHeadCase> heads = {{make_head(3, six_anchors(), {3, 4, 5}), rows, cols, params},
                                     {make_head(3, six_anchors(), {1, 2, 3}), 2 * rows, 2 * cols, params}};
  heads[0].spec.scale_x_y = 1.05f;
  heads[1].spec.scale_x_y = 1.2f;
  return heads;
}

// One of each kind of truth: ordinary, two in one cell with one anchor (same shape, other class), at the edges, tiny.
inline void add_truths(LossBatch& batch, int image) {
  batch.add(image, {.31f, .42f, .81f, .9f, 0});
  batch.add(image, {.33f, .44f, .7f, .95f, 2});
  batch.add(image, {1.0f, .99f, .3f, .25f, 1});
  batch.add(image, {.71f, .13f, .04f, .06f, 1});
}

struct NamedParams {
  const char* name;
  HeadLossParams params;
  bool new_coords = false;
};

inline std::vector<NamedParams> fixed_variants() {
  std::vector<NamedParams> all;
  for (BoxLoss loss : {BoxLoss::mse, BoxLoss::iou, BoxLoss::giou, BoxLoss::diou, BoxLoss::ciou}) {
    HeadLossParams p;
    p.box_loss = loss;
    p.ignore_thresh = 0.3f;
    all.push_back({"box loss", p});
    all.push_back({"box loss, new_coords", p, true});
  }
  HeadLossParams p;
  p.box_loss = BoxLoss::ciou;
  p.ignore_thresh = 0.4f;
  p.iou_normalizer = 5;
  p.obj_normalizer = 0.7f;
  p.cls_normalizer = 0.5f;
  p.iou_thresh = 0.213f;
  all.push_back({"several anchors", p});
  p.iou_thresh_kind = IouKind::ciou;
  p.label_smooth_eps = 0.1f;
  p.objectness_smooth = true;
  all.push_back({"smooth", p});
  all.push_back({"smooth, new_coords", p, true});
  p.class_multipliers = kMultipliers;
  all.push_back({"class multipliers", p});
  p.focal_loss = true;
  all.push_back({"focal", p});
  all.push_back({"focal, new_coords", p, true});
  return all;
}

inline LossBatch fixed_batch(const NamedParams& variant, int images, int rows, int cols, Random& random,
                             DType logits = DType::f32, DType gradient = DType::f32) {
  std::vector<LossHeadCase> heads = two_heads(rows, cols, variant.params);
  for (LossHeadCase& head : heads) {
    head.spec.new_coords = variant.new_coords;
    if (variant.new_coords) head.spec.scale_x_y = 2;
  }
  LossBatch batch(heads, images, logits, gradient);
  batch.fill(random, -1);
  batch.args.gradient_scale = 1.75f;
  return batch;
}

// One anchor of 32 x 32 pixels, two classes, a 1 x 2 grid of a network of 64 x 32.
inline LossBatch tiny_batch(HeadLossParams params = {}) {
  LossBatch batch({{make_head(2, {{32, 32}}, {0}), 1, 2, params}}, 1);
  batch.logits(0).fill(0);
  return batch;
}

// A perfect box by hand.
inline void test_fixed_perfect_box(const Subject& subject) {
  HeadLossParams params;
  params.box_loss = BoxLoss::ciou;
  LossBatch batch = tiny_batch(params);
  batch.add(0, {.25f, .5f, .5f, 1, 1});  // what logits of 0 decode to in cell 0
  batch.args.gradient_scale = 2;
  batch.run(subject);
  const LossParts& total = batch.parts[0];
  const double ln2 = std::log(2.0);
  check_near(total.box, 0, 1e-6, "box");
  check_near(total.objectness, 2 * 2 * ln2, 1e-6, "objectness of both cells");
  check_near(total.classes, 2 * 2 * ln2, 1e-6, "both classes of the positive");
  check_near(total.mean_iou, 1, 1e-6, "mean iou");
  check_near(total.mean_obj, .5, 1e-6, "mean obj");
  check_near(total.mean_noobj, .5, 1e-6, "mean noobj");
  check_near(batch.image_loss[0], 8 * ln2, 1e-5, "image loss");
  CHECK(total.positives == 1);
  CHECK(total.truths == 1);
  CHECK(total.unmatched == 0);
  const double expected[] = {0, 0, 0, 0, -1, 1, -1, 0, 0, 0, 0, 1, 0, 0};
  for (int i = 0; i < 14; ++i) check_near(batch.gradient(0).get(i), expected[i], 1e-5, "gradient");
}

// Mse by hand.
inline void test_fixed_mse(const Subject& subject) {
  LossBatch batch = tiny_batch();  // iou_normalizer .75
  batch.add(0, {.875f, .25f, .25f, .5f, 0});
  batch.run(subject);
  // Cell 1: targets x .75, y .25, ln(1/2) twice; outputs .5, .5, 0, 0; 2 - w h = 1.875.
  const double scale = .75 * 1.875, ln2 = std::log(2.0);
  check_near(batch.parts[0].box, scale / 2 * (2 * .0625 + 2 * ln2 * ln2), 1e-6, "box");
  const double expected[] = {-.25 * .25 * scale, .25 * .25 * scale, ln2 * scale, ln2 * scale};
  for (int i = 0; i < 4; ++i) check_near(batch.gradient(0).get(7 + i), expected[i], 1e-6, "gradient");
}

// A good box that no truth took is left alone.
inline void test_fixed_ignored(const Subject& subject) {
  LossBatch batch = tiny_batch();
  batch.logits(0).set(7, -6);  // cell 1 decodes to x = (1 + .002) / 2: IoU with the truth of cell 0 is above 1/2
  batch.add(0, {.49f, .5f, .5f, 1, 0});
  batch.run(subject);
  CHECK(batch.gradient(0).get(7 + 4) == 0);
  check_near(batch.parts[0].objectness, std::log(2.0), 1e-6, "objectness");
  batch.params(0).ignore_thresh = 0.99f;
  batch.run(subject);
  CHECK(batch.gradient(0).get(7 + 4) > 0.4);
}

// Two truths on one anchor cell.
inline void test_fixed_two_truths(const Subject& subject) {
  HeadLossParams params;
  params.box_loss = BoxLoss::iou;
  LossBatch one = tiny_batch(params), both = tiny_batch(params);
  one.add(0, {.3f, .5f, .5f, .9f, 0});
  both.add(0, {.3f, .5f, .5f, .9f, 0});
  both.add(0, {.2f, .4f, .4f, .9f, 1});
  one.run(subject);
  both.run(subject);
  CHECK(both.parts[0].positives == 2);
  CHECK(both.parts[0].unmatched == 0);
  // Divided by two; both classes are wanted, each class term counts twice; objectness counts once.
  check_near(both.gradient(0).get(4), -.5 / 2, 1e-6, "objectness");
  check_near(both.gradient(0).get(5), 2 * -.5 / 2, 1e-6, "class 0");
  check_near(both.gradient(0).get(6), 2 * -.5 / 2, 1e-6, "class 1");
  check_near(one.gradient(0).get(6), .5, 1e-6, "class 1 of one truth");
  const double ious[] = {iou(Box<double>{.25, .5, .5, 1}, Box<double>{.3f, .5, .5, .9f}),
                         iou(Box<double>{.25, .5, .5, 1}, Box<double>{.2f, .4f, .4f, .9f})};
  check_near(both.parts[0].box, .75 * (2 - ious[0] - ious[1]) / 2, 1e-6, "box");
  check_near(both.parts[0].mean_iou, (ious[0] + ious[1]) / 2, 1e-6, "mean iou");
}

// Which anchor cells have a class gradient: those that a truth took.
inline std::vector<std::pair<int, int>> taken(LossBatch& batch) {
  std::vector<std::pair<int, int>> result;
  for (std::size_t h = 0; h < batch.heads(); ++h) {
    const std::int64_t slots = batch.gradient(h).elements() / 8;
    for (std::int64_t s = 0; s < slots; ++s) {
      if (batch.gradient(h).get(s * 8 + 5) != 0) result.emplace_back(static_cast<int>(h), static_cast<int>(s));
    }
  }
  return result;
}

using Places = std::vector<std::pair<int, int>>;

// Assignment.
inline void test_fixed_assignment(const Subject& subject) {
  HeadLossParams params;
  params.box_loss = BoxLoss::ciou;
  const auto batch_of = [&](const Truth& truth) {
    LossBatch batch(two_heads(13, 13, params), 1);
    batch.logits(0).fill(-1);
    batch.logits(1).fill(-1);
    batch.add(0, truth);
    return batch;
  };
  // Anchor 5, 344 x 319 of 416: the coarse head, cell (6, 6).
  LossBatch large = batch_of({.5f, .5f, .8f, .8f, 0});
  large.run(subject);
  CHECK(taken(large) == Places{{0, (6 * 13 + 6) * 3 + 2}});
  // Anchor 3, 81 x 82, belongs to both.
  LossBatch shared = batch_of({.5f, .5f, .2f, .2f, 0});
  shared.run(subject);
  CHECK(taken(shared) == Places{{0, (6 * 13 + 6) * 3 + 0}, {1, (13 * 26 + 13) * 3 + 2}});
  CHECK(shared.parts[0].positives == 2);
  CHECK(shared.parts[1].positives == 1);
  // Anchor 0, 10 x 14, belongs to none: anchor 1 takes its truth.
  LossBatch small = batch_of({0, 1, .02f, .03f, 0});
  small.run(subject);
  CHECK(taken(small) == Places{{1, (25 * 26 + 0) * 3 + 0}});
  CHECK(small.parts[0].unmatched == 0);
  CHECK(small.parts[1].unmatched == 1);
  // iou_thresh: every other anchor whose shape fits. 37 x 58 fits best; with 23 x 27 and 81 x 82 IoU is above .25.
  params.iou_thresh = .25f;
  LossBatch several = batch_of({1, 0, 37 / 416.f, 58 / 416.f, 0});
  several.run(subject);
  CHECK(taken(several) == Places{{0, 12 * 3 + 0}, {1, 25 * 3 + 0}, {1, 25 * 3 + 1}, {1, 25 * 3 + 2}});
  // Truths without a class, a size or a number cannot be learnt.
  const float nan = std::nanf("");
  for (const Truth& bad : {Truth{.5f, .5f, .2f, .2f, 3}, Truth{.5f, .5f, .2f, .2f, -1}, Truth{.5f, .5f, 0, .2f, 0},
                           Truth{nan, .5f, .2f, .2f, 0}, Truth{.5f, .5f, .2f, INFINITY, 0}}) {
    LossBatch batch = batch_of(bad);
    batch.run(subject);
    CHECK(taken(batch).empty());
    CHECK(batch.parts[0].unmatched == 1);
    CHECK(batch.parts[0].truths == 1);
    CHECK(std::isfinite(batch.parts[0].objectness));
  }
}

// Hot logits stay finite, NaN shows.
inline void test_fixed_hot_logits(const Subject& subject) {
  for (bool new_coords : {false, true}) {
    HeadLossParams params;
    params.box_loss = BoxLoss::ciou;
    std::vector<LossHeadCase> heads = two_heads(2, 3, params);
    for (LossHeadCase& head : heads) head.spec.new_coords = new_coords;
    LossBatch batch(heads, 1);
    Random random(29);
    for (std::size_t h = 0; h < 2; ++h) {
      for (std::int64_t i = 0; i < batch.logits(h).elements(); ++i) {
        batch.logits(h).set(i, new_coords ? static_cast<double>(random.below(2)) : random.uniform(-300, 300));
      }
    }
    add_truths(batch, 0);
    batch.run(subject);
    CHECK(std::isfinite(batch.image_loss[0]));
    for (std::size_t h = 0; h < 2; ++h) {
      for (double g : batch.gradient(h).to_doubles()) REQUIRE(std::isfinite(g));
    }
    batch.logits(1).set(4, std::nan(""));
    batch.run(subject);
    CHECK(std::isnan(batch.image_loss[0]));
    CHECK(std::isnan(batch.parts[0].objectness));
    CHECK(std::isnan(batch.gradient(1).get(4)));
  }
}

// All variants.
inline void test_fixed_equals_ref(const Subject& subject) {
  Random random(19);
  for (const NamedParams& variant : chosen(subject, fixed_variants())) {
    CAPTURE(std::string(variant.name));
    LossBatch batch = fixed_batch(variant, 5, 3, 5, random);
    for (int image : {0, 1, 3}) add_truths(batch, image);  // 2 and 4 have none
    for (int i = 0; i < 8; ++i) {
      const auto u = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
      batch.add(3, {u(0, 1), u(0, 1), u(.02, .9), u(.02, .9), static_cast<std::int32_t>(random.below(3))});
    }
    check_equals_ref(subject, batch);
  }
}

// More truths than a chunk of the comparison holds, many of them on the same anchor cells, and grids of several tiles.
inline void test_fixed_many_truths(const Subject& subject) {
  Random random(47);
  HeadLossParams params;
  params.box_loss = BoxLoss::ciou;
  params.iou_thresh = 0.3f;
  LossBatch batch(two_heads(9, 11, params), 2, DType::f32, DType::f32, 300);
  batch.fill(random, -1);
  for (int i = 0; i < 291; ++i) {
    const auto u = [&](double low, double high) { return static_cast<float>(random.uniform(low, high)); };
    batch.add(1, {u(.4, .6), u(0, 1), u(.02, .9), u(.02, .9), static_cast<std::int32_t>(random.below(3))});
  }
  check_equals_ref(subject, batch);
  CHECK(batch.parts[0].positives > 300);
}

// One image without truths, one anchor, one class, one cell.
inline void test_fixed_smallest(const Subject& subject) {
  LossBatch batch({{make_head(1, {{32, 32}}, {0}), 1, 1}}, 1);
  batch.logits(0).fill(0);
  check_equals_ref(subject, batch);
  CHECK(batch.parts[0].truths == 0);
  CHECK(batch.gradient(0).get(4) == 0.5);
}

// bf16 gradients are the rounded ones.
inline void test_fixed_bf16(const Subject& subject) {
  Random random(23);
  LossBatch batch = fixed_batch(fixed_variants()[8], 2, 3, 5, random);
  add_truths(batch, 1);
  LossBatch narrow = batch.converted(DType::f32, DType::bf16);
  batch.run(subject);
  narrow.run(subject);
  for (std::size_t h = 0; h < 2; ++h) {
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < batch.gradient(h).elements(); ++i) {
      const float exact = static_cast<float>(batch.gradient(h).get(i));
      different += !(narrow.gradient(h).get(i) == static_cast<double>(bf16_to_float(float_to_bf16(exact))));
    }
    CHECK(different == 0);
  }
}

}  // namespace rook::test
