#include "synth/piece.h"

namespace rook::synth {
namespace {

constexpr float kCell = 0.010f;   // of the tables, squares
constexpr float kMargin = 0.12f;  // how far around the piece the tables reach
constexpr float kNear = 0.0007f;  // what counts as a hit: a small part of a pixel
constexpr float kCaution = 0.9f;  // of the distance that a step goes: carved surfaces are bounds only
constexpr int kMostSteps = 96;

// Side views of horses of two sets, looking along +x, point for point alike: one looks down, one ahead. The feet of
// their necks are at z = 0.22, the ears at kEars.
constexpr float kEars = 1.115f, kWithers = 0.22f;
constexpr Vec2 kHumble[] = {{0.19f, 0.22f},   {0.215f, 0.34f},  {0.205f, 0.45f},  {0.15f, 0.55f},   {0.105f, 0.635f},
                            {0.16f, 0.650f},  {0.225f, 0.585f}, {0.285f, 0.550f}, {0.33f, 0.580f},  {0.345f, 0.650f},
                            {0.315f, 0.730f}, {0.245f, 0.825f}, {0.185f, 0.925f}, {0.150f, 1.000f}, {0.125f, 1.115f},
                            {0.070f, 1.030f}, {-0.02f, 0.990f}, {-0.12f, 0.905f}, {-0.195f, 0.78f}, {-0.235f, 0.63f},
                            {-0.24f, 0.48f},  {-0.215f, 0.35f}, {-0.20f, 0.22f}};
constexpr Vec2 kProud[] = {{0.17f, 0.22f},   {0.185f, 0.33f},  {0.17f, 0.45f},  {0.12f, 0.57f},   {0.085f, 0.68f},
                           {0.15f, 0.735f},  {0.23f, 0.705f},  {0.30f, 0.69f},  {0.345f, 0.735f}, {0.35f, 0.80f},
                           {0.30f, 0.87f},   {0.22f, 0.93f},   {0.15f, 0.985f}, {0.115f, 1.03f},  {0.085f, 1.115f},
                           {0.03f, 1.035f},  {-0.05f, 0.985f}, {-0.13f, 0.89f}, {-0.185f, 0.77f}, {-0.205f, 0.63f},
                           {-0.195f, 0.48f}, {-0.18f, 0.35f},  {-0.18f, 0.22f}};
static_assert(std::size(kHumble) == std::size(kProud));

float smooth_min(float a, float b, float k) {
  const float h = std::max(k - std::fabs(a - b), 0.0f) / k;
  return std::min(a, b) - h * h * k * 0.25f;
}

float box_distance(Vec3 p, Vec3 half) {
  const Vec3 q{std::fabs(p.x) - half.x, std::fabs(p.y) - half.y, std::fabs(p.z) - half.z};
  const Vec3 out{std::max(q.x, 0.0f), std::max(q.y, 0.0f), std::max(q.z, 0.0f)};
  return length(out) + std::min(std::max(q.x, std::max(q.y, q.z)), 0.0f);
}

// The angle around the axis folded into one of `count` equal sectors: how far to the side of the sector's middle.
float sideways(Vec3 p, float r, int count) {
  const float sector = 2 * kPi / static_cast<float>(count);
  const float angle = std::atan2(p.y, p.x);
  return r * std::sin(angle - sector * std::round(angle / sector));
}

}  // namespace

Shape::Shape(Kind kind, const Style& style) : kind_(kind), style_(style), heights_(heights_of(kind, style)) {
  const std::vector<Vec2> profile = turned_profile(kind, style);
  for (const Vec2 p : profile) radius_ = std::max(radius_, p.x);
  turned_ = Field(profile, {0, -kMargin}, {radius_ + kMargin, heights_.top + kMargin}, kCell, Outline::turned);
  if (kind != Kind::knight) return;
  std::vector<Vec2> side;
  float front = 0;
  for (std::size_t i = 0; i < std::size(kHumble); ++i) {
    const Vec2 a = kHumble[i], b = kProud[i];
    const Vec2 p{mix(a.x, b.x, style.proud), mix(a.y, b.y, style.proud)};
    side.push_back({p.x * style.head * (p.x > 0.1f ? style.muzzle : 1),
                    kWithers + (p.y - kWithers) * (heights_.top - kWithers) / (kEars - kWithers)});
    front = std::max(front, side.back().x);
  }
  radius_ = std::max(radius_, front + 0.02f);
  horse_ =
      Field(smooth_closed(side, 5), {-radius_ - kMargin, -kMargin}, {radius_ + kMargin, heights_.top + kMargin}, kCell);
}

// Slots between the battlements of the tower.
float Shape::carved_rook(Vec3 p, float r, float d) const {
  const float deep = 0.075f;
  if (p.z < heights_.rim - deep - 0.2f) return d;
  const float slot = std::max(
      std::fabs(sideways(p, r, style_.slots)) - 0.9f * style_.slot * heights_.width / static_cast<float>(style_.slots),
      heights_.rim - deep - p.z);
  return std::max(d, -slot);
}

// Scallops cut into the rim of the coronet, from outside.
float Shape::carved_queen(Vec3 p, float r, float d) const {
  if (p.z < heights_.rim - 0.25f) return d;
  const float side = sideways(p, r, style_.points), up = p.z - heights_.rim - 0.005f;
  const float half = kPi * heights_.width / static_cast<float>(style_.points);
  const float scallop = std::max(std::sqrt(side * side + up * up) - style_.scallop * half, 0.72f * heights_.width - r);
  return std::max(d, -scallop);
}

// The slanted cut into one side of the mitre.
float Shape::carved_bishop(Vec3 p, float d) const {
  if (style_.slit == 0) return d;
  const float middle = mix(heights_.neck, heights_.rim, 0.66f);
  const float across = (p.z - middle - style_.slit * (p.x - 0.02f)) / std::sqrt(1 + style_.slit * style_.slit);
  return std::max(d, -std::max(std::fabs(across) - 0.016f, 0.01f - p.x));
}

float Shape::with_cross(Vec3 p, float d) const {
  const float tall = heights_.top - heights_.rim, arm = 0.085f * style_.cross_arm, thick = 0.030f;
  if (p.z < heights_.rim - 0.1f) return d;
  const float up = p.z - heights_.rim;
  // Both bars widen towards their ends, as in a cross pattee.
  const float post =
      box_distance({p.x, p.y, up - 0.5f * tall}, {0.022f + 0.05f * std::fabs(up - 0.6f * tall), thick, 0.5f * tall});
  const float bar =
      box_distance({p.x, p.y, up - 0.6f * tall}, {arm, thick, 0.020f + 0.16f * std::min(std::fabs(p.x), arm)});
  return std::min(d, 0.95f * std::min(post, bar));
}

// The silhouette of a horse, as thick as a horse is there, on its turned foot.
float Shape::with_horse(Vec3 p, float d) const {
  const float up = clamp01((p.z - kWithers) / (heights_.top - kWithers));
  float half = mix(0.185f, 0.108f, smoothstep(0.0f, 0.5f, up));
  half = mix(half, 0.072f, smoothstep(0.10f, 0.32f, p.x));
  half = mix(half, 0.085f, smoothstep(0.80f, 0.95f, up));
  // The mane: ridges along the back of the neck.
  const float side = horse_.at({p.x, p.z});
  const float back = smoothstep(0.05f, -0.10f, p.x) * smoothstep(-0.10f, -0.03f, side) * smoothstep(0.15f, 0.3f, up);
  half -= back * (0.012f + 0.010f * std::sin(50 * p.z + 25 * p.x));
  const float across = std::fabs(p.y), round = 0.05f;
  const float qx = side + round, qy = across - half + round;
  const float outside = std::sqrt(std::max(qx, 0.0f) * std::max(qx, 0.0f) + std::max(qy, 0.0f) * std::max(qy, 0.0f));
  float horse = outside + std::min(std::max(qx, qy), 0.0f) - round;
  // Parts of the head, as they lie in the two side views.
  const float scale = heights_.top / kEars, proud = style_.proud;
  const auto ball = [&](Vec2 humble, Vec2 ahead, float y, float radius) {
    const float x = mix(humble.x, ahead.x, proud), z = mix(humble.y, ahead.y, proud) * scale;
    return length(Vec3{p.x - x * style_.head, across - y, p.z - z}) - radius;
  };
  const float mouth = scale * mix(0.60f, 0.755f, proud) + mix(0.15f, 0.05f, proud) * (p.x - 0.3f);
  horse = smooth_min(horse, ball({0.13f, 0.74f}, {0.12f, 0.83f}, 0.055f, 0.075f), 0.04f);    // cheek
  horse = smooth_min(horse, ball({0.185f, 0.855f}, {0.17f, 0.93f}, 0.085f, 0.018f), 0.02f);  // eye
  horse = std::max(horse, -ball({0.315f, 0.665f}, {0.325f, 0.815f}, 0.075f, 0.022f));        // nostril
  horse = std::max(horse, -std::max(std::fabs(p.z - mouth) - 0.010f, 0.235f - p.x));
  horse = std::max(horse, -std::max(across - 0.022f, 1.02f * scale - p.z));  // between the ears
  return smooth_min(d, 0.85f * horse, 0.03f);
}

float Shape::distance(Vec3 p) const {
  const float r = std::sqrt(p.x * p.x + p.y * p.y);
  const float d = turned_.at({r, p.z});
  switch (kind_) {
    case Kind::rook:
      return carved_rook(p, r, d);
    case Kind::queen:
      return carved_queen(p, r, d);
    case Kind::bishop:
      return carved_bishop(p, d);
    case Kind::king:
      return with_cross(p, d);
    case Kind::knight:
      return with_horse(p, d);
    default:
      return d;
  }
}

// Four samples at the corners of a tetrahedron.
Vec3 Shape::normal(Vec3 p) const {
  constexpr float e = 0.004f;
  const Vec3 a{1, -1, -1}, b{-1, -1, 1}, c{-1, 1, -1}, d{1, 1, 1};
  return normalized(a * distance(p + a * e) + b * distance(p + b * e) + c * distance(p + c * e) +
                    d * distance(p + d * e));
}

bool Shape::enters(const Ray& ray, float margin, float& from, float& until) const {
  const Vec3 o = ray.origin, v = ray.direction;
  const float r = radius_ + margin;
  from = 0;
  until = kMiss;
  if (v.z != 0) {
    const float a = (-margin - o.z) / v.z, b = (heights_.top + margin - o.z) / v.z;
    from = std::max(from, std::min(a, b));
    until = std::min(until, std::max(a, b));
  } else if (o.z < -margin || o.z > heights_.top + margin) {
    return false;
  }
  const float a = v.x * v.x + v.y * v.y, b = o.x * v.x + o.y * v.y, c = o.x * o.x + o.y * o.y - r * r;
  if (a < 1e-12f) return c < 0 && from < until;
  const float root = b * b - a * c;
  if (root <= 0) return false;
  const float wide = std::sqrt(root);
  from = std::max(from, (-b - wide) / a);
  until = std::min(until, (-b + wide) / a);
  return from < until;
}

float Shape::hit(const Ray& ray) const {
  float t = 0, until = 0;
  if (!enters(ray, 0.01f, t, until)) return kMiss;
  for (int step = 0; step < kMostSteps && t < until; ++step) {
    const float d = distance(ray.at(t));
    if (d < kNear) return t;
    t += std::max(kCaution * d, kNear);
  }
  return kMiss;
}

Set::Set(const Style& style) {
  for (int k = 0; k < kKinds; ++k) shapes_[static_cast<std::size_t>(k)] = Shape(static_cast<Kind>(k), style);
}

}  // namespace rook::synth
