// rook train --preview: the first inputs of a training as pictures, with the boxes that are learnt from them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/train_config.h"
#include "model/train_data.h"

namespace rook::app {

// Draws the first inputs into `folder` (made where it is missing): update-1-1-NAME.png, ... `config` complete but for
// what Trainer completes. Throws Error: cannot be written.
void write_preview(const PhotoCache& photos, TrainConfig config, const std::vector<std::string>& classes,
                   const std::filesystem::path& folder);

}  // namespace rook::app
