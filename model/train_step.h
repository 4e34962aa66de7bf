// One step of a training, wholly on the device: augmented photos, forward, loss, backward, update, averages. On a GPU
// it is recorded once per input size and then only replayed; what the host wants to know of it arrives later, without
// stalling the device.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "engine/executor.h"
#include "engine/pinned.h"
#include "engine/recording.h"
#include "model/device_photos.h"
#include "model/model.h"
#include "model/optimizer.h"
#include "model/train_config.h"

namespace rook {

// What became of a step.
struct StepReport {
  std::int64_t iteration = 0;  // from 0
  int width = 0, height = 0;
  float lr = 0;
  LossParts loss{};  // of all its photos
  double gradient_norm = 0;
  std::int32_t bad_node = -1;     // node with a gradient that is not finite, nearest the loss; from then on no update
  std::vector<float> image_loss;  // of each photo
};

// Seconds that the parts of steps took, summed.
struct StepTimes {
  double augment = 0, forward = 0, loss = 0, backward = 0, update = 0;
};

// The loss of a head of the cfg as the recipe has it: its own weights in fixed mode.
HeadLossParams loss_params(const Head& head, const TrainConfig& config);

class TrainStep {
 public:
  // `config` complete: sizes and schedule.iterations set. All must outlive this.
  TrainStep(Model& model, const TrainConfig& config, const PhotoCache& train, const Backend& backend,
            const ConvChoice& conv);
  ~TrainStep();

  // The state a step at `iteration` starts from: at the start, and after a resume. The parameters are taken from the
  // model; the averages and moments stay.
  void begin_at(std::int64_t iteration);

  // Takes the memory for steps with pictures of the given size; without it the first such step does.
  void reserve(int width, int height);
  // Puts the next step on the device, with pictures of the given size.
  void enqueue(int width, int height);
  // The oldest report that has not been asked for, waiting for it; none when there is none. On the CPU a report is
  // there when enqueue returns; on a GPU the caller lets `lag` steps pass before it asks.
  std::optional<StepReport> collect();
  std::size_t pending() const { return pending_.size(); }
  std::size_t lag() const { return runtime_.host_memory ? 0 : kLag; }

  // The photos of a step, in its order.
  std::vector<std::int32_t> photos_of(std::int64_t iteration);

  // The live parameters to the model's, on the host.
  void download() { executor_.download(); }
  Optimizer& optimizer() { return optimizer_; }
  Executor& executor() { return executor_; }

  // From now on each part of a step is waited for and its time is added there (null: no longer). Steps then take longer
  // on a GPU, where nothing is recorded.
  void time_parts(StepTimes* times) { times_ = times; }

 private:
  static constexpr std::size_t kLag = 2;

  struct Pending {
    StepReport report;
    Event done;
    Pinned<std::byte> metrics;
  };
  // Where the numbers of a step lie in its block of metrics.
  struct MetricsLayout {
    std::size_t parts = 0, image_loss = 0, norm = 0, bad = 0, bytes = 0;
  };

  int photos_per_part() const { return config_.batch / config_.subdivisions; }
  void upload_tables();
  YoloLoss loss_of(int part);
  void launch(bool mosaic);
  Augment augmentation(int part, bool mosaic) const;
  std::vector<std::int32_t> photos_read(bool mosaic);
  void forward_backward(int part, bool mosaic);
  // Runs a part of the step, and adds its time to `sum` of times_.
  template <class Part>
  void timed(double StepTimes::*sum, Part&& part);
  StepReport read(const Pending& pending) const;

  Model& model_;
  const TrainConfig& config_;
  const PhotoCache& cache_;
  const Backend& backend_;
  const DeviceRuntime& runtime_;
  Executor executor_;
  EpochOrder order_;
  Optimizer optimizer_;
  std::vector<LossHead> heads_;
  MetricsLayout layout_;
  std::size_t truths_at_ = 0;                           // counts, then truths
  const float *lrs_ = nullptr, *ema_decays_ = nullptr;  // of all iterations, in tables_
  const std::int32_t* photo_order_ = nullptr;
  Arena tables_, state_, truths_, metrics_, loss_workspace_;  // one allocation per role
  std::int64_t iteration_ = 0;
  StepTimes* times_ = nullptr;
  std::map<std::tuple<int, int, bool>, Recording> recordings_;
  std::size_t recorded_memory_ = 0;
  std::deque<Pending> pending_;
  std::vector<Pending> idle_;
  std::optional<DevicePhotos> photos_;
};

}  // namespace rook
