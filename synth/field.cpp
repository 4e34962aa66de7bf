#include "synth/field.h"

#include <limits>

namespace rook::synth {

float polygon_distance(std::span<const Vec2> polygon, Vec2 p, Outline outline) {
  float nearest = std::numeric_limits<float>::max();
  bool inside = false, surface = outline == Outline::closed;
  Vec2 a = polygon.back();
  for (const Vec2 b : polygon) {
    const Vec2 along = b - a, to = p - a;
    const float t = clamp01(dot(to, along) / std::max(dot(along, along), 1e-12f));
    const Vec2 off = to - along * t;
    if (surface) nearest = std::min(nearest, dot(off, off));
    surface = true;
    if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + along.x * (p.y - a.y) / along.y) inside = !inside;
    a = b;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
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
    for (int x = 0; x < width_; ++x) {
      values_[static_cast<std::size_t>(y) * width_ + x] =
          polygon_distance(polygon, low + Vec2{static_cast<float>(x), static_cast<float>(y)} * cell, outline);
    }
  }
}

}  // namespace rook::synth
