// cfg -> network: the graph, its detection heads, and what the cfg says of preprocessing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "io/cfg.h"
#include "kernels/ops.h"

namespace rook {

// A detection head: how its logits are read and how they are trained.
struct Head {
  int node = 0;    // of the head itself
  int source = 0;  // whose output are the logits
  HeadSpec spec;
  HeadLossParams loss;
  std::vector<float> class_multipliers;  // what loss.class_multipliers points to
};

struct Network {
  io::Cfg cfg;
  Graph graph;
  std::vector<Head> heads;
  NmsKind nms_kind = NmsKind::plain;  // of the last head, as darknet takes it
  float nms_beta = 0.6f;
  bool letter_box = false;
  int width = 0, height = 0, channels = 3;

  int classes() const { return heads.empty() ? 0 : heads.front().spec.classes; }
};

// Builds the network of a cfg at its own size. Throws Error with file:line: a layer that is not supported, shapes that
// do not fit, filters before a head that do not match its classes and anchors (saying the right number).
std::unique_ptr<Network> build_network(const io::Cfg& cfg);

}  // namespace rook
