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

#include "app/common.h"
#include "app/forgetting.h"
#include "app/metrics_file.h"
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

struct Options {
  DataOptions data;
  ComputeOptions compute;
  std::string arch, from = "scratch", recipe, out, train_list, resume, optimizer, loss, policy, stages;
  std::string valid = "valid", until;
  std::vector<std::string> also_eval;
  bool lenient = false, live = false, dry_run = false;
  std::optional<double> epochs, eval_every, eval_from;
  std::optional<float> lr, decay, momentum, ema, clip, mosaic, mosaic_until, multi_scale, box_weight;
  std::optional<int> batch, subdivisions, freeze, size, warmup, patience;
  std::optional<std::uint64_t> seed;
};

template <class T, class U>
void take(T& to, const std::optional<U>& from) {
  if (from) to = static_cast<T>(*from);
}

// "map50=0.985" -> 0.985
double until_of(const std::string& text) {
  constexpr std::string_view kKey = "map50=";
  char* end = nullptr;
  const double value = text.starts_with(kKey) ? std::strtod(text.c_str() + kKey.size(), &end) : 0;
  if (!end || *end || !(value > 0 && value <= 1)) throw UsageError(fmt::format("--until {}: write map50=0.985", text));
  return value;
}

// "288:0.5,352:0.25" -> stages; what is left of the training runs at the network's own size.
std::vector<SizeStage> stages_of(const std::string& text) {
  std::vector<SizeStage> stages;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    int size = 0;
    float share = 0;
    char rest = 0;
    if (std::sscanf(part.c_str(), "%d:%f%c", &size, &share, &rest) != 2 || size < 32 || size % 32 ||
        !(share > 0 && share <= 1))
      throw UsageError(
          fmt::format("--stages {}: write SIZE:SHARE,... with sizes that are multiples of 32 and shares of the "
                      "training, like 288:0.5",
                      part));
    stages.push_back({.share = share, .width = size, .height = size});
    at = comma + 1;
  }
  return stages;
}

// The network where none is named: with our own weights theirs.
std::string default_network(const std::string& from) {
  if (from != kRendered) return "yolov4-tiny";
  return fs::path(parse_checkpoint(rendered_weights(), from).cfg_name).stem().string();
}

TrainConfig configure(const Options& o, const io::Cfg& cfg) {
  const bool own = o.from != kRendered && (fs::is_directory(o.from) || o.from.ends_with(".safetensors"));
  const std::string name = !o.recipe.empty()     ? o.recipe
                           : o.from == "scratch" ? "scratch"
                           : own                 ? "continue"
                                                 : "transfer";
  TrainConfig c = recipe(name, cfg);
  take(c.epochs, o.epochs);
  take(c.batch, o.batch);
  take(c.subdivisions, o.subdivisions);
  take(c.schedule.base, o.lr);
  take(c.schedule.warmup, o.warmup);
  take(c.decay, o.decay);
  take(c.momentum, o.momentum);
  take(c.ema, o.ema);
  take(c.clip, o.clip);
  take(c.freeze, o.freeze);
  take(c.augment.mosaic, o.mosaic);
  take(c.mosaic_until, o.mosaic_until);
  take(c.multi_scale, o.multi_scale);
  take(c.weights.box, o.box_weight);
  take(c.width, o.size);
  take(c.height, o.size);
  take(c.eval_every, o.eval_every);
  take(c.eval_from, o.eval_from);
  take(c.patience, o.patience);
  take(c.seed, o.seed);
  if (!o.policy.empty()) c.schedule.policy = policy_from_name(o.policy);
  if (o.optimizer == "sgd") c.optimizer = OptimizerKind::sgd;
  if (o.optimizer == "adamw") c.optimizer = OptimizerKind::adamw;
  if (!o.loss.empty()) set_loss(c, o.loss);
  if (!o.stages.empty()) c.stages = stages_of(o.stages);
  if (!o.until.empty()) c.until_map50 = until_of(o.until);
  c.precision = o.compute.dtype(true);
  return c;
}

// A run folder that does not exist yet, and can be written: known before the first step.
fs::path make_folder(const std::string& wanted) {
  fs::path folder = wanted;
  if (wanted.empty()) {
    int number = 1;
    while (fs::exists(fs::path("runs") / fmt::format("run-{}", number))) ++number;
    folder = fs::path("runs") / fmt::format("run-{}", number);
  } else if (fs::exists(folder / "last.safetensors")) {
    throw Error(
        fmt::format("{}: holds a run already; go on with it (--resume {}) or name another folder", wanted, wanted));
  }
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure || access(folder.c_str(), W_OK) != 0) throw Error(fmt::format("{}: cannot be written", folder.string()));
  return folder;
}

// A whole `rook train`: what the callbacks share.
class Session {
 public:
  explicit Session(const Options& options) : options_(options), start_(std::chrono::steady_clock::now()) {}

  void run() {
    load();
    if (options_.dry_run) return;
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
      if (!checkpoint_->state.is_object() || !checkpoint_->state.contains("config"))
        throw Error(fmt::format("{}: holds no state of a training; take the run's last.safetensors", file.string()));
      config_ = train_config_from_json(checkpoint_->state["config"]);
      model_ = to_model(*checkpoint_, file.string(), true);
    }
    io::Dataset dataset = options_.data.read();
    if (checkpoint_) match_classes(dataset, model_.names);
    io::Split train = DataOptions::find(dataset, "train");
    if (!options_.train_list.empty()) io::keep_only(train, options_.train_list);
    const io::Split* valid = dataset.find(options_.valid);
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
    if (valid) valid_.emplace(*valid, width, height, config_.preprocess);
    fmt::print("photos decoded and kept at {}x{} ({:.1f} s since start)\n", width, height, seconds());
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
    io::Cfg cfg = find_cfg(options_.arch, {.lenient = options_.lenient});
    cfg.set_classes(static_cast<int>(dataset.classes.size()));
    config_ = configure(options_, cfg);
    model_ = make_model(cfg, dataset.classes, config_.seed);
    start_report_ = start_from(model_, options_.from, {.lenient = options_.lenient, .live = options_.live});
    for (const io::CfgWarning& warning : cfg.warnings)
      fmt::print("{}:{}: {}\n", cfg.name, warning.line, warning.message);
    fmt::print("{}\n", start_report_.text());
  }

  void prepare_folder() {
    if (options_.resume.empty()) folder_ = make_folder(options_.out);
    if (!options_.resume.empty()) return;
    nlohmann::json config = {
        {"train", to_json(config_)},
        {"data", fs::absolute(options_.data.path()).string()},
        {"merge", options_.data.merge},
        {"train_list", options_.train_list},
        {"valid", options_.valid},
        {"device", fmt::format("{} {}", options_.compute.backend().name, name_of(config_.precision))},
        {"started", fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(std::time(nullptr)))},
        {"arch", options_.arch},
        {"from", options_.from},
        {"classes", model_.names},
        {"cfg", model_.network->cfg.to_text()}};
    write_json((folder_ / "config.json").string(), config);
    run_config_ = std::move(config);
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
    if (config_.until_map50 > 0 && e.map50 >= config_.until_map50 && reached_s_ == 0) reached_s_ = seconds();
  }

  void finish(Trainer& trainer, const TrainResult& result) {
    const double trained = seconds();
    fmt::print("{} after {} iterations, {:.1f} s since start ({:.1f} photos/s in training steps)\n",
               name_of(result.end), result.iterations, trained,
               trained_seconds_ > 0 ? trained_photos_ / trained_seconds_ : 0.0);
    if (result.end == TrainEnd::interrupted) {
      fmt::print("saved; go on with: rook train --data {} --resume {}\n", options_.data.data, folder_.string());
      exit_status = 130;
      return;
    }
    if (!valid_) return;
    fmt::print("best mAP50 {:.4f}, mAP50:95 {:.4f} at epoch {:.1f}: {}\n", result.best_map50, result.best_map50_95,
               result.best_epoch, (folder_ / "best.safetensors").string());
    const fs::path report = write_run_report(folder_, trainer, *valid_, model_.names);
    fmt::print("report: {}\n", report.string());
    if (const auto lost = measure_forgetting(folder_, options_.compute)) {
      metrics_->write(*lost);
      fmt::print("{}\n", forgetting_text(*lost));
    }
  }

  const Options& options_;
  std::chrono::steady_clock::time_point start_;
  fs::path folder_;
  Model model_;
  TrainConfig config_;
  StartReport start_report_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<PhotoCache> train_, valid_;
  nlohmann::json run_config_;
  MetricsFile* metrics_ = nullptr;
  Progress progress_;
  double trained_photos_ = 0, trained_seconds_ = 0, reached_s_ = 0;
};

void add_recipe_options(CLI::App& c, Options& o) {
  c.add_option("--epochs", o.epochs, "passes over the training photos")->check(CLI::PositiveNumber);
  c.add_option("--batch", o.batch, "photos per update")->check(CLI::PositiveNumber);
  c.add_option("--subdivisions", o.subdivisions, "passes per update, for less memory")->check(CLI::PositiveNumber);
  c.add_option("--size", o.size, "side of the network's input, a multiple of 32");
  c.add_option("--stages", o.stages, "smaller sizes first: SIZE:SHARE,... like 288:0.5");
  c.add_option("--multi-scale", o.multi_scale, "sizes up to this factor larger and smaller, as darknet's random");
  c.add_option("--optimizer", o.optimizer, "adamw or sgd")->check(CLI::IsMember({"adamw", "sgd"}));
  c.add_option("--lr", o.lr, "learning rate");
  c.add_option("--policy", o.policy, "its course: cosine, constant, step, steps, exp, poly, random, sig, sgdr")
      ->check(CLI::IsMember({"cosine", "constant", "step", "steps", "exp", "poly", "random", "sig", "sgdr"}));
  c.add_option("--warmup", o.warmup, "iterations in which it rises");
  c.add_option("--decay", o.decay, "weight decay, on convolution weights only");
  c.add_option("--momentum", o.momentum, "of SGD; beta1 of AdamW");
  c.add_option("--ema", o.ema, "decay of the averaged weights (0: off)");
  c.add_option("--clip", o.clip, "largest norm of the gradient (0: off)");
  c.add_option("--freeze", o.freeze, "first layers that stay as they are");
  c.add_option(
       "--loss", o.loss,
       "fixed (true gradients), darknet (its quirks reproduced, docs/recipes.md), or darknet-smooth-bug (with the one "
       "that keeps cfgs with objectness_smooth=1 from learning)")
      ->check(CLI::IsMember({"fixed", "darknet", "darknet-smooth-bug"}));
  c.add_option("--box-weight", o.box_weight, "weight of the box term of the fixed loss");
  c.add_option("--mosaic", o.mosaic, "share of mosaics");
  c.add_option("--mosaic-until", o.mosaic_until, "share of the training after which there are none");
  c.add_option("--eval-every", o.eval_every, "epochs between evaluations");
  c.add_option("--eval-from", o.eval_from, "epochs before the first evaluation");
  c.add_option("--until", o.until, "stop when the validation reaches it: map50=0.985");
  c.add_option("--patience", o.patience, "stop after so many evaluations without a better one");
  c.add_option("--seed", o.seed, "of everything random");
}

}  // namespace

void add_train(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("train", "train a detector");
  o->data.add(*c, "");
  c->add_option(
      "--arch", o->arch,
      "network: a cfg file, or yolov4-tiny (default), yolov3-tiny, yolo-fastest-1.1-xl, rook-small, rook-nano; "
      "with --from rendered rook-small");
  c->add_option("--from", o->from,
                "start: FILE.weights, FILE.conv.N, a run, a checkpoint, scratch, or rendered: our own weights, trained "
                "on rendered chess photos")
      ->capture_default_str();
  c->add_option("--recipe", o->recipe, "transfer, scratch, continue or cfg (default: by --from)")
      ->check(CLI::IsMember({"transfer", "scratch", "continue", "cfg"}));
  c->add_option("--train-list", o->train_list, "file with the names of the photos to train on");
  c->add_option("--valid", o->valid, "split that is evaluated")->capture_default_str();
  c->add_option("--out", o->out, "run folder (default: runs/run-N)");
  c->add_option("--resume", o->resume, "go on with a run that was interrupted, to the bit");
  c->add_flag("--lenient", o->lenient, "unknown keys of a cfg are warnings");
  c->add_flag("--live", o->live, "start from the live weights of a checkpoint instead of their average");
  c->add_flag("--dry-run", o->dry_run, "say what would be done");
  add_recipe_options(*c, *o);
  o->compute.add(*c);
  std::string recipes;
  for (const RecipeText& text : recipe_texts()) recipes += fmt::format("  {:<9} {}\n", text.name, text.text);
  c->footer(
      "Recipes:\n" + recipes +
      "Examples:\n  rook train --data chess --merge bishop=black-bishop --arch yolov4-tiny --from yolov4-tiny.conv.29\n"
      "  rook train --data chess --from rendered\n"
      "  rook train --data chess --from runs/run-1 --out runs/more\n  rook train --data chess --resume runs/run-1");
  c->callback([o] {
    if (o->arch.empty()) o->arch = default_network(o->from);
    install_interrupt();
    Session(*o).run();
  });
}

}  // namespace rook::app
