// Detections as people and programs want them: pixels of the photo, and the JSON of `rook detect`.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace rook {

struct PixelBox {
  float left = 0, top = 0, width = 0, height = 0;
};

// Pixels of a photo of that size, cut at its edges.
PixelBox to_pixels(const Detection& detection, int photo_w, int photo_h);

// A photo and what was found on it: {"image", "width", "height", "ms", "detections": [{"class", "class_id", "score",
// "box": [left, top, width, height]}]}. `ms` is the time the network took for it.
nlohmann::json to_json(const std::string& image, int photo_w, int photo_h, double ms, std::span<const Detection> boxes,
                       const std::vector<std::string>& names);

}  // namespace rook
