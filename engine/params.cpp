#include "engine/params.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "kernels/philox.h"

namespace rook {

const char* name_of(ParamRole role) {
  switch (role) {
    case ParamRole::weights:
      return "weights";
    case ParamRole::bias:
      return "bias";
    case ParamRole::scales:
      return "scales";
    case ParamRole::rolling_mean:
      return "rolling_mean";
    case ParamRole::rolling_variance:
      return "rolling_variance";
  }
  return "?";
}

Params::Params(const Graph& graph) : node_offsets_(graph.nodes().size()) {
  for (const bool trainable : {true, false}) {
    for (int node = 0; node < graph.size(); ++node) {
      const Op* op = graph.nodes()[node].op.get();
      if (!op) continue;
      for (const ParamSpec& spec : op->params()) {
        if (spec.trainable() != trainable) continue;
        params_.push_back({.name = fmt::format("layers.{}.{}", node, name_of(spec.role)),
                           .node = node,
                           .spec = spec,
                           .offset = total_});
        total_ += spec.count();
      }
    }
    if (trainable) trainable_ = total_;
  }
  for (int node = 0; node < graph.size(); ++node) {
    const Op* op = graph.nodes()[node].op.get();
    if (!op) continue;
    for (const ParamSpec& spec : op->params()) node_offsets_[node].push_back(find(node, spec.role)->offset);
  }
  values_.reserve(static_cast<std::size_t>(total_) * sizeof(float));
}

void Params::initialise(std::uint64_t seed) {
  for (const Param& param : params_) initialise(param, seed);
}

void Params::initialise(const Param& param, std::uint64_t seed) {
  const std::span<float> out = value(param);
  const bool one = param.spec.role == ParamRole::scales || param.spec.role == ParamRole::rolling_variance;
  if (param.spec.role != ParamRole::weights) {
    std::fill(out.begin(), out.end(), one ? 1.0f : 0.0f);
    return;
  }
  // Box-Muller on Philox numbers; the counter is the element and the stream the node, so that a layer's start does not
  // depend on the layers before it.
  const std::uint32_t stream = philox_stream(PhiloxUse::initial_weights, static_cast<std::uint32_t>(param.node));
  const double sigma = std::sqrt(1.0 / (3.0 * std::max(1, param.spec.fan_in)));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const PhiloxBlock random = philox(philox_key(seed), {.slot = static_cast<std::uint32_t>(i), .stream = stream});
    const double u = (random.x + 0.5) / 4294967296.0, v = random.y / 4294967296.0;
    out[i] = static_cast<float>(sigma * std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
  }
}

std::span<float> Params::gradients() {
  gradients_.reserve(static_cast<std::size_t>(trainable_) * sizeof(float));
  return {gradients_.as<float>(), static_cast<std::size_t>(trainable_)};
}

const Param* Params::find(int node, ParamRole role) const {
  const auto found = std::find_if(params_.begin(), params_.end(),
                                  [&](const Param& p) { return p.node == node && p.spec.role == role; });
  return found == params_.end() ? nullptr : &*found;
}

std::vector<float*> Params::pointers(int node, float* arena) const {
  std::vector<float*> result;
  for (const std::int64_t offset : node_offsets_[node]) result.push_back(arena ? arena + offset : nullptr);
  return result;
}

std::vector<ParamSegment> Params::segments(float decay, int frozen) const {
  std::vector<ParamSegment> result;
  for (const Param& param : params_) {
    if (!param.spec.trainable()) continue;
    result.push_back({.begin = param.offset,
                      .end = param.end(),
                      .lr_scale = param.node < frozen ? 0.0f : 1.0f,
                      .decay = param.spec.role == ParamRole::weights ? decay : 0.0f,
                      .layer = param.node});
  }
  return result;
}

}  // namespace rook
