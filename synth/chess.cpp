#include "synth/chess.h"

#include <fmt/format.h>

#include "base/error.h"
#include "synth/photo.h"

namespace rook::synth {
namespace {

constexpr std::uint32_t kSensor = 16;  // layer of random numbers: the noise

int class_of(Man man) {
  return static_cast<int>(man.kind) + (man.white ? kKinds : 0);
}

}  // namespace

std::vector<std::string> chess_classes() {
  std::vector<std::string> names;
  for (const char* colour : {"black", "white"}) {
    for (const char* kind : kKindNames) names.push_back(fmt::format("{}-{}", colour, kind));
  }
  return names;
}

ChessPhoto render_chess(const ChessOptions& options, std::uint32_t picture) {
  if (options.size < 32 || options.size > 4096)
    throw Error(fmt::format("pictures of {} pixels: choose 32 to 4096", options.size));
  Scene scene = random_scene(options.seed, picture, options.size, options.size, options.sets);
  const Visibility visible = find_visible(scene, options.least_share);
  Random sensor(options.seed, picture, kSensor);
  ChessPhoto photo{.image = develop(scene, expose(scene, visible), sensor), .jpeg_quality = scene.photo.jpeg_quality};
  const float width = static_cast<float>(scene.width), height = static_cast<float>(scene.height);
  for (std::size_t i = 0; i < scene.pieces.size(); ++i) {
    const Sight& sight = visible.sights[i];
    if (sight.seen == 0) continue;
    photo.boxes.push_back({.x = 0.5f * (sight.left + sight.right) / width,
                           .y = 0.5f * (sight.top + sight.bottom) / height,
                           .w = (sight.right - sight.left) / width,
                           .h = (sight.bottom - sight.top) / height,
                           .cls = class_of(scene.pieces[i].man)});
  }
  return photo;
}

}  // namespace rook::synth
