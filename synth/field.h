// A tabulated signed distance to a closed outline in the plane: what pieces are turned or carved from.
#pragma once

#include <span>
#include <vector>

#include "synth/vec.h"

namespace rook::synth {

enum class Outline {
  closed,
  turned,  // the edge from the last point to the first is the axis of a body of revolution: it bounds, but is no
           // surface
};

// Signed distance to a polygon, negative inside (even-odd rule).
float polygon_distance(std::span<const Vec2> polygon, Vec2 p, Outline outline = Outline::closed);

// A closed curve through `points` in `pieces` straight lines between each two (uniform Catmull-Rom).
std::vector<Vec2> smooth_closed(std::span<const Vec2> points, int pieces);

class Field {
 public:
  Field() = default;
  // Tabulates over [low, high] with square cells of `cell` units.
  Field(std::span<const Vec2> polygon, Vec2 low, Vec2 high, float cell, Outline outline = Outline::closed);

  // Bilinear; outside of the table the value at its border.
  float at(Vec2 p) const {
    const float fx = std::clamp((p.x - low_.x) * scale_, 0.0f, last_x_);
    const float fy = std::clamp((p.y - low_.y) * scale_, 0.0f, last_y_);
    const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
    const float u = fx - static_cast<float>(ix), v = fy - static_cast<float>(iy);
    const float* row = values_.data() + static_cast<std::size_t>(iy) * width_ + ix;
    return mix(mix(row[0], row[1], u), mix(row[width_], row[width_ + 1], u), v);
  }

 private:
  Vec2 low_;
  float scale_ = 1, last_x_ = 0, last_y_ = 0;
  int width_ = 0;
  std::vector<float> values_;  // [height, width]
};

}  // namespace rook::synth
