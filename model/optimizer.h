// What a step does with its gradient, and what it keeps from one step to the next for that: the moments of SGD, AdamW
// or Muon and the averages of the parameters (EMA), all in the device's memory.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/executor.h"
#include "model/model.h"
#include "model/train_config.h"

namespace rook {

class Optimizer {
 public:
  // Of the executor's parameters and gradients. All must outlive this.
  Optimizer(const Model& model, const TrainConfig& config, Executor& executor, const Backend& backend);

  // Puts on the device: the gradient's norm, its clipping, and the update of the parameters with the learning rate of
  // `step`. `squares` receives the sum of the gradient's squares, `bad` the index of a segment with a value that is not
  // finite or -1; after such a one no step updates anything.
  void update(StepState* step, double* squares, std::int32_t* bad);
  // The layer of a segment that `bad` named.
  std::int32_t layer_of(std::int32_t segment) const { return segments_[static_cast<std::size_t>(segment)].layer; }

  // The averages start as the parameters are; does nothing when they have started, or where there are none.
  void start_averages();
  // Puts on the device: the averages come nearer to the parameters by the decay of `step`. Does nothing where there are
  // none.
  void average(const StepState* step);
  // Device's memory: the averages, or the live parameters where there are none.
  float* averaged_values();

  // State in the host's memory, in the layouts of Params (trainable; all). Empty where there is none.
  std::vector<float> moment(int which) const;
  std::vector<float> averages() const;
  // Throw Error when the size does not fit.
  void set_moment(int which, const std::vector<float>& values);
  void set_averages(const std::vector<float>& values);

 private:
  // A matrix that Muon updates.
  struct Matrix {
    std::int64_t offset;  // in the arena
    int rows, cols;
    float lr_scale;
  };
  // A list of segments as the device sees it.
  struct DeviceSegments {
    Arena memory;
    std::size_t count = 0;
    std::span<const ParamSegment> list() const { return {memory.as<ParamSegment>(), count}; }
  };

  void find_matrices();
  void upload(const std::vector<ParamSegment>& from, DeviceSegments& to);
  MuonUpdate muon_of(const Matrix& matrix) const;
  int moments() const { return config_.optimizer == OptimizerKind::sgd ? 1 : 2; }
  float* moment_at(int which) const;
  std::vector<float> to_host(const float* from, std::size_t count) const;
  void to_device(float* to, const std::vector<float>& values);

  const Model& model_;
  const TrainConfig& config_;
  Executor& executor_;
  const Backend& backend_;
  const DeviceRuntime& runtime_;
  std::vector<ParamSegment> segments_;
  std::vector<Matrix> matrices_;
  DeviceSegments all_, rest_;  // `rest_`: what is no matrix of Muon's
  Arena workspace_, moments_, averages_;
  bool averages_started_ = false;
};

}  // namespace rook
