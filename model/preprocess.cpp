#include "model/preprocess.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/resize_plan.h"

namespace rook {

const char* name_of(Resampling resampling) {
  switch (resampling) {
    case Resampling::half_pixel:
      return "half-pixel";
    case Resampling::align_corners:
      return "align-corners";
    case Resampling::area:
      return "area";
  }
  return "?";
}

const char* name_of(Fit fit) {
  return fit == Fit::stretch ? "stretch" : "letterbox";
}

std::string to_text(const Preprocess& preprocess) {
  return fmt::format("{}, {}", name_of(preprocess.fit), name_of(preprocess.resampling));
}

Resampling resampling_from_name(const std::string& name) {
  for (const Resampling r : {Resampling::half_pixel, Resampling::align_corners, Resampling::area})
    if (name == name_of(r)) return r;
  throw Error(fmt::format("resize '{}' is not one of half-pixel, align-corners, area", name));
}

Fit fit_from_name(const std::string& name) {
  for (const Fit f : {Fit::stretch, Fit::letterbox})
    if (name == name_of(f)) return f;
  throw Error(fmt::format("fit '{}' is not one of stretch, letterbox", name));
}

io::Image resized(const io::Image& photo, int width, int height, const Preprocess& preprocess) {
  io::Image result{.width = width, .height = height, .channels = photo.channels};
  result.pixels.resize(static_cast<std::size_t>(width) * height * photo.channels);
  cpu::resize({.pixels = photo.pixels.data(),
               .width = photo.width,
               .height = photo.height,
               .channels = photo.channels,
               .y = make_tensor(result.pixels.data(), DType::u8, 1, height, width, photo.channels),
               .resampling = preprocess.resampling,
               .fit = preprocess.fit});
  return result;
}

Truth letterboxed(Truth truth, int photo_w, int photo_h, int net_w, int net_h) {
  const ResizePlacement at = place_letterboxed(photo_w, photo_h, net_w, net_h);
  const float sx = static_cast<float>(at.width) / net_w, sy = static_cast<float>(at.height) / net_h;
  const float left = static_cast<float>(at.left) / net_w, top = static_cast<float>(at.top) / net_h;
  return {truth.x * sx + left, truth.y * sy + top, truth.w * sx, truth.h * sy, truth.cls};
}

void undo_letterbox(Detection& box, int photo_w, int photo_h, int net_w, int net_h) {
  // Integer size of the pasted photo, real-valued half of the rest, as darknet has it.
  const ResizePlacement at = place_letterboxed(photo_w, photo_h, net_w, net_h);
  const float sx = static_cast<float>(at.width) / net_w, sy = static_cast<float>(at.height) / net_h;
  box.x = (box.x - (1 - sx) / 2) / sx;
  box.y = (box.y - (1 - sy) / 2) / sy;
  box.w /= sx;
  box.h /= sy;
}

}  // namespace rook
