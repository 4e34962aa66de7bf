// A box relative to its picture (label, truth, detection) as one to draw on it.
#pragma once

#include <string>
#include <utility>

#include "io/image.h"

namespace rook {

template <class Box>
io::DrawnBox drawn_box(const Box& box, const io::Image& image, int color, std::string label) {
  const float w = static_cast<float>(image.width), h = static_cast<float>(image.height);
  return {.left = (box.x - box.w / 2) * w,
          .top = (box.y - box.h / 2) * h,
          .width = box.w * w,
          .height = box.h * h,
          .color = color,
          .label = std::move(label)};
}

}  // namespace rook
