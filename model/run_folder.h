// What a training left in its folder: config.json and metrics.jsonl, and what they come to.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rook {

struct Run {
  std::filesystem::path folder;
  nlohmann::json config;                // config.json
  std::vector<nlohmann::json> metrics;  // the lines of metrics.jsonl; those a kill cut off are left out
};

// Throws Error when the folder holds no config.json, or one that is no JSON object, or has something of another type
// than rook writes.
Run read_run(const std::filesystem::path& folder);

// `where` itself when it is a run, otherwise the runs among the folders in it, by name. Throws Error when there are
// none.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& where);

struct RunSummary {
  std::string name, data, device, recipe;
  std::string start;          // "2025-01-31 14:05"
  double epochs = 0, of = 0;  // done, and planned
  double minutes = 0;         // from the start to the last line of the metrics
  bool evaluated = false;     // the following hold, of the evaluation that the best checkpoint is of
  double map50 = 0, map50_95 = 0, precision = 0, recall = 0, best_epoch = 0;
};

RunSummary summarise(const Run& run);
nlohmann::json to_json(const RunSummary& summary);
// An aligned table for the terminal, the newest last.
std::string to_text(std::span<const RunSummary> summaries);

struct Reached {
  double epoch = 0, minutes = 0;
};
// Where the run's evaluations first had that mAP50.
std::optional<Reached> first_reached(const Run& run, double map50);

}  // namespace rook
