// What a training that went on from a run has made of what that run could do: mAP on the run's own validation photos,
// before and after.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "app/common.h"

namespace rook::app {

// A line for metrics.jsonl: {"type": "forgetting", "from", "data", "split", "photos", "before", "after"}, the last two
// being {"map50", "map50_95", "per_class": {name: AP50}}. Nothing when the run did not start from another one; says why
// and gives nothing when the photos of that one are gone.
std::optional<nlohmann::json> measure_forgetting(const std::filesystem::path& run, const ComputeOptions& compute);

// One line for people, of that.
std::string forgetting_text(const nlohmann::json& forgetting);

}  // namespace rook::app
