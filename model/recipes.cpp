// The recipes. Numbers come from training on the chess photos (docs/recipes.md tells what was measured) or, for `cfg`,
// from the cfg.
#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"
#include "model/network.h"
#include "model/train_config.h"

namespace rook {
namespace {

// Gentle changes: pieces differ by colour and small shapes, so colour moves little, and a board is a board: no vertical
// flip. A quarter of mosaics: half of them cost 0.5 mAP50 over 16 epochs of 102 chess photos, for they leave fewer
// whole boards to learn from.
AugmentSpec gentle() {
  AugmentSpec spec;
  spec.scale = 0.2f;
  spec.aspect = 0.08f;
  spec.shift = 0.12f;
  spec.flip = 0.5f;
  spec.hue = 0.015f;
  spec.saturation = 1.5f;
  spec.exposure = 1.4f;
  spec.mosaic = 0.25f;
  return spec;
}

// What the recipes for few photos have in common.
TrainConfig of_few_photos(const std::string& name) {
  TrainConfig config;
  config.recipe = name;
  config.schedule.policy = Policy::cosine;
  config.schedule.warmup = 40;
  config.schedule.minimum = 0.02f;
  config.augment = gentle();
  config.mosaic_until = 0.7f;
  // Four photos an update: on 102 photos twice the updates of eight in the same time, 98.4 instead of 96.7 mAP50.
  config.batch = 4;
  config.eval_every = 3;
  return config;
}

// By Muon, and with early layers that stay (early_layers), ten epochs come to the mAP50 of eighteen by AdamW that train
// everything, in two fifths of the time.
TrainConfig transfer() {
  TrainConfig config = of_few_photos("transfer");
  config.optimizer = OptimizerKind::muon;
  config.epochs = 10;
  config.eval_every = 2.5;
  config.schedule.base = 2e-3f;
  config.schedule.warmup = 20;
  return config;
}

TrainConfig scratch() {
  TrainConfig config = of_few_photos("scratch");
  // Ten epochs of Muon end higher than sixty of AdamW (98.9 and 98.6 mAP50 on the chess photos).
  config.optimizer = OptimizerKind::muon;
  config.epochs = 16;
  config.schedule.base = 2e-3f;
  return config;
}

TrainConfig continued() {
  TrainConfig config = of_few_photos("continue");
  config.optimizer = OptimizerKind::adamw;
  config.schedule.base = 5e-4f;
  config.epochs = 12;
  return config;
}

// darknet's own: SGD, the policy and augmentation of [net], jitter and resize of the last head.
TrainConfig from_cfg(const io::Cfg& cfg) {
  const io::CfgSection& net = cfg.net();
  TrainConfig config;
  config.recipe = "cfg";
  config.batch = std::max(1, net.integer("batch", 1));
  config.subdivisions = std::max(1, net.integer("subdivisions", 1));
  config.optimizer = net.integer("adam", 0) ? OptimizerKind::adamw : OptimizerKind::sgd;
  const bool adam = config.optimizer == OptimizerKind::adamw;
  config.momentum = adam ? net.number("B1", 0.9f) : net.number("momentum", 0.9f);
  config.beta2 = net.number("B2", 0.999f);
  config.decay = net.number("decay", 0.0001f);
  config.schedule = schedule_of(net);
  config.epochs = 0;  // counted in iterations: max_batches
  config.ema = net.number("ema_alpha", 0);
  config.bn_momentum = 0.01f;
  config.clip = 0;
  config.loss = LossMode::darknet;
  AugmentSpec& spec = config.augment;
  spec.flip = net.integer("flip", 1) ? 0.5f : 0.0f;
  spec.hue = net.number("hue", 0);
  spec.saturation = net.number("saturation", 1);
  spec.exposure = net.number("exposure", 1);
  spec.mosaic = net.integer("mosaic", 0) ? 0.5f : 0.0f;
  spec.mosaic_bound = net.integer("mosaic_bound", 0) != 0;
  spec.min_visible = 0;
  config.mosaic_until = 1;
  for (int i = cfg.layers() - 1; i >= 0; --i) {
    const io::CfgSection& head = cfg.layer(i);
    if (head.type != "yolo" && head.type != "region" && head.type != "Gaussian_yolo") continue;
    spec.jitter = head.number("jitter", 0.2f);
    spec.resize = head.number("resize", 1);
    const float random = head.number("random", 0);
    config.multi_scale = random == 1 ? 1.4f : random > 1 ? random : 1.0f;
    config.max_truths = head.integer("max", 200);
    break;
  }
  config.preprocess = {.resampling = Resampling::half_pixel,
                       .fit = net.integer("letter_box", 0) ? Fit::letterbox : Fit::stretch};
  return config;
}

// stopbackward=1 freezes the layers before the last layer that has it (darknet.md 7.9).
int frozen_by(const io::Cfg& cfg) {
  int frozen = 0;
  for (int i = 0; i < cfg.layers(); ++i)
    if (cfg.layer(i).integer("stopbackward", 0) == 1) frozen = i;
  return frozen;
}

TrainConfig named(const std::string& name, const io::Cfg& cfg) {
  if (name == "transfer") return transfer();
  if (name == "scratch") return scratch();
  if (name == "continue") return continued();
  if (name == "cfg") return from_cfg(cfg);
  throw Error(fmt::format("recipe '{}' is not one of transfer, scratch, continue, cfg", name));
}

}  // namespace

int early_layers(const Network& network, std::span<const int> fresh) {
  constexpr int kReduction = 16;
  const Graph& graph = network.graph;
  const auto shape_of = [&](int node) {
    return node == kNetworkInput ? graph.input() : graph.nodes()[static_cast<std::size_t>(node)].output;
  };
  for (int i = 0; i < graph.size(); ++i) {
    if (std::find(fresh.begin(), fresh.end(), i) != fresh.end()) return i;
    const Node& node = graph.nodes()[static_cast<std::size_t>(i)];
    if (!node.op || node.op->params().empty()) continue;
    const Shape read = shape_of(node.inputs.front());
    const bool pooled_whole =
        read.h == 1 && read.w == 1;  // gates of squeeze and excitation are no later than their map
    if (!pooled_whole && read.h * kReduction <= graph.input().h) return i;
  }
  return 0;
}

const std::vector<RecipeText>& recipe_texts() {
  static const std::vector<RecipeText> texts{
      {"transfer",
       "a few hundred photos, starting from pretrained weights: the early layers stay as they are, the rest is trained "
       "by Muon, four photos an update, 10 epochs, gentle augmentation"},
      {"scratch", "the same from random weights: Muon, 16 epochs: it learns in so few what AdamW needs sixty for"},
      {"continue",
       "going on from an own model with more photos: AdamW at a low learning rate, so that what it knows is kept, 12 "
       "epochs"},
      {"cfg", "what the cfg says, as darknet trains: SGD, [net]'s policy and augmentation, darknet's loss"}};
  return texts;
}

TrainConfig recipe(const std::string& name, const io::Cfg& cfg) {
  TrainConfig config = named(name, cfg);
  config.freeze = frozen_by(cfg);
  return config;
}

}  // namespace rook
