// yolo_loss, darknet mode, on the CPU: its box deltas and its quirks by hand (darknet.md 6.1-6.5), against ref.
#include "kernels/darknet_delta.h"
#include "tests/kernels/yolo_loss_darknet_cases.h"

using namespace rook;
using namespace rook::test;

namespace {

void check_box(const Box<double>& actual, const Box<double>& expected) {
  check_near(actual.x, expected.x, 1e-12, "x");
  check_near(actual.y, expected.y, 1e-12, "y");
  check_near(actual.w, expected.w, 1e-12, "w");
  check_near(actual.h, expected.h, 1e-12, "h");
}

}  // namespace

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
  test_darknet_mse(cpu_subject());
  test_darknet_mse(ref_subject());
}

TEST_CASE("yolo_loss darknet: the edge x = 1 belongs to the last column, x = 0 ends the truths") {
  test_darknet_edges(cpu_subject());
  test_darknet_edges(ref_subject());
}

TEST_CASE("yolo_loss darknet: a good box is ignored only if some class is above 1/4") {
  test_darknet_ignored(cpu_subject());
  test_darknet_ignored(ref_subject());
}

TEST_CASE("yolo_loss darknet: objectness_smooth leaves positives the background's delta") {
  test_darknet_smooth(cpu_subject());
  test_darknet_smooth(ref_subject());
}

TEST_CASE("yolo_loss darknet: two truths on one cell") {
  test_darknet_two_truths(cpu_subject());
  test_darknet_two_truths(ref_subject());
}

TEST_CASE("yolo_loss darknet: class multipliers, smoothing and the inert cls_normalizer") {
  test_darknet_classes(cpu_subject());
  test_darknet_classes(ref_subject());
}

TEST_CASE("yolo_loss darknet: truth_thresh takes cells by overlap; truths of unused anchors are lost") {
  test_darknet_truth_thresh(cpu_subject());
  test_darknet_truth_thresh(ref_subject());
}

TEST_CASE("yolo_loss darknet: the cost with an IoU loss") {
  test_darknet_cost(cpu_subject());
  test_darknet_cost(ref_subject());
}

TEST_CASE("yolo_loss darknet: cpu equals ref") {
  test_darknet_equals_ref(cpu_subject());
}
