#include "model/detections.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rook {

PixelBox to_pixels(const Detection& d, int photo_w, int photo_h) {
  const float w = static_cast<float>(photo_w), h = static_cast<float>(photo_h);
  const float left = std::clamp((d.x - d.w / 2) * w, 0.0f, w), right = std::clamp((d.x + d.w / 2) * w, 0.0f, w);
  const float top = std::clamp((d.y - d.h / 2) * h, 0.0f, h), bottom = std::clamp((d.y + d.h / 2) * h, 0.0f, h);
  return {left, top, right - left, bottom - top};
}

nlohmann::json to_json(const std::string& image, int photo_w, int photo_h, double ms, std::span<const Detection> boxes,
                       const std::vector<std::string>& names) {
  nlohmann::json detections = nlohmann::json::array();
  for (const Detection& d : boxes) {
    const PixelBox box = to_pixels(d, photo_w, photo_h);
    detections.push_back({{"class", names[static_cast<std::size_t>(d.cls)]},
                          {"class_id", d.cls},
                          {"score", d.score},
                          {"box", {box.left, box.top, box.width, box.height}}});
  }
  return {{"image", image}, {"width", photo_w}, {"height", photo_h}, {"ms", ms}, {"detections", detections}};
}

}  // namespace rook
