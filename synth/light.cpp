#include "synth/light.h"

#include "synth/surface.h"

namespace rook::synth {
namespace {

constexpr float kOcclusionReach = 0.5f;  // squares

float segment_distance(Vec2 p, Vec2 a, Vec2 b) {
  const Vec2 along = b - a, to = p - a;
  const float t = clamp01(dot(to, along) / std::max(dot(along, along), 1e-9f));
  return length(to - along * t);
}

// Where the line through p along `direction` meets z = 0.
Vec2 on_ground(Vec3 p, Vec3 direction) {
  const float t = p.z / direction.z;
  return {p.x - direction.x * t, p.y - direction.y * t};
}

}  // namespace

Lighting::Lighting(const Scene& scene) : scene_(scene) {
  for (const Light& light : scene.lights) {
    // A shadow is as wide as its penumbra more than the piece; the highest piece throws the widest.
    const float longest = 1.8f / light.toward.z;
    shadows_.push_back(list_pieces(light.toward, std::min(longest / light.softness, 1.0f)));
  }
  near_ = list_pieces({0, 0, 1}, kOcclusionReach);
  Vec3 irradiance = scene.sky;
  for (const Light& light : scene.lights) irradiance = irradiance + light.color * light.toward.z;
  below_ = irradiance * mix(scene.board.light, scene.board.dark, 0.5f);
}

std::vector<Lighting::Cell> Lighting::list_pieces(Vec3 direction, float margin) const {
  std::vector<Cell> cells(static_cast<std::size_t>(kCells) * kCells);
  const float size = 2 * kReach / kCells;
  for (std::size_t i = 0; i < scene_.pieces.size(); ++i) {
    const Piece& piece = scene_.pieces[i];
    const Shape& shape = scene_.set[piece.man.kind];
    const Vec2 foot = on_ground(piece.position, direction);
    const Vec2 top = on_ground(piece.position + piece.frame.z * shape.height(), direction);
    const float reach = shape.radius() + margin + 0.71f * size;
    for (int y = 0; y < kCells; ++y) {
      for (int x = 0; x < kCells; ++x) {
        const Vec2 centre{(static_cast<float>(x) + 0.5f) * size - kReach,
                          (static_cast<float>(y) + 0.5f) * size - kReach};
        if (segment_distance(centre, foot, top) < reach)
          cells[static_cast<std::size_t>(y) * kCells + x].push_back(static_cast<std::uint8_t>(i));
      }
    }
  }
  return cells;
}

const Lighting::Cell& Lighting::cell_of(const std::vector<Cell>& cells, float x, float y) const {
  static const Cell kNone;
  const float scale = kCells / (2 * kReach);
  const int ix = static_cast<int>(std::floor((x + kReach) * scale)),
            iy = static_cast<int>(std::floor((y + kReach) * scale));
  if (ix < 0 || iy < 0 || ix >= kCells || iy >= kCells) return kNone;
  return cells[static_cast<std::size_t>(iy) * kCells + ix];
}

// Where the piece's own tables end, the distance there and from there on: continuous, and good enough for shading.
float Lighting::piece_distance(std::size_t index, Vec3 world) const {
  const Piece& piece = scene_.pieces[index];
  const Shape& shape = scene_.set[piece.man.kind];
  const Vec3 p = piece.frame.to_local(world - piece.position);
  constexpr float kMargin = 0.1f;
  const float r = std::sqrt(p.x * p.x + p.y * p.y);
  const float shrink = std::min((shape.radius() + kMargin) / std::max(r, 1e-6f), 1.0f);
  const Vec3 inside{p.x * shrink, p.y * shrink, std::clamp(p.z, -kMargin, shape.height() + kMargin)};
  return shape.distance(inside) + length(p - inside);
}

// Penumbra from the narrowest angle between the ray and what it passes (Quilez, "soft shadows in raymarched SDFs").
float Lighting::shadow(Vec3 point, std::size_t index) const {
  const Light& light = scene_.lights[index];
  // What stands on the table may be in the board's own shadow.
  if (point.z < -0.001f && board_distance(scene_.board, {point, light.toward}) < kMiss) return 0;
  const Vec2 ground = on_ground(point, light.toward);
  float open = 1;
  for (const std::uint8_t i : cell_of(shadows_[index], ground.x, ground.y)) {
    const Piece& piece = scene_.pieces[i];
    const Shape& shape = scene_.set[piece.man.kind];
    const Ray local{piece.frame.to_local(point - piece.position), piece.frame.to_local(light.toward)};
    const float margin = std::min(1.8f / (light.toward.z * light.softness), 1.0f);
    float t = 0, until = 0;
    if (!shape.enters(local, margin, t, until)) continue;
    t = std::max(t, 0.03f);
    for (int step = 0; step < 64 && t < until; ++step) {
      const float d = piece_distance(i, point + light.toward * t);
      const float angle = light.softness * d / t;  // 1 at the outer edge of the penumbra
      open = std::min(open, 0.5f + 0.5f * angle);
      if (open <= 0.02f || d < -0.02f) return 0;
      t += angle > 1.5f ? std::max(0.6f * d, 0.015f) : std::clamp(0.4f * std::fabs(d), 0.015f, 0.12f);
    }
  }
  return smoothstep(0, 1, open);
}

// Samples along the normal: where they are nearer to something than to the point, that thing is in the way of light.
float Lighting::ambient(Vec3 point, Vec3 normal) const {
  if (scene_.occlusion == 0) return 1;
  const Cell& pieces = cell_of(near_, point.x, point.y);
  constexpr float kSteps[] = {0.05f, 0.16f, 0.42f}, kWeights[] = {0.9f, 0.7f, 0.55f};
  float hidden = 0;
  for (int i = 0; i < 3; ++i) {
    const Vec3 at = point + normal * kSteps[i];
    float d = std::max(at.z, 0.0f) + (point.z < -0.001f ? kSteps[i] : 0);
    for (const std::uint8_t piece : pieces) d = std::min(d, piece_distance(piece, at));
    hidden += kWeights[i] * std::max(1 - d / kSteps[i], 0.0f) * 0.5f;
  }
  return 1 - scene_.occlusion * clamp01(hidden);
}

Vec3 Lighting::surroundings(Vec3 direction) const {
  const Vec3 horizon = mix(scene_.room, scene_.sky, 0.3f);
  if (direction.z < 0) return mix(horizon, below_, clamp01(-4 * direction.z));
  return mix(horizon, scene_.sky * 1.3f, smoothstep(0, 0.6f, direction.z));
}

Lit Lighting::at(Vec3 point, Vec3 normal, Vec3 view, Shine shine) const {
  const float open = ambient(point, normal);
  Lit lit{.diffuse = mix(scene_.ground + below_ * 0.25f, scene_.sky, 0.5f + 0.5f * normal.z) * open};
  const float facing = clamp01(-dot(normal, view));
  const float fresnel = 0.04f + 0.96f * std::pow(1 - facing, 5.0f);
  const Vec3 bounced = view - normal * (2 * dot(view, normal));
  lit.mirrored = surroundings(bounced) * (shine.gloss * fresnel * open);
  const Vec3 start = point + normal * 0.01f;
  for (std::size_t i = 0; i < scene_.lights.size(); ++i) {
    const Light& light = scene_.lights[i];
    const float cosine = dot(normal, light.toward);
    if (cosine <= 0) continue;
    const float seen = shadow(start, i);
    if (seen <= 0) continue;
    lit.diffuse = lit.diffuse + light.color * (cosine * seen);
    // Blinn and Phong, scaled so that a sharper highlight is a brighter one.
    const float half = clamp01(dot(normal, normalized(light.toward - view)));
    const float peak = (shine.sharpness + 8) / 25 * std::pow(half, shine.sharpness);
    lit.mirrored = lit.mirrored + light.color * (seen * cosine * shine.gloss * peak * (0.04f + 0.5f * fresnel) * 2.5f);
  }
  return lit;
}

}  // namespace rook::synth
