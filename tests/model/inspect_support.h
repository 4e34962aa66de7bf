// What is inspected: two small networks, a photo of noise, truths of several sizes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/inspect.h"
#include "tests/model/tiny.h"

namespace rook::test::inspected {

inline constexpr int kSide = 64;

// Two heads of 8x8 and 16x16 cells over one table of four anchors.
inline const char* const kTwoHeads =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky"
    " | conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky"
    " | conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky"
    " | conv filters=14 size=1 | yolo mask=2,3 anchors=6,6,8,12,20,20,40,30 num=4 classes=2"
    " | route layers=2 | upsample stride=2 | route layers=-1,1"
    " | conv filters=14 size=1 | yolo mask=0,1 anchors=6,6,8,12,20,20,40,30 num=4 classes=2";
inline const char* const kRegion =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | maxpool size=4 stride=4"
    " | conv filters=14 size=1 | region anchors=1,1,3,2 num=2 classes=2 softmax=1";

inline Model model_of(const char* layers) {
  return tiny_model(layers, "width=64 height=64 channels=3", 5);
}

inline io::Image noise_photo(int width, int height) {
  io::Image image{.width = width, .height = height};
  Random random(9);
  for (int i = 0; i < width * height * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
  return image;
}

inline Truth pixels(double x, double y, double w, double h, int cls) {
  return {static_cast<float>(x / kSide), static_cast<float>(y / kSide), static_cast<float>(w / kSide),
          static_cast<float>(h / kSide), cls};
}

inline const std::vector<Truth> kTruths{pixels(10, 12, 6, 7, 0), pixels(40, 33, 21, 19, 1), pixels(52, 50, 41, 28, 1),
                                        pixels(20, 50, 9, 11, 0), pixels(63.9, 63.9, 7, 9, 1)};

inline InspectOptions options_for(const Backend& backend) {
  return {.detector = {.backend = &backend, .threshold = 0.3f, .conv = ""}, .runs = 1, .layers = {}, .cell = {}};
}

inline InspectPhoto labelled(std::vector<Truth> truths) {
  return {.name = "noise <1>.png",
          .image = noise_photo(kSide, kSide),
          .truths = std::move(truths),
          .labelled = true,
          .labels = "the test"};
}

}  // namespace rook::test::inspected
