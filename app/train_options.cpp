#include "app/train_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "app/augment_option.h"
#include "app/checks.h"
#include "base/error.h"
#include "model/run_folder.h"
#include "model/zoo.h"

namespace rook::app {
namespace {

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

void check_passes(const TrainConfig& c) {
  if (c.batch % c.subdivisions != 0)
    throw UsageError(
        fmt::format("--subdivisions {}: does not divide the batch of {} (--batch)", c.subdivisions, c.batch));
}

// `layers`: of the network, as the cfg counts them.
void check_freeze(const TrainConfig& c, int layers) {
  if (c.freeze >= layers)
    throw UsageError(fmt::format("--freeze {}: the network has {} layers, and some of them must be left to learn",
                                 c.freeze, layers));
}

void add_recipe_options(CLI::App& c, TrainOptions& o) {
  c.add_option("--epochs", o.epochs, "passes over the training photos")->check(between(0.001, 1e6));
  c.add_option("--batch", o.batch, "photos per update")->check(between(1, 65536));
  c.add_option("--subdivisions", o.subdivisions, "passes per update, for less memory")->check(between(1, 65536));
  c.add_option("--size", o.size, "side of the network's input, a multiple of 32")->check(input_side());
  c.add_option("--stages", o.stages, "smaller sizes first: SIZE:SHARE,... like 288:0.5");
  c.add_option("--multi-scale", o.multi_scale, "sizes up to this factor larger and smaller, as darknet's random")
      ->check(between(1, 10));
  c.add_option("--optimizer", o.optimizer, "muon, adamw or sgd")->check(CLI::IsMember({"muon", "adamw", "sgd"}));
  c.add_option("--lr", o.lr, "learning rate")->check(between(0, 100));
  c.add_option("--policy", o.policy, "its course: cosine, constant, step, steps, exp, poly, random, sig, sgdr")
      ->check(CLI::IsMember({"cosine", "constant", "step", "steps", "exp", "poly", "random", "sig", "sgdr"}));
  c.add_option("--warmup", o.warmup, "iterations in which it rises")->check(between(0, 1e9));
  c.add_option("--decay", o.decay, "weight decay, on convolution weights only")->check(between(0, 10));
  c.add_option("--momentum", o.momentum, "of SGD and Muon; beta1 of AdamW")->check(between(0, 0.99999));
  c.add_option("--turn", o.turn,
               "Muon: a step turns a matrix of weights by this times the learning rate, of its length")
      ->check(between(0, 1000));
  c.add_option("--ema", o.ema, "decay of the averaged weights (0: off)")->check(between(0, 0.99999));
  c.add_option("--clip", o.clip, "largest norm of the gradient (0: off)")->check(between(0, 1e9));
  c.add_option(
       "--freeze", o.freeze,
       "first layers that stay as they are (default: with the recipe transfer the loaded ones that see large maps)")
      ->check(between(0, 65536));
  c.add_option(
       "--loss", o.loss,
       "fixed (true gradients), darknet (its quirks reproduced, docs/recipes.md), or darknet-smooth-bug (with the one "
       "that keeps cfgs with objectness_smooth=1 from learning)")
      ->check(CLI::IsMember({"fixed", "darknet", "darknet-smooth-bug"}));
  c.add_option("--box-weight", o.box_weight, "weight of the box term of the fixed loss")->check(between(0, 1e6));
  c.add_option("--augment", o.augment,
               "how much photos are changed at random: KEY=VALUE,... like flip=0,hue=0.1 (keys below), or none")
      ->check(something());
  c.add_option("--mosaic", o.mosaic, "share of mosaics")->check(between(0, 1));
  c.add_option("--mosaic-until", o.mosaic_until, "share of the training after which there are none")
      ->check(between(0, 1));
  c.add_option("--eval-every", o.eval_every, "epochs between evaluations")->check(between(0, 1e6));
  c.add_option("--eval-from", o.eval_from, "epochs before the first evaluation")->check(between(0, 1e6));
  c.add_option("--best", o.best, "the best checkpoint is that of the highest map50 (default) or map50_95")
      ->check(CLI::IsMember({"map50", "map50_95"}));
  c.add_option("--until", o.until, "stop when the best checkpoint reaches it on the validation photos: map50=0.985");
  c.add_option("--patience", o.patience, "stop after so many evaluations without a better one")->check(between(0, 1e6));
  c.add_option("--seed", o.seed, "of everything random");
}

}  // namespace

void TrainOptions::add(CLI::App& c) {
  command_ = &c;
  data.add(c, "");
  c.get_option("--data")->required(false);  // a run that goes on has its own
  c.add_option(
      "--arch", arch,
      "network: a cfg file, or yolov4-tiny, yolov3-tiny, yolo-fastest-1.1-xl, rook-small, rook-nano (default: that of "
      "the run or checkpoint of --from, else yolov4-tiny)");
  c.add_option("--from", from,
               "start: FILE.weights, FILE.conv.N, a run, a checkpoint, scratch, or rendered: our own weights, trained "
               "on rendered chess photos")
      ->capture_default_str();
  c.add_option("--recipe", recipe, "transfer, scratch, continue or cfg (default: by --from)")
      ->check(CLI::IsMember({"transfer", "scratch", "continue", "cfg"}));
  c.add_option("--train-list", train_list, "file with the names of the photos to train on");
  c.add_option("--valid", valid, "split that is evaluated")->capture_default_str();
  c.add_option("--out", out, "run folder (default: runs/run-N)");
  c.add_option("--resume", resume, "go on with a run that was interrupted, to the bit");
  c.add_flag("--lenient", lenient, "unknown keys of a cfg are warnings");
  c.add_flag("--live", live, "start from the live weights of a checkpoint instead of their average");
  c.add_flag("--dry-run", dry_run, "say what would be done");
  c.add_option("--preview", preview,
               "draw the first inputs, augmented, with their boxes, into this new folder, and end")
      ->check(something());
  add_recipe_options(c, *this);
  compute.add(c);
  std::string recipes;
  for (const RecipeText& text : recipe_texts()) recipes += fmt::format("  {:<9} {}\n", text.name, text.text);
  c.footer(
      "Recipes:\n" + recipes + "Keys of --augment:\n" + augmentation_keys() +
      "Examples:\n  rook train --data chess --merge bishop=black-bishop --arch yolov4-tiny --from yolov4-tiny.conv.29\n"
      "  rook train --data chess --from rendered\n"
      "  rook train --data signs --augment flip=0,hue=0 --preview inputs\n"
      "  rook train --data chess --from runs/run-1 --out runs/more\n  rook train --resume runs/run-1");
}

void TrainOptions::take_run(const std::filesystem::path& folder) {
  const auto refuse = [](const std::string& name, const std::string& why) {
    throw UsageError(fmt::format("{}: {}; leave it out, or start another training with --from", name, why));
  };
  static const std::set<std::string> kOwn{"--resume", "--data",       "--store",  "--device",
                                          "--conv",   "--conv-cache", "--dry-run"};
  static const std::set<std::string> kPhotos{"--merge", "--train-list", "--valid", "--keep-unused",
                                             "--missing-is-negative"};
  for (const CLI::Option* option : command_->get_options()) {
    const std::string name = option->get_name();
    if (option->count() && name.starts_with("--") && !kOwn.contains(name) && !kPhotos.contains(name))
      refuse(name, "a run that goes on stays as it was started");
  }
  const nlohmann::json config = read_run(folder).config;
  if (data.data.empty()) data.data = config.value("data", "");
  const auto take_key = [&]<class T>(T& value, const char* key, const char* name) {
    const T own = config.value(key, T{});
    if (command_->count(name) && value != own) refuse(name, "the run was started with other photos");
    value = own;
  };
  if (!train_list.empty()) train_list = std::filesystem::absolute(train_list).string();
  take_key(train_list, "train_list", "--train-list");
  take_key(data.merge, "merge", "--merge");
  take_key(data.keep_unused, "keep_unused", "--keep-unused");
  take_key(data.missing_is_negative, "missing_is_negative", "--missing-is-negative");
  if (config.contains("valid")) take_key(valid, "valid", "--valid");
}

TrainConfig TrainOptions::configure(const io::Cfg& cfg) const {
  const bool own = from != kRendered && (std::filesystem::is_directory(from) || from.ends_with(".safetensors"));
  const std::string name = !recipe.empty() ? recipe : from == "scratch" ? "scratch" : own ? "continue" : "transfer";
  TrainConfig c = rook::recipe(name, cfg);
  take(c.epochs, epochs);
  take(c.batch, batch);
  take(c.subdivisions, subdivisions);
  take(c.schedule.base, lr);
  take(c.schedule.warmup, warmup);
  take(c.decay, decay);
  take(c.momentum, momentum);
  take(c.ema, ema);
  take(c.clip, clip);
  take(c.freeze, freeze);
  if (!augment.empty()) set_augmentation(c.augment, augment);
  take(c.augment.mosaic, mosaic);
  take(c.mosaic_until, mosaic_until);
  take(c.turn, turn);
  take(c.multi_scale, multi_scale);
  take(c.weights.box, box_weight);
  take(c.width, size);
  take(c.height, size);
  take(c.eval_every, eval_every);
  take(c.eval_from, eval_from);
  take(c.patience, patience);
  take(c.seed, seed);
  if (!policy.empty()) c.schedule.policy = policy_from_name(policy);
  if (optimizer == "sgd") c.optimizer = OptimizerKind::sgd;
  if (optimizer == "adamw") c.optimizer = OptimizerKind::adamw;
  if (optimizer == "muon") c.optimizer = OptimizerKind::muon;
  if (!loss.empty()) set_loss(c, loss);
  if (!stages.empty()) c.stages = stages_of(stages);
  if (!best.empty()) c.best_by = best == "map50" ? BestBy::map50 : BestBy::map50_95;
  if (!until.empty()) c.until_map50 = until_of(until);
  c.precision = compute.dtype(true);
  check_passes(c);
  check_freeze(c, cfg.layers());
  return c;
}

}  // namespace rook::app
