// What rook brings along, compiled in: networks (model/zoo/*.cfg), found by name or path, and weights.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/cfg.h"

namespace rook {

struct ZooEntry {
  std::string_view name;  // "yolov4-tiny"
  std::string_view text;
};

const std::vector<ZooEntry>& zoo();

// A cfg file if `name` is a path to one, else our own network of that name. Throws Error that lists what there is.
io::Cfg find_cfg(const std::string& name, const io::CfgOptions& options = {});

// Our own weights: a checkpoint (model/zoo/rendered.safetensors) trained on rendered chess photos, from random weights.
// Wherever a run or a checkpoint can be named, this word names them; a folder of that name is ./rendered.
inline constexpr std::string_view kRendered = "rendered";
std::span<const std::byte> rendered_weights();

}  // namespace rook
