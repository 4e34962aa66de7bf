// Networks that rook brings along (model/zoo/*.cfg, compiled in), and finding one by name or path.
#pragma once

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

}  // namespace rook
