// What `rook train` is told on the command line, and the training that it makes of it.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/common.h"
#include "io/cfg.h"
#include "model/train_config.h"

namespace rook::app {

struct TrainOptions {
  DataOptions data;
  ComputeOptions compute;
  std::string arch, from = "scratch", recipe, out, train_list, resume, optimizer, loss, policy, stages, augment,
                    preview;
  std::string valid = "valid", best, until;
  bool lenient = false, live = false, dry_run = false;
  std::optional<double> epochs, eval_every, eval_from;
  std::optional<float> lr, decay, momentum, ema, clip, mosaic, mosaic_until, multi_scale, box_weight, turn;
  std::optional<int> batch, subdivisions, freeze, size, warmup, patience;
  std::optional<std::uint64_t> seed;

  // Adds them to the command, with its examples.
  void add(CLI::App& c);
  // With --resume: takes from the run's config.json what says which photos are trained on. Throws UsageError that names
  // an option which would make it another training.
  void take_run(const std::filesystem::path& folder);
  // The recipe, chosen by what the training starts from unless it is named, with what was asked to be different. Throws
  // UsageError that names the option.
  TrainConfig configure(const io::Cfg& cfg) const;

 private:
  const CLI::App* command_ = nullptr;
};

}  // namespace rook::app
