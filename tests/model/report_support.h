// A made-up run, to build reports from.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/report.h"
#include "tests/model/evaluate_support.h"

namespace rook::test {

// Lines as the trainer writes them: a falling loss, a warm-up and two steps of the learning rate.
inline std::vector<nlohmann::json> sample_metrics(int iterations, int per_epoch) {
  Random random(3);
  std::vector<nlohmann::json> lines;
  for (int i = 10; i <= iterations; i += 10) {
    const double share = i / static_cast<double>(iterations), epoch = i / static_cast<double>(per_epoch);
    const double fall = std::exp(-5 * std::sqrt(share)), noise = 1 + 0.15 * random.normal();
    const double objectness = (0.6 + 120 * fall * fall) * noise, box = 0.5 + 3 * fall * noise,
                 classes = 0.05 + 2 * fall * noise;
    const double rate = 0.00261 * std::pow(std::min(1.0, i / 100.0), 4) * (share > 0.9 ? 0.01 : share > 0.8 ? 0.1 : 1);
    lines.push_back({{"type", "train"},
                     {"iteration", i},
                     {"epoch", epoch},
                     {"loss", box + objectness + classes},
                     {"box", box},
                     {"objectness", objectness},
                     {"classes", classes},
                     {"lr", rate},
                     {"images_per_s", 92 + 3 * random.normal()},
                     {"seconds", i * 0.7}});
    if (i % (per_epoch * 2) == 0) {
      const double map50 = 0.95 * (1 - std::exp(-6 * share)) + 0.01 * random.normal();
      lines.push_back({{"type", "eval"},
                       {"iteration", i},
                       {"epoch", epoch},
                       {"split", "valid"},
                       {"map50", map50},
                       {"map50_95", 0.7 * map50},
                       {"precision", map50},
                       {"recall", map50},
                       {"f1", map50},
                       {"seconds", i * 0.7 + 1}});
    }
  }
  return lines;
}

inline io::Image sample_picture(int width, int height, int hue) {
  io::Image image{width, height, 3, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool dark = (x / 64 + y / 64) % 2 == 0;
      for (const int value : {dark ? 90 + hue : 220, dark ? 110 : 205, dark ? 80 : 180 + hue}) {
        image.pixels.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  return image;
}

inline ReportInput sample_report(const std::vector<std::string>& classes) {
  Random random(29);
  const int count = static_cast<int>(classes.size());
  std::vector<ImageResult> results =
      random_results(random, {.photos = 58, .classes = count, .truths = 14, .detections = 16});
  ReportInput input;
  for (ImageResult& photo : results) {  // a good detector: most truths are found, few are taken for something else
    for (Detection& d : photo.detections) d.score *= 0.6f;
    for (const Truth& t : photo.truths) {
      if (random.below(12) == 0) continue;
      const bool mistaken = random.below(15) == 0;
      photo.detections.push_back({t.x + 0.01f, t.y, t.w, t.h * static_cast<float>(random.uniform(0.8, 1.2)),
                                  static_cast<float>(random.uniform(0.2, 1)), 1, mistaken ? (t.cls + 1) % count : t.cls,
                                  0});
    }
  }
  input.run_folder = "runs/chess-4";
  input.title = "Chess pieces, yolov4-tiny";
  input.metrics = sample_metrics(1200, 50);
  input.evaluation = evaluate(results, classes);
  input.evaluation.preprocess = "stretch, half-pixel";
  input.config = {{"arch", "yolov4-tiny"},
                  {"data", {{"folder", "data/chess"}, {"classes", classes}}},
                  {"train", {{"epochs", 24}, {"batch", 64}, {"lr", 0.00261}, {"mosaic", true}, {"seed", nullptr}}}};
  for (int i = 0; i < 3; ++i) {
    input.worst.push_back({"photo " + std::to_string(i) + ".jpg: F1 0.2, 3 missed", sample_picture(640, 420, 15 * i)});
    input.best.push_back({"photo " + std::to_string(9 - i) + ".jpg: F1 1.0", sample_picture(1400, 900, 15 * i)});
  }
  return input;
}

inline std::vector<std::string> chess_classes() {
  return {"black-bishop", "black-king", "black-knight", "black-pawn", "black-queen", "black-rook",
          "white-bishop", "white-king", "white-knight", "white-pawn", "white-queen", "white-rook"};
}

}  // namespace rook::test
