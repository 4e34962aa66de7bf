// rook train: from labelled photos to a detector.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/forgetting.h"
#include "app/metrics_file.h"
#include "app/train_options.h"
#include "app/train_preview.h"
#include "base/error.h"
#include "io/store.h"
#include "model/checkpoint.h"
#include "model/progress.h"
#include "model/run_report.h"
#include "model/trainer.h"
#include "model/zoo.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

// A run folder of this training alone, that can be written: known before the first step.
fs::path make_folder(const std::string& wanted) {
  fs::path folder = wanted;
  std::error_code failure;
  if (wanted.empty()) {
    fs::create_directories("runs", failure);
    int number = 1;
    do {
      folder = fs::path("runs") / fmt::format("run-{}", number++);
    } while (!fs::create_directory(folder, failure) && !failure);
  } else if (fs::exists(folder / "last.safetensors")) {
    throw Error(
        fmt::format("{}: holds a run already; go on with it (--resume {}) or name another folder", wanted, wanted));
  } else {
    fs::create_directories(folder, failure);
  }
  if (failure || access(folder.c_str(), W_OK) != 0) throw Error(fmt::format("{}: cannot be written", folder.string()));
  // Only one of several trainings that begin at once makes this file.
  std::FILE* const claim = std::fopen((folder / "config.json").c_str(), "wx");
  if (!claim || fs::exists(folder / "metrics.jsonl"))
    throw Error(
        fmt::format("{}: holds files of another training, or of one that was killed before it had saved "
                    "anything; remove them or name another folder",
                    folder.string()));
  std::fclose(claim);
  return folder;
}

// A whole `rook train`: what the callbacks share.
class Session {
 public:
  explicit Session(TrainOptions& options) : options_(options), start_(std::chrono::steady_clock::now()) {}

  void run() {
    if (!options_.preview.empty()) make_preview_folder(options_.preview);
    load();
    if (options_.dry_run) return;
    if (!options_.preview.empty()) return write_preview(*train_, config_, model_.names, options_.preview);
    prepare_folder();
    Trainer trainer(model_, config_, *train_, valid_ ? &*valid_ : nullptr, callbacks());
    std::int64_t iteration = 0;
    if (checkpoint_) {
      trainer.resume(*checkpoint_);
      iteration = checkpoint_->state["iteration"].get<std::int64_t>();
      checkpoint_.reset();
    } else {
      trainer.prepare_new_classes(start_report_.adapted_nodes, start_report_.new_classes);
      trainer.prepare_fresh_heads(start_report_.fresh_nodes);
    }
    MetricsFile metrics(folder_ / "metrics.jsonl", iteration);
    metrics_ = &metrics;
    const TrainResult result = trainer.run();
    progress_.finish();
    finish(trainer, result);
  }

 private:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  void load() {
    if (!options_.resume.empty()) {
      folder_ = fs::is_directory(options_.resume) ? fs::path(options_.resume) : fs::path(options_.resume).parent_path();
      const fs::path file =
          fs::is_directory(options_.resume) ? folder_ / "last.safetensors" : fs::path(options_.resume);
      checkpoint_ = read_checkpoint(file);
      if (!holds_training(*checkpoint_))
        throw Error(fmt::format("{}: holds no state of a training; take the run's last.safetensors", file.string()));
      options_.take_run(folder_);
      config_ = train_config_from_json(checkpoint_->state["config"]);
      model_ = to_model(*checkpoint_, file.string(), true);
    }
    if (options_.data.data.empty()) throw UsageError("--data is required, or --resume RUN");
    io::Dataset dataset = options_.data.read();
    if (checkpoint_) {
      keep_splits(dataset, {"train", options_.valid});
      match_classes(dataset, model_.names);
    }
    io::Split train = DataOptions::find(dataset, "train");
    if (!options_.train_list.empty()) io::keep_only(train, options_.train_list);
    const io::Split* valid = dataset.find(options_.valid);
    if (!valid) check_without_valid(dataset);
    report_faults(dataset);
    if (!checkpoint_) make_start(dataset);
    const int width = config_.width ? config_.width : model_.network->width,
              height = config_.height ? config_.height : model_.network->height;
    if (!checkpoint_) take_preparation(width, height);
    fmt::print("{} training photos, {} classes{}; {} at {}x{}, {}, batch {}, {} epochs, {}\n", train.images.size(),
               model_.names.size(),
               valid ? fmt::format(", {} validation photos", valid->images.size())
                     : ", no validation photos (no mAP, no best checkpoint)",
               model_.network->cfg.name, width, height, name_of(config_.precision), config_.batch, config_.epochs,
               config_.recipe);
    if (options_.dry_run) return;
    train_.emplace(train, width, height, config_.preprocess);
    if (valid && options_.preview.empty()) valid_.emplace(*valid, width, height, config_.preprocess);
    fmt::print("photos decoded and kept at {}x{} ({:.1f} s since start)\n", width, height, seconds());
  }

  // Without photos to evaluate on there is no mAP: not to be found out at the end, where one was counted on.
  void check_without_valid(const io::Dataset& dataset) const {
    if (options_.valid != "valid") DataOptions::find(dataset, options_.valid);  // throws
    for (const auto& [given, name] : {std::pair{!options_.until.empty(), "--until"},
                                      {options_.patience.has_value(), "--patience"},
                                      {!options_.best.empty(), "--best"}})
      if (given)
        throw Error(fmt::format("{}: has no split 'valid', which {} needs; name another with --valid",
                                dataset.root.string(), name));
  }

  // Photos of a version are prepared already. Photos to detect on are not: the model is told to prepare them alike. On
  // photos that have the network's size that does nothing.
  void take_preparation(int width, int height) {
    const io::Preparation prepared = io::preparation_of(options_.data.path());
    if (prepared.fit == "none") return;
    config_.preprocess = {.resampling = resampling_from_name(prepared.resampling), .fit = fit_from_name(prepared.fit)};
    if (prepared.width == width && prepared.height == height) return;
    fmt::print(
        "{} holds photos of {}x{}, and the network takes {}x{}: they are resized a second time (--size {}, or another "
        "version)\n",
        options_.data.data, prepared.width, prepared.height, width, height, prepared.width);
  }

  void report_faults(const io::Dataset& dataset) const {
    std::size_t fatal = 0;
    for (const io::Fault& fault : dataset.faults) fatal += fault.fatal;
    if (dataset.faults.empty()) return;
    fmt::print(
        "{} faults in the labels ({} boxes or photos left out); the first: {}:{}: {}; all of them: rook data check "
        "{}\n",
        dataset.faults.size(), fatal, dataset.faults.front().file.string(), dataset.faults.front().line,
        dataset.faults.front().message, dataset.root.string());
  }

  void make_start(const io::Dataset& dataset) {
    const LoadOptions load{.lenient = options_.lenient, .live = options_.live};
    io::Cfg cfg = network(load);
    cfg.set_classes(static_cast<int>(dataset.classes.size()));
    config_ = options_.configure(cfg);
    model_ = make_model(cfg, dataset.classes, config_.seed);
    start_report_ = start_from(model_, options_.from, load);
    keep_early_layers();
    for (const io::CfgWarning& warning : cfg.warnings)
      fmt::print("{}:{}: {}\n", cfg.name, warning.line, warning.message);
    fmt::print("{}\n", start_report_.text());
    if (config_.freeze > 0) fmt::print("the first {} layers stay as they are (--freeze)\n", config_.freeze);
  }

  void keep_early_layers() {
    if (config_.recipe != "transfer" || options_.freeze) return;
    config_.freeze = std::max(config_.freeze, early_layers(*model_.network, start_report_.fresh_nodes));
  }

  // --arch, else what --from brings along, else yolov4-tiny.
  io::Cfg network(const LoadOptions& load) const {
    if (options_.arch.empty())
      if (const std::optional<io::Cfg> brought = network_of(options_.from, load)) return *brought;
    return find_cfg(options_.arch.empty() ? "yolov4-tiny" : options_.arch, {.lenient = load.lenient});
  }

  void prepare_folder() {
    if (!options_.resume.empty()) return;
    folder_ = make_folder(options_.out);
    const nlohmann::json config = {
        {"train", to_json(config_)},
        {"data", fs::absolute(options_.data.path()).string()},
        {"merge", options_.data.merge},
        {"keep_unused", options_.data.keep_unused},
        {"missing_is_negative", options_.data.missing_is_negative},
        {"train_list", options_.train_list.empty() ? "" : fs::absolute(options_.train_list).string()},
        {"valid", options_.valid},
        {"device", fmt::format("{} {}", options_.compute.backend().name, name_of(config_.precision))},
        {"started", fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(std::time(nullptr)))},
        {"arch", options_.arch.empty() ? fs::path(model_.network->cfg.name).stem().string() : options_.arch},
        {"from", options_.from},
        {"classes", model_.names},
        {"cfg", model_.network->cfg.to_text()}};
    write_json((folder_ / "config.json").string(), config);
  }

  TrainerOptions callbacks() {
    return {.backend = &options_.compute.backend(),
            .folder = folder_,
            .conv = options_.compute.convs(),
            .stop = &interrupted(),
            .on_step = [this](const StepInfo& step) { on_step(step); },
            .on_evaluation = [this](const EvalInfo& info) { on_evaluation(info); }};
  }

  void on_step(const StepInfo& step) {
    const float total = step.loss.box + step.loss.objectness + step.loss.classes;
    metrics_->write({{"type", "train"},
                     {"iteration", step.iteration},
                     {"epoch", step.epoch},
                     {"loss", total},
                     {"box", step.loss.box},
                     {"objectness", step.loss.objectness},
                     {"classes", step.loss.classes},
                     {"iou", step.loss.mean_iou},
                     {"gradient", step.gradient_norm},
                     {"lr", step.lr},
                     {"width", step.width},
                     {"height", step.height},
                     {"images_per_s", step.photos / step.seconds},
                     {"seconds", seconds()}});
    trained_photos_ += step.photos;
    trained_seconds_ += step.seconds;
    progress_.step({.iteration = step.iteration,
                    .iterations = step.iterations,
                    .epoch = step.epoch,
                    .epochs = step.epochs,
                    .loss = total,
                    .box = step.loss.box,
                    .objectness = step.loss.objectness,
                    .classes = step.loss.classes,
                    .images = step.photos,
                    .seconds = step.seconds});
  }

  void on_evaluation(const EvalInfo& info) {
    const Evaluation& e = info.evaluation;
    metrics_->write({{"type", "eval"},
                     {"iteration", info.iteration},
                     {"epoch", info.epoch},
                     {"split", options_.valid},
                     {"map50", e.map50},
                     {"map50_95", e.map50_95},
                     {"precision", e.precision},
                     {"recall", e.recall},
                     {"f1", e.f1},
                     {"seconds", seconds()}});
    progress_.evaluated(info.epoch, e.map50, e.map50_95, info.best);
  }

  void finish(Trainer& trainer, const TrainResult& result) {
    const double trained = seconds();
    fmt::print("{} after {} iterations, {:.1f} s since start ({:.1f} photos/s in training steps)\n",
               name_of(result.end), result.iterations, trained,
               trained_seconds_ > 0 ? trained_photos_ / trained_seconds_ : 0.0);
    if (result.end == TrainEnd::interrupted) {
      fmt::print("saved; go on with: rook train --resume {}\n", folder_.string());
      exit_status = interrupt_status();
      return;
    }
    if (!valid_) {
      fmt::print("model: {}\n", (folder_ / "last.safetensors").string());
      return;
    }
    fmt::print("best mAP50 {:.4f}, mAP50:95 {:.4f} at epoch {:.1f}: {}\n", result.best_map50, result.best_map50_95,
               result.best_epoch, (folder_ / "best.safetensors").string());
    const fs::path report = write_run_report(folder_, trainer, *valid_, model_.names);
    fmt::print("report: {}\n", report.string());
    if (const auto lost = measure_forgetting(folder_, options_.compute)) {
      metrics_->write(*lost);
      fmt::print("{}\n", forgetting_text(*lost));
    }
  }

  TrainOptions& options_;
  std::chrono::steady_clock::time_point start_;
  fs::path folder_;
  Model model_;
  TrainConfig config_;
  StartReport start_report_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<PhotoCache> train_, valid_;
  MetricsFile* metrics_ = nullptr;
  Progress progress_;
  double trained_photos_ = 0, trained_seconds_ = 0;
};

}  // namespace

void add_train(CLI::App& app) {
  auto o = std::make_shared<TrainOptions>();
  CLI::App* c = app.add_subcommand("train", "train a detector");
  o->add(*c);
  c->callback([o] {
    install_interrupt();
    Session(*o).run();
  });
}

}  // namespace rook::app
