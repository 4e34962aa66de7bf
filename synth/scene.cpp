#include "synth/scene.h"

namespace rook::synth {
namespace {

constexpr float kDegree = kPi / 180;

// What the random numbers of a picture are for.
enum Layer : std::uint32_t { kLayout = 0, kColours = 1, kView = 2, kSets = 3, kPlaces = 4 };

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

// Where a photo is taken from; angles in radians.
struct View {
  float stretch, elevation, azimuth, roll;
  float field;  // of view, along the height of the picture
  float fill;  // the board, about 9.5 squares wide, fills this much of the picture in the direction where it is tighter
  Vec3 target;
};

View random_view(const Scene& scene, Random& random) {
  View view;
  view.stretch = choose_stretch(random);
  const bool close = random.chance(0.15f);
  view.elevation = (random.chance(0.75f) ? random.uniform(35, 62) : random.uniform(24, 80)) * kDegree;
  const float side = std::floor(random.uniform(0, 4)) * kPi / 2;
  view.azimuth = random.chance(0.7f) ? side + 0.16f * random.normal() : random.uniform(0, 2 * kPi);
  view.roll = 0.04f * random.normal();
  view.field = random.uniform(26, 58) * kDegree;
  view.fill = close ? random.uniform(1.5f, 3.0f) : random.uniform(0.88f, 1.35f);
  view.target = {random.uniform(-0.8f, 0.8f), random.uniform(-0.8f, 0.8f), 0.2f};
  if (close && !scene.pieces.empty()) {
    view.target = scene.pieces[static_cast<std::size_t>(random.below(static_cast<int>(scene.pieces.size())))].position;
    view.target.z += 0.4f;
  }
  return view;
}

// From a chair at the board: `place` says where the chair stands, `hand` how the camera is held this time.
View seated_view(Random& place, Random& hand) {
  const float side = std::floor(place.uniform(0, 4)) * kPi / 2;
  View view{.stretch = choose_stretch(place),
            .elevation = place.uniform(42, 60) * kDegree,
            .azimuth = side + 0.16f * place.normal(),
            .roll = 0.02f * hand.normal(),
            .field = place.uniform(30, 55) * kDegree,
            .fill = place.uniform(0.92f, 1.05f),
            .target = {place.uniform(-0.3f, 0.3f), place.uniform(-0.3f, 0.3f), 0.2f}};
  view.elevation += 0.05f * hand.normal();
  view.azimuth += 0.1f * hand.normal();
  view.fill *= std::exp(0.05f * hand.normal());
  view.target.x += 0.15f * hand.normal();
  view.target.y += 0.15f * hand.normal();
  return view;
}

Camera camera_of(const View& view, int width, int height) {
  const float seen =
      std::max(9.5f / view.stretch, 9.5f * std::sin(view.elevation) + 1) / view.fill;  // high, where the target is
  const float distance = 0.5f * seen / std::tan(view.field / 2);
  return look_at(view.target, view.azimuth, view.elevation, distance, view.roll, view.field, view.stretch, width,
                 height);
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
  const bool placed = sets != 0;
  const std::uint32_t set = placed ? picture % sets : picture;
  Random colours(seed, set, kColours), shapes(seed, set, kSets), place(seed, set, kPlaces);
  Random layout(seed, picture, kLayout), view(seed, picture, kView);
  Random& again = placed ? place : view;  // for what comes again with the set
  choose_colours(scene, colours);
  scene.set = Set(Style::random(placed ? shapes : layout));
  choose_layout(scene, layout);
  choose_lights(scene, again);
  scene.camera = camera_of(placed ? seated_view(place, view) : random_view(scene, view), width, height);
  choose_photo(scene, again);
  if (placed) {
    scene.photo.exposure *= std::exp(0.06f * view.normal());
    scene.photo.blur *= std::exp(0.2f * view.normal());
  }
  return scene;
}

}  // namespace rook::synth
