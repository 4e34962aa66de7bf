#include "app/train_preview.h"

#include <fmt/format.h>

#include <map>

#include "app/common.h"
#include "base/error.h"
#include "io/image.h"
#include "model/augmented.h"
#include "model/trainer.h"

namespace fs = std::filesystem;

namespace rook::app {

namespace {
constexpr int kInputs = 16;
}

void write_preview(const PhotoCache& photos, TrainConfig config, const std::vector<std::string>& classes,
                   const fs::path& folder) {
  config.schedule.iterations = iterations_of(config, photos.size());
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(fmt::format("{}: cannot be made: {}", folder.string(), failure.message()));
  std::map<std::int64_t, int> written;  // of each update
  for (AugmentedInput& input : first_inputs(photos, config, kInputs)) {
    const float w = static_cast<float>(input.picture.width), h = static_cast<float>(input.picture.height);
    std::vector<io::DrawnBox> boxes;
    for (const Truth& truth : input.truths)
      boxes.push_back({.left = (truth.x - truth.w / 2) * w,
                       .top = (truth.y - truth.h / 2) * h,
                       .width = truth.w * w,
                       .height = truth.h * h,
                       .color = truth.cls,
                       .label = classes[static_cast<std::size_t>(truth.cls)]});
    io::draw_boxes(input.picture, boxes);
    io::write_image(folder / fmt::format("update-{}-{}-{}.png", input.iteration + 1, ++written[input.iteration],
                                         fs::path(input.photo).stem().string()),
                    input.picture);
  }
  fmt::print("the first {} inputs of this training, with their boxes: {}\n", kInputs, folder.string());
}

}  // namespace rook::app
