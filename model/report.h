// One page about a training run: a single HTML file that needs no other file, no script and no network.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/image.h"
#include "model/evaluate.h"

namespace rook {

struct ReportPicture {
  std::string caption;
  io::Image image;  // with its boxes drawn; made smaller where it is larger than the page needs
};

struct ReportInput {
  std::filesystem::path run_folder = {};
  nlohmann::json config = {};  // shown as a table, nested keys joined by dots
  // The lines of metrics.jsonl, "type" being "train" or "eval". `seconds` counts from the start of the run. Fields that
  // are missing or not finite are left out of the curves; without any lines the page has no curves of training.
  std::vector<nlohmann::json> metrics = {};
  Evaluation evaluation = {};
  std::vector<ReportPicture> worst = {}, best = {};
  std::string title = {};
};

// The page as XHTML-compatible HTML 5 in UTF-8. Throws Error when a picture cannot be encoded.
std::string report_html(const ReportInput& input);

// Writes the page whole or not at all.
void write_report(const std::filesystem::path& file, const ReportInput& input);

}  // namespace rook
