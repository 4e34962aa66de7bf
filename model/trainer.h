// Training: epochs of augmented batches, loss, backward, update, evaluation in the same process, checkpoints.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/detector.h"
#include "model/evaluate.h"
#include "model/train_config.h"
#include "model/train_data.h"
#include "model/train_step.h"

namespace rook {

struct Checkpoint;

struct StepInfo {
  std::int64_t iteration = 0, iterations = 0;
  double epoch = 0, epochs = 0;
  LossParts loss{};
  float lr = 0;
  double gradient_norm = 0;
  int width = 0, height = 0;
  int photos = 0;      // of this step
  double seconds = 0;  // of this step
};

struct EvalInfo {
  std::int64_t iteration = 0;
  double epoch = 0;
  Evaluation evaluation;
  bool best = false;
  double seconds = 0;
};

struct TrainerOptions {
  const Backend* backend = nullptr;
  std::filesystem::path folder;  // of the run
  ConvChoice conv;
  const std::atomic<bool>* stop = nullptr;  // set from outside: end the step, save, return
  std::function<void(const StepInfo&)> on_step;
  std::function<void(const EvalInfo&)> on_evaluation;
  double save_every_s = 30;  // last.safetensors at least this often, and with the first evaluation
};

enum class TrainEnd { finished, reached, patience, interrupted };

struct TrainResult {
  TrainEnd end = TrainEnd::finished;
  std::int64_t iterations = 0;
  double best_map50 = -1, best_map50_95 = -1;
  double best_epoch = 0;
};

class Trainer {
 public:
  // `valid` may be null (no evaluation).
  Trainer(Model& model, const TrainConfig& config, const PhotoCache& train, const PhotoCache* valid,
          const TrainerOptions& options);

  // Goes on from a checkpoint of the same run, to the bit.
  void resume(const Checkpoint& checkpoint);
  // Sets the biases of the heads' convolutions among `nodes` so that a fresh head starts by finding nothing.
  void prepare_fresh_heads(const std::vector<int>& nodes);

  // The same for classes that a head has got: its other classes, boxes and objectness stay.
  void prepare_new_classes(const std::vector<int>& nodes, const std::vector<std::string>& classes);

  const TrainConfig& config() const { return config_; }
  TrainResult run();
  // One update. `run` does these until the end; timing calls them alone, and finish_steps() at last: a GPU is some
  // steps behind.
  void step();
  void finish_steps();
  // As TrainStep's.
  void time_parts(StepTimes* times) { step_->time_parts(times); }

  // Evaluates the EMA weights (or the live ones where there is no EMA) on photos of the network's size.
  std::vector<ImageResult> detect_all(const PhotoCache& photos);

 private:
  void handle(const StepReport& report);
  void check_finite(const StepReport& report);
  void evaluate_now();
  void check_parameters() const;
  void save_last();
  Checkpoint snapshot(bool with_state);
  std::vector<std::pair<int, int>> sizes() const;
  std::pair<int, int> size_at(std::int64_t iteration) const;
  bool evaluation_due() const;

  Model& model_;
  TrainConfig config_;
  const PhotoCache& train_;
  const PhotoCache* valid_;
  TrainerOptions options_;
  std::optional<TrainStep> step_;
  std::optional<Detector> detector_;
  std::int64_t iteration_ = 0, iterations_ = 0;
  std::chrono::steady_clock::time_point last_report_;
  TrainResult result_;
  int evaluations_without_better_ = 0;
};

const char* name_of(TrainEnd end);

// Updates of a whole training. Throws Error where neither epochs nor the schedule say.
std::int64_t iterations_of(const TrainConfig& config, int photos);

}  // namespace rook
