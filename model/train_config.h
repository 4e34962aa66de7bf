// Everything that decides a training, as one value that is written into the run folder and into checkpoints, and the
// recipes: named sets of defaults, each with the reason for its numbers. The one place where such numbers live.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "model/preprocess.h"
#include "model/schedule.h"

namespace rook {

struct Network;

// muon: of matrices behind batch norm (ParamSpec::matrix); AdamW of everything else.
enum class OptimizerKind : std::uint8_t { sgd, adamw, muon };

// Training at another size of the network's input for the given share of all iterations ("sizes" of progressive
// resizing).
struct SizeStage {
  float share = 1;
  int width = 0, height = 0;
};

// Weights of the loss in `fixed` mode; the cfg's own are used in `darknet` mode.
struct LossWeights {
  float box = 5, objectness = 1, classes = 1;
  float ignore_thresh = 0.7f, iou_thresh = 0.213f, label_smooth = 0;
  BoxLoss box_loss = BoxLoss::ciou;
};

// What of an evaluation makes a checkpoint the best: mAP50 is soon as high as it gets where objects are easy, and says
// nothing of boxes that go on getting tighter.
enum class BestBy { map50, map50_95 };
const char* name_of(BestBy by);

struct TrainConfig {
  std::string recipe = "transfer";
  int width = 0, height = 0;  // of the network; 0: as the cfg says
  int batch = 8;              // photos per update
  int subdivisions = 1;       // forward/backward passes per update
  double epochs = 30;
  OptimizerKind optimizer = OptimizerKind::adamw;
  float decay = 0.02f;    // on convolution weights only
  float momentum = 0.9f;  // sgd, muon; beta1 of adamw
  float beta2 = 0.999f;   // adamw
  float turn = 25;        // muon: a step turns a matrix by lr times this, of its length
  Schedule schedule;
  float ema = 0.99f;         // 0: off
  float bn_momentum = 0.1f;  // of batch norm's running estimates: darknet's 0.01 lags behind in a short training
  float clip = 20;           // of the gradient's norm; 0: off
  int freeze = 0;            // first layers that are not trained
  LossMode loss = LossMode::fixed;
  bool smooth_bug = false;  // darknet's loss: with objectness_smooth positives get no objectness (darknet.md 6.2)
  LossWeights weights;
  float objectness_bias = -5, class_bias = -2.5f;  // start of fresh head convolutions
  AugmentSpec augment;
  float mosaic_until = 0.8f;      // share of the iterations with mosaic
  std::vector<SizeStage> stages;  // empty: always the network's size
  float multi_scale = 1;          // darknet's random: sizes up to this factor larger and smaller
  Preprocess preprocess{.resampling = Resampling::area, .fit = Fit::stretch};
  int max_truths = 200;
  double eval_every = 1;  // epochs
  double eval_from = 0;   // epochs before the first evaluation
  BestBy best_by = BestBy::map50;
  double until_map50 = 0;  // stop when the best checkpoint has it; 0: never
  int patience = 0;        // stop after so many evaluations without a better one; 0: never
  std::uint64_t seed = 1;
  DType precision = DType::f32;
};

// "transfer", "scratch", "continue", "cfg". Throws Error that lists them. `cfg` reads [net] and the last head of the
// network's cfg, as darknet would. Frozen is in each of them what stopbackward=1 in the cfg freezes.
TrainConfig recipe(const std::string& name, const io::Cfg& cfg);

// How many first layers `transfer` leaves as they were imported: those before the first convolution that reads a map of
// a sixteenth of the picture's height or less, as far as all of them were loaded. `fresh`: nodes that start at random.
// Edges and textures are known to imported weights from more photos than there are here, and on large maps they take a
// third of a step.
int early_layers(const Network& network, std::span<const int> fresh);

struct RecipeText {
  const char* name;
  const char* text;  // what it is for and why its numbers are what they are
};
const std::vector<RecipeText>& recipe_texts();

// "fixed", "darknet", or "darknet-smooth-bug". Throws Error that lists them.
void set_loss(TrainConfig& config, const std::string& name);

nlohmann::json to_json(const TrainConfig& config);
TrainConfig train_config_from_json(const nlohmann::json& json);  // throws Error naming the key

}  // namespace rook
