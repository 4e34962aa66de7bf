#include "model/schedule.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "io/cfg_check.h"
#include "kernels/philox.h"

namespace rook {
namespace {

constexpr std::array<std::pair<Policy, const char*>, 9> kNames{{{Policy::constant, "constant"},
                                                                {Policy::step, "step"},
                                                                {Policy::steps, "steps"},
                                                                {Policy::exp, "exp"},
                                                                {Policy::poly, "poly"},
                                                                {Policy::random, "random"},
                                                                {Policy::sig, "sig"},
                                                                {Policy::sgdr, "sgdr"},
                                                                {Policy::cosine, "cosine"}}};

double cosine_between(double high, double low, double share) {
  return low + (high - low) * 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0)));
}

// Warm restarts (Loshchilov & Hutter 2017): each cycle `cycle_mult` times as long as the one before.
double sgdr(const Schedule& s, double iteration) {
  double begin = 0, length = std::max<double>(1, static_cast<double>(s.cycle > 0 ? s.cycle : s.iterations));
  while (iteration >= begin + length) {
    begin += length;
    length *= std::max(1.0f, s.cycle_mult);
  }
  return cosine_between(s.base, s.minimum, (iteration - begin) / length);
}

double uniform(const Schedule& s, std::int64_t iteration) {
  const auto block = philox(
      philox_key(s.seed),
      {.slot = 0, .iteration = static_cast<std::uint32_t>(iteration), .stream = philox_stream(PhiloxUse::shuffle, 1)});
  return philox_uniform(block.x);
}

}  // namespace

float rate(const Schedule& s, std::int64_t iteration) {
  const double it = static_cast<double>(iteration);
  if (iteration < s.warmup)
    return static_cast<float>(s.base * std::pow(it / static_cast<double>(s.warmup), s.warmup_power));
  double value = s.base;
  switch (s.policy) {
    case Policy::constant:
      break;
    case Policy::step:
      value *= std::pow(s.scale, static_cast<double>(iteration / std::max<std::int64_t>(1, s.step)));
      break;
    case Policy::steps:
      for (std::size_t i = 0; i < s.steps.size() && s.steps[i] <= iteration; ++i) value *= s.scales[i];
      break;
    case Policy::exp:
      value *= std::pow(s.gamma, it);
      break;
    case Policy::poly:
      value *= std::pow(std::max(0.0, 1 - it / static_cast<double>(std::max<std::int64_t>(1, s.iterations))), s.power);
      break;
    case Policy::random:
      value *= std::pow(uniform(s, iteration), s.power);
      break;
    case Policy::sig:
      value *= 1 / (1 + std::exp(s.gamma * (it - static_cast<double>(s.step))));
      break;
    case Policy::sgdr:
      value = sgdr(s, it);
      break;
    case Policy::cosine: {
      const double length = static_cast<double>(std::max<std::int64_t>(1, s.iterations - s.warmup));
      value = cosine_between(s.base, s.base * s.minimum, (it - static_cast<double>(s.warmup)) / length);
      break;
    }
  }
  return static_cast<float>(value);
}

const char* name_of(Policy policy) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == policy; })->second;
}

Policy policy_from_name(const std::string& name) {
  const auto found =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& entry) { return name == entry.second; });
  if (found == kNames.end())
    throw Error(fmt::format(
        "learning rate policy '{}' is not one of constant, step, steps, exp, poly, random, sig, sgdr, cosine", name));
  return found->first;
}

Schedule schedule_of(const io::CfgSection& net) {
  Schedule s;
  s.policy = policy_from_name(net.text("policy", "constant"));
  s.base = net.number("learning_rate", 0.001f);
  s.iterations = net.integer("max_batches", 0);
  s.warmup = net.integer("burn_in", 0);
  s.power = net.number("power", 4);
  s.warmup_power = s.power;
  s.minimum = net.number("learning_rate_min", 1e-5f);
  for (const int step : net.integers("steps")) s.steps.push_back(step);
  s.scales = net.numbers("scales");
  if (s.policy == Policy::steps && s.scales.size() < s.steps.size())
    throw Error(fmt::format("{}{} steps but {} scales", io::place_of(net, "scales"), s.steps.size(), s.scales.size()));
  s.step = net.integer("step", 1);
  s.scale = net.number("scale", 1);
  s.gamma = net.number("gamma", 1);
  s.cycle = net.integer("sgdr_cycle", static_cast<int>(s.iterations));
  s.cycle_mult = net.number("sgdr_mult", 2);
  return s;
}

}  // namespace rook
