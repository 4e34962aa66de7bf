// The sections of the report's page.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "model/evaluate.h"
#include "model/report.h"
#include "model/report_svg.h"

namespace rook {

// The style sheet of the page, both colour schemes.
extern const char* const kReportStyle;

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
