// What a training is at a moment: saving it, and going on from it to the bit.
#include <fmt/format.h>
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/trainer.h"

namespace rook {

Checkpoint Trainer::snapshot(bool with_state) const {
  Checkpoint checkpoint;
  checkpoint.names = model_.names;
  checkpoint.preprocess = config_.preprocess;
  checkpoint.state = {{"iteration", iteration_}, {"config", to_json(config_)}};
  const auto live = std::as_const(*model_.params).values();
  if (!with_state) {
    checkpoint.values = ema_.empty() ? std::vector<float>(live.begin(), live.end()) : ema_;
    return checkpoint;
  }
  checkpoint.values.assign(live.begin(), live.end());
  checkpoint.ema = ema_;
  checkpoint.optimizer.emplace_back("moment1", moment1_);
  if (!moment2_.empty()) checkpoint.optimizer.emplace_back("moment2", moment2_);
  checkpoint.state["best_map50"] = result_.best_map50;
  checkpoint.state["best_map50_95"] = result_.best_map50_95;
  checkpoint.state["best_epoch"] = result_.best_epoch;
  checkpoint.state["evaluations_without_better"] = evaluations_without_better_;
  return checkpoint;
}

void Trainer::save_last() const {
  write_checkpoint(options_.folder / "last.safetensors", *model_.network, *model_.params, snapshot(true));
}

void Trainer::resume(const Checkpoint& checkpoint) {
  const auto values = model_.params->values();
  if (checkpoint.values.size() != values.size()) throw Error("--resume: the checkpoint belongs to another network");
  std::copy(checkpoint.values.begin(), checkpoint.values.end(), values.begin());
  ema_ = checkpoint.ema;
  for (const auto& [name, saved] : checkpoint.optimizer) {
    std::vector<float>& moment = name == "moment1" ? moment1_ : moment2_;
    if (saved.size() != moment.size())
      throw Error(fmt::format("--resume: '{}' of the checkpoint does not fit this optimizer", name));
    moment = saved;
  }
  try {
    checkpoint.state.at("iteration").get_to(iteration_);
    checkpoint.state.at("best_map50").get_to(result_.best_map50);
    checkpoint.state.at("best_map50_95").get_to(result_.best_map50_95);
    checkpoint.state.at("best_epoch").get_to(result_.best_epoch);
    checkpoint.state.at("evaluations_without_better").get_to(evaluations_without_better_);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format(
        "--resume: the checkpoint holds no state of a training ({}); take the run's last.safetensors", error.what()));
  }
}

}  // namespace rook
