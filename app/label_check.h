// rook data check --model: labels that a model doubts.
#pragma once

#include <string>
#include <vector>

#include "app/common.h"

namespace rook::app {

struct LabelCheckOptions {
  std::vector<std::string> models;  // none: nothing of this is asked for
  std::string split, photos;
  int top = 20;
  float floor = 0.01f;
  ComputeOptions compute;
  void add(CLI::App& app);
};

// Prints the labels most likely to be wrong; `json` and `draw` as `rook data check` has them.
void check_labels(DataOptions data, const LabelCheckOptions& options, const std::string& json, const std::string& draw);

}  // namespace rook::app
