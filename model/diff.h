// Two devices or two precisions beside each other: every value of a network compared, node by node.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "model/model.h"

namespace rook {

// One value of the network (a node's output, or the gradient of a parameter) on two sides.
struct Difference {
  std::string name;  // "12 convolutional", "layers.12.weights"
  std::int64_t elements = 0;
  double largest = 0;  // of |a|
  // What the difference is measured by: `largest`, but at least a thousandth of the largest of all outputs, or of all
  // gradients: a gradient that is 0 but for rounding says nothing.
  double scale = 0;
  double worst = 0;     // largest |a - b|; infinite when one of them is not a number
  std::string where;    // of the worst element: "[n 0, h 3, w 5, c 7]", "[123]"
  double a = 0, b = 0;  // there
  double relative() const { return worst == 0 ? 0 : worst / scale; }
};

struct DiffSide {
  const Backend* backend = nullptr;
  DType compute = DType::f32;
  ConvChoice conv;
};

struct DiffOptions {
  DiffSide a, b;
  int width = 0, height = 0;
  bool train = false;  // also a backward pass, from the loss of boxes at random
  std::uint64_t seed = 1;
};

// `pixels`: the network's input, [height, width, channels] in 0..1. The forward of inference, or with `train` that of
// training (batch statistics), then the gradients of all parameters. Leaves the parameters as they were.
std::vector<Difference> compare_devices(Model& model, std::span<const float> pixels, const DiffOptions& options);

}  // namespace rook
