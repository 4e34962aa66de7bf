#include "synth/field.h"

#include <algorithm>
#include <limits>

namespace rook::synth {
namespace {

// The distance of each point first + (i step, 0) to a polygon. Edge by edge along the row: what an edge has in common
// for all of it is worked out once, and the rest is done several points at a time.
void row_distances(std::span<const Vec2> polygon, Vec2 first, float step, Outline outline, std::span<float> distances) {
  std::fill(distances.begin(), distances.end(), std::numeric_limits<float>::max());
  std::vector<float> crossings;  // where the row meets the outline
  bool surface = outline == Outline::closed;
  Vec2 a = polygon.back();
  for (const Vec2 b : polygon) {
    const Vec2 along = b - a;
    const float to_y = first.y - a.y, ahead = to_y * along.y, squared = std::max(dot(along, along), 1e-12f);
    float* nearest = distances.data();
    for (std::size_t i = 0; surface && i < distances.size(); ++i) {
      // By way of int, of which processors convert several at a time.
      const float to_x = first.x + static_cast<float>(static_cast<int>(i)) * step - a.x;
      float t = (to_x * along.x + ahead) / squared;
      t = t < 0 ? 0 : t > 1 ? 1 : t;
      const float x = to_x - along.x * t, y = to_y - along.y * t, square = x * x + y * y;
      nearest[i] = square < nearest[i] ? square : nearest[i];
    }
    surface = true;
    if ((a.y > first.y) != (b.y > first.y)) crossings.push_back(a.x + along.x * to_y / along.y);
    a = b;
  }
  for (std::size_t i = 0; i < distances.size(); ++i) {
    const float x = first.x + static_cast<float>(i) * step;
    const auto to_the_right = std::count_if(crossings.begin(), crossings.end(), [&](float c) { return x < c; });
    distances[i] = to_the_right % 2 ? -std::sqrt(distances[i]) : std::sqrt(distances[i]);
  }
}

}  // namespace

float polygon_distance(std::span<const Vec2> polygon, Vec2 p, Outline outline) {
  float distance = 0;
  row_distances(polygon, p, 0, outline, {&distance, 1});
  return distance;
}

std::vector<Vec2> smooth_closed(std::span<const Vec2> points, int pieces) {
  std::vector<Vec2> curve;
  const std::size_t n = points.size();
  for (std::size_t i = 0; i < n; ++i) {
    const Vec2 a = points[(i + n - 1) % n], b = points[i], c = points[(i + 1) % n], d = points[(i + 2) % n];
    for (int k = 0; k < pieces; ++k) {
      const float t = static_cast<float>(k) / static_cast<float>(pieces);
      curve.push_back(
          (b * 2 + (c - a) * t + (a * 2 - b * 5 + c * 4 - d) * (t * t) + (b * 3 - a - c * 3 + d) * (t * t * t)) * 0.5f);
    }
  }
  return curve;
}

Field::Field(std::span<const Vec2> polygon, Vec2 low, Vec2 high, float cell, Outline outline)
    : low_(low), scale_(1 / cell) {
  width_ = static_cast<int>(std::ceil((high.x - low.x) / cell)) + 2;
  const int height = static_cast<int>(std::ceil((high.y - low.y) / cell)) + 2;
  last_x_ = static_cast<float>(width_ - 2) + 0.999f;
  last_y_ = static_cast<float>(height - 2) + 0.999f;
  values_.resize(static_cast<std::size_t>(width_) * height);
  for (int y = 0; y < height; ++y) {
    row_distances(polygon, {low.x, low.y + static_cast<float>(y) * cell}, cell, outline,
                  std::span(values_).subspan(static_cast<std::size_t>(y) * width_, width_));
  }
}

}  // namespace rook::synth
