// Photos that can be learnt: coloured boxes on grey noise, written as files.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/image.h"
#include "tests/random.h"

namespace rook::test {

inline const std::vector<std::string> kPhotoClasses{"red", "green", "blue"};

// A photo of size x size with one to three boxes, each in a quarter of its own: red ones wide, green ones high, blue
// ones square.
inline io::Image draw_photo(int size, Random& random, std::vector<io::LabelBox>& boxes) {
  io::Image image{
      .width = size, .height = size, .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(size) * size * 3)};
  for (std::uint8_t& p : image.pixels) p = static_cast<std::uint8_t>(90 + random.below(40));
  const int count = 1 + static_cast<int>(random.below(3));
  for (int i = 0; i < count; ++i) {
    const int cls = static_cast<int>(random.below(3)), half = size / 2, unit = size / 16;
    const int w = (cls == 0 ? 6 : cls == 1 ? 3 : 5) * unit, h = (cls == 0 ? 3 : cls == 1 ? 6 : 5) * unit;
    const int left = i % 2 * half + static_cast<int>(random.below(half - w)),
              top = i / 2 * half + static_cast<int>(random.below(half - h));
    for (int y = top; y < top + h; ++y)
      for (int x = left; x < left + w; ++x)
        for (int c = 0; c < 3; ++c)
          image.pixels[(static_cast<std::size_t>(y) * size + x) * 3 + c] =
              static_cast<std::uint8_t>(c == cls ? 230 : 20 + random.below(20));
    const auto share = [&](double v) { return static_cast<float>(v / size); };
    boxes.push_back({share(left + w / 2.0), share(top + h / 2.0), share(w), share(h), cls});
  }
  return image;
}

// `count` photos as PNG files in a folder (made when missing).
inline io::Split write_photos(const std::filesystem::path& folder, int count, int size, std::uint64_t seed = 1) {
  std::filesystem::create_directories(folder);
  Random random(seed);
  io::Split split{.name = "train", .images = {}};
  for (int i = 0; i < count; ++i) {
    io::LabelledImage labelled{.file = folder / ("photo-" + std::to_string(i) + ".png"),
                               .name = "photo-" + std::to_string(i) + ".png",
                               .width = size,
                               .height = size,
                               .boxes = {}};
    io::write_image(labelled.file, draw_photo(size, random, labelled.boxes));
    split.images.push_back(labelled);
  }
  return split;
}

}  // namespace rook::test
