// The table of a network's layers: what each reads and gives, what it costs, how far it sees.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "model/inspect_field.h"
#include "model/model.h"

namespace rook {

struct LayerFacts {
  std::string type;
  std::vector<int> inputs;
  Shape output;
  std::int64_t parameters = 0;  // that are trained
  double flops = 0;
  std::size_t bytes = 0;  // of its output
  double ms = 0;
  ReceptiveField field;
};

struct NetworkFacts {
  std::string name;
  int width = 0, height = 0, classes = 0;
  DType compute = DType::f32;
  std::vector<LayerFacts> layers;
  std::int64_t parameters = 0, floats = 0;  // trained; in a weights file
  double flops = 0, ms = 0;
  std::size_t activation_bytes = 0, workspace_bytes = 0, weight_bytes = 0;
};

// Runs the network `runs` times on nothing for the times, once before to warm up.
NetworkFacts network_facts(const Model& model, int width, int height, int runs, ExecutorOptions options);

nlohmann::json to_json(const NetworkFacts& facts);
// An aligned table for the terminal, and a line of sums.
std::string to_text(const NetworkFacts& facts);

}  // namespace rook
