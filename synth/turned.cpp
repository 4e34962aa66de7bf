#include "synth/turned.h"

#include <utility>

namespace rook::synth {
namespace {

// Sizes of a common club set, in squares (2.25 inch): king 3.75 inch high, its foot 1.5 inch wide.
struct Sizes {
  float foot;    // radius
  float stem;    // radius at its thinnest
  float neck;    // height of the collar
  float collar;  // radius
  float rim, width, top;
};

constexpr Sizes kSizes[kKinds] = {
    {.foot = 0.300f, .stem = 0.075f, .neck = 0.72f, .collar = 0.160f, .rim = 1.17f, .width = 0.137f, .top = 1.27f},
    {.foot = 0.335f, .stem = 0.098f, .neck = 0.97f, .collar = 0.190f, .rim = 1.45f, .width = 0.190f, .top = 1.67f},
    {.foot = 0.310f, .stem = 0.200f, .neck = 0.27f, .collar = 0.200f, .rim = 1.00f, .width = 0.340f, .top = 1.13f},
    {.foot = 0.265f, .stem = 0.078f, .neck = 0.55f, .collar = 0.150f, .rim = 0.87f, .width = 0.142f, .top = 0.87f},
    {.foot = 0.330f, .stem = 0.090f, .neck = 0.89f, .collar = 0.180f, .rim = 1.31f, .width = 0.195f, .top = 1.45f},
    {.foot = 0.300f, .stem = 0.150f, .neck = 0.60f, .collar = 0.205f, .rim = 0.96f, .width = 0.215f, .top = 0.96f},
};

Sizes sizes_of(Kind kind, const Style& style) {
  Sizes s = kSizes[static_cast<int>(kind)];
  s.foot *= style.foot;
  s.stem *= style.stem;
  s.collar *= style.collar;
  s.width *= style.head;
  s.neck *= kind == Kind::knight ? 1 : style.height;
  s.rim *= style.height;
  s.top *= style.height;
  if (kind == Kind::king) s.top = s.rim + (s.top - s.rim) * style.cross_tall;
  return s;
}

// Draws a profile from the foot upwards.
class Lathe {
 public:
  void to(float r, float z) { points_.push_back({r, z}); }
  // A half-round ring between the height now and z that bulges out to r, from the radius now back to it.
  void ring(float r, float z) {
    const Vec2 from = points_.back();
    for (int i = 1; i <= 8; ++i) {
      const float u = static_cast<float>(i) / 8;
      to(from.x + (r - from.x) * std::sin(kPi * u), mix(from.y, z, 0.5f - 0.5f * std::cos(kPi * u)));
    }
  }
  // A curve to (r, z) that turns upright at its end for power > 1, at its start for power < 1.
  void sweep(float r, float z, float power) {
    const Vec2 from = points_.back();
    for (int i = 1; i <= 12; ++i) {
      const float u = static_cast<float>(i) / 12;
      to(r + (from.x - r) * std::pow(1 - u, power), mix(from.y, z, u));
    }
  }
  // The part of a ball above where it meets radius `from`, up to the axis.
  void ball(float centre, float radius, float from) {
    const float start = -std::acos(std::min(from / radius, 1.0f));
    for (int i = 0; i <= 14; ++i) {
      const float angle = mix(start, kPi / 2, static_cast<float>(i) / 14);
      to(radius * std::cos(angle), centre + radius * std::sin(angle));
    }
  }
  std::vector<Vec2> take() { return std::move(points_); }

 private:
  std::vector<Vec2> points_;
};

void foot(Lathe& lathe, const Sizes& s, float dome) {
  const float r = s.foot;
  lathe.to(0, 0);
  lathe.to(0.95f * r, 0);
  lathe.ring(r, 0.10f);
  lathe.to(0.87f * r, 0.105f);
  lathe.to(0.87f * r, 0.125f);
  lathe.sweep(0.68f * r, dome, 0.6f);
  lathe.ring(0.75f * r, dome + 0.03f);
  lathe.to(0.62f * r, dome + 0.04f);
}

void collars(Lathe& lathe, const Sizes& s) {
  lathe.to(0.7f * s.collar, s.neck);
  lathe.ring(s.collar, s.neck + 0.04f);
  lathe.to(0.66f * s.collar, s.neck + 0.045f);
}

void second_collar(Lathe& lathe, const Sizes& s) {
  lathe.ring(0.8f * s.collar, s.neck + 0.08f);
  lathe.to(0.55f * s.collar, s.neck + 0.085f);
}

void pawn_head(Lathe& lathe, const Sizes& s) {
  lathe.ball(s.top - s.width, s.width, 0.5f * s.collar);
}

void bishop_head(Lathe& lathe, const Sizes& s) {
  const float low = s.neck + 0.085f, wide = low + 0.30f * (s.rim - low), knob = (s.top - s.rim) / 2 + 0.008f;
  lathe.sweep(s.width, wide, 1.9f);
  const float tip = 0.024f;
  for (int i = 1; i <= 12; ++i) {
    const float u = static_cast<float>(i) / 12;
    lathe.to(tip + (s.width - tip) * (1 - std::pow(u, 1.7f)), mix(wide, s.rim, u));
  }
  lathe.ball(s.top - knob, knob, tip);
}

void queen_head(Lathe& lathe, const Sizes& s, float crown) {
  const Vec2 low{0.5f * s.collar, s.neck + 0.09f};
  for (int i = 0; i <= 10; ++i) {
    const float u = static_cast<float>(i) / 10;
    lathe.to(mix(low.x, s.width, crown * u + (1 - crown) * u * u), mix(low.y, s.rim, u));
  }
  lathe.to(0.80f * s.width, s.rim);
  lathe.to(0.74f * s.width, s.rim - 0.045f);
  lathe.sweep(0.030f, s.top - 0.085f, 0.55f);
  lathe.ball(s.top - 0.05f, 0.05f, 0.030f);
}

void king_head(Lathe& lathe, const Sizes& s) {
  const Vec2 low{0.52f * s.collar, s.neck + 0.09f};
  const float shoulder = s.rim - 0.10f;
  for (int i = 0; i <= 10; ++i) {
    const float u = static_cast<float>(i) / 10;
    lathe.to(mix(low.x, s.width, 0.55f * u + 0.45f * u * u), mix(low.y, shoulder, u));
  }
  lathe.ring(s.width + 0.012f, shoulder + 0.03f);
  lathe.sweep(0.035f, s.rim, 0.5f);
  lathe.to(0, s.rim);
}

void rook_head(Lathe& lathe, const Sizes& s) {
  lathe.to(0.74f * s.width, s.neck + 0.05f);
  lathe.sweep(s.width, s.neck + 0.13f, 0.6f);
  lathe.to(s.width, s.rim);
  lathe.to(0.66f * s.width, s.rim);
  lathe.to(0.66f * s.width, s.rim - 0.11f);
  lathe.to(0, s.rim - 0.11f);
}

}  // namespace

Style Style::random(Random& random) {
  Style s;
  s.height = random.uniform(0.90f, 1.06f);
  s.foot = random.uniform(0.92f, 1.10f);
  s.stem = random.uniform(0.90f, 1.25f);
  s.collar = random.uniform(0.92f, 1.12f);
  s.head = random.uniform(0.93f, 1.10f);
  s.waist = random.uniform(1.8f, 4.5f);
  s.dome = random.uniform(0.18f, 0.30f);
  s.crown = random.uniform(0.1f, 0.9f);
  s.proud = random.uniform(0, 1);
  s.slot = random.uniform(0.5f, 1.1f);
  s.scallop = random.uniform(0.5f, 0.9f);
  s.cross_tall = random.uniform(0.8f, 1.05f);
  s.slots = 4 + random.below(3);
  s.points = 7 + random.below(5);
  s.slit = random.chance(0.85f) ? random.uniform(0.35f, 0.9f) : 0;
  s.cross_arm = random.uniform(0.85f, 1.15f);
  s.muzzle = random.uniform(0.93f, 1.08f);
  return s;
}

Heights heights_of(Kind kind, const Style& style) {
  const Sizes s = sizes_of(kind, style);
  return {.top = s.top, .neck = s.neck, .rim = s.rim, .width = s.width};
}

std::vector<Vec2> turned_profile(Kind kind, const Style& style) {
  const Sizes s = sizes_of(kind, style);
  Lathe lathe;
  foot(lathe, s, kind == Kind::knight ? std::min(style.dome, 0.22f) : style.dome);
  if (kind == Kind::knight) {
    lathe.to(0, 0.27f);
    return lathe.take();
  }
  lathe.sweep(s.stem, s.neck - 0.01f, style.waist);
  collars(lathe, s);
  switch (kind) {
    case Kind::pawn:
      pawn_head(lathe, s);
      break;
    case Kind::rook:
      rook_head(lathe, s);
      break;
    case Kind::bishop:
      second_collar(lathe, s);
      bishop_head(lathe, s);
      break;
    case Kind::queen:
      second_collar(lathe, s);
      queen_head(lathe, s, style.crown);
      break;
    default:
      second_collar(lathe, s);
      king_head(lathe, s);
      break;
  }
  return lathe.take();
}

}  // namespace rook::synth
