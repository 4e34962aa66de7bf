// The sections of the report's page.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/evaluate.h"
#include "model/report.h"
#include "model/report_svg.h"

namespace rook {

// The style sheet of the page, both colour schemes.
extern const char* const kReportStyle;

// From the document's first character to where its sections begin, and from behind them to its last. `note` may be
// empty.
std::string page_begin(const std::string& title, const std::string& note);
std::string page_end();

// Nested keys joined by dots, and values, as text.
std::vector<std::pair<std::string, std::string>> flat_config(const nlohmann::json& config);

std::string headline_section(const ReportInput& input);
// Curves over the run; empty without metrics.
std::string training_section(std::span<const nlohmann::json> metrics);
std::string classes_section(const Evaluation& evaluation);
std::string pr_section(const Evaluation& evaluation);
std::string confusion_section(const Evaluation& evaluation);
// Empty without pictures.
std::string pictures_section(const std::string& heading, const std::string& note,
                             std::span<const ReportPicture> pictures);
std::string config_section(const nlohmann::json& config);

// Precision at recall 0, 0.01, ... up to the highest that is reached: the greatest at that recall or a higher one.
std::vector<ChartPoint> interpolated_curve(std::span<const PrPoint> curve);

}  // namespace rook
