#include "synth/visibility.h"

#include "synth/surface.h"

namespace rook::synth {
namespace {

constexpr int kCoarse = 4;        // outside of the picture every so many samples stand for their neighbours
constexpr float kNearest = 0.3f;  // pieces nearer to the camera than this are not drawn

struct Hit {
  std::int32_t sample;
  float distance;
};

// What a piece covers by itself.
struct Cover {
  std::vector<Hit> hits;
  std::int64_t whole = 0;
  bool drawable = true;
};

struct Rectangle {
  int left = 0, top = 0, right = 0, bottom = 0;  // samples
};

// Around the projected corners of the piece's bounding box; false when a corner is too near.
bool covered_rectangle(const Scene& scene, const Piece& piece, Rectangle& rectangle) {
  const Shape& shape = scene.set[piece.man.kind];
  float left = kMiss, top = kMiss, right = -kMiss, bottom = -kMiss;
  for (int corner = 0; corner < 8; ++corner) {
    const float r = shape.radius() + 0.01f;
    const Vec3 local{corner & 1 ? r : -r, corner & 2 ? r : -r, corner & 4 ? shape.height() + 0.01f : -0.01f};
    const Vec3 at = scene.camera.project(piece.position + piece.frame.to_world(local));
    if (at.z < kNearest) return false;
    left = std::min(left, at.x);
    right = std::max(right, at.x);
    top = std::min(top, at.y);
    bottom = std::max(bottom, at.y);
  }
  const float widest = 8.0f * static_cast<float>(scene.width + scene.height);
  if (left < -widest || top < -widest || right > widest || bottom > widest) return false;
  rectangle = {.left = static_cast<int>(std::floor(left * kSamples)),
               .top = static_cast<int>(std::floor(top * kSamples)),
               .right = static_cast<int>(std::ceil(right * kSamples)) + 1,
               .bottom = static_cast<int>(std::ceil(bottom * kSamples)) + 1};
  return true;
}

// Rays through samples, in the coordinates of a piece.
class LocalRays {
 public:
  LocalRays(const Scene& scene, const Piece& piece) {
    const Camera& camera = scene.camera;
    origin_ = piece.frame.to_local(camera.position - piece.position);
    right_ = piece.frame.to_local(camera.frame.x) * (1 / (camera.focal_x * kSamples));
    down_ = piece.frame.to_local(camera.frame.y) * (1 / (camera.focal_y * kSamples));
    corner_ = piece.frame.to_local(camera.frame.z) + right_ * (0.5f - camera.centre_x * kSamples) +
              down_ * (0.5f - camera.centre_y * kSamples);
  }
  Ray at(int x, int y) const {
    return {origin_, normalized(corner_ + right_ * static_cast<float>(x) + down_ * static_cast<float>(y))};
  }

 private:
  Vec3 origin_, right_, down_, corner_;
};

Cover cover(const Scene& scene, const Piece& piece) {
  Cover layer;
  Rectangle area;
  if (!covered_rectangle(scene, piece, area)) {
    layer.drawable = false;
    return layer;
  }
  const int width = scene.width * kSamples, height = scene.height * kSamples;
  if (area.right <= 0 || area.bottom <= 0 || area.left >= width || area.top >= height) return layer;
  const Shape& shape = scene.set[piece.man.kind];
  const LocalRays rays(scene, piece);
  const bool behind_board = piece.position.z < 0;  // a thick board may hide what stands on the table
  for (int y = area.top; y < area.bottom; ++y) {
    for (int x = area.left; x < area.right; ++x) {
      const bool inside = x >= 0 && y >= 0 && x < width && y < height;
      if (!inside && (x % kCoarse != 0 || y % kCoarse != 0)) continue;
      const float t = shape.hit(rays.at(x, y));
      if (t == kMiss) continue;
      layer.whole += inside ? 1 : kCoarse * kCoarse;
      if (!inside) continue;
      if (behind_board && board_distance(scene.board, sample_ray(scene.camera, x, y)) < t) continue;
      layer.hits.push_back({y * width + x, t});
    }
  }
  return layer;
}

void compose(const std::vector<Cover>& layers, const std::vector<bool>& drawn, Visibility& visible) {
  std::fill(visible.distance.begin(), visible.distance.end(), kMiss);
  std::fill(visible.piece.begin(), visible.piece.end(), kNobody);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!drawn[i]) continue;
    for (const Hit& hit : layers[i].hits) {
      if (hit.distance >= visible.distance[hit.sample]) continue;
      visible.distance[hit.sample] = hit.distance;
      visible.piece[hit.sample] = static_cast<std::uint8_t>(i);
    }
  }
  visible.sights.assign(layers.size(), {});
  for (const std::uint8_t piece : visible.piece) {
    if (piece != kNobody) ++visible.sights[piece].seen;
  }
  for (std::size_t i = 0; i < layers.size(); ++i) visible.sights[i].whole = layers[i].whole;
}

// The piece that is seen least of those seen too little, or -1.
int least_seen(const Visibility& visible, const std::vector<bool>& drawn, float least_share) {
  int least = -1;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const Sight& sight = visible.sights[i];
    if (!drawn[i] || sight.seen == 0 || sight.share() >= least_share) continue;
    if (least < 0 || sight.share() < visible.sights[static_cast<std::size_t>(least)].share())
      least = static_cast<int>(i);
  }
  return least;
}

// Leaves out what is not drawn, and renumbers.
void keep_drawn(Scene& scene, Visibility& visible, const std::vector<bool>& drawn) {
  std::vector<std::uint8_t> renumbered(drawn.size(), kNobody);
  std::vector<Piece> pieces;
  std::vector<Sight> sights;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (!drawn[i]) continue;
    renumbered[i] = static_cast<std::uint8_t>(pieces.size());
    pieces.push_back(scene.pieces[i]);
    sights.push_back(visible.sights[i]);
  }
  scene.pieces = std::move(pieces);
  visible.sights = std::move(sights);
  for (std::uint8_t& piece : visible.piece) {
    if (piece != kNobody) piece = renumbered[piece];
  }
}

void measure_boxes(Visibility& visible) {
  constexpr float kPixel = 1.0f / kSamples;
  for (Sight& sight : visible.sights) {
    sight.left = sight.top = kMiss;
    sight.right = sight.bottom = 0;
  }
  for (int y = 0; y < visible.height; ++y) {
    for (int x = 0; x < visible.width; ++x) {
      const std::uint8_t piece = visible.piece[static_cast<std::size_t>(y) * visible.width + x];
      if (piece == kNobody) continue;
      Sight& sight = visible.sights[piece];
      sight.left = std::min(sight.left, static_cast<float>(x) * kPixel);
      sight.top = std::min(sight.top, static_cast<float>(y) * kPixel);
      sight.right = std::max(sight.right, static_cast<float>(x + 1) * kPixel);
      sight.bottom = std::max(sight.bottom, static_cast<float>(y + 1) * kPixel);
    }
  }
}

}  // namespace

Visibility find_visible(Scene& scene, float least_share) {
  Visibility visible{.width = scene.width * kSamples, .height = scene.height * kSamples};
  const std::size_t samples = static_cast<std::size_t>(visible.width) * visible.height;
  visible.distance.resize(samples);
  visible.piece.resize(samples);
  std::vector<Cover> layers;
  std::vector<bool> drawn;
  for (const Piece& piece : scene.pieces) {
    layers.push_back(cover(scene, piece));
    drawn.push_back(layers.back().drawable);
  }
  for (int least = 0; least >= 0;) {
    compose(layers, drawn, visible);
    least = least_seen(visible, drawn, least_share);
    if (least >= 0) drawn[static_cast<std::size_t>(least)] = false;
  }
  keep_drawn(scene, visible, drawn);
  measure_boxes(visible);
  return visible;
}

}  // namespace rook::synth
