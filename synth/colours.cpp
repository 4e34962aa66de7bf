// What boards, tables and pieces look like: palettes of common sets, varied.
#include "synth/scene.h"

namespace rook::synth {
namespace {

// sRGB bytes as linear light.
Vec3 srgb(int r, int g, int b) {
  const auto linear = [](int v) { return std::pow(static_cast<float>(v) / 255, 2.2f); };
  return {linear(r), linear(g), linear(b)};
}

Vec3 varied(Vec3 color, float amount, Random& random) {
  const float all = 1 + amount * random.normal();
  const auto channel = [&](float v) {
    return std::clamp(v * all * (1 + 0.4f * amount * random.normal()), 0.003f, 0.95f);
  };
  return {channel(color.x), channel(color.y), channel(color.z)};
}

struct Palette {
  Vec3 light, dark;
  float weight;
  bool wood;
};

const std::vector<Palette>& board_palettes() {
  static const std::vector<Palette> palettes = {
      {srgb(228, 220, 184), srgb(34, 98, 68), 0.34f, false},     // vinyl, buff and green
      {srgb(238, 238, 214), srgb(112, 148, 88), 0.08f, false},   // buff and light green
      {srgb(232, 200, 150), srgb(140, 84, 48), 0.16f, true},     // maple and walnut
      {srgb(222, 184, 132), srgb(88, 48, 30), 0.12f, true},      // maple and rosewood
      {srgb(236, 226, 200), srgb(52, 72, 124), 0.08f, false},    // blue
      {srgb(232, 232, 228), srgb(40, 40, 42), 0.08f, false},     // black and white
      {srgb(224, 222, 216), srgb(122, 124, 128), 0.06f, false},  // grey
      {srgb(234, 214, 180), srgb(140, 34, 36), 0.04f, false},    // red
      {srgb(240, 217, 181), srgb(181, 136, 99), 0.04f, true},    // light brown
  };
  return palettes;
}

void choose_board(BoardLook& board, Random& random) {
  std::vector<float> weights;
  for (const Palette& p : board_palettes()) weights.push_back(p.weight);
  const Palette& palette = board_palettes()[static_cast<std::size_t>(random.pick(weights))];
  board.light = varied(palette.light, 0.08f, random);
  board.dark = varied(palette.dark, 0.15f, random);
  board.grain = palette.wood ? random.uniform(0.2f, 0.6f) : 0;
  board.gloss = palette.wood ? random.uniform(0.05f, 0.5f) : random.uniform(0.02f, 0.3f);
  board.border = random.uniform(0.25f, 0.95f);
  board.thickness = palette.wood ? random.uniform(0.08f, 0.5f) : random.uniform(0.01f, 0.06f);
  const int rim = random.below(10);
  board.rim = rim < 6 ? board.light : rim < 9 ? board.dark : varied(srgb(110, 76, 48), 0.3f, random);
  const bool bright = board.rim.y > 0.25f;
  board.ink =
      random.chance(0.6f) ? (bright ? board.dark : board.light) : (bright ? srgb(20, 20, 22) : srgb(240, 240, 230));
  board.coordinates = board.border > 0.35f && random.chance(0.8f);
  board.frame_line = random.chance(0.75f);
}

void choose_table(TableLook& table, Random& random) {
  constexpr float kWeights[] = {0.42f, 0.18f, 0.28f, 0.12f};
  table.kind = static_cast<TableKind>(random.pick(kWeights));
  table.scale = random.uniform(0.7f, 1.5f);
  table.offset = {random.uniform(0, 100), random.uniform(0, 100), random.uniform(0, 100)};
  const float grey = random.uniform(0.02f, 0.75f);
  const Vec3 hue{random.uniform(0.05f, 0.6f), random.uniform(0.05f, 0.6f), random.uniform(0.05f, 0.6f)};
  const Vec3 any = mix({grey, grey, grey}, hue, random.uniform(0, 0.8f));
  switch (table.kind) {
    case TableKind::cloth:
      table.color = random.chance(0.65f) ? varied(srgb(222, 222, 224), 0.08f, random) : any;
      table.second = table.color * 0.9f;
      table.strength = random.uniform(0.15f, 0.9f);
      break;
    case TableKind::wood:
      table.color = varied(random.chance(0.5f) ? srgb(196, 152, 104) : srgb(142, 92, 56), 0.25f, random);
      table.second = table.color * random.uniform(0.35f, 0.75f);
      table.strength = random.uniform(0.4f, 1);
      break;
    case TableKind::stone:
      table.color = varied(Vec3{grey, grey, grey}, 0.1f, random);
      table.second = mix(table.color, random.chance(0.5f) ? Vec3{0.02f, 0.02f, 0.02f} : Vec3{0.8f, 0.8f, 0.8f}, 0.5f);
      table.strength = random.uniform(0.3f, 1);
      break;
    default:
      table.color = random.chance(0.5f) ? any : Vec3{grey, grey, grey};
      table.second = table.color;
      break;
  }
}

void choose_pieces(Scene& scene, Random& random) {
  const bool wood = random.chance(0.35f);
  constexpr float kWhites[] = {0.55f, 0.3f, 0.15f};
  const Vec3 ivory = srgb(236, 226, 194), cream = srgb(222, 200, 150), chalk = srgb(242, 240, 234);
  const Vec3 plain[] = {ivory, chalk, cream};
  Material& white = scene.white;
  white.color = varied(wood ? srgb(224, 184, 128) : plain[random.pick(kWhites)], 0.06f, random);
  white.grain = wood ? random.uniform(0.3f, 1) : 0;
  white.dark = white.color * (wood ? 0.72f : 1.0f);
  const bool brown = wood && random.chance(0.55f);
  Material& black = scene.black;
  black.color = varied(brown ? srgb(92, 50, 32) : srgb(28, 26, 26), brown ? 0.15f : 0.25f, random);
  black.grain = wood ? random.uniform(0.2f, 1) : 0;
  black.dark = black.color * (wood ? 0.5f : 1.0f);
  const float gloss = random.chance(0.6f) ? random.uniform(0.6f, 1.4f) : random.uniform(0.1f, 0.6f);
  white.gloss = black.gloss = gloss;
  white.sharpness = black.sharpness = std::exp(random.uniform(2.7f, 5.3f));
}

}  // namespace

void choose_colours(Scene& scene, Random& random) {
  choose_board(scene.board, random);
  choose_table(scene.table, random);
  choose_pieces(scene, random);
  const float grey = random.uniform(0.05f, 0.6f);
  scene.room = varied({grey, grey, grey}, 0.15f, random);
  scene.table_reach = random.chance(0.7f) ? random.uniform(14, 40) : random.uniform(6.5f, 14);
}

}  // namespace rook::synth
