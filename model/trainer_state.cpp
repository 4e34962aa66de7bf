// What a training is at a moment: saving it, and going on from it to the bit.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json_reason.h"
#include "model/checkpoint.h"
#include "model/trainer.h"

namespace rook {

// What is saved must be worth going on from: an update may overflow before a loss shows it.
void Trainer::check_parameters() const {
  for (const Param& param : model_.params->all())
    for (const float v : std::as_const(*model_.params).value(param))
      if (!std::isfinite(v))
        throw Error(
            fmt::format("iteration {}: parameters {} are not finite; they were not saved, the last good "
                        "checkpoint stays; lower --lr",
                        iteration_, param.name));
}

Checkpoint Trainer::snapshot(bool with_state) {
  step_->download();
  Checkpoint checkpoint;
  checkpoint.names = model_.names;
  checkpoint.preprocess = config_.preprocess;
  checkpoint.state = {{"iteration", iteration_}, {"config", to_json(config_)}, {"photos", train_.size()}};
  const auto live = std::as_const(*model_.params).values();
  check_parameters();
  if (!with_state) {
    checkpoint.values = step_->optimizer().averages();
    if (checkpoint.values.empty()) checkpoint.values.assign(live.begin(), live.end());
    return checkpoint;
  }
  checkpoint.values.assign(live.begin(), live.end());
  checkpoint.ema = step_->optimizer().averages();
  checkpoint.optimizer.emplace_back("moment1", step_->optimizer().moment(0));
  if (auto second = step_->optimizer().moment(1); !second.empty())
    checkpoint.optimizer.emplace_back("moment2", std::move(second));
  checkpoint.state["best_map50"] = result_.best_map50;
  checkpoint.state["best_map50_95"] = result_.best_map50_95;
  checkpoint.state["best_epoch"] = result_.best_epoch;
  checkpoint.state["evaluations_without_better"] = evaluations_without_better_;
  return checkpoint;
}

void Trainer::save_last() {
  write_checkpoint(options_.folder / "last.safetensors", *model_.network, *model_.params, snapshot(true));
}

void Trainer::resume(const Checkpoint& checkpoint) {
  // The order of the photos is drawn anew from their number.
  if (const auto photos = checkpoint.state.find("photos"); photos != checkpoint.state.end() && *photos != train_.size())
    throw Error(fmt::format(
        "--resume: the run was trained on {} photos, and the data now have {}; put them back as they were, or "
        "start another training with --from",
        photos->dump(), train_.size()));
  const auto values = model_.params->values();
  if (checkpoint.values.size() != values.size()) throw Error("--resume: the checkpoint belongs to another network");
  std::copy(checkpoint.values.begin(), checkpoint.values.end(), values.begin());
  try {
    step_->optimizer().set_averages(checkpoint.ema);
    for (const auto& [name, saved] : checkpoint.optimizer)
      step_->optimizer().set_moment(name == "moment1" ? 0 : 1, saved);
  } catch (const Error& error) {
    throw Error(fmt::format("--resume: {}", error.what()));
  }
  try {
    checkpoint.state.at("iteration").get_to(iteration_);
    checkpoint.state.at("best_map50").get_to(result_.best_map50);
    checkpoint.state.at("best_map50_95").get_to(result_.best_map50_95);
    checkpoint.state.at("best_epoch").get_to(result_.best_epoch);
    checkpoint.state.at("evaluations_without_better").get_to(evaluations_without_better_);
  } catch (const nlohmann::json::exception& error) {
    throw Error(
        fmt::format("--resume: the checkpoint holds no state of a training ({}); take the run's last.safetensors",
                    json_reason(error)));
  }
  step_->begin_at(iteration_);
}

}  // namespace rook
