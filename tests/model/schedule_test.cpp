// Learning rates by iteration against numbers computed by hand (darknet.md 7.3), and configurations as JSON.
#include "model/schedule.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "model/network.h"
#include "model/train_config.h"
#include "model/zoo.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

bool as_good_as(float actual, double expected) {
  return std::abs(actual - expected) <= 1e-6 * std::abs(expected) + 1e-12;
}

Schedule of(const char* net) {
  return schedule_of(
      tiny_cfg("conv filters=1 size=1 activation=linear", std::string("width=16 height=16 channels=3 ") + net).net());
}

}  // namespace

TEST_CASE("schedule: darknet's warm-up, then steps") {
  const Schedule s =
      of("learning_rate=.00261 burn_in=1000 max_batches=500200 policy=steps steps=400000,450000 scales=.1,.2");
  CHECK(as_good_as(rate(s, 1), 0.00261 * 1e-12));
  CHECK(as_good_as(rate(s, 500), 0.00261 / 16));
  CHECK(as_good_as(rate(s, 999), 0.00261 * std::pow(0.999, 4)));
  CHECK(as_good_as(rate(s, 1000), 0.00261));
  CHECK(as_good_as(rate(s, 399999), 0.00261));
  CHECK(as_good_as(rate(s, 400000), 0.000261));  // from the iteration that is named
  CHECK(as_good_as(rate(s, 449999), 0.000261));
  CHECK(as_good_as(rate(s, 450000), 0.0000522));
  CHECK(as_good_as(rate(s, 500200), 0.0000522));
}

TEST_CASE("schedule: every policy by hand") {
  CHECK(as_good_as(rate(of("learning_rate=.5"), 12345), 0.5));
  CHECK(as_good_as(rate(of("learning_rate=.5 policy=constant burn_in=10 power=2"), 5), 0.125));
  const Schedule step = of("learning_rate=.8 policy=step step=100 scale=.5");
  CHECK(as_good_as(rate(step, 99), 0.8));
  CHECK(as_good_as(rate(step, 100), 0.4));
  CHECK(as_good_as(rate(step, 399), 0.1));
  const Schedule exponential = of("learning_rate=2 policy=exp gamma=.9");
  CHECK(as_good_as(rate(exponential, 1), 1.8));
  CHECK(as_good_as(rate(exponential, 3), 1.458));
  const Schedule poly = of("learning_rate=.1 policy=poly power=2 max_batches=1000");
  CHECK(as_good_as(rate(poly, 500), 0.025));
  CHECK(as_good_as(rate(poly, 900), 0.001));
  CHECK(rate(poly, 1000) == 0);
  CHECK(rate(poly, 1001) == 0);
  const Schedule sigmoid = of("learning_rate=4 policy=sig gamma=.5 step=10");
  CHECK(as_good_as(rate(sigmoid, 10), 2));
  CHECK(as_good_as(rate(sigmoid, 12), 4 / (1 + std::exp(1.0))));
  const Schedule restarts = of("learning_rate=1 policy=sgdr sgdr_cycle=100 sgdr_mult=2 learning_rate_min=.1");
  CHECK(as_good_as(rate(restarts, 50), 0.55));
  CHECK(as_good_as(rate(restarts, 100), 1));  // the second cycle is twice as long
  CHECK(as_good_as(rate(restarts, 200), 0.55));
  CHECK(as_good_as(rate(restarts, 150), 0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI / 4))));
  CHECK(as_good_as(rate(restarts, 300), 1));
  const Schedule random = of("learning_rate=1 policy=random power=2");
  std::set<float> values;
  for (int i = 1; i <= 100; ++i) {
    values.insert(rate(random, i));
  }
  CHECK(values.size() > 90);
  Schedule other = random;
  ++other.seed;
  int same = 0;
  for (int i = 1; i <= 100; ++i) same += values.contains(rate(other, i));
  CHECK(same < 10);
  CHECK((*values.begin() >= 0 && *values.rbegin() < 1));
}

TEST_CASE("schedule: cosine with a linear warm-up") {
  const Schedule s{
      .policy = Policy::cosine, .base = 0.01f, .iterations = 110, .warmup = 10, .warmup_power = 1, .minimum = 0.02f};
  CHECK(as_good_as(rate(s, 1), 0.001));
  CHECK(as_good_as(rate(s, 9), 0.009));
  CHECK(as_good_as(rate(s, 10), 0.01));
  CHECK(as_good_as(rate(s, 60), 0.0051));
  CHECK(as_good_as(rate(s, 110), 0.0002));
  CHECK(as_good_as(rate(s, 500), 0.0002));
}

TEST_CASE("schedule: names and errors") {
  for (const Policy p : {Policy::constant, Policy::step, Policy::steps, Policy::exp, Policy::poly, Policy::random,
                         Policy::sig, Policy::sgdr, Policy::cosine})
    CHECK(policy_from_name(name_of(p)) == p);
  CHECK_THROWS_WITH_AS(policy_from_name("linear"), doctest::Contains("'linear' is not one of constant"), Error);
  CHECK_THROWS_AS(of("policy=steps steps=10,20 scales=.1"), Error);
  CHECK(of("").policy == Policy::constant);
  CHECK(of("").base == 0.001f);
}

TEST_CASE("configuration: everything that differs from the defaults survives JSON") {
  TrainConfig c;
  c.recipe = "own";
  c.width = 96;
  c.height = 128;
  c.batch = 12;
  c.subdivisions = 3;
  c.epochs = 7.25;
  c.optimizer = OptimizerKind::sgd;
  c.decay = 0.0005f;
  c.momentum = 0.949f;
  c.beta2 = 0.99f;
  c.turn = 7;
  c.schedule = {.policy = Policy::steps,
                .base = 0.00261f,
                .iterations = 6000,
                .warmup = 17,
                .warmup_power = 4,
                .minimum = 0.5f,
                .steps = {10, 20},
                .scales = {0.1f, 0.3f},
                .step = 3,
                .scale = 0.7f,
                .gamma = 0.8f,
                .power = 2,
                .cycle = 5,
                .cycle_mult = 3};
  c.ema = 0.5f;
  c.bn_momentum = 0.03f;
  c.clip = 3;
  c.freeze = 29;
  set_loss(c, "darknet-smooth-bug");
  c.weights = {.box = 1.5f,
               .objectness = 2.5f,
               .classes = 3.5f,
               .ignore_thresh = 0.45f,
               .iou_thresh = 0.35f,
               .label_smooth = 0.1f,
               .box_loss = BoxLoss::giou};
  c.objectness_bias = -3;
  c.class_bias = -1;
  c.augment = {.jitter = 0.3f,
               .resize = 1.5f,
               .scale = 0.1f,
               .aspect = 0.2f,
               .shift = 0.3f,
               .flip = 0.25f,
               .hue = 0.1f,
               .saturation = 1.6f,
               .exposure = 1.7f,
               .mosaic = 0.75f,
               .mosaic_bound = false,
               .min_visible = 0.4f};
  c.mosaic_until = 0.6f;
  c.stages = {{.share = 0.25f, .width = 64, .height = 32}, {.share = 0.5f, .width = 96, .height = 96}};
  c.multi_scale = 1.4f;
  c.preprocess = {.resampling = Resampling::half_pixel, .fit = Fit::letterbox};
  c.max_truths = 33;
  c.eval_every = 0.5;
  c.eval_from = 2.5;
  c.best_by = BestBy::map50_95;
  c.until_map50 = 0.985;
  c.patience = 4;
  c.seed = 0xfedcba9876543210u;
  c.precision = DType::bf16;
  const nlohmann::json json = to_json(c);
  CHECK(to_json(train_config_from_json(json)) == json);
  CHECK(to_json(train_config_from_json(nlohmann::json::parse(json.dump()))) == json);
  // No key has been left at its default: what is not written would not be noticed above.
  const nlohmann::json defaults = to_json(TrainConfig{});
  for (const auto& item : json.items()) {
    const std::string& key = item.key();
    CAPTURE(key);
    CHECK(item.value() != defaults.at(key));
    if (!item.value().is_object()) continue;
    for (const auto& part : item.value().items()) {
      const std::string& inner = part.key();
      CAPTURE(inner);
      CHECK(part.value() != defaults.at(key).at(inner));
    }
  }
  const TrainConfig back = train_config_from_json(json);
  CHECK((back.loss == LossMode::darknet && back.smooth_bug));
  set_loss(c, "darknet");
  CHECK((c.loss == LossMode::darknet && !c.smooth_bug && to_json(c)["loss"] == "darknet"));
  CHECK(back.seed == c.seed);
  CHECK(back.schedule.base == c.schedule.base);
  CHECK(back.precision == DType::bf16);
  CHECK(back.stages.size() == 2);
}

TEST_CASE("configuration: every key is missed by name, and wrong values are refused") {
  const nlohmann::json good = to_json(TrainConfig{});
  for (const auto& [key, value] : good.items()) {
    if (key == "turn" || key == "best_by") continue;  // older runs have none
    nlohmann::json bad = good;
    bad.erase(key);
    CHECK_THROWS_WITH_AS(train_config_from_json(bad), doctest::Contains(key.c_str()), Error);
  }
  for (const auto& [key, value] : {std::pair{"optimizer", "adam"},
                                   {"best_by", "f1"},
                                   {"loss", "mse"},
                                   {"resize", "nearest"},
                                   {"fit", "crop"},
                                   {"precision", "int8"}}) {
    nlohmann::json bad = good;
    bad[key] = value;
    CHECK_THROWS_AS(train_config_from_json(bad), Error);
  }
  nlohmann::json bad = good;
  bad["batch"] = "eight";
  CHECK_THROWS_AS(train_config_from_json(bad), Error);
  CHECK_THROWS_AS(train_config_from_json(nlohmann::json::array()), Error);
  for (const auto& [key, value] : {std::pair{"batch", 0},
                                   {"subdivisions", 9},
                                   {"width", -64},
                                   {"height", 1 << 30},
                                   {"epochs", -1},
                                   {"freeze", -1},
                                   {"max_truths", 0},
                                   {"multi_scale", 0}}) {
    nlohmann::json out_of_range = good;
    out_of_range[key] = value;
    CHECK_THROWS_WITH_AS(train_config_from_json(out_of_range), doctest::Contains(key), Error);
  }
}

TEST_CASE("configuration: cut off anywhere it is an error, with a flipped bit an error or a configuration") {
  const std::string text = to_json(recipe("cfg", find_cfg("yolov4-tiny"))).dump();
  const auto taken = [](const std::string& damaged) {
    const nlohmann::json json = nlohmann::json::parse(damaged, nullptr, false);
    if (json.is_discarded()) return false;
    try {
      const TrainConfig config = train_config_from_json(json);
      CHECK(to_json(train_config_from_json(to_json(config))) == to_json(config));
      return true;
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
      return false;
    }
  };
  CHECK(taken(text));
  for (std::size_t length = 0; length < text.size(); ++length) CHECK(!taken(text.substr(0, length)));
  for (std::size_t bit = 0; bit < 8 * text.size(); bit += 3) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    (void)taken(flipped);
  }
}

TEST_CASE("configuration: recipes") {
  const io::Cfg cfg = find_cfg("yolov4-tiny");
  for (const RecipeText& text : recipe_texts()) {
    const TrainConfig config = recipe(text.name, cfg);
    CHECK(config.recipe == text.name);
    CHECK(std::string(text.text).size() > 20);
    CHECK(to_json(train_config_from_json(to_json(config))) == to_json(config));
  }
  CHECK_THROWS_WITH_AS(recipe("fast", cfg), doctest::Contains("'fast' is not one of transfer"), Error);
  // `cfg` trains as darknet reads the file.
  const io::Cfg own = tiny_cfg(
      "conv filters=14 size=1 activation=linear | yolo mask=0,1 anchors=4,4,8,6 num=2 classes=2 jitter=.3 random=1 "
      "resize=1.5 max=90",
      "width=32 height=32 channels=3 batch=64 subdivisions=8 momentum=.949 decay=.0005 learning_rate=.002 burn_in=100 "
      "max_batches=6000 policy=steps steps=4800,5400 scales=.1,.1 hue=.1 saturation=1.5 exposure=1.4 mosaic=1 "
      "letter_box=1 flip=0");
  const TrainConfig c = recipe("cfg", own);
  CHECK((c.batch == 64 && c.subdivisions == 8 && c.optimizer == OptimizerKind::sgd && c.loss == LossMode::darknet));
  CHECK((c.momentum == 0.949f && c.decay == 0.0005f && c.ema == 0 && c.clip == 0));
  CHECK((c.epochs == 0 && c.schedule.iterations == 6000 && c.schedule.warmup == 100 &&
         c.schedule.policy == Policy::steps));
  CHECK((c.augment.jitter == 0.3f && c.augment.resize == 1.5f && c.augment.hue == 0.1f &&
         c.augment.saturation == 1.5f && c.augment.exposure == 1.4f));
  CHECK((c.augment.flip == 0 && c.augment.mosaic > 0 && c.multi_scale == 1.4f && c.max_truths == 90 &&
         c.preprocess.fit == Fit::letterbox));
}

TEST_CASE("configuration: the cfg recipe takes Adam's constants, every recipe what stopbackward=1 freezes") {
  const std::string layers = "conv filters=4 size=1 | conv filters=14 size=1 activation=linear stopbackward=";
  const auto cfg = [&](const char* stop, const char* net) {
    return tiny_cfg(layers + stop + kHead, std::string("width=32 height=32 channels=3 ") + net);
  };
  const TrainConfig adam = recipe("cfg", cfg("0", "adam=1 B1=.8 B2=.99 momentum=.7"));
  CHECK((adam.optimizer == OptimizerKind::adamw && adam.momentum == 0.8f && adam.beta2 == 0.99f));
  for (const RecipeText& text : recipe_texts()) {
    CHECK(recipe(text.name, cfg("0", "")).freeze == 0);
    CHECK(recipe(text.name, cfg("1", "")).freeze == 1);
    CHECK(recipe(text.name, cfg("800", "")).freeze == 0);  // of which the cfg's warnings tell
  }
}

TEST_CASE("configuration: early layers are those that read large maps and were loaded") {
  const auto network = [](const std::string& layers) { return build_network(tiny_cfg(layers, "width=64 height=64")); };
  const std::string halves = "conv filters=4 size=3 stride=2 pad=1 | maxpool stride=2 size=2 | ";  // to 16x16
  const auto late = network(halves + "conv filters=4 size=3 stride=4 pad=1 | maxpool stride=1 size=2 | conv filters=4");
  CHECK(early_layers(*late, {}) == 4);  // reads 4x4
  CHECK(early_layers(*late, std::array{5}) == 4);
  CHECK(early_layers(*late, std::array{2}) == 2);
  CHECK(early_layers(*late, std::array{4, 0}) == 0);
  CHECK(early_layers(*network(halves + "conv filters=4"), {}) == 0);  // nothing is late: all of it is trained
  // A gate's convolution reads one pixel, yet belongs to the large map that it weighs.
  const auto gated =
      network(halves + "avgpool | conv filters=4 | scale_channels from=-3 | conv filters=4 stride=4 | conv filters=4");
  CHECK(early_layers(*gated, {}) == 6);
  for (const auto& [name, layers] :
       {std::pair{"yolov4-tiny", 18}, std::pair{"yolov3-tiny", 8}, std::pair{"rook-small", 10}})
    CHECK(early_layers(*build_network(find_cfg(name)), {}) == layers);
}
