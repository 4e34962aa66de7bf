#include "app/forgetting.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/run_folder.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

// The folder of the run that `from` names: itself, or that of a checkpoint; empty when it is no run.
fs::path run_of(const fs::path& from) {
  const fs::path folder = fs::is_directory(from) ? from : from.parent_path();
  return fs::is_regular_file(folder / "config.json") ? folder : fs::path();
}

nlohmann::json figures(const fs::path& weights, const nlohmann::json& config, const io::Dataset& dataset,
                       const io::Split& split, const ComputeOptions& compute) {
  const Model model = load_model(weights.string());
  const Evaluation e = evaluate(results_of_run(model, config, dataset, split, compute), dataset.classes);
  nlohmann::json classes = nlohmann::json::object();
  for (const ClassResult& result : e.classes)
    if (result.boxes > 0) classes[result.name] = result.ap50;
  return {{"map50", e.map50}, {"map50_95", e.map50_95}, {"per_class", classes}};
}

}  // namespace

std::optional<nlohmann::json> measure_forgetting(const fs::path& run, const ComputeOptions& compute) {
  const nlohmann::json config = read_run(run).config;
  const std::string from = config.value("from", "");
  const fs::path old_run = run_of(from);
  if (old_run.empty()) return std::nullopt;
  try {
    const nlohmann::json old = read_run(old_run).config;
    const DataOptions data = data_of_run(old);
    const io::Dataset dataset = data.read();
    const io::Split& split = DataOptions::find(dataset, data.split);
    return nlohmann::json{{"type", "forgetting"},
                          {"from", old_run.string()},
                          {"data", data.data},
                          {"split", split.name},
                          {"photos", split.images.size()},
                          {"before", figures(from, old, dataset, split, compute)},
                          {"after", figures(run, config, dataset, split, compute)}};
  } catch (const Error& error) {
    fmt::print("what was forgotten of {} could not be measured: {}\n", old_run.string(), error.what());
    return std::nullopt;
  }
}

std::string forgetting_text(const nlohmann::json& f) {
  const nlohmann::json &before = f["before"], &after = f["after"];
  std::string worst;
  double most = 0;
  for (const auto& [name, ap] : before["per_class"].items()) {
    const double loss = ap.get<double>() - after["per_class"].value(name, 0.0);
    if (loss <= most) continue;
    most = loss;
    worst = name;
  }
  return fmt::format(
      "on the {} photos of {}, {}, that {} was measured on: mAP50 {:.4f} before, {:.4f} after; mAP50:95 "
      "{:.4f}, {:.4f}{}",
      f["photos"].get<int>(), f["data"].get<std::string>(), f["split"].get<std::string>(), f["from"].get<std::string>(),
      before["map50"].get<double>(), after["map50"].get<double>(), before["map50_95"].get<double>(),
      after["map50_95"].get<double>(),
      worst.empty() ? "; no class lost" : fmt::format("; {} lost most, {:.4f}", worst, most));
}

}  // namespace rook::app
