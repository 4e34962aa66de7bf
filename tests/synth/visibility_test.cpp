// Boxes against pictures: what a piece changes in a picture is what its box must hold.
#include "synth/visibility.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "synth/photo.h"

using namespace rook::synth;

namespace {

constexpr int kSize = 150;

// A scene without shadows and dark corners: a piece then changes only those pixels that show it.
Scene plain_scene(std::uint32_t picture) {
  Scene scene = random_scene(21, picture, kSize, kSize);
  scene.lights.clear();
  scene.occlusion = 0;
  return scene;
}

struct Changed {
  int left = kSize, top = kSize, right = 0, bottom = 0, pixels = 0;
};

Changed changed_pixels(const Exposure& a, const Exposure& b) {
  Changed box;
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      const std::size_t at = static_cast<std::size_t>(y) * kSize + static_cast<std::size_t>(x);
      if (length(a[at] - b[at]) < 1e-6f) continue;
      box.left = std::min(box.left, x);
      box.right = std::max(box.right, x + 1);
      box.top = std::min(box.top, y);
      box.bottom = std::max(box.bottom, y + 1);
      ++box.pixels;
    }
  }
  return box;
}

void check_box(const Sight& sight, const Changed& changed, const std::string& name) {
  const float worst = std::max({std::fabs(sight.left - static_cast<float>(changed.left)),
                                std::fabs(sight.top - static_cast<float>(changed.top)),
                                std::fabs(sight.right - static_cast<float>(changed.right)),
                                std::fabs(sight.bottom - static_cast<float>(changed.bottom))});
  CHECK_MESSAGE(worst <= 1,
                fmt::format("{}: box {} {} {} {}, pixels {} {} {} {}", name, sight.left, sight.top, sight.right,
                            sight.bottom, changed.left, changed.top, changed.right, changed.bottom));
}

Exposure photograph(Scene scene) {
  const Visibility visible = find_visible(scene, 0);
  return expose(scene, visible);
}

}  // namespace

TEST_CASE("synth: the box of a piece alone is that of the pixels it changes, to a pixel") {
  int checked = 0;
  for (std::uint32_t picture = 0; picture < 6; ++picture) {
    const Scene scene = plain_scene(picture);
    Scene empty = scene;
    empty.pieces.clear();
    const Exposure without = photograph(empty);
    for (std::size_t i = 0; i < scene.pieces.size() && i < 4; ++i) {
      Scene alone = empty;
      alone.pieces = {scene.pieces[i * scene.pieces.size() / 4 % scene.pieces.size()]};
      const Visibility visible = find_visible(alone, 0);
      if (alone.pieces.empty() || visible.sights[0].seen == 0) continue;
      check_box(visible.sights[0], changed_pixels(without, expose(alone, visible)),
                fmt::format("picture {}, {}", picture, i));
      ++checked;
    }
  }
  CHECK(checked > 8);
}

TEST_CASE("synth: the box of a piece among others is that of what is seen of it") {
  int checked = 0, hidden = 0;
  for (std::uint32_t picture = 30; picture < 36; ++picture) {
    Scene scene = plain_scene(picture);
    const Visibility visible = find_visible(scene, 0.25f);
    const Exposure with = expose(scene, visible);
    for (std::size_t i = 0; i < scene.pieces.size(); i += 4) {
      Scene without = scene;
      without.pieces.erase(without.pieces.begin() + static_cast<std::ptrdiff_t>(i));
      const Changed changed = changed_pixels(with, photograph(without));
      CHECK((changed.pixels == 0) == (visible.sights[i].seen == 0));
      if (changed.pixels == 0) continue;
      check_box(visible.sights[i], changed, fmt::format("picture {}, piece {}", picture, i));
      ++checked;
      hidden += visible.sights[i].share() < 0.95f;
    }
  }
  CHECK(checked > 8);
  CHECK(hidden > 0);
}

TEST_CASE("synth: every piece that is seen is seen enough, and the pieces left out were not") {
  int removed = 0;
  for (std::uint32_t picture = 0; picture < 10; ++picture) {
    Scene scene = random_scene(5, picture, 97, 97);
    const std::size_t before = scene.pieces.size();
    const Visibility visible = find_visible(scene, 0.5f);
    removed += static_cast<int>(before - scene.pieces.size());
    REQUIRE(visible.sights.size() == scene.pieces.size());
    std::vector<std::int64_t> seen(scene.pieces.size());
    for (const std::uint8_t piece : visible.piece) {
      if (piece == kNobody) continue;
      REQUIRE(piece < scene.pieces.size());
      ++seen[piece];
    }
    for (std::size_t i = 0; i < scene.pieces.size(); ++i) {
      const Sight& sight = visible.sights[i];
      CHECK(seen[i] == sight.seen);
      CHECK((sight.seen == 0 || sight.share() >= 0.5f));
      CHECK(sight.share() <= 1.25f);  // outside of the picture the silhouette is counted coarsely
    }
  }
  CHECK(removed > 3);
}

TEST_CASE("synth: half of a piece that the picture's edge cuts is half seen") {
  Scene scene{.width = kSize, .height = kSize};
  scene.pieces = {{.man = {Kind::rook, true}}};
  // The camera looks along the right edge of the picture at the piece's axis.
  scene.camera = look_at({0, 0, 0.5f}, 0, 0.5f, 6, 0, 0.4f, 1, kSize, kSize);
  scene.camera.centre_x = kSize;
  const Visibility visible = find_visible(scene, 0.1f);
  REQUIRE(scene.pieces.size() == 1);
  CHECK(visible.sights[0].right == kSize);
  CHECK(std::fabs(visible.sights[0].share() - 0.5f) < 0.03f);
  CHECK((find_visible(scene, 0.6f).sights.empty() && scene.pieces.empty()));
}
