// Training on small photos: it learns, ends where it should, and refuses to go on with nonsense.
#include "model/trainer.h"

#include <limits>
#include <set>

#include "base/error.h"
#include "tests/model/trainer_support.h"

using namespace rook;
using namespace rook::test;

namespace {

double mean_of_last(const std::vector<double>& values, std::size_t count) {
  double sum = 0;
  for (std::size_t i = values.size() - count; i < values.size(); ++i) sum += values[i];
  return sum / static_cast<double>(count);
}

std::vector<float> copy_of(const Params& params) {
  return {params.values().begin(), params.values().end()};
}

}  // namespace

TEST_CASE("trainer: eight photos are learnt by heart") {
  for (const DType precision : {DType::f32, DType::bf16}) {
    TrainConfig config = plain_config();
    config.epochs = kSanitized ? 20 : 150;
    config.precision = precision;
    config.eval_every = 1e9;  // at the end only
    TinyTraining run(config);
    const TrainResult result = run.train(true);
    CHECK(result.end == TrainEnd::finished);
    CHECK(result.iterations == static_cast<std::int64_t>(config.epochs));
    const double first = run.losses.front(), last = mean_of_last(run.losses, 5);
    MESSAGE(std::string(name_of(precision)), ": loss ", first, " -> ", last, ", mAP50 ", result.best_map50,
            ", mAP50:95 ", result.best_map50_95);
    CHECK(last <= first / (kSanitized ? 2 : 10));
    if (!kSanitized) CHECK(result.best_map50 > 0.95);
    // What was saved detects as well as what was evaluated.
    const Model saved = load_model((run.folder / "best.safetensors").string());
    CHECK(saved.names == kPhotoClasses);
    CHECK(saved.preprocess == config.preprocess);
    if (precision != DType::f32 || kSanitized) continue;
    Detector detector(*saved.network, *saved.params, saved.preprocess, {.backend = &cpu_backend()});
    const io::Image photo = io::read_image(run.photos.file(0));
    CHECK(detector.detect(std::span(&photo, 1))[0].size() == run.photos.truths(0).size());
  }
}

TEST_CASE("trainer: darknet's loss and SGD learn too") {
  TrainConfig config = plain_config();
  config.loss = LossMode::darknet;
  config.optimizer = OptimizerKind::sgd;
  config.momentum = 0.9f;
  config.schedule.base = 2e-3f;
  config.epochs = kSanitized ? 30 : 100;
  TinyTraining run(config);
  run.train();
  MESSAGE("darknet's loss: ", run.losses.front(), " -> ", mean_of_last(run.losses, 5));
  CHECK(mean_of_last(run.losses, 5) < run.losses.front() / 2);
}

TEST_CASE("trainer: Muon turns the matrices behind batch norm, AdamW moves the rest") {
  TrainConfig config = plain_config();
  config.optimizer = OptimizerKind::muon;
  config.epochs = 3;
  config.freeze = 1;
  TinyTraining run(config);
  const std::vector<float> before(run.model.params->values().begin(), run.model.params->values().end());
  run.train();
  const Model after = to_model(read_checkpoint(run.folder / "last.safetensors"), "last", true);
  int matrices = 0;
  for (const Param& param : after.params->all()) {
    if (param.spec.role != ParamRole::weights) continue;
    CAPTURE(param.name);
    const auto now = std::as_const(*after.params).value(param);
    double length = 0, length_before = 0, moved = 0;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const double was = before[static_cast<std::size_t>(param.offset) + i];
      length_before += was * was;
      length += double{now[i]} * now[i];
      moved += (now[i] - was) * (now[i] - was);
    }
    CHECK((moved > 0) == (param.node >= config.freeze));
    const bool same_length = std::abs(std::sqrt(length / length_before) - 1) < 1e-5;
    CHECK(same_length == (param.node != kHeadConvolution));
    matrices += param.spec.matrix;
  }
  CHECK(matrices == 4);
}

TEST_CASE("trainer: a step tells what it did") {
  TrainConfig config = plain_config();
  config.batch = 4;
  config.subdivisions = 2;
  config.epochs = 3;
  config.schedule = {.policy = Policy::step, .base = 0.01f, .step = 2, .scale = 0.5f};
  TinyTraining run(config);
  run.train();
  REQUIRE(run.steps.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    const StepInfo& s = run.steps[i];
    CHECK((s.iteration == static_cast<std::int64_t>(i) + 1 && s.iterations == 6 && s.photos == 4 && s.width == 64 &&
           s.height == 64));
    CHECK(s.epoch == doctest::Approx(0.5 * (static_cast<double>(i) + 1)));
    CHECK(s.epochs == doctest::Approx(3));
    CHECK(s.lr == doctest::Approx(0.01 * std::pow(0.5, (i + 1) / 2)));
    CHECK((s.seconds > 0 && s.gradient_norm > 0 && s.loss.truths > 0 && s.loss.positives >= s.loss.truths));
  }
}

TEST_CASE("trainer: frozen layers stay as they are, to the bit, in the average too") {
  TrainConfig config = plain_config();
  config.freeze = 3;
  config.decay = 0.1f;
  config.epochs = 6;
  TinyTraining run(config);
  randomise(*run.model.params, 3);
  const std::vector<float> before = copy_of(*run.model.params);
  run.train();
  const Checkpoint saved = read_checkpoint(run.folder / "last.safetensors");
  for (const Param& param : run.model.params->all()) {
    CAPTURE(param.name);
    const auto unchanged = [&](const std::vector<float>& values) {
      return std::equal(values.begin() + param.offset, values.begin() + param.end(), before.begin() + param.offset);
    };
    CHECK(unchanged(copy_of(*run.model.params)) == (param.node < 3));
    CHECK(unchanged(saved.values) == (param.node < 3));
    CHECK(unchanged(saved.ema) == (param.node < 3));
  }
}

TEST_CASE("trainer: a layer's learning_rate is a factor") {
  // One step of plain SGD changes a layer in proportion to its factor; none at all at 0.
  const auto change = [](const std::string& factor) {
    TrainConfig config = plain_config();
    config.optimizer = OptimizerKind::sgd;
    config.momentum = config.ema = config.clip = 0;
    config.epochs = 1;
    std::string layers = kTrainLayers;
    layers.insert(layers.find(" | conv filters=16"), factor);
    TinyTraining run(config, layers);
    randomise(*run.model.params, 3);
    const std::vector<float> before = copy_of(*run.model.params);
    run.train();
    REQUIRE(run.steps.size() == 1);
    std::vector<double> changes(2);
    for (const Param& param : run.model.params->all())
      if (param.node < 2 && param.spec.role == ParamRole::weights) {
        const std::span<const float> now = std::as_const(*run.model.params).value(param);
        for (std::size_t i = 0; i < now.size(); ++i)
          changes[static_cast<std::size_t>(param.node)] +=
              std::abs(static_cast<double>(now[i]) - before[static_cast<std::size_t>(param.offset) + i]);
      }
    return changes;
  };
  const auto plain = change(""), triple = change(" learning_rate=3"), none = change(" learning_rate=0");
  REQUIRE(plain[0] > 0);
  CHECK(std::abs(triple[0] / plain[0] - 3) <= 1e-3);
  CHECK(none[0] == 0);
  CHECK((triple[1] == plain[1] && none[1] == plain[1]));
}

TEST_CASE("trainer: sizes by stages and at random") {
  TrainConfig config = plain_config();
  config.epochs = 8;
  config.stages = {{.share = 0.25f, .width = 32, .height = 64}, {.share = 0.5f, .width = 32, .height = 32}};
  TinyTraining staged(config);
  staged.train();
  std::vector<std::pair<int, int>> sizes;
  for (const StepInfo& s : staged.steps) sizes.emplace_back(s.width, s.height);
  const std::pair small{32, 32}, flat{32, 64}, own{64, 64};
  CHECK(sizes == std::vector{flat, flat, small, small, small, small, own, own});
  config.stages.clear();
  config.multi_scale = 2;
  config.batch = 2;
  config.epochs = 50;
  TinyTraining random(config);
  random.train();
  std::set<int> seen;
  for (std::size_t i = 0; i < random.steps.size(); ++i) {
    const StepInfo& s = random.steps[i];
    CHECK((s.width == s.height && s.width % 32 == 0 && s.width >= 32 && s.width <= 128));
    if (i % 10 != 0) CHECK(s.width == random.steps[i - 1].width);
    seen.insert(s.width);
    if (i + 100 >= random.steps.size()) CHECK(s.width == 64);
  }
  CHECK(seen.size() >= 3);
}

TEST_CASE("trainer: ends when the mAP asked for is reached, or when patience is at its end") {
  TrainConfig config = plain_config();
  config.epochs = 1000;
  config.eval_every = 5;
  config.until_map50 = kSanitized ? 0.1 : 0.6;
  TinyTraining reached(config);
  const TrainResult result = reached.train(true);
  CHECK(result.end == TrainEnd::reached);
  CHECK(result.best_map50 >= config.until_map50);
  CHECK(result.iterations < 1000);
  CHECK(result.iterations % 5 == 0);
  config.until_map50 = 0;
  config.patience = 2;
  config.eval_from = 10;
  config.schedule.base = 0;
  TinyTraining tired(config);
  std::vector<std::int64_t> evaluated;
  std::size_t after_best = 0;
  TrainerOptions options = tired.options();
  options.on_evaluation = [&](const EvalInfo& info) {
    evaluated.push_back(info.iteration);
    after_best = info.best ? 0 : after_best + 1;
  };
  Trainer trainer(tired.model, config, tired.photos, &tired.photos, options);
  CHECK(trainer.run().end == TrainEnd::patience);
  CHECK(after_best == 2);
  CHECK(evaluated.size() >= 3);  // the first counts as better than nothing
  for (std::size_t i = 0; i < evaluated.size(); ++i) CHECK(evaluated[i] == 10 + 5 * static_cast<std::int64_t>(i));
}

TEST_CASE("trainer: the best checkpoint is the first of the highest mAP50, or of the highest mAP50:95") {
  for (const BestBy by : {BestBy::map50, BestBy::map50_95}) {
    CAPTURE(std::string(name_of(by)));
    TrainConfig config = plain_config();
    config.epochs = kSanitized ? 40 : 120;
    config.eval_every = 4;
    config.best_by = by;
    TinyTraining training(config);
    TrainerOptions options = training.options();
    EvalInfo best;
    best.evaluation.map50 = best.evaluation.map50_95 = -1;
    std::size_t evaluations = 0;
    options.on_evaluation = [&](const EvalInfo& info) {
      ++evaluations;
      const bool better = by == BestBy::map50 ? info.evaluation.map50 > best.evaluation.map50
                                              : info.evaluation.map50_95 > best.evaluation.map50_95;
      CHECK(info.best == better);
      if (better) best = info;
    };
    Trainer trainer(training.model, config, training.photos, &training.photos, options);
    trainer.prepare_fresh_heads({kHeadConvolution});
    const TrainResult result = trainer.run();
    REQUIRE(evaluations == (kSanitized ? 10 : 30));
    CHECK(result.best_map50 == best.evaluation.map50);
    CHECK(result.best_map50_95 == best.evaluation.map50_95);
    CHECK(result.best_epoch == best.epoch);
    CHECK(read_checkpoint(training.folder / "best.safetensors").state.at("iteration") == best.iteration);
  }
}

TEST_CASE("trainer: a loss that is not finite ends the run, naming what it saw, and the last checkpoint stays") {
  TrainConfig config = plain_config();
  config.epochs = 3;
  TinyTraining run(config);
  run.train();
  const ByteVector good = run.last();
  const auto message = [&](const TrainConfig& c) {
    return error_of([&] {
      Trainer trainer(run.model, c, run.photos, nullptr, run.options());
      trainer.run();
    });
  };
  const auto spoil = [&](ParamRole role, int entry) {
    run.model = to_model(read_checkpoint(run.folder / "last.safetensors"), "last", true);
    run.model.params->value(*run.model.params->find(kHeadConvolution, role))[static_cast<std::size_t>(entry)] =
        std::numeric_limits<float>::quiet_NaN();
  };
  const auto names_all = [&](const std::string& text) {
    for (int i = 0; i < 8; ++i)
      if (!says(text, run.photos.name(i).c_str())) return false;
    return true;
  };
  spoil(ParamRole::bias, 4);  // of the objectness: in every cell
  const std::string loss = message(config);
  CHECK(says(loss, "iteration 1: the loss is not finite"));
  CHECK(says(loss, "layer 6 [convolutional]"));
  CHECK(names_all(loss));
  spoil(ParamRole::bias, 0);  // of a box: where the first anchor has one
  const std::string some = message(config);
  CHECK(says(some, "iteration 1: the loss is not finite"));
  TrainConfig wild = config;
  wild.optimizer = OptimizerKind::sgd;
  wild.schedule.base = 1e30f;
  wild.clip = 0;
  run.model = to_model(read_checkpoint(run.folder / "last.safetensors"), "last", true);
  const std::string wilder = message(wild);
  MESSAGE(wilder);
  CHECK(says(wilder, "iteration 2: "));
  CHECK(names_all(wilder));
  wild.schedule.base = std::numeric_limits<float>::infinity();
  wild.epochs = 1;
  run.model = to_model(read_checkpoint(run.folder / "last.safetensors"), "last", true);
  CHECK(says(message(wild), "iteration 1: parameters layers.0.bias are not finite"));
  CHECK(run.last() == good);
  CHECK_NOTHROW(load_model((run.folder / "last.safetensors").string()));
}

TEST_CASE("trainer: fresh heads begin by finding nothing") {
  TinyTraining run(plain_config());
  Trainer trainer(run.model, run.config, run.photos, nullptr, run.options());
  const std::vector<float> before = copy_of(*run.model.params);
  trainer.prepare_fresh_heads({0, 2});  // no head's
  CHECK(copy_of(*run.model.params) == before);
  trainer.prepare_fresh_heads({kHeadConvolution});
  const auto bias = run.model.params->value(*run.model.params->find(kHeadConvolution, ParamRole::bias));
  for (int anchor = 0; anchor < 3; ++anchor) {
    CHECK(bias[static_cast<std::size_t>(8 * anchor + 4)] == run.config.objectness_bias);
    for (int cls = 0; cls < 3; ++cls)
      CHECK(bias[static_cast<std::size_t>(8 * anchor + 5 + cls)] == run.config.class_bias);
    for (int box = 0; box < 4; ++box) CHECK(bias[static_cast<std::size_t>(8 * anchor + box)] == 0);
  }
}

TEST_CASE("trainer: what cannot be trained is refused before the first step") {
  TinyTraining run(plain_config());
  const auto message = [&](const TrainConfig& c) {
    return error_of([&] { Trainer(run.model, c, run.photos, nullptr, run.options()); });
  };
  TrainConfig config = run.config;
  config.subdivisions = 3;
  CHECK(says(message(config), "batch 8 does not split into 3 equal subdivisions"));
  config = run.config;
  config.epochs = 0;
  CHECK(says(message(config), "give --epochs"));
  config.schedule.iterations = 5;
  CHECK(message(config) == "");
}
