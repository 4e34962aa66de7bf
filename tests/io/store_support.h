// Photos and folders for the tests of the store.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "dataset_support.h"
#include "io/store_add.h"
#include "io/store_version.h"

namespace rook::test {

// A picture of random grey tiles: any two differ in about half of the bits that tell photos apart.
inline io::Image scene(unsigned seed, int width = 68, int height = 64) {
  constexpr int kTiles = 17;
  std::mt19937 random(seed);
  std::vector<int> tiles(kTiles * kTiles);
  for (int& tile : tiles) tile = static_cast<int>(random() % 256);
  io::Image image{.width = width, .height = height};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      image.pixels.insert(image.pixels.end(), 3,
                          static_cast<std::uint8_t>(
                              tiles[static_cast<std::size_t>(y * kTiles / height * kTiles + x * kTiles / width)]));
  return image;
}

// A smooth picture, as photos out of focus are: the same at every size, and hardly changed by JPEG.
inline io::Image waves(unsigned seed, int width, int height) {
  constexpr int kWaves = 12, kMostPeriods = 5;
  constexpr double kTurn = 6.283185307179586;
  std::mt19937 random(seed);
  std::vector<std::array<double, 3>> waves(kWaves);
  for (auto& [across, down, phase] : waves) {
    across = static_cast<double>(random() % (2 * kMostPeriods + 1)) - kMostPeriods;
    down = static_cast<double>(random() % (2 * kMostPeriods + 1)) - kMostPeriods;
    phase = random() % 1000 * kTurn / 1000;
  }
  io::Image image{.width = width, .height = height};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      double value = 128;
      for (const auto& [across, down, phase] : waves)
        value += 9 * std::cos(kTurn * (across * (x + .5) / width + down * (y + .5) / height) + phase);
      image.pixels.insert(image.pixels.end(), 3, static_cast<std::uint8_t>(value));
    }
  return image;
}

inline fs::path put_scene(const fs::path& file, unsigned seed, int width = 68, int height = 64, int quality = 90) {
  fs::create_directories(file.parent_path());
  io::write_image(file, scene(seed, width, height), quality);
  return file;
}

// YOLO photos a0.png, a1.png, ... of scenes from `first` on, each with one cat and every second with a dog as well.
inline void put_yolo(const fs::path& folder, unsigned first, int count, const std::string& prefix = "a") {
  put(folder / "classes.txt", "cat\ndog\n");
  for (int i = 0; i < count; ++i) {
    const std::string stem = prefix + std::to_string(i);
    put_scene(folder / "images" / (stem + ".png"), first + static_cast<unsigned>(i));
    put(folder / "labels" / (stem + ".txt"),
        std::string("0 0.5 0.5 0.25 0.25\n") + (i % 2 ? "1 0.25 0.25 0.125 0.5\n" : ""));
  }
}

// The store as bytes: what must be the same where nothing was to change. Without the lock file.
inline std::vector<std::pair<std::string, ByteVector>> content_of(const fs::path& root) {
  std::vector<std::pair<std::string, ByteVector>> content;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file() && entry.path().filename() != "lock")
      content.emplace_back(entry.path().string(), load(entry.path()));
  std::sort(content.begin(), content.end());
  return content;
}

inline io::Store new_store(const fs::path& root, const std::string& name) {
  io::Store store(root);
  fs::create_directories(root);
  store.create(name);
  return store;
}

// Shrinks by taking pixels: a preparation that needs no other part of rook. Boxes are relative and stay.
inline io::Image half(const io::Image& photo, io::StoredPhoto&) {
  io::Image result{.width = photo.width / 2, .height = photo.height / 2};
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x)
      for (int c = 0; c < 3; ++c)
        result.pixels.push_back(photo.pixels[(static_cast<std::size_t>(2 * y) * photo.width + 2 * x) * 3 + c]);
  return result;
}

inline const io::Preparation kHalf{.fit = "stretch", .resampling = "area", .width = 34, .height = 32};

}  // namespace rook::test
