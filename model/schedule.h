// Learning rate by iteration: darknet's policies (darknet.md 7.3) and cosine, all with warm-up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/cfg.h"

namespace rook {

enum class Policy : std::uint8_t { constant, step, steps, exp, poly, random, sig, sgdr, cosine };

struct Schedule {
  Policy policy = Policy::cosine;
  float base = 1e-3f;
  std::int64_t iterations = 0;  // of the whole training
  std::int64_t warmup = 0;      // iterations; rate rises as base (it / warmup)^warmup_power, the policy is not asked
  float warmup_power = 1;       // darknet: 4
  float minimum = 0.02f;        // cosine: fraction of base at the end; sgdr: the rate itself
  std::vector<std::int64_t> steps;  // steps
  std::vector<float> scales;
  std::int64_t step = 1;  // step, sig
  float scale = 1, gamma = 1, power = 4;
  std::int64_t cycle = 0;  // sgdr
  float cycle_mult = 2;
  std::uint64_t seed = 0;  // random
};

// Rate of an iteration, counted from 1 as darknet counts batches seen.
float rate(const Schedule& schedule, std::int64_t iteration);

const char* name_of(Policy policy);
Policy policy_from_name(const std::string& name);  // throws Error

// What [net] says: learning_rate, burn_in, policy and its keys, max_batches.
Schedule schedule_of(const io::CfgSection& net);

}  // namespace rook
