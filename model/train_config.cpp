#include "model/train_config.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/json_reason.h"
#include "kernels/names.h"

namespace rook {
namespace {

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

template <class Enum>
Enum from_name(const nlohmann::json& value, std::initializer_list<Enum> all, const char* key) {
  const std::string name = value.get<std::string>();
  for (const Enum e : all)
    if (name == name_of(e)) return e;
  throw Error(fmt::format("configuration: {}={} is not known", key, name));
}

std::string text_at(const nlohmann::json& object, const char* key) {
  return object.at(key).get<std::string>();
}

template <class Enum>
Enum named(const nlohmann::json& object, const char* key, std::optional<Enum> (*from)(std::string_view)) {
  const std::string name = text_at(object, key);
  if (const auto value = from(name)) return *value;
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

// Writes members into an object, and reads them from one, under their names.
struct Writer {
  nlohmann::json& object;
  template <class T>
  void operator()(const char* key, const T& member) const {
    object[key] = member;
  }
  Writer in(const char* key) const { return {object[key]}; }
};
struct Reader {
  const nlohmann::json& object;
  template <class T>
  void operator()(const char* key, T& member) const {
    object.at(key).get_to(member);
  }
  Reader in(const char* key) const { return {object.at(key)}; }
};

// The one list of what a file holds as it is; what has names of its own there follows in to_json and back.
template <class Field, class Config>
void each_member(const Field& field, Config& c) {
  field("recipe", c.recipe);
  field("width", c.width);
  field("height", c.height);
  field("batch", c.batch);
  field("subdivisions", c.subdivisions);
  field("epochs", c.epochs);
  field("decay", c.decay);
  field("momentum", c.momentum);
  field("beta2", c.beta2);
  field("ema", c.ema);
  field("bn_momentum", c.bn_momentum);
  field("clip", c.clip);
  field("freeze", c.freeze);
  field("objectness_bias", c.objectness_bias);
  field("class_bias", c.class_bias);
  field("mosaic_until", c.mosaic_until);
  field("multi_scale", c.multi_scale);
  field("max_truths", c.max_truths);
  field("eval_every", c.eval_every);
  field("eval_from", c.eval_from);
  field("until_map50", c.until_map50);
  field("patience", c.patience);
  field("seed", c.seed);
}

template <class Field, class ScheduleOf>
void each_schedule_member(const Field& field, ScheduleOf& s) {
  field("base", s.base);
  field("iterations", s.iterations);
  field("warmup", s.warmup);
  field("warmup_power", s.warmup_power);
  field("minimum", s.minimum);
  field("steps", s.steps);
  field("scales", s.scales);
  field("step", s.step);
  field("scale", s.scale);
  field("gamma", s.gamma);
  field("power", s.power);
  field("cycle", s.cycle);
  field("cycle_mult", s.cycle_mult);
}

template <class Field, class Weights>
void each_weight(const Field& field, Weights& w) {
  field("box", w.box);
  field("objectness", w.objectness);
  field("classes", w.classes);
  field("ignore_thresh", w.ignore_thresh);
  field("iou_thresh", w.iou_thresh);
  field("label_smooth", w.label_smooth);
}

template <class Field, class Spec>
void each_augmentation(const Field& field, Spec& a) {
  field("jitter", a.jitter);
  field("resize", a.resize);
  field("scale", a.scale);
  field("aspect", a.aspect);
  field("shift", a.shift);
  field("flip", a.flip);
  field("hue", a.hue);
  field("saturation", a.saturation);
  field("exposure", a.exposure);
  field("mosaic", a.mosaic);
  field("mosaic_bound", a.mosaic_bound);
  field("min_visible", a.min_visible);
}

template <class Field, class Config>
void each_plain_member(const Field& field, Config& c) {
  each_member(field, c);
  each_schedule_member(field.in("schedule"), c.schedule);
  each_weight(field.in("weights"), c.weights);
  each_augmentation(field.in("augment"), c.augment);
}

}  // namespace

const char* name_of(BestBy by) {
  return by == BestBy::map50 ? "map50" : "map50_95";
}

nlohmann::json to_json(const TrainConfig& c) {
  nlohmann::json j;
  each_plain_member(Writer{j}, c);
  j["optimizer"] = name_of(c.optimizer);
  j["turn"] = c.turn;
  j["schedule"]["policy"] = rook::name_of(c.schedule.policy);
  j["loss"] = loss_name(c);
  j["weights"]["box_loss"] = rook::name_of(c.weights.box_loss);
  j["stages"] = nlohmann::json::array();
  for (const SizeStage& stage : c.stages)
    j["stages"].push_back({{"share", stage.share}, {"width", stage.width}, {"height", stage.height}});
  j["resize"] = rook::name_of(c.preprocess.resampling);
  j["fit"] = rook::name_of(c.preprocess.fit);
  j["best_by"] = rook::name_of(c.best_by);
  j["precision"] = rook::name_of(c.precision);
  return j;
}

void set_loss(TrainConfig& config, const std::string& name) {
  if (name != "fixed" && name != "darknet" && name != kSmoothBug)
    throw Error(fmt::format("configuration: loss={} is not one of fixed, darknet, {}", name, kSmoothBug));
  config.loss = name == "fixed" ? LossMode::fixed : LossMode::darknet;
  config.smooth_bug = name == kSmoothBug;
}

TrainConfig train_config_from_json(const nlohmann::json& j) try {
  TrainConfig c;
  each_plain_member(Reader{j}, c);
  c.optimizer =
      from_name(j.at("optimizer"), {OptimizerKind::sgd, OptimizerKind::adamw, OptimizerKind::muon}, "optimizer");
  c.turn = j.value("turn", c.turn);  // runs of before Muon have none
  c.schedule.policy = policy_from_name(text_at(j.at("schedule"), "policy"));
  set_loss(c, text_at(j, "loss"));
  c.weights.box_loss = named(j.at("weights"), "box_loss", box_loss_from_name);
  for (const nlohmann::json& stage : j.at("stages"))
    c.stages.push_back({.share = stage.at("share").get<float>(),
                        .width = stage.at("width").get<int>(),
                        .height = stage.at("height").get<int>()});
  c.preprocess = {.resampling = resampling_from_name(text_at(j, "resize")), .fit = fit_from_name(text_at(j, "fit"))};
  if (const auto by = j.find("best_by"); by != j.end())  // of older runs it was mAP50
    c.best_by = from_name(*by, {BestBy::map50, BestBy::map50_95}, "best_by");
  c.precision = named(j, "precision", dtype_from_name);
  check_ranges(c);
  return c;
} catch (const nlohmann::json::exception& error) {
  throw Error(fmt::format("configuration of the run: {}; the file is damaged, or of another rook", json_reason(error)));
}

}  // namespace rook
