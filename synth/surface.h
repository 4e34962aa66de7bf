// What lies below the pieces: the board, the table, and the room behind them.
#pragma once

#include "synth/scene.h"
#include "synth/visibility.h"

namespace rook::synth {

enum class Ground { top, edge, table, room };  // of the board: its top, its edges

struct GroundHit {
  Ground ground = Ground::room;
  float distance = kMiss;
  Vec3 point, normal{0, 0, 1};
  Vec3 direction;  // of the ray
};

// The ray through a sample (not a pixel).
inline Ray sample_ray(const Camera& camera, int x, int y) {
  return camera.ray((static_cast<float>(x) + 0.5f) / kSamples, (static_cast<float>(y) + 0.5f) / kSamples);
}

// Where a ray meets the board, or kMiss.
float board_distance(const BoardLook& board, const Ray& ray);
GroundHit ground_hit(const Scene& scene, const Ray& ray);

// What colour it is there (linear, of the material alone), and how its folds and unevenness turn the normal.
Vec3 ground_color(const Scene& scene, const GroundHit& hit);
Vec3 ground_normal(const Scene& scene, const GroundHit& hit);

}  // namespace rook::synth
