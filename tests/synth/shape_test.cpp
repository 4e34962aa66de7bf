// Outlines, their tables, and the pieces made of them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <vector>

#include "synth/piece.h"
#include "tests/random.h"

using namespace rook;
using namespace rook::synth;

namespace {

Vec3 draw_point(test::Random& random, const Shape& shape) {
  const double r = shape.radius() + 0.05;
  return {static_cast<float>(random.uniform(-r, r)), static_cast<float>(random.uniform(-r, r)),
          static_cast<float>(random.uniform(-0.05, shape.height() + 0.05))};
}

Style odd_style(int number) {
  synth::Random random(static_cast<std::uint64_t>(number), 0, 0);
  return number == 0 ? Style{} : Style::random(random);
}

}  // namespace

TEST_CASE("synth: distance to a polygon") {
  const Vec2 square[] = {{0, 0}, {2, 0}, {2, 2}, {0, 2}};
  CHECK(polygon_distance(square, {1, 1}) == doctest::Approx(-1));
  CHECK(polygon_distance(square, {1.5f, 1}) == doctest::Approx(-0.5));
  CHECK(polygon_distance(square, {3, 1}) == doctest::Approx(1));
  CHECK(polygon_distance(square, {5, 6}) == doctest::Approx(5));
  // The last edge is the axis of a turned body: inside of it there is nothing at x = 0.
  CHECK(polygon_distance(square, {0.25f, 1}, Outline::turned) == doctest::Approx(-1));
}

TEST_CASE("synth: a smooth outline goes through its points, a table gives back distances") {
  const Vec2 points[] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  const std::vector<Vec2> curve = smooth_closed(points, 7);
  REQUIRE(curve.size() == 28);
  for (int i = 0; i < 4; ++i) CHECK(length(curve[static_cast<std::size_t>(i) * 7] - points[i]) < 1e-5f);
  const Field field(curve, {-1.5f, -1.5f}, {1.5f, 1.5f}, 0.02f);
  test::Random random(3);
  for (int i = 0; i < 200; ++i) {
    const Vec2 p{static_cast<float>(random.uniform(-1.5, 1.5)), static_cast<float>(random.uniform(-1.5, 1.5))};
    const float error = std::fabs(field.at(p) - polygon_distance(curve, p));
    CHECK_MESSAGE(error <= 0.015f, fmt::format("{} {}: {}", p.x, p.y, error));
  }
  CHECK(field.at({100, 0}) == field.at({50, 0}));
}

TEST_CASE("synth: no piece's distance grows faster than what rays may rely on") {
  test::Random random(5);
  for (int style = 0; style < 3; ++style) {
    for (int k = 0; k < kKinds; ++k) {
      const Shape shape(static_cast<Kind>(k), odd_style(style));
      int steep = 0;
      for (int i = 0; i < 3000; ++i) {
        const Vec3 p = draw_point(random, shape), q = draw_point(random, shape);
        const Vec3 near = p + (q - p) * 0.05f;
        if (!(std::fabs(shape.distance(near) - shape.distance(p)) <= 1.25f * length(near - p) + 0.004f)) ++steep;
      }
      CHECK_MESSAGE(steep <= 15,
                    fmt::format("{} of style {}: {} of 3000", kKindNames[static_cast<std::size_t>(k)], style, steep));
    }
  }
}

TEST_CASE("synth: rays find what fine steps find") {
  test::Random random(7);
  for (int k = 0; k < kKinds; ++k) {
    const Shape shape(static_cast<Kind>(k), odd_style(k));
    int hits = 0, wrong = 0;
    for (int i = 0; i < 120; ++i) {
      const Vec3 from{static_cast<float>(random.normal()), static_cast<float>(random.normal()), 3};
      const Ray ray{from, normalized(draw_point(random, shape) - from)};
      float expected = kMiss;
      for (float t = 0.5f; t < 6 && expected == kMiss; t += 0.0005f) {
        if (shape.distance(ray.at(t)) < 0.0003f) expected = t;
      }
      const float t = shape.hit(ray);
      if (t < kMiss) ++hits;
      const bool same = t == expected || std::fabs(t - expected) < 0.02f;
      if (!same) ++wrong;
    }
    CHECK(hits > 25);
    // Grazing rays may end on either side of a hit.
    CHECK_MESSAGE(wrong <= 2, fmt::format("{}: {} of 120 differ", kKindNames[static_cast<std::size_t>(k)], wrong));
  }
}

TEST_CASE("synth: normals are of unit length and point outwards") {
  test::Random random(9);
  for (int k = 0; k < kKinds; ++k) {
    const Shape shape(static_cast<Kind>(k), Style{});
    for (int i = 0; i < 200; ++i) {
      const Vec3 from{static_cast<float>(random.normal()), static_cast<float>(random.normal()), 3};
      const Ray ray{from, normalized(draw_point(random, shape) - from)};
      const float t = shape.hit(ray);
      if (t == kMiss) continue;
      const Vec3 n = shape.normal(ray.at(t));
      CHECK(std::fabs(length(n) - 1) < 1e-4f);
      CHECK(shape.distance(ray.at(t) + n * 0.006f) > shape.distance(ray.at(t)));
    }
  }
}

// Seen from the front; the knight from its side.
TEST_CASE("synth: every two kinds have silhouettes that differ") {
  constexpr int kAcross = 60, kUp = 120;
  std::vector<std::vector<bool>> silhouettes;
  for (int k = 0; k < kKinds; ++k) {
    const Shape shape(static_cast<Kind>(k), Style{});
    std::vector<bool> cells;
    for (int y = 0; y < kUp; ++y) {
      for (int x = 0; x < kAcross; ++x) {
        // All drawn to the same height: what is left to tell them apart is their form.
        const float z = (static_cast<float>(y) + 0.5f) / kUp * shape.height();
        const Ray ray{{(static_cast<float>(x) + 0.5f) / kAcross - 0.5f, -3, z}, {0, 1, 0}};
        cells.push_back(shape.hit(ray) < kMiss);
      }
    }
    silhouettes.push_back(cells);
  }
  for (int a = 0; a < kKinds; ++a) {
    for (int b = 0; b < a; ++b) {
      int both = 0, either = 0;
      for (std::size_t i = 0; i < silhouettes[0].size(); ++i) {
        const bool in_a = silhouettes[static_cast<std::size_t>(a)][i],
                   in_b = silhouettes[static_cast<std::size_t>(b)][i];
        both += in_a && in_b;
        either += in_a || in_b;
      }
      CHECK_MESSAGE(both < 0.93 * either, fmt::format("{} and {}: IoU {:.3f}", kKindNames[static_cast<std::size_t>(a)],
                                                      kKindNames[static_cast<std::size_t>(b)], double(both) / either));
    }
  }
}
