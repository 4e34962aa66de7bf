#include "synth/surface.h"

#include <string_view>

#include "io/stroke_font.h"
#include "synth/noise.h"

namespace rook::synth {
namespace {

constexpr float kHalf = 4;  // of the squares

// Enters the box at t with this outward normal, or kMiss.
float box_entry(Vec3 low, Vec3 high, const Ray& ray, Vec3& normal) {
  const float o[] = {ray.origin.x, ray.origin.y, ray.origin.z},
              d[] = {ray.direction.x, ray.direction.y, ray.direction.z};
  const float l[] = {low.x, low.y, low.z}, h[] = {high.x, high.y, high.z};
  float from = 0, until = kMiss;
  int axis = 2;
  for (int i = 0; i < 3; ++i) {
    if (d[i] == 0) {
      if (o[i] < l[i] || o[i] > h[i]) return kMiss;
      continue;
    }
    const float a = (l[i] - o[i]) / d[i], b = (h[i] - o[i]) / d[i];
    if (std::min(a, b) > from) {
      from = std::min(a, b);
      axis = i;
    }
    until = std::min(until, std::max(a, b));
  }
  if (from >= until || from <= 0) return kMiss;
  const float sign = d[axis] > 0 ? -1.0f : 1.0f;
  normal = {axis == 0 ? sign : 0, axis == 1 ? sign : 0, axis == 2 ? sign : 0};
  return from;
}

float board_entry(const BoardLook& board, const Ray& ray, Vec3& normal) {
  const float half = kHalf + board.border;
  return box_entry({-half, -half, -board.thickness}, {half, half, 0}, ray, normal);
}

// Distance to the strokes of one character of height 1 that is centred on the origin, y upwards.
float glyph_distance(char c, Vec2 p) {
  const io::StrokedText text = io::stroke_text(std::string_view(&c, 1), 100);
  const Vec2 at{p.x * io::kCapHeight + text.width / 2, io::kCapHeight / 2 - p.y * io::kCapHeight};
  float nearest = kMiss;
  for (const io::Stroke& stroke : text.strokes) {
    const Vec2 from{stroke.x0, stroke.y0}, along = Vec2{stroke.x1, stroke.y1} - from;
    const float t = clamp01(dot(at - from, along) / std::max(dot(along, along), 1e-9f));
    nearest = std::min(nearest, length(at - from - along * t));
  }
  return nearest / io::kCapHeight;
}

// Letters along the sides of the players, digits along the others; each reads upright from its side.
bool on_coordinate(const BoardLook& board, float x, float y) {
  const float size = 0.42f * std::min(board.border, 0.7f), middle = kHalf + 0.5f * board.border;
  const auto marked = [&](float along, float out, bool letters) {
    if (std::fabs(along) > kHalf || std::fabs(std::fabs(out) - middle) > 0.75f * size) return false;
    const float turn = out < 0 ? 1.0f : -1.0f;
    const int index = std::clamp(static_cast<int>(std::floor(along + kHalf)), 0, 7);
    const Vec2 local{(along - (static_cast<float>(index) - 3.5f)) * turn, (out + turn * middle) * turn};
    if (std::fabs(local.x) > 0.7f * size) return false;
    const char c = static_cast<char>((letters ? 'a' : '1') + index);
    return glyph_distance(c, local * (1 / size)) < 0.075f;
  };
  return marked(x, y, true) || marked(y, -x, false);
}

Vec3 top_color(const BoardLook& board, Vec3 p) {
  const float out = std::max(std::fabs(p.x), std::fabs(p.y));
  if (out > kHalf) {
    if (board.frame_line && out > kHalf + 0.05f && out < kHalf + 0.09f) return board.ink;
    if (board.coordinates && on_coordinate(board, p.x, p.y)) return board.ink;
    const float grain = board.grain > 0 ? wood_grain({p.x * 0.5f, p.y * 0.3f, 7}) : 0;
    return board.rim * (1 - 0.5f * board.grain * grain);
  }
  const int file = static_cast<int>(std::floor(p.x + kHalf)), rank = static_cast<int>(std::floor(p.y + kHalf));
  Vec3 color = (file + rank) % 2 == 0 ? board.dark : board.light;
  if (board.grain > 0) {
    // Every square is its own piece of veneer.
    const float tone = lattice_value(file, rank, 3);
    const Vec3 at{p.x + 13 * tone, p.y * 0.4f, 5 * tone};
    color = color * (1 + 0.25f * board.grain * (tone - 0.5f)) * (1 - 0.55f * board.grain * wood_grain(at));
  }
  return color;
}

Vec3 table_color(const TableLook& table, Vec3 p) {
  const Vec3 at = p * table.scale + table.offset;
  switch (table.kind) {
    case TableKind::wood: {
      const float plank = std::floor(at.x * 0.4f);
      const float tone = lattice_value(static_cast<int>(plank), 0, 1);
      const float joint = smoothstep(0.0f, 0.02f, at.x * 0.4f - plank);
      const float grain = wood_grain({at.x * 0.35f + 3 * tone, at.y * 0.12f, 9 * tone});
      return mix(table.color, table.second, clamp01(table.strength * (0.75f * grain + 0.25f * tone))) *
             mix(0.5f, 1, joint);
    }
    case TableKind::stone: {
      const float veins = std::fabs(fractal_noise(at * 0.6f, 4) - 0.5f) * 2;
      const float specks = value_noise(at * 14);
      return mix(table.color, table.second,
                 clamp01(table.strength * (1 - smoothstep(0, 0.25f, veins)) * 0.7f + 0.25f * specks));
    }
    case TableKind::cloth:
      return mix(table.color, table.second, 0.7f * fractal_noise({at.x * 22, at.y * 22, 0}, 2));
    default:
      return table.color;
  }
}

// Heights of the folds of a cloth: long creases and soft waves.
float fold_height(const TableLook& table, Vec3 p) {
  const Vec3 at = p * (0.35f * table.scale) + table.offset;
  const float wave = fractal_noise(at, 2);
  const float crease = 1 - std::fabs(2 * value_noise({at.x * 1.4f + 2 * wave, at.y * 0.5f, 3}) - 1);
  return table.strength * (0.55f * wave + 0.35f * crease * crease * crease);
}

}  // namespace

float board_distance(const BoardLook& board, const Ray& ray) {
  Vec3 normal;
  return board_entry(board, ray, normal);
}

GroundHit ground_hit(const Scene& scene, const Ray& ray) {
  GroundHit hit;
  Vec3 normal;
  if (const float t = board_entry(scene.board, ray, normal); t < kMiss) {
    return {.ground = normal.z > 0.5f ? Ground::top : Ground::edge,
            .distance = t,
            .point = ray.at(t),
            .normal = normal,
            .direction = ray.direction};
  }
  if (ray.direction.z < -1e-4f) {
    const float t = (-scene.board.thickness - ray.origin.z) / ray.direction.z;
    const Vec3 p = ray.at(t);
    if (std::max(std::fabs(p.x), std::fabs(p.y)) < scene.table_reach)
      return {.ground = Ground::table, .distance = t, .point = p, .direction = ray.direction};
  }
  hit.direction = ray.direction;
  return hit;
}

Vec3 ground_color(const Scene& scene, const GroundHit& hit) {
  switch (hit.ground) {
    case Ground::top:
      return top_color(scene.board, hit.point);
    case Ground::edge:
      return scene.board.rim * 0.8f;
    case Ground::table:
      return table_color(scene.table, hit.point);
    default:
      break;
  }
  const Vec3 d = hit.direction;  // blurred shapes, far away
  return scene.room * (0.5f + fractal_noise({d.x * 3 + 9, d.y * 3, d.z * 5}, 2));
}

Vec3 ground_normal(const Scene& scene, const GroundHit& hit) {
  if (hit.ground == Ground::top) {
    const float dx = value_noise({hit.point.x * 0.6f, hit.point.y * 0.6f, 1}) - 0.5f;
    const float dy = value_noise({hit.point.x * 0.6f, hit.point.y * 0.6f, 9}) - 0.5f;
    return normalized({0.06f * dx, 0.06f * dy, 1});
  }
  if (hit.ground != Ground::table || scene.table.kind != TableKind::cloth) return hit.normal;
  constexpr float e = 0.08f;
  const float here = fold_height(scene.table, hit.point);
  return normalized({here - fold_height(scene.table, hit.point + Vec3{e, 0, 0}),
                     here - fold_height(scene.table, hit.point + Vec3{0, e, 0}), e});
}

}  // namespace rook::synth
