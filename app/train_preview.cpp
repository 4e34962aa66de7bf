#include "app/train_preview.h"

#include <fmt/format.h>

#include <map>

#include "app/common.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/image.h"
#include "model/augmented.h"
#include "model/drawn_box.h"
#include "model/trainer.h"

namespace fs = std::filesystem;

namespace rook::app {

namespace {

constexpr int kInputs = 16;
constexpr std::size_t kLongestName = 100;  // bytes; file systems take 255

// Of the photo, without its ending, and not cut within a character.
std::string short_name(const std::string& photo) {
  std::string name = fs::path(photo).stem().string();
  if (name.size() <= kLongestName) return name;
  std::size_t end = kLongestName;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end);
}

}  // namespace

void make_preview_folder(const fs::path& folder) {
  std::error_code failure;
  if (fs::exists(folder, failure) && !(fs::is_directory(folder, failure) && fs::is_empty(folder, failure)))
    throw Error(fmt::format("--preview {}: exists and is not empty; name a new folder", folder.string()));
  io::make_folder(folder);
}

void write_preview(const PhotoCache& photos, TrainConfig config, const std::vector<std::string>& classes,
                   const fs::path& folder) {
  config.schedule.iterations = iterations_of(config, photos.size());
  std::map<std::int64_t, int> written;  // of each update
  for (AugmentedInput& input : first_inputs(photos, config, kInputs)) {
    std::vector<io::DrawnBox> boxes;
    for (const Truth& truth : input.truths)
      boxes.push_back(drawn_box(truth, input.picture, truth.cls, classes[static_cast<std::size_t>(truth.cls)]));
    io::draw_boxes(input.picture, boxes);
    io::write_image(folder / fmt::format("update-{}-{}-{}.png", input.iteration + 1, ++written[input.iteration],
                                         short_name(input.photo)),
                    input.picture);
  }
  fmt::print("the first {} inputs of this training, with their boxes: {}\n", kInputs, folder.string());
}

}  // namespace rook::app
