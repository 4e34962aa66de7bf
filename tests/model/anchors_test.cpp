// Anchors fitted to boxes: clusters are found, nothing better exists where everything can be tried.
#include "model/anchors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/zoo.h"
#include "tests/errors.h"
#include "tests/random.h"

using namespace rook;
using namespace rook::test;

namespace {

double overlap_of_shapes(const BoxShape& a, const BoxShape& b) {
  const double inside = std::min(a.w, b.w) * std::min(a.h, b.h);
  return inside / (a.w * a.h + b.w * b.h - inside);
}

// The highest mean IoU that two anchors reach, each the mean of its part of the shapes: all ways to part them.
double best_of_all(const std::vector<BoxShape>& shapes) {
  double best = 0;
  for (unsigned part = 1; part + 1 < 1u << shapes.size(); ++part) {
    BoxShape means[2] = {};
    double counts[2] = {};
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const unsigned side = part >> i & 1;
      means[side].w += shapes[i].w;
      means[side].h += shapes[i].h;
      counts[side] += 1;
    }
    for (int side = 0; side < 2; ++side) means[side] = {means[side].w / counts[side], means[side].h / counts[side]};
    double sum = 0;
    for (const BoxShape& shape : shapes)
      sum += std::max(overlap_of_shapes(shape, means[0]), overlap_of_shapes(shape, means[1]));
    best = std::max(best, sum / static_cast<double>(shapes.size()));
  }
  return best;
}

double draw(Random& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random.below(1'000'000)) / 1e6;
}

}  // namespace

TEST_CASE("anchors: clusters of shapes are found, smallest first, with their boxes") {
  Random random(3);
  const std::vector<BoxShape> centres{{12, 30}, {60, 20}, {80, 90}, {200, 310}};
  const std::vector<int> counts{50, 400, 100, 7};
  std::vector<BoxShape> shapes;
  for (std::size_t c = 0; c < centres.size(); ++c)
    for (int i = 0; i < counts[c]; ++i)
      shapes.push_back({centres[c].w * draw(random, 0.97, 1.03), centres[c].h * draw(random, 0.97, 1.03)});
  for (std::size_t i = shapes.size() - 1; i > 0; --i)
    std::swap(shapes[i], shapes[random.below(static_cast<int>(i) + 1)]);
  const AnchorFit fit = fit_anchors(shapes, 4);
  REQUIRE(fit.anchors.size() == 4);
  for (std::size_t c = 0; c < centres.size(); ++c) {
    CHECK(fit.anchors[c].w == doctest::Approx(centres[c].w).epsilon(0.03));
    CHECK(fit.anchors[c].h == doctest::Approx(centres[c].h).epsilon(0.03));
    CHECK(fit.boxes[c] == counts[c]);
  }
  CHECK(fit.mean_iou > 0.95);
  CHECK(fit.poor == 0);
  CHECK(fit_anchors(shapes, 4).anchors == fit.anchors);
}

TEST_CASE("anchors: two of them for few shapes are better than the means of any two parts") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    std::vector<BoxShape> shapes;
    for (int i = 0; i < 9; ++i) shapes.push_back({draw(random, 5, 300), draw(random, 5, 300)});
    const double best = best_of_all(shapes), found = fit_anchors(shapes, 2).mean_iou;
    CAPTURE(seed);
    CHECK(found > best);
    CHECK(found < 1);
  }
}

TEST_CASE("anchors: what is measured, by hand") {
  const std::vector<BoxShape> shapes{{10, 10}, {10, 20}, {100, 100}};
  const AnchorFit fit = measure_anchors(shapes, {{10, 10}, {50, 50}});
  CHECK(fit.mean_iou == doctest::Approx((1 + 0.5 + 0.25) / 3));
  CHECK(fit.poor == doctest::Approx(1.0 / 3));
  CHECK(fit.boxes == std::vector<std::int64_t>{2, 1});
  CHECK(error_of([&] { fit_anchors(shapes, 4); }) == "4 anchors cannot be fitted to boxes of 3 different shapes");
  CHECK(error_of([&] { measure_anchors({}, {{1, 1}}); }).find("no boxes") != std::string::npos);
  CHECK(fit_anchors(shapes, 3).mean_iou == doctest::Approx(1));
}

TEST_CASE("anchors: boxes as the network sees them, stretched and letterboxed") {
  io::Split split{.name = "train"};
  split.images.push_back({.width = 200, .height = 100, .boxes = {{0.5f, 0.5f, 0.5f, 0.25f, 0}}});
  CHECK(box_shapes(split, 64, 32, Fit::stretch) == std::vector<BoxShape>{{32, 8}});
  CHECK(box_shapes(split, 64, 64, Fit::stretch) == std::vector<BoxShape>{{32, 16}});
  const BoxShape boxed = box_shapes(split, 64, 64, Fit::letterbox).at(0);
  CHECK(boxed.w == doctest::Approx(32));
  CHECK(boxed.h == doctest::Approx(8));
}

TEST_CASE(
    "anchors: each head's are fitted to its own boxes; a head without keeps them, and so does an anchor without") {
  const auto network = build_network(find_cfg("yolov4-tiny"));
  Random random(5);
  std::vector<BoxShape> shapes;  // all of the fine head: two kinds, narrower than its anchors
  for (int i = 0; i < 300; ++i) shapes.push_back({draw(random, 14, 15), draw(random, 30, 32)});
  for (int i = 0; i < 300; ++i) shapes.push_back({draw(random, 24, 25), draw(random, 60, 64)});
  const std::vector<BoxShape> own = anchors_of(*network);
  const AnchorFit before = measure_anchors(shapes, own), after = fit_heads(shapes, *network);
  CHECK(after.mean_iou > before.mean_iou);
  CHECK(after.mean_iou > 0.95);
  for (std::size_t i = 3; i < 6; ++i) CHECK(after.anchors[i] == own[i]);
  CHECK(after.boxes[0] + after.boxes[1] + after.boxes[2] == 600);
  CHECK(after.anchors[0].w * after.anchors[0].h <= after.anchors[1].w * after.anchors[1].h);
  // Of a coarse head's boxes there are too few.
  for (int i = 0; i < 5; ++i) shapes.push_back({300, 300 + i * 1.0});
  CHECK(fit_heads(shapes, *network).anchors == after.anchors);
  // With darknet's masks, 3,4,5 and 1,2,3, the first anchor is no head's.
  io::Cfg cfg = find_cfg("yolov4-tiny");
  cfg.sections.back().set("mask", "1,2,3");
  const auto darknets = build_network(cfg);
  CHECK(used_anchors(*darknets) == std::vector<char>{0, 1, 1, 1, 1, 1});
  const AnchorFit fit = fit_heads(shapes, *darknets);
  CHECK((fit.anchors[0] == own[0] && fit.boxes[0] == 0));
  CHECK(fit.anchors[1].w < own[1].w);
}

TEST_CASE("anchors: of our networks, and put into their cfgs") {
  io::Cfg cfg = find_cfg("yolov4-tiny");
  const std::vector<BoxShape> own = anchors_of(*build_network(cfg));
  CHECK(own == std::vector<BoxShape>{{10, 14}, {23, 27}, {37, 58}, {81, 82}, {135, 169}, {344, 319}});
  const std::vector<BoxShape> others{{1, 2}, {3, 4}, {5, 6}, {7, 8.5}, {9, 10}, {11, 12}};
  set_anchors(cfg, others);
  CHECK(anchors_of(*build_network(io::parse_cfg(cfg.to_text(), "again.cfg"))) == others);
  CHECK(error_of([&] { set_anchors(cfg, std::span(others).first(5)); }).find("has 6 anchors, not 5") !=
        std::string::npos);
}
