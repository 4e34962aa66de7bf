// How much light reaches a point, and what a surface makes of it.
#pragma once

#include <cstdint>
#include <vector>

#include "synth/scene.h"

namespace rook::synth {

struct Shine {
  float gloss = 0, sharpness = 60;
};

// Light of a surface towards the camera: `diffuse` is still to be multiplied by the surface's colour.
struct Lit {
  Vec3 diffuse, mirrored;
};

// The lights of a scene with its pieces in their way. Looks for the pieces near a point in lists made beforehand, one
// per cell of the ground.
class Lighting {
 public:
  explicit Lighting(const Scene& scene);

  // At a point with this unit normal, seen along `view` (from the camera).
  Lit at(Vec3 point, Vec3 normal, Vec3 view, Shine shine) const;

 private:
  static constexpr int kCells = 56;        // along each side
  static constexpr float kReach = 14;      // squares from the middle that they cover
  using Cell = std::vector<std::uint8_t>;  // pieces

  // Pieces within `margin` of the line through each point along `direction`, by the cell where that line meets z = 0.
  std::vector<Cell> list_pieces(Vec3 direction, float margin) const;
  const Cell& cell_of(const std::vector<Cell>& cells, float x, float y) const;
  float piece_distance(std::size_t piece, Vec3 world) const;
  // 1: the whole light is seen; 0: none of it.
  float shadow(Vec3 point, std::size_t light) const;
  float ambient(Vec3 point, Vec3 normal) const;
  Vec3 surroundings(Vec3 direction) const;

  const Scene& scene_;
  std::vector<std::vector<Cell>> shadows_;  // [light]
  std::vector<Cell> near_;
  Vec3 below_;  // mean light from the board
};

}  // namespace rook::synth
