// report.html and samples/ of a run folder, from what lies in it and a last look at the validation photos.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/trainer.h"

namespace rook {

// Writes report.html and samples/*.jpg (worst and best photos, boxes drawn). Returns the report's path.
std::filesystem::path write_run_report(const std::filesystem::path& folder, Trainer& trainer, const PhotoCache& photos,
                                       const std::vector<std::string>& classes);

}  // namespace rook
