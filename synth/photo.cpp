#include "synth/photo.h"

#include "synth/light.h"
#include "synth/noise.h"
#include "synth/surface.h"

namespace rook::synth {
namespace {

constexpr int kPerPixel = kSamples * kSamples;

Vec3 piece_light(const Scene& scene, const Lighting& lighting, std::size_t index, const Ray& ray, float distance) {
  const Piece& piece = scene.pieces[index];
  const Shape& shape = scene.set[piece.man.kind];
  const Material& material = piece.man.white ? scene.white : scene.black;
  const Vec3 point = ray.at(distance), local = piece.frame.to_local(point - piece.position);
  const Vec3 normal = piece.frame.to_world(shape.normal(local));
  const float offset = 5 * piece.position.x + 11 * piece.position.y;  // cut from another part of the tree
  const float grain =
      material.grain > 0 ? material.grain * wood_grain({local.x + offset, local.z * 0.5f, local.y + 3 * offset}) : 0;
  const Lit lit = lighting.at(point, normal, ray.direction, {material.gloss, material.sharpness});
  return mix(material.color, material.dark, grain) * lit.diffuse + lit.mirrored;
}

Lit ground_light(const Scene& scene, const Lighting& lighting, const GroundHit& hit) {
  if (hit.ground == Ground::room) return {.diffuse = {1, 1, 1}};
  const float gloss = hit.ground != Ground::table            ? scene.board.gloss
                      : scene.table.kind == TableKind::wood  ? 0.25f
                      : scene.table.kind == TableKind::stone ? 0.5f
                                                             : 0;
  return lighting.at(hit.point, ground_normal(scene, hit), hit.direction, {gloss, 30});
}

// One pixel. Samples of the same piece, or of the same part of the ground, share their light.
Vec3 pixel_light(const Scene& scene, const Visibility& visible, const Lighting& lighting, int px, int py) {
  Vec3 sum;
  int piece_of[kPerPixel], pieces = 0;
  Vec3 light_of[kPerPixel];
  bool ground_lit[4] = {};
  Lit lit[4];
  for (int s = 0; s < kPerPixel; ++s) {
    const int x = px * kSamples + s % kSamples, y = py * kSamples + s / kSamples;
    const std::size_t at = static_cast<std::size_t>(y) * visible.width + x;
    const int piece = visible.piece[at];
    const Ray ray = sample_ray(scene.camera, x, y);
    if (piece == kNobody) {
      const GroundHit hit = ground_hit(scene, ray);
      const auto kind = static_cast<std::size_t>(hit.ground);
      if (!ground_lit[kind]) lit[kind] = ground_light(scene, lighting, hit);
      ground_lit[kind] = true;
      sum = sum + ground_color(scene, hit) * lit[kind].diffuse + lit[kind].mirrored;
      continue;
    }
    int known = 0;
    while (known < pieces && piece_of[known] != piece) ++known;
    if (known == pieces) {
      piece_of[pieces] = piece;
      light_of[pieces++] = piece_light(scene, lighting, static_cast<std::size_t>(piece), ray, visible.distance[at]);
    }
    sum = sum + light_of[known];
  }
  return sum * (1.0f / kPerPixel);
}

std::vector<float> gaussian(float deviation) {
  const int reach = static_cast<int>(std::ceil(3 * deviation));
  std::vector<float> weights;
  float sum = 0;
  for (int i = -reach; i <= reach; ++i) {
    weights.push_back(std::exp(-0.5f * static_cast<float>(i * i) / (deviation * deviation)));
    sum += weights.back();
  }
  for (float& w : weights) w /= sum;
  return weights;
}

// Along rows (step 1) or columns (step width); the border goes on beyond the edge.
void blur_along(Exposure& light, int lines, int length, int line_step, int step, const std::vector<float>& weights) {
  const int reach = static_cast<int>(weights.size()) / 2;
  std::vector<Vec3> line(static_cast<std::size_t>(length));
  for (int l = 0; l < lines; ++l) {
    for (int i = 0; i < length; ++i)
      line[static_cast<std::size_t>(i)] =
          light[static_cast<std::size_t>(l) * line_step + static_cast<std::size_t>(i) * step];
    for (int i = 0; i < length; ++i) {
      Vec3 sum;
      for (int k = -reach; k <= reach; ++k)
        sum = sum + line[static_cast<std::size_t>(std::clamp(i + k, 0, length - 1))] *
                        weights[static_cast<std::size_t>(k + reach)];
      light[static_cast<std::size_t>(l) * line_step + static_cast<std::size_t>(i) * step] = sum;
    }
  }
}

// Display value of linear light: sRGB's exponent, then an S-curve, 0..1.
float developed(float light, float contrast) {
  const float v = std::pow(std::max(light, 0.0f), 1 / 2.2f);
  // Highlights roll off instead of being cut.
  const float rolled = v < 0.85f ? v : 0.85f + 0.15f * (1 - std::exp(-(v - 0.85f) / 0.15f));
  return mix(rolled, smoothstep(0, 1, rolled), contrast);
}

}  // namespace

Exposure expose(const Scene& scene, const Visibility& visible) {
  const Lighting lighting(scene);
  Exposure light(static_cast<std::size_t>(scene.width) * scene.height);
  for (int y = 0; y < scene.height; ++y) {
    for (int x = 0; x < scene.width; ++x)
      light[static_cast<std::size_t>(y) * scene.width + x] = pixel_light(scene, visible, lighting, x, y);
  }
  return light;
}

io::Image develop(const Scene& scene, Exposure light, Random& random) {
  const PhotoLook& photo = scene.photo;
  const int width = scene.width, height = scene.height;
  if (photo.blur > 0.05f) {
    const std::vector<float> weights = gaussian(photo.blur);
    blur_along(light, height, width, width, 1, weights);
    blur_along(light, width, height, 1, width, weights);
  }
  io::Image image{.width = width, .height = height, .channels = 3};
  image.pixels.resize(light.size() * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::size_t at = static_cast<std::size_t>(y) * width + x;
      const float dx = 2 * (static_cast<float>(x) + 0.5f) / static_cast<float>(width) - 1;
      const float dy = 2 * (static_cast<float>(y) + 0.5f) / static_cast<float>(height) - 1;
      const Vec3 pixel =
          light[at] * photo.balance * (photo.exposure * (1 - photo.vignette * 0.5f * (dx * dx + dy * dy)));
      const float grey = photo.noise > 0 ? 0.8f * photo.noise * random.normal() : 0;
      const float values[] = {pixel.x, pixel.y, pixel.z};
      for (int c = 0; c < 3; ++c) {
        const float v = 255 * developed(values[c], photo.contrast);
        // Photons are counted: more noise in the dark, once brightness is brought to the display's scale.
        const float own = photo.noise > 0 ? (grey + 0.6f * photo.noise * random.normal()) * (1.3f - 0.6f * v / 255) : 0;
        image.pixels[at * 3 + static_cast<std::size_t>(c)] =
            static_cast<std::uint8_t>(std::clamp(v + own + 0.5f, 0.0f, 255.0f));
      }
    }
  }
  return image;
}

}  // namespace rook::synth
