// What an evaluation looks like for programs (JSON) and on a terminal.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>

#include "model/evaluate.h"

namespace rook {
namespace {

// Columns a text takes: fmt pads by them, not by bytes.
std::size_t columns_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

std::string padded(const std::string& text, std::size_t columns) {
  return text + std::string(columns - std::min(columns, columns_of(text)), ' ');
}

std::string class_row(const std::string& name, std::size_t columns, const ClassResult& result) {
  const double detections = result.true_positives + result.false_positives;
  const auto share = [](double part, double whole) {
    return whole > 0 ? fmt::format("{:.3f}", part / whole) : std::string("-");
  };
  const bool any = result.boxes > 0;
  return fmt::format("{}  {:>6}  {:>6}  {:>7}  {:>7}  {:>9}  {:>6}\n", padded(name, columns), result.boxes,
                     any ? fmt::format("{:.3f}", result.ap50) : "-", any ? fmt::format("{:.3f}", result.ap50_95) : "-",
                     fmt::format("{:.3f}", result.darknet_ap50), share(result.true_positives, detections),
                     share(result.true_positives, result.boxes));
}

}  // namespace

nlohmann::json to_json(const Evaluation& evaluation) {
  nlohmann::json per_class = nlohmann::json::object();
  for (std::size_t i = 0; i < evaluation.classes.size(); ++i) {
    const ClassResult& result = evaluation.classes[i];
    std::string name = result.name;
    while (per_class.contains(name)) name += fmt::format(" (class {})", i);
    per_class[name] = {{"ap50", result.ap50}, {"ap50_95", result.ap50_95}, {"boxes", result.boxes}};
  }
  return {{"images", evaluation.images},
          {"boxes", evaluation.boxes},
          {"map50", evaluation.map50},
          {"map50_95", evaluation.map50_95},
          {"darknet_map50", evaluation.darknet_map50},
          {"conf", evaluation.conf},
          {"precision", evaluation.precision},
          {"recall", evaluation.recall},
          {"f1", evaluation.f1},
          {"best_f1",
           {{"conf", evaluation.best_f1.conf},
            {"precision", evaluation.best_f1.precision},
            {"recall", evaluation.best_f1.recall},
            {"f1", evaluation.best_f1.f1}}},
          {"per_class", per_class},
          {"preprocess", evaluation.preprocess}};
}

std::string to_text(const Evaluation& evaluation) {
  const std::string all = fmt::format("all {} classes", evaluation.classes.size());
  std::size_t columns = all.size();
  ClassResult total;
  total.boxes = evaluation.boxes;
  total.ap50 = evaluation.map50;
  total.ap50_95 = evaluation.map50_95;
  total.darknet_ap50 = evaluation.darknet_map50;
  for (const ClassResult& result : evaluation.classes) {
    columns = std::max(columns, columns_of(result.name));
    total.true_positives += result.true_positives;
    total.false_positives += result.false_positives;
  }
  std::string text = fmt::format("{} images, {} boxes{}{}\n\n", evaluation.images, evaluation.boxes,
                                 evaluation.preprocess.empty() ? "" : "; photos: ", evaluation.preprocess);
  const std::string header = fmt::format("{}  {:>6}  {:>6}  {:>7}  {:>7}  {:>9}  {:>6}\n", padded("class", columns),
                                         "boxes", "AP50", "AP50:95", "darknet", "precision", "recall");
  text += header + std::string(header.size() - 1, '-') + "\n";
  for (const ClassResult& result : evaluation.classes) text += class_row(result.name, columns, result);
  text += std::string(header.size() - 1, '-') + "\n" + class_row(all, columns, total);
  text += fmt::format(
      "\nAP50 and AP50:95 are COCO's (101 points; classes with boxes); darknet is its own AP50 (area; all classes).\n"
      "At confidence {:.4g}: precision {:.3f}, recall {:.3f}, F1 {:.3f}. ",
      evaluation.conf, evaluation.precision, evaluation.recall, evaluation.f1);
  text +=
      fmt::format("Best F1: {:.3f} at confidence {:.3f} (precision {:.3f}, recall {:.3f}).\n", evaluation.best_f1.f1,
                  evaluation.best_f1.conf, evaluation.best_f1.precision, evaluation.best_f1.recall);
  return text;
}

}  // namespace rook
