#include "model/train_config.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_reason.h"
#include "kernels/names.h"

namespace rook {
namespace {

using nlohmann::json;

const char* name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
      return "sgd";
    case OptimizerKind::adamw:
      return "adamw";
    case OptimizerKind::muon:
      return "muon";
  }
  return "?";
}
constexpr const char* kSmoothBug = "darknet-smooth-bug";

std::string loss_name(const TrainConfig& c) {
  return c.loss == LossMode::fixed ? "fixed" : c.smooth_bug ? kSmoothBug : "darknet";
}

const char* name_of(BoxLoss loss) {
  switch (loss) {
    case BoxLoss::mse:
      return "mse";
    case BoxLoss::iou:
      return "iou";
    case BoxLoss::giou:
      return "giou";
    case BoxLoss::diou:
      return "diou";
    case BoxLoss::ciou:
      return "ciou";
  }
  return "?";
}

template <class Enum>
Enum from_name(const json& value, std::initializer_list<Enum> all, const char* key) {
  const std::string name = value.get<std::string>();
  for (const Enum e : all)
    if (name == name_of(e)) return e;
  throw Error(fmt::format("configuration: {}={} is not known", key, name));
}

// Of a file that may be damaged: numbers that no training could have been given.
void check_range(const char* key, double value, double least, double most) {
  if (!(value >= least && value <= most))
    throw Error(fmt::format("configuration of the run: {}={} is not between {} and {}", key, value, least, most));
}

void check_ranges(const TrainConfig& c) {
  constexpr double kMany = 1e9, kSide = 65536;
  check_range("batch", c.batch, 1, kSide);
  check_range("subdivisions", c.subdivisions, 1, c.batch);
  check_range("width", c.width, 0, kSide);
  check_range("height", c.height, 0, kSide);
  check_range("epochs", c.epochs, 0, kMany);
  check_range("schedule.iterations", static_cast<double>(c.schedule.iterations), 0, kMany);
  check_range("freeze", c.freeze, 0, kSide);
  check_range("max_truths", c.max_truths, 1, kSide);
  check_range("multi_scale", c.multi_scale, 1, 10);
  for (const SizeStage& stage : c.stages) {
    check_range("stages.width", stage.width, 1, kSide);
    check_range("stages.height", stage.height, 1, kSide);
  }
}

}  // namespace

const char* name_of(BestBy by) {
  return by == BestBy::map50 ? "map50" : "map50_95";
}

json to_json(const TrainConfig& c) {
  json stages = json::array();
  for (const SizeStage& stage : c.stages)
    stages.push_back({{"share", stage.share}, {"width", stage.width}, {"height", stage.height}});
  const Schedule& s = c.schedule;
  const AugmentSpec& a = c.augment;
  return {{"recipe", c.recipe},
          {"width", c.width},
          {"height", c.height},
          {"batch", c.batch},
          {"subdivisions", c.subdivisions},
          {"epochs", c.epochs},
          {"optimizer", name_of(c.optimizer)},
          {"decay", c.decay},
          {"momentum", c.momentum},
          {"beta2", c.beta2},
          {"turn", c.turn},
          {"schedule",
           {{"policy", rook::name_of(s.policy)},
            {"base", s.base},
            {"iterations", s.iterations},
            {"warmup", s.warmup},
            {"warmup_power", s.warmup_power},
            {"minimum", s.minimum},
            {"steps", s.steps},
            {"scales", s.scales},
            {"step", s.step},
            {"scale", s.scale},
            {"gamma", s.gamma},
            {"power", s.power},
            {"cycle", s.cycle},
            {"cycle_mult", s.cycle_mult}}},
          {"ema", c.ema},
          {"bn_momentum", c.bn_momentum},
          {"clip", c.clip},
          {"freeze", c.freeze},
          {"loss", loss_name(c)},
          {"weights",
           {{"box", c.weights.box},
            {"objectness", c.weights.objectness},
            {"classes", c.weights.classes},
            {"ignore_thresh", c.weights.ignore_thresh},
            {"iou_thresh", c.weights.iou_thresh},
            {"label_smooth", c.weights.label_smooth},
            {"box_loss", name_of(c.weights.box_loss)}}},
          {"objectness_bias", c.objectness_bias},
          {"class_bias", c.class_bias},
          {"augment",
           {{"jitter", a.jitter},
            {"resize", a.resize},
            {"scale", a.scale},
            {"aspect", a.aspect},
            {"shift", a.shift},
            {"flip", a.flip},
            {"hue", a.hue},
            {"saturation", a.saturation},
            {"exposure", a.exposure},
            {"mosaic", a.mosaic},
            {"mosaic_bound", a.mosaic_bound},
            {"min_visible", a.min_visible}}},
          {"mosaic_until", c.mosaic_until},
          {"stages", stages},
          {"multi_scale", c.multi_scale},
          {"resize", rook::name_of(c.preprocess.resampling)},
          {"fit", rook::name_of(c.preprocess.fit)},
          {"max_truths", c.max_truths},
          {"eval_every", c.eval_every},
          {"eval_from", c.eval_from},
          {"best_by", rook::name_of(c.best_by)},
          {"until_map50", c.until_map50},
          {"patience", c.patience},
          {"seed", c.seed},
          {"precision", rook::name_of(c.precision)}};
}

void set_loss(TrainConfig& config, const std::string& name) {
  if (name != "fixed" && name != "darknet" && name != kSmoothBug)
    throw Error(fmt::format("configuration: loss={} is not one of fixed, darknet, {}", name, kSmoothBug));
  config.loss = name == "fixed" ? LossMode::fixed : LossMode::darknet;
  config.smooth_bug = name == kSmoothBug;
}

TrainConfig train_config_from_json(const json& j) try {
  TrainConfig c;
  j.at("recipe").get_to(c.recipe);
  j.at("width").get_to(c.width);
  j.at("height").get_to(c.height);
  j.at("batch").get_to(c.batch);
  j.at("subdivisions").get_to(c.subdivisions);
  j.at("epochs").get_to(c.epochs);
  c.optimizer =
      from_name(j.at("optimizer"), {OptimizerKind::sgd, OptimizerKind::adamw, OptimizerKind::muon}, "optimizer");
  j.at("decay").get_to(c.decay);
  j.at("momentum").get_to(c.momentum);
  j.at("beta2").get_to(c.beta2);
  c.turn = j.value("turn", c.turn);  // runs of before Muon have none
  const json& s = j.at("schedule");
  c.schedule.policy = policy_from_name(s.at("policy").get<std::string>());
  s.at("base").get_to(c.schedule.base);
  s.at("iterations").get_to(c.schedule.iterations);
  s.at("warmup").get_to(c.schedule.warmup);
  s.at("warmup_power").get_to(c.schedule.warmup_power);
  s.at("minimum").get_to(c.schedule.minimum);
  s.at("steps").get_to(c.schedule.steps);
  s.at("scales").get_to(c.schedule.scales);
  s.at("step").get_to(c.schedule.step);
  s.at("scale").get_to(c.schedule.scale);
  s.at("gamma").get_to(c.schedule.gamma);
  s.at("power").get_to(c.schedule.power);
  s.at("cycle").get_to(c.schedule.cycle);
  s.at("cycle_mult").get_to(c.schedule.cycle_mult);
  j.at("ema").get_to(c.ema);
  j.at("bn_momentum").get_to(c.bn_momentum);
  j.at("clip").get_to(c.clip);
  j.at("freeze").get_to(c.freeze);
  set_loss(c, j.at("loss").get<std::string>());
  const json& w = j.at("weights");
  w.at("box").get_to(c.weights.box);
  w.at("objectness").get_to(c.weights.objectness);
  w.at("classes").get_to(c.weights.classes);
  w.at("ignore_thresh").get_to(c.weights.ignore_thresh);
  w.at("iou_thresh").get_to(c.weights.iou_thresh);
  w.at("label_smooth").get_to(c.weights.label_smooth);
  c.weights.box_loss = from_name(w.at("box_loss"),
                                 {BoxLoss::mse, BoxLoss::iou, BoxLoss::giou, BoxLoss::diou, BoxLoss::ciou}, "box_loss");
  j.at("objectness_bias").get_to(c.objectness_bias);
  j.at("class_bias").get_to(c.class_bias);
  const json& a = j.at("augment");
  a.at("jitter").get_to(c.augment.jitter);
  a.at("resize").get_to(c.augment.resize);
  a.at("scale").get_to(c.augment.scale);
  a.at("aspect").get_to(c.augment.aspect);
  a.at("shift").get_to(c.augment.shift);
  a.at("flip").get_to(c.augment.flip);
  a.at("hue").get_to(c.augment.hue);
  a.at("saturation").get_to(c.augment.saturation);
  a.at("exposure").get_to(c.augment.exposure);
  a.at("mosaic").get_to(c.augment.mosaic);
  a.at("mosaic_bound").get_to(c.augment.mosaic_bound);
  a.at("min_visible").get_to(c.augment.min_visible);
  j.at("mosaic_until").get_to(c.mosaic_until);
  for (const json& stage : j.at("stages"))
    c.stages.push_back({.share = stage.at("share").get<float>(),
                        .width = stage.at("width").get<int>(),
                        .height = stage.at("height").get<int>()});
  j.at("multi_scale").get_to(c.multi_scale);
  c.preprocess = {.resampling = resampling_from_name(j.at("resize").get<std::string>()),
                  .fit = fit_from_name(j.at("fit").get<std::string>())};
  j.at("max_truths").get_to(c.max_truths);
  j.at("eval_every").get_to(c.eval_every);
  j.at("eval_from").get_to(c.eval_from);
  if (const auto by = j.find("best_by"); by != j.end())  // of older runs it was mAP50
    c.best_by = from_name(*by, {BestBy::map50, BestBy::map50_95}, "best_by");
  j.at("until_map50").get_to(c.until_map50);
  j.at("patience").get_to(c.patience);
  j.at("seed").get_to(c.seed);
  const auto precision = dtype_from_name(j.at("precision").get<std::string>());
  if (!precision) throw Error("configuration: precision is not known");
  c.precision = *precision;
  check_ranges(c);
  return c;
} catch (const json::exception& error) {
  throw Error(fmt::format("configuration of the run: {}; the file is damaged, or of another rook", json_reason(error)));
}

}  // namespace rook
