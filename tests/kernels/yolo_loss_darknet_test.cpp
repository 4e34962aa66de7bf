// yolo_loss, darknet mode: its quirks by hand (darknet.md 6.1-6.5), cpu against ref.
#include "kernels/darknet_delta.h"
#include "tests/kernels/loss_cases.h"

namespace rook {
namespace {

using test::check_near;
using test::LossBatch;
using test::LossHeadCase;
using test::make_head;
using test::six_anchors;

void run_cpu(LossBatch& batch) {
  batch.run_cpu();
}
void run_ref(LossBatch& batch) {
  batch.run_ref();
}
constexpr auto kBoth = {run_cpu, run_ref};

// One anchor of 32 x 32 pixels, two classes, a 1 x 2 grid of a network of 64 x 32, all outputs 0: boxes of half the
// image.
LossBatch tiny(const HeadLossParams& params = {}, float scale_x_y = 1) {
  LossHeadCase head{make_head(2, {{32, 32}}, {0}), 1, 2, params};
  head.spec.scale_x_y = scale_x_y;
  LossBatch batch({head}, 1);
  batch.logits(0).fill(0);
  batch.args.mode = LossMode::darknet;
  return batch;
}

// -dlogits.
double delta(LossBatch& batch, int cell, int entry) {
  return -batch.gradient(0).get(cell * 7 + entry);
}

void check_deltas(LossBatch& batch, int cell, const std::vector<double>& expected) {
  for (std::size_t e = 0; e < expected.size(); ++e) {
    CAPTURE(e);
    check_near(delta(batch, cell, static_cast<int>(e)), expected[e], 1e-6, "delta");
  }
}

void check_box(const Box<double>& actual, const Box<double>& expected) {
  check_near(actual.x, expected.x, 1e-12, "x");
  check_near(actual.y, expected.y, 1e-12, "y");
  check_near(actual.w, expected.w, 1e-12, "w");
  check_near(actual.h, expected.h, 1e-12, "h");
}

TEST_CASE("darknet box deltas: boxes apart, by hand") {
  // [-1, 1]^2 and [3, 5]^2: both overlaps are -2, so I = 4 and U = 4 + 4 - 4.
  const Box<double> p{0, 0, 2, 2}, t{4, 4, 2, 2};
  // left: -4 * -2 / 16, right: (4 * -2 - 4 * 4) / 16; it pushes the box away.
  check_box(darknet_iou_delta(BoxLoss::iou, p, t), {-1, -1, -2, -2});
  // C = 36; left: (36 * -2 + 4 * 6) / 36^2, right: 36 * 4 / 36^2.
  check_box(darknet_iou_delta(BoxLoss::giou, p, t), {2.0 / 27, 2.0 / 27, 4.0 / 27, 4.0 / 27});
  // S = 32, C = 72; x: (2 * 4 * 72 + 12 * 32) / 72^2 with the turned sign, w: 6 * 32 / 72^2.
  check_box(darknet_iou_delta(BoxLoss::diou, p, t), {5.0 / 27, 5.0 / 27, 1.0 / 27, 1.0 / 27});
  check_box(darknet_iou_delta(BoxLoss::ciou, p, t), {5.0 / 27, 5.0 / 27, 1.0 / 27, 1.0 / 27});
}

TEST_CASE("darknet box deltas: symmetric and nested boxes, by hand") {
  // The same square: nothing in x and y, IoU wants it smaller in w and h (2 d = 2 * 4 * 2 / 16).
  const Box<double> p{0, 0, 2, 2};
  check_box(darknet_iou_delta(BoxLoss::ciou, p, p), {0, 0, -1, -1});
  // A truth of half the height: U = 4, I = 2; aspect: atan 2 - atan 1.
  const Box<double> flat{0, 0, 2, 1};
  const double d = std::atan(2.0) - std::atan(1.0), v = 4 / (M_PI * M_PI) * d * d;
  const double pull = v / (0.5 + v + 1e-6) * 8 / (M_PI * M_PI) * d * 2;
  check_box(darknet_iou_delta(BoxLoss::diou, p, flat), {0, 0, -.5, -.5});
  check_box(darknet_iou_delta(BoxLoss::ciou, p, flat), {0, 0, -.5 + pull, -.5 - pull});
  // A predicted width of 0 counts as 1.
  check_box(darknet_iou_delta(BoxLoss::ciou, {0, 0, 0, 2}, flat), darknet_iou_delta(BoxLoss::ciou, {0, 0, 1, 2}, flat));
}

TEST_CASE("darknet box deltas: chain rule without its factors, limits, NaN") {
  HeadLossParams params;
  params.box_loss = BoxLoss::iou;
  params.iou_normalizer = 2;
  CellDecoder<double> cell{.anchor_w = 1, .anchor_h = 1};
  const Box<double> t{0, 0, std::log(2.0), std::log(2.0)}, truth{4.5, 4.5, 2, 2};  // the boxes apart, moved by 1/2
  check_box(darknet_box_delta(params, cell, t, truth, 3.0), {-6, -6, -24, -24});
  params.max_delta = 5;
  check_box(darknet_box_delta(params, cell, t, truth, 3.0), {-5, -5, -5, -5});
  cell.new_coords = true;
  params.max_delta = 100;
  const double half = std::sqrt(0.5);
  check_box(darknet_box_delta(params, cell, {.5, .5, half, half}, truth, 3.0), {-6, -6, -12, -12});
  CHECK(darknet_box_delta(params, cell, {std::nan(""), .5, half, half}, truth, 1.0).x == 0);
}

TEST_CASE("yolo_loss darknet: squared error by hand, scaled by (2 - w h)") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.delta_normalizer = 0.5f;
    LossBatch batch = tiny(params, 2);
    batch.args.gradient_scale = 4;
    batch.logits(0).set(7, std::log(3.0));  // sigma .75: 2 * .75 - .5 = 1
    batch.logits(0).set(9, 0.25);
    batch.add(0, {.875f, .25f, .25f, .5f, 0});
    run(batch);
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
}

TEST_CASE("yolo_loss darknet: the edge x = 1 belongs to the last column, x = 0 ends the truths") {
  for (auto run : kBoth) {
    LossBatch batch = tiny();
    batch.add(0, {1, .5f, .25f, .5f, 0});
    batch.add(0, {0, .5f, .25f, .5f, 0});
    batch.add(0, {.25f, .5f, .25f, .5f, 0});
    run(batch);
    check_near(delta(batch, 1, 0), .75 * 1.875 * (1 - .5), 1e-6, "x");
    check_deltas(batch, 0, {0, 0, 0, 0, -.5, 0, 0});
    CHECK(batch.parts[0].positives == 1);
    CHECK(batch.parts[0].unmatched == 2);
    CHECK(batch.parts[0].truths == 3);
  }
}

TEST_CASE("yolo_loss darknet: a good box is ignored only if some class is above 1/4") {
  for (auto run : kBoth) {
    LossBatch batch = tiny();
    batch.logits(0).set(7, -6);  // the box of cell 1 lies on the truth of cell 0
    for (int c : {5, 6}) batch.logits(0).set(7 + c, -2);
    batch.add(0, {.49f, .5f, .5f, 1, 0});
    run(batch);
    check_near(delta(batch, 1, 4), -.5, 1e-6, "not ignored");
    batch.logits(0).set(7 + 6, 0);  // not the class of the truth
    run(batch);
    check_near(delta(batch, 1, 4), 0, 1e-9, "ignored");
    // Smooth: drawn to the IoU instead, where that is higher than the background's delta.
    batch.params(0).objectness_smooth = true;
    run(batch);
    const Box<double> box{(1 + sigmoid(-6.0)) / 2, .5, .5, 1};
    check_near(delta(batch, 1, 4), iou(box, Box<double>{.49f, .5, .5, 1}) - .5, 1e-6, "smooth");
  }
}

TEST_CASE("yolo_loss darknet: objectness_smooth leaves positives the background's delta") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.objectness_smooth = true;
    LossBatch batch = tiny(params);
    for (int c : {5, 6}) batch.logits(0).set(c, -2);
    batch.add(0, {.25f, .5f, .5f, .9f, 0});
    run(batch);
    check_near(delta(batch, 0, 4), .5, 1e-6, "repaired");
    batch.params(0).smooth_bug = true;
    run(batch);
    check_near(delta(batch, 0, 4), -.5, 1e-6, "as darknet");
  }
}

TEST_CASE("yolo_loss darknet: two truths on one cell") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.box_loss = BoxLoss::giou;
    const auto deltas = [&](int second_class, float iou_thresh) {
      params.iou_thresh = iou_thresh;
      LossBatch batch = tiny(params);
      batch.add(0, {.3f, .5f, .5f, .9f, 0});
      if (second_class >= 0) batch.add(0, {.2f, .4f, .4f, .8f, second_class});
      run(batch);
      std::vector<double> result;
      for (int e = 0; e < 7; ++e) result.push_back(delta(batch, 0, e));
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
}

TEST_CASE("yolo_loss darknet: class multipliers, smoothing and the inert cls_normalizer") {
  static const float multipliers[] = {3, 2};
  for (auto run : kBoth) {
    HeadLossParams params;
    params.cls_normalizer = 0.5f;
    params.label_smooth_eps = 0.2f;
    LossBatch plain = tiny(params);
    plain.add(0, {.25f, .5f, .5f, .9f, 0});
    run(plain);
    check_near(delta(plain, 0, 5), .9 - .5, 1e-6, "smoothed positive");
    check_near(delta(plain, 0, 6), .1 - .5, 1e-6, "smoothed negative");
    params.class_multipliers = multipliers;
    LossBatch weighted = tiny(params);
    weighted.add(0, {.25f, .5f, .5f, .9f, 0});
    run(weighted);
    check_near(delta(weighted, 0, 5), (.9 - .5) * 3 * .5, 1e-6, "multiplied");
    check_near(delta(weighted, 0, 6), .1 - .5, 1e-6, "not multiplied");
    check_near(delta(weighted, 0, 4), 3 * .5, 1e-6, "objectness");
    check_near(delta(weighted, 0, 3), 3 * delta(plain, 0, 3), 1e-6, "box");
    weighted.add(0, {.25f, .5f, .5f, .9f, 0});  // the class again: without cls_normalizer
    run(weighted);
    check_near(delta(weighted, 0, 5), (.9 - .5) * 3, 1e-6, "assigned again");
    // Focal: 0.5 (1 - pt)(1 - pt - 2 pt ln pt) of every entry, unsmoothed.
    HeadLossParams focal;
    focal.focal_loss = true;
    LossBatch hard = tiny(focal);
    hard.add(0, {.25f, .5f, .5f, .9f, 0});
    run(hard);
    const double factor = .5 * .5 * (std::log(2.0) + .5);
    check_near(delta(hard, 0, 5), .5 * factor, 1e-6, "focal positive");
    check_near(delta(hard, 0, 6), -.5 * factor, 1e-6, "focal negative");
  }
}

TEST_CASE("yolo_loss darknet: truth_thresh takes cells by overlap; truths of unused anchors are lost") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.truth_thresh = 0.9f;
    LossBatch batch = tiny(params);
    batch.logits(0).set(7, -6);
    batch.add(0, {.5f - 1e-3f, .5f, .5f, 1, 1});
    run(batch);
    check_near(delta(batch, 1, 4), .5, 1e-6, "objectness");
    check_near(delta(batch, 1, 6), .5, 1e-6, "class");
    CHECK(delta(batch, 1, 0) != 0);
    CHECK(batch.parts[0].positives == 1);

    LossBatch lost({{make_head(2, {{4, 4}, {32, 32}}, {1}), 1, 2}}, 1);
    lost.args.mode = LossMode::darknet;
    lost.logits(0).fill(0);
    lost.add(0, {.25f, .5f, .06f, .1f, 0});
    run(lost);
    CHECK(lost.parts[0].unmatched == 1);
    CHECK(lost.parts[0].positives == 0);
    CHECK(lost.parts[0].mean_iou == 0);
  }
}

TEST_CASE("yolo_loss darknet: the cost with an IoU loss") {
  for (auto run : kBoth) {
    HeadLossParams params;
    params.box_loss = BoxLoss::ciou;
    params.iou_normalizer = 0.07f;
    params.obj_normalizer = 2;
    LossBatch batch = tiny(params);
    batch.add(0, {.25f, .5f, .5f, .5f, 0});  // IoU 1/2
    run(batch);
    check_near(batch.parts[0].box, .07 * .5, 1e-6, "box");
    check_near(batch.parts[0].objectness, 2 * (2 * .5 * 2 * .5 * 2), 1e-6, "objectness");
    check_near(batch.parts[0].classes, 2 * .5, 1e-6, "classes");
  }
}

TEST_CASE("yolo_loss darknet: cpu equals ref") {
  test::Random random(37);
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
  for (const HeadLossParams& params : variants) {
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
      check_cpu_equals_ref(batch);
    }
  }
}

}  // namespace
}  // namespace rook
