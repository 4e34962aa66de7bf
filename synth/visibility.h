// Which piece is seen where: rays through a grid of samples, two by two in a pixel, and from it the exact boxes.
#pragma once

#include <cstdint>
#include <vector>

#include "synth/scene.h"

namespace rook::synth {

inline constexpr int kSamples = 2;             // per pixel, along each side
inline constexpr std::uint8_t kNobody = 0xFF;  // a sample that shows no piece

// Of a piece in a picture. Box in pixels, to a sample: what of it is seen, not what is hidden or outside.
struct Sight {
  float left = 0, top = 0, right = 0, bottom = 0;
  std::int64_t seen = 0;   // samples
  std::int64_t whole = 0;  // samples it would cover if nothing hid it and the picture had no end
  float share() const { return whole > 0 ? static_cast<float>(seen) / static_cast<float>(whole) : 0; }
};

struct Visibility {
  int width = 0, height = 0;        // samples
  std::vector<float> distance;      // [height, width] along the ray, kMiss where no piece is seen
  std::vector<std::uint8_t> piece;  // [height, width] index into scene.pieces, or kNobody
  std::vector<Sight> sights;        // one per piece of the scene
};

// Takes pieces out of the scene until each is either seen with at least `least_share` of its silhouette or not at all,
// so that every piece that is seen has its label. Pieces that reach behind the camera are taken out as well.
Visibility find_visible(Scene& scene, float least_share);

}  // namespace rook::synth
