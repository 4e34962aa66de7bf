// rook train --preview: the first inputs of a training as pictures, with the boxes that are learnt from them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/train_config.h"
#include "model/train_data.h"

namespace rook::app {

// Makes the folder. Throws Error: is not empty, so that pictures of other settings never lie among these; cannot be
// made.
void make_preview_folder(const std::filesystem::path& folder);

// Draws the first inputs into it: update-1-1-NAME.png, ... `config` complete but for what Trainer completes. Throws
// Error: cannot be written.
void write_preview(const PhotoCache& photos, TrainConfig config, const std::vector<std::string>& classes,
                   const std::filesystem::path& folder);

}  // namespace rook::app
