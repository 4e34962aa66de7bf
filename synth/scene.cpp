#include "synth/scene.h"

namespace rook::synth {
namespace {

constexpr float kPi = 3.14159265f;
constexpr float kDegree = kPi / 180;

// What the random numbers of a picture are for.
enum Layer : std::uint32_t { kLayout = 0, kColours = 1, kView = 2, kSets = 3 };

Frame upright(float turn) {
  return {.x = {std::cos(turn), std::sin(turn), 0}, .y = {-std::sin(turn), std::cos(turn), 0}, .z = {0, 0, 1}};
}

bool is_clear(const Scene& scene, Vec3 p, float distance) {
  for (const Piece& piece : scene.pieces) {
    if (length(Vec2{piece.position.x - p.x, piece.position.y - p.y}) < distance) return false;
  }
  return true;
}

// On its square, not quite in the middle, and not into a neighbour.
void place_on_board(Scene& scene, const PlacedMan& placed, float sloppy, Random& random) {
  const Shape& shape = scene.set[placed.man.kind];
  Piece piece{.man = placed.man};
  for (int attempt = 0; attempt < 8; ++attempt) {
    const float reach = attempt < 7 ? sloppy : 0;
    piece.position = {static_cast<float>(placed.file) - 3.5f + random.uniform(-reach, reach),
                      static_cast<float>(placed.rank) - 3.5f + random.uniform(-reach, reach), 0};
    if (is_clear(scene, piece.position, 2 * shape.radius() + 0.03f)) break;
  }
  // Knights are set facing forwards or aside; turned pieces show their slits and crosses from anywhere.
  const float forwards = placed.man.white ? kPi / 2 : -kPi / 2;
  const float turn = placed.man.kind == Kind::knight && random.chance(0.6f) ? forwards + 0.5f * random.normal()
                                                                            : random.uniform(0, 2 * kPi);
  piece.frame = upright(turn);
  scene.pieces.push_back(piece);
}

// Captured pieces stand in no order beside the board.
void place_captured(Scene& scene, const std::vector<Man>& captured, Random& random) {
  const float edge = 4 + scene.board.border;
  for (const Man man : captured) {
    Piece piece{.man = man, .frame = upright(random.uniform(0, 2 * kPi))};
    for (int attempt = 0; attempt < 12; ++attempt) {
      const float along = random.uniform(-4.5f, 4.5f),
                  out = (man.white ? -1.0f : 1.0f) * (edge + random.uniform(0.5f, 2.2f));
      piece.position = random.chance(0.8f) ? Vec3{along, out, 0} : Vec3{out, along, 0};
      piece.position.z = -scene.board.thickness;
      if (!is_clear(scene, piece.position, 0.72f)) continue;
      scene.pieces.push_back(piece);
      break;
    }
  }
}

void choose_layout(Scene& scene, Random& random) {
  Position position = random_position(random);
  const float sloppy = random.uniform(0.02f, 0.16f);
  for (const PlacedMan& placed : position.board) place_on_board(scene, placed, sloppy, random);
  if (position.captured.empty() && random.chance(0.15f)) {
    position.captured = std::vector<Man>(1 + static_cast<std::size_t>(random.below(6)));
    for (Man& man : position.captured) man = {static_cast<Kind>(random.below(kKinds)), random.chance(0.5f)};
  }
  if (random.chance(0.6f)) place_captured(scene, position.captured, random);
}

void choose_lights(Scene& scene, Random& random) {
  const float share = random.uniform(0.25f, 0.75f);  // of the light that comes from lamps
  const float warmth = 0.12f * random.normal();
  const int count = 1 + random.below(3);
  float total = 0;
  for (int i = 0; i < count; ++i) {
    const float azimuth = random.uniform(0, 2 * kPi), elevation = random.uniform(28, 80) * kDegree;
    const float own = warmth + 0.08f * random.normal(), strength = i == 0 ? 1.0f : random.uniform(0.2f, 0.8f);
    Light light{.toward = {std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                           std::sin(elevation)},
                .color = Vec3{1 + own, 1, 1 - own} * strength,
                .softness = random.chance(0.3f) ? random.uniform(8, 30) : random.uniform(2, 8)};
    total += strength * light.toward.z;
    scene.lights.push_back(light);
  }
  for (Light& light : scene.lights) light.color = light.color * (share / total);
  const float cool = 0.06f * random.normal();
  scene.sky = Vec3{1 - cool, 1, 1 + cool} * (1 - share);
  scene.ground = scene.sky * random.uniform(0.15f, 0.4f);
  scene.occlusion = random.uniform(0.6f, 1.0f);
}

// How often photos are that wide for their height. Detectors stretch photos to a square, so a wide one looks narrow.
float choose_stretch(Random& random) {
  constexpr float kShapes[] = {1, 4.0f / 3, 1.5f, 16.0f / 9, 0.75f};
  constexpr float kWeights[] = {0.40f, 0.20f, 0.28f, 0.07f, 0.05f};
  return kShapes[random.pick(kWeights)];
}

void choose_view(Scene& scene, Random& random) {
  const float stretch = choose_stretch(random);
  const bool close = random.chance(0.15f);
  const float elevation = (random.chance(0.75f) ? random.uniform(35, 62) : random.uniform(24, 80)) * kDegree;
  const float side = std::floor(random.uniform(0, 4)) * kPi / 2;
  const float azimuth = random.chance(0.7f) ? side + 0.16f * random.normal() : random.uniform(0, 2 * kPi);
  const float roll = 0.04f * random.normal();
  const float field = random.uniform(26, 58) * kDegree;  // of view, along the height of the picture
  // The board, about 9.5 squares wide, fills this much of the picture in the direction where it is tighter.
  const float fill = close ? random.uniform(1.5f, 3.0f) : random.uniform(0.88f, 1.35f);
  const float seen = std::max(9.5f / stretch, 9.5f * std::sin(elevation) + 1) / fill;  // high, where the target is
  const float distance = 0.5f * seen / std::tan(field / 2);
  Vec3 target{random.uniform(-0.8f, 0.8f), random.uniform(-0.8f, 0.8f), 0.2f};
  if (close && !scene.pieces.empty()) {
    target = scene.pieces[static_cast<std::size_t>(random.below(static_cast<int>(scene.pieces.size())))].position;
    target.z += 0.4f;
  }
  scene.camera = look_at(target, azimuth, elevation, distance, roll, field, stretch, scene.width, scene.height);
}

void choose_photo(Scene& scene, Random& random) {
  PhotoLook& photo = scene.photo;
  const float scale = static_cast<float>(scene.height) / 416;
  photo.exposure = std::exp(0.22f * random.normal() - 0.05f);
  const float warmth = 0.07f * random.normal(), tint = 0.03f * random.normal();
  photo.balance = {1 + warmth, 1 + tint, 1 - warmth};
  photo.contrast = random.uniform(0, 0.6f);
  photo.vignette = random.chance(0.5f) ? random.uniform(0, 0.35f) : 0;
  photo.blur = scale * (random.chance(0.85f) ? random.uniform(0.2f, 0.8f) : random.uniform(0.8f, 1.6f));
  photo.noise = random.chance(0.7f) ? random.uniform(0.4f, 3) : random.uniform(3, 9);
  photo.jpeg_quality = 60 + random.below(36);
}

}  // namespace

Camera look_at(Vec3 target, float azimuth, float elevation, float distance, float roll, float field_of_view,
               float stretch, int width, int height) {
  const Vec3 back{std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                  std::sin(elevation)};
  Camera camera{.position = target + back * distance};
  const Vec3 forward = -back, right = normalized(cross(forward, {0, 0, 1})), down = cross(forward, right);
  camera.frame = {.x = right * std::cos(roll) + down * std::sin(roll),
                  .y = down * std::cos(roll) - right * std::sin(roll),
                  .z = forward};
  camera.focal_y = 0.5f * static_cast<float>(height) / std::tan(field_of_view / 2);
  camera.focal_x = camera.focal_y / stretch;
  camera.centre_x = 0.5f * static_cast<float>(width);
  camera.centre_y = 0.5f * static_cast<float>(height);
  return camera;
}

Scene random_scene(std::uint64_t seed, std::uint32_t picture, int width, int height, std::uint32_t sets) {
  Scene scene{.width = width, .height = height};
  const std::uint32_t look = sets == 0 ? picture : picture % sets;
  Random colours(seed, look, kColours), shapes(seed, look, kSets);
  Random layout(seed, picture, kLayout), view(seed, picture, kView);
  choose_colours(scene, colours);
  scene.set = Set(Style::random(sets == 0 ? layout : shapes));
  choose_layout(scene, layout);
  choose_lights(scene, view);
  choose_view(scene, view);
  choose_photo(scene, view);
  return scene;
}

}  // namespace rook::synth
