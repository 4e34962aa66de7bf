// The six pieces as signed distance functions: turned profiles, and what is carved out of or set on them.
#pragma once

#include <array>
#include <limits>

#include "synth/field.h"
#include "synth/turned.h"

namespace rook::synth {

inline constexpr float kMiss = std::numeric_limits<float>::infinity();

// One kind of piece of one set. It stands on z = 0 around the z axis; the knight looks along +x.
class Shape {
 public:
  Shape() = default;
  Shape(Kind kind, const Style& style);

  // Signed distance to the surface, or a bound of it that is nowhere larger than 1.1 times the distance.
  float distance(Vec3 p) const;
  Vec3 normal(Vec3 p) const;
  // The first hit of a ray of unit length direction with the surface, or kMiss.
  float hit(const Ray& ray) const;
  // Where a ray is inside of the cylinder around the piece, `margin` wider: false when nowhere.
  bool enters(const Ray& ray, float margin, float& from, float& until) const;

  float radius() const { return radius_; }
  float height() const { return heights_.top; }

 private:
  float carved_rook(Vec3 p, float r, float d) const;
  float carved_queen(Vec3 p, float r, float d) const;
  float carved_bishop(Vec3 p, float d) const;
  float with_cross(Vec3 p, float d) const;
  float with_horse(Vec3 p, float d) const;

  Kind kind_ = Kind::pawn;
  Style style_;
  Heights heights_;
  float radius_ = 0;
  Field turned_, horse_;
};

// One set: all kinds in one style.
class Set {
 public:
  explicit Set(const Style& style);
  const Shape& operator[](Kind kind) const { return shapes_[static_cast<std::size_t>(kind)]; }

 private:
  std::array<Shape, kKinds> shapes_;
};

}  // namespace rook::synth
