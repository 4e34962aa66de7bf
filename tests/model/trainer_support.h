// Small trainings for the tests.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/trainer.h"
#include "tests/io/picture_support.h"
#include "tests/model/photos.h"
#include "tests/model/tiny.h"

namespace rook::test {

inline constexpr const char* kTrainNet = "width=64 height=64 channels=3";

// Strides up to 8, batch norm, a route, dropout (layer 5), one head of three anchors (layer 7).
inline const std::string kTrainLayers =
    "conv filters=8 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | conv filters=16 size=3 stride=2 pad=1 "
    "batch_normalize=1 activation=leaky"
    " | conv filters=16 size=3 pad=1 batch_normalize=1 activation=mish | route layers=-1,-2"
    " | conv filters=32 size=3 stride=2 pad=1 batch_normalize=1 activation=leaky | dropout probability=.1"
    " | conv filters=24 size=1 activation=linear"
    " | yolo mask=0,1,2 anchors=24,12,12,24,20,20 num=3 classes=3 iou_loss=ciou";
inline constexpr int kHeadConvolution = 6;

// Without augmentation, at a constant rate.
inline TrainConfig plain_config() {
  TrainConfig config;
  config.batch = 8;
  config.epochs = 10;
  config.decay = 0;
  config.schedule = {.policy = Policy::constant, .base = 5e-3f};
  config.augment = {.flip = 0};
  config.ema = 0.9f;
  config.eval_every = 0;
  config.preprocess = {.resampling = Resampling::half_pixel, .fit = Fit::stretch};
  return config;
}

// A run in a folder of its own on eight photos.
struct TinyTraining {
  explicit TinyTraining(const TrainConfig& given, const std::string& layers = kTrainLayers)
      : config(given),
        photos(write_photos(folder / "photos", 8, 64), 64, 64, given.preprocess),
        model(make_model(tiny_cfg(layers, kTrainNet), kPhotoClasses, given.seed)) {}

  TrainerOptions options() {
    TrainerOptions o;
    o.backend = backend;
    o.folder = folder / ".";
    o.stop = &stop;
    o.on_step = [this](const StepInfo& info) {
      steps.push_back(info);
      losses.push_back(static_cast<double>(info.loss.box) + info.loss.objectness + info.loss.classes);
      stop = static_cast<int>(steps.size()) == stop_after;
    };
    return o;
  }

  // Trains from the start, with heads prepared as fresh ones are.
  TrainResult train(bool validate = false) {
    Trainer trainer(model, config, photos, validate ? &photos : nullptr, options());
    trainer.prepare_fresh_heads({kHeadConvolution});
    return trainer.run();
  }
  // Goes on from last.safetensors with nothing but what it holds.
  TrainResult resume(bool validate = false) {
    const Checkpoint checkpoint = read_checkpoint(folder / "last.safetensors");
    model = to_model(checkpoint, "last", true);
    Trainer trainer(model, train_config_from_json(checkpoint.state["config"]), photos, validate ? &photos : nullptr,
                    options());
    trainer.resume(checkpoint);
    stop_after = -1;
    stop = false;
    return trainer.run();
  }
  ByteVector last() const { return load(folder / "last.safetensors"); }

  const Backend* backend = &cpu_backend();
  TempFolder folder;
  TrainConfig config;
  PhotoCache photos;
  Model model;
  std::atomic<bool> stop{false};
  int stop_after = -1;
  std::vector<StepInfo> steps;
  std::vector<double> losses;
};

}  // namespace rook::test
