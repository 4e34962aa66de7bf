// All parameters of a network in flat arenas: values [trainable | statistics], gradients [trainable]. The optimizer,
// EMA, gradient norm and checkpoints are loops over them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/graph.h"
#include "kernels/ops.h"

namespace rook {

// One array of parameters and where it lies.
struct Param {
  std::string name;  // "layers.3.weights"
  int node = 0;
  ParamSpec spec;
  std::int64_t offset = 0;  // in values (and in gradients, when trainable)
  std::int64_t end() const { return offset + spec.count(); }
};

class Params {
 public:
  explicit Params(const Graph& graph);

  // Weights ~ N(0, 1 / (3 fan_in)) from Philox(seed, parameter), scales 1, variances 1, the rest 0. The variance is a
  // sixth of He's: behind batch norm the scale of a weight does not change what is computed, but small weights turn
  // faster under the same learning rate, and short trainings gain by it.
  void initialise(std::uint64_t seed);
  void initialise(const Param& param, std::uint64_t seed);

  std::span<float> values() { return {values_.as<float>(), static_cast<std::size_t>(total_)}; }
  std::span<const float> values() const { return {values_.as<float>(), static_cast<std::size_t>(total_)}; }
  std::span<float> gradients();  // allocated at the first call
  std::int64_t trainable() const { return trainable_; }
  std::int64_t total() const { return total_; }

  const std::vector<Param>& all() const { return params_; }
  std::span<float> value(const Param& param) { return values().subspan(param.offset, param.spec.count()); }
  std::span<const float> value(const Param& param) const { return values().subspan(param.offset, param.spec.count()); }
  // Parameters of a node in the order of Op::params(); null when there are none of that index.
  const Param* find(int node, ParamRole role) const;

  // Pointers of a node in the order of Op::params(), from values or another arena of the same layout.
  std::vector<float*> pointers(int node, float* arena) const;
  // Segments for the optimizer: decay on weights only, lr_scale 0 for nodes before `frozen`.
  std::vector<ParamSegment> segments(float decay, int frozen) const;

 private:
  std::vector<Param> params_;
  std::vector<std::vector<std::int64_t>> node_offsets_;
  std::int64_t trainable_ = 0, total_ = 0;
  Arena values_, gradients_;
};

const char* name_of(ParamRole role);

}  // namespace rook
