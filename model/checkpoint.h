// Checkpoints: one safetensors file with weights, statistics, EMA and optimizer state, and cfg, class names,
// preprocessing and the state of training in its metadata. One file is enough to detect with, and to go on training to
// the bit.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/model.h"

namespace rook {

struct Checkpoint {
  std::string cfg;  // text
  std::string cfg_name;
  std::vector<std::string> names;
  Preprocess preprocess;
  std::string note;           // how it was made, in words; may be empty
  bool half = false;          // weights are stored as f16: half the file, and detection hardly notices
  nlohmann::json state;       // of training: iteration, epoch, best, configuration; null in an export
  std::vector<float> values;  // in the order of Params: live weights and statistics
  std::vector<float> ema;     // the same layout; may be empty
  std::vector<std::pair<std::string, std::vector<float>>> optimizer;  // "velocity" or "m", "v": trainable layout
};

// The bytes of a checkpoint; `name` is for messages.
std::vector<std::byte> checkpoint_bytes(const std::string& name, const Network& network, const Params& layout,
                                        const Checkpoint& checkpoint);
// Atomic: the file is the old one or the new one at any moment.
void write_checkpoint(const std::filesystem::path& file, const Network& network, const Params& layout,
                      const Checkpoint& checkpoint);
Checkpoint read_checkpoint(const std::filesystem::path& file);
// The same of a file in memory; `name` is for messages.
Checkpoint parse_checkpoint(std::span<const std::byte> bytes, const std::string& name);

// `state` of a checkpoint made of darknet weights: {"darknet": this}, so that the way back gives the same bytes.
nlohmann::json to_json(const io::DarknetHeader& header);

// Whether it was saved by a training, whose configuration its state holds. An export says at most how large pictures
// are.
bool holds_training(const Checkpoint& checkpoint);

// A model from a checkpoint, by its EMA unless `live`.
Model to_model(const Checkpoint& checkpoint, const std::string& source, bool live = false);

}  // namespace rook
