// Where every value of a run lies in one block of memory, planned from the graph alone: lifetimes first, then offsets.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/graph.h"

namespace rook {

struct PlanRequest {
  int batch = 1, h = 0, w = 0;
  DType compute = DType::f32;
  bool training = false;
  int frozen = 0;         // nodes before this one are not trained: they run as in inference
  bool keep_all = false;  // every value stays readable after forward (inspect, diff)
  const ConvTable* convs = nullptr;
};

inline constexpr std::size_t kNoOffset = static_cast<std::size_t>(-1);

struct NodePlan {
  int root = 0;    // node whose memory holds the output (identity ops share their input's); -1: the picture
  Tensor output;   // data is null
  Tensor doutput;  // shape and type of the gradient
  std::size_t output_offset = kNoOffset;
  std::size_t gradient_offset = kNoOffset;
  std::size_t saved_offset = kNoOffset;
  std::size_t state_offset = kNoOffset;
  OpNeeds needs;
  bool training = false;           // keeps what backward needs
  bool backward = false;           // backward runs
  std::vector<Grad> dinput_modes;  // per input
};

struct Plan {
  PlanRequest request;
  std::vector<NodePlan> nodes;
  Tensor input;
  std::size_t activation_bytes = 0;  // values, gradients and what is saved, by liveness; or the scratch of prepare
  std::size_t workspace_bytes = 0;
  std::size_t state_bytes = 0;
  std::size_t total() const { return activation_bytes + workspace_bytes + state_bytes; }
};

Plan make_plan(const Graph& graph, const PlanRequest& request);

// A buffer that lives from step `first` to step `last`, both included.
struct Lifetime {
  std::size_t bytes = 0;
  int first = 0, last = 0;
};
// Offsets such that buffers which live at the same time do not overlap; returns the bytes of the whole. Largest first,
// each at the lowest place that is free for its lifetime.
std::size_t place(const std::vector<Lifetime>& buffers, std::vector<std::size_t>& offsets);

}  // namespace rook
