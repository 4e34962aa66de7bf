// box.h and head_loss.h: the IoU family by hand and its gradients by finite differences; terms of the loss.
#include "kernels/box.h"

#include "kernels/head_loss.h"
#include "tests/support.h"

namespace rook {
namespace {

using Boxd = Box<double>;
using test::check_near;

constexpr IouKind kKinds[] = {IouKind::iou, IouKind::giou, IouKind::diou, IouKind::ciou};

TEST_CASE("iou family: two boxes by hand") {
  // [0,2]x[0,2] and [1,3]x[1,3]: intersection 1, union 7, enclosing box 3 x 3, centres apart by sqrt 2.
  const Boxd a{1, 1, 2, 2}, b{2, 2, 2, 2};
  check_near(iou(a, b), 1.0 / 7, 1e-15, "iou");
  check_near(iou_value(IouKind::giou, a, b), 1.0 / 7 - 2.0 / 9, 1e-15, "giou");
  check_near(iou_value(IouKind::diou, a, b), 1.0 / 7 - 2.0 / 18, 1e-15, "diou");
  check_near(iou_value(IouKind::ciou, a, b), 1.0 / 7 - 2.0 / 18, 1e-15, "ciou of equal shapes");
  check_near(centre_penalty(a, b), 2.0 / 18, 1e-15, "centre penalty");
  // Same centre, 2 x 1 in 2 x 2: IoU 1/2; v = 4/pi^2 (pi/4 - atan 2)^2.
  const Boxd flat{1, 1, 2, 1};
  const double v = 4 / (M_PI * M_PI) * std::pow(M_PI / 4 - std::atan(2.0), 2);
  check_near(iou_value(IouKind::ciou, flat, a), 0.5 - v / (0.5 + v + 1e-6) * v, 1e-15, "ciou");
  check_near(shape_iou(Boxd{5, 5, 2, 1}, Boxd{0, 0, 2, 2}), 0.5, 1e-15, "shape iou");
  // Apart: nothing in common, and diagonal neighbours do not either.
  CHECK(iou(a, Boxd{9, 9, 1, 1}) == 0);
  CHECK(iou(a, Boxd{9, 1, 1, 1}) == 0);
  CHECK(iou(a, Boxd{3, 1, 2, 2}) == 0);  // they touch
  check_near(iou_value(IouKind::giou, a, Boxd{9, 9, 2, 2}), 8.0 / 100 - 1, 1e-15, "giou apart");
}

TEST_CASE("iou family: a box without size or not a number does no harm") {
  for (IouKind kind : kKinds) {
    for (const Boxd& p : {Boxd{.5, .5, 0, 0}, Boxd{.5, .5, 0, .1}}) {
      const IouTerm<double> term = iou_term(kind, p, Boxd{.5, .5, .2, .2}, 0.1);
      CHECK(std::isfinite(term.value));
      CHECK(std::isfinite(term.gradient.x + term.gradient.y + term.gradient.w + term.gradient.h));
    }
    CHECK(std::isfinite(iou_term(kind, Boxd{}, Boxd{}, 0.0).value));
  }
  CHECK_FALSE(iou(Boxd{std::nan(""), 0, 1, 1}, Boxd{0, 0, 1, 1}) > 0);
}

TEST_CASE("iou family: gradients are those of finite differences, alpha held") {
  test::Random random(11);
  constexpr double kStep = 1e-6;
  for (IouKind kind : kKinds) {
    for (int trial = 0; trial < 400; ++trial) {
      const auto draw = [&] {
        return Boxd{random.uniform(), random.uniform(), random.uniform(.05, .8), random.uniform(.05, .8)};
      };
      Boxd p = draw();
      const Boxd t = draw();
      const double alpha = ciou_alpha(p, t);
      const Boxd gradient = iou_term(kind, p, t, alpha).gradient;
      for (const auto& [part, expected] :
           {std::pair{&Boxd::x, gradient.x}, {&Boxd::y, gradient.y}, {&Boxd::w, gradient.w}, {&Boxd::h, gradient.h}}) {
        const double value = p.*part;
        p.*part = value + kStep;
        const double high = iou_term(kind, p, t, alpha).value;
        p.*part = value - kStep;
        const double low = iou_term(kind, p, t, alpha).value;
        p.*part = value;
        check_near(expected, (high - low) / (2 * kStep), 1e-6, "gradient");
      }
    }
  }
}

TEST_CASE("iou family: a perfect box is pulled nowhere") {
  for (IouKind kind : kKinds) {
    const IouTerm<double> term = iou_term(kind, Boxd{.5, .25, .5, .125}, Boxd{.5, .25, .5, .125}, 0.0);
    CHECK(term.value == 1);
    CHECK(term.gradient.x == 0);
    CHECK(term.gradient.y == 0);
    CHECK(term.gradient.w == 0);
    CHECK(term.gradient.h == 0);
  }
}

TEST_CASE("cell decoder: chain rule, and sizes beyond the limit stand still") {
  test::Random random(13);
  for (bool new_coords : {false, true}) {
    CellDecoder<double> cell{.col = 3,
                             .row = 1,
                             .grid_w = 7,
                             .grid_h = 5,
                             .anchor_w = .3,
                             .anchor_h = .1,
                             .scale_x_y = 1.2,
                             .new_coords = new_coords};
    Boxd t{random.uniform(), random.uniform(), random.uniform(), random.uniform()};
    const Boxd weight{1, -2, 3, -4};
    const auto loss = [&] {
      const Boxd b = cell.decode(t);
      return weight.x * b.x + weight.y * b.y + weight.w * b.w + weight.h * b.h;
    };
    const Boxd gradient = cell.chain(t, weight);
    for (const auto& [part, expected] :
         {std::pair{&Boxd::x, gradient.x}, {&Boxd::y, gradient.y}, {&Boxd::w, gradient.w}, {&Boxd::h, gradient.h}}) {
      const double value = t.*part;
      t.*part = value + 1e-6;
      const double high = loss();
      t.*part = value - 1e-6;
      const double low = loss();
      t.*part = value;
      check_near(expected, (high - low) / 2e-6, 1e-7, "chain");
    }
  }
  const CellDecoder<float> cell{.anchor_w = 1, .anchor_h = 1};
  CHECK(cell.decode({0, 0, 500, 8}).w == cell.decode({0, 0, 500, 8}).h);
  CHECK(cell.chain({0, 0, 500, 7}, {1, 1, 1, 1}).w == 0);
  CHECK(cell.chain({0, 0, 500, 7}, {1, 1, 1, 1}).h > 1000);
}

TEST_CASE("cell_of: the edge 1.0 belongs to the last cell") {
  CHECK(cell_of(0, 13) == 0);
  CHECK(cell_of(0.5f, 13) == 6);
  CHECK(cell_of(1, 13) == 12);
  CHECK(cell_of(1.5f, 13) == 12);
  CHECK(cell_of(-0.5f, 13) == 0);
}

TEST_CASE("terms: cross-entropy and focal loss from logits and from activated values agree") {
  HeadLossParams plain, smooth, focal_params;
  smooth.label_smooth_eps = 0.1f;
  focal_params.focal_loss = true;
  for (const HeadLossParams& params : {plain, smooth, focal_params}) {
    for (double z : {-6.0, -1.5, 0.0, 0.3, 5.0}) {
      for (bool positive : {false, true}) {
        const auto at = [&](double logit) { return class_term(params, probability_of(logit, false), positive); };
        const double slope = (at(z + 1e-6).value - at(z - 1e-6).value) / 2e-6;
        check_near(at(z).slope, slope, 1e-7, "slope by logit");
        const double p = sigmoid(z);
        const Term<double> activated = class_term(params, probability_of(p, true), positive);
        check_near(activated.value, at(z).value, 1e-12, "value by activated");
        check_near(activated.slope * p * (1 - p), at(z).slope, 1e-12, "slope by activated");
      }
    }
  }
  check_near(class_term(plain, probability_of(0.0, false), true).value, std::log(2.0), 1e-15, "ln 2");
  check_near(class_term(focal_params, probability_of(0.0, false), true).value, std::log(2.0) / 8, 1e-15, "focal");
  check_near(class_term(smooth, probability_of(std::log(3.0), false), true).slope, 0.75 - 0.95, 1e-7, "smoothed");
  // Saturated activated values stay finite, and the logistic's derivative brings the gradient back to size.
  for (float p : {0.0f, 1.0f}) {
    const Term<float> term = cross_entropy(probability_of(p, true), 1 - p);
    CHECK(std::isfinite(term.value));
    CHECK(std::isfinite(term.slope));
    CHECK(term.slope * (p - 0.5f) > 0);
  }
  CHECK(cross_entropy(probability_of(1e4f, false), 0.0f).value == 1e4f);
  CHECK(cross_entropy(probability_of(-1e4f, false), 0.0f).value == 0);
}

}  // namespace
}  // namespace rook
