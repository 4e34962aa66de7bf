// One training step on one photo, without its update: how strongly the loss pulls at each layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/executor.h"
#include "model/model.h"
#include "model/train_config.h"

namespace rook {

struct LayerGradient {
  int node = 0;
  double gradient = 0, weight = 0;  // norms: of the weights' gradient, of the weights
  double others = 0;                // norm of the gradient of biases and batch norm's scales
  double ratio() const { return weight > 0 ? gradient / weight : 0; }
};

struct StepGradients {
  LossParts loss{};
  double norm = 0;                    // of the whole gradient
  int frozen = 0;                     // layers before this one are not trained: they have none
  std::vector<LayerGradient> layers;  // those with weights
};

// `photo`: the network's input [h, w, c], 0..1; `truths` relative to it. Batch norm takes its statistics from this
// photo alone, as a training with one photo a step does; the parameters stay as they are. In f32. Throws Error when the
// gradient of a layer is not finite, naming it.
StepGradients step_gradients(Model& model, const TrainConfig& config, const Backend& backend, const ConvChoice& conv,
                             std::span<const float> photo, std::span<const Truth> truths, int width, int height);

}  // namespace rook
